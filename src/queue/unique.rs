//! Unique messages: while one of a key stands, no second one is published. Who has a key says its record, one file in
//! `unique/`, whose name has two forms: plain, and with a `~` while its message is being published, replaced or settled.
//!
//! Killed in between, the record is in doubt, and whoever needs the key next finds out: the message's draft still in `tmp/`
//! means that it is not published yet (then recovery publishes it), else its place says whether it stands. Queues without
//! unique messages have no such directory, and nothing here is asked for messages without a key.

mod free;
mod publish;
mod record;
mod replace;
mod resolve;

#[cfg(any(test, fuzzing))]
pub(super) use record::parse_record;

pub(super) use publish::Fresh;
pub use publish::{OnDuplicate, Published};
pub(super) use record::{Key, key_name, record_name};
