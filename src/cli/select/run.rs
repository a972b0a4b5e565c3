//! Going through a selection: one walk over the names, or the ids that were given, some thousands at a time.

use super::narrow::Kept;
use super::{Act, ById, Scope, Select, Tally};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::look::Look;
use crate::cli::queues::Spot;
use crate::queue::name::Id;
use crate::queue::{Error, Place, Queue};
use crate::time::Time;
use anyhow::Result;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

/// How many ids are looked up in one walk over the names.
const AT_ONCE: usize = 16 << 10;
/// How often a message that moves away under our hands is looked for again.
const TRIES: u32 = 3;

/// One selection going on.
pub(super) struct Run<'r> {
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

impl<'r> Run<'r> {
    pub fn new(
        select: &'r Select,
        queue: &'r Queue,
        spot: &'r Spot,
        scope: &'r Scope,
        act: &'r mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    ) -> Run<'r> {
        let (now, tally) = (queue.disk().now(), Tally { taken: 0, exit: Exit::Done });
        Run { select, queue, spot, scope, act, now, tally, seen: HashSet::new() }
    }

    /// How it went, also where an error has ended it.
    pub fn go(mut self) -> (Tally, Result<()>) {
        let ended = if self.select.id.is_empty() { self.walk() } else { self.ids() };
        (self.tally, ended)
    }

    fn full(&self) -> bool {
        self.select.count.is_some_and(|count| self.tally.taken >= count)
    }

    fn walk(&mut self) -> Result<()> {
        if self.full() {
            return Ok(());
        }
        let mut stopped = None;
        let unread = self.queue.each_place_in(&self.scope.walk, |place, _| match self.offer(&place) {
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
        for error in unread {
            self.tally.failed(&error.into());
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
            Act::Passed => (),
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
