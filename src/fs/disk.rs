//! The steps with their paths: what the queue's code calls.

use super::{Access, Birth, Free, Handle, Holder, Interest, Kind, Stat, Steps, Store, Watch};
use crate::time::Time;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A step that failed: what, where and why.
#[derive(Debug)]
pub struct Error {
    /// What was being done, as in "cannot {doing} PATH".
    pub doing: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl Error {
    pub fn is(&self, kind: io::ErrorKind) -> bool {
        self.source.kind() == kind
    }

    pub fn missing(&self) -> bool {
        self.is(io::ErrorKind::NotFound)
    }

    pub fn exists(&self) -> bool {
        self.is(io::ErrorKind::AlreadyExists)
    }

    /// No room, by disk, inodes or quota: trying again later may help.
    pub fn no_room(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), plain(&self.source))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The system's words without Rust's "(os error N)".
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// An open directory and the path it was opened by.
#[derive(Debug)]
pub struct Dir {
    handle: Handle,
    path: PathBuf,
}

impl Dir {
    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// An open file and the path it was opened by, which a rename may have changed since.
#[derive(Debug)]
pub struct File {
    handle: Handle,
    path: PathBuf,
}

impl File {
    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// The file system as the queue sees it. Cheap to clone.
#[derive(Clone)]
pub struct Disk(Arc<dyn Steps>);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub fn new(steps: impl Steps + 'static) -> Disk {
        Disk(Arc::new(steps))
    }

    /// The real one.
    pub fn real() -> Disk {
        Disk::new(super::Posix::default())
    }

    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// See [`Steps::settled`].
    pub fn settled(&self, modified: Time) -> bool {
        self.0.settled(modified)
    }

    pub fn boot_id(&self) -> String {
        self.0.boot_id()
    }

    /// Random bytes, as many as the caller takes.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        failed("get random bytes for", Path::new("a name"), self.0.random(&mut bytes))?;
        Ok(bytes)
    }

    pub fn open_queue(&self, path: &Path) -> Result<Dir> {
        let handle = failed("open", path, self.0.open_queue(path))?;
        Ok(Dir { handle, path: path.to_path_buf() })
    }

    pub fn stat_path(&self, path: &Path) -> Result<Stat> {
        failed("look at", path, self.0.stat_path(path))
    }

    pub fn make_queue(&self, path: &Path, birth: Birth) -> Result<()> {
        failed("create directory", path, self.0.make_queue(path, birth))
    }

    /// What this process was started with under this number, said to be the file at `path`.
    pub fn inherited(&self, fd: i32, path: &Path) -> Result<File> {
        let handle = failed("use the inherited descriptor of", path, self.0.inherited(fd))?;
        Ok(File { handle, path: path.to_path_buf() })
    }

    pub fn open_dir(&self, at: &Dir, below: impl AsRef<Path>) -> Result<Dir> {
        let path = at.path.join(&below);
        let handle = failed("open directory", &path, self.0.open_dir(&at.handle, below.as_ref()))?;
        Ok(Dir { handle, path })
    }

    pub fn open(&self, at: &Dir, name: impl AsRef<OsStr>, access: Access) -> Result<File> {
        let path = at.path.join(name.as_ref());
        let handle = failed("open", &path, self.0.open(&at.handle, name.as_ref(), access))?;
        Ok(File { handle, path })
    }

    pub fn create(&self, at: &Dir, name: impl AsRef<OsStr>, birth: Birth) -> Result<File> {
        let path = at.path.join(name.as_ref());
        let handle = failed("create", &path, self.0.create(&at.handle, name.as_ref(), birth))?;
        Ok(File { handle, path })
    }

    pub fn create_unnamed(&self, at: &Dir) -> Result<File> {
        let path = at.path.join("(a copy without a name)");
        let handle = failed("create", &path, self.0.create_unnamed(&at.handle))?;
        Ok(File { handle, path })
    }

    pub fn create_in_memory(&self, at: &Dir) -> Result<File> {
        let path = at.path.join("(a copy in memory)");
        let handle = failed("create", &path, self.0.create_in_memory(&at.handle))?;
        Ok(File { handle, path })
    }

    pub fn make_dir(&self, at: &Dir, name: impl AsRef<OsStr>, birth: Birth) -> Result<()> {
        let made = self.0.make_dir(&at.handle, name.as_ref(), birth);
        failed("create directory", &at.path.join(name.as_ref()), made)
    }

    pub fn stat(&self, file: &File) -> Result<Stat> {
        failed("look at", &file.path, self.0.stat(&file.handle))
    }

    pub fn stat_dir(&self, dir: &Dir) -> Result<Stat> {
        failed("look at", &dir.path, self.0.stat(&dir.handle))
    }

    pub fn stat_at(&self, at: &Dir, name: impl AsRef<OsStr>) -> Result<Stat> {
        let stat = self.0.stat_at(&at.handle, name.as_ref());
        stat.map_err(|source| Error { doing: "look at", path: at.path.join(name.as_ref()), source })
    }

    pub fn list(&self, dir: &Dir, mut each: impl FnMut(&OsStr, Kind) -> ControlFlow<()>) -> Result<()> {
        failed("list", &dir.path, self.0.list(&dir.handle, &mut each))
    }

