//! `mq cat`: the body of a message, byte for byte.

use super::exit::Exit;
use super::failure::Failure;
use super::input::Pieces;
use super::output::{Closed, Out, on_terminal};
use super::{Globals, receipts};
use crate::queue::name::{Id, State};
use crate::queue::{Error, Message};
use anyhow::Result;
use std::collections::BTreeSet;

pub const EXAMPLES: &str = "\
Examples:
  mq cat \"$receipt\" | gunzip              what a claim holds
  mq cat jobs 1764000000000000            a message in any state, without disturbing it
";

/// The arguments of `mq cat`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A receipt from mq claim, or a queue
    #[arg(value_name = "RECEIPT|QUEUE")]
    from: String,
    /// The message's id, with a queue
    id: Option<String>,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    match &args.id {
        None if args.from.contains(':') => {
            let receipt = receipts::parse(&args.from)?;
            let (queue, _) = globals.open(&receipt.queue)?;
            let claim = queue.redeem(&receipt, super::lease_fd())?;
            print(claim.message())?;
        }
        None => {
            return Err(Failure::usage("cat: which message?")
                .hint("mq cat RECEIPT, or mq cat QUEUE ID; mq ls QUEUE lists ids")
                .into());
        }
        Some(text) => {
            let (queue, spot) = globals.open(&args.from)?;
            let id = Id::parse(text).ok_or_else(|| {
                Failure::usage(format!("'{text}' is not an id")).hint("an id is the 16 digits that mq ls shows first")
            })?;
            // It may move while we reach for it: then look again.
            for _ in 0..3 {
                let places = queue.find(&BTreeSet::from([id]))?;
                let Some(place) = places.iter().find(|place| place.state != State::Damaged).or(places.first()) else {
                    break;
                };
                if let Some(message) = queue.read(place)? {
                    print(&message)?;
                    return Ok(Exit::Done);
                }
            }
            return Err(Failure::new(Exit::NotFound, format!("no message {id} in {}", spot.label)).into());
        }
    }
    Ok(Exit::Done)
}

fn print(message: &Message) -> Result<()> {
    let mut out = Out::new();
    if on_terminal() {
        let start = message.start(64 << 10)?;
        if is_binary(&start) {
            let failure = Failure::new(Exit::Data, "the body is binary, and stdout is a terminal");
            return Err(failure.hint("mq cat … | hexdump -C, or > FILE").into());
        }
    }
    let mut reader = message.reader();
    let mut pieces = Pieces::new();
    loop {
        let piece = match pieces.next(|room| reader.read(room)) {
            Ok([]) => break,
            Ok(piece) => piece,
            Err(error @ Error::Damaged { .. }) => {
                // What came before has been printed: say so with the exit code.
                let _ = out.flush();
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        match out.bytes(piece) {
            Err(error) if error.downcast_ref::<Closed>().is_some() => return Err(error),
            written => written?,
        }
    }
    out.flush()
}

/// Bytes that are not text, or that a terminal would obey.
pub fn is_binary(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // Cut in the middle of a character is still text.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return true,
    };
    text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
}
