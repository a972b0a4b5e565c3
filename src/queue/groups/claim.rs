//! Claiming the first message of a group: its ticket is locked and renamed as any message is.

use super::super::claim::{Try, foreign};
use super::super::error::{Error, Result};
use super::super::message::{self, Content, Message};
use super::super::name::{Attempts, ClaimedName, GroupMark, Lease, Name, Token};
use super::super::pace::Gate;
use super::super::send::same;
use super::super::settle::{Claim, Ticket};
use super::super::{OnDead, OnExpire, Queue};
use super::Spot;
use crate::fs::{Access, Dir, File, Kind};

/// How a look at the first message of a group ended.
enum Head {
    Message(Box<Message>, Spot),
    /// Somebody holds the message itself: a person's `rm`, or the holder of a second ticket.
    Busy,
    /// There is none.
    None,
}

impl Queue {
    /// Claims the first message of the group that a ticket in `dir` stands for. As with any message, the attempt is counted
    /// by the one rename; a kill before or after it leaves the ticket where every process looks.
    pub(in super::super) fn try_ticket(
        &self,
        dir: &Dir,
        file_name: &str,
        name: &Name,
        mark: GroupMark,
        lease: Lease,
    ) -> Result<Try> {
        let disk = &self.disk;
        let ticket = match disk.open(dir, file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(Try::Gone),
            Err(error) if foreign(&error) => return Ok(Try::Unfit),
            opened => opened?,
        };
        if !disk.try_lock(&ticket)? {
            return Ok(Try::Busy);
        }
        let held = disk.stat(&ticket)?;
        if held.kind != Kind::File || held.links != 1 || !same(disk, dir, file_name, &ticket)? {
            return Ok(Try::Gone);
        }
        let (message, spot, attempts) = loop {
            let (message, spot) = match self.head(name, mark, lease)? {
                Head::Message(message, spot) => (*message, spot),
                Head::Busy => return Ok(Try::Busy),
                Head::None => {
                    // What it stood for is gone, with the one that ended it killed before it could send the ticket on.
                    self.move_on(dir, file_name, mark)?;
                    return Ok(Try::Unfit);
                }
            };
            let attempts = if spot.name.id == name.id { name.attempts } else { Attempts::default() };
            if !self.expired(&message)? {
                break (message, spot, attempts);
            }
            let ended = Name { attempts, ..spot.name.clone() };
            let held = self.settings.group_on_dead() == OnDead::Hold && self.settings.on_expire() == OnExpire::Dead;
            if held {
                // As any dead letter of such a queue: the ticket is it, and the message stays first in its group.
                return self.expire_held(dir, file_name, &ended.as_ticket(mark), &message).map(|()| Try::Unfit);
            }
            self.expire(&spot.dir, &spot.file_name, &ended, &message)?;
        };
        let permit = match self.pass()? {
            Gate::Open(permit) => permit,
            Gate::Shut(why) => return Ok(Try::HeldBack(why)),
        };
        if let Lease::Timed(_) = lease {
            disk.touch(&ticket)?;
        }
        if attempts == Attempts::default() {
            self.unique_claimed(&message)?;
        }
        let taken = Name { attempts: attempts.next(), ..spot.name.as_ticket(mark) };
        let claimed = ClaimedName { name: taken, lease, token: Token::new(disk.random()?) };
        if !self.take(dir, file_name, &claimed, permit, &ticket)? {
            return Ok(Try::Gone);
        }
        let ticket = Ticket { lock: ticket, dir: spot.dir, file_name: spot.file_name };
        Ok(Try::Claimed(Box::new(Claim::of_group(claimed, message, ticket, disk.now()))))
    }

    /// The first message of a group, locked, looked at again, and checked. What is damaged is set aside on the way.
    fn head(&self, name: &Name, mark: GroupMark, lease: Lease) -> Result<Head> {
        let mut known = self.spot(name, mark)?;
        loop {
            let Some(spot) = known.take().map_or_else(|| self.first_of(mark), |spot| Ok(Some(spot)))? else {
                return Ok(Head::None);
            };
            let Some(file) = self.open_spot(&spot)? else { continue };
            if !self.disk.try_lock(&file)? {
                return Ok(Head::Busy);
            }
            if !same(&self.disk, &spot.dir, &spot.file_name, &file)? {
                continue;
            }
            let stat = self.disk.stat(&file)?;
            if stat.kind != Kind::File || stat.links != 1 {
                // Not to be delivered, and not to be passed over either: its group stands still until somebody looks.
                let path = spot.dir.path().join(&spot.file_name);
                return Err(Error::Unknown { path, why: "is a message of a group with a second link".into() });
            }
            match message::load(&self.disk, file, stat, self.depth(lease))? {
                Content::Message(message) => return Ok(Head::Message(message, spot)),
                Content::Unknown(why) => {
                    return Err(Error::Unknown { path: spot.dir.path().join(&spot.file_name), why });
                }
                Content::Placeholder(_lock) => {
                    self.set_aside(&spot.dir, &spot.file_name, "it was never finished")?;
                }
                Content::Bad(_lock, why) => self.set_aside(&spot.dir, &spot.file_name, &why)?,
            }
        }
    }

    pub(in super::super) fn open_spot(&self, spot: &Spot) -> Result<Option<File>> {
        match self.disk.open(&spot.dir, &spot.file_name, Access::Write) {
            Err(error) if error.missing() => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }
}
