//! `mq pause`: nothing more is claimed until `mq resume`.

use super::Globals;
use super::exit::Exit;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq pause jobs --reason 'database maintenance'
  mq resume jobs

What is claimed goes on to its end, and sending goes on. Workers wait; mq work --drain and mq claim exit 7.
";

/// The arguments of `mq pause`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// Why, for mq stats and for those who wait
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, _) = globals.open(&args.queue)?;
    queue.pause(args.reason.clone())?;
    Ok(Exit::Done)
}
