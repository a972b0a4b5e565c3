//! SELECT: which messages a command means. Ids, ids from stdin, or all, narrowed by what is known of each.
//!
//! Several ids: all are tried, each failure is a line on stderr, and the exit is the first one's. Nothing here collects:
//! ids are looked up some thousands at a time, all others are met in one walk over the names.

mod narrow;

use super::exit::Exit;
use super::failure::{Failure, exit_of, report};
use super::input;
use super::look::Look;
use super::queues::Spot;
use crate::queue::name::{Id, State};
use crate::queue::{Error, Outcome, Place, Queue};
use crate::time::{Time, parse_duration};
use anyhow::Result;
use narrow::Kept;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

/// ID… | - | --all, narrowed.
#[derive(Debug, clap::Args)]
pub struct Select {
    /// Only these messages; - reads ids from stdin, one a line
    #[arg(value_name = "ID")]
    id: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "id", help_heading = "Selecting")]
    all: bool,
    /// Only with TEXT in the body, in a header's value or in the reason
    #[arg(long = "match", value_name = "TEXT", value_parser = text, help_heading = "Selecting")]
    matching: Option<String>,
    /// Only whose last attempt ended so: exit, signal, timeout, lost, …
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome, help_heading = "Selecting")]
    outcome: Vec<Outcome>,
    /// Only sent longer ago than this; dead ones: dead for longer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Selecting")]
    older_than: Option<Duration>,
    /// At most N, the first in delivery order
    #[arg(short = 'n', value_name = "N", help_heading = "Selecting")]
    count: Option<u64>,
}

/// `--state`, for commands that act on more than one.
#[derive(Debug, clap::Args)]
pub struct States {
    /// Only in these states: ready, delayed, claimed, dead, done, damaged
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = state, help_heading = "Selecting")]
    state: Vec<State>,
}

/// Where a command looks.
#[derive(Clone, Debug)]
pub struct Scope {
    /// For all: in this order.
    pub walk: Vec<State>,
    pub by_id: ById,
}

/// Where a message may be that is named by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ById {
    Anywhere,
    /// Elsewhere it is not selected.
    Walked,
    /// Elsewhere it is not what the command is for: an error.
    Strictly,
}

/// What became of one selected message.
#[derive(Debug)]
pub enum Act {
    Taken,
    /// Somebody else has moved or removed it meanwhile.
    Gone,
    /// It failed, and the others are tried all the same.
    Failed(anyhow::Error),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub taken: u64,
    /// The first failure's.
    pub exit: Exit,
}

impl Tally {
    fn failed(&mut self, error: &anyhow::Error) {
        self.exit = self.exit.or(exit_of(error));
        report(error);
    }

    /// Nothing selected is exit 1.
    pub fn end(self) -> Exit {
        self.exit.or(if self.taken == 0 { Exit::Nothing } else { Exit::Done })
    }
}

impl States {
    pub fn said(&self) -> bool {
        !self.state.is_empty()
    }

    /// The states that were asked for, else these; in the order of delivery.
    pub fn scope(&self, otherwise: &[State]) -> Scope {
        match self.said() {
            false => Scope { walk: otherwise.to_vec(), by_id: ById::Anywhere },
            true => {
                let walk = State::ALL.into_iter().filter(|state| self.state.contains(state)).collect();
                Scope { walk, by_id: ById::Walked }
            }
        }
    }
}

impl Select {
    /// Exactly these.
    pub fn of(ids: &[String]) -> Select {
        let (matching, older_than, count) = (None, None, None);
        Select { id: ids.to_vec(), all: false, matching, outcome: Vec::new(), older_than, count }
    }

    /// Whether anything at all was said about which messages.
    pub fn said(&self) -> bool {
        self.narrowed() || self.all || self.count.is_some()
    }

    /// Whether some are meant and others not, however many there are.
    pub fn narrowed(&self) -> bool {
        !self.id.is_empty() || self.matching.is_some() || !self.outcome.is_empty() || self.older_than.is_some()
    }

    pub fn all(&self) -> bool {
        self.all
    }

    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// Who deletes or moves says which.
    pub fn demand(&self, command: &str, said: bool) -> Result<()> {
        if said || self.said() {
            return Ok(());
        }
        let hint = "ids, - for ids from stdin, --match, --older-than, … or --all";
        Err(Failure::usage(format!("{command}: which messages?")).hint(hint).into())
    }

    /// Calls `act` with every selected message, in delivery order or, for ids, in the order they were given. What was read
    /// of it for narrowing comes along. An error of `act` itself ends it all.
    pub fn each(
        &self,
        queue: &Queue,
        spot: &Spot,
        scope: &Scope,
        act: &mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    ) -> Result<Tally> {
        let (tally, ended) = self.each_until(queue, spot, scope, act);
        ended.map(|()| tally)
    }

    /// [`Select::each`], with the tally also where an error has ended it.
    pub fn each_until(
        &self,
        queue: &Queue,
        spot: &Spot,
        scope: &Scope,
        act: &mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    ) -> (Tally, Result<()>) {
        let tally = Tally { taken: 0, exit: Exit::Done };
        let now = queue.disk().now();
        let mut run = Run { select: self, queue, spot, scope, act, now, tally, seen: HashSet::new() };
        let ended = if self.id.is_empty() { run.walk() } else { run.ids() };
        (run.tally, ended)
    }
}

/// How many ids are looked up in one walk over the names.
const AT_ONCE: usize = 16 << 10;
/// How often a message that moves away under our hands is looked for again.
const TRIES: u32 = 3;

/// One selection going on.
struct Run<'r> {
    select: &'r Select,
    queue: &'r Queue,
    spot: &'r Spot,
    scope: &'r Scope,
    act: &'r mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    now: Time,
    tally: Tally,
    /// Ids that were given already.
    seen: HashSet<Id>,
}

