//! posix_spawn(3): the job in a process group of its own, with default signal actions, an empty mask, the user's umask, and
//! no descriptors but 0 to 2 and the lock on its message. The worker's memory is not copied (vfork(2) semantics).

use super::environment::LEASE_FD;
use super::limits::Files;
use super::named::NAMED_FD;
use super::signals::ignored;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, umask};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// What a job's descriptors are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plumbing<'f> {
    /// `/dev/null` where there is none.
    pub stdin: Option<BorrowedFd<'f>>,
    /// The worker's own where there is none.
    pub stdout: Option<BorrowedFd<'f>>,
    /// The worker's own where there is none.
    pub stderr: Option<BorrowedFd<'f>>,
    /// The locks on its messages, numbered from [`LEASE_FD`] on in any order; none where the message is acknowledged already.
    pub leases: &'f [BorrowedFd<'f>],
    /// Where it may name messages that have failed: a number beyond all of the leases'.
    pub named: Option<BorrowedFd<'f>>,
}

/// The attributes that all jobs of a run share.
pub(super) struct Spawner {
    attributes: Box<libc::posix_spawnattr_t>,
    umask: Mode,
    /// Those of the last job, until there are others: musl would give the page that they are on back to the kernel, and ask it
    /// for one again, for each job.
    last: RefCell<Option<Actions>>,
    /// Where the worker has raised its limit of open files.
    files: Option<Files>,
}

impl Spawner {
    /// Also marks every descriptor that the worker was started with as close-on-exec, beyond the standard ones: a lock that
    /// a script holds around `mq work` (`flock 9`) must not live on in a job that outlives them both.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(user_umask: u32, files: Option<Files>) -> Result<Spawner, Errno> {
        seal_inherited();
        let mut attributes = Box::new(MaybeUninit::<libc::posix_spawnattr_t>::uninit());
        // SAFETY: the object is initialised by posix_spawnattr_init before any other use, and never moves, being boxed; the
        // signal sets are initialised by sigfillset and sigemptyset.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let umask = Mode::from_raw_mode(user_umask as _);
            let mut spawner = Spawner { attributes: attributes.assume_init(), umask, last: RefCell::new(None), files };
            let attributes: *mut libc::posix_spawnattr_t = &raw mut *spawner.attributes;
            let mut signals: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut signals);
            // Those with a handler get their default action from execve(2), and these are a call each. What is no signal here
            // is not ignored.
            for signal in (1..=64).filter(|&signal| ignored(signal)) {
                libc::sigaddset(&raw mut signals, signal);
            }
            check(libc::posix_spawnattr_setsigdefault(attributes, &raw const signals))?;
            libc::sigemptyset(&raw mut signals);
            check(libc::posix_spawnattr_setsigmask(attributes, &raw const signals))?;
            check(libc::posix_spawnattr_setpgroup(attributes, 0))?;
            let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETPGROUP;
            #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)] // the flags' type differs by system
            check(libc::posix_spawnattr_setflags(attributes, flags as libc::c_short))?;
            Ok(spawner)
        }
    }

    /// Starts a job.
    ///
    /// # Errors
    /// What fork or exec said: nothing was started.
    pub fn spawn<'e>(
        &self,
        path: &CStr,
        words: &[CString],
        environment: impl Iterator<Item = &'e CString>,
        plumbing: Plumbing<'_>,
    ) -> Result<Pid, Errno> {
        let actions = Actions::new(plumbing)?;
        let highest = LEASE_FD as usize + plumbing.leases.len();
        let end = std::iter::once(ptr::null_mut());
        let words: Vec<*mut libc::c_char> =
            words.iter().map(|word| word.as_ptr().cast_mut()).chain(end.clone()).collect();
        let environment: Vec<*mut libc::c_char> =
            environment.map(|entry| entry.as_ptr().cast_mut()).chain(end).collect();
        let mut pid = 0;
        // The mask is the process's, and there is no attribute for it: the user's for the moment of the spawn. A thread of ours
        // that creates files has a mask of its own (`fs::own_umask`).
        let ours = umask(self.umask);
        // SAFETY: both arrays end in a null pointer, and what they and the actions point to outlives the call, which writes
        // through neither (POSIX declares the strings writable for historical reasons only).
        let mut spawn = || unsafe {
            libc::posix_spawn(
                &raw mut pid,
                path.as_ptr(),
                &raw const *actions.0,
                &raw const *self.attributes,
                words.as_ptr(),
                environment.as_ptr(),
            )
        };
        let spawned = match &self.files {
            Some(files) => files.as_for_job(highest, spawn),
            None => spawn(),
        };
        umask(ours);
        self.last.replace(Some(actions));
        check(spawned)?;
        Pid::from_raw(pid).ok_or(Errno::SRCH)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, and not used after this.
        unsafe { libc::posix_spawnattr_destroy(&raw mut *self.attributes) };
    }
}

