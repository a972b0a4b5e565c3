//! After a power cut: every group has one ticket again. Kills leave no group without one, by the order of the steps; a cut can
//! undo one of two renames in different directories.

use super::super::error::Result;
use super::super::name::{GROUPS, GroupMark, PARKED, Priority, State, ready_priority};
use super::super::seq::{self, Seq};
use super::super::{Place, Queue};
use super::group_path;
use crate::fs::{Access, Kind};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// A group without a ticket, or a ticket too many.
#[derive(Debug)]
pub(in super::super) enum Amiss {
    /// The group has none.
    Without(GroupMark),
    /// One more than the group needs.
    Spare(Place),
    /// Delayed or dead, for a message that is not there any more: it was taken away by hand.
    Stale(Place),
}

impl Queue {
    /// What is wrong with the tickets, at a time when nothing moves or while the lock of `seq` is held.
    pub(in super::super) fn tickets_amiss(&self) -> Result<Vec<Amiss>> {
        let Some(groups) = self.maybe_dir(Path::new(GROUPS))? else { return Ok(Vec::new()) };
        let mut tickets: BTreeMap<GroupMark, Vec<Place>> = BTreeMap::new();
        let mut keep = |place: Place| {
            if let Some(mark) = place.name.ticket_of() {
                tickets.entry(mark).or_default().push(place);
            }
        };
        // In the order of the transitions, so that a ticket which moves meanwhile is seen; a claimed one first of all, since
        // it is the one that somebody may hold.
        for state in [State::Claimed, State::Delayed, State::Dead] {
            self.each_file(state, |place, _| {
                keep(place);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        self.each_ready_name(&mut keep)?;
        self.each_file(State::Claimed, |place, _| {
            keep(place);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut marks = Vec::new();
        self.disk.list(&groups, |name, kind| {
            marks.extend(name.to_str().filter(|_| kind == Kind::Dir).and_then(GroupMark::parse));
            ControlFlow::Continue(())
        })?;
        let mut amiss = Vec::new();
        for mark in marks {
            let Some(dir) = self.maybe_dir(&group_path(mark))? else { continue };
            if !tickets.contains_key(&mark) && !self.stands(&dir, PARKED)? {
                amiss.push(Amiss::Without(mark));
            }
        }
        for places in tickets.into_values() {
            // One that moved was seen twice, and each claimed one was: what does not stand any more is none.
            let mut standing: Vec<Place> = Vec::new();
            for place in places {
                let alike = |other: &Place| other.state == place.state && other.file_name == place.file_name;
                let seen = standing.iter().any(alike);
                if let (false, Some(dir)) = (seen, self.dir_of(&place)?)
                    && self.stands(&dir, &place.file_name)?
                {
                    standing.push(place);
                }
            }
            let mut standing = standing.into_iter();
            if let Some(place) = standing.next()
                && matches!(place.state, State::Delayed | State::Dead)
                && let Some(mark) = place.name.ticket_of()
                && self.spot(&place.name, mark)?.is_none()
            {
                amiss.push(Amiss::Stale(place));
            }
            amiss.extend(standing.map(Amiss::Spare));
        }
        Ok(amiss)
    }

    /// Mends one. The caller holds the lock of `seq`; a stale one is left to fsck, which does not.
    pub(in super::super) fn mend_ticket(&self, amiss: &Amiss) -> Result<()> {
        match amiss {
            Amiss::Stale(_) => Ok(()),
            Amiss::Without(mark) => {
                let Some(dir) = self.maybe_dir(&group_path(*mark))? else { return Ok(()) };
                match self.disk.create(&dir, PARKED, self.file_birth()) {
                    Err(error) if !error.exists() => return Err(error.into()),
                    _ => (),
                }
                match self.first_of(*mark)? {
                    Some(first) => self.to_ready(&dir, PARKED, &first.name, *mark),
                    None => self.remove_group(&dir, *mark),
                }
            }
            Amiss::Spare(place) => {
                let Some(dir) = self.dir_of(place)? else { return Ok(()) };
                let file = match self.disk.open(&dir, &place.file_name, Access::Read) {
                    Err(error) if error.missing() => return Ok(()),
                    opened => opened?,
                };
                // Somebody may work by it: then it is not the spare one, and goes when it comes home.
                if !self.disk.try_lock(&file)? {
                    return Ok(());
                }
                match self.disk.unlink(&dir, &place.file_name) {
                    Err(error) if error.missing() => Ok(()),
                    gone => Ok(gone?),
                }
            }
        }
    }

    /// Mends all tickets once after each start of the machine; whether there was one to mend.
    pub(in super::super) fn mended_since_boot(&self) -> Result<bool> {
        if self.maybe_dir(Path::new(GROUPS))?.is_none() || !seq::of_another_boot(self)? {
            return Ok(false);
        }
        let amiss = self.tickets_amiss()?;
        drop(Seq::lock(self)?);
        Ok(!amiss.is_empty())
    }

    /// Mends all. The caller holds the lock of `seq`.
    pub(in super::super) fn mend_tickets(&self) -> Result<()> {
        for amiss in self.tickets_amiss()? {
            self.mend_ticket(&amiss)?;
        }
        Ok(())
    }

    /// Every name in `ready/`, tickets too.
    fn each_ready_name(&self, each: &mut impl FnMut(Place)) -> Result<()> {
        for top in Priority::all().map(ready_priority) {
            let Some(top) = self.maybe_dir(&top)? else { continue };
            for bucket in self.bucket_names(&top)? {
                let dir = match self.disk.open_dir(&top, &bucket) {
                    Err(error) if error.missing() => continue,
                    opened => opened?,
                };
                let _ = self.each_sorted(&dir, |text, _| {
                    if let Some(place) = Place::parse(State::Ready, text) {
                        each(place);
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(())
    }
}
