//! Sending many messages whole or not at all: a directory in `tmp/`, locked, with the messages in packs, or in shards of a
//! bucket's size; then the file `commit`, then one flush of the file system, then the renames in order.
//!
//! A crash before `commit` leaves nothing sent, and recovery deletes the directory; a crash after it leaves everything
//! sent, and recovery finishes the renames in order.

mod behind;
mod part;
mod roll;

pub(super) use part::Part;
pub(super) use roll::pack_part;

use super::envelope::Envelope;
use super::error::{Error, Result};
use super::header::{Line, Uid};
use super::limits::{Gauge, Load};
use super::name::{BUCKET_SIZE, COMMIT, GroupMark, Id, Priority};
use super::pack::{self, Builder};
use super::send::{Writing, same_dir};
use super::{Queue, Sync};
use crate::fs::{Dir, File};
use behind::{Behind, Whole};
use std::ops::RangeInclusive;

/// Messages that are being written. Dropping it takes them back.
#[derive(Debug)]
pub struct Batch<'q> {
    queue: &'q Queue,
    tmp: Dir,
    dir: Dir,
    name: String,
    /// How many packs and shards there are.
    entries: u32,
    /// The last of them, where it is a shard with room, and how many are in it.
    shard: Option<(Dir, u32)>,
    count: u32,
    open: Open,
    /// What will be a pack, if enough comes; and what its messages have in common.
    gathered: Builder,
    common: Option<Envelope>,
    behind: Behind,
    /// So many messages make a pack, at least and at most.
    packs: RangeInclusive<u32>,
    /// Of the files, as far as they are written.
    bytes: u64,
    gauge: Gauge,
    committed: bool,
}

/// The message begun last.
#[derive(Debug)]
enum Open {
    None,
    /// At the end of what is gathered.
    Gathered,
    File(Box<Writing>),
}

impl Queue {
    /// Begins a batch. Nothing of it can be seen until [`Batch::publish`].
    pub fn batch(&self) -> Result<Batch<'_>> {
        self.keep_room()?;
        let tmp = self.tmp_dir()?;
        let (name, dir) = self.locked_dir(&tmp, &|| self.fresh_name())?;
        Ok(Batch {
            queue: self,
            tmp,
            dir,
            name,
            entries: 0,
            shard: None,
            count: 0,
            open: Open::None,
            gathered: Builder::default(),
            common: None,
            behind: Behind::default(),
            packs: pack::PACK_LEAST..=pack::PACK_MOST,
            bytes: 0,
            gauge: Gauge::default(),
            committed: false,
        })
    }

    /// A fresh directory of such a name in one through which recovery goes, locked by us.
    pub(super) fn locked_dir(&self, at: &Dir, fresh: &dyn Fn() -> Result<String>) -> Result<(String, Dir)> {
        loop {
            let name = fresh()?;
            self.disk.make_dir(at, &name, self.dir_birth())?;
            // Recovery may take the empty directory for litter before it is locked: then begin again.
            let dir = match self.disk.open_dir(at, &name) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            let locked = self.disk.try_lock_dir(&dir)?;
            if same_dir(&self.disk, at, &name, &dir)? && locked {
                return Ok((name, dir));
            }
        }
    }
}

