//! What a send has left in `tmp/` whose process is gone: drafts, batches, and packs on their way out.

use super::Recovered;
use crate::fs::{Access, Dir, Kind};
use crate::queue::batch::{Part, pack_part};
use crate::queue::error::{Error, Result};
use crate::queue::message::{self, Content, Depth};
use crate::queue::name::{COMMIT, is_base32};
use crate::queue::pack::opened;
use crate::queue::send::{same, same_dir};
use crate::queue::{Queue, Sync};

impl Queue {
    pub(in crate::queue) fn recover_sends(
        &self,
        most: usize,
        recovered: &mut Recovered,
        failed: &mut Option<Error>,
    ) -> Result<()> {
        let tmp = self.tmp_dir()?;
        for (name, kind) in self.some(&tmp, most)? {
            let mended = match kind {
                Kind::File => self.recover_draft(&tmp, &name, recovered),
                Kind::Dir => self.recover_batch(&tmp, &name, recovered),
                Kind::Symlink | Kind::Other => Ok(()),
            };
            *failed = failed.take().or(mended.err());
        }
        Ok(())
    }

    /// A file in `tmp/` whose writer is gone.
    pub(in crate::queue) fn recover_draft(&self, tmp: &Dir, name: &str, recovered: &mut Recovered) -> Result<()> {
        let disk = &self.disk;
        if !is_base32(name) {
            return Ok(());
        }
        let file = match disk.open(tmp, name, Access::Read) {
            Err(error) if error.missing() => return Ok(()),
            Err(error) if crate::queue::claim::foreign(&error) => return Ok(()),
            opened => opened?,
        };
        if !disk.try_lock(&file)? || !same(disk, tmp, name, &file)? {
            return Ok(());
        }
        let stat = disk.stat(&file)?;
        if stat.kind != Kind::File || stat.links != 1 {
            return Ok(());
        }
        match message::load(disk, file, stat, Depth::Whole)? {
            Content::Message(message) => {
                // Its sender never came to say "sent", so nobody knows whether its flush succeeded: flush it again.
                self.flush(message.file(), tmp)?;
                match self.publish_left(tmp, name, &message)? {
                    true => recovered.published += 1,
                    false => recovered.deleted += 1,
                }
                self.wake();
                Ok(())
            }
            Content::Placeholder(_lock) => {
                recovered.deleted += 1;
                match disk.unlink(tmp, name) {
                    Err(error) if error.missing() => Ok(()),
                    gone => Ok(gone?),
                }
            }
            Content::Bad(_lock, why) => {
                recovered.ended += 1;
                self.set_aside(tmp, name, &why)
            }
            Content::Unknown(why) => Err(Error::Unknown { path: tmp.path().join(name), why }),
        }
    }

    /// A batch's directory whose writer is gone: published if it was committed and is whole, else deleted.
    pub(in crate::queue) fn recover_batch(&self, tmp: &Dir, name: &str, recovered: &mut Recovered) -> Result<()> {
        let disk = &self.disk;
        if !is_base32(name) {
            return Ok(());
        }
        let dir = match disk.open_dir(tmp, name) {
            Err(error) if error.missing() => return Ok(()),
            opened => opened?,
        };
        if !disk.try_lock_dir(&dir)? {
            // The messages of a pack that is just being opened stand nowhere for a moment.
            recovered.contended |= opened(self, &dir)?.is_some();
            return Ok(());
        }
        if !same_dir(disk, tmp, name, &dir)? {
            return Ok(());
        }
        if let Some(opened) = opened(self, &dir)? {
            // What came out of it was durable before the pack was taken in.
            recovered.published += 1;
            self.roll_opened(tmp, name, &dir, &opened, false)?;
            self.wake();
            return Ok(());
        }
        if self.committed(&dir)? {
            if self.settings.sync() != Sync::None {
                disk.sync_all(&dir)?;
            }
            self.roll_forward(tmp, name, &dir, &mut |_| recovered.published += 1)?;
            self.wake();
            return Ok(());
        }
        recovered.deleted += 1;
        self.delete_batch(tmp, name, &dir)
    }

    /// Whether a batch was committed. The file `commit` alone does not say so: a power cut before the flush can keep it and
    /// lose what it speaks of. But the renames begin only after the flush, so once the first part has gone, all was durable.
    fn committed(&self, dir: &Dir) -> Result<bool> {
        let disk = &self.disk;
        let commit = match disk.open(dir, COMMIT, Access::Read) {
            Err(error) if error.missing() || crate::queue::claim::foreign(&error) => return Ok(false),
            opened => opened?,
        };
        if disk.stat(&commit)?.kind != Kind::File {
            return Ok(false);
        }
        let mut bytes = [0; 32];
        let length = disk.read_full(&commit, &mut bytes, 0)?;
        let said = std::str::from_utf8(&bytes[..length]).ok().and_then(|text| text.strip_suffix('\n'));
        let Some(count) = said.and_then(|text| text.parse::<u64>().ok()) else { return Ok(false) };
        let mut parts = 0;
        let mut first_is_here = false;
        let mut whole = true;
        for (shard_name, kind) in disk.names(dir)? {
            if let Some((part, count)) = pack_part(&shard_name, kind) {
                first_is_here |= part.number == 0;
                parts += u64::from(count);
                let file = disk.open(dir, &shard_name, Access::Read)?;
                let stat = disk.stat(&file)?;
                whole &= match message::load(disk, file, stat, Depth::Whole)? {
                    Content::Message(message) => message.packed_whole().is_some_and(|packed| packed.bad().is_empty()),
                    _ => false,
                };
                continue;
            }
            if kind != Kind::Dir {
                continue;
            }
            let shard = disk.open_dir(dir, &shard_name)?;
            for (part_name, kind) in disk.names(&shard)? {
                let part = part_name.to_str().filter(|_| kind == Kind::File).and_then(Part::parse);
                let part = part.filter(|part| part.pack.is_none());
                let Some(part) = part else { continue };
                first_is_here |= shard_name == "000000" && part.number == 0;
                parts += 1;
                let file = disk.open(&shard, &part_name, Access::Read)?;
                let stat = disk.stat(&file)?;
                whole &= matches!(message::load(disk, file, stat, Depth::Whole)?, Content::Message(_));
            }
        }
        Ok(if first_is_here { whole && parts == count } else { parts < count })
    }
}
