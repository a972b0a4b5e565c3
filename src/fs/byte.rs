//! Locks on one byte of a file (fcntl(2), open file description locks): beside flock(2), with which they have nothing to do. As
//! there, one is its opening's, and ends with the last descriptor of that.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Locks it without waiting; `false` when another opening has it.
pub(super) fn hold(file: &File, byte: u64) -> io::Result<bool> {
    match set(file, libc::F_OFD_SETLK, &mut lock(libc::F_WRLCK, byte)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        set => set.map(|()| true),
    }
}

/// Ends that for every descriptor of the same opening.
pub(super) fn let_go(file: &File, byte: u64) -> io::Result<()> {
    set(file, libc::F_OFD_SETLK, &mut lock(libc::F_UNLCK, byte))
}

/// Whether another opening has it.
pub(super) fn held(file: &File, byte: u64) -> io::Result<bool> {
    let mut found = lock(libc::F_WRLCK, byte);
    set(file, libc::F_OFD_GETLK, &mut found)?;
    Ok(libc::c_int::from(found.l_type) != libc::F_UNLCK)
}

#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)] // the fields' types differ by system
fn lock(kind: libc::c_int, byte: u64) -> libc::flock {
    // SAFETY: a struct of plain numbers, for which zeros are values; its `l_pid` has to be zero here.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = byte as _;
    lock.l_len = 1;
    lock
}

fn set(file: &File, what: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: a plain system call on an open descriptor, and a struct that outlives it.
    match unsafe { libc::fcntl(file.as_raw_fd(), what, std::ptr::from_mut(lock)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
