//! The steps, taken for real: rustix where the call has flags that std cannot name.

use super::random::Random;
use super::stat::convert;
use super::{Access, Birth, Free, Handle, Holder, Interest, Kind, Stat, Steps, Store, Watch, bulk, flock};
use crate::time::Time;
use rustix::fs::{self as sys, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The real file system.
#[derive(Debug, Default)]
pub struct Posix {
    /// Set once the file system said that it does not know RENAME_NOREPLACE: names are unique by construction, so the
    /// plain rename that follows overwrites nothing (rename(2), EINVAL).
    plain_rename: AtomicBool,
    /// Set once the kernel said that it does not know openat2(2) (before Linux 5.6, or a seccomp filter).
    no_openat2: AtomicBool,
    /// Set once the kernel refused O_NOATIME: something is another user's.
    shared: AtomicBool,
    random: Mutex<Random>,
}

const FILE: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
const DIR: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);

/// What was changed since it was last read gets another access time by the next read, and that is a write to its inode (mount(8),
/// `relatime`): of everything here, with each claim. Nobody asks for these times.
#[cfg(target_os = "linux")]
const UNTOUCHED: OFlags = OFlags::NOATIME;
#[cfg(not(target_os = "linux"))]
const UNTOUCHED: OFlags = OFlags::empty();

impl Posix {
    /// Opens what is there, without a new access time where it is ours: else the kernel refuses that (open(2), EPERM).
    fn open_untouched<F>(&self, open: impl Fn(OFlags) -> rustix::io::Result<F>) -> rustix::io::Result<F> {
        if !self.shared.load(Ordering::Relaxed) {
            match retry_on_intr(|| open(UNTOUCHED)) {
                Err(Errno::PERM) => self.shared.store(true, Ordering::Relaxed),
                opened => return opened,
            }
        }
        retry_on_intr(|| open(OFlags::empty()))
    }

    fn open_below(&self, at: &File, path: &Path) -> io::Result<File> {
        #[cfg(target_os = "linux")]
        if !self.no_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
            match self.open_untouched(|flags| sys::openat2(at, path, DIR | flags, Mode::empty(), resolve)) {
                Err(Errno::NOSYS | Errno::PERM) => self.no_openat2.store(true, Ordering::Relaxed),
                other => return Ok(File::from(other?)),
            }
        }
        let mut dir: Option<File> = None;
        for part in path {
            let parent = dir.as_ref().unwrap_or(at);
            let open = |flags| sys::openat(parent, part, DIR | flags, Mode::empty());
            dir = Some(File::from(self.open_untouched(open)?));
        }
        dir.ok_or_else(|| Errno::INVAL.into())
    }
}

impl Steps for Posix {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    #[cfg(target_os = "linux")]
    fn settled(&self, modified: Time) -> bool {
        super::stat::settled(modified)
    }

