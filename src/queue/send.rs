//! Sending one message: written whole in `tmp/` under a lock, flushed once, published by one rename.

use super::checksum::Sum;
use super::envelope::Envelope;
use super::error::{Error, Result};
use super::header::{Line, Uid};
use super::limits::{Gauge, Load, Waiting};
use super::name::{Attempts, GroupMark, Grouped, Id, Name, Priority, State, base32, home};
use super::seq::Seq;
use super::unique::{Fresh, Key, OnDuplicate, Published};
use super::{Queue, Sync};
use crate::fs::{Dir, Disk, File};
use crate::time::Time;
use std::ffi::OsStr;
use std::time::Duration;

/// Body bytes are gathered up to this before they are written.
const GATHER: usize = 128 << 10;

/// A message that is being written. Dropping it takes it back.
#[derive(Debug)]
pub struct Draft<'q> {
    queue: &'q Queue,
    tmp: Dir,
    writing: Option<Writing>,
    name: String,
    uid: Uid,
    envelope: Envelope,
    gauge: Gauge,
    published: bool,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: Id,
    pub uid: Uid,
}

/// A file that is being filled with one message: placeholder, body, and at last the true header.
#[derive(Debug)]
pub(super) struct Writing {
    pub file: File,
    line: Line,
    sum: Sum,
    size: u64,
    gathered: Vec<u8>,
    written: u64,
}

impl Writing {
    pub fn new(file: File, line: Line) -> Writing {
        let gathered = line.placeholder();
        Writing { file, line, sum: Sum::new(), size: 0, gathered, written: 0 }
    }

    pub fn write(&mut self, disk: &Disk, bytes: &[u8]) -> Result<()> {
        self.sum.update(bytes);
        self.size += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHER { self.spill(disk) } else { Ok(()) }
    }

    fn spill(&mut self, disk: &Disk) -> Result<()> {
        disk.write_all(&self.file, &self.gathered, self.written)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// How long the file is, or will be.
    pub fn length(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Puts the true header in: from here on recovery would take the file for a whole message.
    pub fn seal(&mut self, disk: &Disk) -> Result<()> {
        self.spill(disk)?;
        let header = self.line.clone().seal(self.size, &self.sum);
        Ok(disk.write_all(&self.file, &header, 0)?)
    }

    /// Takes the header out again: from here on recovery would delete the file.
    pub fn unseal(&self, disk: &Disk) -> Result<()> {
        Ok(disk.write_all(&self.file, &self.line.placeholder(), 0)?)
    }
}

impl Queue {
    /// Begins a message. Nothing of it can be seen until [`Draft::publish`].
    pub fn draft(&self, envelope: Envelope) -> Result<Draft<'_>> {
        self.draft_as(envelope, None)
    }

    /// Begins a message that was made from another one of any queue: its uid follows from that one's and the index, and
    /// for as long as `done_for` says it is published once, however often it is made ([`Draft::publish_unless`]).
    pub fn draft_from(&self, mut envelope: Envelope, source: &Uid, index: u64) -> Result<Draft<'_>> {
        envelope.derived_from = Some(source.clone());
        self.draft_as(envelope, Some(source.derived(index)))
    }

    fn draft_as(&self, mut envelope: Envelope, derived: Option<Uid>) -> Result<Draft<'_>> {
        in_order(&envelope)?;
        let now = self.disk.now();
        envelope.expires = self.expires(&envelope, now);
        let mut gauge = Gauge::default();
        gauge.begin(self)?;
        self.keep_room()?;
        let tmp = self.tmp_dir()?;
        let random: [u8; 32] = self.disk.random()?;
        let (mut name, mut uid) = ([0; 16], [0; 16]);
        name.copy_from_slice(&random[..16]);
        uid.copy_from_slice(&random[16..]);
        let uid = derived.unwrap_or_else(|| Uid::new(uid));
        let line = Line::new(&envelope, &uid, now).map_err(|why| Error::Refused { why })?;
        loop {
            let fresh = base32(name);
            let file = self.disk.create(&tmp, &fresh, self.file_birth())?;
            // Between our open and our lock, recovery may have taken the empty file for litter: then begin again. The name
            // is random and we have just made it, so while it stands it is ours.
            if self.disk.lock(&file, Duration::from_secs(1))? && self.stands(&tmp, &fresh)? {
                let writing = Some(Writing::new(file, line));
                return Ok(Draft { queue: self, tmp, writing, name: fresh, uid, envelope, gauge, published: false });
            }
            name = self.disk.random()?;
        }
    }

    pub(super) fn stands(&self, dir: &Dir, name: &str) -> Result<bool> {
        match self.disk.stat_at(dir, name) {
            Err(error) if error.missing() => Ok(false),
            stat => Ok(stat.map(|_| true)?),
        }
    }
}

