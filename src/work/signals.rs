//! Signals, delivered to the poll loop through a pipe: what came is counted by the handlers, the pipe only wakes.

use anyhow::{Context, Result};
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};

/// What has come since the worker started, as the handlers count it.
#[derive(Debug, Default)]
struct Came {
    child: AtomicBool,
    status: AtomicBool,
    stops: AtomicU32,
    first_stop: AtomicI32,
}

/// The handlers, while the worker runs.
#[derive(Debug)]
pub(super) struct Signals {
    came: Arc<Came>,
    pipe: UnixStream,
    handlers: Vec<SigId>,
}

impl Signals {
    pub fn install() -> Result<Signals> {
        let (pipe, wake) = UnixStream::pair().context("cannot open a pipe for signals")?;
        pipe.set_nonblocking(true).context("cannot open a pipe for signals")?;
        let came = Arc::new(Came::default());
        let mut signals = Signals { came, pipe, handlers: Vec::new() };
        for signal in [SIGCHLD, SIGUSR1, SIGTERM, SIGINT, SIGHUP] {
            // nohup(1), and a shell that starts a job in the background, say with an ignored signal that it is not for us.
            if matches!(signal, SIGINT | SIGHUP) && ignored(signal) {
                continue;
            }
            let handled = signals.handle(signal).and_then(|()| low_level::pipe::register(signal, wake.try_clone()?));
            signals.handlers.push(handled.context("cannot handle signals")?);
            unblock(signal);
        }
        Ok(signals)
    }

    fn handle(&mut self, signal: i32) -> std::io::Result<()> {
        let came = Arc::clone(&self.came);
        let count = move || match signal {
            SIGCHLD => came.child.store(true, SeqCst),
            SIGUSR1 => came.status.store(true, SeqCst),
            _ => {
                let _ = came.first_stop.compare_exchange(0, signal, SeqCst, SeqCst);
                came.stops.fetch_add(1, SeqCst);
            }
        };
        // SAFETY: the handler touches atomics alone, which is allowed at any instruction (signal-safety(7)).
        self.handlers.push(unsafe { low_level::register(signal, count)? });
        Ok(())
    }

    /// For `poll`: readable after a signal.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Empties the pipe. Before looking at what came: a signal after that is seen by the next poll.
    pub fn drain(&mut self) {
        let mut bytes = [0; 256];
        while matches!(self.pipe.read(&mut bytes), Ok(length) if length == bytes.len()) {}
    }

    /// Whether a child has ended since the last call.
    pub fn child(&self) -> bool {
        self.came.child.swap(false, SeqCst)
    }

    /// Whether somebody has asked where the run stands, since the last call.
    pub fn status(&self) -> bool {
        self.came.status.swap(false, SeqCst)
    }

    /// How often the worker was told to stop, and by which signal first.
    pub fn stops(&self) -> Option<(u32, i32)> {
        match self.came.stops.load(SeqCst) {
            0 => None,
            stops => Some((stops, self.came.first_stop.load(SeqCst))),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}

/// Whether this signal is ignored: by whoever started the worker, or by it.
pub(super) fn ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid one to be filled in, and the call only reads the disposition.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// A parent may have left it blocked, and then no handler would ever run.
fn unblock(signal: i32) {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}
