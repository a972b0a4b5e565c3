//! A claimed message and its ends: acknowledged, put back, or dead-lettered. Each end is one unlink or one rename of the
//! claimed name, so it happens once, whoever tries; a name that is gone means that it has happened already.

mod ack;
mod behind;
mod redeem;

use super::error::{Error, Result};
use super::history::{self, Attempt, Record};
use super::message::Message;
use super::name::{Attempts, ClaimedName, GroupMark, Id, Lease, Name, State, home};
use super::pack::Ending;
use super::receipt::Receipt;
use super::seq::Seq;
use super::{Queue, Sync};
use crate::fs::{Dir, File};
use crate::time::Time;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

/// A message in our hands. Dropping it changes nothing on disk: a live lease ends when its last descriptor is closed, and
/// then recovery finds the message.
#[derive(Debug)]
pub struct Claim {
    pub(super) name: ClaimedName,
    message: Message,
    started: Time,
    grip: Grip,
    /// Where the message is one of a group: then `name` is that of the ticket.
    ticket: Option<Ticket>,
    /// `name` is that of a pack, and only its first messages are ours, so many: there was no room to take them out.
    pub(super) front: Option<u32>,
    /// What of that pack waits for us.
    behind: Option<Box<behind::Behind>>,
}

/// What is claimed in place of a group's message, and where the message stands meanwhile.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The ticket, open: its lock is the lease.
    pub lock: File,
    pub dir: Dir,
    pub file_name: String,
}

/// What we hold of the lock on the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grip {
    /// The lock, alone or with a job that is over when the message is settled: LOCK_UN ends it for every descriptor.
    Ours,
    /// The worker's lock through a descriptor that a job inherited: it may write, and must not unlock.
    Shared,
    /// Nothing but the receipt of a live lease: the rename or the unlink alone.
    Receipt,
    /// Nothing: it is acknowledged, and its job is still to run.
    Spent,
}

/// When a message that failed may be claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    Now,
    After(Duration),
    /// As the queue's `backoff` says for the attempts so far.
    Backoff,
}

/// Whether the attempt that ends here counts against `max_attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    Counted,
    Uncounted,
}

/// How a message was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Acked,
    /// Acknowledged, and gone although the queue keeps such messages: there was no space for it in `done/`.
    Unkept,
    Ready,
    Delayed {
        due: Time,
    },
    Dead,
    /// Its claimed name was gone: the job has settled it by its receipt, or a person has moved it.
    Already,
}

impl Claim {
    pub(super) fn new(name: ClaimedName, message: Message, started: Time) -> Claim {
        Claim { name, message, started, grip: Grip::Ours, ticket: None, front: None, behind: None }
    }

    /// The first message of a pack that is claimed with the pack around it.
    pub(super) fn front(name: ClaimedName, pack: Message, started: Time) -> Result<Claim> {
        let message = pack.unpacked(name.name.window().start)?;
        Ok(Claim { name, message, started, grip: Grip::Ours, ticket: None, front: Some(1), behind: None })
    }

    /// So many of the first messages of a pack that is claimed with them, and was found whole.
    pub(super) fn fronts(name: ClaimedName, pack: Message, started: Time, many: u32) -> Claim {
        let front = Some(many);
        Claim { name, message: pack, started, grip: Grip::Ours, ticket: None, front, behind: None }
    }

    pub(super) fn of_group(name: ClaimedName, message: Message, ticket: Ticket, started: Time) -> Claim {
        Claim { name, message, started, grip: Grip::Ours, ticket: Some(ticket), front: None, behind: None }
    }

    /// The ticket of a group's message, and the group.
    fn ticket(&self) -> Option<(&Ticket, GroupMark)> {
        self.ticket.as_ref().zip(self.name.name.ticket_of())
    }

    /// What is locked: the message, or the ticket of its group.
    fn lock_file(&self) -> &File {
        self.ticket.as_ref().map_or(self.message.file(), |ticket| &ticket.lock)
    }

    /// Whether the lock is ours, alone or shared, and not just the receipt.
    pub(super) fn holds(&self) -> bool {
        self.grip != Grip::Receipt
    }

