//! The names that every queue has, and where below them a message stands.

use super::{Name, Priority, State};
use crate::time::Time;
use std::path::PathBuf;

pub const QUEUE_JSON: &str = "queue.json";
pub const SEQ: &str = "seq";
pub const WAKE: &str = "wake";
pub const PAUSED: &str = "paused";
/// Through its lock all claimers pass, in a queue that says how fast or how many at once.
pub const PACE: &str = "pace";
pub const TMP: &str = "tmp";
/// Requests to cancel what is claimed; there only while there are any.
pub const CANCEL: &str = "cancel";
pub const READY: &str = "ready";
pub const DELAYED: &str = "delayed";
pub const CLAIMED: &str = "claimed";
pub const DEAD: &str = "dead";
pub const DONE: &str = "done";
pub const DAMAGED: &str = "damaged";
/// The messages of groups, a directory each; made when the first one is sent.
pub const GROUPS: &str = "groups";
/// In the directory of a group without messages: the ticket that its next message takes.
pub const PARKED: &str = "ticket";
/// Who has which unique key, a file each; made when the first one is sent.
pub const UNIQUE: &str = "unique";
/// What was completed or published once, for as long as `done_for` says; made when the first one is remembered.
pub const MEMORY: &str = "memory";
/// Ends the name of a record in `unique/` while its message is being published, replaced or settled.
pub const DOUBT: &str = "~";
/// The file in a batch's directory that says: all of it is written.
pub const COMMIT: &str = "commit";
/// Files that go when the disk is full; made when the first pack is sent.
pub const RESERVE: &str = "reserve";
/// In the directory of somebody who opens a pack this begins the name of the pack itself, from the moment when what came out
/// of it counts; its own name follows.
pub const SPENT: &str = "spent-";
/// The same where some of it is left: the name follows that it gets then.
pub const LEFT: &str = "left-";
/// Ends the name of the file in `damaged/` that says why.
pub const WHY: &str = ".why";
/// Every directory of a queue.
pub const DIRS: [&str; 7] = [TMP, READY, DELAYED, CLAIMED, DEAD, DONE, DAMAGED];

/// How much time shares a bucket of `delayed/`.
const DELAY_BUCKET: u64 = 60_000_000;

/// `ready/P`.
pub(in crate::queue) fn ready_priority(priority: Priority) -> PathBuf {
    [READY, &priority.0.to_string()].iter().collect()
}

/// The directory, below the queue's, in which a message of this state stands.
pub(in crate::queue) fn home(state: State, name: &Name, due: Option<Time>) -> PathBuf {
    let mut path = PathBuf::from(state.word());
    match state {
        State::Ready => {
            path.push(name.priority.0.to_string());
            // A pack stands where its bucket would.
            if name.pack.is_none() {
                path.push(name.bucket.to_string());
            }
        }
        State::Delayed => path.push(due_bucket(due.unwrap_or_default())),
        State::Dead | State::Done => path.push(name.bucket.to_string()),
        State::Claimed | State::Damaged => (),
    }
    path
}

/// The bucket of `delayed/` for a due time: the start of its minute.
pub(in crate::queue) fn due_bucket(due: Time) -> String {
    format!("{:016}", due.micros() / DELAY_BUCKET * DELAY_BUCKET)
}
