//! `mq ack`: the work is done, the message goes away, or is kept where its queue keeps such.

use super::Globals;
use super::exit::Exit;
use super::receipts::Receipts;
use crate::queue::{Attempt, Outcome, Settled};
use anyhow::Result;
use std::ffi::OsString;

/// What is said where a message should have been kept for replay.
pub const UNKEPT: &str = "it is not kept, since there is no space in done/";

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

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        Some(Args { receipts: Receipts::plain(words)? })
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.receipts.each(globals, |queue, claim| {
        let id = claim.id();
        let record = Attempt::new(claim.attempt(), claim.started(), Outcome::Ok);
        if claim.ack_recorded(queue, Some(record))? == Settled::Unkept {
            globals.talk(&format!("{id} acknowledged; {UNKEPT}"));
        }
        Ok(())
    })
}
