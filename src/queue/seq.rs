//! `seq`: the last id given out and, for each priority, the bucket that is being filled. Its lock is the one thing that all
//! senders of a queue pass through; nothing is flushed while it is held.
//!
//! It is a cache of what the names say. After a kill it is as the last holder wrote it. After a power cut it may be of any
//! age, so on another boot, or when it does not check, the last id is the greatest one in any name of any state.

mod contents;

pub use contents::{Held, Totals};

use super::error::{Error, Result};
use super::name::{self, BUCKET_SIZE, Bucket, Id, PRIORITIES, Priority, State};
use super::{Place, Queue};
use crate::fs::{Access, Dir, Disk, File};
use crate::time::Time;
use contents::Contents;
use std::time::Duration;

/// How long to wait for the lock before giving up with "try again".
const PATIENCE: Duration = Duration::from_secs(10);
/// So often is read again what does not check.
const LOOKS_AGAIN: u32 = 2;
/// Ids from here on (the year 2283) are none that anybody was given: somebody made those names. Taken at its word, the last of
/// sixteen digits would leave none for those who send, who would try it for ever.
const END: Time = Time::from_micros(9_900_000_000_000_000);

/// Whether an id may have been given out, by a clock that was wrong or set back since.
pub(super) fn believable(id: Id) -> bool {
    id.0 < END
}

/// The lock on `seq`, and what it says. Dropping it unlocks; what was not saved is forgotten.
pub(super) struct Seq<'q> {
    queue: &'q Queue,
    file: File,
    contents: Contents,
}

impl<'q> Seq<'q> {
    /// Waits for the lock.
    pub fn lock(queue: &'q Queue) -> Result<Seq<'q>> {
        let disk = &queue.disk;
        let file = loop {
            let file = match disk.open(&queue.dir, name::SEQ, Access::Write) {
                Err(error) if error.missing() => {
                    queue.still_here()?;
                    match disk.create(&queue.dir, name::SEQ, queue.file_birth()) {
                        Err(error) if error.exists() => continue,
                        created => created?,
                    }
                }
                opened => opened?,
            };
            if !disk.lock(&file, PATIENCE)? {
                let by = disk.holder(&disk.stat(&file)?).map(|holder| holder.pid);
                return Err(Error::Busy { path: file.path().to_path_buf(), by });
            }
            // A person may have removed or replaced it while we waited: then this is the lock of nothing.
            match disk.stat_at(&queue.dir, name::SEQ) {
                Ok(stat) if stat.identity == disk.stat(&file)?.identity => {
                    queue.alone(&file, &stat)?;
                    break file;
                }
                Ok(_) => (),
                Err(error) if error.missing() => (),
                Err(error) => return Err(error.into()),
            }
        };
        let read = read(disk, &file)?;
        let boot = disk.boot_id();
        let contents = match read {
            Some(contents) if contents.holds(&boot) => contents,
            stale => {
                let contents = anew(queue, stale, boot)?;
                // The machine was started anew: a power cut may have undone one of two renames.
                queue.mend_tickets()?;
                // Written down at once, so that this is done once.
                disk.write_all(&file, contents.encode().as_bytes(), 0)?;
                contents
            }
        };
        Ok(Seq { queue, file, contents })
    }

    /// The next id, and the home bucket for it. Nothing is given out until [`Seq::save`] has returned.
    pub fn next(&mut self, priority: Priority) -> (Id, Bucket) {
        let now = self.queue.disk.now();
        let last = &mut self.contents.last;
        *last = now.max(last.plus(Duration::from_micros(1)));
        let (bucket, count) = &mut self.contents.filling[usize::from(priority.level())];
        if bucket.micros() == 0 || *count >= BUCKET_SIZE {
            (*bucket, *count) = (*last, 0);
        }
        *count += 1;
        self.contents.totals.sent += 1;
        if !self.queue.is_limited() {
            // Nobody adds to it, so it would be no bound when there is a limit again.
            self.contents.held = None;
        }
        (Id(*last), Bucket(Id(*bucket)))
    }

    /// The ids for a pack of so many messages, the first of them coming back. What is sent after it gets a bucket of its own,
    /// so that buckets stay in the order of their ids.
    pub fn next_pack(&mut self, priority: Priority, count: u32) -> Id {
        let (first, _) = self.next(priority);
        let more = u64::from(count.saturating_sub(1));
        self.contents.last = first.after(count.saturating_sub(1)).0;
        self.contents.totals.sent += more;
        self.contents.filling[usize::from(priority.level())] = (Time::default(), 0);
        first
    }

    /// So many ids were given out for nothing, since a file with such a one is there: that many fewer were sent.
    pub fn passed_over(&mut self, ids: u32) {
        let sent = &mut self.contents.totals.sent;
        *sent = sent.saturating_sub(u64::from(ids));
    }

    /// Writes it down: before the rename that publishes, so that a kill in between skips an id and gives none out twice.
    pub fn save(&mut self) -> Result<()> {
        Ok(self.queue.disk.write_all(&self.file, self.contents.encode().as_bytes(), 0)?)
    }

    pub fn count(&mut self, removed: u64, dead: u64) -> Result<()> {
        self.tally(|totals| {
            totals.removed += removed;
            totals.dead += dead;
        })
    }

    /// What the queue holds at most; `None` if nobody has counted.
    pub fn held(&self) -> Option<Held> {
        self.contents.held
    }

    /// So much was counted, and is written down for those who come next.
    pub fn count_is(&mut self, held: Held) -> Result<()> {
        self.contents.held = Some(held);
        self.save()
    }

    /// So much is added to what the queue holds.
    pub fn hold(&mut self, messages: u64, bytes: u64) {
        if let Some(held) = &mut self.contents.held {
            held.messages = held.messages.saturating_add(messages);
            held.bytes = held.bytes.saturating_add(bytes);
        }
    }

    /// So much is taken out of it.
    pub fn release(&mut self, messages: u64, bytes: u64) {
        if let Some(held) = &mut self.contents.held {
            held.messages = held.messages.saturating_sub(messages);
            if held.bytes != Held::UNCOUNTED {
                held.bytes = held.bytes.saturating_sub(bytes);
            }
        }
    }

    /// Changes what is counted for `stats`, and writes it down.
    pub fn tally(&mut self, change: impl FnOnce(&mut Totals)) -> Result<()> {
        change(&mut self.contents.totals);
        self.save()
    }
}

/// What `seq` says now, without its lock: for statistics. `None` if it says nothing that checks.
pub(super) fn totals(queue: &Queue) -> Result<Option<Totals>> {
    Ok(peek(queue)?.map(|contents| contents.totals))
}

/// The last id given out, without the lock. Where `seq` does not say, the greatest in any name, as its next holder would.
pub(super) fn last(queue: &Queue) -> Result<Option<Id>> {
    let boot = queue.disk.boot_id();
    let last = match peek(queue)? {
        Some(contents) if contents.holds(&boot) => contents.last,
        stale => anew(queue, stale, boot)?.last,
    };
    Ok((last > Time::default()).then_some(Id(last)))
}

/// Whether `seq` is behind the names, garbage, or missing where there are any: for fsck, which gives the greatest id it saw.
pub(super) fn behind(queue: &Queue, greatest: Option<Id>) -> Result<Option<&'static str>> {
    Ok(match peek(queue)? {
        // Made by the first send, which may have been killed before it wrote into it.
        None if greatest.is_none() && unwritten(queue)? => None,
        None => Some("seq does not check: it is made anew at the next send"),
        Some(contents) if greatest.is_some_and(|id| id.0 > contents.last) => {
            Some("seq is behind the greatest id in the queue: the next send would have found an id taken")
        }
        Some(_) => None,
    })
}

