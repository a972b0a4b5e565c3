//! The state machine of a queue: what `man/mq.5` says, as types. A message is a file in one place; each transition is one
//! rename or one unlink; whoever acts on a message holds its lock and has looked again after getting it.
//!
//! Knows no terminal, no environment and no current directory. Every step goes through [`crate::fs::Disk`].

mod batch;
mod browse;
mod busy;
mod cancel;
mod checksum;
mod claim;
mod create;
mod damaged;
mod delayed;
mod digits;
mod done;
mod envelope;
mod error;
mod expiry;
mod fsck;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod groups;
mod hand;
mod header;
mod history;
mod limits;
mod memory;
mod message;
pub mod name;
mod pace;
mod pack;
mod pause;
mod receipt;
mod recover;
mod replay;
mod reserve;
mod sayable;
mod select;
mod send;
mod seq;
mod settings;
mod settle;
mod settled;
mod stats;
mod unique;

pub use batch::Batch;
pub use browse::{Place, Times};
pub use cancel::Cancelled;
pub use claim::{Found, Nothing, Scout};
pub use create::Created;
pub use envelope::{Envelope, HEADERS_MAX, KEY_MAX, Unique, Until, check_key, variable};
pub use error::{Error, Result};
pub use fsck::{Finding, Mended, Repair, Trouble};
pub use groups::GroupStats;
pub use header::{FORMAT, HEADER_MAX, Header, Uid};
pub use history::{Attempt, HISTORY_MAX, History, Outcome, Record, Redrive, STDERR_MAX};
pub use message::{Message, Reader};
pub use pace::HeldBack;
pub use pack::{Ending, PACK_LEAST, PACK_MOST};
pub use pause::Pause;
pub use receipt::Receipt;
pub use recover::Recovered;
pub use replay::{REPLAY_OF, Replay};
pub use select::{Moved, Removed};
pub use send::{Draft, Sent};
pub use settings::{Backoff, KEYS, Key, OnDead, OnExpire, OnFull, Rate, Room, Settings, Sync, key, parse_size};
pub use settle::{Again, Claim, Counting, Settled};
pub use settled::Awaited;
pub use stats::Stats;
pub use unique::{OnDuplicate, Published};

use crate::fs::{Access, Birth, Dir, Disk, Identity, Interest, Stat, Store, Watch};
use serde_json::{Map, Value};
use std::path::Path;

/// A queue that is open.
#[derive(Debug)]
pub struct Queue {
    disk: Disk,
    dir: Dir,
    settings: Settings,
    /// Of `queue.json`, as the settings were read.
    read_as: (Identity, crate::time::Time),
    /// Set where root works in another user's queue.
    owner: Option<crate::fs::Owner>,
    store: Store,
    /// Kept open, since every claim and every settling passes through it.
    claimed: std::cell::OnceCell<Dir>,
    /// Our own directory in it, from when it is first wanted; `None` where it could not be had.
    hand: std::cell::OnceCell<Option<hand::OwnHand>>,
    /// How long a send waits for room, where its sender says so.
    block: Option<std::time::Duration>,
}

