//! Publishing under a key: a record in doubt, the one rename that publishes, the record made plain.

use super::super::busy::a_moment;
use super::super::error::{Error, Result};
use super::super::header::{Header, Uid};
use super::super::message::Message;
use super::super::name::{GroupMark, Id, Name, Priority, TMP};
use super::super::seq::Seq;
use super::super::{Queue, Sent};
use super::record::{Held, Key, Record};
use super::resolve::Verdict;
use crate::fs::Dir;
use crate::time::Time;
use std::time::Duration;

/// What to do when a message of the key stands already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Publish nothing.
    Skip,
    /// Take the place of the one that waits. Its delay, counted anew from each replacement, ends at the latest so long
    /// after the first of them was sent.
    Replace { max_delay: Option<Duration> },
}

/// What came of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Sent(Sent),
    /// In the place of another, whose id it has.
    Replaced(Sent),
    /// Not published: a message of the key stands under this id, or did within the window.
    Stands(Id),
}

/// A whole, flushed message under its key, about to be published.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Fresh<'a> {
    pub from: &'a Dir,
    pub file_name: &'a str,
    /// Below `tmp/`: the file's name, or a batch's, its shard's and the part's.
    pub draft: &'a str,
    pub uid: &'a Uid,
    pub key: &'a Key,
    pub priority: Priority,
    pub due: Option<Time>,
    pub group: Option<GroupMark>,
}

/// How often to look again, a millisecond apart, at a draft whose writer holds it.
const LOOKS: u32 = 2000;

