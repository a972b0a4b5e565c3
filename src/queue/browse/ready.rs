//! What is ready, and what is on its way there: packs are opened in `tmp/`, and what comes home from there while `ready/` is being
//! read would stand in neither.

use super::{Each, Order, Place};
use crate::fs::{Dir, Kind};
use crate::queue::Queue;
use crate::queue::error::Result;
use crate::queue::name::{self, Bucket, Id, Name, Priority, RESERVE, State, ready_priority};
use crate::queue::pack::{self, Opened, opened};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// So often the lists of buckets are read at most: what comes while the last of them is gone through is younger than the look.
const LOOKS: usize = 4;

/// The entries of the lists of buckets that were seen, and what of them was still in `tmp/`: ids, each with the one after the last
/// that follows it without a gap.
#[derive(Default)]
struct Seen(BTreeMap<Id, Id>);

impl Seen {
    fn has(&self, first: Id) -> bool {
        self.0.range(..=first).next_back().is_some_and(|(_, &end)| first < end)
    }

    fn add(&mut self, mut from: Id, mut end: Id) {
        while let Some((&other, &its_end)) = self.0.range(..=end).next_back().filter(|(_, its_end)| **its_end >= from) {
            (from, end) = (from.min(other), end.max(its_end));
            self.0.remove(&other);
        }
        self.0.insert(from, end);
    }

    /// A bucket, or a pack and each bucket into which it can be opened.
    fn entry(&mut self, name: &Name) {
        match name.pack {
            Some(count) => self.add(pack::bucket(name, name.window().start).0, name.id.after(count)),
            None => self.add(name.bucket.0, name.bucket.0.after(1)),
        }
    }
}

/// The first id of an entry of a list of buckets.
fn first_of(entry: &(String, Kind)) -> Option<Id> {
    match entry.1 {
        Kind::Dir => Bucket::parse(&entry.0).map(|Bucket(first)| first),
        _ => Name::parse(&entry.0).map(|name| name.id),
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
            for priority in Priority::all() {
                let Some(top) = self.maybe_dir(&ready_priority(priority))? else { continue };
                for entry in self.bucket_entries(&top)? {
                    let known = look > 0 && first_of(&entry).is_none_or(|first| seen.has(first));
                    if known && any.get() {
                        continue;
                    }
                    came |= !known;
                    if self.each_of_entry(State::Ready, order, &top, &entry, each)?.is_break() {
                        return Ok(());
                    }
                    match (Name::parse(&entry.0), first_of(&entry)) {
                        (Some(pack), _) => seen.entry(&pack),
                        (None, Some(first)) => seen.add(first, first.after(1)),
                        (None, None) => (),
                    }
                }
            }
            if look == 0 {
                let out = self.tickets_out()?;
                if self.each_waiting(None, &out, each)?.is_break() {
                    return Ok(());
                }
            }
            let (mut ended, mut opened) = (false, Vec::new());
            self.each_opened(State::Ready, &mut |place, dir| {
                let first = if place.name.pack.is_some() { place.id() } else { place.name.bucket.0 };
                if look > 0 && any.get() && seen.has(first) {
                    return Ok(ControlFlow::Continue(()));
                }
                if opened.last().is_none_or(|last: &Name| last.bucket != place.name.bucket || place.name.pack.is_some())
                {
                    opened.push(place.name.clone());
                }
                let flow = each(place, dir)?;
                ended = flow.is_break();
                Ok(flow)
            })?;
            if ended {
                return Ok(());
            }
            opened.iter().for_each(|name| seen.entry(name));
            // Where there has never been a pack nothing can have come home.
            if (look > 0 && !came && opened.is_empty()) || self.maybe_dir(Path::new(RESERVE))?.is_none() {
                break;
            }
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