impl Queue {
    /// Opens the queue at a path.
    ///
    /// # Errors
    /// [`Error::NoQueue`] where there is none, [`Error::BadQueue`] where `queue.json` is damaged or of another format.
    pub fn open(disk: &Disk, path: &Path) -> Result<Queue> {
        let dir = disk.open_queue(path).map_err(|error| no_queue(error, path))?;
        let owner = foreign_owner(&disk.stat_dir(&dir)?);
        let store = disk.store(&dir)?;
        let (settings, read_as) = read_settings(disk, &dir).map_err(|error| match error {
            Error::Disk(error) => no_queue(error, path),
            other => other,
        })?;
        let (claimed, hand) = Default::default();
        Ok(Queue { disk: disk.clone(), dir, settings, read_as, owner, store, claimed, hand, block: None })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Reads the settings again if `queue.json` was replaced since: one look.
    pub fn refresh(&mut self) -> Result<()> {
        match self.settings_replaced() {
            Err(error) if error.missing() => self.still_here(),
            replaced => {
                if replaced? {
                    (self.settings, self.read_as) = read_settings(&self.disk, &self.dir)?;
                }
                Ok(())
            }
        }
    }

    /// Whether `queue.json` is not what was read, by the file and its time.
    fn settings_replaced(&self) -> Result<bool> {
        let stat = self.disk.stat_at(&self.dir, name::QUEUE_JSON)?;
        Ok((stat.identity, stat.modified) != self.read_as)
    }

    /// Before "empty", "lost" or sleep: is the path still this queue? Its directory may have been renamed or removed.
    pub fn still_here(&self) -> Result<()> {
        let moved = || Error::Moved { path: self.path().to_path_buf() };
        let by_path = self.disk.stat_path(&self.path().join(name::QUEUE_JSON));
        let in_dir = self.disk.stat_at(&self.dir, name::QUEUE_JSON);
        match (by_path, in_dir) {
            (Ok(by_path), Ok(in_dir)) if by_path.identity == in_dir.identity => Ok(()),
            (Ok(_), Ok(_)) => Err(moved()),
            (Err(error), _) | (_, Err(error)) if error.missing() => Err(moved()),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }

    /// Watches for what may have become claimable; `None` where the system can't, and the caller polls.
    pub fn watch(&self) -> Result<Option<Watch>> {
        self.watch_for(Interest::Closed)
    }

    /// Watches for what is claimed, settled or taken back as well, with [`Interest::Settled`].
    pub fn watch_for(&self, interest: Interest) -> Result<Option<Watch>> {
        self.claimed_dir()?;
        let wake = self.path().join(name::WAKE);
        let claimed = self.path().join(name::CLAIMED);
        match self.disk.watch(&wake, &claimed, interest) {
            Err(error) if error.missing() => {
                self.wake();
                Ok(self.disk.watch(&wake, &claimed, interest)?)
            }
            watch => Ok(watch?),
        }
    }

    /// Tells idle workers to look. Never fails: a lost wake-up costs latency only.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.disk.touch_at(&self.dir, name::WAKE)
            && error.missing()
        {
            let _ = self.disk.create(&self.dir, name::WAKE, self.file_birth());
        }
    }

    fn dir_birth(&self) -> Birth {
        Birth { mode: self.settings.mode(), owner: self.owner }
    }

    fn file_birth(&self) -> Birth {
        Birth { mode: self.settings.mode() & 0o666, owner: self.owner }
    }

    /// Opens a directory of the queue, made anew where it is gone.
    fn ensure_dir(&self, below: &Path) -> Result<Dir> {
        loop {
            match self.disk.open_dir(&self.dir, below) {
                Err(error) if error.missing() => (),
                opened => return Ok(opened?),
            }
            self.still_here()?;
            match self.make_dirs(below) {
                // A claimer removed the first of them before there was anything in it.
                Err(Error::Disk(error)) if error.missing() => (),
                made => return made,
            }
        }
    }

    fn make_dirs(&self, below: &Path) -> Result<Dir> {
        let mut dir: Option<Dir> = None;
        for part in below {
            let parent = dir.as_ref().unwrap_or(&self.dir);
            dir = Some(match self.disk.open_dir(parent, part) {
                Err(error) if error.missing() => {
                    match self.disk.make_dir(parent, part, self.dir_birth()) {
                        Err(error) if !error.exists() => return Err(error.into()),
                        _ => (),
                    }
                    self.disk.open_dir(parent, part)?
                }
                opened => opened?,
            });
        }
        dir.ok_or_else(|| Error::Moved { path: self.path().to_path_buf() })
    }

    /// Opens a directory of the queue that may well not be there.
    fn maybe_dir(&self, below: &Path) -> Result<Option<Dir>> {
        match self.disk.open_dir(&self.dir, below) {
            Err(error) if error.missing() => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }

    fn claimed_dir(&self) -> Result<&Dir> {
        if let Some(dir) = self.claimed.get() {
            return Ok(dir);
        }
        let dir = self.ensure_dir(Path::new(name::CLAIMED))?;
        Ok(self.claimed.get_or_init(|| dir))
    }

    fn tmp_dir(&self) -> Result<Dir> {
        self.ensure_dir(Path::new(name::TMP))
    }

    /// One rename of a message into a directory of this queue, which is made anew where it is gone. What needs room for that
    /// may take the reserve.
    ///
    /// # Errors
    /// [`Error::Disk`] with `missing` when the source is gone: somebody else was faster.
    fn move_into(&self, from: &Dir, name: &str, below: &Path, new: &str) -> Result<()> {
        self.with_reserve(|| self.place_into(from, name, below, new))
    }

    /// The same without the reserve: for those who bring new messages.
    fn place_into(&self, from: &Dir, name: &str, below: &Path, new: &str) -> Result<()> {
        loop {
            let to = self.ensure_dir(below)?;
            match self.disk.rename(from, name, &to, new) {
                // ENOENT is a question: is the source gone, or was the target's directory removed after we opened it?
                Err(error) if error.missing() => match self.disk.stat_at(from, name) {
                    Ok(_) => self.still_here()?,
                    Err(source) if source.missing() => return Err(error.into()),
                    // Unreadable is not gone.
                    Err(source) => return Err(source.into()),
                },
                moved => return Ok(moved?),
            }
        }
    }

    /// Flushes what a transition of one message has changed, where the policy asks for it: its file, whose name goes with
    /// it on the trusted file systems, and on others the directory as well.
    fn flush(&self, file: &crate::fs::File, dir: &Dir) -> Result<()> {
        if self.settings.sync() == Sync::None {
            return Ok(());
        }
        self.disk.sync_file(file)?;
        if !self.store.syncs_names() {
            self.disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Flushes everything that was done so far: once at the end of a command that moved many.
    pub fn flush_all(&self) -> Result<()> {
        match self.settings.sync() {
            Sync::None => Ok(()),
            _ => Ok(self.disk.sync_all(&self.dir)?),
        }
    }

    /// What is written in place has no name outside of the queue, where a stranger's link would have us write to what is no
    /// business of ours.
    fn alone(&self, file: &crate::fs::File, stat: &Stat) -> Result<()> {
        if stat.kind == crate::fs::Kind::File && stat.links == 1 {
            return Ok(());
        }
        let why = "is no file of its own: not a regular one, or one with a second name elsewhere".into();
        Err(Error::Unknown { path: file.path().to_path_buf(), why })
    }

    fn fresh_name(&self) -> Result<String> {
        Ok(name::base32(self.disk.random()?))
    }
}

fn no_queue(error: crate::fs::Error, path: &Path) -> Error {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.source.kind() {
        NotFound | NotADirectory => Error::NoQueue { path: path.to_path_buf() },
        _ => error.into(),
    }
}

/// Root's files in another user's queue belong to that user.
fn foreign_owner(dir: &Stat) -> Option<crate::fs::Owner> {
    let foreign = dir.owner.user != 0 && rustix::process::geteuid().is_root();
    foreign.then_some(dir.owner)
}

/// What mq reads of `queue.json`; what else a person writes there is left alone.
#[derive(serde::Deserialize)]
struct QueueFile {
    mq: Option<u64>,
    #[serde(default)]
    settings: std::collections::BTreeMap<String, Value>,
}

/// Reads and checks `queue.json`. Damage stops here and never becomes defaults.
fn read_settings(disk: &Disk, dir: &Dir) -> Result<(Settings, (Identity, crate::time::Time))> {
    let file = disk.open(dir, name::QUEUE_JSON, Access::Read)?;
    let stat = disk.stat(&file)?;
    let bad = |why: String| Error::BadQueue { path: file.path().to_path_buf(), why };
    if stat.kind != crate::fs::Kind::File || stat.size > 1 << 20 {
        return Err(bad("is not a queue's settings file".into()));
    }
    let mut bytes = vec![0; usize::try_from(stat.size).unwrap_or(0)];
    let length = disk.read_full(&file, &mut bytes, 0)?;
    let settings = parse_settings(&bytes[..length]).map_err(bad)?;
    Ok((settings, (stat.identity, stat.modified)))
}

/// What `queue.json` says. The error is what follows its path.
fn parse_settings(bytes: &[u8]) -> std::result::Result<Settings, String> {
    let file: QueueFile = serde_json::from_slice(bytes).map_err(|error| format!("is damaged: {error}"))?;
    match file.mq {
        Some(format) if format == u64::from(FORMAT) => Settings::from_json(&file.settings),
        Some(format) => Err(format!("is of queue format {format}; this mq knows format {FORMAT}")),
        None => Err("is damaged: no format number".into()),
    }
}

/// `queue.json` for these settings, with what else it says.
fn settings_json(settings: &Settings, others: Map<String, Value>) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("mq".into(), FORMAT.into());
    map.extend(others);
    map.insert("settings".into(), Value::Object(settings.to_json()));
    let mut bytes = serde_json::to_vec_pretty(&map).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
