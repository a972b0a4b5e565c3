//! A pack in the hands of a worker whose jobs are short: its first message is claimed, and the others wait behind it. One rename
//! acknowledges the first and claims the next, so no message needs a file of its own.
//!
//! The lock on the pack is the worker's, and says that somebody goes on with it. A job gets a lock of its own, on the byte of its
//! index, under another opening: so what a job leaves behind holds up none of the messages after it, and who finds the worker
//! gone and its job alive takes away what waits behind that.

use super::{Claim, Grip, Settled};
use crate::fs::{Access, Dir, File, Store};
use crate::queue::error::{Error, Result};
use crate::queue::header::Header;
use crate::queue::history;
use crate::queue::message::{self, Content, Depth, Message};
use crate::queue::name::{ClaimedName, Id, Name, State, Token, home};
use crate::queue::pack::{Held, Packed, Pattern};
use crate::queue::{Queue, Sync};
use crate::time::Time;
use std::time::Duration;

/// What waits behind a first message, and what makes each of it the first.
#[derive(Debug)]
pub(super) struct Behind {
    /// What the messages of the pack have in common.
    header: Box<Header>,
    pattern: Pattern,
    /// The table and the bodies, and where in the file they begin.
    bytes: Vec<u8>,
    start: u64,
    /// When the first of them was claimed.
    since: Time,
    /// The opening whose lock is that of the job at hand.
    pub job: Option<File>,
}

impl Behind {
    /// This message of the pack, in the place of the one that `other` is.
    fn message(&self, other: Message, index: u32) -> Result<Message> {
        let damaged = |why: &str| Error::Damaged {
            path: other.file().path().to_path_buf(),
            why: format!("message {index} of the pack {why}"),
        };
        let packed = Packed::split(&self.header, &self.bytes).ok_or_else(|| damaged("is not there"))?;
        let Held::Whole(body) = packed.get(index) else { return Err(damaged("fails its check")) };
        let at = self.start + packed.begins(index) as u64;
        let (header, line) = self.pattern.header(index, body);
        Ok(other.one_of_pack(header, line, body.to_vec(), at))
    }
}

impl Claim {
    /// The first message of a pack, with the others behind it. The pack was found whole.
    pub(in crate::queue) fn with_rest(name: ClaimedName, mut pack: Message, started: Time) -> Result<Claim> {
        let (start, header) = (pack.body_at(), pack.header.clone());
        let pattern = header.pattern()?;
        let behind =
            Behind { header, pattern, bytes: pack.take_body().unwrap_or_default(), start, since: started, job: None };
        let message = behind.message(pack, name.name.window().start)?;
        let behind = Some(Box::new(behind));
        Ok(Claim { name, message, started, grip: Grip::Ours, ticket: None, front: Some(1), behind })
    }

    /// How many messages wait behind this one or these: they are in nobody's hands, and come next.
    pub fn waiting(&self) -> u32 {
        match self.front {
            Some(many) if self.in_hand() => self.name().count() - many,
            _ => 0,
        }
    }

    /// For how long messages have waited behind this one or those before it.
    pub fn waited(&self, now: Time) -> Duration {
        self.behind.as_ref().map_or(Duration::ZERO, |behind| now.since(behind.since))
    }

    /// Whether a message waits behind this one.
    pub fn has_waiting(&self, id: Id) -> bool {
        let first = u64::from(self.messages());
        let waiting = first..first + u64::from(self.waiting());
        id.since(self.id()).is_some_and(|further| waiting.contains(&further))
    }

    /// [`Claim::ack`], and the claim of the next message that waits behind this one, with the same rename; `None` where there is
    /// none, or the queue is to be asked before the next.
    ///
    /// Killed before the rename: this one is delivered again. After it: the next one has begun its first attempt. Not flushed.
    pub fn ack_next(self, queue: &Queue) -> Result<(Settled, Option<Claim>)> {
        let expired = || self.message.header.expires().is_some_and(|expires| expires <= queue.disk.now());
        if self.waiting() == 0 || self.behind.is_none() || !queue.lets_wait() || expired() {
            return self.ack(queue).map(|settled| (settled, None));
        }
        let token = Token::new(queue.disk.random()?);
        let (id, pack) = (self.id().after(1), Some(self.waiting()));
        let next = ClaimedName { name: Name { id, pack, ..self.name().clone() }, lease: self.lease(), token };
        let dir = &*queue.claimed_in(&self.name)?;
        match queue.with_reserve(|| Ok(queue.disk.rename(dir, self.name.text(), dir, next.text())?)) {
            Err(error) if error.missing() => {
                let settled = self.already(queue, None);
                self.release(queue);
                return settled.map(|settled| (settled, None));
            }
            renamed => renamed?,
        }
        self.end_job(queue);
        let Claim { message, behind, .. } = self;
        let Some(mut behind) = behind else { return Ok((Settled::Acked, None)) };
        behind.job = None;
        let message = behind.message(message, next.name.window().start)?;
        let (started, behind) = (queue.disk.now(), Some(behind));
        let next = Claim { name: next, message, started, grip: Grip::Ours, ticket: None, front: Some(1), behind };
        Ok((Settled::Acked, Some(next)))
    }

