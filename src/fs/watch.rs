//! inotify(7) on a queue: a touch of `wake`, and the closing of a file in `claimed/`, which is how the death of its last
//! holder is seen at once; that of a worker that has packs in a directory of its own there, by the closing of `wake`. A lost
//! event costs latency only, so every error here means: poll instead.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What to hear of `claimed/`, beside the touches of `wake`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A file in it was closed: its holder may be gone.
    Closed,
    /// That, and every name that comes or goes: for those who wait until messages are settled. Of what a worker has in hand they
    /// hear when it is done with a pack, by `wake`.
    Settled,
}

/// What happened since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Something may have become claimable, or due.
    pub wake: bool,
    /// A descriptor of a claimed message was closed, or a worker's of `wake`; the kernel says so a moment before it frees the
    /// lock. With [`Interest::Settled`] also: a message has left.
    pub closed: bool,
    /// A watched path went away: look whether the queue is still there.
    pub gone: bool,
}

#[cfg(target_os = "linux")]
mod linux {
    use super::super::turn::Turns;
    use super::{Interest, Noticed};
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use rustix::io::Errno;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::path::{Path, PathBuf};

    /// An open watch; its descriptor becomes readable when something happened, or, in line, when our turn has come.
    #[derive(Debug)]
    pub struct Watch {
        inotify: OwnedFd,
        wake: i32,
        paths: [PathBuf; 2],
        turns: Option<Turns>,
        /// It turned out that there are no turns to be had here.
        refused: bool,
    }

    impl Watch {
        pub(in crate::fs) fn open(wake: &Path, claimed: &Path, interest: Interest) -> io::Result<Option<Watch>> {
            let inotify = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
                // No more instances or descriptors: polling still works.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOSYS) => return Ok(None),
                other => other?,
            };
            let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
            let flags = WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE | gone | WatchFlags::DONT_FOLLOW;
            let names = match interest {
                Interest::Closed => WatchFlags::empty(),
                Interest::Settled => WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO,
            };
            let on_claimed = WatchFlags::CLOSE_WRITE
                | names
                | gone
                | WatchFlags::EXCL_UNLINK
                | WatchFlags::DONT_FOLLOW
                | WatchFlags::ONLYDIR;
            let add = |path: &Path, flags| match inotify::add_watch(&inotify, path, flags) {
                Err(Errno::NOSPC | Errno::NOMEM) => Ok(None),
                other => other.map(Some),
            };
            let paths = [wake.to_path_buf(), claimed.to_path_buf()];
            let (Some(wd), Some(_)) = (add(wake, flags)?, add(claimed, on_claimed)?) else { return Ok(None) };
            Ok(Some(Watch { inotify, wake: wd, paths, turns: None, refused: false }))
        }

        /// For `poll`.
        pub fn fd(&self) -> BorrowedFd<'_> {
            self.turns.as_ref().and_then(Turns::fd).unwrap_or(self.inotify.as_fd())
        }

        /// From now on only those who came earlier hear what happens, until it is our turn; then we do, and all that was
        /// missed. Where nobody is in line that is so at once, and where there can be no line, nothing changes.
        pub fn take_turns(&mut self) {
            if self.refused {
                return;
            }
            let [wake, claimed] = &self.paths;
            let turns = self.turns.take().map_or_else(|| Turns::open(wake, claimed), Ok);
            self.turns = turns.and_then(|mut turns| turns.join().map(|()| turns)).ok();
            self.refused = self.turns.is_none();
        }

        /// From now on we hear what happens, and whoever is next in line as well.
        pub fn hear_all(&mut self) {
            if let Some(turns) = &mut self.turns {
                turns.leave();
            }
        }

        /// Whether we wait for our turn, and hear nothing.
        pub fn in_line(&self) -> bool {
            self.turns.as_ref().is_some_and(|turns| turns.fd().is_some())
        }

        /// Takes all that is waiting, without blocking; what we could not hear in line as well.
        pub fn take(&mut self) -> Noticed {
            if self.turns.as_mut().is_some_and(|turns| turns.look().is_err()) {
                (self.turns, self.refused) = (None, true);
            }
            let mut noticed = Noticed::default();
            let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            // One read: what comes after it wakes the next wait.
            while let Ok(event) = reader.next() {
                let flags = event.events();
                if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED) {
                    noticed.gone = true;
                } else if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                    noticed = Noticed { wake: true, closed: true, ..noticed };
                } else if event.wd() == self.wake {
                    noticed.wake = true;
                    noticed.closed |= flags.contains(ReadFlags::CLOSE_WRITE);
                } else {
                    noticed.closed = true;
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
            noticed
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::Watch;

/// Not here: the caller polls.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum Watch {}

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(in crate::fs) fn open(_: &Path, _: &Path, _: Interest) -> io::Result<Option<Watch>> {
        Ok(None)
    }
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match *self {}
    }
    pub fn take(&mut self) -> Noticed {
        match *self {}
    }
    pub fn take_turns(&mut self) {
        match *self {}
    }
    pub fn hear_all(&mut self) {
        match *self {}
    }
    pub fn in_line(&self) -> bool {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
const _: fn(&Path, &Path, Interest) -> io::Result<Option<Watch>> = Watch::open;

impl std::os::fd::AsFd for Watch {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd()
    }
}

/// Waits until something has happened in the queue, or for so long; without a watch, for so long. Interrupted by a signal it
/// ends at once.
///
/// # Errors
/// Those of poll(2), but EINTR.
pub fn wait(watch: &mut Option<Watch>, limit: Duration) -> io::Result<Noticed> {
    let mut fds: Vec<PollFd<'_>> = watch.iter().map(|watch| PollFd::new(watch, PollFlags::IN)).collect();
    match poll(&mut fds, limit.try_into().ok().as_ref()) {
        Ok(0) | Err(Errno::INTR) => Ok(Noticed::default()),
        Ok(_) => Ok(watch.as_mut().map(Watch::take).unwrap_or_default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::thread::JoinHandleExt;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    #[test]
    fn without_a_watch_it_lasts_as_long_as_that() {
        let began = Instant::now();
        assert_eq!(wait(&mut None, Duration::from_millis(20)).unwrap(), Noticed::default());
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_signal_ends_it_also_without_a_watch() {
        signal_hook::flag::register(libc::SIGUSR1, Arc::new(AtomicBool::new(false))).unwrap();
        let waiter = std::thread::spawn(|| wait(&mut None, Duration::from_secs(60)).unwrap());
        let began = Instant::now();
        // It may not have come to its wait yet: so more than once.
        while !waiter.is_finished() && began.elapsed() < Duration::from_secs(30) {
            // SAFETY: the thread has not been joined. (For musl std and libc have different types for it.)
            unsafe { libc::pthread_kill(waiter.as_pthread_t() as libc::pthread_t, libc::SIGUSR1) };
            std::thread::yield_now();
        }
        assert!(waiter.is_finished(), "it went on waiting");
        assert_eq!(waiter.join().unwrap(), Noticed::default());
    }
}
