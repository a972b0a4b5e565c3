//! What a run tells whoever watches it.

use super::Totals;
use crate::queue::{Pause, name::Id};
use crate::time::Time;
use std::time::Duration;

/// Sees what a run does. All of it is optional.
pub trait Observer {
    /// A job was started.
    fn started(&mut self, _job: Running) {}
    /// An attempt is over and settled.
    fn ended(&mut self, _end: &End<'_>, _totals: &Totals) {}
    /// What a job wrote to its stderr, as it came.
    fn relayed(&mut self, _bytes: &[u8]) {}
    /// Something failed that is not an attempt's own failure; the run goes on, or says in its end that it does not.
    fn troubled(&mut self, _error: &anyhow::Error, _again: Option<Duration>) {}
    /// The run waits for the queue to be resumed.
    fn paused(&mut self, _pause: &Pause) {}
    /// The queue was paused because a job ended as it did; this is the pause that holds now.
    fn pausing(&mut self, _pause: &Pause) {}
    /// The run was told to stop by a signal, for the first time or again, and waits for its jobs.
    fn stopping(&mut self, _signal: i32, _stops: u32, _standing: &Standing) {}
    /// Somebody asked where the run stands (SIGUSR1).
    fn asked(&mut self, _standing: &Standing) {}
}

/// A job that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Of its message, or of the first of its batch.
    pub id: Id,
    /// How many messages it works on.
    pub messages: u64,
    pub attempt: u32,
    pub max_attempts: u32,
    pub pid: i32,
    /// How long it has been running.
    pub age: Duration,
}

/// Where a run stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub totals: Totals,
    pub running: Vec<Running>,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct End<'e> {
    /// Of the message, or of the first of a pack.
    pub id: Id,
    /// How many ended so: those of a pack end together, where they end alike.
    pub messages: u64,
    pub attempt: u32,
    pub max_attempts: u32,
    /// How the job ended, in a few words: `exit 1`, `timed out after 30s`.
    pub how: &'e str,
    pub took: Duration,
    pub fate: Fate,
}

/// What became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acked,
    /// Acknowledged, and not kept although the queue keeps such messages, for lack of space.
    Unkept,
    /// To be tried again, not before then.
    Again(Time),
    Dead,
    /// Its job failed, or could not be started, after it was acknowledged: nothing is left of it.
    GivenUp,
    /// Back as it was before the attempt.
    PutBack,
    /// Its job, or a person, had settled it already.
    ByJob,
    /// The same, into the dead-letter queue.
    DeadByJob,
    /// Set aside as damaged.
    SetAside,
}
