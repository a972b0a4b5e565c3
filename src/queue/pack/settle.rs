//! The end of a pack that was claimed whole, where not all of its messages end alike.

use super::open::Opening;
use super::{Held, bucket};
use crate::queue::error::{Error, Result};
use crate::queue::history::{self, Attempt, History, Record};
use crate::queue::name::{Id, Name, State, home};
use crate::queue::seq::Seq;
use crate::queue::settle::{Again, Claim, Counting, Settled};
use crate::queue::{Queue, Uid};

/// How one message of a pack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Acked,
    Again(Again, Counting),
    Dead,
}

impl Claim {
    /// Whether this is a pack, and so several messages.
    pub fn is_pack(&self) -> bool {
        self.name().pack.is_some() && !self.front
    }

    /// How many messages are claimed with it.
    pub fn messages(&self) -> u32 {
        if self.front { 1 } else { self.name().count() }
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
            packed.each().map(move |(index, held)| {
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
    pub fn settle_each(
        self,
        queue: &Queue,
        each: &mut dyn FnMut(Id) -> (Ending, Option<Attempt>),
    ) -> Result<Vec<(Id, Settled)>> {
        let mut settled = Vec::new();
        let mut opening = queue.opening()?;
        let history = self.message().history()?;
        let Some(packed) = self.message().packed(self.name()) else {
            return Err(Error::Refused { why: "this is no pack".into() });
        };
        let pattern = packed.header.pattern()?;
        for (index, held) in packed.each() {
            // What is damaged stays in the pack, which is set aside with it.
            let Held::Whole(body) = held else { continue };
            let id = self.name().of_packed(index).id;
            let (ending, record) = each(id);
            let line = pattern.line(index, body);
            settled.push((id, self.put(queue, &mut opening, index, (&line, body), ending, record, &history)?));
        }
        let there = opening.commit(&*queue.claimed_in(self.claimed_as())?, &self.claimed_name(), self.name(), None);
        self.release(queue);
        queue.wake();
        if !there? {
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

    /// The pack without its first message, as it stood before that was claimed; `None` where that was all.
    fn behind_front(&self) -> Option<Name> {
        let name = self.name();
        let pack = Some(name.count() - 1).filter(|&left| left > 0)?;
        Some(Name { id: name.id.after(1), pack: Some(pack), attempts: name.attempts.previous(), ..name.clone() })
    }

    /// Acknowledges the first message of a pack: the pack goes back without it, by its name alone. `None` when it is gone.
    pub(in crate::queue) fn ack_front(&self, queue: &Queue) -> Result<Option<Settled>> {
        let dir = &*queue.claimed_in(self.claimed_as())?;
        let ended = match self.behind_front() {
            None => queue.disk.unlink(dir, self.claimed_name()).map_err(Error::from),
            Some(left) => {
                queue.move_into(dir, &self.claimed_name(), &home(State::Ready, &left, None), &left.to_string())
            }
        };
        match ended {
            Err(error) if error.missing() => Ok(None),
            ended => {
                ended?;
                queue.wake();
                Ok(Some(if queue.settings.retain().is_some() { Settled::Unkept } else { Settled::Acked }))
            }
        }
    }

    /// The first message of a pack was not acknowledged: it gets a file of its own after all. Where there is still no room
    /// for that, it goes back with its pack, unless it is to be dead.
    pub(in crate::queue) fn leave_front(
        self,
        queue: &Queue,
        ending: Ending,
        record: Option<Attempt>,
    ) -> Result<Settled> {
        let settled = match self.take_front(queue, ending, record.clone()) {
            // Unless it came out already, and its place had no room.
            Err(error) if error.no_room() && self.is_claimed(queue)? => {
                queue.give_reserve()?;
                self.take_front(queue, ending, record.clone())
            }
            settled => settled,
        };
        let settled = match settled {
            Err(Error::Lost { .. }) if self.in_hand() => self.already(queue, record),
            Err(error) if error.no_room() && ending != Ending::Dead => {
                match queue.send_back(self.claimed_as()) {
                    // It came out, and there was no room to bring it to its place: recovery does that.
                    Err(gone) if gone.missing() => Err(error),
                    back => back.map(|()| Settled::Ready),
                }
            }
            settled => settled,
        };
        self.release(queue);
        queue.wake();
        if matches!(settled, Ok(Settled::Dead)) {
            // A count for people: no reason to fail.
            let _ = Seq::lock(queue).and_then(|mut seq| seq.count(0, 1));
        }
        settled
    }

    fn is_claimed(&self, queue: &Queue) -> Result<bool> {
        Ok(queue.there(queue.disk.stat_at(&*queue.claimed_in(self.claimed_as())?, self.claimed_name()))?.is_some())
    }

    fn take_front(&self, queue: &Queue, ending: Ending, record: Option<Attempt>) -> Result<Settled> {
        let (index, history) = (self.name().window().start, self.message().history()?);
        let mut opening = queue.opening()?;
        let parts = (self.message().line(), self.message().small_body().unwrap_or_default());
        let settled = self.put(queue, &mut opening, index, parts, ending, record, &history)?;
        let left = self.behind_front().map(|name| name.to_string());
        match opening.commit(
            &*queue.claimed_in(self.claimed_as())?,
            &self.claimed_name(),
            self.name(),
            left.as_deref(),
        )? {
            true => Ok(settled),
            false => Err(Error::Lost { id: self.id() }),
        }
    }
}
