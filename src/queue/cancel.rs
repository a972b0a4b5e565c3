//! Cancelling: a message that nobody holds is dead-lettered at once. For one that a worker holds a request is left in
//! `cancel/`, under the message's id; the worker finds it, stops the job and dead-letters the message itself. No process
//! number is trusted: only the holder of the lock acts.
//!
//! The directory stands only while there are requests, so looking for one costs a call that finds nothing.

use super::browse::Place;
use super::create::put_control;
use super::error::{Error, Result};
use super::history::{self, Attempt, Outcome, Record};
use super::message::{self, Content, Depth};
use super::name::{CANCEL, ClaimedName, GroupMark, Grouped, Id, Lease, State, home};
use super::recover::Recovered;
use super::send::same;
use super::seq::Seq;
use super::{Queue, Settled};
use crate::fs::{Access, Dir, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

/// What one try to cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is dead-lettered.
    Dead,
    /// Somebody holds it, and was asked to stop its job.
    Asked { by: Option<u32> },
    /// Somebody has it for a few calls: a claimer, a recovery, or a job that has put it back and still runs. Try again.
    Busy { by: Option<u32> },
    /// It has moved on: look for it again.
    Gone,
}

/// A request, as it stands in `cancel/`.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    asked_at: String,
    reason: String,
}

/// What is said of a request that can't be read.
const UNSAID: &str = "cancelled";

impl Queue {
    /// Cancels a message where it stands: dead-letters it, or asks its holder to.
    ///
    /// Killed before the rename: as it was, perhaps with the record. After it: in `dead/`, durably once this has returned.
    /// A request that was left stands until the message is settled, whoever settles it, and makes recovery dead-letter it.
    ///
    /// # Errors
    /// [`Error::Refused`] for one that is dead, done or damaged: there is nothing to cancel.
    pub fn cancel(&self, place: &Place, reason: &str) -> Result<Cancelled> {
        match (place.state, &place.claimed) {
            (State::Delayed, _) if place.name.ticket_of().is_some() => self.cancel_turn(place, reason),
            (State::Ready | State::Delayed, _) => self.cancel_waiting(place, reason),
            (State::Claimed, Some(claimed)) if place.in_pack.is_some() => {
                self.cancel_in_pack(claimed, place.id(), reason)
            }
            (State::Claimed, Some(claimed)) => self.cancel_claimed(claimed, reason),
            (state, _) => Err(Error::Refused { why: format!("{} is {} already", place.id(), state.word()) }),
        }
    }

    /// One that waits: the lock, another look, the record, the rename.
    fn cancel_waiting(&self, place: &Place, reason: &str) -> Result<Cancelled> {
        let disk = &self.disk;
        let Some(place) = &self.unpacked(place)? else { return Ok(Cancelled::Gone) };
        let Some(dir) = self.dir_of(place)? else { return Ok(Cancelled::Gone) };
        let file = match disk.open(&dir, &place.file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(Cancelled::Gone),
            opened => opened?,
        };
        if !disk.try_lock(&file)? {
            return Ok(Cancelled::Busy { by: disk.holder(&disk.stat(&file)?).map(|holder| holder.pid) });
        }
        if !same(disk, &dir, &place.file_name, &file)? {
            return Ok(Cancelled::Gone);
        }
        if let (State::Ready, Some(Grouped::Message(mark))) = (place.state, place.name.group)
            && let Some(claim) = self.claim_of(&place.name, mark)?
        {
            // Its ticket is claimed for a receipt, whose holder has ended.
            return match &claim.claimed {
                Some(claimed) => self.cancel_claimed(claimed, reason),
                None => Ok(Cancelled::Gone),
            };
        }
        let stat = disk.stat(&file)?;
        if stat.links == 0 {
            // Removed since: rm takes no lock.
            return Ok(Cancelled::Gone);
        }
        if stat.kind != Kind::File || stat.links != 1 {
            let path = dir.path().join(&place.file_name);
            return Err(Error::Unknown { path, why: "is not a regular file with one name".into() });
        }
        let message = match message::load(disk, file, stat, Depth::Header)? {
            Content::Message(message) => message,
            Content::Unknown(why) => return Err(Error::Unknown { path: dir.path().join(&place.file_name), why }),
            Content::Placeholder(_lock) | Content::Bad(_lock, _) => {
                let path = dir.path().join(&place.file_name);
                self.set_aside(&dir, &place.file_name, "it was cancelled, and is no whole message")?;
                return Err(Error::Damaged { path, why: "set aside in damaged/".into() });
            }
        };
        self.record_cancellation(place, &message, reason)?;
        let dead = home(State::Dead, &place.name, None);
        let freeing = self.unique_release_begin(&message.header)?;
        match self.move_into(&dir, &place.file_name, &dead, &place.name.to_string()) {
            // What is due, or is put back, moves without our lock.
            Err(error) if error.missing() => return Ok(Cancelled::Gone),
            moved => moved?,
        }
        self.flush_moved(message.file(), &dead)?;
        self.unique_release_end(freeing);
        // A count for people: no reason to fail.
        let _ = Seq::lock(self).and_then(|mut seq| seq.count(0, 1));
        Ok(Cancelled::Dead)
    }

