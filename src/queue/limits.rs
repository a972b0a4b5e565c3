//! What a queue takes: how large a message may be, how much of the disk it leaves alone, how many messages it holds.
//!
//! That a queue is not full is known without counting: `seq` keeps an upper bound of what it holds, since all that adds to a
//! queue passes through its lock, and nothing that takes out of it does. Only when the bound reaches a limit is counted anew.

mod count;
mod drop;

use super::error::{Error, Result};
use super::seq::{Held, Seq};
use super::settings::{OnFull, Settings};
use super::{Queue, read_settings};
use crate::fs::Dir;
use count::fresh;
use std::time::{Duration, Instant};

/// While messages are written, the room on the disk is looked at once in so many bytes and files.
const LOOK_BYTES: u64 = 1 << 20;
const LOOK_FILES: u64 = 64;
/// How long a blocked send waits before it looks again: longer each time.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_millis(500);
/// And at least so many times as long as the look took, so that those who wait leave the lock to others.
const PAUSE_FACTOR: u32 = 4;

/// Holds a message, or a batch of them, to the limits while it is being written.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    body: u64,
    bytes: u64,
    files: u64,
    looked: bool,
}

impl Gauge {
    /// A message begins.
    pub fn begin(&mut self, queue: &Queue) -> Result<()> {
        self.body = 0;
        self.files += 1;
        if !self.looked || self.files >= LOOK_FILES { self.look(queue, 0) } else { Ok(()) }
    }

    /// So much is to be added to its body.
    pub fn grow(&mut self, queue: &Queue, by: usize) -> Result<()> {
        let by = by as u64;
        self.body += by;
        self.bytes += by;
        if let Some(max) = queue.settings.max_body().filter(|max| self.body > *max) {
            return Err(queue.over("max_body", format!("the body is larger than max_body, {max} bytes")));
        }
        if self.bytes >= LOOK_BYTES { self.look(queue, by) } else { Ok(()) }
    }

    /// Whether there are no limits to which messages are held while they are written.
    pub fn is_free(queue: &Queue) -> bool {
        queue.settings.max_body().is_none() && queue.settings.min_free().is_none()
    }

    fn look(&mut self, queue: &Queue, wanted: u64) -> Result<()> {
        (self.bytes, self.files, self.looked) = (0, 0, true);
        let Some(room) = queue.settings.min_free() else { return Ok(()) };
        let free = queue.disk.free(&queue.dir)?;
        if free.bytes < room.bytes.saturating_add(wanted) {
            let why = format!("the disk has {} bytes free, and min_free keeps {} of them", free.bytes, room.bytes);
            return Err(queue.over("min_free", why));
        }
        match free.inodes {
            Some(inodes) if inodes <= room.inodes => {
                let why = format!("the disk has room for {inodes} files, and min_free keeps {} of it", room.inodes);
                Err(queue.over("min_free", why))
            }
            _ => Ok(()),
        }
    }
}

/// What a send adds to a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub messages: u64,
    /// Of the files.
    pub bytes: u64,
}

/// How full a queue may be, and what happens then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    messages: Option<u64>,
    bytes: Option<u64>,
    on_full: OnFull,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    key: &'static str,
    max: u64,
}

impl Limits {
    /// `None` where there are none.
    pub fn of(settings: &Settings) -> Option<Limits> {
        let (messages, bytes) = (settings.max_messages(), settings.max_bytes());
        (messages.is_some() || bytes.is_some()).then(|| Limits { messages, bytes, on_full: settings.on_full() })
    }

    /// Which limit `load` on top of `held` would pass.
    fn passed(&self, held: Held, load: Load) -> Option<Full> {
        let over = |key, max: Option<u64>, held: u64, more: u64| {
            // Nothing more takes no room, also where a redrive has put in more than fits.
            let max = max.filter(|max| more > 0 && held.saturating_add(more) > *max)?;
            Some(Full { key, max })
        };
        over("max_messages", self.messages, held.messages, load.messages)
            .or_else(|| over("max_bytes", self.bytes, held.bytes, load.bytes))
    }
}

/// How long a send has waited for room, and how much longer it will.
#[derive(Debug)]
pub(super) struct Waiting {
    began: Instant,
    pause: Duration,
}

impl Waiting {
    pub fn new() -> Waiting {
        Waiting { began: Instant::now(), pause: PAUSE_FIRST }
    }

    /// Sleeps before the next look.
    ///
    /// # Errors
    /// [`Error::Limit`] when it is not to wait, or not any longer.
    pub fn pause(&mut self, queue: &Queue, limits: Limits, full: Full, took: Duration) -> Result<()> {
        let Full { key, max } = full;
        let why = format!("the queue is full: {key} is {max}");
        let waited = self.began.elapsed();
        let left = match (queue.block, limits.on_full) {
            (None, OnFull::Block) => Duration::MAX,
            (None, _) => return Err(queue.over(key, why)),
            (Some(block), _) => block.saturating_sub(waited),
        };
        if left.is_zero() {
            return Err(queue.over(key, format!("{why}, and no room came within the time of --block")));
        }
        std::thread::sleep(self.pause.max(took * PAUSE_FACTOR).min(left));
        self.pause = (self.pause * 2).min(PAUSE_LAST);
        Ok(())
    }
}

