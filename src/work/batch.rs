//! From several claimed messages to one running job.

use super::environment::LEASE_FD;
use super::frame::{Framed, frame};
use super::jobs::Job;
use super::named::Named;
use super::options::Frame;
use super::start::{NotStarted, Starter, short};
use crate::queue::{Claim, Queue};
use std::os::fd::{AsFd, BorrowedFd};

/// What became of a batch.
pub(super) struct Batched {
    /// The job of all that fit into the frame, if any did; or why there is none, with all that it would have had.
    pub job: Result<Option<Job>, (Vec<Claim>, NotStarted)>,
    /// What was left out of it.
    pub unfit: Vec<(Claim, NotStarted)>,
}

impl Starter<'_> {
    /// Starts one job for all of these messages.
    pub fn start_batch(&self, queue: &Queue, claims: Vec<Claim>, how: Frame) -> Batched {
        let Framed { stdin, mut fit, unfit } = match frame(queue, claims, how) {
            Ok(framed) => framed,
            Err(failed) => return Batched { job: Err(failed), unfit: Vec::new() },
        };
        if fit.is_empty() {
            return Batched { job: Ok(None), unfit };
        }
        let started = (|| {
            let leases: Vec<BorrowedFd<'_>> =
                fit.iter().map(Claim::lock_fd).collect::<std::io::Result<_>>().map_err(short)?;
            let named = match how {
                Frame::Lines | Frame::Null => None,
                Frame::JsonLines => {
                    let above = LEASE_FD + i32::try_from(fit.len()).unwrap_or(0);
                    Some(Named::open(above).map_err(short)?)
                }
            };
            let own = self.environment.of_batch(&fit, queue.settings().max_attempts());
            let job_end = named.as_ref().map(|(_, job_end)| job_end.as_fd());
            let started = self.launch(queue, &self.command.words, &own, &stdin, &leases, job_end)?;
            Ok((started, named.map(|(named, _)| named)))
        })();
        let job = match started {
            Err(why) => Err((fit, why)),
            Ok((started, named)) => {
                let rest = fit.split_off(1);
                Ok(fit.pop().map(|first| {
                    let mut job = self.job(queue, Box::new(first), started);
                    (job.rest, job.named) = (rest, named);
                    job
                }))
            }
        };
        Batched { job, unfit }
    }
}
