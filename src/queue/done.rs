//! What was acknowledged and is kept for a while, where the queue says `retain`: in `done/`, in the message's home bucket.
//!
//! An acknowledgement is one rename then, and still needs no space: without room for it the message goes away, as it does in
//! a queue that keeps nothing. What was kept for long enough is removed in passing, a bounded slice at a time, so that it
//! costs the same however many are kept.

use super::Queue;
use super::error::{Error, Result};
use super::name::{Bucket, DONE, Name, State, home};
use crate::fs::{Dir, Kind};
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How many messages of a bucket a slice looks at. A worker takes a slice of two buckets once in 64 claims, so what goes
/// keeps up with what comes.
const SLICE: usize = 128;

/// What an acknowledgement did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Unlinked, in a queue that keeps nothing.
    Gone,
    /// It stands in `done/`.
    Kept,
    /// Unlinked, since there was no space to keep it.
    Unkept,
}

impl Queue {
    /// Takes an acknowledged message away from where it is claimed: into `done/` where the queue keeps such, else for good.
    ///
    /// One rename or one unlink. Killed before it: still claimed. After it: done.
    ///
    /// # Errors
    /// [`Error::Disk`] with `missing` when its name is gone: somebody else was faster.
    pub(super) fn end(&self, from: &Dir, file_name: &str, name: &Name) -> Result<Ended> {
        let mut ended = Ended::Gone;
        if self.settings.retain().is_some() && name.pack.is_some() {
            // Claimed before the queue said so.
            ended = Ended::Unkept;
        } else if self.settings.retain().is_some() {
            match self.place_into(from, file_name, &home(State::Done, name, None), &name.to_string()) {
                // An acknowledgement must not wait for space, nor take the reserve: that is how space is made.
                Err(error) if error.no_room() => ended = Ended::Unkept,
                // A twin, out of a backup: it is kept already.
                Err(Error::Disk(error)) if error.exists() => ended = Ended::Kept,
                renamed => return renamed.map(|()| Ended::Kept),
            }
        }
        self.disk.unlink(from, file_name)?;
        Ok(ended)
    }

    /// Removes a few of the messages that were kept for longer than `retain`: out of the oldest bucket and out of one at
    /// random, so that no bucket is out of reach behind one that has young ones. In passing: an error here stops nobody.
    pub(super) fn expire_done_slice(&self) {
        let _ = self.expire_some();
    }

    fn expire_some(&self) -> Result<()> {
        let Some(retention) = self.retention()? else { return Ok(()) };
        let Some((oldest, others)) = retention.buckets.split_first() else { return Ok(()) };
        self.expire_bucket(&retention, oldest, SLICE)?;
        if !others.is_empty() {
            let at = usize::from(u16::from_le_bytes(self.disk.random()?)) % others.len();
            self.expire_bucket(&retention, &others[at], SLICE)?;
        }
        Ok(())
    }

    /// Removes all messages that were kept for longer than `retain`; how many. Without that setting nothing is removed.
    ///
    /// Killed anywhere: some are gone, the next who comes goes on. After a power cut some may be back.
    pub fn expire_done(&self) -> Result<u64> {
        let Some(retention) = self.retention()? else { return Ok(0) };
        retention
            .buckets
            .iter()
            .try_fold(0, |sum, bucket| Ok(sum + self.expire_bucket(&retention, bucket, usize::MAX)?))
    }

    /// What may have to go by now. A message was acknowledged after the first id of its bucket was given out, so a bucket
    /// that is younger than the retention has nothing that is older.
    fn retention(&self) -> Result<Option<Retention>> {
        let Some(retain) = self.settings.retain() else { return Ok(None) };
        let Some(top) = self.maybe_dir(Path::new(DONE))? else { return Ok(None) };
        let now = self.disk.now();
        let mut buckets = self.bucket_names(&top)?;
        buckets.retain(|bucket| Bucket::parse(bucket).is_some_and(|bucket| now.since(bucket.0.time()) > retain));
        Ok(Some(Retention { top, now, retain, buckets }))
    }

    fn expire_bucket(&self, retention: &Retention, bucket: &str, most: usize) -> Result<u64> {
        let disk = &self.disk;
        let dir = match disk.open_dir(&retention.top, bucket) {
            Err(error) if error.missing() => return Ok(0),
            opened => opened?,
        };
        let mut names: Vec<String> = Vec::new();
        let mut others = false;
        disk.list(&dir, |name, kind| {
            match name.to_str().filter(|text| kind == Kind::File && Name::parse(text).is_some()) {
                Some(text) => names.push(text.to_string()),
                None => others = true,
            }
            ControlFlow::Continue(())
        })?;
        let there = names.len();
        if there > most {
            names.sort_unstable();
            names.rotate_left(usize::from(u16::from_le_bytes(disk.random()?)) % there);
            names.truncate(most);
        }
        let mut removed = 0;
        for name in &names {
            match disk.stat_at(&dir, name) {
                // The inode was changed last by the rename that brought it here. A second link is not ours to judge.
                Ok(stat) if stat.links != 1 || !retention.over(stat.changed) => continue,
                Ok(_) => (),
                Err(error) if error.missing() => continue,
                Err(error) => return Err(error.into()),
            }
            match disk.unlink(&dir, name) {
                Err(error) if error.missing() => (),
                unlinked => unlinked.map(|()| removed += 1)?,
            }
        }
        if removed == there && !others {
            // Empty ones only: rmdir(2) refuses any other, and who keeps a message here makes its bucket anew.
            let _ = disk.remove_dir(&retention.top, bucket);
        }
        Ok(removed as u64)
    }
}

/// `done/` at one moment, with the buckets that may have something to go.
struct Retention {
    top: Dir,
    now: Time,
    retain: Duration,
    buckets: Vec<String>,
}

impl Retention {
    fn over(&self, acknowledged: Time) -> bool {
        self.now.since(acknowledged) > self.retain
    }
}
