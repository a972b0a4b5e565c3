//! The end of a pack that was claimed whole, where not all of its messages end alike.

use super::{Held, bucket};
use crate::queue::error::{Error, Result};
use crate::queue::history::{self, Attempt, Record};
use crate::queue::name::{Id, Name, State};
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
        self.name().pack.is_some()
    }

    /// How many messages are claimed with it.
    pub fn messages(&self) -> u32 {
        self.name().count()
    }

    /// Whether a message is among them.
    pub fn has(&self, id: Id) -> bool {
        id.since(self.id()).is_some_and(|further| further < u64::from(self.name().count()))
    }

    /// The ids of all messages that are claimed with it.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        let first = self.id();
        (0..self.name().count()).map(move |index| first.after(index))
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
        let max = queue.settings.max_attempts();
        let Some(packed) = self.message().packed(self.name()) else {
            return Err(Error::Refused { why: "this is no pack".into() });
        };
        for (index, held) in packed.each() {
            // What is damaged stays in the pack, which is set aside with it.
            let Held::Whole(body) = held else { continue };
            let name = Name { bucket: bucket(self.name(), index), ..self.name().of_packed(index) };
            let (ending, record) = each(name.id);
            let used_up = name.attempts.count() >= max;
            let (state, attempts, due) = match ending {
                Ending::Acked if queue.settings.retain().is_none() => {
                    settled.push((name.id, Settled::Acked));
                    continue;
                }
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
            let line = packed.header.line_of_packed(index, body)?;
            let past = history::copied(&history, record.map(Record::Attempt).as_ref());
            let called = due.map_or_else(|| name.to_string(), |due| name.delayed(due));
            opening.put(state, &called, &[&line, body, &past])?;
            settled.push((
                name.id,
                match (state, due) {
                    (State::Done, _) => Settled::Acked,
                    (State::Dead, _) => Settled::Dead,
                    (_, Some(due)) => Settled::Delayed { due },
                    _ => Settled::Ready,
                },
            ));
        }
        let there = opening.commit(queue.claimed_dir()?, &self.claimed_name(), self.name(), None);
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
}
