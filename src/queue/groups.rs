//! Groups: messages of one key are delivered in order and one at a time.
//!
//! The messages of a group stand in a directory of their own, `groups/MARK/`, and never leave it before they end. What is
//! claimed, locked, delayed and taken back in their stead is the group's *ticket*: one empty file, in `ready/`, `delayed/`,
//! `claimed/` or (held) `dead/`, whose name speaks of the group's first message. So one group costs a claimer one name,
//! however many of its messages wait, and a crash leaves the ticket where recovery finds every other claim.
//!
//! The directory of a group comes into being with its ticket inside it (`PARKED`), and goes with it inside: where there is a
//! directory there is one ticket. Both happen under the lock of `seq`, as does every message that is put in, so that nobody
//! puts a message into a group that is just going away. Whoever ends a message sends the ticket on to the next one.

mod claim;
mod mend;
mod settle;
mod stats;

pub(super) use mend::Amiss;
pub use stats::GroupStats;

use super::error::{Error, Result};
use super::name::{GROUPS, GroupMark, Grouped, Id, Name, PARKED, State, home};
use super::seq::Seq;
use super::{Place, Queue};
use crate::fs::{Dir, Kind};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A directory larger than this, as stat(2) has it, gets no more messages directly: they go into buckets below it, so that
/// the first one of a million is found without a listing of a million. Measured, not part of the format.
const FLAT_MAX: u64 = 32 << 10;

/// Where a message of a group stands.
#[derive(Debug)]
pub(super) struct Spot {
    pub dir: Dir,
    pub name: Name,
    pub file_name: String,
}

/// `groups/MARK`.
pub(super) fn group_path(mark: GroupMark) -> PathBuf {
    Path::new(GROUPS).join(mark.to_string())
}

impl Name {
    /// The name of the message that this one is about, as it stands in its group.
    pub(super) fn in_group(&self, mark: GroupMark) -> Name {
        Name { attempts: super::name::Attempts::default(), group: Some(Grouped::Message(mark)), ..self.clone() }
    }

    /// Whether it is the name of a message as it stands in this group.
    fn waits_in(&self, mark: GroupMark) -> bool {
        self.pack.is_none() && *self == self.in_group(mark)
    }

    /// The name of a ticket that stands for this message.
    pub(super) fn as_ticket(&self, mark: GroupMark) -> Name {
        Name { group: Some(Grouped::Ticket(mark)), ..self.clone() }
    }

    /// The name of the message itself, with the attempts this one says.
    pub(super) fn as_message(&self) -> Name {
        let group = self.group.map(|group| Grouped::Message(group.mark()));
        Name { group, ..self.clone() }
    }

    pub(super) fn ticket_of(&self) -> Option<GroupMark> {
        match self.group {
            Some(Grouped::Ticket(mark)) => Some(mark),
            _ => None,
        }
    }
}

impl Queue {
    /// Puts a whole, flushed message into its group. The caller holds the lock of `seq`.
    ///
    /// The ticket comes out first: killed before the message follows, a claimer finds the group empty and parks the ticket
    /// again. The other way round the message would wait for the next one of its group.
    pub(super) fn put_in_group(&self, from: &Dir, file_name: &str, name: &Name, mark: GroupMark) -> Result<()> {
        let dir = match self.maybe_dir(&group_path(mark))? {
            Some(dir) => dir,
            None => self.make_group(mark)?,
        };
        let ticket = name.as_ticket(mark);
        match self.move_into(&dir, PARKED, &home(State::Ready, &ticket, None), &ticket.to_string()) {
            Err(error) if !error.missing() => return Err(error),
            _ => (),
        }
        let inside = name.in_group(mark);
        let to = match self.disk.stat_dir(&dir)?.size > FLAT_MAX {
            true => self.bucket_below(&dir, &inside.bucket.to_string())?,
            false => dir,
        };
        Ok(self.disk.rename(from, file_name, &to, inside.to_string())?)
    }

    fn bucket_below(&self, dir: &Dir, bucket: &str) -> Result<Dir> {
        loop {
            match self.disk.make_dir(dir, bucket, self.dir_birth()) {
                Err(error) if !error.exists() => return Err(error.into()),
                _ => (),
            }
            // Whoever found it empty may have removed it in between.
            match self.disk.open_dir(dir, bucket) {
                Err(error) if error.missing() => self.still_here()?,
                opened => return Ok(opened?),
            }
        }
    }

