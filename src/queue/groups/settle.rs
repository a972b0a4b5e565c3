//! The ends of a claim on a group's message. The ticket's lock, or the one rename of its name, decides who may end it; then
//! the message ends; then the ticket goes on. Killed in between, the ticket is in `claimed/`, free, and says what happened.

use super::super::error::{Error, Result};
use super::super::message::{self, Content, Depth};
use super::super::name::{ClaimedName, GroupMark, Lease, State, Token, home};
use super::super::send::same;
use super::super::settle::{Claim, Settled, Ticket};
use super::super::{Attempt, OnDead, Place, Queue, Removed};
use super::Spot;
use crate::fs::{Access, Dir, File};

impl Claim {
    /// Ends the message with `end`, given where it stands, if the claim is still ours to end, and sends the ticket on.
    /// `None` when it is not.
    pub(in super::super) fn end_in_group(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        mark: GroupMark,
        marked: Lease,
        end: impl FnOnce(&Dir, &str) -> Result<()>,
    ) -> Result<Option<()>> {
        let freeing = queue.unique_release_begin(&self.message().header)?;
        let Some(name) = self.end_first_of(queue, ticket, marked, end)? else { return Ok(None) };
        // Nobody waits for the lock of `seq`, as the ticket may have to, with a key in hand.
        queue.unique_release_end(freeing);
        // The message has ended: whatever fails now, recovery sends the ticket on.
        let _ = queue.move_on(queue.claimed_dir()?, &name, mark);
        Ok(Some(()))
    }

    /// Ends the message, and leaves the ticket claimed: its name now. `None` when the claim is not ours to end.
    fn end_first_of(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        marked: Lease,
        end: impl FnOnce(&Dir, &str) -> Result<()>,
    ) -> Result<Option<String>> {
        let dir = queue.claimed_dir()?;
        let mut name = self.name.to_string();
        if self.holds() {
            if !same(&queue.disk, dir, &name, &ticket.lock)? {
                return Ok(None);
            }
        } else {
            // With no more than the receipt, one rename decides between us and everybody else.
            let ended = ClaimedName { lease: marked, ..self.name.clone() };
            let _count = queue.hold_count()?;
            match queue.disk.rename(dir, &name, dir, ended.to_string()) {
                Err(error) if error.missing() => return Ok(None),
                renamed => renamed?,
            }
            name = ended.to_string();
        }
        match end(&ticket.dir, &ticket.file_name) {
            // Removed by hand.
            Err(error) if error.missing() => queue.still_here()?,
            ended => ended?,
        }
        Ok(Some(name))
    }

    /// Acknowledges a group's message whose job is still to run: the group waits for the job all the same.
    pub(in super::super) fn ack_first_in_group(&self, queue: &Queue, ticket: &Ticket) -> Result<Settled> {
        let mut settled = Settled::Acked;
        let end = |dir: &Dir, name: &str| self.end_at(queue, dir, name, None).map(|ended| settled = ended);
        match self.end_first_of(queue, ticket, Lease::Acked, end)? {
            Some(_) => Ok(settled),
            None => Ok(Settled::Already),
        }
    }

    /// Dead-letters a group's message, and the group goes on or is held, as the queue says. `None` when the claim is lost.
    pub(in super::super) fn dead_in_group(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        mark: GroupMark,
        record: Option<&Attempt>,
    ) -> Result<Option<()>> {
        let name = &self.name.name;
        if queue.settings.group_on_dead() == OnDead::Hold {
            // The ticket becomes the dead letter, and the message stays first in its group.
            let below = home(State::Dead, name, None);
            let freeing = queue.unique_release_begin(&self.message().header)?;
            return match self.leave(queue, &below, &name.to_string(), record) {
                Err(error) if error.missing() => Ok(None),
                Err(error) => Err(error),
                Ok(()) => {
                    queue.unique_release_end(freeing);
                    queue.flush_moved(self.message().file(), &below)?;
                    queue.flush_moved(&ticket.lock, &below).map(Some)
                }
            };
        }
        let dead = name.as_message();
        let below = home(State::Dead, &dead, None);
        self.end_in_group(queue, ticket, mark, Lease::Buried, |dir, file_name| {
            if let Some(record) = record.filter(|_| self.holds()) {
                self.append(queue, record);
            }
            queue.move_into(dir, file_name, &below, &dead.to_string())?;
            queue.flush_moved(self.message().file(), &below)
        })
    }

    /// Acknowledges a group's message. `None` when the claim is lost.
    pub(in super::super) fn ack_in_group(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        mark: GroupMark,
        record: Option<&Attempt>,
    ) -> Result<Option<Settled>> {
        let mut settled = Settled::Acked;
        let end = |dir: &Dir, name: &str| self.end_at(queue, dir, name, record).map(|ended| settled = ended);
        let ended = self.end_in_group(queue, ticket, mark, Lease::Acked, end)?;
        Ok(ended.map(|()| settled))
    }
}

impl Queue {
    /// The message that a claimed ticket stands for, to be settled by who holds `lock` or has the receipt. `None` when it is
    /// not there any more.
    pub(in super::super) fn redeem_in_group(
        &self,
        name: &ClaimedName,
        mark: GroupMark,
        lock: File,
        depth: Depth,
    ) -> Result<Option<(message::Message, Ticket)>> {
        let Some(spot) = self.spot(&name.name, mark)? else { return Ok(None) };
        let Some(file) = self.open_spot(&spot)? else { return Ok(None) };
        let stat = self.disk.stat(&file)?;
        let Spot { dir, file_name, .. } = spot;
        let path = file.path().to_path_buf();
        match message::load(&self.disk, file, stat, depth)? {
            Content::Message(message) => Ok(Some((*message, Ticket { lock, dir, file_name }))),
            Content::Unknown(why) => Err(Error::Unknown { path, why }),
            Content::Placeholder(_) => Err(Error::Damaged { path, why: "it was never finished".into() }),
            Content::Bad(_, why) => Err(Error::Damaged { path, why }),
        }
    }

