//! flock(2), by fs2: at once, or waiting in the kernel.

use std::fs::File;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

/// `false` when somebody else holds it.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits for it, however long, and through signals.
pub(super) fn wait(file: &File) -> io::Result<()> {
    loop {
        match fs2::FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            got => return got,
        }
    }
}

/// Waits for it for so long; `false` when it did not come.
pub(super) fn lock(file: &File, patience: Duration) -> io::Result<bool> {
    if try_lock(file)? {
        return Ok(true);
    }
    // Waiting in the kernel keeps waiters in their order and wakes them at once, but flock(2) knows no time limit. So
    // a second thread waits on a duplicate, which is the same lock. When patience ends it is left behind with its
    // duplicate: should the lock still come, closing that gives it up.
    let twin = file.try_clone()?;
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("lock".into()).stack_size(64 << 10).spawn(move || {
        let _ = tell.send(wait(&twin));
    })?;
    match told.recv_timeout(patience) {
        Ok(got) => got.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// For every descriptor of the same opening.
pub(super) fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}
