//! What can go wrong in a queue, each with its path. Exit codes and hints are decided at the edge (`cli/exit.rs`).

use super::name::Id;
use crate::fs;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug)]
pub enum Error {
    /// A step failed.
    Disk(fs::Error),
    /// There is no queue at this path.
    NoQueue { path: PathBuf },
    /// `queue.json` is not one, or says what this mq does not know.
    BadQueue { path: PathBuf, why: String },
    /// The queue's directory was renamed or removed while it was open.
    Moved { path: PathBuf },
    /// The queue exists with other settings: `key: there / asked`.
    Differs { path: PathBuf, differences: Vec<String> },
    /// The lease is gone: somebody else has settled the message, or taken it back.
    Lost { id: Id },
    /// No such message in the queue.
    NoMessage { id: String },
    /// Somebody holds the message.
    Held { id: Id, by: Option<u32> },
    /// The lock on `seq` did not come.
    Busy { path: PathBuf, by: Option<u32> },
    /// The message moved while it was being looked at.
    Raced { id: Id },
    /// Not acceptable as a message.
    Refused { why: String },
    /// A message failed its check. It was set aside in `damaged/`, unless the reason says otherwise.
    Damaged { path: PathBuf, why: String },
    /// A message or batch of a format that this mq does not know: left alone.
    Unknown { path: PathBuf, why: String },
    /// A limit of the queue refuses it: the setting, and why.
    Limit { path: PathBuf, key: &'static str, why: String },
    /// A message of this unique key is there already.
    Duplicate { key: String, id: Id },
    /// The target is on another file system, where one rename cannot reach.
    Elsewhere { path: PathBuf },
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<fs::Error> for Error {
    fn from(error: fs::Error) -> Error {
        Error::Disk(error)
    }
}

impl Error {
    pub(super) fn missing(&self) -> bool {
        matches!(self, Error::Disk(error) if error.missing())
    }
    /// No space, inodes or quota.
    pub fn no_room(&self) -> bool {
        matches!(self, Error::Disk(error) if error.no_room())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = |f: &mut fmt::Formatter<'_>, by: &Option<u32>| match by {
            Some(pid) => write!(f, " by process {pid}"),
            None => Ok(()),
        };
        match self {
            Error::Disk(error) => error.fmt(f),
            Error::NoQueue { path } => write!(f, "no queue at {}", path.display()),
            Error::BadQueue { path, why } => write!(f, "{}: {why}", path.display()),
            Error::Moved { path } => write!(f, "{}: the queue was moved or removed while in use", path.display()),
            Error::Differs { path, differences } => {
                write!(f, "{}: the queue exists, with {}", path.display(), differences.join(", "))
            }
            Error::Lost { id } => write!(f, "{id}: the lease is lost: settled already, or taken back"),
            Error::NoMessage { id } => write!(f, "{id}: no such message"),
            Error::Held { id, by } => {
                write!(f, "{id}: the message is held")?;
                holder(f, by)
            }
            Error::Busy { path, by } => {
                write!(f, "{}: locked", path.display())?;
                holder(f, by)?;
                f.write_str(", and the lock did not come")
            }
            Error::Raced { id } => write!(f, "{id}: the message moved meanwhile"),
            Error::Refused { why } => f.write_str(why),
            Error::Damaged { path, why } => write!(f, "{}: damaged: {why}", path.display()),
            Error::Unknown { path, why } => write!(f, "{}: {why}", path.display()),
            Error::Limit { path, why, .. } => write!(f, "{}: {why}", path.display()),
            Error::Duplicate { key, id } => write!(f, "{id}: a message of the unique key {key:?} is there already"),
            Error::Elsewhere { path } => write!(f, "{}: is on another file system", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Disk(error) => Some(error),
            _ => None,
        }
    }
}
