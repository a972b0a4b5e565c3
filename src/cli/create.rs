//! `mq create`: makes a queue, or finds that it is there as asked.

use super::Globals;
use super::exit::Exit;
use super::queues::disk;
use super::settings::SettingFlags;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq create jobs                                a queue by name, under the root
  mq create ./spool --mode 2770                 a queue at a path, shared with a group
  mq create mails --max-attempts 5 --backoff 10s..30m

A queue that exists with these settings is fine (exit 0); with others, the difference is shown (exit 8).
";

/// The arguments of `mq create`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let spot = globals.spot(&args.queue)?;
    globals.create(&disk(), &spot, &args.settings.settings()?)?;
    Ok(Exit::Done)
}