    /// One of a group whose ticket waits for a retry: the ticket's lock, another look, the record, and the group goes on.
    fn cancel_turn(&self, place: &Place, reason: &str) -> Result<Cancelled> {
        let disk = &self.disk;
        let (Some(mark), Some(dir)) = (place.name.ticket_of(), self.dir_of(place)?) else {
            return Ok(Cancelled::Gone);
        };
        let ticket = match disk.open(&dir, &place.file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(Cancelled::Gone),
            opened => opened?,
        };
        if !disk.try_lock(&ticket)? {
            return Ok(Cancelled::Busy { by: disk.holder(&disk.stat(&ticket)?).map(|holder| holder.pid) });
        }
        if !same(disk, &dir, &place.file_name, &ticket)? {
            return Ok(Cancelled::Gone);
        }
        let message = self.read_to_write(place, mark)?;
        if let Some(message) = &message {
            self.record_cancellation(place, message, reason)?;
        }
        let freeing = message.as_ref().map(|message| self.unique_release_begin(&message.header)).transpose()?;
        let Some(name) = self.marked(&dir, place, Lease::Buried)? else { return Ok(Cancelled::Gone) };
        let Some(name) = ClaimedName::parse(&name) else { return Ok(Cancelled::Gone) };
        if let Some(freeing) = freeing {
            self.unique_release_end(freeing);
        }
        // From here on recovery does the same.
        self.take_back(name, ticket)?;
        if let Some(message) = message {
            self.flush_moved(message.file(), &home(State::Dead, &place.name, None))?;
        }
        let _ = Seq::lock(self).and_then(|mut seq| seq.count(0, 1));
        Ok(Cancelled::Dead)
    }

    /// The message that a ticket stands for, for its history to be written to; `None` where it is gone or no whole one.
    fn read_to_write(&self, place: &Place, mark: GroupMark) -> Result<Option<message::Message>> {
        let Some(spot) = self.spot(&place.name, mark)? else { return Ok(None) };
        let Some(file) = self.open_spot(&spot)? else { return Ok(None) };
        let stat = self.disk.stat(&file)?;
        Ok(match message::load(&self.disk, file, stat, Depth::Header)? {
            Content::Message(message) => Some(*message),
            _ => None,
        })
    }