    fn random(&self, into: &mut [u8]) -> io::Result<()> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).take(into)
    }

    fn boot_id(&self) -> String {
        // random(4): 36 characters; read here with the three calls it takes.
        let read = || -> rustix::io::Result<String> {
            let file = sys::open("/proc/sys/kernel/random/boot_id", OFlags::CLOEXEC, Mode::empty())?;
            let mut text = [0; 64];
            let length = rustix::io::read(&file, &mut text)?;
            Ok(String::from_utf8_lossy(&text[..length]).trim().to_string())
        };
        read().unwrap_or_default()
    }

    fn open_queue(&self, path: &Path) -> io::Result<Handle> {
        let flags = OFlags::CLOEXEC | OFlags::DIRECTORY;
        Ok(Handle::real(File::from(retry_on_intr(|| sys::open(path, flags, Mode::empty()))?)))
    }

    fn stat_path(&self, path: &Path) -> io::Result<Stat> {
        Ok(convert(&retry_on_intr(|| sys::stat(path))?))
    }

    fn make_queue(&self, path: &Path, birth: Birth) -> io::Result<()> {
        retry_on_intr(|| sys::mkdir(path, Mode::from_raw_mode(birth.mode)))?;
        let made = File::from(sys::open(path, DIR, Mode::empty())?);
        settle_birth(&made, birth)
    }

    fn inherited(&self, fd: i32) -> io::Result<Handle> {
        if fd < 3 {
            return Err(Errno::BADF.into());
        }
        // SAFETY: the number is only passed to fcntl(2), which says EBADF where it is no descriptor.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        Ok(Handle::real(File::from(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)))
    }

    fn open_dir(&self, at: &Handle, path: &Path) -> io::Result<Handle> {
        Ok(Handle::real(self.open_below(at.file()?, path)?))
    }

    fn open(&self, at: &Handle, name: &OsStr, access: Access) -> io::Result<Handle> {
        let how = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        let at = at.file()?;
        let open = |flags| sys::openat(at, name, FILE | how | flags, Mode::empty());
        Ok(Handle::real(File::from(self.open_untouched(open)?)))
    }

    fn create(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<Handle> {
        let flags = FILE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let (at, mode) = (at.file()?, Mode::from_raw_mode(birth.mode));
        let file = File::from(retry_on_intr(|| sys::openat(at, name, flags, mode))?);
        if birth.owner.is_some() {
            settle_birth(&file, birth)?;
        }
        Ok(Handle::real(file))
    }

    fn create_unnamed(&self, at: &Handle) -> io::Result<Handle> {
        #[cfg(target_os = "linux")]
        {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let at = at.file()?;
            match retry_on_intr(|| sys::openat(at, ".", flags, Mode::RUSR | Mode::WUSR)) {
                Ok(fd) => Ok(Handle::real(File::from(fd))),
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSPC | Errno::DQUOT | Errno::ROFS) => {
                    memory()
                }
                Err(error) => Err(error.into()),
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let mut bytes = [0_u8; 16];
            self.random(&mut bytes)?;
            let name = format!("body-{:032x}", u128::from_be_bytes(bytes));
            let handle = self.create(at, OsStr::new(&name), Birth { mode: 0o600, owner: None })?;
            self.unlink(at, OsStr::new(&name))?;
            Ok(handle)
        }
    }

    #[cfg(target_os = "linux")]
    fn create_in_memory(&self, _: &Handle) -> io::Result<Handle> {
        memory()
    }

    fn make_dir(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<()> {
        let at = at.file()?;
        retry_on_intr(|| sys::mkdirat(at, name, Mode::from_raw_mode(birth.mode)))?;
        if birth.owner.is_some() {
            let made = File::from(sys::openat(at, name, DIR, Mode::empty())?);
            settle_birth(&made, birth)?;
        }
        Ok(())
    }

    fn stat(&self, of: &Handle) -> io::Result<Stat> {
        Ok(convert(&sys::fstat(of.file()?)?))
    }

    fn stat_at(&self, at: &Handle, name: &OsStr) -> io::Result<Stat> {
        Ok(convert(&sys::statat(at.file()?, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn list(&self, dir: &Handle, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
        bulk::list(dir.file()?, each)
    }

    fn read_at(&self, from: &Handle, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = from.file()?;
        Ok(retry_on_intr(|| rustix::io::pread(from, &mut *into, offset))?)
    }

    fn write_at(&self, to: &Handle, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let to = to.file()?;
        Ok(retry_on_intr(|| rustix::io::pwrite(to, bytes, offset))?)
    }

    fn copy(&self, from: &Handle, offset: u64, to: &Handle, to_offset: u64, length: u64) -> io::Result<u64> {
        bulk::copy(from.file()?, offset, to.file()?, to_offset, length)
    }

    fn truncate(&self, file: &Handle, length: u64) -> io::Result<()> {
        let file = file.file()?;
        Ok(retry_on_intr(|| sys::ftruncate(file, length))?)
    }

    fn touch(&self, file: &Handle) -> io::Result<()> {
        Ok(sys::futimens(file.file()?, &NOW)?)
    }

    fn touch_at(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        Ok(sys::utimensat(at.file()?, name, &NOW, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    // No EINTR retry in the three flushes below: whatever one returns is final (DESIGN: never retry a failed fsync).
    fn sync_file(&self, file: &Handle) -> io::Result<()> {
        Ok(sys::fsync(file.file()?)?)
    }

    fn sync_dir(&self, dir: &Handle) -> io::Result<()> {
        Ok(sys::fsync(dir.file()?)?)
    }

    #[cfg(target_os = "linux")]
    fn begin_flush(&self, file: &Handle) {
        use std::os::fd::AsRawFd;
        if let Ok(file) = file.file() {
            // SAFETY: a plain system call on an open descriptor. It only begins to write (sync_file_range(2)), and leaves
            // each error to be told by the flush.
            unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
        }
    }

    fn sync_all(&self, on: &Handle) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return Ok(sys::syncfs(on.file()?)?);
        #[cfg(not(target_os = "linux"))]
        {
            sys::fsync(on.file()?)?;
            rustix::fs::sync();
            Ok(())
        }
    }

    fn try_lock(&self, file: &Handle) -> io::Result<bool> {
        flock::try_lock(file.file()?)
    }

    fn lock(&self, file: &Handle, patience: Duration) -> io::Result<bool> {
        flock::lock(file.file()?, patience)
    }

    fn unlock(&self, file: &Handle) -> io::Result<()> {
        flock::unlock(file.file()?)
    }

    #[cfg(target_os = "linux")]
    fn locks_bytes(&self) -> bool {
        true
    }

    #[cfg(target_os = "linux")]
    fn hold_byte(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        super::byte::hold(file.file()?, byte)
    }

    #[cfg(target_os = "linux")]
    fn let_go_byte(&self, file: &Handle, byte: u64) -> io::Result<()> {
        super::byte::let_go(file.file()?, byte)
    }

    #[cfg(target_os = "linux")]
    fn byte_held(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        super::byte::held(file.file()?, byte)
    }

    fn holder(&self, of: &Stat) -> Option<Holder> {
        super::locks::holder(of.identity.inode)
    }

    fn rename(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        let (from, to) = (from.file()?, to.file()?);
        if !self.plain_rename.load(Ordering::Relaxed) {
            match sys::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.plain_rename.store(true, Ordering::Relaxed),
                other => return Ok(other?),
            }
        }
        if sys::statat(to, new, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Errno::EXIST.into());
        }
        Ok(sys::renameat(from, name, to, new)?)
    }

    fn replace(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        Ok(sys::renameat(from.file()?, name, to.file()?, new)?)
    }

    fn unlink(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        Ok(sys::unlinkat(at.file()?, name, AtFlags::empty())?)
    }

    fn remove_dir(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        Ok(sys::unlinkat(at.file()?, name, AtFlags::REMOVEDIR)?)
    }

    #[allow(clippy::unnecessary_cast)] // widths differ by system
    fn free(&self, of: &Handle) -> io::Result<Free> {
        let stat = sys::fstatvfs(of.file()?)?;
        let inodes = (stat.f_files > 0).then_some(stat.f_favail as u64);
        Ok(Free { bytes: (stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64), inodes })
    }

    fn store(&self, of: &Handle) -> io::Result<Store> {
        super::store::identify(of.file()?)
    }

    fn watch(&self, wake: &Path, claimed: &Path, interest: Interest) -> io::Result<Option<Watch>> {
        Watch::open(wake, claimed, interest)
    }
}

const NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: sys::UTIME_NOW },
    last_modification: Timespec { tv_sec: 0, tv_nsec: sys::UTIME_NOW },
};

/// A file in memory.
#[cfg(target_os = "linux")]
fn memory() -> io::Result<Handle> {
    let fd = sys::memfd_create("mq-body", sys::MemfdFlags::CLOEXEC)?;
    Ok(Handle::real(File::from(fd)))
}

/// Gives a fresh thing its owner, then its mode again, which chown(2) may have cut.
fn settle_birth(made: &File, birth: Birth) -> io::Result<()> {
    if let Some(owner) = birth.owner {
        let (user, group) = (rustix::fs::Uid::from_raw(owner.user), rustix::fs::Gid::from_raw(owner.group));
        sys::fchown(made, Some(user), Some(group))?;
    }
    Ok(sys::fchmod(made, Mode::from_raw_mode(birth.mode))?)
}
