//! Replacing a message that waits by a newer one of its key: the record first says who comes and who goes, then the old one
//! goes, then the new one takes its place. Killed in between, recovery goes on from the record.

use super::super::error::{Error, Result};
use super::super::name::{Attempts, Name, State};
use super::super::send::same;
use super::super::{Place, Queue, Sent};
use super::publish::{Fresh, Published};
use super::record::{Held, Record};
use crate::fs::{Access, Dir, File};
use crate::time::Time;
use std::time::Duration;

impl Queue {
    /// Takes the place of the message of this record. `None` when that one has gone already, and only its window stands.
    ///
    /// # Errors
    /// [`Error::Held`] when somebody works on it.
    pub(super) fn replace(
        &self,
        fresh: &Fresh<'_>,
        held: Held,
        old: &Record,
        max_delay: Option<Duration>,
    ) -> Result<Option<(Published, Option<Held>)>> {
        let Some(old_name) = old.name() else { return Ok(None) };
        // Whoever has the lock of a message acts on its name, which is about to be another message's.
        let (lock, place) = loop {
            let Some((dir, place)) = self.old_message(old)? else { return Ok(None) };
            let file = match self.disk.open(&dir, &place.file_name, Access::Read) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            if !self.disk.try_lock(&file)? {
                let by = self.disk.holder(&self.disk.stat(&file)?).map(|holder| holder.pid);
                return Err(Error::Held { id: place.id(), by });
            }
            if same(&self.disk, &dir, &place.file_name, &file)? {
                break (file, place);
            }
        };
        if place.name.group.is_some() {
            let why = format!("{}: a message of a group keeps its place and can't be replaced", old_name.id);
            return Err(Error::Refused { why });
        }
        let now = self.disk.now();
        let latest = max_delay.map(|most| Time::from_micros(old.first_us).plus(most));
        let due = fresh.due.map(|due| latest.map_or(due, |latest| due.min(latest))).filter(|&due| due > now);
        let name = Name { priority: fresh.priority, attempts: Attempts::default(), ..old_name };
        let old = Record { old: None, ..old.clone() };
        let record = Record {
            first_us: old.first_us,
            old: Some(Box::new(old.clone())),
            ..self.record((fresh.key, fresh.uid), fresh.draft, &name, due, now.micros())
        };
        let shard = self.ensure_dir(&fresh.key.shard())?;
        let new = self.write_doubt(shard, fresh.key.plain(), record.clone())?;
        // From here on the new one is in doubt, and the draft must stay for recovery to go on with.
        self.free_record(&held)?;
        drop(held);
        match self.finish_replacing(fresh, new, &record, &old, Some(lock))? {
            // Claimed meanwhile.
            (Published::Stands(id), _) => Err(Error::Held { id, by: None }),
            done => Ok(Some(done)),
        }
    }

    /// Goes on with a replacing whose record is in doubt.
    pub(super) fn finish_replacing(
        &self,
        fresh: &Fresh<'_>,
        mut held: Held,
        record: &Record,
        old: &Record,
        mut lock: Option<File>,
    ) -> Result<(Published, Option<Held>)> {
        let Some(name) = record.name() else { return Err(Error::Refused { why: "a record without a name".into() }) };
        let sent = Sent { id: name.id, uid: fresh.uid.clone() };
        loop {
            match self.old_message(old) {
                Ok(None) => (),
                Ok(Some((dir, place))) => {
                    if !self.lock_old(&mut lock, &dir, &place.file_name)? {
                        continue;
                    }
                    match self.disk.unlink(&dir, &place.file_name) {
                        // It became due, or was removed.
                        Err(error) if error.missing() => continue,
                        gone => gone?,
                    }
                }
                // Claimed after the kill: it is the old one that stands.
                Err(Error::Held { id, .. }) => {
                    self.give_back(held, old)?;
                    return Ok((Published::Stands(id), None));
                }
                Err(error) => return Err(error),
            }
            match self.put(fresh.from, fresh.file_name, &name, record.due()) {
                Err(Error::Disk(error)) if error.exists() => (),
                put => {
                    put?;
                    break;
                }
            }
        }
        let _ = self.confirm(&mut held);
        Ok((Published::Replaced(sent), Some(held)))
    }

    /// Whether the message under this name is locked by us, now at the latest.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody has it for a few calls.
    fn lock_old(&self, lock: &mut Option<File>, dir: &Dir, file_name: &str) -> Result<bool> {
        if let Some(file) = lock
            && same(&self.disk, dir, file_name, file)?
        {
            return Ok(true);
        }
        let file = match self.disk.open(dir, file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(false),
            opened => opened?,
        };
        if !self.disk.try_lock(&file)? {
            return Err(Error::Busy { path: file.path().to_path_buf(), by: None });
        }
        let ours = same(&self.disk, dir, file_name, &file)?;
        *lock = Some(file);
        Ok(ours)
    }

    /// Where a message that is to go waits; `None` when it has gone.
    fn old_message(&self, old: &Record) -> Result<Option<(Dir, Place)>> {
        let Some(place) = self.place_of(old)? else { return Ok(None) };
        if place.state == State::Claimed {
            return Err(Error::Held { id: place.id(), by: self.holder(&place)? });
        }
        Ok(self.dir_of(&place)?.map(|dir| (dir, place)))
    }
}