    pub fn id(&self) -> Id {
        self.name.name.id
    }
    /// Under what name it stands in `claimed/`.
    pub(super) fn claimed_name(&self) -> String {
        self.name.text()
    }
    pub(super) fn claimed_as(&self) -> &ClaimedName {
        &self.name
    }
    /// What its name says beside the lease.
    pub fn name(&self) -> &Name {
        &self.name.name
    }
    pub fn lease(&self) -> Lease {
        self.name.lease
    }
    /// Whether it is the first of a pack that was taken in hand, however many still wait behind it.
    pub(super) fn in_hand(&self) -> bool {
        matches!(self.name.lease, Lease::Front(_))
    }
    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.name.name.attempts.count()
    }
    pub fn started(&self) -> Time {
        self.started
    }
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The receipt for this claim of a queue that the claimer calls by this name or absolute path.
    pub fn receipt(&self, queue: &str) -> Receipt {
        Receipt::new(queue.to_string(), self.name.clone())
    }

    /// The locked descriptor: the job inherits a duplicate, and while one is open the lease of a live claim holds.
    ///
    /// # Errors
    /// `Unsupported` in a modelled file system.
    pub fn lock_fd(&self) -> std::io::Result<BorrowedFd<'_>> {
        let job = self.behind.as_ref().and_then(|behind| behind.job.as_ref());
        job.unwrap_or(self.lock_file()).handle().fd()
    }

    /// Puts the message back, or dead-letters it when its attempts are used up. `record` goes into its history.
    ///
    /// Killed before the rename: still claimed, and recovery gives the attempt its record if this one did not. After it:
    /// where it was put. Not flushed unless it was dead-lettered or `sync = all`.
    pub fn nack(mut self, queue: &Queue, again: Again, counting: Counting, record: Option<Attempt>) -> Result<Settled> {
        let attempts = self.name.name.attempts;
        let max = queue.settings.max_attempts();
        if counting == Counting::Counted && attempts.count() >= max {
            return self.dead(queue, record);
        }
        self.part_from_rest(queue)?;
        let in_hand = self.front.is_some() && self.in_hand();
        let untouched = record.is_none() && (again, counting) == (Again::Now, Counting::Uncounted);
        if in_hand && untouched && self.grip == Grip::Ours {
            return self.put_back_whole(queue);
        }
        // One whose job is alive goes back as it is, with the lock that is on it: nobody gets it before that job is over.
        if self.front.is_some() && (!in_hand || self.grip == Grip::Ours) {
            return self.leave_front(queue, Ending::Again(again, counting), record);
        }
        let name = match counting {
            Counting::Counted => self.name.name.clone(),
            Counting::Uncounted => Name { attempts: attempts.previous(), ..self.name.name.clone() },
        };
        let delay = queue.delay(again, attempts)?;
        let due = queue.disk.now().plus(delay);
        let (state, new) = match delay.is_zero() {
            true => (State::Ready, name.to_string()),
            false => (State::Delayed, name.delayed(due)),
        };
        let below = home(state, &name, Some(due));
        let settled = match self.leave(queue, &below, &new, record.as_ref()) {
            Err(error) if error.missing() => self.already(queue, record),
            Err(error) => Err(error),
            Ok(()) => {
                let flushed = match queue.settings.sync() {
                    Sync::All => queue.flush_moved(self.lock_file(), &below),
                    _ => Ok(()),
                };
                flushed.map(|()| if state == State::Ready { Settled::Ready } else { Settled::Delayed { due } })
            }
        };
        self.release(queue);
        queue.wake();
        settled
    }

    /// Dead-letters the message at once, whatever its attempts. `record` goes into its history.
    ///
    /// After `Ok` it is in `dead/`, also after a power cut, unless the queue says `sync = none`.
    pub fn dead(mut self, queue: &Queue, record: Option<Attempt>) -> Result<Settled> {
        self.part_from_rest(queue)?;
        if self.front.is_some() {
            return self.leave_front(queue, Ending::Dead, record);
        }
        if self.is_pack() {
            // Each gets a file of its own, so that it can be looked at and redriven by itself.
            return self.settle_each(queue, &mut |_| (Ending::Dead, record.clone())).map(|_| Settled::Dead);
        }
        let name = self.name.name.clone();
        let below = home(State::Dead, &name, None);
        let dead = match self.ticket() {
            Some((ticket, mark)) => self.dead_in_group(queue, ticket, mark, record.as_ref()),
            None => {
                let freeing = queue.unique_release_begin(&self.message.header)?;
                match self.leave(queue, &below, &name.to_string(), record.as_ref()) {
                    Err(error) if error.missing() => Ok(None),
                    Err(error) => Err(error),
                    Ok(()) => {
                        // Before the flush, which others would have to wait for.
                        queue.unique_release_end(freeing);
                        queue.flush_moved(self.message.file(), &below).map(Some)
                    }
                }
            }
        };
        let settled = match dead {
            Ok(Some(())) => Ok(Settled::Dead),
            Ok(None) => self.already(queue, record),
            Err(error) => Err(error),
        };
        self.release(queue);
        if self.ticket.is_some() {
            queue.wake();
        }
        queue.room_in_flight();
        if matches!(settled, Ok(Settled::Dead)) {
            // A count for people: no reason to fail, or to say that the message is not dead.
            let _ = Seq::lock(queue).and_then(|mut seq| seq.count(0, 1));
        }
        settled
    }

    /// Sets the message aside as damaged: its body failed its check while it was copied for the job.
    ///
    /// Killed before the rename: still claimed, and found damaged again after recovery. After it: in `damaged/`, whole as
    /// it was found, beside the reason.
    pub fn set_aside(self, queue: &Queue, why: &str) -> Result<()> {
        if self.in_hand() {
            // Whoever claims from the pack next does so, and takes out of it what is whole.
            return self.put_back_whole(queue).map(drop);
        }
        let aside = match self.ticket() {
            Some((ticket, mark)) => self
                .end_in_group(queue, ticket, mark, Lease::Acked, |dir, name| queue.set_aside(dir, name, why))
                .map(|_| ()),
            None => queue.set_aside(&*queue.claimed_in(&self.name)?, &self.name.to_string(), why),
        };
        self.release(queue);
        queue.room_in_flight();
        aside
    }

    /// Renews a timed lease from now, for `lease` or for as long as it was claimed for. A live lease needs none.
    pub fn extend(self, queue: &Queue, lease: Option<Duration>) -> Result<()> {
        let Lease::Timed(had) = self.name.lease else { return Ok(()) };
        let dir = queue.claimed_dir()?;
        // The touch first: should we be killed in between, the old length runs from now, which is what most would expect.
        queue.disk.touch(self.lock_file())?;
        let wanted = ClaimedName { lease: Lease::Timed(lease.unwrap_or(had)), ..self.name.clone() };
        if wanted.lease != self.name.lease {
            let _count = queue.hold_count()?;
            match queue.disk.rename(dir, self.name.to_string(), dir, wanted.to_string()) {
                Err(error) if error.missing() => return Err(Error::Lost { id: self.id() }),
                renamed => renamed?,
            }
        }
        if queue.settings.sync() == Sync::All {
            queue.flush(self.lock_file(), dir)?;
        }
        Ok(())
    }

    /// The one rename out of `claimed/`, after the record of the attempt.
    pub(super) fn leave(&self, queue: &Queue, below: &Path, new: &str, record: Option<&Attempt>) -> Result<()> {
        queue.with_reserve(|| self.leave_once(queue, below, new, record))
    }

    fn leave_once(&self, queue: &Queue, below: &Path, new: &str, record: Option<&Attempt>) -> Result<()> {
        let dir = &*queue.claimed_in(&self.name)?;
        if let Some(record) = record
            && self.grip != Grip::Receipt
            // Lock, then look again, before any append: a job may have acknowledged the message or moved it on.
            && super::send::same(&queue.disk, dir, &self.name.to_string(), self.lock_file())?
        {
            self.append(queue, record);
        }
        queue.place_into(dir, &self.name.to_string(), below, new)
    }

    /// A record that can't be written (no space, a disk error) never stops the transition.
    pub(super) fn append(&self, queue: &Queue, record: &Attempt) {
        let record = Record::Attempt(record.clone());
        let _ = history::append(&queue.disk, self.message.file(), self.message.body_end(), &record);
    }

    /// The claimed name is gone. Where the message now is, the attempt leaves its record all the same, since we still hold
    /// its lock and nobody else can write to it.
    pub(super) fn already(&self, queue: &Queue, record: Option<Attempt>) -> Result<Settled> {
        queue.still_here()?;
        if self.grip != Grip::Ours || !matches!(self.name.lease, Lease::Live | Lease::Front(_)) {
            return Err(Error::Lost { id: self.id() });
        }
        if let Some(record) = record
            && queue.disk.stat(self.message.file())?.links == 1
        {
            self.append(queue, &record);
        }
        Ok(Settled::Already)
    }

    /// Ends the lock for every descriptor, a leftover child's too: only once the message is settled and its job is over.
    pub(super) fn release(&self, queue: &Queue) {
        if self.grip == Grip::Ours {
            self.end_job(queue);
            if self.ticket.is_some() {
                let _ = queue.disk.unlock(self.message.file());
            }
            let _ = queue.disk.unlock(self.lock_file());
        }
    }
}

