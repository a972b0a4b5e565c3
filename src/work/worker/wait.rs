//! The worker's wait: one poll(2) over the signal pipe, the watch on the queue and the stderr of each job, until the next thing
//! is due. What happened before it is still there, so it ends at once.

use super::Worker;
use super::cancel::DEAF;
use super::claim::{PROBE_FIRST, PROBE_LAST};
use crate::fs::{Noticed, Watch};
use crate::work::stderr::{Came, Relay};
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};

/// How often one looks that stands in line and hears nothing: in case that the first in line is stopped.
const POLL_IN_LINE: Duration = Duration::from_secs(1);

impl Worker<'_> {
    /// Waits for whatever comes first.
    pub(super) fn wait(&mut self) {
        let now = Instant::now();
        let idle = self.end.is_none() && self.jobs.is_empty() && self.gathered.is_empty();
        if let Some(watch) = &mut self.watch {
            if idle && self.doubt_until <= now {
                watch.take_turns();
            } else {
                watch.hear_all();
            }
        }
        let timeout = self.next(now).map(|at| at.saturating_duration_since(now));
        // While nothing can be claimed, what happens in the queue concerns us only if it is a request to cancel a job.
        let claiming = self.end.is_none() && self.free() && self.rest_until <= now;
        let listening = claiming || (!self.jobs.is_empty() && self.listen_at <= now);
        let in_line = claiming && self.watch.as_ref().is_some_and(Watch::in_line);
        let watch = self.watch.as_ref().filter(|_| listening).map(Watch::fd);
        let relays = self.jobs.iter().filter_map(|job| job.relay.as_ref()).chain(&self.stragglers);
        let mut fds = Vec::with_capacity(2 + self.jobs.len() + self.stragglers.len());
        let fixed = std::iter::once(self.signals.fd()).chain(watch);
        let named = self.jobs.iter().filter_map(|job| job.named.as_ref()?.fd());
        fds.extend(
            fixed
                .chain(relays.filter_map(Relay::fd))
                .chain(named)
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        let timeout = if in_line { timeout.map(|timeout| timeout.min(POLL_IN_LINE)) } else { timeout };
        let polled = poll(&mut fds, timeout.and_then(|timeout| timeout.try_into().ok()).as_ref());
        let watched = watch.is_some();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        match polled {
            Ok(0) if in_line => return self.missed(),
            Ok(0) => return,
            Ok(_) => (),
            // A handler has run, and written to the pipe.
            Err(rustix::io::Errno::INTR) => return self.signals.drain(),
            // No memory: not a reason to spin.
            Err(_) => return std::thread::sleep(PROBE_LAST),
        }
        let mut ready = ready.into_iter();
        if ready.next() == Some(true) {
            self.signals.drain();
        }
        if watched && ready.next() == Some(true) {
            self.notice();
            if !claiming {
                self.listen_at = now + DEAF;
            }
        }
        self.relay(&mut ready);
        for named in self.jobs.iter_mut().filter_map(|job| job.named.as_mut()).filter(|named| named.fd().is_some()) {
            if ready.next() == Some(true) {
                named.read(&mut self.buffer);
            }
        }
    }

    /// When something is to be done, if nothing happens.
    fn next(&self, now: Instant) -> Option<Instant> {
        let jobs = self.jobs.iter().filter_map(|job| job.due(now)).chain(self.stop_at);
        let look = (self.end.is_none() && self.free()).then(|| self.look_at.max(self.rest_until));
        let until = self.until.filter(|_| look.is_some());
        let cancel = [self.cancel_at, self.listen_at].into_iter().filter(|at| !self.jobs.is_empty() && *at > now);
        jobs.chain(cancel).chain(look).chain(self.gather_until).chain(until).min()
    }

    /// In line for a while, where nothing is heard: what happened meanwhile is of those before us, if they hear.
    fn missed(&mut self) {
        let noticed = self.watch.as_mut().map(Watch::take).unwrap_or_default();
        self.unheard = noticed.wake;
        if noticed != Noticed::default() {
            self.heard(noticed);
        }
    }

    /// Something happened in the queue.
    fn notice(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let in_line = watch.in_line();
        let noticed = watch.take();
        // Our turn may come without anything having happened.
        if !in_line || noticed != Noticed::default() {
            self.unheard = false;
            self.heard(noticed);
        }
    }

    fn heard(&mut self, noticed: Noticed) {
        if noticed.gone {
            self.watch = self.queue.watch().ok().flatten();
        }
        if noticed.closed {
            self.probe = Some(PROBE_FIRST);
        }
        if noticed.wake {
            self.cancel_at = Instant::now();
        }
        self.noticed.wake |= noticed.wake;
        self.noticed.closed |= noticed.closed;
        self.noticed.gone |= noticed.gone;
        self.scout.woken();
        self.look_at = Instant::now();
    }

    /// Passes on what jobs wrote to stderr, one read each, so that one which writes without end holds up no other. `ready`
    /// says of each open pipe whether there is something, in the order of `wait`.
    fn relay(&mut self, ready: &mut impl Iterator<Item = bool>) {
        let running = self.jobs.iter_mut().filter_map(|job| job.relay.as_mut());
        for relay in running.chain(&mut self.stragglers).filter(|relay| relay.fd().is_some()) {
            if ready.next() == Some(true)
                && let Came::Bytes(bytes) = relay.read(&mut self.buffer)
            {
                self.observer.relayed(bytes);
            }
        }
        self.stragglers.retain(|relay| relay.fd().is_some());
    }
}
