//! The stdout of a job, caught whole: in a file without a name, which takes any amount, never makes the job wait for the
//! worker, and goes with its last descriptor, so that a kill leaves nothing.

use crate::fs::File;
use crate::queue::{Queue, Result, name};
use std::io;
use std::os::fd::BorrowedFd;

/// What a job has written to its stdout.
#[derive(Debug)]
pub struct Captured(File);

impl Captured {
    /// An empty one, in the queue's own file system; in memory where that has no room.
    pub(super) fn new(queue: &Queue) -> Result<Captured> {
        let beside = queue.disk().open_queue(&queue.path().join(name::TMP))?;
        Ok(Captured(queue.disk().create_unnamed(&beside)?))
    }

    /// For the job to write to.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.handle().fd()
    }

    /// How much there is, in bytes. A child that the job left behind may write on: what is not here by the job's end does
    /// not belong to it.
    pub fn size(&self, queue: &Queue) -> Result<u64> {
        Ok(queue.disk().stat(&self.0)?.size)
    }

    /// Bytes from `offset` on, as many as there are and fit; none at the end.
    pub fn read_at(&self, queue: &Queue, into: &mut [u8], offset: u64) -> Result<usize> {
        Ok(queue.disk().read_full(&self.0, into, offset)?)
    }
}
