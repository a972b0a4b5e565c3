//! `mq resume`: ends a pause.

use super::Globals;
use super::exit::Exit;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq resume jobs            workers that wait go on at once
";

/// The arguments of `mq resume`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    if !queue.resume()? {
        globals.talk(&format!("{} was not paused", spot.label));
    }
    Ok(Exit::Done)
}