impl Queue {
    /// Publishes under a key, unless a message of it stands. The lock of `seq` may be let go of and taken again in between.
    /// Nothing is durable but the message until the record, which comes back, is flushed.
    pub(in crate::queue) fn publish_keyed<'q>(
        &'q self,
        mut seq: Seq<'q>,
        fresh: &Fresh<'_>,
        on: OnDuplicate,
    ) -> Result<(Published, Option<Held>)> {
        let mut looks = 0;
        loop {
            let Some(held) = self.hold_record(&fresh.key.shard(), fresh.key.plain())? else {
                return self.take_key(&mut seq, fresh);
            };
            let ours = |record: &Record| record.uid == fresh.uid.as_str() && record.draft == fresh.draft;
            if let Some(record) = held.record.clone().filter(ours) {
                // Its sender was killed in the middle of this.
                if let Some(old) = &record.old {
                    return self.finish_replacing(fresh, held, &record, old, None);
                }
                self.free_record(&held)?;
                return self.take_key(&mut seq, fresh);
            }
            match self.judge_record(held)? {
                Verdict::Free => (),
                Verdict::Stands(stands) => {
                    let (held, record) = *stands;
                    let id = record.name().map(|name| name.id);
                    let stands = id.ok_or_else(|| torn(&held))?;
                    if let OnDuplicate::Replace { max_delay } = on
                        && let Some(replaced) = self.replace(fresh, held, &record, max_delay)?
                    {
                        return Ok(replaced);
                    }
                    return Ok((Published::Stands(stands), None));
                }
                Verdict::Draft(draft) => {
                    drop(seq);
                    match self.recover_one(&draft) {
                        Err(Error::Busy { .. }) => (),
                        recovered => recovered?,
                    }
                    if !may_look_again(&mut looks, LOOKS) {
                        return Err(Error::Busy { path: self.path().join(TMP).join(draft), by: None });
                    }
                    seq = Seq::lock(self)?;
                }
            }
        }
    }

    /// Publishes a message that comes from another queue, or again. It takes its key if that is free; if not, a person has
    /// decided that it comes all the same.
    pub(in crate::queue) fn publish_moved<'q>(
        &'q self,
        mut seq: Seq<'q>,
        from: &Dir,
        file_name: &str,
        header: &Header,
        (priority, due, group): (Priority, Option<Time>, Option<GroupMark>),
    ) -> Result<Id> {
        if let Some(key) = Key::of_header(header, self) {
            let fresh = Fresh { from, file_name, draft: "", uid: &header.uid, key: &key, priority, due, group };
            match self.publish_keyed(seq, &fresh, OnDuplicate::Skip)?.0 {
                Published::Sent(sent) | Published::Replaced(sent) => return Ok(sent.id),
                Published::Stands(_) => seq = Seq::lock(self)?,
            }
        }
        self.publish(&mut seq, from, file_name, priority, due, group)
    }

    /// Makes a message of this queue ready again by one rename, with its key, if that is free.
    pub(in crate::queue) fn with_key_again(
        &self,
        header: &Header,
        name: &Name,
        rename: impl FnOnce() -> Result<Id>,
    ) -> Result<Id> {
        let Some(key) = Key::of_header(header, self) else { return rename() };
        let _seq = Seq::lock(self)?;
        let taken = match self.hold_record(&key.shard(), key.plain())? {
            Some(held) => matches!(self.judge_record(held)?, Verdict::Stands(..) | Verdict::Draft(_)),
            None => false,
        };
        if taken {
            return rename();
        }
        let record = self.record((&key, &header.uid), "", name, None, self.disk.now().micros());
        let mut held = self.write_doubt(self.ensure_dir(&key.shard())?, key.plain(), record)?;
        let renamed = rename();
        match &renamed {
            Ok(_) => drop(self.confirm(&mut held)),
            Err(_) => drop(self.free_record(&held)),
        }
        renamed
    }

    /// [`Queue::publish_keyed`] by a sender: the record is durable too.
    pub(in crate::queue) fn publish_last<'q>(
        &'q self,
        seq: Seq<'q>,
        fresh: &Fresh<'_>,
        on: OnDuplicate,
    ) -> Result<Published> {
        let (published, held) = self.publish_keyed(seq, fresh, on)?;
        if let Some(held) = held {
            self.flush_record(&held)?;
            drop(held);
            self.sweep_records();
        }
        Ok(published)
    }

    /// Whether the record of a key is for this uid, or can't be read: then its draft must stay.
    pub(in crate::queue) fn drafts_record(&self, key: &Key, uid: &Uid) -> bool {
        match self.hold_record(&key.shard(), key.plain()) {
            Ok(None) => false,
            Ok(Some(held)) => held.record.is_none_or(|record| record.uid == uid.as_str()),
            Err(_) => true,
        }
    }

    /// The key is free, and stays so under the lock of `seq`.
    fn take_key(&self, seq: &mut Seq<'_>, fresh: &Fresh<'_>) -> Result<(Published, Option<Held>)> {
        let Fresh { from, file_name, key, .. } = *fresh;
        let now = self.disk.now().micros();
        let mut taken: Option<Held> = None;
        let to = (fresh.priority, fresh.due, fresh.group);
        let published = self.publish_noting(seq, from, file_name, to, &mut |name| {
            let shard = self.ensure_dir(&key.shard())?;
            let due = fresh.due.filter(|&due| due > name.id.time());
            let record = self.record((key, fresh.uid), fresh.draft, name, due, now);
            // Unlocked first: the one of an id that was taken goes.
            taken = None;
            taken = Some(self.write_doubt(shard, key.plain(), record)?);
            Ok(())
        });
        match (published, taken) {
            (Ok(id), Some(mut held)) => {
                // The message is sent: in doubt is where its record may stay.
                let _ = self.confirm(&mut held);
                Ok((Published::Sent(Sent { id, uid: fresh.uid.clone() }), Some(held)))
            }
            (Ok(id), None) => Ok((Published::Sent(Sent { id, uid: fresh.uid.clone() }), None)),
            (Err(error), held) => {
                // Before its draft, without which a record says that its message was published.
                if let Some(held) = held
                    && self.disk.stat_at(from, file_name).is_ok()
                {
                    let _ = self.free_record(&held);
                }
                Err(error)
            }
        }
    }

    pub(super) fn record(
        &self,
        (key, uid): (&Key, &Uid),
        draft: &str,
        name: &Name,
        due: Option<Time>,
        now: u64,
    ) -> Record {
        Record {
            key: key.text.clone(),
            until: key.until.to_string(),
            uid: uid.as_str().to_string(),
            name: name.to_string(),
            due_us: due.map(Time::micros),
            draft: draft.to_string(),
            first_us: now,
            taken_us: now,
            boot: self.disk.boot_id(),
            old: None,
        }
    }

    /// Publishes a whole message that a crash has left in `tmp/`; `false` when another one of its key stands, and it was
    /// deleted: its sender never came to say "sent". The caller holds its lock.
    pub(in crate::queue) fn publish_left(&self, tmp: &Dir, name: &str, message: &Message) -> Result<bool> {
        let header = &message.header;
        let group = header.group.as_deref().map(GroupMark::of);
        let (priority, due) = (header.priority(), header.due().filter(|_| group.is_none()));
        let mut seq = Seq::lock(self)?;
        let Some(key) = Key::of_header(header, self) else {
            self.publish(&mut seq, tmp, name, priority, due, group)?;
            return Ok(true);
        };
        let fresh =
            Fresh { from: tmp, file_name: name, draft: name, uid: &header.uid, key: &key, priority, due, group };
        self.publish_or_delete(seq, &fresh).map(|id| id.is_some())
    }

    /// Publishes what was committed or left under a key, or deletes it when another one of the key stands.
    pub(in crate::queue) fn publish_or_delete<'q>(&'q self, seq: Seq<'q>, fresh: &Fresh<'_>) -> Result<Option<Id>> {
        let (published, held) = self.publish_keyed(seq, fresh, OnDuplicate::Skip)?;
        match published {
            Published::Sent(sent) | Published::Replaced(sent) => {
                if let Some(held) = held {
                    self.flush_record(&held)?;
                }
                Ok(Some(sent.id))
            }
            Published::Stands(_) => {
                self.unlink_gone(fresh.from, fresh.file_name)?;
                Ok(None)
            }
        }
    }
}

/// Counts a look that found its thing locked, and waits for the next one, if there is to be one: not after the first, which
/// may have ended the matter itself.
fn may_look_again(looks: &mut u32, most: u32) -> bool {
    *looks += 1;
    if *looks > 1 {
        a_moment();
    }
    *looks < most
}

fn torn(held: &Held) -> Error {
    let path = held.shard.path().join(held.name());
    Error::Unknown { path, why: "is not a record as mq writes it".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_often_is_looked_and_no_more() {
        for most in [1, 2, 5] {
            let began = std::time::Instant::now();
            let mut looks = 0;
            let mut count = 1;
            while may_look_again(&mut looks, most) && count < 100 {
                count += 1;
            }
            assert_eq!(count, most);
            assert!(began.elapsed() >= Duration::from_millis(u64::from(most) - 1));
        }
    }
}
