//! The worker: claims the messages of one queue one by one, runs a command for each, and settles each by how its command
//! ended.
//!
//! One thread, N children, one poll(2). The lease of a message is the lock that the worker and its job share, so nothing has
//! to be renewed, and there is nothing to do for one that is slow: kill both, and the message is free at that moment.
//!
//! Knows no clap and prints nothing: what a person should see goes to an [`Observer`], and how the run ended comes back as
//! [`Ended`].

mod arguments;
mod batch;
mod captured;
mod command;
mod environment;
mod frame;
mod jobs;
mod limits;
mod named;
mod observer;
mod options;
mod settle;
mod signals;
mod spawn;
mod start;
mod stderr;
mod stdin;
mod verdict;
mod worker;

pub use arguments::refuse_shell_word;
pub use captured::Captured;
pub use command::{Command, Unusable};
pub use observer::{End, Fate, Observer, Running, Standing};
pub use options::{
    Acking, Batch, Drain, Forward, Frame, Input, Limit, Options, Output, Prefetch, Skip, Split, Stderr, Until,
};
pub use verdict::Rules;
pub use worker::run;

/// How many of what a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that were started.
    pub started: u64,
    pub acked: u64,
    /// Failed, and to be tried again.
    pub retried: u64,
    /// Failed after they were acknowledged: never tried again.
    pub failed: u64,
    pub dead: u64,
    /// Put back without counting the attempt: the worker was told to stop, or could not run the command.
    pub put_back: u64,
    /// Settled by their own job, or moved by a person meanwhile.
    pub by_job: u64,
    /// Their body failed its check while it was copied for the job.
    pub set_aside: u64,
    /// The job is over, but its outcome could not be written down: to be delivered again.
    pub unsettled: u64,
}

/// How a run ended. No job of it is running any more, unless it has left the worker by itself (daemonised).
#[derive(Debug)]
pub struct Ended {
    pub totals: Totals,
    /// A message that the run held was dead-lettered, by its verdict or by its job.
    pub dead_lettered: bool,
    pub why: Why,
    /// The first outcome that could not be written down.
    pub unsettled: Option<anyhow::Error>,
}

/// Why a run ended.
#[derive(Debug)]
pub enum Why {
    /// Nothing was left to do.
    Drained,
    /// As many messages as were asked for.
    Count,
    /// The time was up.
    Time,
    /// The queue is paused, and the run was not to wait.
    Paused,
    /// The first signal that said stop.
    Signal(i32),
    /// The command could not be executed, after all: its message was put back, uncounted.
    Unusable(Unusable),
    /// Nothing can be claimed: the queue is gone, or cannot be read.
    Failed(anyhow::Error),
}
