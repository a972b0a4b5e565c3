//! The look for a message: which priority, which bucket and which file come first, by what was listed before where that still
//! holds; and the removal of what is found empty.

use super::names::Names;
use super::reach::{Reached, Stand};
use super::{Cursor, List, Scout, Steady, Try, look_again};
use crate::fs::{Dir, Kind};
use crate::queue::Queue;
use crate::queue::browse::Place;
use crate::queue::error::{Error, Result};
use crate::queue::name::{self, Lease, Name, PRIORITIES, Priority, RESERVE, State, ready_priority};
use crate::queue::pack::HANDFUL;
use crate::queue::settle::Claim;
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// After so many listings of a bucket that some names were left out of, none is.
const LISTS: u32 = 3;
/// Over fewer than two to the power of this many packs at once that others have taken goes a worker that takes them in hand.
const GAP: u32 = 5;
/// What a directory takes on ext4 and xfs before it has grown, in bytes: room for 80 messages.
const FRESH_DIR: u64 = 4096;

impl Queue {
    /// Whether a pack may have been opened while the look at hand went by: for a moment its messages stand in `tmp/`, before
    /// that they were a pack, and after it a bucket, and a list that was read in between has neither. An opening that was over
    /// before `tmp/` was gone through has changed the list by now.
    pub(super) fn was_opened(&self, scout: &mut Scout) -> Result<bool> {
        let lists = std::mem::take(&mut scout.lists);
        if self.maybe_dir(Path::new(RESERVE))?.is_none() {
            // There has never been a pack.
            return Ok(false);
        }
        for List { top, entries } in lists {
            // An emptied one is removed, by us or by others, and made anew by whoever brings something home.
            if self.disk.stat_dir(&top)?.links == 0 {
                return Ok(true);
            }
            // What is gone is in others' hands.
            let there = |name: &str| entries.binary_search_by(|(entry, _)| entry.as_str().cmp(name)).is_ok();
            if self.bucket_entries(&top)?.iter().any(|(name, _)| !there(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves what is due, unless it is known that nothing is.
    pub(super) fn promote_due(&self, scout: &mut Scout) -> Result<Option<Time>> {
        let now = self.disk.now();
        if scout.quiet_until.is_some_and(|until| now < until) && scout.cursor.is_some() {
            return Ok(None);
        }
        let next = self.promote(now)?;
        // Bounded, since the clock may step.
        let quiet = now.plus(Duration::from_secs(1));
        scout.quiet_until = Some(next.map_or(quiet, |next| next.min(quiet)));
        Ok(next)
    }

    /// One pass over what is ready. Errors on one entry do not hide the others; the first comes back if nothing is claimed.
    pub(super) fn look(&self, scout: &mut Scout, lease: Lease) -> (Option<Box<Claim>>, Option<Error>, bool) {
        scout.lists.clear();
        if let Ok(Some(claim)) = self.look_on(scout, lease) {
            return (Some(claim), None, false);
        }
        let (mut failed, mut busy) = (None, false);
        let there = match self.priorities_there() {
            Ok(there) => there,
            Err(error) => return (None, Some(error), false),
        };
        for priority in Priority::all().filter(|priority| there[usize::from(priority.level())]) {
            match self.look_at(scout, priority, lease, &mut failed) {
                Ok((Some(claim), _)) => return (Some(claim), None, false),
                Ok((None, skipped)) => busy |= skipped,
                Err(error) => failed = failed.or(Some(error)),
            }
            if scout.held_back.is_some() || scout.too_many {
                return (None, failed, busy);
            }
        }
        (None, failed, busy)
    }

    /// Goes on with the bucket at hand, where two looks show that it is still the first: no list of buckets is read. Whatever
    /// else this comes to is for the whole look to find out.
    fn look_on(&self, scout: &mut Scout, lease: Lease) -> Result<Option<Box<Claim>>> {
        let Some(Steady { ready, ready_modified, top, top_modified }) = scout.steady.take() else { return Ok(None) };
        let same = |dir: &Dir, modified: Time| -> Result<bool> {
            let stat = self.disk.stat_dir(dir)?;
            Ok(stat.modified == modified && stat.links > 0)
        };
        let Some(cursor) = &mut scout.cursor else { return Ok(None) };
        if !same(&ready, ready_modified)? || !same(&top, top_modified)? {
            return Ok(None);
        }
        while let Some(name) = cursor.names.next() {
            match self.try_claim(&cursor.dir, &name, lease)? {
                Try::Claimed(claim) => {
                    cursor.names.was_there();
                    scout.steady = Some(Steady { ready, ready_modified, top, top_modified });
                    return Ok(Some(claim));
                }
                Try::Busy | Try::Gone => cursor.names.was_taken(),
                Try::Unfit => (),
                Try::HeldBack(_) => {
                    cursor.names.put_back(name);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Whether nothing can come before the first entry of a list, which was read when it had last been modified then, without
    /// one of two directories changing.
    fn steady(&self, priority: Priority, top: Dir, top_modified: Time) -> Result<Option<Steady>> {
        if !self.disk.settled(top_modified) {
            return Ok(None);
        }
        let Some(ready) = self.maybe_dir(Path::new(State::Ready.word()))? else { return Ok(None) };
        let ready_modified = self.disk.stat_dir(&ready)?.modified;
        if !self.disk.settled(ready_modified) {
            return Ok(None);
        }
        for higher in Priority::all().take_while(|&higher| higher != priority) {
            if self.stands(&ready, &higher.level().to_string())? {
                return Ok(None);
            }
        }
        Ok(Some(Steady { ready, ready_modified, top, top_modified }))
    }

    /// By level: the priorities that have a directory. Most queues use one of ten.
    pub(in crate::queue) fn priorities_there(&self) -> Result<[bool; PRIORITIES as usize]> {
        let mut there = [false; PRIORITIES as usize];
        if let Some(ready) = self.maybe_dir(Path::new(State::Ready.word()))? {
            self.disk.list(&ready, |name, _| {
                if let [level @ b'0'..=b'9'] = name.as_encoded_bytes() {
                    there[usize::from(level - b'0')] = true;
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(there)
    }

    /// [`Queue::look`] at one priority. An error in one of its buckets goes into `failed`.
    fn look_at(
        &self,
        scout: &mut Scout,
        priority: Priority,
        lease: Lease,
        failed: &mut Option<Error>,
    ) -> Result<(Option<Box<Claim>>, bool)> {
        let Some(dir) = self.maybe_dir(&ready_priority(priority))? else { return Ok((None, false)) };
        let mut busy = false;
        let (mut hasty, mut looks) = (scout.handfuls, 0);
        // Again whenever a pack was opened: what came out of it stands where it stood.
        'list: loop {
            let modified = self.disk.stat_dir(&dir)?.modified;
            let entries = self.bucket_entries(&dir)?;
            let (mut at, mut taken) = (0, 0);
            while let Some((entry, kind)) = entries.get(at) {
                let newest = at + 1 == entries.len();
                let looked = match Place::parse_pack(entry).filter(|_| *kind == Kind::File) {
                    None => self.look_in(scout, priority, &dir, entry, newest, lease),
                    Some(place) => match self.reach_pack(scout, &dir, Stand { place, more: !newest, hasty }, lease) {
                        Ok(Reached::Claimed(claim)) => Ok((Some(claim), false)),
                        Ok(Reached::Opened) => {
                            hasty = scout.handfuls;
                            continue 'list;
                        }
                        Ok(Reached::Taken) => {
                            // Others are at work here: over some, twice as many the next time, and not all of us the same way.
                            let over = self.random_below(1 << taken.min(GAP))?;
                            let next = entries[at + 1..].iter().take(over);
                            at += 1 + next.take_while(|(name, _)| is_handful(name)).count();
                            taken += 1;
                            continue;
                        }
                        Ok(Reached::Busy) => Ok((None, true)),
                        Ok(Reached::Foreign) => Ok((None, false)),
                        Ok(Reached::TooMany) => {
                            scout.too_many = true;
                            Ok((None, false))
                        }
                        Ok(Reached::HeldBack(why)) => {
                            scout.held_back = Some(why);
                            Ok((None, false))
                        }
                        Err(error) => Err(error),
                    },
                };
                match looked {
                    Ok((Some(claim), _)) => {
                        if at == 0
                            && scout.claims > 0
                            && scout.cursor.as_ref().is_some_and(|cursor| !cursor.names.is_empty())
                        {
                            scout.steady = self.steady(priority, dir, modified).unwrap_or(None);
                        }
                        return Ok((Some(claim), false));
                    }
                    Ok((None, skipped)) => busy |= skipped,
                    Err(error) => *failed = failed.take().or(Some(error)),
                }
                if scout.held_back.is_some() || scout.too_many {
                    return Ok((None, busy));
                }
                at += 1;
            }
            if taken > 0 {
                // They have all there is, for now: what is left of a pack that is being opened is back in a moment.
                hasty = hasty && self.any_opened()? && look_again(&mut looks);
                continue;
            }
            if !busy && failed.is_none() {
                self.shrink(priority, &dir);
            }
            scout.lists.push(List { top: dir, entries });
            return Ok((None, busy));
        }
    }

    fn look_in(
        &self,
        scout: &mut Scout,
        priority: Priority,
        parent: &Dir,
        bucket: &str,
        newest: bool,
        lease: Lease,
    ) -> Result<(Option<Box<Claim>>, bool)> {
        let cached = scout.cursor.as_ref().is_some_and(|c| c.priority == priority && c.bucket == bucket);
        if !cached {
            scout.cursor = None;
            let dir = match self.disk.open_dir(parent, bucket) {
                Err(error) if error.missing() => return Ok((None, false)),
                opened => opened?,
            };
            scout.cursor =
                Some(Cursor { priority, bucket: bucket.to_string(), dir, names: Names::default(), full: None });
        }
        let Some(cursor) = &mut scout.cursor else { return Ok((None, false)) };
        let mut failed = None;
        let mut busy = false;
        // First what is left of the last listing, then a fresh one: a bucket counts as empty only when it was just listed, and
        // all of the list was tried.
        let mut listed = 0_u32;
        while listed < 2 || cursor.names.left_out() {
            listed += 1;
            if listed > 1 {
                if cached {
                    // It may have been removed and made anew since it was opened: list the one that is there now.
                    cursor.dir = match self.disk.open_dir(parent, bucket) {
                        Err(error) if error.missing() => break,
                        opened => opened?,
                    };
                }
                cursor.names = Names::new(self.message_names(&cursor.dir)?, listed > LISTS);
                busy = false;
                if !cached && listed == 2 {
                    cursor.full = Some(cursor.names.left());
                }
                if cursor.names.is_empty() {
                    break;
                }
            }
            while let Some(name) = cursor.names.next() {
                match self.try_claim(&cursor.dir, &name, lease) {
                    Ok(Try::Claimed(claim)) => {
                        cursor.names.was_there();
                        return Ok((Some(claim), false));
                    }
                    Ok(Try::Busy) => {
                        busy = true;
                        cursor.names.was_taken();
                    }
                    Ok(Try::Gone) => cursor.names.was_taken(),
                    Ok(Try::Unfit) => (),
                    Ok(Try::HeldBack(why)) => {
                        scout.held_back = Some(why);
                        return failed.map_or(Ok((None, busy)), Err);
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        let emptied = scout.cursor.take();
        if let Some(error) = failed {
            return Err(error);
        }
        if !busy && (!newest || emptied.is_some_and(|cursor| self.outgrown(&cursor.dir))) {
            // Not empty any more, or gone, or somebody's foreign file in it: all the same to us.
            let _ = self.disk.remove_dir(parent, bucket);
        }
        Ok((None, busy))
    }

    /// Whether a directory takes more than a fresh one does: ext4 and xfs keep what it grew to, however empty it is.
    fn outgrown(&self, dir: &Dir) -> bool {
        self.disk.stat_dir(dir).is_ok_and(|stat| stat.size > FRESH_DIR)
    }

    /// Removes the directory of a priority that has nothing in it and has outgrown a fresh one. Never fails: rmdir(2) refuses
    /// one that is not empty, and who moves a message into it makes it anew.
    fn shrink(&self, priority: Priority, dir: &Dir) {
        if self.outgrown(dir)
            && let Ok(Some(ready)) = self.maybe_dir(Path::new(State::Ready.word()))
        {
            let _ = self.disk.remove_dir(&ready, priority.level().to_string());
        }
    }

    /// The names of buckets in a directory, oldest first.
    pub(in crate::queue) fn bucket_names(&self, dir: &Dir) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str()
                && kind == Kind::Dir
                && crate::queue::name::Bucket::parse(name).is_some()
            {
                names.push(name.to_string());
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    fn message_names(&self, dir: &Dir) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str()
                && kind == Kind::File
                && Name::parse(name).is_some_and(|name| name.pack.is_none())
            {
                names.push(name.to_string());
            }
            ControlFlow::Continue(())
        })?;
        name::sort(&mut names);
        Ok(names)
    }
}

/// Whether it is the name of a pack that a worker takes in hand.
fn is_handful(entry: &str) -> bool {
    Name::parse(entry).is_some_and(|name| name.pack.is_some_and(|count| count <= HANDFUL))
}