    /// Makes the directory of a group, the ticket inside, in one step for everybody else.
    fn make_group(&self, mark: GroupMark) -> Result<Dir> {
        loop {
            // Anew each time: a person may have removed the empty one.
            let groups = self.ensure_dir(Path::new(GROUPS))?;
            let tmp = self.tmp_dir()?;
            let (name, dir) = self.locked_dir(&tmp, &|| self.fresh_name())?;
            self.disk.create(&dir, PARKED, self.file_birth())?;
            match self.disk.rename(&tmp, &name, &groups, mark.to_string()) {
                Err(error) if error.exists() => {
                    self.discard(&tmp, &name, &dir);
                    return Ok(self.disk.open_dir(&groups, mark.to_string())?);
                }
                Err(error) if error.missing() => {
                    self.discard(&tmp, &name, &dir);
                    self.still_here()?;
                }
                made => {
                    return made
                        .map_err(Error::from)
                        .and_then(|()| Ok(self.disk.open_dir(&groups, mark.to_string())?));
                }
            }
        }
    }

    /// What is left of a group's directory in `tmp/`. What can't be removed here is removed by recovery.
    fn discard(&self, tmp: &Dir, name: &str, dir: &Dir) {
        let _ = self.disk.unlink(dir, PARKED);
        let _ = self.disk.remove_dir(tmp, name);
    }

    /// Where the message that a name is about stands in its group; `None` when it is not there any more.
    pub(super) fn spot(&self, name: &Name, mark: GroupMark) -> Result<Option<Spot>> {
        let Some(dir) = self.maybe_dir(&group_path(mark))? else { return Ok(None) };
        let name = name.in_group(mark);
        let file_name = name.to_string();
        if self.stands(&dir, &file_name)? {
            return Ok(Some(Spot { dir, name, file_name }));
        }
        let bucket = match self.disk.open_dir(&dir, name.bucket.to_string()) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        Ok(self.stands(&bucket, &file_name)?.then_some(Spot { dir: bucket, name, file_name }))
    }

    /// The first message of a group: the smallest id.
    pub(super) fn first_of(&self, mark: GroupMark) -> Result<Option<Spot>> {
        let Some(dir) = self.maybe_dir(&group_path(mark))? else { return Ok(None) };
        let (mut first, buckets) = self.smallest(&dir, mark)?;
        let mut at: Option<Dir> = None;
        for bucket in buckets {
            // No message is older than the bucket it was put into.
            if first.as_ref().is_some_and(|name| *bucket > *name.id.to_string()) {
                break;
            }
            let below = match self.disk.open_dir(&dir, &bucket) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            match self.smallest(&below, mark)?.0 {
                Some(name) if first.as_ref().is_none_or(|first| name.id < first.id) => {
                    first = Some(name);
                    at = Some(below);
                }
                Some(_) => (),
                None => {
                    // Not empty any more, gone, or somebody's foreign file in it: all the same to us.
                    let _ = self.disk.remove_dir(&dir, &bucket);
                }
            }
        }
        let dir = at.unwrap_or(dir);
        Ok(first.map(|name| Spot { dir, file_name: name.to_string(), name }))
    }

    /// The message with the smallest id that stands in a directory of this group, and the buckets below it in order. A file
    /// whose name is no message's of this group is foreign there, and nobody's turn.
    fn smallest(&self, dir: &Dir, mark: GroupMark) -> Result<(Option<Name>, Vec<String>)> {
        let mut first: Option<Name> = None;
        let mut buckets = Vec::new();
        self.disk.list(dir, |entry, kind| {
            let Some(text) = entry.to_str() else { return ControlFlow::Continue(()) };
            match kind {
                Kind::Dir if super::name::Bucket::parse(text).is_some() => buckets.push(text.to_string()),
                Kind::File => {
                    let ours = Name::parse(text).filter(|name| name.waits_in(mark));
                    if let Some(name) = ours.filter(|name| first.as_ref().is_none_or(|f| name.id < f.id)) {
                        first = Some(name);
                    }
                }
                _ => (),
            }
            ControlFlow::Continue(())
        })?;
        buckets.sort_unstable();
        Ok((first, buckets))
    }

