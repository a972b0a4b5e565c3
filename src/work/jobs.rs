//! The jobs that run: their process groups, their limits of time, and how they are stopped.
//!
//! A job is its process group. When the worker ends one, it is over when the whole group is, so that a retry never runs
//! beside what is left of the attempt before; a job that ends by itself is over when its first process is, and may leave
//! others behind (daemons).

use super::captured::Captured;
use super::named::Named;
use super::observer::Running;
use super::stderr::Relay;
use super::verdict::{Exit, Stopped};
use crate::queue::Claim;
use crate::queue::name::Id;
use rustix::io::retry_on_intr;
use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a group that was asked to end (TERM) may take before it is made to (KILL).
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether a group whose first process has ended is gone: nothing tells.
const LINGER_LOOK: Duration = Duration::from_millis(10);

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub claim: Box<Claim>,
    /// The other messages of its batch.
    pub rest: Vec<Claim>,
    pub max_attempts: u32,
    pub relay: Option<Relay>,
    /// When what waits behind its message goes back, where it is not over before.
    pub let_go_at: Option<Instant>,
    /// Which of its messages somebody has cancelled, and why.
    pub cancelled: BTreeMap<Id, String>,
    /// Which of its batch it says have failed.
    pub named: Option<Named>,
    /// Its stdout, where that is caught.
    pub captured: Option<Captured>,
    /// Of its first process, and of the group.
    pid: Pid,
    begun: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Running {
        limit: Option<Duration>,
    },
    /// Asked to end.
    Asked {
        why: Stopped,
        kill_at: Instant,
    },
    /// Made to end, and not reaped yet.
    Killed {
        why: Stopped,
    },
    /// Its first process is reaped, others of the group are still ending.
    Lingering {
        end: Finished,
        kill_at: Instant,
    },
}

/// A job that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub exit: Exit,
    pub stopped: Option<Stopped>,
    pub took: Duration,
}

impl Job {
    pub fn new(claim: Box<Claim>, max_attempts: u32, relay: Option<Relay>, pid: Pid, limit: Option<Duration>) -> Job {
        let phase = Phase::Running { limit };
        Job {
            claim,
            rest: Vec::new(),
            max_attempts,
            relay,
            let_go_at: None,
            cancelled: BTreeMap::new(),
            named: None,
            captured: None,
            pid,
            begun: Instant::now(),
            phase,
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What it works on.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(self.claim.as_ref()).chain(&self.rest)
    }

    /// How many messages that is.
    pub fn messages(&self) -> u64 {
        self.claims().map(|claim| u64::from(claim.messages())).sum()
    }

    pub fn running(&self, now: Instant) -> Running {
        Running {
            id: self.claim.id(),
            messages: self.messages(),
            attempt: self.claim.attempt(),
            max_attempts: self.max_attempts,
            pid: self.pid.as_raw_nonzero().get(),
            age: now - self.begun,
        }
    }

    /// Asks the group to end, unless that was done.
    pub fn stop(&mut self, why: Stopped, now: Instant) {
        if let Phase::Running { .. } = self.phase {
            self.signal(Signal::TERM);
            // A stopped process would not see it.
            self.signal(Signal::CONT);
            self.phase = Phase::Asked { why, kill_at: now + GRACE };
        }
    }

    /// Makes the group end that was asked to.
    pub fn kill(&mut self) {
        match self.phase {
            Phase::Asked { why, .. } => {
                self.signal(Signal::KILL);
                self.phase = Phase::Killed { why };
            }
            Phase::Lingering { end, .. } => {
                self.phase = Phase::Lingering { end, kill_at: self.begun };
            }
            Phase::Running { .. } | Phase::Killed { .. } => (),
        }
    }

    /// When [`Job::tick`] has something to do.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let due = match self.phase {
            // A limit beyond what the clock can say is none.
            Phase::Running { limit } => limit.and_then(|limit| self.begun.checked_add(limit)),
            Phase::Asked { kill_at, .. } => Some(kill_at),
            Phase::Killed { .. } => None,
            Phase::Lingering { .. } => Some(now + LINGER_LOOK),
        };
        due.into_iter().chain(self.let_go_at).min()
    }

    /// Does what is due. `Some` when the job is over.
    pub fn tick(&mut self, now: Instant) -> Option<Finished> {
        match self.phase {
            Phase::Running { limit: Some(limit) } if now - self.begun >= limit => {
                self.stop(Stopped::Timeout(limit), now)
            }
            Phase::Asked { kill_at, .. } if now >= kill_at => self.kill(),
            Phase::Lingering { end, kill_at } => return self.linger(end, kill_at, now),
            _ => (),
        }
        None
    }

    /// Its first process was reaped. `Some` when the job is over.
    pub fn reaped(&mut self, exit: Exit, now: Instant) -> Option<Finished> {
        let took = now - self.begun;
        match self.phase {
            Phase::Asked { why, kill_at } => self.linger(Finished { exit, stopped: Some(why), took }, kill_at, now),
            Phase::Killed { why } => Some(Finished { exit, stopped: Some(why), took }),
            Phase::Running { .. } | Phase::Lingering { .. } => Some(Finished { exit, stopped: None, took }),
        }
    }

    /// Waits for the rest of a group that was asked to end. While one member is left its number can't be given to another
    /// group, and we look every few milliseconds, so the signal goes to nobody else's.
    fn linger(&mut self, end: Finished, kill_at: Instant, now: Instant) -> Option<Finished> {
        if process::test_kill_process_group(self.pid).is_err() {
            return Some(end);
        }
        if now >= kill_at {
            self.signal(Signal::KILL);
            return Some(end);
        }
        self.phase = Phase::Lingering { end, kill_at };
        None
    }

    /// To the whole group. One that is gone, or that belongs to somebody else by now (a set-user-id command), is past asking.
    fn signal(&self, signal: Signal) {
        let _ = process::kill_process_group(self.pid, signal);
    }
}

/// The next child that has ended, reaped. Any child: as the first process of a container the worker inherits orphans, and
/// with `exec mq work` its script's.
pub(super) fn reap() -> Option<(Pid, Exit)> {
    loop {
        let (pid, status) = retry_on_intr(|| process::wait(WaitOptions::NOHANG)).ok().flatten()?;
        if let Some(exit) = exit_of(status) {
            return Some((pid, exit));
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}
