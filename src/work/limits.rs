//! The limit of open files: a worker that holds many messages at once raises its own, and hands its jobs the one it was
//! started with.

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::RefCell;
use std::os::fd::OwnedFd;

/// Descriptors a worker has beside its messages, and those of each job.
const OWN: u64 = 64;
const PER_JOB: u64 = 8;

/// The limit as it was and as it is.
#[derive(Debug)]
pub(super) struct Files {
    original: Rlimit,
    raised: Rlimit,
    /// Two low numbers, kept for musl's posix_spawn(3): it makes a pipe to hear of the exec, under the job's limit.
    kept: RefCell<Option<(OwnedFd, OwnedFd)>>,
}

impl Files {
    /// Raises the soft limit towards the hard one, so that `jobs` batches of `most` messages can be held; and how many each
    /// may have where the hard limit does not allow as many.
    pub fn raise(jobs: usize, most: usize) -> (Files, usize) {
        let original = getrlimit(Resource::Nofile);
        let jobs = jobs as u64;
        let wanted = (most as u64 + PER_JOB) * jobs + OWN;
        let mut raised = original;
        if original.current.is_some_and(|current| current < wanted) {
            raised.current = Some(original.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
            if setrlimit(Resource::Nofile, raised).is_err() {
                raised = original;
            }
        }
        let each =
            raised.current.map_or(most as u64, |current| (current.saturating_sub(OWN) / jobs).saturating_sub(PER_JOB));
        let most = most.min(usize::try_from(each).unwrap_or(usize::MAX)).max(1);
        let kept = RefCell::new(if raised == original { None } else { keep() });
        (Files { original, raised, kept }, most)
    }

    /// Does something under the limit that a job is to have: the one the worker was started with, unless the job is given
    /// descriptors beyond it.
    pub fn as_for_job<T>(&self, descriptors: usize, spawn: impl FnOnce() -> T) -> T {
        let current = self.original.current.map(|current| current.max(descriptors as u64));
        if current == self.raised.current {
            return spawn();
        }
        drop(self.kept.take());
        // What is open beyond it stays open (getrlimit(2)); no other thread of ours opens files.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, ..self.original });
        let spawned = spawn();
        let _ = setrlimit(Resource::Nofile, self.raised);
        self.kept.replace(keep());
        spawned
    }
}

fn keep() -> Option<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).ok()
}
