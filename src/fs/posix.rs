//! The steps, taken for real: rustix where the call has flags that std cannot name, fs2 for flock(2).

use super::{Access, Birth, Free, Handle, Holder, Identity, Interest, Kind, Owner, Stat, Steps, Store, Watch, bulk};
use crate::time::Time;
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The real file system.
#[derive(Debug, Default)]
pub struct Posix {
    /// Set once the file system said that it does not know RENAME_NOREPLACE: names are unique by construction, so the
    /// plain rename that follows overwrites nothing (rename(2), EINVAL).
    plain_rename: AtomicBool,
    /// Set once the kernel said that it does not know openat2(2) (before Linux 5.6, or a seccomp filter).
    no_openat2: AtomicBool,
    random: Mutex<Random>,
}

/// Random bytes in hand. Whoever asks once gets what it asks for from the kernel; who asks again will do so a third time.
/// Nothing forks and goes on with them: a job is another program.
struct Random {
    asked: bool,
    bytes: [u8; 256],
    /// How many of them nobody has had: the first ones.
    left: usize,
}

impl Default for Random {
    fn default() -> Random {
        Random { asked: false, bytes: [0; 256], left: 0 }
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Random({} left)", self.left)
    }
}

impl Random {
    fn take(&mut self, into: &mut [u8]) -> io::Result<()> {
        if self.left < into.len() && self.asked && into.len() <= self.bytes.len() {
            self.left = 0;
            from_kernel(&mut self.bytes)?;
            self.left = self.bytes.len();
        }
        self.asked = true;
        let Some(left) = self.left.checked_sub(into.len()) else { return from_kernel(into) };
        into.copy_from_slice(&self.bytes[left..self.left]);
        // What was given out is a secret of whoever has it.
        self.bytes[left..self.left].fill(0);
        self.left = left;
        Ok(())
    }
}

fn from_kernel(into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        done += retry_on_intr(|| rustix::rand::getrandom(&mut into[done..], rustix::rand::GetRandomFlags::empty()))?;
    }
    Ok(())
}

static USER_UMASK: AtomicU32 = AtomicU32::new(0o022);

/// Clears the process's file mode creation mask, so that everything is created with its final mode.
pub fn clear_umask() {
    #[allow(clippy::useless_conversion)] // the mode's width differs by system
    USER_UMASK.store(rustix::process::umask(Mode::empty()).as_raw_mode().into(), Ordering::Relaxed);
}

/// The mask that mq was started with, which a job gets back.
pub fn user_umask() -> u32 {
    USER_UMASK.load(Ordering::Relaxed)
}

/// Gives the calling thread a file mode creation mask of its own, which is the empty one now: a worker has the user's for the moment
/// in which it starts a job.
///
/// # Errors
/// Not on this system, or not in this sandbox.
pub fn own_umask() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: what of the process this thread no longer shares is its umask, its root and its working directory, and nothing
    // in it relies on changes of these by another thread (unshare(2), CLONE_FS).
    return match unsafe { libc::unshare(libc::CLONE_FS) } {
        0 => {
            rustix::process::umask(Mode::empty());
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    };
    #[cfg(not(target_os = "linux"))]
    Err(Errno::NOSYS.into())
}

const FILE: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
const DIR: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);