/// Which number each lease gets. One that has a number of that range already keeps it, so that no duplicate takes the place
/// of a lease that is still to be duplicated.
fn numbered(leases: &[i32]) -> Vec<(i32, i32)> {
    let numbers = LEASE_FD..LEASE_FD + i32::try_from(leases.len()).unwrap_or(0);
    let (at_home, others): (BTreeSet<i32>, BTreeSet<i32>) = leases.iter().partition(|lease| numbers.contains(lease));
    let free = numbers.filter(|number| !at_home.contains(number));
    at_home.iter().map(|lease| (*lease, *lease)).chain(others.into_iter().zip(free)).collect()
}

/// What the child does before it executes the command.
struct Actions(Box<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new(plumbing: Plumbing<'_>) -> Result<Actions, Errno> {
        let mut actions = Box::new(MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit());
        // SAFETY: initialised before any other use; the path is copied by addopen (POSIX.1-2008, TC2), and is static anyway.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            let mut actions = Actions(actions.assume_init());
            let raw: *mut libc::posix_spawn_file_actions_t = &raw mut *actions.0;
            // The leases after these: their numbers may be those of descriptors which these are made from.
            match plumbing.stdin {
                Some(stdin) => check(libc::posix_spawn_file_actions_adddup2(raw, stdin.as_raw_fd(), 0))?,
                None => {
                    check(libc::posix_spawn_file_actions_addopen(raw, 0, c"/dev/null".as_ptr(), libc::O_RDONLY, 0))?
                }
            }
            if let Some(stdout) = plumbing.stdout {
                check(libc::posix_spawn_file_actions_adddup2(raw, stdout.as_raw_fd(), 1))?;
            }
            if let Some(stderr) = plumbing.stderr {
                check(libc::posix_spawn_file_actions_adddup2(raw, stderr.as_raw_fd(), 2))?;
            }
            // A duplicate is not close-on-exec, also where it is of itself (posix_spawn_file_actions_adddup2(3p)).
            let leases: Vec<i32> = plumbing.leases.iter().map(AsRawFd::as_raw_fd).collect();
            for (lease, number) in numbered(&leases) {
                check(libc::posix_spawn_file_actions_adddup2(raw, lease, number))?;
            }
            if let Some(named) = plumbing.named {
                check(libc::posix_spawn_file_actions_adddup2(raw, named.as_raw_fd(), NAMED_FD))?;
            }
            Ok(actions)
        }
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, and not used after this.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut *self.0) };
    }
}

fn check(returned: libc::c_int) -> Result<(), Errno> {
    if returned == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(returned)) }
}

/// Sets close-on-exec on every open descriptor from 3 on.
fn seal_inherited() {
    // SAFETY: plain system calls on descriptor numbers; those that are not open are passed over, and the flag changes
    // nothing for this process.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
        for fd in 3..i32::try_from(limit).unwrap_or(i32::MAX).min(64 << 10) {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_lease_takes_the_place_of_another() {
        for leases in [&[7, 8, 10, 11, 12][..], &[12, 11, 10], &[9], &[10], &[14, 13, 4, 5, 11], &[30, 31, 32]] {
            let mut table: BTreeMap<i32, i32> = leases.iter().map(|lease| (*lease, *lease)).collect();
            for (lease, number) in numbered(leases) {
                table.insert(number, table[&lease]);
            }
            let ends = LEASE_FD..LEASE_FD + i32::try_from(leases.len()).unwrap();
            let there: BTreeSet<i32> = ends.map(|number| table[&number]).collect();
            assert_eq!(there, leases.iter().copied().collect(), "{leases:?}");
        }
    }
}
