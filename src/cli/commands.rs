//! Every command, registered once: its name, what it is for, its arguments and its code. A command's arguments are built only
//! when it is the one that was asked for, since a shell script starts mq thousands of times.

use super::exit::Exit;
use super::{
    Globals, ack, cancel, cat, claim, complete, completions, config, create, dead, dlq, extend, fsck, help, ls, r#move,
    nack, pause, pop, replay, resume, rm, send, show, stats, wait, work,
};
use anyhow::Result;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches};

macro_rules! commands {
    ($($variant:ident $module:ident $name:literal $about:literal $(.$setting:ident($value:expr))*;)*) => {
        /// The command that was asked for.
        #[derive(Debug)]
        pub enum Command {
            $($variant($module::Args),)*
        }

        /// Does what was asked for.
        pub fn run(globals: &Globals, command: &Command) -> Result<Exit> {
            match command {
                $(Command::$variant(args) => $module::run(globals, args),)*
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Command, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, matches)) => Ok(Command::$variant($module::Args::from_arg_matches(matches)?)),)*
                    _ => Err(clap::Error::raw(ErrorKind::MissingSubcommand, "no command was given\n")),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Command::from_arg_matches(matches)?;
                Ok(())
            }
        }

        /// The command of this name alone, as a part of `parent`. To make the others too takes 180,000 instructions and 80 KiB,
        /// a quarter of what a send takes in all.
        pub fn alone(parent: clap::Command, name: &str) -> Option<clap::Command> {
            match name {
                $($name => Some(parent.subcommand($module::Args::augment_args(clap::Command::new($name)))),)*
                _ => None,
            }
        }

        impl clap::Subcommand for Command {
            fn augment_subcommands(parent: clap::Command) -> clap::Command {
                parent$(.subcommand(
                    clap::Command::new($name)
                        .about($about)
                        $(.$setting($value))*
                        .defer(|command| $module::Args::augment_args(command).about($about)),
                ))*
            }

            fn augment_subcommands_for_update(parent: clap::Command) -> clap::Command {
                Command::augment_subcommands(parent)
            }

            fn has_subcommand(name: &str) -> bool {
                [$($name),*].contains(&name)
            }
        }
    };
}

commands! {
    Send send "send" "Put messages into a queue";
    Claim claim "claim" "Take a message for a while: prints its receipt";
    Cat cat "cat" "Print the body of a message, byte for byte";
    Ack ack "ack" "Acknowledge: the work is done, the message goes away";
    Nack nack "nack" "Put a claimed message back for another attempt";
    Dead dead "dead" "Dead-letter a claimed message at once";
    Extend extend "extend" "Renew the lease of a claimed message";
    Pop pop "pop" "Print messages, and acknowledge what was printed";
    Work work "work" "Run a command for each message";
    Ls ls "ls" "List queues, or the messages of one";
    Show show "show" "Show messages with their headers, bodies and attempts";
    Stats stats "stats" "Count messages by state, with the ages of the oldest";
    Dlq dlq "dlq" "List, show, redrive or purge dead messages";
    Replay replay "replay" "Send acknowledged messages again, where a queue keeps them";
    Cancel cancel "cancel" "Stop the jobs of messages, and dead-letter them";
    Rm rm "rm" "Delete messages for good" .visible_alias("purge");
    Move r#move "move" "Move messages to another queue";
    Create create "create" "Make a queue";
    Config config "config" "Show or change a queue's settings";
    Pause pause "pause" "Let nothing more be claimed from a queue";
    Resume resume "resume" "End a pause";
    Wait wait "wait" "Wait until messages are acknowledged or dead";
    Fsck fsck "fsck" "Check a queue, and mend it";
    Completions completions "completions" "Print the completion file of a shell";
    Complete complete "complete" "What may stand at a place of the command line" .hide(true);
    Help help "help" "Explain a command or a topic";
}
