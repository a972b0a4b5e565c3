//! The worker's question to the queue: is there a message, and if not, when to ask again.

use super::Worker;
use crate::fs::Noticed;
use crate::queue::name::Lease;
use crate::queue::{Claim, Found, HeldBack, Nothing};
use crate::time::Time;
use crate::work::Why;
use crate::work::options::Drain;
use std::time::{Duration, Instant};

/// How often an idle worker looks all the same, in case an event was lost.
pub(super) const POLL: Duration = Duration::from_secs(5);
/// How often it looks where there is no watch: too many of them already (inotify(7), `max_user_instances`).
const POLL_BLIND: Duration = Duration::from_millis(250);
/// For so long it listens all the same, once it has found a message in that way.
const DOUBT: Duration = Duration::from_secs(60);
/// How often it looks while a ready message is locked: by a job that has put it back, and still runs.
const POLL_BUSY: Duration = Duration::from_secs(1);
/// The kernel reports that a descriptor was closed a moment before it frees the lock. So we look again, this long after the
/// look that found it locked, and twice as long after the next, up to the last one.
pub(super) const PROBE_FIRST: Duration = Duration::from_millis(1);
pub(super) const PROBE_LAST: Duration = Duration::from_millis(32);

impl Worker<'_> {
    /// A message is ours: whoever is next in line listens now, while we start its job.
    pub(super) fn hand_over(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.hear_all();
        }
        if std::mem::take(&mut self.unheard) {
            self.doubt_until = Instant::now() + DOUBT;
        }
    }

    pub(super) fn claim(&mut self) -> crate::queue::Result<Option<Box<Claim>>> {
        let Noticed { wake, closed, gone } = self.noticed;
        let glance = wake && !closed && !gone && self.probe.is_none() && self.options.until.drain.is_none();
        if glance && let Some(nothing) = self.queue.still_nothing(&self.scout)? {
            self.noticed = Noticed::default();
            self.relieved();
            self.rest(nothing);
            return Ok(None);
        }
        self.queue.refresh()?;
        if let Some(pause) = self.queue.paused()? {
            if self.options.until.drain.is_some() {
                self.end = Some(Why::Paused);
            } else if !std::mem::replace(&mut self.pause_told, true) {
                self.observer.paused(&pause);
            }
            self.rest(Nothing { next_due: pause.until(), ..Nothing::default() });
            return Ok(None);
        }
        self.pause_told = false;
        self.want();
        let handfuls = self.takes_handfuls();
        if handfuls {
            // What others are at is passed over, and this is ours: it comes in its order.
            self.ahead.finish();
        }
        self.scout.take_handfuls(handfuls);
        self.noticed = Noticed::default();
        if glance {
            self.scout.glance();
        }
        match self.queue.claim(&mut self.scout, Lease::Live)? {
            Found::Claim(claim) => {
                if self.options.batch.is_none() && self.scout.half_way() && !handfuls {
                    self.ahead.open(&self.queue);
                }
                self.queue.unless_paused(claim)
            }
            Found::TooMany => {
                self.start_gathered();
                Ok(None)
            }
            Found::Nothing(nothing) => {
                self.relieved();
                if nothing.held_back.is_none() && self.drained()? {
                    self.end = Some(Why::Drained);
                }
                self.rest(nothing);
                if let Some(HeldBack::Rate(_)) = nothing.held_back {
                    // What happens in the queue meanwhile changes nothing.
                    self.rest_until = self.look_at;
                }
                Ok(None)
            }
        }
    }

    /// Whether an empty queue is the end: with nothing in our own hands, and nothing that waits for a retry.
    fn drained(&self) -> crate::queue::Result<bool> {
        Ok(self.jobs.is_empty()
            && self.gathered.is_empty()
            && match self.options.until.drain {
                None => false,
                Some(Drain::Ready) => true,
                Some(Drain::Retries) => self.queue.next_retry()?.is_none(),
            })
    }

    /// There is nothing to claim: when to look again, if nothing happens before.
    fn rest(&mut self, nothing: Nothing) {
        let now = Instant::now();
        self.unheard = false;
        if self.watch.is_none() && self.watch_at <= now {
            self.watch_at = now + POLL;
            self.watch = self.queue.watch().ok().flatten();
            if self.watch.is_some() {
                // Watch, then look.
                self.look_at = now;
                return;
            }
        }
        let mut wait = if self.watch.is_some() { POLL } else { POLL_BLIND };
        if nothing.busy {
            wait = wait.min(POLL_BUSY);
        }
        let clock = self.queue.disk().now();
        let until = |moment: Time| moment.since(clock).max(PROBE_FIRST);
        wait = [nothing.next_due, nothing.next_expiry].into_iter().flatten().map(until).fold(wait, Duration::min);
        if let Some(probe) = self.probe {
            wait = wait.min(probe);
            self.probe = (probe < PROBE_LAST).then(|| probe * 2);
        }
        self.look_at = now + wait;
    }
}