impl Batch<'_> {
    /// Lets packs have no fewer and no more messages than these, in place of what was measured to pay: no more than 65,536.
    #[must_use]
    pub fn packing(mut self, least: u32, most: u32) -> Self {
        self.packs = least..=most.clamp(1, pack::PACK_MOST);
        self
    }

    /// How many messages were begun.
    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Begins the next message; what is written from here on is its body.
    pub fn begin(&mut self, envelope: &Envelope) -> Result<()> {
        self.begin_as(envelope, None)
    }

    /// Begins one that was made from another message, as [`Queue::draft_from`]: not published again if it was before.
    pub fn begin_from(&mut self, envelope: &Envelope, source: &Uid, index: u64) -> Result<()> {
        let envelope = Envelope { derived_from: Some(source.clone()), ..envelope.clone() };
        self.begin_as(&envelope, Some(source.derived(index)))
    }

    fn begin_as(&mut self, envelope: &Envelope, derived: Option<Uid>) -> Result<()> {
        self.end()?;
        self.gauge.begin(self.queue)?;
        if derived.is_none() && self.common.as_ref().is_some_and(|common| common == envelope) {
            self.open = Open::Gathered;
            self.count += 1;
            return Ok(());
        }
        super::send::in_order(envelope)?;
        self.flush_gathered()?;
        if derived.is_none() && packable(envelope) {
            self.common = Some(envelope.clone());
            self.open = Open::Gathered;
        } else {
            self.common = None;
            let (file, line) = self.begin_file(envelope, derived)?;
            self.open = Open::File(Box::new(Writing::new(file, line)));
        }
        self.count += 1;
        Ok(())
    }

    /// A file for one message, in a shard with room for it.
    fn begin_file(&mut self, envelope: &Envelope, derived: Option<Uid>) -> Result<(File, Line)> {
        let disk = &self.queue.disk;
        let (shard, number) = match self.shard.take().filter(|(_, number)| *number < BUCKET_SIZE) {
            Some(shard) => shard,
            None => {
                let name = format!("{:06}", self.next_entry()?);
                disk.make_dir(&self.dir, &name, self.queue.dir_birth())?;
                (disk.open_dir(&self.dir, &name)?, 0)
            }
        };
        let part = Part {
            number,
            priority: envelope.priority.unwrap_or(Priority::DEFAULT),
            due: envelope.due,
            group: envelope.group.as_deref().map(GroupMark::of),
            unique: envelope.unique.is_some() || envelope.derived_from.is_some(),
            pack: None,
        };
        let uid = match derived {
            Some(uid) => uid,
            None => Uid::new(disk.random()?),
        };
        let now = disk.now();
        let envelope = Envelope { expires: self.queue.expires(envelope, now), ..envelope.clone() };
        let line = Line::new(&envelope, &uid, now).map_err(|why| Error::Refused { why })?;
        let file = disk.create(&shard, part.to_string(), self.queue.file_birth())?;
        self.shard = Some((shard, number + 1));
        Ok((file, line))
    }

    fn next_entry(&mut self) -> Result<u32> {
        if self.entries > 999_999 {
            return Err(Error::Refused { why: "a batch holds at most a million packs and buckets".into() });
        }
        self.entries += 1;
        Ok(self.entries - 1)
    }

    /// Adds to the body of the message begun last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.gauge.grow(self.queue, bytes.len())?;
        match &mut self.open {
            Open::None => Ok(()),
            Open::File(writing) => writing.write(&self.queue.disk, bytes),
            Open::Gathered if self.gathered.open() + bytes.len() <= pack::BODY_MAX => {
                self.gathered.write(bytes);
                Ok(())
            }
            Open::Gathered => {
                // Too long for a pack: it gets a file of its own, after those that came before it.
                let start = self.gathered.take_open();
                self.flush_gathered()?;
                let Some(envelope) = self.common.clone() else { return Ok(()) };
                let (file, line) = self.begin_file(&envelope, None)?;
                let mut writing = Writing::new(file, line);
                writing.write(&self.queue.disk, &start)?;
                writing.write(&self.queue.disk, bytes)?;
                self.open = Open::File(Box::new(writing));
                Ok(())
            }
        }
    }

    /// Adds the lines that these bytes begin with, each whole and with its newline, as messages like the last one, which is whole as
    /// well: as many as can be taken together, which may be none. Comes back with how many bytes and how many lines they are; the
    /// next one is to be begun by itself.
    pub fn lines(&mut self, bytes: &[u8]) -> (usize, u32) {
        if !matches!(self.open, Open::Gathered) || !Gauge::is_free(self.queue) {
            return (0, 0);
        }
        let (taken, lines) = self.gathered.lines(bytes, *self.packs.end());
        self.count += lines;
        (taken, lines)
    }

    fn end(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => Ok(()),
            Open::Gathered => {
                self.gathered.end();
                if self.gathered.is_full(*self.packs.end()) { self.flush_gathered() } else { Ok(()) }
            }
            Open::File(mut writing) => {
                self.bytes += writing.length();
                writing.seal(&self.queue.disk)
            }
        }
    }

    /// Writes what is gathered: as a pack, or as files of their own where a pack does not pay.
    fn flush_gathered(&mut self) -> Result<()> {
        let Some(envelope) = self.common.as_ref().filter(|_| !self.gathered.is_empty()) else { return Ok(()) };
        let disk = &self.queue.disk;
        if self.gathered.len() < *self.packs.start() {
            let envelope = envelope.clone();
            let gathered = std::mem::take(&mut self.gathered);
            for body in gathered.bodies() {
                let (file, line) = self.begin_file(&envelope, None)?;
                let mut writing = Writing::new(file, line);
                writing.write(disk, body)?;
                self.bytes += writing.length();
                writing.seal(disk)?;
            }
            return Ok(());
        }
        let now = disk.now();
        let envelope = Envelope { expires: self.queue.expires(envelope, now), ..envelope.clone() };
        let part = Part {
            number: 0,
            priority: envelope.priority.unwrap_or(Priority::DEFAULT),
            due: envelope.due,
            group: None,
            unique: false,
            pack: Some(self.gathered.len()),
        };
        self.queue.keep_reserve()?;
        let line = self.gathered.line(&envelope, &Uid::new(disk.random()?), now.rfc3339(), 0)?;
        // What comes after it comes after it, so not into a shard from before.
        self.shard = None;
        let part = Part { number: self.next_entry()?, ..part };
        let file = disk.create(&self.dir, part.to_string(), self.queue.file_birth())?;
        let gathered = std::mem::take(&mut self.gathered);
        let flushed = self.queue.settings.sync() != Sync::None;
        let written = self.behind.write(Whole { disk: disk.clone(), file, line, gathered, flushed })?;
        self.gathered = written.room;
        self.bytes += written.length;
        Ok(())
    }

    /// Commits, flushes once, and makes all messages visible in their order, calling `each` with their ids.
    ///
    /// Killed before the commit: nothing is sent. After it: recovery publishes the rest, in order. After `Ok` it survives a
    /// power cut. An error after the commit does not unsend: it comes back as the second value, and recovery finishes.
    pub fn publish(mut self, mut each: impl FnMut(Id)) -> Result<Option<Error>> {
        self.end()?;
        self.flush_gathered()?;
        // All is written before the commit says so.
        self.bytes += self.behind.finish()?.length;
        let (queue, disk) = (self.queue, &self.queue.disk);
        self.shard = None;
        // The commit is there before the lock of `seq` is given up, so that whoever counts the queue meanwhile counts this.
        let load = Load { messages: u64::from(self.count), bytes: self.bytes };
        let commit = queue.reserve(load, || Ok(disk.create(&self.dir, COMMIT, queue.file_birth())?))?;
        // A commit that is there but not durable with the rest would promise what a power cut takes back; so an error
        // here takes everything back before the lock is given up.
        let flushed = (|| {
            disk.write_all(&commit, format!("{}\n", self.count).as_bytes(), 0)?;
            if queue.settings.sync() == Sync::None { Ok(()) } else { disk.sync_all(&self.dir) }
        })();
        if let Err(error) = flushed {
            let _ = disk.unlink(&self.dir, COMMIT);
            return Err(error.into());
        }
        self.committed = true;
        let rolled = queue.roll_forward(&self.tmp, &self.name, &self.dir, &mut each);
        queue.wake();
        Ok(rolled.err())
    }
}

/// Whether a message like this can be in a pack: it needs nothing but its id to be published.
fn packable(envelope: &Envelope) -> bool {
    envelope.group.is_none() && envelope.unique.is_none() && envelope.derived_from.is_none()
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.committed {
            let _ = self.behind.finish();
            let _ = self.queue.delete_batch(&self.tmp, &self.name, &self.dir);
        }
    }
}
