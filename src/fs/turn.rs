//! Taking turns at listening. A touch of `wake` makes readable the inotify descriptor of everyone who watches it, and of 64 idle
//! workers 63 wake for a message that is gone. So they stand in line, and only the first listens: it holds a flock(2), and the
//! others wait for that lock. Who takes a message lets go of it, and so does who is killed: the next one is first, and its own
//! inotify descriptor has all that happened meanwhile.
//!
//! There are two lines, on `wake` and on `claimed`, so that one listener who is stopped, or slow, does not make all others
//! deaf. Nothing depends on a line but latency: whoever cannot stand in one listens as before.

use super::flock;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LINES: usize = 2;

/// One process's part in it.
#[derive(Debug)]
pub(super) struct Turns {
    /// Each an opening of its own, so that its lock is ours alone. Read-only: closing it is an event for nobody.
    lines: [Arc<File>; LINES],
    place: Place,
    waiter: Arc<Waiter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not in line.
    Out,
    /// In line: the waiter tells when it is our turn.
    Waiting,
    /// First in this line.
    First(usize),
}

/// A thread that waits for a lock, which flock(2) can only do by standing still. It cannot be called back, so it stays in line
/// while we are busy, and gives up the lock if it comes then.
#[derive(Debug)]
struct Waiter {
    state: Mutex<State>,
    /// Readable when it is our turn (eventfd(2)).
    told: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    /// The thread waits, in this line.
    waits: Option<usize>,
    /// Whoever it waits for is still in line.
    wanted: bool,
    /// What came, until it is fetched: the lock on this line.
    came: Option<io::Result<usize>>,
}

impl Turns {
    pub fn open(wake: &Path, claimed: &Path) -> io::Result<Turns> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let line = |path: &Path| -> io::Result<Arc<File>> {
            Ok(Arc::new(File::from(retry_on_intr(|| open(path, flags, Mode::empty()))?)))
        };
        let told = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let waiter = Arc::new(Waiter { state: Mutex::default(), told });
        Ok(Turns { lines: [line(wake)?, line(claimed)?], place: Place::Out, waiter })
    }

    /// What becomes readable when it is our turn; `None` where it is, or where we are not in line.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        (self.place == Place::Waiting).then(|| self.waiter.told.as_fd())
    }

    /// Comes into a line, unless it is in one: as its first where nobody is.
    ///
    /// # Errors
    /// Locks, or another thread, cannot be had: then we are not in line.
    pub fn join(&mut self) -> io::Result<()> {
        if self.place != Place::Out {
            return Ok(());
        }
        let waits = self.waiter.state().waits;
        for (at, line) in self.lines.iter().enumerate().filter(|(at, _)| waits != Some(*at)) {
            if flock::try_lock(line)? {
                self.place = Place::First(at);
                return Ok(());
            }
        }
        let mut state = self.waiter.state();
        if state.waits.is_none() {
            let mut either = [0_u8];
            rustix::rand::getrandom(&mut either, rustix::rand::GetRandomFlags::empty())?;
            let at = usize::from(either[0]) % LINES;
            let (line, waiter) = (self.lines[at].clone(), self.waiter.clone());
            let thread = std::thread::Builder::new().name("turn".into()).stack_size(64 << 10);
            thread.spawn(move || waiter.wait(at, &line))?;
            state.waits = Some(at);
        }
        state.wanted = true;
        self.place = Place::Waiting;
        Ok(())
    }

    /// Leaves the line: the next one's turn has come.
    pub fn leave(&mut self) {
        match std::mem::replace(&mut self.place, Place::Out) {
            Place::Out => (),
            Place::First(at) => unlock(&self.lines[at]),
            Place::Waiting => {
                let mut state = self.waiter.state();
                state.wanted = false;
                if let Some(Ok(at)) = self.waiter.fetch(&mut state) {
                    unlock(&self.lines[at]);
                }
            }
        }
    }

    /// Looks whether our turn has come.
    ///
    /// # Errors
    /// It cannot come; we are not in line any more.
    pub fn look(&mut self) -> io::Result<()> {
        if self.place == Place::Waiting
            && let Some(came) = self.waiter.fetch(&mut self.waiter.state())
        {
            self.place = Place::Out;
            self.place = Place::First(came?);
        }
        Ok(())
    }
}

impl Waiter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn wait(&self, at: usize, line: &File) {
        let came = flock::wait(line);
        let mut state = self.state();
        state.waits = None;
        if state.wanted {
            state.came = Some(came.map(|()| at));
            // It holds less than the most there is, so this does not fail.
            let _ = rustix::io::write(&self.told, &1_u64.to_ne_bytes());
        } else if came.is_ok() {
            unlock(line);
        }
    }

    fn fetch(&self, state: &mut State) -> Option<io::Result<usize>> {
        let came = state.came.take()?;
        let mut count = [0; 8];
        let _: Result<usize, Errno> = rustix::io::read(&self.told, &mut count);
        Some(came)
    }
}

/// Fails for a descriptor that is none, and this is one.
fn unlock(line: &File) {
    let _ = flock::unlock(line);
}
