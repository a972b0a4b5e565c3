//! The file mode creation mask: the user's, which a job gets back, and mq's own, which is empty.

use rustix::fs::Mode;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

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
    Err(rustix::io::Errno::NOSYS.into())
}
