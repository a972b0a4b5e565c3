//! The one gate to the file system and to locks. Every step that a queue takes on disk is one method of [`Steps`], so that
//! a test can stop, fail or reorder any of them; [`Posix`] takes them for real, and [`Disk`] adds to each error the path
//! and what was being done. Clippy's disallowed lists (`.clippy.toml`) keep the rest of the code from going around it.
//!
//! What a step leaves behind is said in the words of its man page: a step that returned has happened for every other
//! process at once, and survives `kill -9`; it survives a power cut only after one of the `sync` steps.

#![allow(clippy::disallowed_methods)] // here is the gate

mod bulk;
#[cfg(target_os = "linux")]
mod byte;
mod disk;
mod flock;
mod locks;
mod posix;
mod random;
mod standard;
mod stat;
mod store;
#[cfg(target_os = "linux")]
mod turn;
mod umask;
mod watch;

pub use disk::{Dir, Disk, Error, File, Result, plain};
pub use posix::Posix;
pub use standard::{close_on_exec, end, open_input, stdout_was_closed, survive_file_size_limit};
pub use store::{Store, warnings};
pub use umask::{clear_umask, own_umask, user_umask};
pub use watch::{Interest, Noticed, Watch, wait};

use crate::time::Time;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// One open file or directory. Closing it (by dropping) is all that its drop does; a lock on it ends when the last
/// descriptor of the same opening is closed, which a job may hold longer than mq (flock(2)).
#[derive(Debug)]
pub struct Handle(Inner);

#[derive(Debug)]
enum Inner {
    Open(fs::File),
    Model(Box<dyn std::any::Any + Send + Sync>),
}

impl Handle {
    fn real(file: fs::File) -> Handle {
        Handle(Inner::Open(file))
    }

    /// A handle of a file system that is modelled in memory: for tests.
    pub fn model(inner: Box<dyn std::any::Any + Send + Sync>) -> Handle {
        Handle(Inner::Model(inner))
    }

    /// What [`Handle::model`] was given; `None` for a real descriptor.
    pub fn modelled(&self) -> Option<&(dyn std::any::Any + Send + Sync)> {
        match &self.0 {
            Inner::Open(_) => None,
            Inner::Model(inner) => Some(inner.as_ref()),
        }
    }

    /// The descriptor, for a job to inherit or for `poll`.
    ///
    /// # Errors
    /// `Unsupported` for a modelled handle, which has none.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.file()?.as_fd())
    }

    fn file(&self) -> io::Result<&fs::File> {
        match &self.0 {
            Inner::Open(file) => Ok(file),
            Inner::Model(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }
}

/// What kind of thing a name stands for; never what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    File,
    Dir,
    Symlink,
    Other,
}

/// What mq asks of stat(2).
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    pub kind: Kind,
    /// Device and inode: the identity of a file while it is open.
    pub identity: Identity,
    pub size: u64,
    /// Last change of the contents, or the last touch: the start of a timed lease.
    pub modified: Time,
    /// Last change of the inode; on the file systems mq trusts, a rename is one: when the message came to its state.
    pub changed: Time,
    pub links: u64,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    pub owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

/// With what permissions a thing is created: its final ones, from the first moment.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    pub mode: u32,
    /// Set where root works in another user's queue: what it makes there belongs to the queue's owner.
    pub owner: Option<Owner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Closing it raises no IN_CLOSE_WRITE, so a probe wakes nobody.
    Read,
    Write,
}

/// Who holds a lock, from the kernel's own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
}

/// What a file system has left for those who are not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub bytes: u64,
    /// `None` where files have no limit of their own (btrfs).
    pub inodes: Option<u64>,
}

/// The protocol's steps. Names given with a directory are single components; none is ever followed as a symbolic link.
pub trait Steps: Send + Sync {
    /// The moment by the wall clock.
    fn now(&self) -> Time;
    /// Whether a thing that was last modified then would have another time after its next change: the clock for such times
    /// ticks every few milliseconds, and what happens within one tick has one time.
    fn settled(&self, modified: Time) -> bool {
        self.now() >= modified.plus(Duration::from_millis(50))
    }
    /// Random bytes, fit for names that nobody can guess.
    fn random(&self, into: &mut [u8]) -> io::Result<()>;
    /// Changes with each boot of the machine; empty where the system does not tell.
    fn boot_id(&self) -> String;

    /// Opens a directory by a path from the user, links followed: the queue itself.
    fn open_queue(&self, path: &Path) -> io::Result<Handle>;
    /// What a path from the user stands for, links followed.
    fn stat_path(&self, path: &Path) -> io::Result<Stat>;
    /// Makes the directory of a queue by its path.
    fn make_queue(&self, path: &Path, birth: Birth) -> io::Result<()>;