    /// The names in a directory, sorted, with their kinds; for directories that buckets bound.
    pub fn names(&self, dir: &Dir) -> Result<Vec<(OsString, Kind)>> {
        let mut names = Vec::new();
        self.list(dir, |name, kind| {
            names.push((name.to_os_string(), kind));
            ControlFlow::Continue(())
        })?;
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// One read, which may be short.
    pub fn read_at(&self, file: &File, into: &mut [u8], offset: u64) -> Result<usize> {
        failed("read", &file.path, self.0.read_at(&file.handle, into, offset))
    }

    /// Reads until `into` is full or the file ends; how much came.
    pub fn read_full(&self, file: &File, into: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.read_at(file, &mut into[done..], offset + done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Writes all of it.
    pub fn write_all(&self, file: &File, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let n = failed("write", &file.path, self.0.write_at(&file.handle, bytes, offset))?;
            if n == 0 {
                return failed("write", &file.path, Err(io::ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[n..];
            offset += n as u64;
        }
        Ok(())
    }

    pub fn copy(&self, from: &File, offset: u64, to: &File, to_offset: u64, length: u64) -> Result<u64> {
        failed("copy", &from.path, self.0.copy(&from.handle, offset, &to.handle, to_offset, length))
    }

    pub fn truncate(&self, file: &File, length: u64) -> Result<()> {
        failed("truncate", &file.path, self.0.truncate(&file.handle, length))
    }

    pub fn touch(&self, file: &File) -> Result<()> {
        failed("touch", &file.path, self.0.touch(&file.handle))
    }

    pub fn touch_at(&self, at: &Dir, name: impl AsRef<OsStr>) -> Result<()> {
        failed("touch", &at.path.join(name.as_ref()), self.0.touch_at(&at.handle, name.as_ref()))
    }

    pub fn sync_file(&self, file: &File) -> Result<()> {
        failed("flush", &file.path, self.0.sync_file(&file.handle))
    }

    pub fn sync_dir(&self, dir: &Dir) -> Result<()> {
        failed("flush", &dir.path, self.0.sync_dir(&dir.handle))
    }

    /// See [`Steps::begin_flush`].
    pub fn begin_flush(&self, file: &File) {
        self.0.begin_flush(&file.handle);
    }

    pub fn sync_all(&self, on: &Dir) -> Result<()> {
        failed("flush the file system of", &on.path, self.0.sync_all(&on.handle))
    }

    pub fn try_lock(&self, file: &File) -> Result<bool> {
        failed("lock", &file.path, self.0.try_lock(&file.handle))
    }

    pub fn try_lock_dir(&self, dir: &Dir) -> Result<bool> {
        failed("lock", &dir.path, self.0.try_lock(&dir.handle))
    }

    pub fn lock(&self, file: &File, patience: Duration) -> Result<bool> {
        failed("lock", &file.path, self.0.lock(&file.handle, patience))
    }

    pub fn unlock(&self, file: &File) -> Result<()> {
        failed("unlock", &file.path, self.0.unlock(&file.handle))
    }

    /// See [`Steps::locks_bytes`].
    pub fn locks_bytes(&self) -> bool {
        self.0.locks_bytes()
    }

    pub fn hold_byte(&self, file: &File, byte: u64) -> Result<bool> {
        failed("lock a byte of", &file.path, self.0.hold_byte(&file.handle, byte))
    }

    pub fn let_go_byte(&self, file: &File, byte: u64) -> Result<()> {
        failed("unlock a byte of", &file.path, self.0.let_go_byte(&file.handle, byte))
    }

    pub fn byte_held(&self, file: &File, byte: u64) -> Result<bool> {
        failed("look at the locks of", &file.path, self.0.byte_held(&file.handle, byte))
    }

    pub fn holder(&self, of: &Stat) -> Option<Holder> {
        self.0.holder(of)
    }

    pub fn rename(&self, from: &Dir, name: impl AsRef<OsStr>, to: &Dir, new: impl AsRef<OsStr>) -> Result<()> {
        let renamed = self.0.rename(&from.handle, name.as_ref(), &to.handle, new.as_ref());
        renamed.map_err(|source| Error { doing: "rename to", path: to.path.join(new.as_ref()), source })
    }

    pub fn replace(&self, at: &Dir, name: impl AsRef<OsStr>, new: impl AsRef<OsStr>) -> Result<()> {
        let replaced = self.0.replace(&at.handle, name.as_ref(), &at.handle, new.as_ref());
        failed("replace", &at.path.join(new.as_ref()), replaced)
    }

    pub fn unlink(&self, at: &Dir, name: impl AsRef<OsStr>) -> Result<()> {
        let gone = self.0.unlink(&at.handle, name.as_ref());
        gone.map_err(|source| Error { doing: "remove", path: at.path.join(name.as_ref()), source })
    }

    pub fn remove_dir(&self, at: &Dir, name: impl AsRef<OsStr>) -> Result<()> {
        let gone = self.0.remove_dir(&at.handle, name.as_ref());
        gone.map_err(|source| Error { doing: "remove directory", path: at.path.join(name.as_ref()), source })
    }

    pub fn free(&self, of: &Dir) -> Result<Free> {
        failed("look at the room of", &of.path, self.0.free(&of.handle))
    }

    pub fn store(&self, of: &Dir) -> Result<Store> {
        failed("look at the file system of", &of.path, self.0.store(&of.handle))
    }

    pub fn watch(&self, wake: &Path, claimed: &Path, interest: Interest) -> Result<Option<Watch>> {
        failed("watch", wake, self.0.watch(wake, claimed, interest))
    }
}

fn failed<T>(doing: &'static str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| Error { doing, path: path.to_path_buf(), source })
}