    /// Sends the ticket of a group, which stands under `file_name` in `at`, on to the group's first message; the group goes
    /// away with it where there is none. The caller holds the ticket's lock.
    ///
    /// Killed before the rename: the ticket is where it was, free, and the next who gets its lock does the same.
    pub(super) fn move_on(&self, at: &Dir, file_name: &str, mark: GroupMark) -> Result<()> {
        let gone = |moved: Result<()>| match moved {
            // Somebody else has moved it on: recovery, of a lease that has run out.
            Err(error) if error.missing() => Ok(()),
            moved => moved,
        };
        if let Some(next) = self.first_of(mark)? {
            gone(self.to_ready(at, file_name, &next.name, mark))?;
            self.wake();
            return Ok(());
        }
        // Nobody can put a message in while we hold the lock of `seq`.
        let _seq = Seq::lock(self)?;
        if let Some(next) = self.first_of(mark)? {
            gone(self.to_ready(at, file_name, &next.name, mark))?;
            self.wake();
            return Ok(());
        }
        let Some(dir) = self.maybe_dir(&group_path(mark))? else {
            // A ticket without a group: by a power cut, or by hand.
            return gone(self.disk.unlink(at, file_name).map_err(Error::from));
        };
        match self.disk.rename(at, file_name, &dir, PARKED) {
            // A second ticket, by a power cut or by hand: one is enough.
            Err(error) if error.exists() => return gone(self.disk.unlink(at, file_name).map_err(Error::from)),
            moved => gone(moved.map_err(Error::from))?,
        }
        self.remove_group(&dir, mark)
    }

    fn to_ready(&self, at: &Dir, file_name: &str, next: &Name, mark: GroupMark) -> Result<()> {
        let ticket = next.as_ticket(mark);
        self.move_into(at, file_name, &home(State::Ready, &ticket, None), &ticket.to_string())
    }

    /// Takes away the directory of a group that has no message, with the ticket parked in it, in one step for everybody
    /// else; one with anything foreign in it stays. The caller holds the lock of `seq`.
    fn remove_group(&self, dir: &Dir, mark: GroupMark) -> Result<()> {
        for (name, kind) in self.disk.names(dir)? {
            if name == PARKED {
                continue;
            }
            if kind != Kind::Dir || self.disk.remove_dir(dir, &name).is_err() {
                return Ok(());
            }
        }
        let Some(groups) = self.maybe_dir(Path::new(GROUPS))? else { return Ok(()) };
        let tmp = self.tmp_dir()?;
        let name = self.fresh_name()?;
        self.disk.rename(&groups, mark.to_string(), &tmp, &name)?;
        self.discard(&tmp, &name, dir);
        Ok(())
    }

    /// Every message that waits in a group for its turn, group by group: all but those whose ticket is elsewhere.
    pub(super) fn each_waiting(
        &self,
        only: Option<GroupMark>,
        out: &BTreeSet<Id>,
        each: super::browse::Each<'_>,
    ) -> Result<ControlFlow<()>> {
        let Some(groups) = self.maybe_dir(Path::new(GROUPS))? else { return Ok(ControlFlow::Continue(())) };
        let mut visit = |dir: &Dir, mark: GroupMark, text: &str, kind: Kind| match Place::parse(State::Ready, text) {
            Some(place) if kind == Kind::File && place.name.waits_in(mark) && !out.contains(&place.id()) => {
                each(place, dir)
            }
            _ => Ok(ControlFlow::Continue(())),
        };
        let mut marks: Vec<GroupMark> = Vec::new();
        match only {
            Some(mark) => marks.push(mark),
            None => self.disk.list(&groups, |name, kind| {
                marks.extend(name.to_str().filter(|_| kind == Kind::Dir).and_then(GroupMark::parse));
                ControlFlow::Continue(())
            })?,
        }
        marks.sort_unstable();
        for mark in marks {
            let Some(dir) = self.maybe_dir(&group_path(mark))? else { continue };
            if self.each_sorted(&dir, |text, kind| visit(&dir, mark, text, kind))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            for bucket in self.bucket_names(&dir)? {
                let below = match self.disk.open_dir(&dir, &bucket) {
                    Err(error) if error.missing() => continue,
                    opened => opened?,
                };
                if self.each_sorted(&below, |text, kind| visit(&below, mark, text, kind))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The messages of groups that are claimed, delayed or held as dead: their tickets say so.
    pub(super) fn tickets_out(&self) -> Result<BTreeSet<Id>> {
        let mut out = BTreeSet::new();
        if self.maybe_dir(Path::new(GROUPS))?.is_none() {
            return Ok(out);
        }
        for state in [State::Claimed, State::Delayed, State::Dead] {
            self.each_file(state, |place, _| {
                if place.name.ticket_of().is_some() {
                    out.insert(place.id());
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(out)
    }

    /// Whether the ticket of a group is claimed for this message.
    pub(super) fn claim_of(&self, name: &Name, mark: GroupMark) -> Result<Option<Place>> {
        let mut found = None;
        self.each_file(State::Claimed, |place, _| {
            if place.name.id == name.id && place.name.ticket_of() == Some(mark) {
                found = Some(place);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
