//! Sending many messages whole or not at all: a directory in `tmp/`, locked, with the messages in shards of a bucket's size;
//! then the file `commit`, then one flush of the file system, then the renames in order.
//!
//! A crash before `commit` leaves nothing sent, and recovery deletes the directory; a crash after it leaves everything
//! sent, and recovery finishes the renames in order.

use super::error::{Error, Result};
use super::header::{Envelope, Line, Uid};
use super::limits::{Gauge, Load};
use super::message::{self, Content, Depth};
use super::name::{Attempts, BUCKET_SIZE, COMMIT, GroupMark, Grouped, Id, Name, Part, Priority};
use super::send::Writing;
use super::seq::Seq;
use super::unique::{Fresh, Key};
use super::{Queue, Sync};
use crate::fs::{Access, Dir, Kind};
use std::ops::ControlFlow;
use std::time::Duration;

/// Between two shards the lock of `seq` is free for so long, so that other senders get their turn: a million renames take
/// longer than the ten seconds they wait.
const TURN: Duration = Duration::from_micros(200);

/// Messages that are being written. Dropping it takes them back.
#[derive(Debug)]
pub struct Batch<'q> {
    queue: &'q Queue,
    tmp: Dir,
    dir: Dir,
    name: String,
    shard: Option<Dir>,
    count: u32,
    open: Option<(Writing, Part)>,
    /// Of the files, as far as they are written.
    bytes: u64,
    gauge: Gauge,
    committed: bool,
}

impl Queue {
    /// Begins a batch. Nothing of it can be seen until [`Batch::publish`].
    pub fn batch(&self) -> Result<Batch<'_>> {
        let tmp = self.tmp_dir()?;
        let (name, dir) = self.locked_dir(&tmp)?;
        let gauge = Gauge::default();
        let (shard, open) = (None, None);
        Ok(Batch { queue: self, tmp, dir, name, shard, count: 0, open, bytes: 0, gauge, committed: false })
    }

    /// A fresh directory in `tmp/`, locked by us.
    pub(super) fn locked_dir(&self, tmp: &Dir) -> Result<(String, Dir)> {
        loop {
            let name = self.fresh_name()?;
            self.disk.make_dir(tmp, &name, self.dir_birth())?;
            // Recovery may take the empty directory for litter before it is locked: then begin again.
            let dir = match self.disk.open_dir(tmp, &name) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            let locked = self.disk.try_lock_dir(&dir)?;
            let there = match self.disk.stat_at(tmp, &name) {
                Ok(stat) => stat.identity == self.disk.stat_dir(&dir)?.identity,
                Err(error) if error.missing() => false,
                Err(error) => return Err(error.into()),
            };
            if locked && there {
                return Ok((name, dir));
            }
        }
    }
}