    /// No attempt ended here: the record stands beside that of the last one, and is not taken for it.
    fn record_cancellation(&self, place: &Place, message: &message::Message, reason: &str) -> Result<()> {
        let mut record = Attempt::new(place.name.attempts.count(), self.disk.now(), Outcome::Cancelled);
        (record.reason, record.uncounted) = (Some(reason.to_string()), true);
        let said = |last: &Attempt| last.outcome == Outcome::Cancelled && last.reason == record.reason;
        // A cancellation that was killed before its rename has left its record already.
        if message.history()?.last().is_some_and(said) {
            return Ok(());
        }
        match history::append(&self.disk, message.file(), message.body_end(), &Record::Attempt(record)) {
            Err(error) if !error.no_room() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// One that is claimed. Whoever gets its lock may end the claim: of a timed one its holder finds the lease lost, and a
    /// live one has no holder any more.
    fn cancel_claimed(&self, claimed: &ClaimedName, reason: &str) -> Result<Cancelled> {
        let disk = &self.disk;
        let dir = &*self.claimed_in(claimed)?;
        let file_name = claimed.to_string();
        // Read-only: closing it raises no event, so a probe wakes nobody.
        let probe = match disk.open(dir, &file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(Cancelled::Gone),
            opened => opened?,
        };
        if !disk.try_lock(&probe)? {
            let by = disk.holder(&disk.stat(&probe)?).map(|holder| holder.pid);
            if claimed.lease != Lease::Live {
                return Ok(Cancelled::Busy { by });
            }
            self.request(claimed.name.id, reason)?;
            return Ok(Cancelled::Asked { by });
        }
        if !same(disk, dir, &file_name, &probe)? {
            return Ok(Cancelled::Gone);
        }
        let Some(claim) = self.take_back(claimed.clone(), probe)? else { return Ok(Cancelled::Gone) };
        let mut record = Attempt::new(claim.attempt(), claim.started(), Outcome::Cancelled);
        record.reason = Some(reason.to_string());
        match claim.dead(self, Some(record)) {
            Ok(Settled::Dead) => Ok(Cancelled::Dead),
            Ok(_) | Err(Error::Lost { .. }) => Ok(Cancelled::Gone),
            Err(error) => Err(error),
        }
    }

    /// One that is claimed with its pack: the request is for its holder, or for the recovery that comes next, which is ours
    /// where nobody holds it any more.
    fn cancel_in_pack(&self, claimed: &ClaimedName, id: Id, reason: &str) -> Result<Cancelled> {
        let dir = &*self.claimed_in(claimed)?;
        let probe = match self.disk.open(dir, claimed.to_string(), Access::Read) {
            Err(error) if error.missing() => return Ok(Cancelled::Gone),
            opened => opened?,
        };
        self.request(id, reason)?;
        if !self.disk.try_lock(&probe)? {
            let by = self.disk.holder(&self.disk.stat(&probe)?).map(|holder| holder.pid);
            return Ok(Cancelled::Asked { by });
        }
        drop(probe);
        self.recover_claim(dir, claimed.clone(), &mut Recovered::default())?;
        Ok(Cancelled::Gone)
    }

    /// Leaves a request, and wakes the workers; one that stands already stays as it is.
    fn request(&self, id: Id, reason: &str) -> Result<()> {
        if self.cancellation(id)?.is_some() {
            return Ok(());
        }
        let request = Request { asked_at: self.disk.now().rfc3339(), reason: reason.to_string() };
        let mut bytes = serde_json::to_vec(&request).unwrap_or_default();
        bytes.push(b'\n');
        loop {
            let put = self.ensure_dir(Path::new(CANCEL)).and_then(|dir| {
                put_control(&self.disk, &dir, &id.to_string(), &bytes, self.settings.mode(), self.owner)
            });
            match put {
                // Somebody has removed the directory, which was empty.
                Err(error) if error.missing() => self.still_here()?,
                put => break put?,
            }
        }
        self.wake();
        Ok(())
    }

    /// The messages that are to be cancelled by whoever holds them.
    pub fn cancellations(&self) -> Result<BTreeSet<Id>> {
        let mut ids = BTreeSet::new();
        let Some(dir) = self.maybe_dir(Path::new(CANCEL))? else { return Ok(ids) };
        self.disk.list(&dir, |name, kind| {
            ids.extend(name.to_str().filter(|_| kind == Kind::File).and_then(Id::parse));
            ControlFlow::Continue(())
        })?;
        Ok(ids)
    }

    /// Why a message is to be cancelled; `None` where nobody asks for it.
    pub fn cancellation(&self, id: Id) -> Result<Option<String>> {
        let Some(dir) = self.maybe_dir(Path::new(CANCEL))? else { return Ok(None) };
        let file = match self.disk.open(&dir, id.to_string(), Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let mut bytes = vec![0; 64 << 10];
        let length = self.disk.read_full(&file, &mut bytes, 0)?;
        let request: Option<Request> = serde_json::from_slice(&bytes[..length]).ok();
        Ok(Some(request.map_or_else(|| UNSAID.into(), |request| request.reason)))
    }

    /// The message is settled: its request goes, and who waits for that is woken. Never fails: what stays is removed by
    /// recovery.
    pub fn cancellation_over(&self, id: Id) {
        if let Ok(Some(dir)) = self.maybe_dir(Path::new(CANCEL)) {
            let gone = self.disk.unlink(&dir, id.to_string());
            // Empty ones only: rmdir(2) refuses any other.
            let _ = self.disk.remove_dir(&self.dir, CANCEL);
            if gone.is_ok() {
                self.wake();
            }
        }
    }

    /// Does what requests ask for whose messages nobody holds any more, and removes those that are settled.
    pub(super) fn recover_cancellations(&self, recovered: &mut Recovered) -> Result<()> {
        let mut ids = self.cancellations()?;
        if ids.is_empty() {
            return Ok(());
        }
        // What is claimed is its holder's affair, or comes back by recovery, which looks here.
        self.each_place(State::Claimed, |place, _: &Dir| {
            ids.remove(&place.id());
            Ok(ControlFlow::Continue(()))
        })?;
        if ids.is_empty() {
            return Ok(());
        }
        let mut waiting = BTreeSet::new();
        for place in self.find(&ids)? {
            let (State::Ready | State::Delayed, Some(reason)) = (place.state, self.cancellation(place.id())?) else {
                if place.state == State::Claimed {
                    waiting.insert(place.id());
                }
                continue;
            };
            match self.cancel(&place, &reason)? {
                Cancelled::Dead => recovered.ended += 1,
                _ => drop(waiting.insert(place.id())),
            }
        }
        for id in ids.difference(&waiting) {
            self.cancellation_over(*id);
        }
        Ok(())
    }
}