    /// A second descriptor of an opening that this process was started with: the lock on a job's own message.
    fn inherited(&self, fd: i32) -> io::Result<Handle>;

    /// Opens a directory below `at`, of one or more components, no link in any of them.
    fn open_dir(&self, at: &Handle, path: &Path) -> io::Result<Handle>;
    /// Opens what should be a regular file. A FIFO or a device does not block; the caller looks at the kind.
    fn open(&self, at: &Handle, name: &OsStr, access: Access) -> io::Result<Handle>;
    /// Creates a file that was not there, open for reading and writing.
    fn create(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<Handle>;
    /// A file without a name in `at`'s file system; in memory where that has no room.
    fn create_unnamed(&self, at: &Handle) -> io::Result<Handle>;
    /// The same where the disk is full: in memory, on systems that have that (memfd_create(2)).
    fn create_in_memory(&self, at: &Handle) -> io::Result<Handle> {
        self.create_unnamed(at)
    }
    fn make_dir(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<()>;
    fn stat(&self, of: &Handle) -> io::Result<Stat>;
    fn stat_at(&self, at: &Handle, name: &OsStr) -> io::Result<Stat>;
    /// Every name in a directory but `.` and `..`, in the file system's order, until `each` breaks.
    fn list(&self, dir: &Handle, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()>;

    fn read_at(&self, from: &Handle, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// May write less than it was given, as pwrite(2).
    fn write_at(&self, to: &Handle, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Copies within the kernel where it can (copy_file_range(2)); returns how much.
    fn copy(&self, from: &Handle, offset: u64, to: &Handle, to_offset: u64, length: u64) -> io::Result<u64>;
    fn truncate(&self, file: &Handle, length: u64) -> io::Result<()>;
    /// Sets the modification time to now, which writers may do who do not own the file (utimensat(2)).
    fn touch(&self, file: &Handle) -> io::Result<()>;
    fn touch_at(&self, at: &Handle, name: &OsStr) -> io::Result<()>;

    /// fsync(2) of a file: contents, size, and on the trusted file systems the name it has.
    fn sync_file(&self, file: &Handle) -> io::Result<()>;
    /// fsync(2) of a directory: the names in it.
    fn sync_dir(&self, dir: &Handle) -> io::Result<()>;
    /// Lets the disk begin with what was written to a file, so that a flush which comes later has less to wait for. No flush:
    /// nothing is promised, and nothing can fail.
    fn begin_flush(&self, _file: &Handle) {}
    /// syncfs(2): all that was written on the file system, with the errors since the handle was opened.
    fn sync_all(&self, on: &Handle) -> io::Result<()>;

    /// Locks without waiting; `false` when somebody else holds it.
    fn try_lock(&self, file: &Handle) -> io::Result<bool>;
    /// Locks, waiting up to `patience`; `false` when it did not come.
    fn lock(&self, file: &Handle, patience: Duration) -> io::Result<bool>;
    fn unlock(&self, file: &Handle) -> io::Result<()>;
    /// Whether there are locks on single bytes, apart from those on whole files (fcntl(2), open file description locks).
    fn locks_bytes(&self) -> bool {
        false
    }
    /// Locks one byte of a file for this opening of it, without waiting; `false` when another opening has it.
    fn hold_byte(&self, _file: &Handle, _byte: u64) -> io::Result<bool> {
        Ok(true)
    }
    /// Ends that for every descriptor of this opening.
    fn let_go_byte(&self, _file: &Handle, _byte: u64) -> io::Result<()> {
        Ok(())
    }
    /// Whether another opening has it.
    fn byte_held(&self, _file: &Handle, _byte: u64) -> io::Result<bool> {
        Ok(false)
    }
    /// Who holds the lock on a file now, where the system tells.
    fn holder(&self, of: &Stat) -> Option<Holder>;

    /// One rename that never overwrites (`EEXIST`).
    fn rename(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()>;
    /// One rename that overwrites: for control files, never for messages.
    fn replace(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()>;
    fn unlink(&self, at: &Handle, name: &OsStr) -> io::Result<()>;
    fn remove_dir(&self, at: &Handle, name: &OsStr) -> io::Result<()>;

    /// How much room there is (statvfs(3)).
    fn free(&self, of: &Handle) -> io::Result<Free>;
    /// What file system this is on.
    fn store(&self, of: &Handle) -> io::Result<Store>;
    /// Watches a queue's `wake` and `claimed`; `None` where the system cannot, and the caller polls.
    fn watch(&self, wake: &Path, claimed: &Path, interest: Interest) -> io::Result<Option<Watch>>;
}
