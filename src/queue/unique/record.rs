//! One file a key: who has it. Its name is the key, so that no two keys share one; its content is one line of JSON.
//!
//! Every change of a record is made under its own lock, after another look; a record is made under the lock of `seq` alone.
//! Nobody waits for `seq` while holding a record.

use super::super::envelope::{Unique, Until};
use super::super::error::{Error, Result};
use super::super::header::{Header, Uid};
use super::super::name::{DOUBT, GroupMark, Name, UNIQUE};
use super::super::send::same;
use super::super::{Envelope, Queue};
use crate::fs::{Access, Dir, File, Kind};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for a record that somebody holds for a few calls.
const PATIENCE: Duration = Duration::from_secs(5);
/// No record is longer: two keys, escaped, and what goes with them.
const RECORD_MAX: usize = 8 << 10;
/// A key whose name would be longer than this is written in base32.
const PLAIN_MAX: usize = 200;

/// What a message takes while it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Key {
    /// For a person.
    pub text: String,
    /// In `unique/XX/`.
    name: String,
    pub until: Until,
}

impl Key {
    fn unique(unique: &Unique) -> Key {
        Key { text: unique.key.clone(), name: key_name(&unique.key), until: unique.until }
    }

    /// A derived uid is taken for as long as completions are remembered.
    fn derived(uid: &Uid, queue: &Queue) -> Key {
        let until = Until::For(queue.settings().done_for());
        Key { text: uid.as_str().to_string(), name: format!("r-{}", uid.as_str()), until }
    }

    /// `None` for a message like most.
    pub fn of_header(header: &Header, queue: &Queue) -> Option<Key> {
        match &header.derived_from {
            Some(_) => Some(Key::derived(&header.uid, queue)),
            None => header.unique().as_ref().map(Key::unique),
        }
    }

    pub fn of_envelope(envelope: &Envelope, uid: &Uid, queue: &Queue) -> Option<Key> {
        match &envelope.derived_from {
            Some(_) => Some(Key::derived(uid, queue)),
            None => envelope.unique.as_ref().map(Key::unique),
        }
    }

    pub fn shard(&self) -> PathBuf {
        Path::new(UNIQUE).join(&GroupMark::of(&self.text).to_string()[..2])
    }

    pub fn plain(&self) -> &str {
        &self.name
    }

    pub fn doubt(&self) -> String {
        format!("{}{DOUBT}", self.name)
    }
}

/// The name of a key's record: percent-encoded (RFC 3986), or in base32 where that would be too long.
pub(in crate::queue) fn key_name(key: &str) -> String {
    let mut name = "k-".to_string();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > PLAIN_MAX {
        name = format!("b-{}", data_encoding::BASE32_NOPAD.encode(key.as_bytes()).to_ascii_lowercase());
    }
    name
}

/// Whether a name in `unique/XX/` can be a record's: its plain form.
pub(in crate::queue) fn record_name(text: &str) -> Option<&str> {
    let plain = text.strip_suffix(DOUBT).unwrap_or(text);
    let good = ["k-", "b-", "r-"].iter().any(|start| plain.starts_with(start));
    (good && !plain.contains(DOUBT)).then_some(plain)
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) struct Record {
    pub key: String,
    pub until: String,
    /// Of the message that has the key.
    pub uid: String,
    /// Its name as it was published.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_us: Option<u64>,
    /// Where it was written, below `tmp/`: while it stands there, it is not published.
    pub draft: String,
    /// When the key was taken by the first of those that replaced each other.
    pub first_us: u64,
    pub taken_us: u64,
    pub boot: String,
    /// What it takes the place of: gone once this one is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Box<Record>>,
}

impl Record {
    pub fn name(&self) -> Option<Name> {
        Name::parse(&self.name)
    }
    pub fn due(&self) -> Option<Time> {
        self.due_us.map(Time::from_micros)
    }
    pub fn until(&self) -> Until {
        Until::parse(&self.until).unwrap_or(Until::Settled)
    }
    /// A window that has passed.
    pub fn expired(&self, now: Time) -> bool {
        matches!(self.until(), Until::For(length) if now >= Time::from_micros(self.taken_us).plus(length))
    }
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What a file in `unique/XX/` says; `None` for one that is torn.
pub(in crate::queue) fn parse_record(bytes: &[u8]) -> Option<Record> {
    bytes.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok())
}

/// A record that is ours to change: open and locked.
#[derive(Debug)]
pub(in crate::queue) struct Held {
    pub shard: Dir,
    pub file: File,
    pub plain: String,
    /// Whether it stands under the name of doubt.
    pub doubt: bool,
    /// `None` when a power cut has left nothing of it.
    pub record: Option<Record>,
}

impl Held {
    /// Whether this message has the key.
    pub fn is_of(&self, header: &Header) -> bool {
        self.record.as_ref().is_some_and(|record| record.uid == header.uid.as_str())
    }
    /// The name it has now.
    pub fn name(&self) -> String {
        if self.doubt { format!("{}{DOUBT}", self.plain) } else { self.plain.clone() }
    }
}

