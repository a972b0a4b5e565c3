//! From what a person types to a queue: a name under the root, or a path.

use super::exit::Exit;
use super::failure::{Failure, say};
use super::{Globals, Talk};
use crate::fs::{Disk, Kind, Posix};
use crate::queue::{Error, Queue, Settings};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A queue as it was named, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// As it is said to people and in JSON: the name, or the path.
    pub label: String,
    pub path: PathBuf,
    pub named: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By a name under the root.
    Name,
    /// By a path: only `mq create` makes it.
    Path,
}

/// The queue that is meant where none is said.
pub const DEFAULT: &str = "default";

/// The real file system.
pub fn disk() -> Disk {
    Disk::new(Posix::default())
}

impl Globals {
    /// The directory that holds the queues known by name: `--root`, else `$MQ_ROOT`, else the user's data directory.
    pub fn root(&self) -> Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let found = self
            .root
            .clone()
            .or_else(|| set("MQ_ROOT"))
            .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("mq")))
            .or_else(|| set("HOME").map(|home| home.join(".local/share/mq")));
        let root = found.ok_or_else(|| {
            Failure::usage("there is no root directory for queues: neither --root nor MQ_ROOT nor HOME is set")
                .hint("set MQ_ROOT, or name the queue by a path, like ./jobs")
        })?;
        Ok(std::path::absolute(root)?)
    }

    /// Where the queue of this name or path is, whether or not it exists.
    pub fn spot(&self, text: &str) -> Result<Spot> {
        if text.contains('/') {
            return Ok(Spot { label: text.to_string(), path: std::path::absolute(text)?, named: Named::Path });
        }
        check_name(text)?;
        Ok(Spot { label: text.to_string(), path: self.root()?.join(text), named: Named::Name })
    }

    /// Opens a queue that is there.
    ///
    /// # Errors
    /// No such queue: exit 3, with what may have been meant.
    pub fn open(&self, text: &str) -> Result<(Queue, Spot)> {
        let spot = self.spot(text)?;
        match Queue::open(&disk(), &spot.path) {
            Err(Error::NoQueue { .. }) => Err(self.no_queue(&spot).into()),
            opened => Ok((opened?, spot)),
        }
    }

    /// Opens a queue, and makes it where a name has none yet: for those who send and work.
    pub fn open_or_create(&self, text: &str) -> Result<(Queue, Spot)> {
        let spot = self.spot(text)?;
        let disk = disk();
        match Queue::open(&disk, &spot.path) {
            Err(Error::NoQueue { .. }) if spot.named == Named::Path => Err(self.no_queue(&spot).into()),
            Err(Error::NoQueue { .. }) => {
                let queue = self.create(&disk, &spot, &Settings::default())?;
                let near = self.near(&spot).map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
                self.talk(&format!("created queue '{}' in {}{near}", spot.label, spot.path.display()));
                Ok((queue, spot))
            }
            opened => Ok((opened?, spot)),
        }
    }

    /// Makes a queue, with the root above it, and warns where the file system can't keep mq's promises.
    pub fn create(&self, disk: &Disk, spot: &Spot, settings: &Settings) -> Result<Queue> {
        if spot.named == Named::Name {
            make_root(disk, &self.root()?)?;
        }
        let (queue, made) = Queue::create(disk, &spot.path, settings)?;
        if made == crate::queue::Created::Fresh {
            for warning in queue.warnings() {
                say(&format!("warning: {} {warning}", spot.path.display()));
            }
        }
        Ok(queue)
    }

    /// Every queue under the root, by name. A root that is not there has none.
    pub fn all(&self) -> Result<Vec<String>> {
        let root = self.root()?;
        // An unreadable root is an error, and no empty one.
        match disk().open_queue(&root) {
            Err(error) if error.missing() => return Ok(Vec::new()),
            opened => opened.map_err(Error::Disk)?,
        };
        let mut names = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(2).max_depth(2).follow_links(true).sort_by_file_name() {
            // A directory that may not be entered is no queue of ours.
            let Ok(entry) = entry else { continue };
            let name = entry.path().parent().and_then(Path::file_name).and_then(|name| name.to_str());
            if entry.file_name() == "queue.json"
                && let Some(name) = name.filter(|name| check_name(name).is_ok())
            {
                names.push(name.to_string());
            }
        }
        Ok(names)
    }

    fn no_queue(&self, spot: &Spot) -> Failure {
        let failure = Failure::new(Exit::NotFound, format!("no queue '{}' at {}", spot.label, spot.path.display()));
        if spot.named == Named::Path {
            return failure.hint(format!("mq create {} makes it", spot.label));
        }
        match self.near(spot) {
            Some(near) => failure.hint(format!("did you mean '{near}'?")),
            None => failure.hint(format!("mq send or mq create makes it; a path needs a slash: ./{}", spot.label)),
        }
    }

    /// A queue whose name is one edit away.
    fn near(&self, spot: &Spot) -> Option<String> {
        if spot.named == Named::Path {
            return None;
        }
        self.all().ok()?.into_iter().find(|name| *name != spot.label && one_edit(name, &spot.label))
    }

    /// Talk on stderr, unless `-q`.
    pub fn talk(&self, text: &str) {
        if self.talk_level() == Talk::Normal {
            say(text);
        }
    }
}

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, and not what could be an id.
fn check_name(name: &str) -> Result<(), Failure> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && name.len() <= 64;
    if !good {
        return Err(Failure::usage(format!("'{name}' is no name for a queue"))
            .hint("1 to 64 letters, digits, '.', '_' and '-', a letter or digit first; a path needs a slash: ./jobs"));
    }
    if crate::queue::name::Id::parse(name).is_some() {
        return Err(Failure::usage(format!("'{name}' is an id, not the name of a queue")).hint("the queue comes first"));
    }
    Ok(())
}

