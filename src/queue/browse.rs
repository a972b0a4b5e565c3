//! Looking without touching: the names in a queue, state by state, in delivery order. Opens nothing, locks nothing.

mod one;
mod ready;

pub use one::Times;

use super::Queue;
use super::error::{Error, Result};
use super::name::{self, ClaimedName, Id, Lease, Name, State, ready_priority};
use crate::fs::{Dir, Kind};
use crate::time::Time;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// One message as its name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub state: State,
    pub name: Name,
    /// In `delayed/`: not before then.
    pub due: Option<Time>,
    /// In `claimed/`: by what lease.
    pub claimed: Option<ClaimedName>,
    /// Its file, or that of its pack.
    pub file_name: String,
    /// Its index in that pack's file.
    pub in_pack: Option<u32>,
}

impl Place {
    pub fn id(&self) -> Id {
        self.name.id
    }

    /// The directory, below the queue's, in which its file stands; for a message that waits in its group this is not it.
    pub(super) fn home(&self) -> PathBuf {
        match &self.claimed {
            Some(claimed) => claimed.home(),
            None if self.state == State::Ready && self.in_pack.is_some() => ready_priority(self.name.priority),
            None => name::home(self.state, &self.name, self.due),
        }
    }

    pub(super) fn parse(state: State, file_name: &str) -> Option<Place> {
        let (name, due, claimed) = match state {
            State::Ready | State::Dead | State::Done => {
                // A pack does not stand in a bucket.
                (Name::parse(file_name).filter(|name| name.pack.is_none())?, None, None)
            }
            State::Delayed => Name::parse_delayed(file_name).map(|(due, name)| (name, Some(due), None))?,
            State::Claimed => {
                ClaimedName::parse(file_name).map(|claimed| (claimed.name.clone(), None, Some(claimed)))?
            }
            // Whatever it is, it is one thing that was set aside.
            State::Damaged => (Name { pack: None, ..super::damaged::damaged_name(file_name)? }, None, None),
        };
        Some(Place { state, name, due, claimed, file_name: file_name.to_string(), in_pack: None })
    }

    /// A pack that stands in `ready/P`.
    pub(super) fn parse_pack(file_name: &str) -> Option<Place> {
        let name = Name::parse(file_name).filter(|name| name.pack.is_some())?;
        let file_name = file_name.to_string();
        Some(Place { state: State::Ready, name, due: None, claimed: None, file_name, in_pack: None })
    }

    /// One message of the pack that this is.
    pub(super) fn one_of_pack(&self, index: u32) -> Place {
        let mut name = self.name.of_packed(index);
        let front = self.claimed.as_ref().is_some_and(|claimed| matches!(claimed.lease, Lease::Front(_)));
        if front && index > self.name.window().start {
            // It waits, and what the name counts has not begun for it.
            name.attempts = name.attempts.previous();
        }
        Place { name, in_pack: Some(index), ..self.clone() }
    }
}

/// How often to look where nothing was found, and something may have moved meanwhile.
pub(super) const LOOKS: u32 = 2;

/// How many names are sorted at once: a directory with more is read several times, so that memory stays bounded.
const SORTED_AT_ONCE: usize = 32 << 10;

/// In which order the names of a bucket are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Delivery,
    Any,
}

/// What is done with each message or pack; a break ends it.
pub(super) type Each<'e> = &'e mut dyn FnMut(Place, &Dir) -> Result<ControlFlow<()>>;

