//! Taking messages out by hand: redriving dead ones, moving to another queue, and removing.

use super::Queue;
use super::browse::Place;
use super::busy::a_moment;
use super::error::{Error, Result};
use super::history::{self, Record, Redrive};
use super::message::{self, Content, Depth, Message};
use super::name::{Attempts, Grouped, Id, Lease, Name, Priority, State, WHY, home, ready_priority};
use super::send::same;
use super::seq::Seq;
use crate::fs::{Access, Dir, File, Kind};

/// How often to look again, a millisecond apart, when a ready message is locked.
const BUSY_LOOKS: u32 = 20;

/// What became of one message that was to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is there, under this id.
    To(Id),
    /// Somebody else has moved or removed it meanwhile.
    Gone,
}

/// What became of one message that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Removed,
    /// Somebody else has moved or removed it meanwhile.
    Gone,
}

impl Queue {
    /// Sends a dead message round again: its attempts begin anew; its uid and history stay, and the redrives are counted.
    /// In the same queue it keeps its id; in another one (`to`) it gets the next id there.
    ///
    /// One rename, so a kill loses and doubles nothing. Durable after [`Queue::flush_all`] of the queue it went to.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] when `to` is on another file system.
    pub fn redrive(&self, place: &Place, to: Option<&Queue>) -> Result<Moved> {
        self.relocate(place, to)
    }

    /// Moves a ready, delayed or dead message to another queue, under the next id there. Uid, priority, due time and history
    /// stay; its attempts begin anew, and for a dead one this is a redrive.
    ///
    /// One rename, so a kill leaves it in the one queue or the other. Durable after [`Queue::flush_all`] of `to`.
    ///
    /// # Errors
    /// [`Error::Held`] for one that somebody holds, [`Error::Elsewhere`] when `to` is on another file system.
    pub fn move_to(&self, place: &Place, to: &Queue) -> Result<Moved> {
        self.movable(place)?;
        self.relocate(place, Some(to))
    }

    /// Whether a message in this state may be moved.
    ///
    /// # Errors
    /// As of [`Queue::move_to`], which asks the same.
    pub fn movable(&self, place: &Place) -> Result<()> {
        match place.state {
            State::Ready | State::Delayed | State::Dead => Ok(()),
            State::Claimed => Err(Error::Held { id: place.id(), by: self.holder(place)? }),
            State::Done | State::Damaged => {
                Err(Error::Refused { why: format!("{}: a {} message is not moved", place.id(), place.state.word()) })
            }
        }
    }

