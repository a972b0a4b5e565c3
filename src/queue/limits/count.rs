//! How much a limited queue holds, counted from what stands in it.

use super::Limits;
use crate::fs::{Dir, Kind};
use crate::queue::Queue;
use crate::queue::batch::{Part, pack_part};
use crate::queue::error::Result;
use crate::queue::name::{COMMIT, State, is_base32};
use crate::queue::seq::Held;
use crate::time::Time;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// A count that took longer than this is taken at its word for [`FRESH_FACTOR`] times as long: senders to a full queue
/// would otherwise do nothing but count.
const SLOW_COUNT: Duration = Duration::from_millis(5);
const FRESH_FACTOR: u32 = 8;
/// No count is taken at its word for longer, whatever the clock did.
const FRESH_LONGEST: Duration = Duration::from_secs(60);

impl Queue {
    /// Counts what is in the queue. Messages are claimed and put back meanwhile, so what is claimed is looked at first and
    /// last: missed is only what moves to and fro within one count.
    pub(super) fn count_held(&self, limits: Limits) -> Result<Held> {
        let began = self.disk.now();
        let sized = limits.bytes.is_some();
        // Of each file, by its first id: how many messages, and how many bytes.
        let mut seen: HashMap<Time, (u64, u64)> = HashMap::new();
        for state in [State::Claimed, State::Delayed, State::Ready, State::Claimed] {
            self.each_file(state, |place, dir| {
                let size = if sized { self.size_of(dir, &place.file_name)? } else { 0 };
                let known = seen.entry(place.id().time()).or_default();
                *known = (u64::from(place.name.count()).max(known.0), size.max(known.1));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let (messages, bytes) = seen.values().fold((0, 0), |sum, file| (sum.0 + file.0, sum.1 + file.1));
        let mut held = Held { messages, bytes, fresh_until: Time::default() };
        self.count_committed(sized, &mut held)?;
        if !sized {
            held.bytes = Held::UNCOUNTED;
        }
        let now = self.disk.now();
        let took = now.since(began);
        if took > SLOW_COUNT {
            held.fresh_until = now.plus((took * FRESH_FACTOR).min(FRESH_LONGEST));
        }
        Ok(held)
    }

    /// Batches that were committed and are not published yet. Their renames need the lock that the caller has.
    fn count_committed(&self, sized: bool, held: &mut Held) -> Result<()> {
        let tmp = self.tmp_dir()?;
        for (name, kind) in self.disk.names(&tmp)? {
            if kind != Kind::Dir || !name.to_str().is_some_and(is_base32) {
                continue;
            }
            let Some(batch) = self.there(self.disk.open_dir(&tmp, &name))? else { continue };
            if self.there(self.disk.stat_at(&batch, COMMIT))?.is_none() {
                continue;
            }
            for (shard, kind) in self.disk.names(&batch)? {
                if let Some((_, count)) = pack_part(&shard, kind) {
                    held.messages += u64::from(count);
                    held.bytes += if sized { self.size_of(&batch, &shard.to_string_lossy())? } else { 0 };
                    continue;
                }
                if kind != Kind::Dir {
                    continue;
                }
                let Some(shard) = self.there(self.disk.open_dir(&batch, &shard))? else { continue };
                for (part, _) in self.disk.names(&shard)? {
                    let Some(part) = part.to_str().filter(|part| Part::parse(part).is_some()) else { continue };
                    held.messages += 1;
                    held.bytes += if sized { self.size_of(&shard, part)? } else { 0 };
                }
            }
        }
        Ok(())
    }

    fn size_of(&self, dir: &Dir, file_name: &str) -> Result<u64> {
        Ok(self.there(self.disk.stat_at(dir, file_name))?.map_or(0, |stat| stat.size))
    }
}

/// Whether a slow count still stands.
pub(super) fn fresh(held: Held, now: Time) -> bool {
    now < held.fresh_until && held.fresh_until.since(now) <= FRESH_LONGEST
}
