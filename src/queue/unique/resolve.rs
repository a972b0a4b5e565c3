//! What a record means: plain, it is believed; in doubt, torn, or of another boot, it is looked into and set right.

use super::super::Queue;
use super::super::browse::Place;
use super::super::envelope::Until;
use super::super::error::Result;
use super::super::name::{DOUBT, Id, State, TMP, home};
use super::super::recover::Recovered;
use super::super::seq::Seq;
use super::record::{Held, Key, Record};
use crate::time::Time;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

/// What a record in our hands turned out to mean.
pub(super) enum Verdict {
    Stands(Box<(Held, Record)>),
    /// The record is gone.
    Free,
    /// Its message is not published yet.
    Draft(String),
}

impl Queue {
    /// The id of the message that has a key, where its record leaves no doubt: a look that needs no lock of `seq`.
    pub(in crate::queue) fn surely_stands(&self, key: &Key) -> Result<Option<Id>> {
        let sure = self.hold_record(&key.shard(), key.plain())?.filter(|held| !held.doubt).and_then(|held| held.record);
        let stands = sure.filter(|record| !self.of_another_boot(record) && !record.expired(self.disk.now()));
        Ok(stands.and_then(|record| record.name()).map(|name| name.id))
    }

    /// Whether the message of a record stands. What is in doubt is looked into, and set right.
    pub(super) fn judge_record(&self, mut held: Held) -> Result<Verdict> {
        let Some(record) = held.record.clone() else { return self.judge_torn(held) };
        if !held.doubt && !self.of_another_boot(&record) {
            if record.expired(self.disk.now()) {
                self.free_record(&held)?;
                return Ok(Verdict::Free);
            }
            return Ok(Verdict::Stands(Box::new((held, record))));
        }
        if self.draft_stands(&record.draft)? {
            return Ok(Verdict::Draft(record.draft));
        }
        if matches!(record.until(), Until::For(_)) {
            // Published, since its draft is gone; what became of it is all the same.
            if record.expired(self.disk.now()) {
                self.free_record(&held)?;
                return Ok(Verdict::Free);
            }
            self.reaffirm(&mut held, &record)?;
            return Ok(Verdict::Stands(Box::new((held, record))));
        }
        let Some(place) = self.place_of(&record)? else {
            self.free_record(&held)?;
            return Ok(Verdict::Free);
        };
        let claimed = place.state == State::Claimed || place.name.attempts.count() > 0;
        if claimed && record.until() == Until::Claimed {
            self.free_record(&held)?;
            return Ok(Verdict::Free);
        }
        let record = match &record.old {
            // Its replacing came to nothing: the old one has its key back.
            Some(old) if self.uid_at(&place)?.is_some_and(|uid| uid == old.uid) => {
                let old = Record { old: None, ..(**old).clone() };
                held = self.give_back(held, &old)?;
                old
            }
            _ => record,
        };
        self.reaffirm(&mut held, &record)?;
        Ok(Verdict::Stands(Box::new((held, record))))
    }