    /// Gets a lock for the job that is to work on this message, where the worker's own is for more than that. It is what
    /// [`Claim::lock_fd`] gives.
    ///
    /// # Errors
    /// [`Error::Lost`] when the message is not ours any more; [`Error::Held`] when somebody has locked it from outside.
    pub fn lock_for_job(&mut self, queue: &Queue) -> Result<()> {
        let index = self.name().window().start;
        let Some(behind) = &mut self.behind else { return Ok(()) };
        let lost = Error::Lost { id: self.name.name.id };
        let file = match queue.disk.open(&*queue.claimed_in(&self.name)?, self.name.text(), Access::Write) {
            Err(error) if error.missing() => return Err(lost),
            opened => opened?,
        };
        if queue.disk.stat(&file)?.identity != self.message.stat.identity {
            return Err(lost);
        }
        // Nobody else has any business with it while we have the pack.
        if !queue.disk.hold_byte(&file, index.into())? {
            return Err(Error::Held { id: self.name.name.id, by: None });
        }
        behind.job = Some(file);
        Ok(())
    }

    /// Ends the job's lock, for whatever it has left behind too.
    pub(super) fn end_job(&self, queue: &Queue) {
        if let Some(job) = self.behind.as_ref().and_then(|behind| behind.job.as_ref()) {
            let _ = queue.disk.let_go_byte(job, self.name().window().start.into());
        }
    }

    /// Puts back what waits behind this message, as a pack of its own: nobody should wait for the end of a job that takes long.
    /// This one stays as it is, under a name that says that it is alone.
    ///
    /// Killed anywhere: as [`Queue::claim`] that opens a pack. Durable as what was sent.
    ///
    /// # Errors
    /// [`Error::Lost`] when the message is not ours any more. After any other, all is as it was, or recovery finishes.
    pub fn put_rest_back(&mut self, queue: &Queue) -> Result<()> {
        let Some(behind) = self.behind.as_ref().filter(|_| self.waiting() > 0) else { return Ok(()) };
        let Some(packed) = Packed::split(&behind.header, &behind.bytes) else { return Ok(()) };
        let past = history::copied(&self.message.history()?, None);
        match queue.part(&self.name, &packed, &past)? {
            Some(alone) => self.name = alone,
            None => {
                queue.still_here()?;
                return Err(Error::Lost { id: self.id() });
            }
        }
        queue.wake();
        Ok(())
    }

    /// Before this is settled by somebody who does not have the lock: what waits behind it is no affair of his.
    pub(super) fn part_from_rest(&mut self, queue: &Queue) -> Result<()> {
        if self.grip == Grip::Ours || self.waiting() == 0 {
            return Ok(());
        }
        let dir = queue.claimed_in(&self.name)?;
        let lost = Error::Lost { id: self.id() };
        match queue.part_at(&dir, &self.name)? {
            Some(alone) => self.name = alone,
            None => return Err(lost),
        }
        queue.wake();
        Ok(())
    }

    /// Puts the pack back as it was before its first message was claimed.
    pub(super) fn put_back_whole(self, queue: &Queue) -> Result<Settled> {
        let settled = match queue.send_back(&self.name, None) {
            Err(error) if error.missing() => self.already(queue, None),
            back => back.map(|()| Settled::Ready),
        };
        self.release(queue);
        queue.wake();
        settled
    }
}

impl Queue {
    /// Whether one rename may claim several messages: not where the queue says how fast or how many, or keeps what is done.
    pub(in crate::queue) fn lets_claim_together(&self) -> bool {
        let settings = &self.settings;
        settings.rate().is_none() && settings.max_in_flight().is_none() && settings.retain().is_none()
    }

    /// Whether messages may wait behind another in a worker's hands: nor where each claim is flushed, or locks on bytes are none, or a rename may find no room.
    pub(in crate::queue) fn lets_wait(&self) -> bool {
        self.lets_claim_together()
            && self.settings.sync() != Sync::All
            && self.store != Store::SmallBtrfs
            && self.locks_apart()
    }

    /// Whether a lock on a byte of a file and one on the file have nothing to do with each other.
    pub(in crate::queue) fn locks_apart(&self) -> bool {
        matches!(self.store, Store::Trusted | Store::SmallBtrfs | Store::Memory | Store::Overlay)
            && self.disk.locks_bytes()
    }

    /// A claimed pack becomes ready as it was before its first message was claimed: at once, or when it is due.
    pub(in crate::queue) fn send_back(&self, claimed: &ClaimedName, due: Option<Time>) -> Result<()> {
        let name = Name { attempts: claimed.name.attempts.previous(), ..claimed.name.clone() };
        let (state, text) = match due {
            None => (State::Ready, name.text()),
            Some(due) => (State::Delayed, name.delayed(due)),
        };
        self.move_into(&*self.claimed_in(claimed)?, &claimed.text(), &home(state, &name, due), &text)
    }

    /// Parts the first message of a claimed pack from what waits behind it, which becomes ready.
    pub(in crate::queue) fn part_at(&self, dir: &Dir, claimed: &ClaimedName) -> Result<Option<ClaimedName>> {
        let file = match self.disk.open(dir, claimed.text(), Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let stat = self.disk.stat(&file)?;
        let Content::Message(pack) = message::load(&self.disk, file, stat, Depth::Small)? else { return Ok(None) };
        let Some(packed) = pack.packed(&claimed.name) else { return Ok(None) };
        self.part(claimed, &packed, &history::copied(&pack.history()?, None))
    }
}
