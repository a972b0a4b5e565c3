//! The next pack is opened while the jobs of the bucket at hand run: else they would stand still for as long as the disk takes to
//! write a thousand files.

use crate::fs::own_umask;
use crate::queue::Queue;
use std::thread::{Builder, JoinHandle};

/// At most one opening at a time, on a thread of its own. Dropping it waits for its end, so that nothing half open is left in
/// `tmp/` by a worker that ends by itself.
#[derive(Debug, Default)]
pub(super) struct Ahead(Option<JoinHandle<()>>);

impl Ahead {
    /// Begins to open what comes next in the queue. Where that can't be, the next claim opens it, as without this.
    pub fn open(&mut self, queue: &Queue) {
        if self.0.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (disk, path) = (queue.disk().clone(), queue.path().to_path_buf());
        let opener = move || {
            // What comes out has the queue's mode, also while a job is started with the user's mask.
            if own_umask().is_ok() {
                let _ = Queue::open(&disk, &path).and_then(|queue| queue.open_ahead());
            }
        };
        self.0 = Builder::new().name("ahead".into()).stack_size(256 << 10).spawn(opener).ok();
    }

    /// Waits for its end.
    pub fn finish(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.finish();
    }
}