/// The user's own directory, private, with what is missing above it.
fn make_root(disk: &Disk, root: &Path) -> Result<()> {
    let mut missing: Vec<OsString> = Vec::new();
    let mut above = root.to_path_buf();
    loop {
        match disk.stat_path(&above) {
            Ok(stat) if stat.kind == Kind::Dir => break,
            Ok(_) => return Err(Failure::new(Exit::Io, format!("{}: not a directory", above.display())).into()),
            Err(error) if error.missing() => {
                let Some(name) = above.file_name() else { return Err(Error::Disk(error).into()) };
                missing.push(name.to_os_string());
                above.pop();
            }
            Err(error) => return Err(Error::Disk(error).into()),
        }
    }
    for name in missing.into_iter().rev() {
        let parent = disk.open_queue(&above).map_err(Error::Disk)?;
        above.push(name);
        match disk.make_queue(&above, crate::fs::Birth { mode: 0o700, owner: None }) {
            Err(error) if !error.exists() => return Err(Error::Disk(error).into()),
            _ => disk.sync_dir(&parent).map_err(Error::Disk)?,
        }
    }
    Ok(())
}

/// Whether one letter added, left out, or changed, or two neighbours swapped, makes one text of the other.
fn one_edit(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    let Some(at) = short.iter().zip(long.iter()).position(|(x, y)| x != y) else {
        return long.len() - short.len() <= 1;
    };
    match long.len() - short.len() {
        1 => short[at..] == long[at + 1..],
        0 => {
            short[at + 1..] == long[at + 1..]
                || (short.len() > at + 1
                    && short[at] == long[at + 1]
                    && short[at + 1] == long[at]
                    && short[at + 2..] == long[at + 2..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_grammar() {
        let long = "a".repeat(64);
        for good in ["jobs", "a", "0.b_c-d", long.as_str(), "12345"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(65);
        for bad in ["", ".", "..", "-x", ".x", "a b", "ü", "a\n", longer.as_str(), "1764000000000000"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_edit_is_one() {
        for (a, b) in [("jobs", "job"), ("jobs", "jbos"), ("jobs", "jabs"), ("jobs", "xjobs"), ("a", "")] {
            assert!(one_edit(a, b) && one_edit(b, a), "{a} {b}");
        }
        for (a, b) in [("jobs", "jo"), ("jobs", "bosj"), ("jobs", "xobx")] {
            assert!(!one_edit(a, b) && !one_edit(b, a), "{a} {b}");
        }
    }
}