/// A group is delivered in the order in which its messages are sent, so none of them can be for later.
pub(super) fn in_order(envelope: &Envelope) -> Result<()> {
    match (&envelope.group, envelope.due) {
        (Some(_), Some(_)) => Err(Error::Refused {
            why: "a message of a group cannot be delayed: it would hold up its group, or lose its place in it".into(),
        }),
        _ => Ok(()),
    }
}

/// Lock, then look again: is the name still the file we hold?
pub(super) fn same(disk: &Disk, dir: &Dir, name: &str, file: &File) -> Result<bool> {
    match disk.stat_at(dir, name) {
        Ok(stat) => Ok(stat.identity == disk.stat(file)?.identity),
        Err(error) if error.missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same of a directory.
pub(super) fn same_dir(disk: &Disk, at: &Dir, name: &str, dir: &Dir) -> Result<bool> {
    match disk.stat_at(at, name) {
        Ok(stat) => Ok(stat.identity == disk.stat_dir(dir)?.identity),
        Err(error) if error.missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Draft<'_> {
    /// Adds to the body.
    ///
    /// # Errors
    /// [`Error::Limit`] as soon as it is larger than the queue takes, or than the disk has room for.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.gauge.grow(self.queue, bytes.len())?;
        match &mut self.writing {
            Some(writing) => writing.write(&self.queue.disk, bytes),
            None => Ok(()),
        }
    }

    /// How long the body is so far.
    pub fn size(&self) -> u64 {
        self.writing.as_ref().map_or(0, |writing| writing.size)
    }

    /// Flushes the message and makes it visible, with one rename.
    ///
    /// Killed before the rename: recovery publishes a whole message and deletes any other. After `Ok`: it survives a power
    /// cut, unless the queue says `sync = none`. After an error: it is not sent; after an error of the disk, or of the
    /// flush, it may still appear, since nobody can know.
    ///
    /// # Errors
    /// [`Error::Limit`] when the queue is full, and stays so for as long as this may wait; [`Error::Duplicate`] when its unique key is taken.
    pub fn publish(self) -> Result<Sent> {
        let key = self.envelope.unique.as_ref().map_or_else(String::new, |unique| unique.key.clone());
        match self.publish_unless(OnDuplicate::Skip)? {
            Published::Sent(sent) | Published::Replaced(sent) => Ok(sent),
            Published::Stands(id) => Err(Error::Duplicate { key, id }),
        }
    }

    /// [`Draft::publish`], with a say in what happens when its unique key is taken, or what it was made from has been
    /// published here before.
    ///
    /// Killed while it replaces another: the old one stands, or recovery publishes this one.
    pub fn publish_unless(mut self, on: OnDuplicate) -> Result<Published> {
        let queue = self.queue;
        let key = Key::of_envelope(&self.envelope, &self.uid, queue);
        if let (OnDuplicate::Skip, Some(key)) = (on, &key)
            && let Some(id) = queue.surely_stands(key)?
        {
            // Most duplicates end here, without a flush.
            return Ok(Published::Stands(id));
        }
        let Some(mut writing) = self.writing.take() else {
            return Err(Error::Refused { why: "published twice".into() });
        };
        let mut seq = self.admitted(&mut writing)?;
        let file = writing.file;
        let group = self.envelope.group.as_deref().map(GroupMark::of);
        let priority = self.envelope.priority.unwrap_or(Priority::DEFAULT);
        let due = self.envelope.due;
        let published = match key {
            None => {
                let id = queue.publish(&mut seq, &self.tmp, &self.name, priority, due, group)?;
                self.published = true;
                drop(seq);
                Published::Sent(Sent { id, uid: self.uid.clone() })
            }
            Some(key) => {
                let (tmp, name, uid) = (&self.tmp, self.name.as_str(), &self.uid);
                let fresh = Fresh { from: tmp, file_name: name, draft: name, uid, key: &key, priority, due, group };
                let published = queue.publish_last(seq, &fresh, on);
                // A replacement that came to nothing half-way is recovery's to finish, with the draft.
                self.published = match &published {
                    Ok(published) => !matches!(published, Published::Stands(_)),
                    Err(_) => queue.drafts_record(&key, uid),
                };
                published?
            }
        };
        // The message is sent: from here on nothing may fail it. Closing the file unlocks it: nobody has inherited it.
        drop(file);
        queue.wake();
        Ok(published)
    }
}

impl<'q> Draft<'q> {
    /// Makes the message whole and durable, and comes back with the lock under which there is room for it.
    fn admitted(&self, writing: &mut Writing) -> Result<Seq<'q>> {
        let (queue, disk) = (self.queue, &self.queue.disk);
        let load = Load { messages: 1, bytes: writing.length() };
        let mut waiting = Waiting::new();
        loop {
            let limits = queue.await_room(load, &mut waiting)?;
            writing.seal(disk)?;
            if queue.settings.sync() != Sync::None {
                disk.sync_file(&writing.file)?;
                if !queue.store.syncs_names() {
                    disk.sync_dir(&self.tmp)?;
                }
            }
            let mut seq = Seq::lock(queue)?;
            let full = match limits {
                Some(limits) => queue.admit(&mut seq, limits, load)?,
                None => None,
            };
            let Some(full) = full else { return Ok(seq) };
            // Somebody else took the room: until there is some again, this message was never sent.
            drop(seq);
            writing.unseal(disk)?;
            if let Some(limits) = limits {
                waiting.pause(queue, limits, full, std::time::Duration::ZERO)?;
            }
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.published {
            // Not sent, so nothing is lost with it; what can't be removed here is removed by recovery.
            let _ = self.queue.disk.unlink(&self.tmp, &self.name);
        }
    }
}

impl Queue {
    /// Gives a whole, flushed message its id and puts it where claimers look. The caller holds the lock of `seq`.
    pub(super) fn publish(
        &self,
        seq: &mut Seq<'_>,
        from: &Dir,
        file_name: &str,
        priority: Priority,
        due: Option<Time>,
        group: Option<GroupMark>,
    ) -> Result<Id> {
        self.publish_noting(seq, from, file_name, (priority, due, group), &mut |_| Ok(()))
    }

    /// [`Queue::publish`], with a step between the giving out of its name and the rename, done again for each name.
    pub(super) fn publish_noting(
        &self,
        seq: &mut Seq<'_>,
        from: &Dir,
        file_name: &str,
        (priority, due, group): (Priority, Option<Time>, Option<GroupMark>),
        note: &mut dyn FnMut(&Name) -> Result<()>,
    ) -> Result<Id> {
        self.weigh(seq, from, file_name)?;
        loop {
            let (id, bucket) = seq.next(priority);
            seq.save()?;
            let group = group.map(Grouped::Message);
            let name = Name { id, bucket, priority, attempts: Attempts::default(), group, pack: None };
            note(&name)?;
            match self.put(from, file_name, &name, due) {
                // Somebody restored an old file under an id of the future: take the next one.
                Err(Error::Disk(error)) if error.exists() => seq.passed_over(1),
                done => return done.map(|()| id),
            }
        }
    }

    /// The rename that publishes: into `delayed/` where the message is not due yet, into its group, or into `ready/`. The
    /// caller holds the lock of `seq`.
    pub(super) fn put(&self, from: &Dir, file_name: impl AsRef<OsStr>, name: &Name, due: Option<Time>) -> Result<()> {
        let file_name = file_name.as_ref().to_str().unwrap_or_default();
        if let Some(Grouped::Message(mark)) = name.group {
            return self.put_in_group(from, file_name, name, mark);
        }
        match due.filter(|&due| due > name.id.time()) {
            Some(due) => self.place_into(from, file_name, &home(State::Delayed, name, Some(due)), &name.delayed(due)),
            None => self.place_into(from, file_name, &home(State::Ready, name, None), &name.text()),
        }
    }
}