/// Whether it is not there, or empty.
fn unwritten(queue: &Queue) -> Result<bool> {
    match queue.disk.stat_at(&queue.dir, name::SEQ) {
        Err(error) if error.missing() => Ok(true),
        stat => Ok(stat?.size == 0),
    }
}

/// Whether the machine was started since `seq` was written last: what renames left in two directories is then looked at by
/// the next who gets its lock.
pub(super) fn of_another_boot(queue: &Queue) -> Result<bool> {
    let boot = queue.disk.boot_id();
    Ok(!boot.is_empty() && peek(queue)?.is_none_or(|contents| contents.boot != boot))
}

/// Reads it without its lock.
fn peek(queue: &Queue) -> Result<Option<Contents>> {
    match queue.disk.open(&queue.dir, name::SEQ, Access::Read) {
        Err(error) if error.missing() => Ok(None),
        opened => read(&queue.disk, &opened?),
    }
}

/// One read has all of it. Where it came short, or met half of what another writes (POSIX lets write(2) be atomic to reads, few
/// file systems do), what was read does not check, and is read again before it is called garbage.
fn read(disk: &Disk, file: &File) -> Result<Option<Contents>> {
    let mut bytes = [0; 1024];
    let mut length = disk.read_at(file, &mut bytes, 0)?;
    for _ in 0..LOOKS_AGAIN {
        if let Some(contents) = Contents::decode(&bytes[..length]) {
            return Ok(Some(contents));
        }
        length = disk.read_full(file, &mut bytes, 0)?;
    }
    Ok(Contents::decode(&bytes[..length]))
}

/// Makes it anew from the names. New buckets are opened, since nobody knows how full the old ones were.
pub(super) fn rebuild(queue: &Queue) -> Result<()> {
    let mut seq = Seq::lock(queue)?;
    seq.contents = anew(queue, Some(seq.contents.clone()), seq.contents.boot.clone())?;
    seq.save()
}

fn anew(queue: &Queue, stale: Option<Contents>, boot: String) -> Result<Contents> {
    let mut greatest = Time::default();
    let mut present = 0;
    for state in State::ALL {
        queue.each_file(state, |place: Place, _dir: &Dir| {
            if believable(place.name.last_id()) {
                greatest = greatest.max(place.name.last_id().0);
            }
            present += u64::from(place.name.count());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
    }
    let boot = if boot.is_empty() { "-".to_string() } else { boot };
    Ok(Contents {
        last: greatest.max(
            stale.as_ref().filter(|stale| believable(Id(stale.last))).map_or(Time::default(), |contents| contents.last),
        ),
        boot,
        totals: stale.map_or(Totals { sent: present, ..Totals::default() }, |contents| contents.totals),
        filling: [(Time::default(), 0); PRIORITIES as usize],
        held: None,
    })
}

/// What is read is read again from what is written of it.
#[cfg(any(test, fuzzing))]
pub(super) fn read_again(bytes: &[u8]) {
    if let Some(contents) = Contents::decode(bytes) {
        assert_eq!(Contents::decode(contents.encode().as_bytes()), Some(contents));
    }
}
