//! The end of a pack that was claimed, whole or only its first messages, where not all of it ends alike.

use super::open::Opening;
use super::{Held, bucket};
use crate::queue::error::{Error, Result};
use crate::queue::history::{self, Attempt, History, Record};
use crate::queue::name::{Id, Name, State, home};
use crate::queue::seq::Seq;
use crate::queue::settle::{Again, Claim, Counting, Settled};
use crate::queue::{Queue, Sync, Uid};
use std::time::Duration;

/// For so long at most a pack waits with those of its messages that are to wait: the others have failed nowhere.
const PAUSE: Duration = Duration::from_secs(1);

/// How one message of a pack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Acked,
    Again(Again, Counting),
    Dead,
}

/// How each of the messages that are claimed ends, and what that leaves in its history.
type Endings<'e> = &'e mut dyn FnMut(Id) -> (Ending, Option<Attempt>);

impl Claim {
    /// Whether this is a pack, and so several messages.
    pub fn is_pack(&self) -> bool {
        self.name().pack.is_some() && self.front != Some(1)
    }

    /// How many messages are claimed with it.
    pub fn messages(&self) -> u32 {
        self.front.unwrap_or_else(|| self.name().count())
    }

    /// Whether a message is among them.
    pub fn has(&self, id: Id) -> bool {
        id.since(self.id()).is_some_and(|further| further < u64::from(self.messages()))
    }