impl Queue {
    /// How long a message waits that was claimed so often.
    pub(super) fn delay(&self, again: Again, attempts: Attempts) -> Result<Duration> {
        Ok(match again {
            Again::Now => Duration::ZERO,
            Again::After(delay) => delay,
            Again::Backoff => {
                let random = u64::from_le_bytes(self.disk.random()?);
                self.settings.backoff().delay(attempts.count(), random)
            }
        })
    }

    /// Whether a message of this name is in the dead-letter queue: one look, for a message of a group two.
    pub fn is_dead(&self, name: &Name) -> Result<bool> {
        self.is_in(State::Dead, name)
    }

    fn is_done(&self, name: &Name) -> Result<bool> {
        self.is_in(State::Done, name)
    }

    fn is_in(&self, state: State, name: &Name) -> Result<bool> {
        let Some(dir) = self.maybe_dir(&home(state, name, None))? else { return Ok(false) };
        let names = [Some(name.to_string()), name.ticket_of().map(|_| name.as_message().to_string())];
        for name in names.into_iter().flatten() {
            match self.disk.stat_at(&dir, name) {
                Err(error) if error.missing() => (),
                stat => return Ok(stat.map(|_| true)?),
            }
        }
        Ok(false)
    }

    /// Flushes a message that was just moved, where the policy asks for it.
    pub(super) fn flush_moved(&self, file: &File, below: &Path) -> Result<()> {
        if self.settings.sync() == Sync::None {
            return Ok(());
        }
        let dir = self.ensure_dir(below)?;
        self.flush(file, &dir)
    }
}