impl Queue {
    /// Calls `each` with every message of a state, in the order in which they would be delivered, until it breaks. Messages
    /// that move meanwhile may be seen twice or not at all.
    pub fn each_place(&self, state: State, mut each: impl FnMut(Place, &Dir) -> Result<ControlFlow<()>>) -> Result<()> {
        self.each_file(state, |place, dir| {
            if place.name.pack.is_none() {
                return each(place, dir);
            }
            for index in place.name.window() {
                if each(place.one_of_pack(index), dir)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// [`Queue::each_place`] for several states, one after the other. Where there was nothing in any of them all are looked at
    /// again: what goes back to one that was read, as from a worker that is lost, is in none.
    ///
    /// What can't be read hides nothing of the others; it comes back.
    pub fn each_place_in(
        &self,
        states: &[State],
        mut each: impl FnMut(Place, &Dir) -> Result<ControlFlow<()>>,
    ) -> Vec<Error> {
        let (mut met, mut broken) = (false, false);
        for _ in 0..LOOKS {
            let mut failed = Vec::new();
            for &state in states {
                let read = self.each_place(state, |place, dir| {
                    met = true;
                    let then = each(place, dir)?;
                    broken |= then.is_break();
                    Ok(then)
                });
                failed.extend(read.err());
                if broken {
                    return failed;
                }
            }
            if met || states.len() == 1 || !failed.is_empty() {
                return failed;
            }
        }
        Vec::new()
    }

    /// [`Queue::each_place`], with a pack as one.
    pub fn each_file(&self, state: State, mut each: impl FnMut(Place, &Dir) -> Result<ControlFlow<()>>) -> Result<()> {
        self.every_file(state, Order::Delivery, &mut each)
    }

    /// [`Queue::each_file`] in any order within a bucket: for counting, which asks for none.
    pub(super) fn each_file_unsorted(&self, state: State, each: Each<'_>) -> Result<()> {
        self.every_file(state, Order::Any, each)
    }

    /// [`Queue::each_file`], once in the program and not once for each who calls it: some 20 KB each.
    fn every_file(&self, state: State, order: Order, each: Each<'_>) -> Result<()> {
        match state {
            State::Ready => return self.every_ready(order, each),
            State::Claimed => return self.every_claim(order, each),
            State::Delayed | State::Dead | State::Done | State::Damaged => (),
        }
        if let Some(top) = self.maybe_dir(Path::new(state.word()))? {
            if state == State::Damaged {
                let _ = self.each_in(state, order, &top, each)?;
            } else if order == Order::Any {
                if self.every_unsorted_in(state, &top, &mut |_, _| (), each)?.is_break() {
                    return Ok(());
                }
            } else {
                for entry in self.bucket_entries(&top)? {
                    if self.each_of_entry(state, order, &top, &entry, each)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        self.each_opened(state, each)
    }

    /// A bucket, or a pack where it can stand.
    fn each_of_entry(
        &self,
        state: State,
        order: Order,
        top: &Dir,
        (name, kind): &(String, Kind),
        each: Each<'_>,
    ) -> Result<ControlFlow<()>> {
        match kind {
            Kind::Dir => match self.disk.open_dir(top, name) {
                Err(error) if error.missing() => Ok(ControlFlow::Continue(())),
                opened => self.each_in(state, order, &opened?, each),
            },
            _ => match Place::parse_pack(name).filter(|_| state == State::Ready) {
                Some(pack) => each(pack, top),
                None => Ok(ControlFlow::Continue(())),
            },
        }
    }

    /// What stands in a list of buckets, oldest first: buckets, and in `ready/P` packs where buckets could stand.
    pub(super) fn bucket_entries(&self, top: &Dir) -> Result<Vec<(String, Kind)>> {
        let mut entries = Vec::new();
        self.disk.list(top, |name, kind| {
            let Some(name) = name.to_str() else { return ControlFlow::Continue(()) };
            let ours = match kind {
                Kind::Dir => name::Bucket::parse(name).is_some(),
                Kind::File => Name::parse(name).is_some_and(|name| name.pack.is_some()),
                _ => false,
            };
            if ours {
                entries.push((name.to_string(), kind));
            }
            ControlFlow::Continue(())
        })?;
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    pub(super) fn each_in(&self, state: State, order: Order, dir: &Dir, each: Each<'_>) -> Result<ControlFlow<()>> {
        let mut each = |file_name: &str, kind| match Place::parse(state, file_name) {
            Some(place) if kind == Kind::File => each(place, dir),
            _ => Ok(ControlFlow::Continue(())),
        };
        match order {
            Order::Delivery => self.every_sorted(dir, &mut each),
            Order::Any => self.every_unsorted(dir, &mut each),
        }
    }

    /// All of a list of buckets, its packs first. `met` is told the entries.
    fn every_unsorted_in(
        &self,
        state: State,
        top: &Dir,
        met: &mut dyn FnMut(&str, Kind),
        each: Each<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut buckets = Vec::new();
        let packs = self.every_unsorted(top, &mut |name, kind| match kind {
            Kind::Dir if name::Bucket::parse(name).is_some() => {
                met(name, kind);
                buckets.push(name.to_string());
                Ok(ControlFlow::Continue(()))
            }
            Kind::File if state == State::Ready => match Place::parse_pack(name) {
                Some(pack) => {
                    met(name, kind);
                    each(pack, top)
                }
                None => Ok(ControlFlow::Continue(())),
            },
            _ => Ok(ControlFlow::Continue(())),
        })?;
        if packs.is_break() {
            return Ok(packs);
        }
        for bucket in buckets {
            if self.each_of_entry(state, Order::Any, top, &(bucket, Kind::Dir), each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn every_unsorted(
        &self,
        dir: &Dir,
        each: &mut dyn FnMut(&str, Kind) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let mut came = Ok(ControlFlow::Continue(()));
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str() {
                came = each(name, kind);
            }
            match came {
                Ok(flow) => flow,
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        came
    }

    /// Every name of a directory in text order, in bounded memory: the smallest so many names, then the next ones.
    pub(super) fn each_sorted(
        &self,
        dir: &Dir,
        mut each: impl FnMut(&str, Kind) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        self.every_sorted(dir, &mut each)
    }

    fn every_sorted(
        &self,
        dir: &Dir,
        each: &mut dyn FnMut(&str, Kind) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let mut after: Option<String> = None;
        loop {
            let mut next = FirstNames::after(after, SORTED_AT_ONCE);
            self.disk.list(dir, |name, kind| {
                if let Some(name) = name.to_str() {
                    next.offer(name, kind);
                }
                ControlFlow::Continue(())
            })?;
            let (sorted, more) = next.sorted();
            for (name, kind) in &sorted {
                if each(name, *kind)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if !more {
                return Ok(ControlFlow::Continue(()));
            }
            after = sorted.into_iter().next_back().map(|(name, _)| name);
        }
    }
}

/// Of the names that come by, those that come first in text order behind one of them: so many and no more.
struct FirstNames {
    after: Option<String>,
    most: usize,
    /// Gathered as they come; a heap only where there are too many.
    all: Vec<(String, Kind)>,
    smallest: BinaryHeap<(String, Kind)>,
}

impl FirstNames {
    fn after(after: Option<String>, most: usize) -> FirstNames {
        FirstNames { after, most, all: Vec::new(), smallest: BinaryHeap::new() }
    }

    fn offer(&mut self, name: &str, kind: Kind) {
        if self.after.as_deref().is_some_and(|after| name <= after) {
            return;
        }
        if self.all.len() == self.most {
            self.smallest = std::mem::take(&mut self.all).into();
        }
        if self.smallest.is_empty() {
            self.all.push((name.to_string(), kind));
        } else if self.smallest.peek().is_some_and(|(largest, _)| name < largest.as_str()) {
            self.smallest.pop();
            self.smallest.push((name.to_string(), kind));
        }
    }

    /// They, in order, and whether there are more behind them.
    fn sorted(mut self) -> (Vec<(String, Kind)>, bool) {
        if !self.smallest.is_empty() {
            return (self.smallest.into_sorted_vec(), true);
        }
        self.all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        (self.all, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each list of so many names is read to its end, with room for five of them.
    #[test]
    fn every_name_comes_once_and_in_order_however_many_there_are() {
        for count in 0..25_usize {
            let names: Vec<String> = (0..count).map(|at| format!("{:02}", at * 29 % count)).collect();
            let (mut came, mut lists, mut after) = (Vec::new(), 0, None);
            loop {
                let mut next = FirstNames::after(after, 5);
                names.iter().for_each(|name| next.offer(name, Kind::File));
                let (sorted, more) = next.sorted();
                assert!(sorted.len() <= 5 && lists < 6, "{count} names");
                lists += 1;
                after = sorted.last().map(|(name, _)| name.clone());
                came.extend(sorted.into_iter().map(|(name, _)| name));
                if !more {
                    break;
                }
            }
            assert!(came.is_sorted() && came.len() == count, "of {count} came {came:?}");
            let mut distinct = names.clone();
            distinct.sort();
            assert_eq!(came, distinct);
            assert_eq!(lists, count.div_ceil(5).max(1));
        }
    }
}
