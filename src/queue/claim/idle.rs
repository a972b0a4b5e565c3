//! The glance of an idle worker: is there still nothing? Of 64 that a message wakes, 63 come too late for it, and what they ask
//! the kernel is the price of waking all.

use super::look::TICK;
use crate::fs::{Dir, Kind};
use crate::queue::Queue;
use crate::queue::error::Result;
use crate::queue::name::{DELAYED, Name, Priority, State, ready_priority};
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;

/// A queue of which all that was sent has been taken: in `ready/` there is no bucket but the newest of each priority, and in
/// `delayed/` none. As long as the directories above have not changed, a message can only have come into one of those buckets.
#[derive(Debug)]
pub(super) struct Idle {
    above: Vec<(Dir, Time)>,
    buckets: Vec<Dir>,
}

impl Queue {
    /// What a look that found nothing leaves behind for the glances after it; `None` where more is there than that, or where
    /// it has just changed, and so may change again without its times telling.
    pub(super) fn idle(&self) -> Result<Option<Idle>> {
        let mut idle = Idle { above: Vec::new(), buckets: Vec::new() };
        let ready = Path::new(State::Ready.word());
        let there = self.priorities_there()?;
        let tops = Priority::all().filter(|priority| there[usize::from(priority.level())]);
        let tops = tops.map(|priority| (ready_priority(priority), 1));
        for (below, most) in [(DELAYED.into(), 0), (ready.into(), 0)].into_iter().chain(tops) {
            let dir = match self.maybe_dir(&below)? {
                Some(dir) => dir,
                // It can come without anything changing that is looked at.
                None => return Ok(None),
            };
            // The time first: what comes into it while it is listed changes it.
            let modified = self.disk.stat_dir(&dir)?.modified;
            let buckets = self.bucket_entries(&dir)?;
            if self.disk.now() < modified.plus(TICK) || buckets.len() > most {
                return Ok(None);
            }
            for (bucket, kind) in buckets {
                if kind != Kind::Dir {
                    return Ok(None);
                }
                idle.buckets.push(self.disk.open_dir(&dir, bucket)?);
            }
            idle.above.push((dir, modified));
        }
        Ok(Some(idle))
    }

    /// Whether there is still nothing.
    pub(super) fn still_idle(&self, idle: &Idle) -> Result<bool> {
        for (dir, modified) in &idle.above {
            let stat = self.disk.stat_dir(dir)?;
            if stat.modified != *modified || stat.links == 0 {
                return Ok(false);
            }
        }
        for bucket in &idle.buckets {
            let mut nothing = true;
            self.disk.list(bucket, |name, _| {
                nothing = name.to_str().is_none_or(|name| Name::parse(name).is_none());
                if nothing { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if !nothing {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
