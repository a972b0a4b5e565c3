//! Expiry: a message that has waited for too long is never delivered. Whoever comes to claim it finds that out under its lock
//! and ends it with one rename or unlink, so nobody need look for such messages.

use super::Queue;
use super::envelope::Envelope;
use super::error::Result;
use super::history::{self, Attempt, Outcome, Record};
use super::message::Message;
use super::name::{Name, State, home};
use super::seq::Seq;
use super::settings::OnExpire;
use crate::fs::Dir;
use crate::time::Time;

impl Queue {
    /// When a message that is sent now expires: as its sender says, else by the queue's `ttl`. A time to live runs from when
    /// the message is due, since until then it does not wait for a worker.
    pub(super) fn expires(&self, envelope: &Envelope, now: Time) -> Option<Time> {
        let begin = envelope.due.map_or(now, |due| due.max(now));
        envelope.expires.or_else(|| envelope.ttl.or(self.settings.ttl()).map(|ttl| begin.plus(ttl)))
    }

    /// Whether a message is too old to be delivered. One that was redriven never is: somebody has looked at it since and
    /// wants it delivered, and what its header says never changes.
    pub(super) fn expired(&self, message: &Message) -> Result<bool> {
        match message.header.expires() {
            Some(expires) if expires <= self.disk.now() => Ok(message.history()?.redrives() == 0),
            _ => Ok(false),
        }
    }

    /// Ends an expired message that the caller has locked and looked at again: dead-lettered, or gone, as `on_expire` says.
    /// One that has moved meanwhile is somebody else's.
    ///
    /// Killed before the rename or unlink: the next one to claim it finds it expired again. After it: it is dead, durably
    /// unless `sync = none`, or gone.
    pub(super) fn expire(&self, dir: &Dir, file_name: &str, name: &Name, message: &Message) -> Result<()> {
        match self.settings.on_expire() {
            OnExpire::Dead => {
                self.record_expiry(name, message)?;
                self.bury(dir, file_name, name, message)?;
            }
            OnExpire::Drop => {
                let freeing = self.unique_release_begin(&message.header)?;
                match self.disk.unlink(dir, file_name) {
                    Err(error) if error.missing() => return Ok(()),
                    gone => gone?,
                }
                self.unique_release_end(freeing);
                let _ = Seq::lock(self).and_then(|mut seq| seq.tally(|totals| totals.expired += 1));
            }
        }
        Ok(())
    }

    /// Dead-letters an expired message whose group is held by its dead letters: `name` is the ticket's.
    pub(super) fn expire_held(&self, dir: &Dir, file_name: &str, name: &Name, message: &Message) -> Result<()> {
        self.record_expiry(name, message)?;
        self.bury(dir, file_name, name, message)
    }

    fn bury(&self, dir: &Dir, file_name: &str, name: &Name, message: &Message) -> Result<()> {
        let below = home(State::Dead, name, None);
        let freeing = self.unique_release_begin(&message.header)?;
        match self.move_into(dir, file_name, &below, &name.to_string()) {
            Err(error) if error.missing() => return Ok(()),
            moved => moved?,
        }
        self.flush_moved(message.file(), &below)?;
        self.unique_release_end(freeing);
        // A count for people: no reason to fail.
        let _ = Seq::lock(self).and_then(|mut seq| seq.tally(|totals| totals.dead += 1));
        Ok(())
    }

    /// No attempt was made, so none is counted: the record has the number of the last one. No space for it stops nothing.
    fn record_expiry(&self, name: &Name, message: &Message) -> Result<()> {
        // Killed between the record and the rename, somebody has left it already.
        if let Some(Record::Attempt(last)) = message.history()?.records.last()
            && last.outcome == Outcome::Expired
        {
            return Ok(());
        }
        let mut record = Attempt::new(name.attempts.count(), self.disk.now(), Outcome::Expired);
        let at = message.header.expires().map(Time::rfc3339).unwrap_or_default();
        record.reason = Some(format!("expired at {at}"));
        record.uncounted = true;
        let _ = history::append(&self.disk, message.file(), message.body_end(), &Record::Attempt(record));
        Ok(())
    }
}
