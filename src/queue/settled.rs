//! What became of messages that somebody waits for. Reads names and `seq`; changes nothing, locks nothing.

use super::Queue;
use super::browse::{Order, Place};
use super::error::Result;
use super::name::{Id, State, home};
use super::seq;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Messages that are waited for: where each was seen last.
#[derive(Debug, Default)]
pub struct Awaited {
    left: HashMap<Id, Option<Place>>,
    ended: Vec<Id>,
}

/// Where a message may be, in the order in which it moves, with `claimed/` twice, through which all of them go.
const WAY: [State; 7] =
    [State::Claimed, State::Ready, State::Delayed, State::Claimed, State::Dead, State::Done, State::Damaged];
/// A message that moves from a directory not yet read to one already read is missed; so many times in a row, hardly.
const ROUNDS: u32 = 4;

impl Awaited {
    pub fn new(ids: impl IntoIterator<Item = Id>) -> Awaited {
        Awaited { left: ids.into_iter().map(|id| (id, None)).collect(), ended: Vec::new() }
    }

    /// How many are neither acknowledged nor dead as far as is known.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Those that ended badly: dead-lettered, or set aside as damaged.
    pub fn ended(&self) -> &[Id] {
        &self.ended
    }

    /// Looks where they are now. A message that stands where it was seen last costs one look at its name.
    ///
    /// One that is nowhere in the queue is done: acknowledged, removed, or moved to another queue.
    pub fn look(&mut self, queue: &Queue) -> Result<()> {
        let mut moved = BTreeSet::new();
        for (id, place) in &self.left {
            if !matches!(place, Some(place) if queue.is_at(place)?) {
                moved.insert(*id);
            }
        }
        if moved.is_empty() {
            return queue.still_here();
        }
        let mut found: HashMap<Id, Place> = HashMap::new();
        for place in self.search(queue, &moved)? {
            // A twin, or one that moved meanwhile: as long as one of them may still be delivered, it is waited for.
            let settled = |place: &Place| matches!(place.state, State::Dead | State::Done | State::Damaged);
            if found.get(&place.id()).is_none_or(settled) {
                found.insert(place.id(), place);
            }
        }
        for id in moved {
            match found.remove(&id) {
                None => drop(self.left.remove(&id)),
                Some(place) => match place.state {
                    State::Ready | State::Delayed | State::Claimed => drop(self.left.insert(id, Some(place))),
                    State::Done => drop(self.left.remove(&id)),
                    State::Dead | State::Damaged => {
                        self.left.remove(&id);
                        self.ended.push(id);
                    }
                },
            }
        }
        Ok(())
    }

    /// Near their homes where those are known, so that the depth of the queue costs nothing; else everywhere.
    fn search(&self, queue: &Queue, ids: &BTreeSet<Id>) -> Result<Vec<Place>> {
        let known = |id| {
            let place = self.left.get(id).and_then(Option::as_ref)?;
            // One that stands in a pack may come out of it anywhere.
            (place.name.group.is_none() && place.in_pack.is_none()).then_some(place)
        };
        let (near, far): (Vec<Id>, Vec<Id>) = ids.iter().partition(|id| known(id).is_some());
        let mut found = queue.find_near(&near.iter().filter_map(known).collect::<Vec<_>>())?;
        if !far.is_empty() {
            found.extend(queue.find(&far.into_iter().collect())?);
        }
        Ok(found)
    }
}

impl Queue {
    /// The last id that was given out, as far as is known; `None` for a queue that has given out none.
    pub fn last_id(&self) -> Result<Option<Id>> {
        seq::last(self)
    }

    /// Whether nothing is ready, delayed or claimed.
    pub fn is_idle(&self) -> Result<bool> {
        for state in [State::Ready, State::Delayed, State::Claimed].into_iter().cycle().take(3 * ROUNDS as usize) {
            let mut any = false;
            self.each_file(state, |_, _| {
                any = true;
                Ok(ControlFlow::Break(()))
            })?;
            if any {
                return Ok(false);
            }
        }
        self.still_here()?;
        Ok(true)
    }

    fn is_at(&self, place: &Place) -> Result<bool> {
        let Some(dir) = self.dir_of(place)? else { return Ok(false) };
        match self.disk.stat_at(&dir, &place.file_name) {
            Err(error) if error.missing() => Ok(false),
            stat => Ok(stat.map(|_| true)?),
        }
    }

    /// [`Queue::find`] for messages that were seen before: of the buckets, only their homes are read.
    fn find_near(&self, seen: &[&Place]) -> Result<Vec<Place>> {
        let mut missing: HashMap<Id, &Place> = seen.iter().map(|place| (place.id(), *place)).collect();
        let mut found: Vec<Place> = Vec::new();
        for _ in 0..ROUNDS {
            for state in WAY {
                if missing.is_empty() {
                    break;
                }
                let mut each = |place: Place, _: &_| {
                    if missing.contains_key(&place.id()) {
                        found.push(place);
                    }
                    Ok(ControlFlow::Continue(()))
                };
                if matches!(state, State::Ready | State::Dead | State::Done) {
                    let homes: BTreeSet<PathBuf> = missing.values().map(|it| home(state, &it.name, None)).collect();
                    for below in homes {
                        if let Some(dir) = self.maybe_dir(&below)? {
                            let _ = self.each_in(state, Order::Delivery, &dir, &mut each)?;
                        }
                    }
                } else {
                    self.each_place(state, each)?;
                }
                for place in &found {
                    missing.remove(&place.id());
                }
            }
        }
        self.still_here()?;
        Ok(found)
    }
}
