//! All that a person types and reads. One file a command, each with its `Args` and its `run`; every command is registered
//! in [`Command`] and [`run`], once.

pub mod exit;
pub mod failure;
pub mod output;
pub mod queues;

mod ack;
mod cat;
mod claim;
mod completions;
mod config;
mod create;
mod dead;
mod extend;
mod help;
mod input;
mod json;
mod nack;
mod pause;
mod progress;
mod receipts;
mod resume;
mod send;
mod settings;
mod usage;

use anyhow::Result;
use clap::Parser;
use exit::Exit;
use std::path::PathBuf;
use std::process::ExitCode;

/// A message queue for shell scripts and cron jobs: one binary, no server, a queue is a directory
#[derive(Debug, Parser)]
#[command(name = "mq", version, disable_help_subcommand = true, subcommand_required = true, max_term_width = 100)]
#[command(infer_subcommands = false, arg_required_else_help = true, before_long_help = help::EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Globals {
    /// Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options", hide_short_help = true)]
    root: Option<PathBuf>,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, help_heading = "Global options", hide_short_help = true)]
    quiet: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto", hide_possible_values = true)]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    color: output::Color,
}

/// How much to say on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Normal,
    Quiet,
}

impl Globals {
    pub fn talk_level(&self) -> Talk {
        if self.quiet { Talk::Quiet } else { Talk::Normal }
    }

    /// Whether `--root` was said: then a receipt names its queue by path, so that it works without it.
    pub fn has_root(&self) -> bool {
        self.root.is_some()
    }
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Create(create::Args),
    Config(config::Args),
    Send(send::Args),
    Claim(claim::Args),
    Cat(cat::Args),
    Ack(ack::Args),
    Nack(nack::Args),
    Dead(dead::Args),
    Extend(extend::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Completions(completions::Args),
    Help(help::Args),
}

fn run(globals: &Globals, command: &Command) -> Result<Exit> {
    match command {
        Command::Create(args) => create::run(globals, args),
        Command::Config(args) => config::run(globals, args),
        Command::Send(args) => send::run(globals, args),
        Command::Claim(args) => claim::run(globals, args),
        Command::Cat(args) => cat::run(globals, args),
        Command::Ack(args) => ack::run(globals, args),
        Command::Nack(args) => nack::run(globals, args),
        Command::Dead(args) => dead::run(globals, args),
        Command::Extend(args) => extend::run(globals, args),
        Command::Pause(args) => pause::run(globals, args),
        Command::Resume(args) => resume::run(globals, args),
        Command::Completions(args) => completions::run(args),
        Command::Help(args) => help::run(args),
    }
}

/// The number of the descriptor that a job holds its message by.
fn lease_fd() -> Option<i32> {
    std::env::var("MQ_LEASE_FD").ok()?.parse().ok().filter(|fd| *fd >= 10)
}

/// Parses, runs, reports.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        failure::say(&format!("a bug in mq: {panic}"));
        // Not Rust's 101: a script must be able to tell it from a job's exit code.
        std::process::exit(i32::from(Exit::Bug.code()));
    }));
    crate::fs::clear_umask();
    if let Some(fd) = lease_fd() {
        crate::fs::close_on_exec(fd);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error).into(),
    };
    output::set_color(cli.globals.color);
    match run(&cli.globals, &cli.command) {
        Ok(exit) => exit.into(),
        Err(error) if error.downcast_ref::<output::Closed>().is_some() => Exit::Done.into(),
        Err(error) => {
            failure::report(&error);
            failure::exit_of(&error).into()
        }
    }
}