impl Batch<'_> {
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
        super::send::in_order(envelope)?;
        self.gauge.begin(self.queue)?;
        let disk = &self.queue.disk;
        if self.count.is_multiple_of(BUCKET_SIZE) {
            let name = format!("{:06}", self.count / BUCKET_SIZE);
            disk.make_dir(&self.dir, &name, self.queue.dir_birth())?;
            self.shard = Some(disk.open_dir(&self.dir, &name)?);
        }
        let Some(shard) = &self.shard else { return Err(Error::Refused { why: "a batch without a shard".into() }) };
        if self.count / BUCKET_SIZE > 999_999 {
            return Err(Error::Refused { why: "a batch holds at most a thousand million messages".into() });
        }
        let part = Part {
            number: self.count % BUCKET_SIZE,
            priority: envelope.priority.unwrap_or(Priority::DEFAULT),
            due: envelope.due,
            group: envelope.group.as_deref().map(GroupMark::of),
            unique: envelope.unique.is_some() || envelope.derived_from.is_some(),
        };
        let uid = match derived {
            Some(uid) => uid,
            None => Uid::new(disk.random()?),
        };
        let now = disk.now();
        let mut envelope = envelope.clone();
        envelope.expires = self.queue.expires(&envelope, now);
        let line = Line::new(&envelope, &uid, now).map_err(|why| Error::Refused { why })?;
        let file = disk.create(shard, part.to_string(), self.queue.file_birth())?;
        self.open = Some((Writing::new(file, line), part));
        self.count += 1;
        Ok(())
    }

    /// Adds to the body of the message begun last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.gauge.grow(self.queue, bytes.len())?;
        match &mut self.open {
            Some((writing, _)) => writing.write(&self.queue.disk, bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<()> {
        if let Some((mut writing, _)) = self.open.take() {
            self.bytes += writing.length();
            writing.seal(&self.queue.disk)?;
        }
        Ok(())
    }

    /// Commits, flushes once, and makes all messages visible in their order, calling `each` with their ids.
    ///
    /// Killed before the commit: nothing is sent. After it: recovery publishes the rest, in order. After `Ok` it survives a
    /// power cut. An error after the commit does not unsend: it comes back as the second value, and recovery finishes.
    pub fn publish(mut self, mut each: impl FnMut(Id)) -> Result<Option<Error>> {
        self.end()?;
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

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.committed {
            let _ = self.queue.delete_batch(&self.tmp, &self.name, &self.dir);
        }
    }
}

impl Queue {
    /// Publishes what is left of a committed batch, in order, and removes its directory. The caller holds its lock.
    pub(super) fn roll_forward(&self, tmp: &Dir, name: &str, dir: &Dir, each: &mut dyn FnMut(Id)) -> Result<()> {
        let disk = &self.disk;
        for (shard_name, kind) in disk.names(dir)? {
            if kind != Kind::Dir {
                continue;
            }
            let shard = disk.open_dir(dir, &shard_name)?;
            let parts: Vec<(String, Part)> = disk
                .names(&shard)?
                .into_iter()
                .filter_map(|(name, _)| Some((name.to_str()?.to_string(), Part::parse(name.to_str()?)?)))
                .collect();
            if parts.iter().any(|(_, part)| part.unique) {
                self.roll_keyed(name, &shard_name.to_string_lossy(), &shard, &parts, each)?;
            } else if !parts.is_empty() {
                let mut seq = Seq::lock(self)?;
                let names: Vec<Name> = parts
                    .iter()
                    .map(|(_, part)| {
                        let (id, bucket) = seq.next(part.priority);
                        let group = part.group.map(Grouped::Message);
                        Name { id, bucket, priority: part.priority, attempts: Attempts::default(), group }
                    })
                    .collect();
                seq.save()?;
                let mut into: Option<(std::path::PathBuf, Dir)> = None;
                for ((file_name, part), name) in parts.iter().zip(&names) {
                    match self.put_cached(&mut into, &shard, file_name, name, part.due) {
                        Ok(()) => each(name.id),
                        Err(Error::Disk(error)) if error.exists() => {
                            each(self.publish(&mut seq, &shard, file_name, part.priority, part.due, part.group)?);
                        }
                        Err(error) => return Err(error),
                    }
                }
                drop(seq);
                self.wake();
                std::thread::sleep(TURN);
            }
            disk.remove_dir(dir, &shard_name)?;
        }
        disk.unlink(dir, COMMIT)?;
        Ok(disk.remove_dir(tmp, name)?)
    }

    /// [`Queue::roll_forward`] where some have unique keys: one by one, since each may have to wait for what another one's
    /// crash has left. One whose key is taken is not published, and `each` is not told of it.
    fn roll_keyed(
        &self,
        batch: &str,
        shard_name: &str,
        shard: &Dir,
        parts: &[(String, Part)],
        each: &mut dyn FnMut(Id),
    ) -> Result<()> {
        for (file_name, part) in parts {
            let Part { priority, due, group, .. } = *part;
            let key = if part.unique { self.key_of(shard, file_name)? } else { None };
            let mut seq = Seq::lock(self)?;
            let Some((uid, key)) = key else {
                each(self.publish(&mut seq, shard, file_name, priority, due, group)?);
                continue;
            };
            let draft = format!("{batch}/{shard_name}/{file_name}");
            let fresh = Fresh { from: shard, file_name, draft: &draft, uid: &uid, key: &key, priority, due, group };
            if let Some(id) = self.publish_or_delete(seq, &fresh)? {
                each(id);
            }
            self.wake();
        }
        Ok(())
    }

    /// The unique key in the header of a part.
    fn key_of(&self, shard: &Dir, file_name: &str) -> Result<Option<(Uid, Key)>> {
        let file = self.disk.open(shard, file_name, Access::Read)?;
        let stat = self.disk.stat(&file)?;
        match message::load(&self.disk, file, stat, Depth::Header)? {
            Content::Message(message) => {
                let key = Key::of_header(&message.header, self);
                Ok(key.map(|key| (message.header.uid, key)))
            }
            _ => Ok(None),
        }
    }

    /// Deletes a batch that was never committed. The caller holds its lock.
    pub(super) fn delete_batch(&self, tmp: &Dir, name: &str, dir: &Dir) -> Result<()> {
        match self.delete_parts(tmp, name, dir) {
            // The directory of a group that ends passes through here, and whoever ended it deletes it too.
            Err(error) if error.missing() => self.still_here(),
            deleted => deleted,
        }
    }

    fn delete_parts(&self, tmp: &Dir, name: &str, dir: &Dir) -> Result<()> {
        let disk = &self.disk;
        // `commit` goes first: a batch without its first part that still has it would look half published.
        match disk.unlink(dir, COMMIT) {
            Err(error) if !error.missing() => return Err(error.into()),
            _ => (),
        }
        for (shard_name, kind) in disk.names(dir)? {
            if kind != Kind::Dir {
                disk.unlink(dir, &shard_name)?;
                continue;
            }
            let shard = disk.open_dir(dir, &shard_name)?;
            let mut failed = None;
            let mut names = Vec::new();
            disk.list(&shard, |name, _| {
                names.push(name.to_os_string());
                ControlFlow::Continue(())
            })?;
            for name in names {
                failed = disk.unlink(&shard, name).err().or(failed);
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
            disk.remove_dir(dir, &shard_name)?;
        }
        Ok(disk.remove_dir(tmp, name)?)
    }

    /// [`Queue::put`] for many messages: the directory they go to stays open from one to the next.
    fn put_cached(
        &self,
        into: &mut Option<(std::path::PathBuf, Dir)>,
        from: &Dir,
        file_name: &str,
        name: &Name,
        due: Option<crate::time::Time>,
    ) -> Result<()> {
        use super::name::{State, home};
        if name.group.is_some() {
            return self.put(from, file_name, name, due);
        }
        let due = due.filter(|&due| due > name.id.time());
        let (below, new) = match due {
            Some(due) => (home(State::Delayed, name, Some(due)), name.delayed(due)),
            None => (home(State::Ready, name, None), name.to_string()),
        };
        if into.as_ref().is_none_or(|(path, _)| *path != below) {
            *into = Some((below.clone(), self.ensure_dir(&below)?));
        }
        if let Some((_, dir)) = into
            && let Ok(()) = self.disk.rename(from, file_name, dir, &new)
        {
            return Ok(());
        }
        // Whatever went wrong, the careful way tells what it was.
        *into = None;
        self.put(from, file_name, name, due)
    }
}
