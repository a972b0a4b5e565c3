//! What a run of the worker is told.

use super::verdict::Rules;
use crate::queue::Queue;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How to work.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a job finds in `MQ_QUEUE`: the queue's name, or its absolute path.
    pub queue: String,
    /// What its receipt calls the queue.
    pub receipts: String,
    /// What a job finds in `MQ_ROOT`: absolute; `None` where there is no root and the queue is a path.
    pub root: Option<PathBuf>,
    /// How many jobs at once.
    pub jobs: NonZeroUsize,
    pub until: Until,
    /// After how long a job is stopped.
    pub timeout: Limit,
    /// How long jobs may go on after the first signal; without limit where none is said.
    pub stop_timeout: Option<Duration>,
    pub input: Input,
    pub output: Output,
    /// Where caught output goes.
    pub forward: Option<Forward>,
    pub skip: Skip,
    pub prefetch: Prefetch,
    pub stderr: Stderr,
    pub rules: Rules,
    pub acking: Acking,
    /// Several messages to one job.
    pub batch: Option<Batch>,
    /// The user's file mode creation mask, which mq has cleared for itself.
    pub umask: u32,
}

/// When to end by itself: at whichever comes first; never, where none is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    pub drain: Option<Drain>,
    /// After so many jobs.
    pub count: Option<u64>,
    pub time: Option<Duration>,
}

/// What a drained queue has none of, beside what is ready or in the worker's own hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Messages that wait for a retry.
    Retries,
    /// Nothing more: retries stay.
    Ready,
}

/// How long a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// As long as the queue's setting `timeout` says.
    OfQueue,
    None,
    After(Duration),
}

/// Whether messages of one bulk send are claimed before their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// While jobs take 1.5 ms or less.
    WhereShort,
    /// Those that have waited for a tenth of a second go back all the same.
    Always,
    Never,
}

/// How messages are put together for one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most so many; fewer where the limit of open files allows no more.
    pub most: NonZeroUsize,
    /// How long to wait for more after the first.
    pub linger: Duration,
    pub frame: Frame,
}

/// How the bodies of a batch are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line each.
    Lines,
    /// A NUL byte after each.
    Null,
    /// One JSON object a line. The job may name those that have failed on descriptor 3.
    JsonLines,
}

/// When a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acking {
    /// When its job has ended well: at least once.
    AfterJob,
    /// Before its job starts: at most once. The job has no lease, and its failure is told and counted, and no more.
    BeforeJob,
}

/// How a job gets the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    /// In place of `{}` in its arguments, or after them.
    Argument,
}

/// Where a job's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Straight to the worker's own.
    Inherit,
    /// Into a file without a name, for the worker to deliver before the message is acknowledged.
    Capture,
}

/// A queue to which the output of jobs goes, under uids that follow from those of their messages: a message that is worked
/// on again after a crash sends nothing twice.
#[derive(Clone, Debug)]
pub struct Forward {
    pub queue: Rc<Queue>,
    pub split: Split,
}

/// How output becomes messages. None of it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// One, byte for byte.
    Whole,
    /// One a line, all or none.
    Lines,
}

/// Which messages need no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    None,
    /// Those whose uid or unique key was completed within the queue's `done_for`, by a run that says so too.
    Done,
}

/// Where a job's stderr goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// Through the worker, which keeps its end for the history.
    Relay,
    /// Straight to the worker's own, for jobs that must outlive it. Nothing is kept.
    Inherit,
}
