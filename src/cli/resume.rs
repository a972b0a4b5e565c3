//! `mq resume`: ends a pause.

use super::Globals;
use super::exit::Exit;
use anyhow::Result;

/// The arguments of `mq resume`.
#[derive(Debug, clap::Args)]
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
