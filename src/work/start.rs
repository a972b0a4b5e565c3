//! From a claimed message to a running job.

use super::arguments::{too_long, with_body};
use super::captured::Captured;
use super::command::{Command, Unusable};
use super::environment::Environment;
use super::jobs::Job;
use super::limits::Files;
use super::options::{Acking, Input, Limit, Options, Output, Stderr};
use super::spawn::{Plumbing, Spawner};
use super::stderr::Relay;
use super::stdin::Stdin;
use crate::queue::{Claim, Error, Queue, Settled};
use anyhow::{Context, anyhow};
use rustix::io::Errno;
use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

/// A message whose own part of the command line and the environment is smaller than this is not what made them too large.
const SMALL_PART: usize = 64 << 10;

/// All that jobs of one run have in common.
pub(super) struct Starter<'w> {
    pub(super) command: &'w Command,
    options: &'w Options,
    pub(super) environment: Environment,
    spawner: Spawner,
}

/// A process that runs, and the worker's ends of what it was given.
pub(super) struct Started {
    pid: rustix::process::Pid,
    relay: Option<Relay>,
    captured: Option<Captured>,
}

/// No job was started, and why; the claim is still to be settled.
pub(super) enum NotStarted {
    /// By this message, which no worker can run: a body that no argument holds.
    Unfit { reason: String },
    /// The body failed its check.
    Damaged { why: String },
    /// It is a pack, and one of its messages does not fit with the others.
    Mixed,
    /// The body can't be read.
    Unreadable { error: Error },
    /// The command can't be executed, whatever the message.
    Unusable(Unusable),
    /// It was to be acknowledged first, and could not be.
    Unacknowledged(Error),
    /// It was to be acknowledged first, and is not there any more: somebody has moved it.
    Gone,
    /// Something is short at the moment: processes, descriptors, memory, space.
    Short(anyhow::Error),
}

impl<'w> Starter<'w> {
    pub fn new(command: &'w Command, options: &'w Options, files: Option<Files>) -> anyhow::Result<Starter<'w>> {
        let environment = Environment::new(std::env::vars_os(), options);
        let spawner = Spawner::new(options.umask, files).context("cannot prepare to start jobs")?;
        Ok(Starter { command, options, environment, spawner })
    }

    /// Starts the job of a message. What was opened for it is closed again by the time this returns, its own side aside.
    pub fn start(&self, queue: &Queue, mut claim: Box<Claim>) -> Result<Job, (Box<Claim>, NotStarted)> {
        match self.try_start(queue, &mut claim) {
            Ok(started) => Ok(self.job(queue, claim, started)),
            Err(not_started) => Err((claim, not_started)),
        }
    }

    pub(super) fn job(&self, queue: &Queue, claim: Box<Claim>, started: Started) -> Job {
        let settings = queue.settings();
        let limit = match self.options.timeout {
            Limit::OfQueue => settings.timeout(),
            Limit::None => None,
            Limit::After(limit) => Some(limit),
        };
        let mut job = Job::new(claim, settings.max_attempts(), started.relay, started.pid, limit);
        job.captured = started.captured;
        job
    }

    fn try_start(&self, queue: &Queue, claim: &mut Claim) -> Result<Started, NotStarted> {
        let message = claim.message();
        let words: Cow<'_, [CString]> = match self.options.input {
            Input::Stdin => self.command.words.as_slice().into(),
            Input::Argument => {
                let body = message.small_body().ok_or_else(|| too_long(message.header.size_bytes));
                let words = body.and_then(|body| with_body(&self.command.words, body));
                words.map_err(|reason| NotStarted::Unfit { reason })?.into()
            }
        };
        let stdin = match self.options.input {
            Input::Stdin => Stdin::holding(message, queue).map_err(unreadable)?,
            Input::Argument => Stdin::Null,
        };
        // After all that can fail and be tried again, and before the job can have done anything.
        if self.options.acking == Acking::BeforeJob {
            let settled = claim.ack_first(queue).map_err(NotStarted::Unacknowledged)?;
            if settled == Settled::Already {
                return Err(NotStarted::Gone);
            }
        }
        claim.lock_for_job(queue).map_err(|error| match error {
            Error::Lost { .. } => NotStarted::Gone,
            error => NotStarted::Short(error.into()),
        })?;
        let lease = if claim.is_spent() { None } else { Some(claim.lock_fd().map_err(short)?) };
        let own = self.environment.of(claim, queue.settings().max_attempts());
        self.launch(queue, &words, &own, &stdin, lease.as_slice(), None)
    }

    /// Starts the command with these words, this on its stdin, and these descriptors.
    pub(super) fn launch(
        &self,
        queue: &Queue,
        words: &[CString],
        own: &[CString],
        stdin: &Stdin,
        leases: &[BorrowedFd<'_>],
        named: Option<BorrowedFd<'_>>,
    ) -> Result<Started, NotStarted> {
        let relay = match self.options.stderr {
            Stderr::Relay => Some(Relay::open().map_err(short)?),
            Stderr::Inherit => None,
        };
        let captured = match self.options.output {
            Output::Inherit => None,
            Output::Capture => Some(Captured::new(queue).map_err(|error| NotStarted::Short(error.into()))?),
        };
        let plumbing = Plumbing {
            stdin: stdin.fd().map_err(short)?,
            stdout: captured.as_ref().map(Captured::fd).transpose().map_err(short)?,
            stderr: relay.as_ref().map(|(_, job_end)| job_end.as_fd()),
            leases,
            named,
        };
        let environment = self.environment.shared().iter().chain(own);
        match self.spawner.spawn(&self.command.path, words, environment, plumbing) {
            Ok(pid) => Ok(Started { pid, relay: relay.map(|(relay, _)| relay), captured }),
            Err(Errno::TOOBIG) if self.own_part(words, own) >= SMALL_PART => {
                Err(NotStarted::Unfit { reason: "its body or headers are too large for a command line".into() })
            }
            Err(errno @ (Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY)) => {
                let command = self.command.path.to_string_lossy();
                Err(NotStarted::Short(anyhow!(std::io::Error::from(errno)).context(format!("cannot start {command}"))))
            }
            Err(errno) => Err(NotStarted::Unusable(self.command.unusable(errno))),
        }
    }

    /// How much of what exec is given comes from the message.
    fn own_part(&self, words: &[CString], own: &[CString]) -> usize {
        let size = |strings: &[CString]| strings.iter().map(|string| string.as_bytes().len()).sum::<usize>();
        (size(words) + size(own)).saturating_sub(size(&self.command.words))
    }
}

pub(super) fn short(error: std::io::Error) -> NotStarted {
    NotStarted::Short(anyhow!(error).context("cannot start a job"))
}

/// What it means that the body of a message could not be put where its job reads it.
pub(super) fn unreadable(error: Error) -> NotStarted {
    use std::io::ErrorKind::{OutOfMemory, ReadOnlyFilesystem};
    match error {
        Error::Damaged { why, .. } => NotStarted::Damaged { why },
        Error::Disk(ref disk) => {
            let errno = disk.source.raw_os_error();
            let short = [Errno::MFILE, Errno::NFILE].iter().any(|short| errno == Some(short.raw_os_error()));
            if short || disk.no_room() || matches!(disk.source.kind(), OutOfMemory | ReadOnlyFilesystem) {
                NotStarted::Short(error.into())
            } else {
                NotStarted::Unreadable { error }
            }
        }
        error => NotStarted::Short(error.into()),
    }
}
