//! Acknowledging what is claimed: when its job is over, or before it begins.

use super::{Claim, Grip, Settled};
use crate::fs::Dir;
use crate::queue::done::Ended;
use crate::queue::error::Result;
use crate::queue::history::Attempt;
use crate::queue::name::{State, home};
use crate::queue::{Queue, Sync};

impl Claim {
    /// Acknowledges: the message is done and goes away, or is kept in `done/` where the queue says `retain`. Needs no space.
    ///
    /// Killed before the unlink or rename: it is delivered again. After it: it never is, except that a power cut may bring
    /// it back within the file system's commit interval, unless `sync = all`.
    pub fn ack(self, queue: &Queue) -> Result<Settled> {
        self.ack_recorded(queue, None)
    }

    /// [`Claim::ack`], with a record for the history of a message that is kept.
    pub fn ack_recorded(mut self, queue: &Queue, record: Option<Attempt>) -> Result<Settled> {
        self.part_from_rest(queue)?;
        self.acknowledge(queue, record)
    }

    /// [`Claim::ack`] for a job that is still to run: at most once. What was read of the message stays at hand; nothing is
    /// left to settle.
    ///
    /// Killed after the unlink: the job never runs, and nobody hears of it.
    pub fn ack_first(&mut self, queue: &Queue) -> Result<Settled> {
        let settled = match &self.ticket {
            Some(ticket) => queue.unique_release_begin(&self.message.header).and_then(|freeing| {
                let settled = self.ack_first_in_group(queue, ticket)?;
                queue.unique_release_end(freeing);
                Ok(settled)
            }),
            None => self.acknowledge(queue, None),
        };
        self.grip = Grip::Spent;
        settled
    }

    /// The job of an [`Claim::ack_first`] is over: its group, if it has one, goes on. Killed before: recovery sends it on.
    pub fn over(self, queue: &Queue) {
        if let (Grip::Spent, Some((ticket, mark))) = (self.grip, self.ticket())
            && let Ok(dir) = queue.claimed_dir()
        {
            let _ = queue.move_on(dir, &self.name.to_string(), mark);
            let _ = queue.disk.unlock(&ticket.lock);
            queue.wake();
        }
    }

    /// Whether [`Claim::ack_first`] has ended it.
    pub fn is_spent(&self) -> bool {
        self.grip == Grip::Spent
    }

    fn acknowledge(&self, queue: &Queue, record: Option<Attempt>) -> Result<Settled> {
        let record = record.filter(|_| queue.settings.retain().is_some());
        let ended = match self.ticket() {
            None if self.front.is_some() => self.ack_front(queue),
            Some((ticket, mark)) => self.ack_in_group(queue, ticket, mark, record.as_ref()),
            None => self.ack_alone(queue, record.as_ref()),
        };
        let settled = match ended {
            Ok(Some(settled)) => Ok(settled),
            Ok(None) => {
                // Put back by its job or by a person, it did not succeed; a job that acknowledged by itself did.
                let kept = record.is_some() && queue.is_done(self.name())?;
                self.already(queue, record.filter(|_| kept))
            }
            Err(error) => Err(error),
        };
        self.release(queue);
        if self.ticket.is_some() {
            queue.wake();
        }
        queue.room_in_flight();
        settled
    }

    /// [`Claim::acknowledge`] for a message of no group. `None` when its name is gone; then its key stays in doubt, since it
    /// may have been put back.
    fn ack_alone(&self, queue: &Queue, record: Option<&Attempt>) -> Result<Option<Settled>> {
        let freeing = queue.unique_release_begin(&self.message.header)?;
        match self.end_at(queue, queue.claimed_dir()?, &self.name.text(), record) {
            Err(error) if error.missing() => Ok(None),
            Err(error) => Err(error),
            Ok(settled) => {
                queue.unique_release_end(freeing);
                Ok(Some(settled))
            }
        }
    }

    /// The end of an acknowledged message that stands there: away, or into `done/`.
    pub(in crate::queue) fn end_at(
        &self,
        queue: &Queue,
        dir: &Dir,
        file_name: &str,
        record: Option<&Attempt>,
    ) -> Result<Settled> {
        let durable = queue.settings.sync() == Sync::All;
        let name = self.name().as_message();
        match queue.end(dir, file_name, &name)? {
            Ended::Kept => {
                // After the rename, so that a kill in between leaves no success in the history of a message that comes
                // again. Nobody else writes to it: we have its lock.
                if let Some(record) = record.filter(|_| self.holds()) {
                    self.append(queue, record);
                }
                if durable {
                    queue.flush_moved(self.message.file(), &home(State::Done, &name, None))?;
                    queue.disk.sync_dir(dir)?;
                }
                Ok(Settled::Acked)
            }
            ended => {
                if durable {
                    queue.disk.sync_dir(dir)?;
                }
                Ok(if ended == Ended::Unkept { Settled::Unkept } else { Settled::Acked })
            }
        }
    }
}
