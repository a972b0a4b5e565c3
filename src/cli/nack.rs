//! `mq nack`: the work failed; the message comes back after its backoff, or is dead-lettered.

use super::Globals;
use super::exit::Exit;
use super::receipts::Receipts;
use crate::queue::{Again, Attempt, Counting, Outcome};
use crate::time::parse_duration;
use anyhow::Result;
use std::ffi::OsString;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq nack \"$receipt\" --reason 'the printer is out of paper'
  mq nack \"$receipt\" --delay 10m              try again in ten minutes
  mq nack \"$receipt\" --uncounted --delay 0    put it back as if it had never been claimed
";

/// The arguments of `mq nack`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    receipts: Receipts,
    /// When to try again [default: the queue's backoff]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Why, for the message's history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// This attempt does not count against max_attempts
    #[arg(long)]
    uncounted: bool,
}

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        Some(Args { receipts: Receipts::plain(words)?, delay: None, reason: None, uncounted: false })
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.receipts.each(globals, |queue, claim| {
        let mut record = Attempt::new(claim.attempt(), claim.started(), Outcome::Nack);
        record.reason = args.reason.clone();
        record.uncounted = args.uncounted;
        let again = args.delay.map_or(Again::Backoff, Again::After);
        let counting = if args.uncounted { Counting::Uncounted } else { Counting::Counted };
        claim.nack(queue, again, counting, Some(record))?;
        Ok(())
    })
}
