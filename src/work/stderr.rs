//! A job's stderr: a pipe that the worker reads as it fills and passes on, keeping the end of it for the attempt's record.

use crate::queue::STDERR_MAX;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// As much as a pipe holds: one read takes all that is there.
pub(super) const CHUNK: usize = 64 << 10;

/// The worker's end.
#[derive(Debug)]
pub(super) struct Relay {
    /// None once every writer has closed it.
    pipe: Option<OwnedFd>,
    tail: Tail,
}

/// What one read came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came<'b> {
    Bytes(&'b [u8]),
    /// Nothing for now.
    Nothing,
    /// Every writer has closed it.
    End,
}

impl Relay {
    /// The worker's end, and the one for the job.
    pub fn open() -> io::Result<(Relay, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Ours alone: a job that finds its stderr non-blocking loses what does not fit at once.
        fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok((Relay { pipe: Some(read), tail: Tail::default() }, write))
    }

    /// For `poll`, while there is a writer.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// One read, which never blocks.
    pub fn read<'b>(&mut self, into: &'b mut [u8]) -> Came<'b> {
        let Some(pipe) = &self.pipe else { return Came::End };
        match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *into)) {
            Ok(length) if length > 0 => {
                self.tail.push(&into[..length]);
                Came::Bytes(&into[..length])
            }
            Err(Errno::AGAIN) => Came::Nothing,
            // The end; a pipe has no other errors, and should one come, it would come for ever.
            Ok(_) | Err(_) => {
                self.pipe = None;
                Came::End
            }
        }
    }

    /// The end of what came, as text; `None` when nothing did.
    pub fn tail(&self) -> Option<String> {
        self.tail.text()
    }
}

/// The last few KiB of a stream, in constant memory.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(STDERR_MAX)..]);
        let over = self.bytes.len().saturating_sub(STDERR_MAX);
        self.cut |= over > 0 || bytes.len() > STDERR_MAX;
        self.bytes.drain(..over);
    }

    fn text(&self) -> Option<String> {
        let mut bytes = self.bytes.as_slice();
        if self.cut {
            // The cut may have gone through a character: leave out what is left of it, at most three bytes.
            let broken = bytes.iter().take(3).take_while(|byte| (0x80..0xC0).contains(*byte)).count();
            bytes = &bytes[broken..];
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_the_stream() {
        for chunk in [1, 7, 4095, 4096, 4097, 100_000] {
            let stream: Vec<u8> = (0..100_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
            let mut tail = Tail::default();
            stream.chunks(chunk).for_each(|bytes| tail.push(bytes));
            assert_eq!(tail.text().unwrap().as_bytes(), &stream[stream.len() - STDERR_MAX..], "{chunk}");
        }
        assert_eq!(Tail::default().text(), None);
    }

    #[test]
    fn no_character_is_cut_in_two() {
        let mut tail = Tail::default();
        tail.push(format!("x{}", "é".repeat(STDERR_MAX)).as_bytes());
        tail.push(b"!");
        let text = tail.text().unwrap();
        assert!(text.ends_with("é!") && !text.contains('\u{fffd}'));
        let mut tail = Tail::default();
        tail.push(b"\xff\xfe ok");
        assert_eq!(tail.text().unwrap(), "\u{fffd}\u{fffd} ok");
    }
}
