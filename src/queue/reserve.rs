//! Room that is kept for a full disk: some small files without meaning, which go when a pack can't be opened otherwise, or a
//! message can't be claimed, put back or dead-lettered for want of a directory, or on a small btrfs for want of room for a
//! rename. What is done then gives its own room back, and so on: a full disk can be drained.

use super::Queue;
use super::error::Result;
use super::name::RESERVE;
use crate::fs::Store;
use std::path::Path;

/// How many files, and how long each: enough for the directories and the file of one message, also where the disk has as
/// good as no inodes left. (xfs makes no directory with less than some fifty blocks free.)
const FILES: usize = 8;
const LENGTH: usize = 64 << 10;
/// On a small btrfs: it asks for more than 1 MiB before it renames, for each block of each tree that may change.
const LENGTH_BTRFS: usize = 256 << 10;

impl Queue {
    /// Makes what is missing of the reserve. Whoever publishes a pack does it before.
    ///
    /// # Errors
    /// There is no room for it, and so none for packs: what was made of it just now is gone again.
    pub(super) fn keep_reserve(&self) -> Result<()> {
        let below = Path::new(RESERVE);
        if self.maybe_dir(below)?.is_some_and(|dir| self.disk.names(&dir).is_ok_and(|names| names.len() >= FILES)) {
            return Ok(());
        }
        let length = if self.store == Store::SmallBtrfs { LENGTH_BTRFS } else { LENGTH };
        let dir = self.ensure_dir(below)?;
        let mut made = Vec::new();
        for number in (0..FILES).map(|number| number.to_string()) {
            let written = match self.disk.create(&dir, &number, self.file_birth()) {
                Err(error) if error.exists() => continue,
                Err(error) => Err(error),
                Ok(file) => {
                    made.push(number);
                    self.disk.write_all(&file, &vec![0; length], 0)
                }
            };
            if let Err(error) = written {
                // It would take the room of those who send less.
                for number in made {
                    let _ = self.disk.unlink(&dir, number);
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// What a send sees to before it takes any room, and whoever opens a pack: on a small btrfs, where none is left for a
    /// rename when it is full, that there is a reserve. So either its files are there, or their room is free for the renames
    /// that drain the queue.
    ///
    /// # Errors
    /// As of [`Queue::keep_reserve`]: the disk is full.
    pub(super) fn keep_room(&self) -> Result<()> {
        if self.store == Store::SmallBtrfs { self.keep_reserve() } else { Ok(()) }
    }

    /// Takes a step that needs a little room. Where there is none, the reserve is given up for it, and it is taken again.
    pub(super) fn with_reserve<T>(&self, mut step: impl FnMut() -> Result<T>) -> Result<T> {
        match step() {
            Err(error) if error.no_room() => match self.maybe_dir(Path::new(RESERVE))? {
                Some(dir) if !self.disk.names(&dir)?.is_empty() => {
                    self.give_reserve()?;
                    step()
                }
                _ => Err(error),
            },
            taken => taken,
        }
    }

    /// Gives the reserve up: the disk is full.
    pub(super) fn give_reserve(&self) -> Result<()> {
        let Some(dir) = self.maybe_dir(Path::new(RESERVE))? else { return Ok(()) };
        for (name, _) in self.disk.names(&dir)? {
            match self.disk.unlink(&dir, &name) {
                Err(error) if error.missing() => (),
                unlinked => unlinked?,
            }
        }
        // btrfs gives room back when it commits, xfs soon after. The directory stays, for those who make the files anew.
        Ok(self.disk.sync_all(&dir)?)
    }
}
