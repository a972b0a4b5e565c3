//! `mq pop`: prints messages and acknowledges them, each once its bytes are out of our hands.

use super::cat::is_binary;
use super::claim::{Waiting, paused};
use super::exit::Exit;
use super::failure::{Failure, exit_of, say, told};
use super::input::Pieces;
use super::output::{Out, on_terminal};
use super::{Globals, plain};
use crate::queue::name::Lease;
use crate::queue::{Again, Claim, Counting, Error, Found, Message, Nothing, Queue, Scout};
use crate::time::parse_duration;
use anyhow::Result;
use std::ffi::OsString;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq pop jobs                              the next message, gone once it is printed
  mq pop jobs --wait 30s > next            wait for one
  mq pop jobs -n 1000 -0 | xargs -0 -n1 echo

A message is acknowledged after its bytes were written to stdout and flushed. What could not be written is put back at
once, uncounted (exit 74). Killed between the two, it is delivered again; but what a reader does with what it has read, or
whether a file on disk survives a power cut, nobody asks: mq work, or claim and ack, wait for the work to be done.
Exit 1: nothing was claimable, now or within --wait. Exit 65: the next message was damaged, and was set aside.
";

/// The arguments of `mq pop`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// At most so many messages
    #[arg(short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How long to wait for the first one
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// End each body with a NUL
    #[arg(short = '0', long)]
    null: bool,
}

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        Some(Args { queue: plain::one(words)?, count: 1, wait: None, null: false })
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (mut queue, spot) = globals.open(&args.queue)?;
    let mut scout = Scout::new();
    let mut popped = 0;
    let mut waiting = Waiting::new(&queue, args.wait)?;
    loop {
        queue.refresh()?;
        let nothing = match queue.paused()? {
            Some(pause) if args.wait.is_none() && popped == 0 => return Err(paused(&spot, &args.queue, &pause)),
            Some(pause) => Nothing { next_due: pause.until(), ..Nothing::default() },
            None => match queue.claim(&mut scout, Lease::Live)? {
                Found::Claim(claim) => {
                    let Some(claim) = queue.unless_paused(claim)? else { continue };
                    pop(&queue, *claim, args)?;
                    popped += 1;
                    if popped == args.count {
                        return Ok(Exit::Done);
                    }
                    continue;
                }
                Found::Nothing(nothing) => nothing,
                // One was wanted, and so no pack is too large.
                Found::TooMany => Nothing::default(),
            },
        };
        if popped > 0 {
            return Ok(Exit::Done);
        }
        if !waiting.pause(&queue, nothing)? {
            return Ok(Exit::Nothing);
        }
        scout.woken();
    }
}

/// Prints one, then acknowledges it. The lease is the lock that we hold, so a kill at any moment frees the message.
fn pop(queue: &Queue, claim: Claim, args: &Args) -> Result<()> {
    let id = claim.id();
    match print(claim.message(), args) {
        Ok(()) => match claim.ack(queue) {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = anyhow::Error::from(error);
                let text = format!("{id} was printed, but not acknowledged: it comes again: {}", told(&error));
                Err(Failure::new(exit_of(&error), text).into())
            }
        },
        Err(error) => {
            if let Some(Error::Damaged { why, .. }) = error.downcast_ref::<Error>() {
                claim.set_aside(queue, why)?;
                return Err(Failure::new(Exit::Data, format!("{}; {id} was set aside", told(&error))).into());
            }
            if let Err(error) = claim.nack(queue, Again::Now, Counting::Uncounted, None) {
                say(&format!("{id} could not be put back ({error}): the next claim of anybody takes it back"));
            }
            let (exit, hint) = match error.downcast_ref::<Failure>() {
                Some(failure) => (failure.exit, failure.hint.clone()),
                None => (Exit::Io, None),
            };
            let failure = Failure::new(exit, format!("{}; {id} was put back", told(&error)));
            Err(Failure { hint, ..failure }.into())
        }
    }
}

/// A body that fails its check prints nothing: a large one is read to its end before the first byte goes out.
fn print(message: &Message, args: &Args) -> Result<()> {
    if on_terminal() && is_binary(&message.start(64 << 10)?) {
        let failure = Failure::new(Exit::Data, "the body is binary, and stdout is a terminal");
        return Err(failure.hint("mq pop … | hexdump -C, or > FILE").into());
    }
    let mut out = Out::new();
    match message.small_body() {
        Some(body) => out.bytes(body)?,
        None => {
            each_chunk(message, |_| Ok(()))?;
            each_chunk(message, |bytes| out.bytes(bytes))?;
        }
    }
    if args.null {
        out.bytes(b"\0")?;
    }
    out.flush()
}

fn each_chunk(message: &Message, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut reader = message.reader();
    let mut pieces = Pieces::new();
    loop {
        match pieces.next(|room| reader.read(room))? {
            [] => return Ok(()),
            piece => each(piece)?,
        }
    }
}
