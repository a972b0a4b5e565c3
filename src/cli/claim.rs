//! `mq claim`: takes messages for a while, and prints a receipt for each.

use super::exit::Exit;
use super::failure::{Failure, say, told};
use super::json;
use super::output::Out;
use super::queues::{Named, Spot};
use super::{Globals, extend, plain};
use crate::fs::Watch;
use crate::queue::name::Lease;
use crate::queue::{Again, Claim, Counting, Found, HeldBack, Nothing, Pause, Queue, Scout, key};
use crate::time::{Time, format_duration, parse_duration};
use anyhow::Result;
use std::ffi::OsString;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  while receipt=$(mq claim jobs); do
      if mq cat \"$receipt\" | lpr; then mq ack \"$receipt\"; else mq nack \"$receipt\"; fi
  done
  mq claim jobs --wait 30s --lease 1h      wait for a message; hold it for an hour
  mq claim jobs -n 10 --json               ten at once, with all that is known of them

Exit 1: nothing was claimable, now or within --wait. Every other failure has another code, so a loop can tell.
";

/// The arguments of `mq claim`.
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
    /// How long the claim holds unless extended [default: the queue's lease]
    #[arg(long, value_name = "DURATION", value_parser = extend::lease)]
    lease: Option<Duration>,
    /// One JSON object a message, with its receipt
    #[arg(long)]
    json: bool,
}

/// Without a watch, and in case an event was lost.
const POLL: Duration = Duration::from_secs(2);
const POLL_BLIND: Duration = Duration::from_millis(250);

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        Some(Args { queue: plain::one(words)?, count: 1, wait: None, lease: None, json: false })
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (mut queue, spot) = globals.open(&args.queue)?;
    let word = receipt_word(globals, &spot);
    let mut scout = Scout::new();
    let mut out = Out::new();
    let mut claimed = 0;
    let mut waiting = Waiting::new(&queue, args.wait)?;
    loop {
        queue.refresh()?;
        let nothing = match queue.paused()? {
            Some(pause) if args.wait.is_none() && claimed == 0 => return Err(paused(&spot, &args.queue, &pause)),
            Some(pause) => Nothing { next_due: pause.until(), ..Nothing::default() },
            None => match queue.claim(&mut scout, Lease::Timed(args.lease.unwrap_or(queue.settings().lease())))? {
                Found::Claim(claim) => {
                    let Some(claim) = queue.unless_paused(claim)? else { continue };
                    print(&queue, &spot, &word, *claim, &mut out, args)?;
                    claimed += 1;
                    if claimed == args.count {
                        return Ok(Exit::Done);
                    }
                    continue;
                }
                Found::Nothing(nothing) => nothing,
                // One was wanted, and so no pack is too large.
                Found::TooMany => Nothing::default(),
            },
        };
        if claimed > 0 {
            return Ok(Exit::Done);
        }
        if !waiting.pause(&queue, nothing)? {
            if let Some(why) = nothing.held_back {
                globals.talk(&held_back(&queue, &spot, why));
            }
            return Ok(Exit::Nothing);
        }
        scout.woken();
    }
}

/// Why a queue that is not empty gives nothing out.
fn held_back(queue: &Queue, spot: &Spot, why: HeldBack) -> String {
    let value = |name: &str| key(name).map(|key| queue.settings().value(key)).unwrap_or_default();
    match why {
        HeldBack::Rate(then) => {
            let wait = then.since(queue.disk().now());
            format!(
                "{} gives out no more than {}: the next one in {}",
                spot.label,
                value("rate"),
                format_duration(wait)
            )
        }
        HeldBack::InFlight => {
            format!("{} has {} messages claimed, as many as max_in_flight allows", spot.label, value("max_in_flight"))
        }
    }
}

/// Prints the receipt before the claim is let go; one that could not be printed is put back, uncounted.
fn print(queue: &Queue, spot: &Spot, word: &str, claim: Claim, out: &mut Out, args: &Args) -> Result<()> {
    let receipt = claim.receipt(word).to_string();
    let line = match args.json {
        true => json::claim(queue, spot, &claim, &receipt).and_then(|map| json::text(&map)),
        false => Ok(receipt),
    };
    let printed = line.and_then(|line| {
        out.line(&line)?;
        out.flush()
    });
    if let Err(error) = printed {
        let id = claim.id();
        if let Err(error) = claim.nack(queue, Again::Now, Counting::Uncounted, None) {
            say(&format!("{id} could not be put back ({error}): it comes back when its lease runs out"));
        }
        return Err(Failure::new(Exit::Io, format!("{}; {id} was put back", told(&error))).into());
    }
    Ok(())
}

/// How a receipt names its queue: by a name that the next command finds as this one did, else by an absolute path.
pub fn receipt_word(globals: &Globals, spot: &Spot) -> String {
    match spot.named {
        Named::Name if !globals.has_root() => spot.label.clone(),
        _ => spot.path.to_string_lossy().into_owned(),
    }
}

/// Nothing is claimed while the queue is paused.
pub fn paused(spot: &Spot, said: &str, pause: &Pause) -> anyhow::Error {
    let until = pause.until().map(|until| format!(" until {}", until.local())).unwrap_or_default();
    let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let failure = Failure::new(Exit::Paused, format!("{} is paused{until}{why}", spot.label));
    failure.hint(format!("mq resume {said}")).into()
}

/// Waiting for something to become claimable.
pub struct Waiting {
    until: Option<Time>,
    watch: Option<Watch>,
    /// A holder has just gone, and the kernel says so a moment before it frees the lock: look again soon.
    soon: Option<Duration>,
}

impl Waiting {
    /// The watch begins before the first look, so that nothing happens between the two unseen.
    pub fn new(queue: &Queue, wait: Option<Duration>) -> Result<Waiting> {
        let until = wait.filter(|wait| !wait.is_zero()).map(|wait| queue.disk().now().plus(wait));
        let watch = if until.is_some() { queue.watch()? } else { None };
        Ok(Waiting { until, watch, soon: None })
    }

    /// Sleeps until there may be something; `false` when the time is over.
    pub fn pause(&mut self, queue: &Queue, nothing: Nothing) -> Result<bool> {
        let Some(until) = self.until else { return Ok(false) };
        let now = queue.disk().now();
        if now >= until {
            return Ok(false);
        }
        let mut sleep = until.since(now).min(if self.watch.is_some() { POLL } else { POLL_BLIND });
        for moment in [nothing.next_due, nothing.next_expiry].into_iter().flatten() {
            sleep = sleep.min(moment.since(now));
        }
        if nothing.busy {
            sleep = sleep.min(Duration::from_millis(100));
        }
        if let Some(soon) = self.soon {
            sleep = sleep.min(soon);
            self.soon = Some(soon * 2).filter(|soon| *soon < Duration::from_millis(100));
        }
        if crate::fs::wait(&mut self.watch, sleep.max(Duration::from_millis(1)))?.closed {
            self.soon = Some(Duration::from_millis(1));
        }
        Ok(true)
    }
}