    fn relocate(&self, place: &Place, to: Option<&Queue>) -> Result<Moved> {
        let Some(place) = &self.unpacked(place)? else { return Ok(Moved::Gone) };
        let group = place.name.group.map(Grouped::mark);
        let disk = &self.disk;
        // Before its history says that it was redriven; where the rename finds out all the same (a bind mount), it says EXDEV.
        if let Some(to) = to
            && disk.stat_dir(&self.dir)?.identity.device != disk.stat_dir(&to.dir)?.identity.device
        {
            return Err(Error::Elsewhere { path: to.path().to_path_buf() });
        }
        let Some(dir) = self.dir_of(place)? else { return Ok(Moved::Gone) };
        let Some(file) = self.hold(&dir, place)? else { return Ok(Moved::Gone) };
        if let (State::Ready, Some(Grouped::Message(mark))) = (place.state, place.name.group)
            && let Some(claim) = self.claim_of(&place.name, mark)?
        {
            return Err(Error::Held { id: place.id(), by: self.holder(&claim)? });
        }
        let stat = disk.stat(&file)?;
        // Where a ticket is delayed or dead, its message stands first in the group.
        let mut held = None;
        let (at, file_name, file, stat) = match place.name.ticket_of() {
            None => (&dir, place.file_name.clone(), file, stat),
            Some(mark) => {
                let spot = self.spot(&place.name, mark)?;
                let Some(message) = spot.as_ref().map(|spot| self.open_spot(spot)).transpose()?.flatten() else {
                    self.move_on(&dir, &place.file_name, mark)?;
                    return Ok(Moved::Gone);
                };
                let stat = disk.stat(&message)?;
                held = spot.map(|spot| (spot, mark, file));
                let Some((spot, ..)) = &held else { return Ok(Moved::Gone) };
                (&spot.dir, spot.file_name.clone(), message, stat)
            }
        };
        let message = match message::load(disk, file, stat, Depth::Header)? {
            Content::Message(message) => message,
            Content::Unknown(why) => return Err(Error::Unknown { path: at.path().join(&file_name), why }),
            Content::Placeholder(_lock) | Content::Bad(_lock, _) => {
                let path = at.path().join(&file_name);
                let why = format!("it was {}, and is no whole message", place.state.word());
                self.set_aside(at, &file_name, &why)?;
                return Err(Error::Damaged { path, why: "set aside in damaged/".into() });
            }
        };
        self.begin_anew(place, &message)?;
        let anew = Name { attempts: Attempts::default(), ..place.name.clone() };
        let moved = match (to, group) {
            (None, Some(mark)) if held.is_none() => {
                self.readmit(message.stat.size)?;
                let _seq = Seq::lock(self)?;
                self.put_in_group(at, &file_name, &anew, mark).map(|()| anew.id)
            }
            (None, _) => {
                self.readmit(message.stat.size)?;
                let ready = home(State::Ready, &anew, None);
                self.with_key_again(&message.header, &anew, || {
                    self.place_into(&dir, &place.file_name, &ready, &anew.to_string()).map(|()| anew.id)
                })
            }
            (Some(to), _) => {
                // Killed between here and the ticket's going on, recovery leaves the message dead, and lets its group go on.
                let ticket = match &held {
                    Some(_) => match self.marked(&dir, place, Lease::Buried)? {
                        None => return Ok(Moved::Gone),
                        name => name,
                    },
                    None => None,
                };
                let due = place.due.filter(|_| group.is_none());
                let freeing = self.unique_release_begin(&message.header)?;
                let seq = Seq::lock(to)?;
                let published = to.publish_moved(seq, at, &file_name, &message.header, (anew.priority, due, group));
                if published.is_ok() {
                    self.unique_release_end(freeing);
                }
                if let (Ok(_), Some((_, mark, _lock)), Some(name)) = (&published, &held, ticket) {
                    let _ = self.move_on(self.claimed_dir()?, &name, *mark);
                }
                published
            }
        };
        match moved {
            Ok(id) => {
                to.unwrap_or(self).wake();
                Ok(Moved::To(id))
            }
            Err(error) if error.missing() => Ok(Moved::Gone),
            Err(Error::Disk(error)) if error.is(std::io::ErrorKind::CrossesDevices) => {
                Err(Error::Elsewhere { path: to.unwrap_or(self).path().to_path_buf() })
            }
            Err(error) => Err(error),
        }
    }

