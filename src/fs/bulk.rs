//! Two calls that go over many bytes or names: reading a directory, in bounded memory, and copying within the kernel.

use super::Kind;
use super::stat::kind_of;
use rustix::fs::{self as sys, AtFlags, FileType};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

#[cfg(target_os = "linux")]
pub(super) fn list(dir: &File, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    sys::seek(dir, sys::SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = sys::RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // Removed while it was open: it has no entries, as readdir(3) would say.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say (readdir(3), DT_UNKNOWN).
            FileType::Unknown => match sys::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => kind_of(FileType::from_raw_mode(stat.st_mode)),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            },
            known => kind_of(known),
        };
        if each(name, kind).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn list(dir: &File, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    for entry in sys::Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match sys::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => kind_of(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if each(name, kind).is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn copy(from: &File, offset: u64, to: &File, to_offset: u64, length: u64) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        let (mut source, mut target) = (offset, to_offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        match retry_on_intr(|| sys::copy_file_range(from, Some(&mut source), to, Some(&mut target), length)) {
            // Between file systems, or into memory: by hand, below.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF | Errno::PERM) => (),
            other => return Ok(other? as u64),
        }
    }
    let mut buffer = vec![0_u8; usize::try_from(length.min(256 << 10)).unwrap_or(256 << 10)];
    let got = retry_on_intr(|| rustix::io::pread(from, &mut *buffer, offset))?;
    let mut done = 0;
    while done < got {
        done += retry_on_intr(|| rustix::io::pwrite(to, &buffer[done..got], to_offset + done as u64))?;
    }
    Ok(got as u64)
}
