//! Opening the next pack before somebody has to wait for it.

use super::OPENED;
use super::open::HeldPack;
use crate::fs::Kind;
use crate::queue::error::Result;
use crate::queue::name::{Priority, ready_priority};
use crate::queue::{Place, Queue};

impl Queue {
    /// Opens the pack that comes next after the bucket that is at hand: the first of the highest priority. Does nothing where
    /// what comes next is another bucket, or the pack is what comes first: then its claimer opens it.
    ///
    /// For a claimer on another thread, while it goes on with its bucket: of the time that opening takes, more is the disk's
    /// than ours. Killed anywhere, and after a power cut: as [`Queue::claim`] that opens a pack. An error is one for whoever
    /// reaches the pack, who meets it as well; nothing has changed then.
    pub fn open_ahead(&self) -> Result<()> {
        for priority in Priority::all() {
            let Some(dir) = self.maybe_dir(&ready_priority(priority))? else { continue };
            let entries = self.bucket_entries(&dir)?;
            let [(_, Kind::Dir), (next, Kind::File), ..] = entries.as_slice() else {
                if entries.is_empty() {
                    continue;
                }
                return Ok(());
            };
            let Some(pack) = Place::parse_pack(next) else { return Ok(()) };
            let HeldPack::Ours(message) = self.hold_pack(&dir, &pack)? else { return Ok(()) };
            // What is expired or damaged is not delivered, and so nobody waits for it.
            let expired = message.header.expires().is_some_and(|expires| expires <= self.disk.now());
            if !expired && message.packed(&pack.name).is_some_and(|packed| packed.begins_whole(OPENED)) {
                self.open_some(&dir, &pack, &message)?;
                // For those who looked while its messages stood nowhere.
                self.wake();
            }
            return Ok(());
        }
        Ok(())
    }
}