    /// A power cut has left nothing of a record, so its sender was never told "sent". Who has the key say the headers.
    fn judge_torn(&self, held: Held) -> Result<Verdict> {
        let mut found = None;
        for state in [State::Ready, State::Delayed, State::Claimed] {
            self.each_file(state, |place, _| {
                if place.name.pack.is_none()
                    && let Ok(Some(message)) = self.read(&place)
                    && let Some(key) = Key::of_header(&message.header, self)
                    && key.plain() == held.plain
                {
                    found = Some((place, key, message.header.uid));
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let Some((place, key, uid)) = found else {
            self.free_record(&held)?;
            return Ok(Verdict::Free);
        };
        let record = Record {
            key: key.text,
            until: key.until.to_string(),
            uid: uid.as_str().to_string(),
            name: place.name.to_string(),
            due_us: place.due.map(Time::micros),
            draft: String::new(),
            first_us: place.id().time().micros(),
            taken_us: place.id().time().micros(),
            boot: self.disk.boot_id(),
            old: None,
        };
        let held = self.give_back(held, &record)?;
        Ok(Verdict::Stands(Box::new((held, record))))
    }

    fn of_another_boot(&self, record: &Record) -> bool {
        let boot = self.disk.boot_id();
        !boot.is_empty() && record.boot != boot
    }

    /// A record that was found to be right is plain, and of this boot.
    fn reaffirm(&self, held: &mut Held, record: &Record) -> Result<()> {
        self.confirm(held)?;
        if self.of_another_boot(record) {
            let record = Record { boot: self.disk.boot_id(), ..record.clone() };
            // What can't be written for lack of space is looked into again.
            if let Ok(new) = self.rewrite(held, &record) {
                *held = new;
            }
        }
        Ok(())
    }

    /// Writes a record over one that has its plain name, or none.
    pub(super) fn rewrite(&self, held: &Held, record: &Record) -> Result<Held> {
        let shard =
            self.disk.open_dir(&self.dir, held.shard.path().strip_prefix(self.path()).unwrap_or(Path::new(".")))?;
        let mut new = self.write_doubt(shard, &held.plain, record.clone())?;
        self.disk.replace(&new.shard, new.name(), &new.plain)?;
        new.doubt = false;
        Ok(new)
    }

    /// Another message than the record says has the key: the record is made plain first, since then no accident in between
    /// leaves the key free, and written over.
    pub(super) fn give_back(&self, mut held: Held, record: &Record) -> Result<Held> {
        self.confirm(&mut held)?;
        self.rewrite(&held, record)
    }

    /// Looks into a record that is in doubt, torn, or said to be of a message that is gone: for fsck. Afterwards it is plain
    /// and right, or gone.
    pub(in crate::queue) fn resolve_record(&self, below: &Path, plain: &str) -> Result<()> {
        loop {
            let seq = Seq::lock(self)?;
            let Some(held) = self.hold_record(below, plain)? else { return Ok(()) };
            // Where the plain name stands, the other was never needed.
            if !held.doubt {
                self.unlink_gone(&held.shard, &format!("{plain}{DOUBT}"))?;
            }
            if let Some(record) = held.record.clone().filter(|_| !held.doubt)
                && !matches!(record.until(), Until::For(_))
                && self.place_of(&record)?.is_none()
            {
                return self.free_record(&held);
            }
            let Verdict::Draft(draft) = self.judge_record(held)? else { return Ok(()) };
            drop(seq);
            self.recover_one(&draft)?;
        }
    }

    fn draft_stands(&self, draft: &str) -> Result<bool> {
        if draft.is_empty() {
            return Ok(false);
        }
        let path = Path::new(TMP).join(draft);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
        let Some(dir) = self.maybe_dir(parent)? else { return Ok(false) };
        match self.disk.stat_at(&dir, name) {
            Err(error) if error.missing() => Ok(false),
            stat => Ok(stat.map(|_| true)?),
        }
    }

    /// Recovers what a record in doubt speaks of.
    pub(super) fn recover_one(&self, draft: &str) -> Result<()> {
        let tmp = self.tmp_dir()?;
        let mut recovered = Recovered::default();
        match draft.split_once('/') {
            Some((batch, _)) => self.recover_batch(&tmp, batch, &mut recovered),
            None => self.recover_draft(&tmp, draft, &mut recovered),
        }
    }

    /// Where the message of a record waits or is held; `None` when it is neither. Its home is looked at first, since a
    /// look-up lists all names.
    pub(in crate::queue) fn place_of(&self, record: &Record) -> Result<Option<Place>> {
        let Some(name) = record.name() else { return Ok(None) };
        let mut homes = vec![(State::Ready, name.to_string(), None)];
        if let Some(due) = record.due() {
            homes.insert(0, (State::Delayed, name.delayed(due), Some(due)));
        }
        for (state, file_name, due) in homes {
            if let Some(dir) = self.maybe_dir(&home(state, &name, due))?
                && let Some(place) = Place::parse(state, &file_name)
            {
                match self.disk.stat_at(&dir, &file_name) {
                    Err(error) if error.missing() => (),
                    stat => return Ok(stat.map(|_| Some(place))?),
                }
            }
        }
        let waiting = |place: &Place| matches!(place.state, State::Ready | State::Delayed | State::Claimed);
        Ok(self.find(&BTreeSet::from([name.id]))?.into_iter().find(waiting))
    }

    fn uid_at(&self, place: &Place) -> Result<Option<String>> {
        Ok(self.read(place)?.map(|message| message.header.uid.as_str().to_string()))
    }
}
