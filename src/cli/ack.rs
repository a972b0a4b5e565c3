//! `mq ack`: the work is done, the message goes away.

use super::Globals;
use super::exit::Exit;
use super::receipts::Receipts;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  receipt=$(mq claim jobs) && mq cat \"$receipt\" && mq ack \"$receipt\"
  mq claim jobs -n 100 | tee receipts; mq ack - < receipts

Exit 6: the lease was lost before this came; somebody else has or had the message.
";

/// The arguments of `mq ack`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    receipts: Receipts,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.receipts.each(globals, |queue, claim| {
        claim.ack(queue)?;
        Ok(())
    })
}
