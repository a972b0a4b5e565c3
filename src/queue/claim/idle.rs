//! The glance of an idle worker: is there still nothing? Of those that a message wakes, all but one come too late for it, and
//! what they ask the kernel is the price of waking more than one.

use crate::fs::{Dir, Identity, Kind};
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
    /// The directory that the queue's path leads to. While it is the same and has not changed the queue is still here, nobody has
    /// paused it, and `queue.json` has not been replaced.
    queue: (Identity, Time),
    above: Vec<(Dir, Time)>,
    buckets: Vec<Dir>,
}

impl Queue {
    /// What a look that found nothing leaves behind for the glances after it; `None` where more is there than that, or where
    /// it has just changed, and so may change again without its times telling.
    pub(super) fn idle(&self) -> Result<Option<Idle>> {
        let Some(queue) = self.as_read()? else { return Ok(None) };
        let mut idle = Idle { queue, above: Vec::new(), buckets: Vec::new() };
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
            if !self.disk.settled(modified) || buckets.len() > most {
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

    /// The directory that the queue's path leads to, and when it last changed; `None` where it is another, or has just changed, or
    /// holds other settings than those that are known, or a pause.
    fn as_read(&self) -> Result<Option<(Identity, Time)>> {
        // The time first, as above.
        let queue = self.disk.stat_path(self.path())?;
        let known = queue.identity == self.disk.stat_dir(&self.dir)?.identity
            && self.disk.settled(queue.modified)
            && !self.settings_replaced()?
            && self.paused()?.is_none();
        Ok(known.then_some((queue.identity, queue.modified)))
    }

    /// Whether there is still nothing, in a queue that is the same.
    pub(super) fn still_idle(&self, idle: &Idle) -> Result<bool> {
        // Why it is not there any more, the look that comes now will say.
        if !self.disk.stat_path(self.path()).is_ok_and(|queue| (queue.identity, queue.modified) == idle.queue) {
            return Ok(false);
        }
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
