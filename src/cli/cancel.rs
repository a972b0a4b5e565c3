//! `mq cancel`: messages that are not to be done any more are dead-lettered, by whoever holds them.

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, exit_of, report};
use super::queues::Spot;
use super::select::{Act, ById, Scope, Select};
use super::taken::{Mode, Taken};
use crate::fs::Watch;
use crate::queue::name::{Id, State};
use crate::queue::{Cancelled, Place, Queue};
use crate::time::{Time, parse_duration};
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq cancel jobs 1764000000000000 --reason 'the customer has called'
  mq ls jobs --match @example.org --ids | mq cancel jobs -
  mq cancel jobs 1764000000000000 --wait 0      ask its holder, and go on

A message that waits, or is claimed for a time by its receipt, is dead-lettered at once, with outcome cancelled. One that
mq work holds is dead-lettered by that worker, after it has stopped the job: TERM to its process group, KILL five seconds
later. Prints the id of each that is cancelled. Exit 4: not yet within --wait; the request stands. Exit 3: it was done first.
";

/// The arguments of `mq cancel`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// The messages; - reads ids from stdin, one a line
    #[arg(value_name = "ID", required = true)]
    id: Vec<String>,
    /// Why, for the message's history
    #[arg(long, value_name = "TEXT", default_value = "cancelled", hide_default_value = true)]
    reason: String,
    /// How long to wait for the holders
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    wait: Duration,
}

/// How often to look at what is held, in case an event was lost or there was none.
const POLL: Duration = Duration::from_millis(100);

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    let until = queue.disk().now().plus(args.wait);
    // The watch begins before the first request, so that no answer to it is missed.
    let watch = queue.watch().ok().flatten();
    let taken = Taken::new(globals, Mode::Real);
    let mut cancel = Cancel { queue: &queue, spot: &spot, reason: &args.reason, globals, taken, held: Vec::new() };
    let scope = Scope { walk: State::ALL.to_vec(), by_id: ById::Anywhere };
    let tally = Select::of(&args.id).each(&queue, &spot, &scope, &mut |place, _| cancel.offer(place));
    let waited = cancel.wait(watch, until);
    queue.remove_empty_buckets(State::Ready);
    cancel.taken.finish("cancelled")?;
    Ok(tally?.end().or(waited?))
}

struct Cancel<'c> {
    queue: &'c Queue,
    spot: &'c Spot,
    reason: &'c str,
    globals: &'c Globals,
    taken: Taken,
    /// What others hold, and are to let go.
    held: Vec<Place>,
}

impl Cancel<'_> {
    /// A message, where it was seen first.
    fn offer(&mut self, place: &Place) -> Result<Act> {
        Ok(match place.state {
            State::Dead => {
                self.globals.talk(&format!("{} is dead-lettered already", place.id()));
                Act::Taken
            }
            State::Done | State::Damaged => Act::Failed(self.too_late(place).into()),
            _ => match self.queue.cancel(place, self.reason) {
                Ok(Cancelled::Gone) => Act::Gone,
                Ok(cancelled) => {
                    self.came_to(place, cancelled)?;
                    Act::Taken
                }
                Err(error) => Act::Failed(error.into()),
            },
        })
    }

    fn came_to(&mut self, place: &Place, cancelled: Cancelled) -> Result<()> {
        match cancelled {
            Cancelled::Dead => self.done(place.id())?,
            Cancelled::Asked { by } => {
                let who = by.map(|pid| format!(", process {pid},")).unwrap_or_default();
                self.globals.talk(&format!("{}: its holder{who} is asked to stop the job", place.id()));
                self.held.push(place.clone());
            }
            Cancelled::Busy { .. } | Cancelled::Gone => self.held.push(place.clone()),
        }
        Ok(())
    }

    fn too_late(&self, place: &Place) -> Failure {
        let text = format!("{} in {} is {}: nothing to cancel", place.id(), self.spot.label, place.state.word());
        Failure::new(Exit::NotFound, text)
    }

    fn done(&mut self, id: Id) -> Result<()> {
        self.queue.cancellation_over(id);
        self.taken.line(id)
    }

    /// Waits until the holders have let go. The first failure's exit.
    fn wait(&mut self, mut watch: Option<Watch>, until: Time) -> Result<Exit> {
        let mut exit = Exit::Done;
        loop {
            for place in std::mem::take(&mut self.held) {
                if let Err(error) = self.look(place) {
                    exit = exit.or(exit_of(&error));
                    report(&error);
                }
            }
            let now = self.queue.disk().now();
            if self.held.is_empty() {
                return Ok(exit);
            }
            if now >= until {
                break;
            }
            let sleep = until.since(now).min(POLL);
            crate::fs::wait(&mut watch, sleep)?;
        }
        for place in &self.held {
            let by =
                self.queue.holder(place).ok().flatten().map(|pid| format!(" by process {pid}")).unwrap_or_default();
            let text = format!("{} is still held{by}: it is cancelled when it is let go", place.id());
            let failure = Failure::new(Exit::TimedOut, text);
            exit = exit.or(failure.exit);
            report(&failure.into());
        }
        Ok(exit)
    }

    /// Looks again at a message that somebody held.
    fn look(&mut self, place: Place) -> Result<()> {
        // While it is where it was, nothing has happened: one look at one name. Unless nobody holds it: then it is ours.
        if place.state == State::Claimed && self.queue.times(&place)?.is_some() && self.queue.holder(&place)?.is_some()
        {
            self.held.push(place);
            return Ok(());
        }
        let id = place.id();
        let found = self.queue.find(&BTreeSet::from([id]))?;
        let Some(now) = found.first() else {
            self.queue.cancellation_over(id);
            let text =
                format!("{id} in {} was acknowledged, or removed, before it could be cancelled", self.spot.label);
            return Err(Failure::new(Exit::NotFound, text).into());
        };
        match now.state {
            State::Dead => self.done(id),
            State::Done | State::Damaged => {
                self.queue.cancellation_over(id);
                Err(self.too_late(now).into())
            }
            _ => {
                let cancelled = self.queue.cancel(now, self.reason)?;
                match cancelled {
                    Cancelled::Dead => self.done(id),
                    _ => {
                        self.held.push(now.clone());
                        Ok(())
                    }
                }
            }
        }
    }
}
