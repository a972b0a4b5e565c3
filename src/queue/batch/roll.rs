//! From a committed batch to messages that can be claimed, and from one that was never committed to nothing.

use super::Part;
use crate::fs::{Access, Dir, Kind};
use crate::queue::Queue;
use crate::queue::error::{Error, Result};
use crate::queue::header::Uid;
use crate::queue::message::{self, Content, Depth};
use crate::queue::name::{Attempts, Bucket, COMMIT, Grouped, Id, Name, State, home};
use crate::queue::seq::Seq;
use crate::queue::unique::{Fresh, Key};
use crate::time::Time;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// Between two shards the lock of `seq` is free for so long, so that other senders get their turn: a million renames take
/// longer than the ten seconds they wait.
const TURN: Duration = Duration::from_micros(200);

/// And so long is it held for packs, one after the other.
const TURN_LENGTH: Duration = Duration::from_millis(5);

/// What an entry of a batch's directory says, if it is a pack, and of how many messages.
pub(in crate::queue) fn pack_part(name: &OsStr, kind: Kind) -> Option<(Part, u32)> {
    let part = name.to_str().filter(|_| kind == Kind::File).and_then(Part::parse)?;
    part.pack.map(|count| (part, count))
}

/// A directory that somebody else has put among the parts of a batch is his, and so is what keeps it there: it is left, for
/// fsck to report, and stops nobody who looks for a message.
fn left_to_others(removed: crate::fs::Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.is(ErrorKind::IsADirectory) || error.is(ErrorKind::DirectoryNotEmpty) => Ok(()),
        removed => Ok(removed?),
    }
}

impl Queue {
    /// Publishes what is left of a committed batch, in order, and removes its directory. The caller holds its lock.
    pub(in crate::queue) fn roll_forward(
        &self,
        tmp: &Dir,
        name: &str,
        dir: &Dir,
        each: &mut dyn FnMut(Id),
    ) -> Result<()> {
        let disk = &self.disk;
        let mut turn: Option<(Seq<'_>, Time)> = None;
        for (shard_name, kind) in disk.names(dir)? {
            if let Some((part, count)) = pack_part(&shard_name, kind) {
                let (mut seq, began) = match turn.take() {
                    Some(turn) => turn,
                    None => (Seq::lock(self)?, disk.now()),
                };
                self.publish_pack(&mut seq, dir, &shard_name, part, count, each)?;
                if disk.now().since(began) < TURN_LENGTH {
                    turn = Some((seq, began));
                } else {
                    self.end_turn(seq);
                }
                continue;
            }
            turn = None;
            if kind != Kind::Dir {
                continue;
            }
            let shard = disk.open_dir(dir, &shard_name)?;
            let parts: Vec<(String, Part)> = disk
                .names(&shard)?
                .into_iter()
                .filter(|(_, kind)| *kind == Kind::File)
                .filter_map(|(name, _)| Some((name.to_str()?.to_string(), Part::parse(name.to_str()?)?)))
                .filter(|(_, part)| part.pack.is_none())
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
                        Name { id, bucket, priority: part.priority, attempts: Attempts::default(), group, pack: None }
                    })
                    .collect();
                seq.save()?;
                let mut into: Option<(PathBuf, Dir)> = None;
                // Once an id is taken, by an old file that somebody has restored, those behind it take the next ones as well,
                // since they must not come before it.
                let mut taken = false;
                for (done, ((file_name, part), name)) in parts.iter().zip(&names).enumerate() {
                    if !taken {
                        match self.put_cached(&mut into, &shard, file_name, name, part.due) {
                            Ok(()) => {
                                each(name.id);
                                continue;
                            }
                            Err(Error::Disk(error)) if error.exists() => {
                                taken = true;
                                seq.passed_over((parts.len() - done) as u32);
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    each(self.publish(&mut seq, &shard, file_name, part.priority, part.due, part.group)?);
                }
                self.end_turn(seq);
            }
            left_to_others(disk.remove_dir(dir, &shard_name))?;
        }
        drop(turn);
        disk.unlink(dir, COMMIT)?;
        left_to_others(disk.remove_dir(tmp, name))
    }

    /// Tells of what was published, and leaves the lock to those who wait for it: whoever takes it again at once gets it before
    /// them, since flock(2) keeps no queue.
    fn end_turn(&self, seq: Seq<'_>) {
        drop(seq);
        self.wake();
        std::thread::sleep(TURN);
    }

    /// Gives the messages of a pack their ids, and puts it where claimers look.
    fn publish_pack(
        &self,
        seq: &mut Seq<'_>,
        dir: &Dir,
        file_name: &OsStr,
        part: Part,
        count: u32,
        each: &mut dyn FnMut(Id),
    ) -> Result<()> {
        loop {
            let id = seq.next_pack(part.priority, count);
            seq.save()?;
            let (bucket, attempts) = (Bucket(id), Attempts::default());
            let name = Name { id, bucket, priority: part.priority, attempts, group: None, pack: Some(count) };
            match self.put(dir, file_name, &name, part.due) {
                // Somebody restored an old file under an id of the future: take the next ones.
                Err(Error::Disk(error)) if error.exists() => seq.passed_over(count),
                done => {
                    done?;
                    (0..count).for_each(|index| each(id.after(index)));
                    return Ok(());
                }
            }
        }
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
    pub(in crate::queue) fn delete_batch(&self, tmp: &Dir, name: &str, dir: &Dir) -> Result<()> {
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
            Err(error) if error.missing() => (),
            gone => left_to_others(gone)?,
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
                failed = left_to_others(disk.unlink(&shard, name)).err().or(failed);
            }
            if let Some(error) = failed {
                return Err(error);
            }
            left_to_others(disk.remove_dir(dir, &shard_name))?;
        }
        left_to_others(disk.remove_dir(tmp, name))
    }

    /// [`Queue::put`] for many messages: the directory they go to stays open from one to the next.
    fn put_cached(
        &self,
        into: &mut Option<(PathBuf, Dir)>,
        from: &Dir,
        file_name: &str,
        name: &Name,
        due: Option<Time>,
    ) -> Result<()> {
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
