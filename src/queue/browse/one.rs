//! One message of those that were listed: where it is, what it says, who has it and since when. Locks nothing.

use super::Place;
use crate::fs::{Access, Dir};
use crate::queue::Queue;
use crate::queue::error::{Error, Result};
use crate::queue::message::{self, Content, Depth, Message};
use crate::queue::name::{Grouped, Id, Lease, State};
use crate::time::Time;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

impl Queue {
    /// Where the messages with these ids are. An id that is nowhere was looked for more than once, since a message that
    /// moves from a state not yet looked at to one already looked at is easily missed.
    pub fn find(&self, ids: &BTreeSet<Id>) -> Result<Vec<Place>> {
        let mut found: Vec<Place> = Vec::new();
        let mut missing = ids.clone();
        for _ in 0..3 {
            for place in &found {
                missing.remove(&place.id());
            }
            if missing.is_empty() {
                break;
            }
            for state in State::ALL {
                self.each_file(state, |place, _| {
                    if place.name.pack.is_none() {
                        if missing.contains(&place.id()) {
                            found.push(place);
                        }
                        return Ok(ControlFlow::Continue(()));
                    }
                    for id in missing.range(place.id()..=place.name.last_id()) {
                        let index = id.since(place.name.bucket.0).and_then(|index| u32::try_from(index).ok());
                        found.extend(index.map(|index| place.one_of_pack(index)));
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        self.still_here()?;
        Ok(found)
    }

    /// The directory that a place's name is in; `None` when it is gone, and the message with it.
    pub(in crate::queue) fn dir_of(&self, place: &Place) -> Result<Option<Dir>> {
        if let (State::Ready, Some(Grouped::Message(mark))) = (place.state, place.name.group) {
            return Ok(self.spot(&place.name, mark)?.map(|spot| spot.dir));
        }
        self.maybe_dir(&place.home())
    }

    /// Reads a message where it is, without disturbing it: opened for reading, no lock. `None` when it has moved on.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is no whole message; nothing is set aside by looking.
    pub fn read(&self, place: &Place) -> Result<Option<Message>> {
        let (dir, file_name) = match place.name.ticket_of() {
            Some(mark) => match self.spot(&place.name, mark)? {
                Some(spot) => (spot.dir, spot.file_name),
                None => return Ok(None),
            },
            None => match self.dir_of(place)? {
                Some(dir) => (dir, place.file_name.clone()),
                None => return Ok(None),
            },
        };
        let file = match self.disk.open(&dir, &file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let stat = self.disk.stat(&file)?;
        let path = file.path().to_path_buf();
        match message::load(&self.disk, file, stat, Depth::Header)? {
            Content::Message(message) => match place.in_pack {
                Some(index) => message.unpacked(index).map(Some),
                None => Ok(Some(*message)),
            },
            Content::Placeholder(_) => Err(Error::Damaged { path, why: "it was never finished".into() }),
            Content::Bad(_, why) => Err(Error::Damaged { path, why }),
            Content::Unknown(why) => Err(Error::Unknown { path, why }),
        }
    }

    /// Who holds a claimed message now, from the kernel's lock table; `None` for a timed lease, or where nobody does.
    pub fn holder(&self, place: &Place) -> Result<Option<u32>> {
        if place.claimed.as_ref().is_some_and(|claimed| matches!(claimed.lease, Lease::Timed(_))) {
            return Ok(None);
        }
        let Some(dir) = self.dir_of(place)? else { return Ok(None) };
        match self.disk.stat_at(&dir, &place.file_name) {
            Err(error) if error.missing() => Ok(None),
            stat => Ok(self.disk.holder(&stat?).map(|holder| holder.pid)),
        }
    }

    /// When the message came to its state, by the file's inode, and until when a timed lease runs.
    pub fn times(&self, place: &Place) -> Result<Option<Times>> {
        let Some(dir) = self.dir_of(place)? else { return Ok(None) };
        match self.disk.stat_at(&dir, &place.file_name) {
            Err(error) if error.missing() => Ok(None),
            stat => {
                let stat = stat?;
                let lease_until = match place.claimed.as_ref().map(|claimed| claimed.lease) {
                    Some(Lease::Timed(lease)) => Some(stat.modified.plus(lease)),
                    _ => None,
                };
                Ok(Some(Times { since: stat.changed, lease_until }))
            }
        }
    }
}

/// Moments of a message that its name does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it came to its state; for a timed claim, when it was claimed or extended last.
    pub since: Time,
    pub lease_until: Option<Time>,
}
