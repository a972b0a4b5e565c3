//! Descriptors that a process is born with: which of the standard ones were closed, and the one a job holds its message by.

use rustix::io::FdFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether stdout was closed when the process began. Rust's runtime opens /dev/null in its place before `main`, and what is
/// printed there looks delivered; so this is looked up before the runtime starts (elf(5), `.init_array`).
pub fn stdout_was_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_EARLY: extern "C" fn() = {
    extern "C" fn look() {
        // SAFETY: fcntl(2) with F_GETFD only looks, and says EBADF for what is no descriptor.
        let closed = unsafe { libc::fcntl(1, libc::F_GETFD) } == -1;
        STDOUT_CLOSED.store(closed, Ordering::Relaxed);
    }
    look
};

/// Ends the process with this exit code. What is not flushed yet goes to stdout; nothing else is left for Rust's runtime to do, which
/// would first give back the stack of its signal handlers: two calls, and 8 of the 570 µs of a send.
pub fn end(code: u8) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: _exit(2) ends all threads of the process at once; what they hold on the disk stands a kill.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Keeps a descriptor out of everything that this process starts. What is no descriptor is left alone.
pub fn close_on_exec(fd: i32) {
    if fd > 2 {
        // SAFETY: the number is only passed to fcntl(2), which says EBADF where it is no descriptor.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC);
    }
}

/// Lets a write beyond the process's file size limit fail with an error that can be told, instead of killing the process
/// (setrlimit(2), RLIMIT_FSIZE). A job gets the default action back.
pub fn survive_file_size_limit() {
    // SAFETY: SIG_IGN is a valid disposition for SIGXFSZ, and no handler of ours is replaced.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Opens a file of the user's, to read a body from: links are followed, and a FIFO blocks until it has a writer.
pub fn open_input(path: &Path) -> io::Result<File> {
    File::open(path)
}