impl Queue {
    /// The record of this name, locked; `None` where there is none, which holds on under the lock of `seq`.
    pub(in crate::queue) fn hold_record(&self, below: &Path, plain: &str) -> Result<Option<Held>> {
        let Some(shard) = self.maybe_dir(below)? else { return Ok(None) };
        let disk = &self.disk;
        let doubt = format!("{plain}{DOUBT}");
        'look: loop {
            // Plain again at last: it may have got its plain name back between the first two looks.
            for (name, doubtful) in [(plain, false), (doubt.as_str(), true), (plain, false)] {
                let file = match disk.open(&shard, name, Access::Write) {
                    Err(error) if error.missing() => continue,
                    opened => opened?,
                };
                if !disk.lock(&file, PATIENCE)? {
                    let by = disk.holder(&disk.stat(&file)?).map(|holder| holder.pid);
                    return Err(Error::Busy { path: file.path().to_path_buf(), by });
                }
                if !same(disk, &shard, name, &file)? {
                    continue 'look;
                }
                let record = self.read_record(&file)?;
                return Ok(Some(Held { shard, file, plain: plain.to_string(), doubt: doubtful, record }));
            }
            return Ok(None);
        }
    }

    /// What a record says; `None` for one that is torn.
    pub(in crate::queue) fn read_record(&self, file: &File) -> Result<Option<Record>> {
        let path = || file.path().to_path_buf();
        if self.disk.stat(file)?.kind != Kind::File {
            return Err(Error::Unknown { path: path(), why: "is not a regular file".into() });
        }
        let mut bytes = vec![0; RECORD_MAX];
        let length = self.disk.read_full(file, &mut bytes, 0)?;
        Ok(parse_record(&bytes[..length]))
    }

    /// Writes a record under its name of doubt, where there is none, or one that nobody needs. The caller holds the lock of
    /// `seq`, and whatever record there is under the plain name.
    pub(in crate::queue) fn write_doubt(&self, shard: Dir, plain: &str, record: Record) -> Result<Held> {
        let disk = &self.disk;
        let name = format!("{plain}{DOUBT}");
        let file = loop {
            match disk.create(&shard, &name, self.file_birth()) {
                Err(error) if error.exists() => self.unlink_gone(&shard, &name)?,
                created => break created?,
            }
        };
        // Somebody who settles may have opened it already, to find that it is not his.
        if !disk.lock(&file, PATIENCE)? {
            return Err(Error::Busy { path: file.path().to_path_buf(), by: None });
        }
        let written = disk.write_all(&file, &record.line(), 0);
        if let Err(error) = written {
            let _ = disk.unlink(&shard, &name);
            return Err(error.into());
        }
        Ok(Held { shard, file, plain: plain.to_string(), doubt: true, record: Some(record) })
    }

    /// From doubt to certainty.
    pub(in crate::queue) fn confirm(&self, held: &mut Held) -> Result<()> {
        if held.doubt {
            self.disk.rename(&held.shard, held.name(), &held.shard, &held.plain)?;
            held.doubt = false;
        }
        Ok(())
    }

    /// Frees the key.
    pub(in crate::queue) fn free_record(&self, held: &Held) -> Result<()> {
        self.unlink_gone(&held.shard, &held.name())
    }

    /// Unlinks what may be gone already.
    pub(in crate::queue) fn unlink_gone(&self, dir: &Dir, name: &str) -> Result<()> {
        match self.disk.unlink(dir, name) {
            Err(error) if !error.missing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes a record durable, before its message is said to be sent: a power cut could forget who has the key, and then
    /// recovery would take a second message for the first.
    pub(in crate::queue) fn flush_record(&self, held: &Held) -> Result<()> {
        use super::super::Sync;
        if self.settings.sync() == Sync::None {
            return Ok(());
        }
        self.disk.sync_file(&held.file)?;
        if !self.store.syncs_names() {
            self.disk.sync_dir(&held.shard)?;
            // The shard may be new, and `unique/` as well.
            if let Some(top) = self.maybe_dir(Path::new(UNIQUE))? {
                self.disk.sync_dir(&top)?;
            }
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_name_and_every_name_fits() {
        let long = "é".repeat(64);
        let spaces = " ".repeat(128);
        let keys = ["a", "A", "a/b", "a%2Fb", ".", "..", "~", "k-a", &long, &spaces];
        let names: std::collections::BTreeSet<String> = keys.iter().map(|key| key_name(key)).collect();
        assert_eq!(names.len(), keys.len());
        for name in names {
            assert!(name.len() < 250 && !name.contains(['/', '~']), "{name}");
            assert_eq!(record_name(&name), Some(name.as_str()));
            assert_eq!(record_name(&format!("{name}{DOUBT}")), Some(name.as_str()));
        }
    }

    #[test]
    fn a_name_is_as_the_format_says() {
        assert_eq!(key_name("Az09._-/%~é"), "k-Az09._-%2F%25%7E%C3%A9");
        let (at, over) = ("a".repeat(75) + &" ".repeat(41), "a".repeat(76) + &" ".repeat(41));
        assert_eq!((key_name(&at).len(), key_name(&at).starts_with("k-")), (200, true));
        assert!(key_name(&over).starts_with("b-"));
        // Not mq's.
        for name in ["", "x", "README", "x-a", "k-a~b", "k-a~b~"] {
            assert_eq!(record_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_derived_uid_is_the_hash_of_its_source_and_index() {
        let source = Uid::new([3; 16]);
        assert_eq!(source.derived(0), source.derived(0));
        let all: std::collections::BTreeSet<Uid> = (0..1000).map(|index| source.derived(index)).collect();
        assert_eq!(all.len(), 1000);
    }
}