impl Posix {
    fn open_below(&self, at: &File, path: &Path) -> io::Result<File> {
        #[cfg(target_os = "linux")]
        if !self.no_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
            match retry_on_intr(|| sys::openat2(at, path, DIR, Mode::empty(), resolve)) {
                Err(Errno::NOSYS | Errno::PERM) => self.no_openat2.store(true, Ordering::Relaxed),
                other => return Ok(File::from(other?)),
            }
        }
        let mut dir: Option<File> = None;
        for part in path {
            let parent = dir.as_ref().unwrap_or(at);
            dir = Some(File::from(retry_on_intr(|| sys::openat(parent, part, DIR, Mode::empty()))?));
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
        // What the kernel takes the times of files from: later ones are never before it (current_time() in fs/inode.c).
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        settled_by(convert_time(clock.tv_sec, clock.tv_nsec), modified)
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
        Ok(Handle::real(File::from(retry_on_intr(|| sys::openat(at, name, FILE | how, Mode::empty()))?)))
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
        match fs2::FileExt::try_lock_exclusive(file.file()?) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lock(&self, file: &Handle, patience: Duration) -> io::Result<bool> {
        if self.try_lock(file)? {
            return Ok(true);
        }
        // Waiting in the kernel keeps waiters in their order and wakes them at once, but flock(2) knows no time limit. So
        // a second thread waits on a duplicate, which is the same lock. When patience ends it is left behind with its
        // duplicate: should the lock still come, closing that gives it up.
        let twin = file.file()?.try_clone()?;
        let (tell, told) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("lock".into()).stack_size(64 << 10).spawn(move || {
            let got = loop {
                match fs2::FileExt::lock_exclusive(&twin) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                    got => break got,
                }
            };
            let _ = tell.send(got);
        })?;
        match told.recv_timeout(patience) {
            Ok(got) => got.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn unlock(&self, file: &Handle) -> io::Result<()> {
        fs2::FileExt::unlock(file.file()?)
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

pub(super) fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// See [`Steps::settled`]. Some file systems keep whole seconds, or every second one: ext4 with inodes of 128 bytes, FAT.
#[cfg(target_os = "linux")]
fn settled_by(clock: Time, modified: Time) -> bool {
    match modified.micros() % 1_000_000 {
        0 => clock >= modified.plus(Duration::from_secs(2)),
        _ => clock > modified,
    }
}

#[allow(clippy::cast_sign_loss)] // nothing is from before 1970
fn convert_time(seconds: i64, nanos: i64) -> Time {
    Time::from_micros(seconds.max(0) as u64 * 1_000_000 + nanos.max(0) as u64 / 1_000)
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::cast_sign_loss, clippy::useless_conversion)] // widths differ by system
fn convert(stat: &sys::Stat) -> Stat {
    let time = convert_time;
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        identity: Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
        size: stat.st_size as u64,
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        links: stat.st_nlink as u64,
        mode: stat.st_mode as u32 & 0o7777,
        owner: Owner { user: stat.st_uid, group: stat.st_gid },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_settled_when_the_clock_of_such_times_has_left_it() {
        let at = |micros: u64| Time::from_micros(1_795_600_800_000_000 + micros);
        for (clock, modified, settled) in [
            (250_000, 250_000, false),
            (250_001, 250_000, true),
            // Made ahead of the clock: a finer time was asked for (multigrain timestamps).
            (250_000, 250_003, false),
            // Whole seconds: it may have happened at any moment in them.
            (900_000, 0, false),
            (1_999_999, 0, false),
            (2_000_000, 0, true),
        ] {
            assert_eq!(settled_by(at(clock), at(modified)), settled, "{modified} at {clock}");
        }
    }

    #[test]
    fn no_random_bytes_are_given_out_twice() {
        let mut random = Random::default();
        let mut given = std::collections::HashSet::new();
        for length in (0..100).map(|round| [16, 16, 32, 16, 300, 256, 1, 16][round % 8]) {
            let mut bytes = vec![0; length];
            random.take(&mut bytes).unwrap();
            for chunk in bytes.chunks(16).filter(|chunk| chunk.len() == 16) {
                assert!(given.insert(chunk.to_vec()), "{chunk:?} came twice");
            }
            assert!(random.bytes[random.left..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn after_a_settled_time_each_change_has_another() {
        let path = std::env::temp_dir().join(format!("mq-settled-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let disk = Posix::default();
        let mut unsettled = 0_u32;
        for round in 0..100 {
            let modified = disk.stat_path(&path).unwrap().modified;
            while !disk.settled(modified) {
                unsettled += 1;
                std::thread::yield_now();
            }
            std::fs::create_dir(path.join(round.to_string())).unwrap();
            assert_ne!(disk.stat_path(&path).unwrap().modified, modified);
        }
        std::fs::remove_dir_all(&path).unwrap();
        assert!(unsettled > 0);
    }
}
