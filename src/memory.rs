//! The memory of a program that is built with musl: why is said in Cargo.toml.

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, PoisonError};

/// dlmalloc behind a lock of std, which is one instruction where nobody else is at it; dlmalloc's own goes through
/// pthread_mutex_lock(3), and with the thousand names of a bucket that is 5 % of a claim.
struct Locked(Mutex<Dlmalloc>);

#[global_allocator]
static MEMORY: Locked = Locked(Mutex::new(Dlmalloc::new()));

impl Locked {
    fn with<T>(&self, act: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// SAFETY: each call goes with its arguments to the function of Dlmalloc that is meant for it, under the lock; nothing in there
// allocates through this again, or panics.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises of GlobalAlloc are those that Dlmalloc asks for, here and below.
        self.with(|memory| unsafe { memory.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.free(at, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.realloc(at, layout.size(), layout.align(), size) })
    }
}
