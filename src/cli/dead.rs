//! `mq dead`: a claimed message goes to the dead-letter queue at once.

use super::Globals;
use super::exit::Exit;
use super::receipts::Receipts;
use crate::queue::{Attempt, Outcome};
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq dead \"$receipt\" --reason 'no such customer'
  mq dead \"$MQ_RECEIPT\" --reason 'not my job'     from inside a job of mq work
";

/// The arguments of `mq dead`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    receipts: Receipts,
    /// Why, for the message's history and mq dlq ls
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.receipts.each(globals, |queue, claim| {
        let mut record = Attempt::new(claim.attempt(), claim.started(), Outcome::Dead);
        record.reason = args.reason.clone();
        claim.dead(queue, Some(record))?;
        Ok(())
    })
}