    /// Locks a message where it stands, and looks again; `None` when it is not there any more.
    fn hold(&self, dir: &Dir, place: &Place) -> Result<Option<File>> {
        let disk = &self.disk;
        let file = match disk.open(dir, &place.file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let mut looks = 0;
        loop {
            let locked = disk.try_lock(&file)?;
            if !same(disk, dir, &place.file_name, &file)? {
                return Ok(None);
            }
            if locked {
                return Ok(Some(file));
            }
            // A claimer in the middle of its few calls will have it out of here in a moment.
            if place.state != State::Ready || looks == BUSY_LOOKS {
                let by = disk.holder(&disk.stat(&file)?).map(|holder| holder.pid);
                return Err(Error::Held { id: place.id(), by });
            }
            looks += 1;
            a_moment();
        }
    }

    /// Writes into the history that the attempts begin anew, so that the next first attempt is not taken for the last one.
    /// A message that was never tried needs no such record.
    fn begin_anew(&self, place: &Place, message: &Message) -> Result<()> {
        let history = message.history()?;
        // Killed before its rename, a redrive has left its record already.
        let done = matches!(history.records.last(), Some(Record::Redrive(_)));
        if done || (place.state != State::Dead && history.records.is_empty()) {
            return Ok(());
        }
        let from = self.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let redrives = history.redrives() + u32::from(place.state == State::Dead);
        let record = Redrive { redriven_at: self.disk.now().rfc3339(), redrives, from };
        match history::append(&self.disk, message.file(), message.body_end(), &Record::Redrive(record)) {
            Err(error) if !error.no_room() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes a message for good. Durable after [`Queue::flush_all`].
    ///
    /// # Errors
    /// [`Error::Held`] when it is claimed: it belongs to its holder.
    pub fn remove(&self, place: &Place) -> Result<Removed> {
        if place.state == State::Claimed {
            return Err(Error::Held { id: place.id(), by: self.holder(place)? });
        }
        let Some(place) = &self.unpacked(place)? else { return Ok(Removed::Gone) };
        let of_group = match place.name.group {
            Some(Grouped::Ticket(mark)) => Some((mark, true)),
            Some(Grouped::Message(mark)) if place.state == State::Ready => Some((mark, false)),
            _ => None,
        };
        if let Some((mark, held)) = of_group {
            if held {
                return self.remove_held(place, mark);
            }
            let freeing = self.unique_release_at(place)?;
            let removed = self.remove_waiting(place, mark)?;
            if removed == Removed::Removed {
                self.unique_release_end(freeing);
            }
            return Ok(removed);
        }
        let Some(dir) = self.dir_of(place)? else { return Ok(Removed::Gone) };
        // Foreign things are not ours to remove, whatever they are called.
        match self.disk.stat_at(&dir, &place.file_name) {
            Err(error) if error.missing() => return Ok(Removed::Gone),
            stat => {
                if stat?.kind != Kind::File {
                    let path = dir.path().join(&place.file_name);
                    return Err(Error::Unknown { path, why: "is not a regular file".into() });
                }
            }
        }
        let freeing = match place.state {
            State::Ready | State::Delayed => Some(self.unique_release_at(place)?),
            _ => None,
        };
        // No lock: the name is the message in this state, so the unlink either ends that or finds it gone.
        match self.disk.unlink(&dir, &place.file_name) {
            Err(error) if error.missing() => return Ok(Removed::Gone),
            gone => gone?,
        }
        if let Some(freeing) = freeing {
            self.unique_release_end(freeing);
        }
        if place.state == State::Damaged {
            let _ = self.disk.unlink(&dir, format!("{}{WHY}", place.file_name));
        }
        Ok(Removed::Removed)
    }

    /// Removes the buckets of a state that were emptied by taking messages out, the newest of each list aside. Never fails:
    /// an empty directory that stays costs a look.
    pub fn remove_empty_buckets(&self, state: State) {
        let tops = match state {
            State::Ready => Priority::all().map(ready_priority).collect(),
            State::Claimed | State::Damaged => return,
            state => vec![state.word().into()],
        };
        for top in tops {
            let Ok(Some(dir)) = self.maybe_dir(&top) else { continue };
            let Ok(mut buckets) = self.bucket_names(&dir) else { continue };
            buckets.pop();
            for bucket in buckets {
                // Empty ones only: rmdir(2) refuses any other, and who moves a message home makes its bucket anew.
                let _ = self.disk.remove_dir(&dir, bucket);
            }
        }
    }

    /// Counts what was taken out, so that `stats` can tell it from what was acknowledged.
    pub fn count_removed(&self, removed: u64) -> Result<()> {
        if removed == 0 {
            return Ok(());
        }
        Seq::lock(self)?.count(removed, 0)
    }
}
