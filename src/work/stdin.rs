//! The body as a job's stdin: exactly its bytes from offset 0, the same on every attempt, and the end of file after them.
//!
//! A small body is written into a pipe before the job starts, a larger one is a private copy without a name. The message's
//! own descriptor would never do: its offset is shared by all who inherit it, and its history follows the body.

use crate::fs::File;
use crate::queue::{Message, Queue, Result, name};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A body up to this size goes through a pipe.
pub(super) const PIPE_MAX: usize = 64 << 10;
/// What a fresh pipe takes without blocking wherever mq runs: one page (pipe(7)); users over their share get no more.
const PIPE_SURE: usize = 4096;

/// What a job reads from.
#[derive(Debug)]
pub(super) enum Stdin {
    Pipe(OwnedFd),
    Copy(File),
    /// `/dev/null`: the body is an argument.
    Null,
}

impl Stdin {
    /// The whole body of a message, waiting to be read.
    ///
    /// # Errors
    /// [`crate::queue::Error::Damaged`] when a large body fails its check, which is made while it is copied.
    pub fn holding(message: &Message, queue: &Queue) -> Result<Stdin> {
        if let Some(body) = message.small_body().filter(|body| body.len() <= PIPE_MAX)
            && let Some(pipe) = filled(body)
        {
            return Ok(Stdin::Pipe(pipe));
        }
        // In the queue's own file system, so that the copy may share the message's blocks.
        let beside = queue.disk().open_queue(&queue.path().join(name::TMP))?;
        Ok(Stdin::Copy(message.private_copy(&beside)?))
    }

    /// `None` for `/dev/null`.
    pub fn fd(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        use std::os::fd::AsFd;
        match self {
            Stdin::Pipe(pipe) => Ok(Some(pipe.as_fd())),
            Stdin::Copy(file) => file.handle().fd().map(Some),
            Stdin::Null => Ok(None),
        }
    }
}

/// The read end of a pipe that holds these bytes, its write end closed; none where no such pipe can be had.
pub(super) fn filled(body: &[u8]) -> Option<OwnedFd> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    if body.len() > PIPE_SURE && !roomy(&write, body.len()) {
        return None;
    }
    let mut rest = body;
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(&write, rest)) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ => return None,
        }
    }
    Some(read)
}

/// Whether so many bytes fit into the pipe, made larger where it must be. A write that did not fit would block for ever.
#[cfg(target_os = "linux")]
fn roomy(pipe: &OwnedFd, size: usize) -> bool {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    fcntl_getpipe_size(pipe).is_ok_and(|room| room >= size)
        || fcntl_setpipe_size(pipe, size).is_ok_and(|room| room >= size)
}

#[cfg(not(target_os = "linux"))]
fn roomy(_: &OwnedFd, _: usize) -> bool {
    false
}