    /// A claimed ticket whose holder is gone and whose lock is ours, taken back: either as a claim to be settled, or done
    /// with here, where its message has ended or is damaged.
    pub(in super::super) fn take_back_ticket(
        &self,
        name: &ClaimedName,
        mark: GroupMark,
        probe: File,
    ) -> Result<Option<Claim>> {
        let dir = self.claimed_dir()?;
        let file_name = name.to_string();
        let since = self.disk.stat(&probe)?.changed;
        match (name.lease, self.spot(&name.name, mark)?) {
            (Lease::Acked, Some(spot)) => {
                self.end(&spot.dir, &spot.file_name, &name.name.as_message())?;
            }
            (Lease::Removed, Some(spot)) => self.disk.unlink(&spot.dir, &spot.file_name)?,
            (Lease::Buried, Some(spot)) => {
                let dead = name.name.as_message();
                let below = home(State::Dead, &dead, None);
                self.move_into(&spot.dir, &spot.file_name, &below, &dead.to_string())?;
            }
            (_, None) => (),
            (_, Some(spot)) => {
                let found = match self.open_spot(&spot)? {
                    Some(file) => {
                        let stat = self.disk.stat(&file)?;
                        message::load(&self.disk, file, stat, Depth::Small)?
                    }
                    None => return Ok(None),
                };
                let Spot { dir: at, file_name: message_name, .. } = spot;
                match found {
                    Content::Message(message) => {
                        let ticket = Ticket { lock: probe, dir: at, file_name: message_name };
                        return Ok(Some(Claim::of_group(name.clone(), *message, ticket, since)));
                    }
                    Content::Unknown(why) => return Err(Error::Unknown { path: at.path().join(message_name), why }),
                    Content::Placeholder(_) => self.set_aside(&at, &message_name, "it was never finished")?,
                    Content::Bad(_, why) => self.set_aside(&at, &message_name, &why)?,
                }
            }
        }
        // The probe has the lock until here.
        self.move_on(dir, &file_name, mark).map(|()| None)
    }

    /// Removes the message of a group whose ticket is delayed or held as dead: the group goes on.
    pub(in super::super) fn remove_held(&self, place: &Place, mark: GroupMark) -> Result<Removed> {
        let freeing = self.unique_release_at(place)?;
        let Some(dir) = self.dir_of(place)? else { return Ok(Removed::Gone) };
        let ticket = match self.disk.open(&dir, &place.file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(Removed::Gone),
            opened => opened?,
        };
        if !self.disk.try_lock(&ticket)? {
            let by = self.disk.holder(&self.disk.stat(&ticket)?).map(|holder| holder.pid);
            return Err(Error::Held { id: place.id(), by });
        }
        if !same(&self.disk, &dir, &place.file_name, &ticket)? {
            return Ok(Removed::Gone);
        }
        let Some(name) = self.marked(&dir, place, Lease::Removed)? else { return Ok(Removed::Gone) };
        match self.spot(&place.name, mark)? {
            Some(spot) => self.disk.unlink(&spot.dir, &spot.file_name)?,
            None => self.still_here()?,
        }
        self.unique_release_end(freeing);
        // It is removed: whatever fails now, recovery sends the ticket on.
        let _ = self.move_on(self.claimed_dir()?, &name, mark);
        Ok(Removed::Removed)
    }

    /// The one rename by which a ticket that is delayed or dead goes to where recovery looks, with a mark that says how its
    /// message is to end. The caller holds its lock. Its new name; `None` when it is gone.
    pub(in super::super) fn marked(&self, dir: &Dir, place: &Place, mark: Lease) -> Result<Option<String>> {
        let token = Token::new(self.disk.random()?);
        let name = ClaimedName { name: place.name.clone(), lease: mark, token }.to_string();
        let claimed = std::path::Path::new(State::Claimed.word());
        match self.move_into(dir, &place.file_name, claimed, &name) {
            Err(error) if error.missing() => Ok(None),
            moved => moved.map(|()| Some(name)),
        }
    }

    /// Removes a message that waits in its group. Its lock keeps a claimer off; a claim that ended its process before it ended
    /// is known by the ticket.
    pub(in super::super) fn remove_waiting(&self, place: &Place, mark: GroupMark) -> Result<Removed> {
        let Some(spot) = self.spot(&place.name, mark)? else { return Ok(Removed::Gone) };
        let Some(file) = self.open_spot(&spot)? else { return Ok(Removed::Gone) };
        if !self.disk.try_lock(&file)? {
            let by = self.disk.holder(&self.disk.stat(&file)?).map(|holder| holder.pid);
            return Err(Error::Held { id: place.id(), by });
        }
        if !same(&self.disk, &spot.dir, &spot.file_name, &file)? {
            return Ok(Removed::Gone);
        }
        if let Some(claim) = self.claim_of(&place.name, mark)? {
            return Err(Error::Held { id: place.id(), by: self.holder(&claim)? });
        }
        self.disk.unlink(&spot.dir, &spot.file_name)?;
        Ok(Removed::Removed)
    }
}