/// What was given as an id.
enum Given {
    Id(Id),
    Wrong(String),
}

/// Whether the message was still where it was seen.
#[derive(PartialEq, Eq)]
enum Offered {
    Done,
    Gone,
}

impl Run<'_> {
    fn full(&self) -> bool {
        self.select.count.is_some_and(|count| self.tally.taken >= count)
    }

    fn walk(&mut self) -> Result<()> {
        for &state in &self.scope.walk {
            if self.full() {
                return Ok(());
            }
            let mut stopped = None;
            let walked = self.queue.each_place(state, |place, _| match self.offer(&place) {
                Ok(_) if self.full() => Ok(ControlFlow::Break(())),
                Ok(_) => Ok(ControlFlow::Continue(())),
                Err(error) => {
                    stopped = Some(error);
                    Ok(ControlFlow::Break(()))
                }
            });
            if let Some(error) = stopped {
                return Err(error);
            }
            // A directory that can't be read does not hide the others, and is never taken for an empty one.
            if let Err(error) = walked {
                self.tally.failed(&error.into());
            }
        }
        Ok(self.queue.still_here()?)
    }

    fn ids(&mut self) -> Result<()> {
        let mut batch = Vec::new();
        for text in &self.select.id {
            if text != "-" {
                self.given(text, &mut batch)?;
                continue;
            }
            let mut going = Ok(());
            input::each_word(&mut |word| {
                if going.is_ok() {
                    going = self.given(word, &mut batch);
                }
            })?;
            going?;
        }
        self.look_up(batch)
    }

    fn given(&mut self, text: &str, batch: &mut Vec<Given>) -> Result<()> {
        match Id::parse(text) {
            Some(id) if self.seen.insert(id) => batch.push(Given::Id(id)),
            Some(_) => (),
            None => batch.push(Given::Wrong(text.to_string())),
        }
        if batch.len() >= AT_ONCE { self.look_up(std::mem::take(batch)) } else { Ok(()) }
    }

    fn look_up(&mut self, mut batch: Vec<Given>) -> Result<()> {
        for _ in 0..TRIES {
            if batch.is_empty() || self.full() {
                return Ok(());
            }
            let ids: BTreeSet<Id> = batch.iter().filter_map(Given::id).collect();
            let mut places: HashMap<Id, Vec<Place>> = HashMap::new();
            if !ids.is_empty() {
                for place in self.queue.find(&ids)? {
                    places.entry(place.id()).or_default().push(place);
                }
            }
            let mut moved = Vec::new();
            for given in batch {
                if self.full() {
                    return Ok(());
                }
                let id = match given {
                    Given::Id(id) => id,
                    Given::Wrong(text) => {
                        let failure = Failure::usage(format!("'{text}' is not an id"));
                        self.tally.failed(&failure.hint("an id is the 16 digits that mq ls shows first").into());
                        continue;
                    }
                };
                match places.get(&id) {
                    Some(places) if self.named(id, places)? == Offered::Gone => moved.push(Given::Id(id)),
                    Some(_) => (),
                    None => {
                        let missing = format!("no message {id} in {}", self.spot.label);
                        self.tally.failed(&Failure::new(Exit::NotFound, missing).into());
                    }
                }
            }
            batch = moved;
        }
        for id in batch.iter().filter_map(Given::id) {
            self.tally.failed(&Error::Raced { id }.into());
        }
        Ok(())
    }

    /// A message that was named by its id, wherever it is: more than once only for a twin, or while it moves.
    fn named(&mut self, id: Id, places: &[Place]) -> Result<Offered> {
        let mut gone = false;
        let mut met = false;
        for place in places {
            if self.scope.by_id != ById::Anywhere && !self.scope.walk.contains(&place.state) {
                continue;
            }
            match self.offer(place)? {
                Offered::Done => met = true,
                Offered::Gone => gone = true,
            }
        }
        if met {
            return Ok(Offered::Done);
        }
        if !gone
            && self.scope.by_id == ById::Strictly
            && let (Some(place), Some(wanted)) = (places.first(), self.scope.walk.first())
        {
            let other = format!("{id} in {} is {}, not {}", self.spot.label, place.state.word(), wanted.word());
            self.tally.failed(&Failure::new(Exit::NotFound, other).into());
        }
        Ok(if gone { Offered::Gone } else { Offered::Done })
    }

    fn offer(&mut self, place: &Place) -> Result<Offered> {
        let look = match self.select.keeps(self.queue, place, self.now) {
            Ok(Kept::Yes(look)) => look.map(|look| *look),
            Ok(Kept::No) => return Ok(Offered::Done),
            Ok(Kept::Gone) => return Ok(Offered::Gone),
            Err(error) => {
                self.tally.failed(&error.into());
                return Ok(Offered::Done);
            }
        };
        match (self.act)(place, look)? {
            Act::Taken => self.tally.taken += 1,
            Act::Gone => return Ok(Offered::Gone),
            Act::Failed(error) => self.tally.failed(&error),
        }
        Ok(Offered::Done)
    }
}

impl Given {
    fn id(&self) -> Option<Id> {
        match self {
            Given::Id(id) => Some(*id),
            Given::Wrong(_) => None,
        }
    }
}

/// An empty text is in everything: a variable that was never set must not select all.
fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("an empty text would match everything".into()) } else { Ok(text.into()) }
}

fn state(word: &str) -> Result<State, String> {
    State::parse(word).ok_or_else(|| format!("the states are {}", State::ALL.map(State::word).join(", ")))
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| format!("the outcomes are {}", Outcome::ALL.map(Outcome::word).join(", ")))
}
