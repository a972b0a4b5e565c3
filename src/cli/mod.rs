//! All that a person types and reads. One file a command, each with its `Args` and its `run`; every command is registered
//! in `commands.rs`, once.

pub mod commands;
pub mod exit;
pub mod failure;
pub mod output;
pub mod queues;

mod ack;
mod cancel;
mod cat;
mod claim;
mod complete;
mod completions;
mod config;
mod create;
mod dead;
mod dlq;
mod extend;
mod fsck;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod help;
mod input;
mod json;
mod list;
mod look;
mod ls;
mod r#move;
mod nack;
mod pause;
mod plain;
mod pop;
mod progress;
mod receipts;
mod replay;
mod resume;
mod rm;
mod select;
mod send;
mod settings;
mod show;
mod stats;
mod table;
mod taken;
mod target;
mod usage;
mod vigil;
mod wait;
mod work;

use clap::{Args, FromArgMatches, Parser};
use exit::Exit;
use std::path::PathBuf;

/// A message queue for shell scripts and cron jobs: one binary, no server, a queue is a directory
#[derive(Debug, Parser)]
#[command(name = "mq", version, disable_help_subcommand = true, subcommand_required = true, max_term_width = 100)]
#[command(infer_subcommands = false, arg_required_else_help = true, before_long_help = help::EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: commands::Command,
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

/// The number of the descriptor that a job holds its message by.
fn lease_fd() -> Option<i32> {
    std::env::var("MQ_LEASE_FD").ok()?.parse().ok().filter(|fd| *fd >= 10)
}

/// Parses, runs, reports.
pub fn main() -> Exit {
    std::panic::set_hook(Box::new(|panic| {
        failure::say(&format!("a bug in mq: {panic}"));
        // Not Rust's 101: a script must be able to tell it from a job's exit code.
        std::process::exit(i32::from(Exit::Bug.code()));
    }));
    crate::fs::clear_umask();
    crate::fs::survive_file_size_limit();
    if let Some(fd) = lease_fd() {
        crate::fs::close_on_exec(fd);
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    output::set_color(cli.globals.color);
    match commands::run(&cli.globals, &cli.command) {
        Ok(exit) => exit,
        Err(error) if error.downcast_ref::<output::Closed>().is_some() => Exit::Done,
        Err(error) => {
            failure::report(&error);
            failure::exit_of(&error)
        }
    }
}

/// What is plain is read without clap, and what else is right is parsed by the one command that the first word names. All else is
/// left to the whole: it knows what to say.
fn parse() -> Result<Cli, clap::Error> {
    if let Some(cli) = plain::parse(std::env::args_os().skip(1)) {
        return Ok(cli);
    }
    let bare = || clap::Command::new("mq").disable_help_subcommand(true);
    let first = std::env::args_os().nth(1);
    let alone = first.as_deref().and_then(|word| commands::alone(bare(), word.to_str()?));
    let found = alone.and_then(|command| {
        let matches = Globals::augment_args(command).try_get_matches().ok()?;
        Cli::from_arg_matches(&matches).ok()
    });
    found.map_or_else(Cli::try_parse, Ok)
}
