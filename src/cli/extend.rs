//! `mq extend`: a claim holds for longer.

use super::Globals;
use super::exit::Exit;
use super::receipts::Receipts;
use crate::queue::name::Lease;
use crate::time::parse_duration;
use anyhow::Result;
use std::ffi::OsString;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq extend \"$receipt\"                another lease of the same length, from now
  mq extend \"$receipt\" --lease 2h     this long, from now

The job of mq work needs none: its lease holds until it ends. Exit 6: the lease was lost already.
";

/// The arguments of `mq extend`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    receipts: Receipts,
    /// How long, from now [default: as long as it was claimed for]
    #[arg(long, value_name = "DURATION", value_parser = lease)]
    lease: Option<Duration>,
}

/// A duration that a lease can have.
pub fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if lease.as_millis() == 0 || lease > Lease::LONGEST {
        return Err(format!("'{text}' is not between 1ms and 31 years"));
    }
    Ok(lease)
}

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        Some(Args { receipts: Receipts::plain(words)?, lease: None })
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.receipts.each(globals, |queue, claim| Ok(claim.extend(queue, args.lease)?))
}