    /// The ids of all messages that are claimed with it.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        let first = self.id();
        (0..self.messages()).map(move |index| first.after(index))
    }

    /// The id, uid and body of each message of a pack; of a single message nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] in the place of one that fails its check.
    pub fn each_packed(&self) -> impl Iterator<Item = (Id, Uid, Result<&[u8]>)> {
        self.message().packed(self.name()).into_iter().flat_map(move |packed| {
            packed.each().take(self.messages() as usize).map(move |(index, held)| {
                let body = match held {
                    Held::Whole(body) => Ok(body),
                    Held::Bad(_) => Err(Error::Damaged {
                        path: self.message().file().path().to_path_buf(),
                        why: format!("the checksum of message {index} of the pack does not match"),
                    }),
                };
                (self.name().of_packed(index).id, packed.header.uid_of_packed(index), body)
            })
        })
    }

    /// Settles each message of a pack in its own way: those acknowledged are gone, the others get files of their own, with
    /// these records in their histories. Comes back with what became of each.
    ///
    /// Killed before the one rename that decides: all are still claimed. After it: recovery finishes. What was
    /// dead-lettered is durable after `Ok`, unless the queue says `sync = none`.
    ///
    /// # Errors
    /// Where there is no room for it: of a pack of which only the first are claimed nothing is settled, and it goes back.
    pub fn settle_each(self, queue: &Queue, each: Endings<'_>) -> Result<Vec<(Id, Settled)>> {
        if !self.is_pack() {
            return Err(Error::Refused { why: "this is no pack".into() });
        }
        let settled = match self.front {
            None => self.take_apart(queue, each),
            Some(_) => self.take_apart_or_back(queue, each),
        };
        self.release(queue);
        queue.wake();
        settled
    }

    /// [`Claim::settle_each`] with the room of the reserve, where only the first messages of the pack are claimed.
    fn take_apart_or_back(&self, queue: &Queue, each: Endings<'_>) -> Result<Vec<(Id, Settled)>> {
        match self.take_apart_with_reserve(queue, each) {
            Err(error) if error.no_room() => {
                let delays = self.ids().map(|id| self.delay_of(queue, each(id).0)).collect::<Result<Vec<_>>>()?;
                match self.go_back(queue, delays.into_iter().max().unwrap_or_default()) {
                    Err(gone) if !gone.missing() => Err(gone),
                    _ => Err(error),
                }
            }
            settled => settled,
        }
    }

    fn take_apart_with_reserve(&self, queue: &Queue, each: Endings<'_>) -> Result<Vec<(Id, Settled)>> {
        match self.take_apart(queue, each) {
            // Unless it came out already, and its place had no room.
            Err(error) if error.no_room() && self.is_claimed(queue)? => {
                queue.give_reserve()?;
                self.take_apart(queue, each)
            }
            settled => settled,
        }
    }

    /// What is claimed comes out of its pack, and each goes where its ending says; what is not claimed is left behind.
    fn take_apart(&self, queue: &Queue, each: Endings<'_>) -> Result<Vec<(Id, Settled)>> {
        let mut settled = Vec::new();
        let mut opening = queue.opening()?;
        let history = self.message().history()?;
        let mut put = |index: u32, parts: (&[u8], &[u8])| {
            let id = self.name().of_packed(index).id;
            let (ending, record) = each(id);
            settled.push((id, self.put(queue, &mut opening, index, parts, ending, record, &history)?));
            Result::Ok(())
        };
        match self.message().packed(self.name()) {
            Some(packed) if self.is_pack() => {
                let pattern = packed.header.pattern()?;
                for (index, held) in packed.each().take(self.messages() as usize) {
                    // What is damaged stays in the pack, which is set aside with it.
                    if let Held::Whole(body) = held {
                        put(index, (&pattern.line(index, body), body))?;
                    }
                }
            }
            _ => {
                let body = self.message().small_body().unwrap_or_default();
                put(self.name().window().start, (self.message().line(), body))?;
            }
        }
        let left = self.behind_front().map(|name| name.to_string());
        let dir = &*queue.claimed_in(self.claimed_as())?;
        if !opening.commit(dir, &self.claimed_name(), self.name(), left.as_deref())? {
            return Err(Error::Lost { id: self.id() });
        }
        let dead = settled.iter().filter(|(_, settled)| *settled == Settled::Dead).count() as u64;
        if dead > 0 {
            // A count for people: no reason to fail.
            let _ = Seq::lock(queue).and_then(|mut seq| seq.count(0, dead));
        }
        Ok(settled)
    }

    /// Puts one message of a pack where its ending says; nothing, where that is its end.
    #[allow(clippy::too_many_arguments)] // they are what a file is made of
    fn put(
        &self,
        queue: &Queue,
        opening: &mut Opening<'_>,
        index: u32,
        (line, body): (&[u8], &[u8]),
        ending: Ending,
        record: Option<Attempt>,
        history: &History,
    ) -> Result<Settled> {
        let name = Name { bucket: bucket(self.name(), index), ..self.name().of_packed(index) };
        let used_up = name.attempts.count() >= queue.settings.max_attempts();
        let (state, attempts, due) = match ending {
            Ending::Acked if queue.settings.retain().is_none() => return Ok(Settled::Acked),
            Ending::Acked => (State::Done, name.attempts, None),
            Ending::Dead => (State::Dead, name.attempts, None),
            Ending::Again(_, Counting::Counted) if used_up => (State::Dead, name.attempts, None),
            Ending::Again(again, counting) => {
                let delay = queue.delay(again, name.attempts)?;
                let attempts = match counting {
                    Counting::Counted => name.attempts,
                    Counting::Uncounted => name.attempts.previous(),
                };
                match delay.is_zero() {
                    true => (State::Ready, attempts, None),
                    false => (State::Delayed, attempts, Some(queue.disk.now().plus(delay))),
                }
            }
        };
        let name = Name { attempts, ..name };
        let past = history::copied(history, record.map(Record::Attempt).as_ref());
        let called = due.map_or_else(|| name.to_string(), |due| name.delayed(due));
        opening.put(state, &called, &[line, body, &past])?;
        Ok(match (state, due) {
            (State::Done, _) => Settled::Acked,
            (State::Dead, _) => Settled::Dead,
            (_, Some(due)) => Settled::Delayed { due },
            _ => Settled::Ready,
        })
    }

    /// The pack without its first messages, as it stood before they were claimed; `None` where they were all.
    fn behind_front(&self) -> Option<Name> {
        let (name, many) = (self.name(), self.messages());
        let pack = Some(name.count() - many).filter(|&left| left > 0)?;
        Some(Name { id: name.id.after(many), pack: Some(pack), attempts: name.attempts.previous(), ..name.clone() })
    }

    /// Acknowledges the first messages of a pack: it goes back without them, by its name alone. `None` when it is gone.
    pub(in crate::queue) fn ack_front(&self, queue: &Queue) -> Result<Option<Settled>> {
        let dir = &*queue.claimed_in(self.claimed_as())?;
        let durable = queue.settings.sync() == Sync::All;
        let ended = match self.behind_front() {
            None => queue.disk.unlink(dir, self.claimed_name()).map_err(Error::from),
            Some(left) => {
                let below = home(State::Ready, &left, None);
                queue.move_into(dir, &self.claimed_name(), &below, &left.to_string()).and_then(|()| match durable {
                    true => queue.flush_moved(self.message().file(), &below),
                    false => Ok(()),
                })
            }
        };
        match ended {
            Err(error) if error.missing() => Ok(None),
            ended => {
                ended?;
                if durable {
                    queue.disk.sync_dir(dir)?;
                }
                queue.wake();
                Ok(Some(if queue.settings.retain().is_some() { Settled::Unkept } else { Settled::Acked }))
            }
        }
    }

    /// The first messages of a pack were not acknowledged: they get files of their own after all. Where there is still no room
    /// for that, they go back with their pack, which waits as they were to, and for a second at most; unless they are to be dead.
    pub(in crate::queue) fn leave_front(
        self,
        queue: &Queue,
        ending: Ending,
        record: Option<Attempt>,
    ) -> Result<Settled> {
        let settled = match self.take_apart_with_reserve(queue, &mut |_| (ending, record.clone())) {
            Err(Error::Lost { .. }) if self.in_hand() => self.already(queue, record),
            Err(error) if error.no_room() && ending != Ending::Dead => {
                match self.delay_of(queue, ending).and_then(|delay| self.go_back(queue, delay)) {
                    // It came out, and there was no room to bring it to its place: recovery does that.
                    Err(gone) if gone.missing() => Err(error),
                    back => back,
                }
            }
            settled => settled.map(|each| each.first().map_or(Settled::Already, |(_, settled)| *settled)),
        };
        self.release(queue);
        queue.wake();
        settled
    }

    fn is_claimed(&self, queue: &Queue) -> Result<bool> {
        Ok(queue.there(queue.disk.stat_at(&*queue.claimed_in(self.claimed_as())?, self.claimed_name()))?.is_some())
    }

    fn delay_of(&self, queue: &Queue, ending: Ending) -> Result<Duration> {
        match ending {
            Ending::Again(again, _) => queue.delay(again, self.name().attempts),
            Ending::Acked | Ending::Dead => Ok(Duration::ZERO),
        }
    }

    /// The pack goes back as it was before it was claimed, all of it: at once where it need not wait, or can't.
    fn go_back(&self, queue: &Queue, delay: Duration) -> Result<Settled> {
        let delay = delay.min(PAUSE);
        if !delay.is_zero() {
            let due = queue.disk.now().plus(delay);
            match queue.send_back(self.claimed_as(), Some(due)) {
                Err(error) if error.no_room() => (),
                sent => return sent.map(|()| Settled::Delayed { due }),
            }
        }
        queue.send_back(self.claimed_as(), None).map(|()| Settled::Ready)
    }
}
