//! Waiting for others to settle what they hold: watch, then look, then wait.

use crate::fs::{Interest, Noticed, Watch, wait};
use crate::queue::Queue;
use anyhow::Result;
use std::time::{Duration, Instant};

/// How often to look all the same: an event may be lost, and some of what is waited for raises none.
const POLL: Duration = Duration::from_secs(2);
/// How often without a watch (inotify(7), `max_user_instances`).
const POLL_BLIND: Duration = Duration::from_millis(250);
/// The kernel reports that a descriptor was closed a moment before it frees the lock: so look again soon after an event, and
/// after twice as long, up to this.
const SOON_LAST: Duration = Duration::from_millis(128);
/// A look that took so long is not repeated at once, however much happens: a watcher of a deep queue must not become a load.
const LONG: Duration = Duration::from_millis(5);

/// From its making on, nothing happens unnoticed.
#[derive(Debug)]
pub struct Vigil {
    /// `None`: for ever.
    until: Option<Instant>,
    watch: Option<Watch>,
    soon: Duration,
}

impl Vigil {
    pub fn new(queue: &Queue, limit: Option<Duration>) -> Vigil {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        Vigil { until, watch: queue.watch_for(Interest::Settled).ok().flatten(), soon: SOON_LAST }
    }

    /// Sleeps until there may be something new, or until `next`; `false` when the time is over. A look that began at
    /// `began` has just found that it is not yet so.
    pub fn pause(&mut self, queue: &Queue, began: Instant, next: Option<Duration>) -> Result<bool> {
        let until = self.until;
        let left = || until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
        if left().is_zero() {
            return Ok(false);
        }
        let looked = began.elapsed();
        if looked > LONG {
            std::thread::sleep(left().min(looked * 4).min(POLL));
        }
        let mut sleep = left().min(if self.watch.is_some() { POLL } else { POLL_BLIND });
        sleep = sleep.min(next.unwrap_or(sleep)).max(Duration::from_millis(1));
        if self.watch.is_some() && self.soon < SOON_LAST {
            sleep = sleep.min(self.soon);
            self.soon *= 2;
        }
        let noticed = wait(&mut self.watch, sleep)?;
        if noticed == Noticed::default() {
            return Ok(true);
        }
        if noticed.gone {
            self.watch = queue.watch_for(Interest::Settled).ok().flatten();
        }
        self.soon = Duration::from_millis(1);
        Ok(true)
    }
}
