//! What is ready, and what is on its way there: packs are opened in `tmp/`, and what comes home from there while `ready/` is being
//! read would stand in neither.

use super::{Each, Order, Place};
use crate::fs::{Dir, Disk, Kind};
use crate::queue::Queue;
use crate::queue::error::Result;
use crate::queue::name::{self, Bucket, Id, Name, PRIORITIES, Priority, RESERVE, State, ready_priority};
use crate::queue::pack::{self, Opened, opened};
use crate::time::Time;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// So often the lists of buckets are read at most: what comes while the last of them is gone through is younger than the look.
const LOOKS: usize = 4;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// When each list of buckets was changed last before it was read, by priority, where the next change would show.
    modified: [Option<Time>; PRIORITIES as usize],
    /// In this look: their entries, and what was still in `tmp/`.
    entries: Vec<(String, Kind)>,
    opened: Vec<Name>,
    /// In those before; and what of that was asked for, as ids, each with the one after the last that follows it without a gap.
    before: (Vec<(String, Kind)>, Vec<Name>),
    ids: BTreeMap<Id, Id>,
}

impl Seen {
    /// Whether a list may have changed since it was asked for the last time.
    fn changed(&mut self, priority: Priority, disk: &Disk, top: &Dir) -> Result<bool> {
        let modified = disk.stat_dir(top)?.modified;
        let settled = disk.settled(modified).then_some(modified);
        let before = std::mem::replace(&mut self.modified[usize::from(priority.level())], settled);
        Ok(before != Some(modified))
    }

    fn has_entry(&mut self, entry: &(String, Kind)) -> bool {
        match Name::parse(&entry.0) {
            Some(pack) => self.has(pack.id),
            None => Bucket::parse(&entry.0).is_none_or(|bucket| self.has(bucket.0)),
        }
    }

    /// A message comes home to its bucket.
    fn has_opened(&mut self, name: &Name) -> bool {
        self.has(if name.pack.is_some() { name.id } else { name.bucket.0 })
    }

    fn has(&mut self, first: Id) -> bool {
        self.sum_up();
        self.ids.range(..=first).next_back().is_some_and(|(_, &end)| first < end)
    }

    /// The next look begins.
    fn turn(&mut self) {
        self.before.0.append(&mut self.entries);
        self.before.1.append(&mut self.opened);
    }

    fn sum_up(&mut self) {
        for (text, _) in std::mem::take(&mut self.before.0) {
            match Name::parse(&text) {
                Some(pack) => self.add_pack(&pack),
                None => Bucket::parse(&text).into_iter().for_each(|Bucket(first)| self.add(first, first.after(1))),
            }
        }
        for name in std::mem::take(&mut self.before.1) {
            match name.pack {
                Some(_) => self.add_pack(&name),
                None => self.add(name.bucket.0, name.bucket.0.after(1)),
            }
        }
    }

    /// With each bucket into which it can be opened.
    fn add_pack(&mut self, name: &Name) {
        self.add(pack::bucket(name, name.window().start).0, name.id.after(name.count()));
    }

    fn add(&mut self, mut from: Id, mut end: Id) {
        while let Some((&other, &its_end)) = self.ids.range(..=end).next_back().filter(|(_, its_end)| **its_end >= from)
        {
            (from, end) = (from.min(other), end.max(its_end));
            self.ids.remove(&other);
        }
        self.ids.insert(from, end);
    }
}

impl Queue {
    /// What waits for a claimer. A pack that is opened meanwhile is seen before, on its way, or where it has come home; of a bucket
    /// that was read when some of it was still to come, that is not, but where there is nothing else all is read again.
    pub(super) fn every_ready(&self, order: Order, each: Each<'_>) -> Result<()> {
        let (mut seen, any) = (Seen::default(), Cell::new(false));
        let each: Each<'_> = &mut |place, dir| {
            if place.name.ticket_of().is_some() {
                // No message: what it stands for is told with its group.
                return Ok(ControlFlow::Continue(()));
            }
            any.set(true);
            each(place, dir)
        };
        for look in 0..LOOKS {
            let mut came = false;
            let there = self.priorities_there()?;
            for priority in Priority::all().filter(|priority| there[usize::from(priority.level())]) {
                let Some(top) = self.maybe_dir(&ready_priority(priority))? else { continue };
                if !seen.changed(priority, &self.disk, &top)? && any.get() {
                    continue;
                }
                if order == Order::Any && look == 0 {
                    let met = &mut |name: &str, kind| seen.entries.push((name.to_string(), kind));
                    if self.every_unsorted_in(State::Ready, &top, met, each)?.is_break() {
                        return Ok(());
                    }
                    continue;
                }
                for entry in self.bucket_entries(&top)? {
                    let known = look > 0 && seen.has_entry(&entry);
                    if known && any.get() {
                        continue;
                    }
                    came |= !known;
                    if self.each_of_entry(State::Ready, order, &top, &entry, each)?.is_break() {
                        return Ok(());
                    }
                    seen.entries.push(entry);
                }
            }
            if look == 0 {
                let out = self.tickets_out()?;
                if self.each_waiting(None, &out, each)?.is_break() {
                    return Ok(());
                }
            }
            let mut ended = false;
            self.each_opened(State::Ready, &mut |place, dir| {
                if look > 0 && any.get() && seen.has_opened(&place.name) {
                    return Ok(ControlFlow::Continue(()));
                }
                seen.opened.push(place.name.clone());
                let flow = each(place, dir)?;
                ended = flow.is_break();
                Ok(flow)
            })?;
            let over = look > 0 && !came && seen.opened.is_empty();
            // Where there has never been a pack nothing can have come home.
            if ended || over || self.maybe_dir(Path::new(RESERVE))?.is_none() {
                break;
            }
            seen.turn();
        }
        Ok(())
    }

    /// What came out of a pack and is still on its way to where it belongs, for a moment, or since its opener was killed.
    pub(in crate::queue) fn each_opened(&self, state: State, each: Each<'_>) -> Result<()> {
        let Some(tmp) = self.maybe_dir(Path::new(name::TMP))? else { return Ok(()) };
        for (name, kind) in self.disk.names(&tmp)? {
            let ours = name.to_str().filter(|name| kind == Kind::Dir && name::is_base32(name));
            let Some(dir) = ours.map(|name| self.maybe_dir(&Path::new(name::TMP).join(name))).transpose()?.flatten()
            else {
                continue;
            };
            let Some(opened) = opened(self, &dir)? else { continue };
            if self.each_shelved(state, &dir, each)?.is_break() {
                return Ok(());
            }
            if let Opened::Left(pack) = opened
                && pack.state == state
                && each(pack, &dir)?.is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn each_shelved(&self, state: State, dir: &Dir, each: Each<'_>) -> Result<ControlFlow<()>> {
        let shelf = match self.disk.open_dir(dir, state.word()) {
            Err(error) if error.missing() => return Ok(ControlFlow::Continue(())),
            shelf => shelf?,
        };
        self.each_sorted(&shelf, |file_name, kind| {
            let pack = || Place::parse_pack(file_name).filter(|_| state == State::Ready);
            match Place::parse(state, file_name).or_else(pack).filter(|_| kind == Kind::File) {
                Some(place) => each(place, &shelf),
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }
}
