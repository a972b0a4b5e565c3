//! Receipts on the command line: each is tried, each failure is a line, and the exit is the first one's.

use super::exit::Exit;
use super::failure::{Failure, exit_of, report};
use super::queues::disk;
use super::{Globals, input, plain};
use crate::queue::{Claim, Queue, Receipt};
use anyhow::Result;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// RECEIPT… or `-`.
#[derive(Debug, clap::Args)]
pub struct Receipts {
    /// Receipts as mq claim printed them; - reads them from stdin, one a line
    #[arg(value_name = "RECEIPT", required = true)]
    receipts: Vec<String>,
}

impl Receipts {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Receipts> {
        plain::text(words).filter(|receipts| !receipts.is_empty()).map(|receipts| Receipts { receipts })
    }

    /// Redeems each receipt and does `settle` with its claim.
    pub fn each(&self, globals: &Globals, mut settle: impl FnMut(&Queue, Claim) -> Result<()>) -> Result<Exit> {
        let mut queues: HashMap<PathBuf, Queue> = HashMap::new();
        let mut exit = Exit::Done;
        let mut any = false;
        let mut one = |text: &str| {
            let done = parse(text)
                .and_then(|receipt| {
                    let path = globals.spot(&receipt.queue)?.path;
                    if !queues.contains_key(&path) {
                        queues.insert(path.clone(), Queue::open(&disk(), &path)?);
                    }
                    Ok((receipt, path))
                })
                .and_then(|(receipt, path)| {
                    let Some(queue) = queues.get(&path) else { return Ok(()) };
                    settle(queue, queue.redeem(&receipt, super::lease_fd())?)
                });
            if let Err(error) = done {
                exit = exit.or(exit_of(&error));
                report(&error);
            }
            any = true;
        };
        for text in &self.receipts {
            if text == "-" {
                input::each_word(&mut one)?;
            } else {
                one(text);
            }
        }
        Ok(if any { exit } else { Exit::Nothing })
    }
}

/// What `mq claim` printed, or exit 2.
pub fn parse(text: &str) -> Result<Receipt> {
    let wrong = || {
        Failure::usage(format!("'{text}' is not a receipt"))
            .hint("a receipt is what mq claim prints, or $MQ_RECEIPT in a job; give it back as it is")
    };
    Ok(Receipt::parse(text).ok_or_else(wrong)?)
}
