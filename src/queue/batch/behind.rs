//! Large packs are written on a second thread while the next one is gathered: of the time of a bulk send half is the kernel's, which
//! copies what is written, and half is ours, which goes through it line by line.

use crate::fs::{Disk, File};
use crate::queue::error::Result;
use crate::queue::header::Line;
use crate::queue::pack::Builder;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder as Thread, JoinHandle};

/// A smaller pack is written at once: it takes no longer than a thread to begin.
const LARGE: usize = 1 << 20;

/// A pack that was gathered, and the file that it goes into.
#[derive(Debug)]
pub(super) struct Whole {
    pub disk: Disk,
    pub file: File,
    pub line: Line,
    pub gathered: Builder,
    /// Whether it will be flushed, so that the disk can begin.
    pub flushed: bool,
}

impl Whole {
    /// Makes its table, and writes both: in two writes, since what follows may be megabytes. What a crash leaves of it has no
    /// `commit` beside it.
    fn write(self) -> Result<Written> {
        let Whole { disk, file, line, mut gathered, flushed } = self;
        let start = gathered.start_with(line);
        let length = (start.len() + gathered.rest().len()) as u64;
        disk.write_all(&file, &start, 0)?;
        disk.write_all(&file, gathered.rest(), start.len() as u64)?;
        if flushed {
            disk.begin_flush(&file);
        }
        gathered.clear();
        Ok(Written { room: gathered, length })
    }
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// In which the next one can be gathered.
    pub room: Builder,
    pub length: u64,
}

/// What is being written: one pack at most, so that two are in memory.
#[derive(Debug)]
pub(super) struct Behind {
    thread: Option<JoinHandle<Result<Written>>>,
    /// How much room a thread's stack gets.
    stack: usize,
}

impl Default for Behind {
    fn default() -> Behind {
        Behind { thread: None, stack: 64 << 10 }
    }
}

impl Behind {
    /// Writes a pack, now or meanwhile. Comes back with what was written since the last time.
    ///
    /// # Errors
    /// Of this pack, or of the last one.
    pub fn write(&mut self, whole: Whole) -> Result<Written> {
        let before = self.finish()?;
        let now = if whole.gathered.rest().len() < LARGE { Some(whole) } else { self.begin(whole) };
        match now.map(Whole::write).transpose()? {
            Some(written) => Ok(Written { length: before.length + written.length, ..written }),
            None => Ok(before),
        }
    }

    /// Begins a thread that writes it; gives it back where none is to be had.
    fn begin(&mut self, whole: Whole) -> Option<Whole> {
        let ours = Arc::new(Mutex::new(Some(whole)));
        let theirs = ours.clone();
        let take = |whole: &Mutex<Option<Whole>>| whole.lock().unwrap_or_else(PoisonError::into_inner).take();
        let write = move || take(&theirs).map_or_else(|| Ok(Written::default()), Whole::write);
        match Thread::new().name("write".into()).stack_size(self.stack).spawn(write) {
            Ok(thread) => {
                self.thread = Some(thread);
                None
            }
            Err(_) => take(&ours),
        }
    }

    /// Waits until all is written. Comes back with what was written since the last time.
    ///
    /// # Errors
    /// Of the last pack.
    pub fn finish(&mut self) -> Result<Written> {
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => Ok(Written::default()),
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, Birth};
    use crate::queue::envelope::Envelope;
    use crate::queue::header::Uid;
    use crate::queue::name::base32;

    /// A pack of one body, in a file without a name; and that file, to read it.
    fn pack(body: &[u8]) -> (Whole, File) {
        let disk = Disk::real();
        let dir = disk.open_queue(&std::env::temp_dir()).unwrap();
        let name = format!("mq-behind-{}", base32(disk.random().unwrap()));
        let file = disk.create(&dir, &name, Birth { mode: 0o600, owner: None }).unwrap();
        let read = disk.open(&dir, &name, Access::Read).unwrap();
        disk.unlink(&dir, &name).unwrap();
        let mut gathered = Builder::default();
        gathered.write(body);
        gathered.end();
        let line = gathered.line(&Envelope::default(), &Uid::new([7; 16]), disk.now().rfc3339(), 0).unwrap();
        (Whole { disk, file, line, gathered, flushed: true }, read)
    }

    #[test]
    fn a_pack_is_written_whole_with_a_thread_or_where_none_is_to_be_had() {
        let body: Vec<u8> = (0..LARGE as u32).map(|at| at as u8 ^ (at >> 8) as u8).collect();
        // No system has an exbibyte for a stack.
        for (stack, at_once) in [(64 << 10, false), (1 << 60, true)] {
            let mut behind = Behind { thread: None, stack };
            let (whole, file) = pack(&body);
            let written = behind.write(whole).unwrap();
            let left = behind.finish().unwrap();
            assert_eq!((written.length == 0, left.length == 0), (!at_once, at_once));
            assert!(written.room.is_empty() && left.room.is_empty());
            let mut bytes = vec![0; LARGE + 4096];
            let length = Disk::real().read_full(&file, &mut bytes, 0).unwrap();
            assert_eq!(length as u64, written.length + left.length);
            assert!(bytes.starts_with(b"{\"mq\":1,") && bytes[..length].ends_with(&body));
        }
    }
}