impl Queue {
    /// Lets sends of this process wait for room in a full queue for so long, whatever `on_full` says.
    pub fn block_for(&mut self, wait: Duration) {
        self.block = Some(wait);
    }

    /// Whether it has a limit of what it holds.
    pub(super) fn is_limited(&self) -> bool {
        Limits::of(&self.settings).is_some()
    }

    fn over(&self, key: &'static str, why: String) -> Error {
        Error::Limit { path: self.path().to_path_buf(), key, why }
    }

    /// The limits as `queue.json` says now: a person may raise them while a send waits.
    fn limits_now(&self) -> Result<Option<Limits>> {
        Ok(Limits::of(&read_settings(&self.disk, &self.dir)?.0))
    }

    /// Waits until there is room, as `on_full` and `block` say, before a message is made whole: one that is killed while it
    /// waits was never sent. The limits that hold come back.
    ///
    /// # Errors
    /// [`Error::Limit`] when there is none.
    pub(super) fn await_room(&self, load: Load, waiting: &mut Waiting) -> Result<Option<Limits>> {
        let mut limits = Limits::of(&self.settings);
        while let Some(now) = limits {
            if now.on_full == OnFull::Drop {
                // Room is made when it is taken.
                return Ok(limits);
            }
            let began = Instant::now();
            let full = self.admit(&mut Seq::lock(self)?, now, load)?;
            match full {
                None => return Ok(limits),
                Some(full) => waiting.pause(self, now, full, began.elapsed())?,
            }
            limits = self.limits_now()?;
        }
        Ok(None)
    }

    /// Does `then` under the lock of `seq` when there is room for `load`, and counts it; waits for room as
    /// [`Queue::await_room`] does.
    pub(super) fn reserve<T>(&self, load: Load, then: impl Fn() -> Result<T>) -> Result<T> {
        let mut waiting = Waiting::new();
        let mut limits = Limits::of(&self.settings);
        while let Some(now) = limits {
            let began = Instant::now();
            let mut seq = Seq::lock(self)?;
            match self.admit(&mut seq, now, load)? {
                None => {
                    let done = then()?;
                    seq.hold(load.messages, load.bytes);
                    seq.save()?;
                    return Ok(done);
                }
                Some(full) => {
                    drop(seq);
                    waiting.pause(self, now, full, began.elapsed())?;
                }
            }
            limits = self.limits_now()?;
        }
        then()
    }

    /// Whether so much more fits; what the bound says of it, or a fresh count. A queue that drops makes room.
    ///
    /// # Errors
    /// [`Error::Limit`] for what can never fit.
    pub(super) fn admit(&self, seq: &mut Seq<'_>, limits: Limits, load: Load) -> Result<Option<Full>> {
        if let Some(Full { key, max }) = limits.passed(Held::default(), load) {
            let what = if key == "max_bytes" { load.bytes } else { load.messages };
            return Err(self.over(key, format!("{what} at once can never fit: {key} is {max}")));
        }
        let known = seq.held().filter(|held| limits.bytes.is_none() || held.bytes != Held::UNCOUNTED);
        let mut held = match known {
            Some(held) if limits.passed(held, load).is_none() || fresh(held, self.disk.now()) => held,
            _ => {
                let counted = self.count_held(limits)?;
                seq.count_is(counted)?;
                counted
            }
        };
        let mut full = limits.passed(held, load);
        if full.is_some() && limits.on_full == OnFull::Drop {
            self.drop_oldest(seq, &|held| limits.passed(held, load).is_some())?;
            held = seq.held().unwrap_or(held);
            full = limits.passed(held, load);
        }
        Ok(full)
    }

    /// What comes back into a queue without asking for room counts all the same.
    pub(super) fn readmit(&self, bytes: u64) -> Result<()> {
        if !self.is_limited() {
            return Ok(());
        }
        let mut seq = Seq::lock(self)?;
        seq.hold(1, bytes);
        seq.save()
    }

    /// Adds a message that is about to be published to the bound, where there is one.
    pub(super) fn weigh(&self, seq: &mut Seq<'_>, dir: &Dir, file_name: &str) -> Result<()> {
        if let Some(limits) = Limits::of(&self.settings) {
            let sized = limits.bytes.is_some();
            let bytes = if sized { self.disk.stat_at(dir, file_name)?.size } else { Held::UNCOUNTED };
            seq.hold(1, bytes);
        }
        Ok(())
    }

    /// What may have gone meanwhile.
    pub(super) fn there<T>(&self, step: crate::fs::Result<T>) -> Result<Option<T>> {
        match step {
            Err(error) if error.missing() => Ok(None),
            step => Ok(Some(step?)),
        }
    }
}
