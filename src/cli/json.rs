//! Messages as JSON, one object a line: the same names in files, output and manual.

use super::output::obeyed;
use super::queues::Spot;
use crate::queue::name::{Lease, State};
use crate::queue::{Claim, History, Message, Place, Queue, Record};
use crate::time::Time;
use anyhow::Result;
use serde_json::{Map, Value, json};

/// Every field that mq writes about a message, in order. `send --jsonl` takes the ones a sender decides and ignores the rest.
pub const FIELDS: [&str; 26] = [
    "id",
    "uid",
    "queue",
    "state",
    "priority",
    "attempts",
    "max_attempts",
    "sent_at",
    "due_at",
    "lease_until",
    "held_by",
    "size_bytes",
    "headers",
    "content_type",
    "group",
    "unique",
    "unique_until",
    "expires_at",
    "reason",
    "redrives",
    "body",
    "body_base64",
    "history",
    "receipt",
    "to",
    "new_id",
];

/// How much of a message to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Fields,
    /// With the body and the history.
    Full,
}

/// What a message is made of beside its name; absent for one that can't be read.
#[derive(Debug)]
pub struct Inside<'m> {
    pub message: &'m Message,
    pub history: &'m History,
}

/// A message where it stands. `None` for `inside` when it is damaged: then `reason` says why.
pub fn place(
    queue: &Queue,
    spot: &Spot,
    place: &Place,
    inside: Option<&Inside<'_>>,
    reason: Option<&str>,
    detail: Detail,
) -> Result<Map<String, Value>> {
    let mut map = start(spot, place.state, &place.name, inside.map(|inside| inside.message), queue);
    if let Some(due) = place.due {
        map.insert("due_at".into(), due.rfc3339().into());
    }
    if let Some(claimed) = &place.claimed {
        if let (Lease::Timed(_), Some(times)) = (claimed.lease, queue.times(place)?) {
            map.insert("lease_until".into(), times.lease_until.map(Time::rfc3339).into());
        }
        if let (Lease::Live | Lease::Front(_), Some(pid)) = (claimed.lease, queue.holder(place)?) {
            map.insert("held_by".into(), json!({ "pid": pid, "host": host() }));
        }
    }
    finish(&mut map, inside, reason, detail)?;
    Ok(map)
}

/// A message that was just claimed, with its receipt.
pub fn claim(queue: &Queue, spot: &Spot, claim: &Claim, receipt: &str) -> Result<Map<String, Value>> {
    let history = claim.message().history()?;
    let inside = Inside { message: claim.message(), history: &history };
    let mut map = start(spot, State::Claimed, claim.name(), Some(inside.message), queue);
    if let Lease::Timed(lease) = claim.lease() {
        map.insert("lease_until".into(), claim.started().plus(lease).rfc3339().into());
    }
    finish(&mut map, Some(&inside), None, Detail::Fields)?;
    map.insert("receipt".into(), receipt.into());
    Ok(map)
}

fn start(
    spot: &Spot,
    state: State,
    name: &crate::queue::name::Name,
    message: Option<&Message>,
    queue: &Queue,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("id".into(), name.id.to_string().into());
    if let Some(message) = message {
        map.insert("uid".into(), message.header.uid.as_str().into());
    }
    map.insert("queue".into(), spot.label.clone().into());
    map.insert("state".into(), state.word().into());
    map.insert("priority".into(), name.priority.level().into());
    map.insert("attempts".into(), name.attempts.count().into());
    map.insert("max_attempts".into(), queue.settings().max_attempts().into());
    if let Some(message) = message {
        map.insert("sent_at".into(), message.header.sent_at.clone().into());
    }
    map
}

fn finish(
    map: &mut Map<String, Value>,
    inside: Option<&Inside<'_>>,
    reason: Option<&str>,
    detail: Detail,
) -> Result<()> {
    let Some(Inside { message, history }) = inside else {
        map.insert("reason".into(), reason.into());
        return Ok(());
    };
    map.insert("size_bytes".into(), message.header.size_bytes.into());
    if !message.header.headers.is_empty() {
        map.insert("headers".into(), Value::Object(message.header.headers.clone()));
    }
    if let Some(content_type) = &message.header.content_type {
        map.insert("content_type".into(), content_type.clone().into());
    }
    let header = &message.header;
    if let Some(group) = &header.group {
        map.insert("group".into(), group.clone().into());
    }
    if let Some(unique) = header.unique() {
        map.insert("unique".into(), unique.key.into());
        map.insert("unique_until".into(), unique.until.to_string().into());
    }
    if let Some(expires) = header.expires() {
        map.insert("expires_at".into(), expires.rfc3339().into());
    }
    let reason = reason.map(str::to_string).or_else(|| history.last().map(crate::queue::Attempt::summary));
    if let Some(reason) = reason {
        map.insert("reason".into(), reason.into());
    }
    if history.redrives() > 0 {
        map.insert("redrives".into(), history.redrives().into());
    }
    if detail == Detail::Full {
        let body = whole(message)?;
        match String::from_utf8(body) {
            Ok(text) => map.insert("body".into(), text.into()),
            Err(error) => map.insert("body_base64".into(), data_encoding::BASE64.encode(error.as_bytes()).into()),
        };
        map.insert("history".into(), records(history)?);
    }
    Ok(())
}

/// A body in memory, checked. For those who asked for all of it.
pub fn whole(message: &Message) -> Result<Vec<u8>> {
    let mut reader = message.reader();
    let mut body = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(body),
            got => body.extend_from_slice(&buffer[..got]),
        }
    }
}

fn records(history: &History) -> Result<Value> {
    let records: std::result::Result<Vec<Value>, _> = history
        .records
        .iter()
        .map(|record| match record {
            Record::Attempt(attempt) => serde_json::to_value(attempt),
            Record::Redrive(redrive) => serde_json::to_value(redrive),
        })
        .collect();
    Ok(Value::Array(records?))
}

/// One line of JSON with everything escaped that a terminal would obey; its value is the same for every reader.
pub fn text(map: &Map<String, Value>) -> Result<String> {
    let line = serde_json::to_string(map)?;
    if !line.chars().any(obeyed) {
        return Ok(line);
    }
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        // Such a character stands in a string, where an escape says the same (RFC 8259, section 7).
        match obeyed(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}"))),
            false => safe.push(c),
        }
    }
    Ok(safe)
}

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
