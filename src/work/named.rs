//! Descriptor 3 of a job that works on a batch: a pipe into which it may write the ids of those messages that have failed,
//! one a line. The worker reads it as it fills, so that the job never waits.

use super::verdict::{Judgement, Verdict};
use crate::queue::Outcome;
use crate::queue::name::Id;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The number by which the job has its end.
pub(super) const NAMED_FD: i32 = 3;
/// Many times what a thousand ids take; who writes more has taken the pipe for something else.
const MOST: usize = 256 << 10;

/// The worker's end.
#[derive(Debug)]
pub(super) struct Named {
    /// None once every writer has closed it.
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    /// More came than is kept.
    cut: bool,
}

/// What a job has said of its batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failed {
    pub ids: BTreeSet<Id>,
    /// Lines that are not the ids of messages.
    pub unknown: Vec<String>,
    /// It wrote more than can be kept, so nobody knows which have not failed.
    pub cut: bool,
}

impl Failed {
    /// What is to become of one message of a batch whose job was judged so.
    pub fn judged(&self, id: Id, judged: &Judgement) -> Judgement {
        let reason = match self.ids.contains(&id) {
            true => "named as failed",
            false if self.cut => "its job named more than can be read",
            false => return judged.clone(),
        };
        Judgement { verdict: Verdict::Retry, outcome: Outcome::Nack, reason: reason.into() }
    }
}

impl Named {
    /// The worker's end, and the one for the job, whose number is `above` or higher.
    pub fn open(above: i32) -> io::Result<(Named, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&read, OFlags::NONBLOCK)?;
        let write = rustix::io::fcntl_dupfd_cloexec(&write, above)?;
        Ok((Named { pipe: Some(read), bytes: Vec::new(), cut: false }, write))
    }

    /// For `poll`, while there is a writer.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// One read, which never blocks. Whether there may be more.
    pub fn read(&mut self, buffer: &mut [u8]) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *buffer)) {
            Ok(length) if length > 0 => {
                let room = MOST.saturating_sub(self.bytes.len());
                self.bytes.extend_from_slice(&buffer[..length.min(room)]);
                self.cut |= length > room;
                true
            }
            Err(Errno::AGAIN) => false,
            Ok(_) | Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    /// What was written until now; whoever still has the other end is not waited for.
    pub fn finish(mut self, buffer: &mut [u8]) -> Failed {
        while !self.cut && self.read(buffer) {}
        let mut failed = Failed { ids: BTreeSet::new(), unknown: Vec::new(), cut: self.cut };
        for line in String::from_utf8_lossy(&self.bytes).lines() {
            match (line.trim(), Id::parse(line.trim())) {
                ("", _) => (),
                (_, Some(id)) => drop(failed.ids.insert(id)),
                (text, None) => failed.unknown.push(text.chars().take(40).collect()),
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_or_told() {
        let (named, write) = Named::open(3).unwrap();
        rustix::io::write(&write, b"1764000000000001\n\n 1764000000000002 \nnonsense\n1764000000000003").unwrap();
        let failed = named.finish(&mut [0; 16]);
        assert_eq!(failed.ids.len(), 3);
        assert_eq!((failed.unknown, failed.cut), (vec!["nonsense".to_string()], false));
    }

    #[test]
    fn what_is_too_much_says_so() {
        let (mut named, write) = Named::open(3).unwrap();
        let mut buffer = vec![0; 4096];
        for _ in 0..=MOST / 4096 {
            rustix::io::write(&write, &[b'1'; 4096]).unwrap();
            named.read(&mut buffer);
        }
        assert!(named.finish(&mut buffer).cut);
    }
}
