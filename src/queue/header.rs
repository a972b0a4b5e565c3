//! The first line of a message: one line of JSON, then the body begins.
//!
//! While a message is being written its header is a placeholder of the same length, so that what a crash leaves is told
//! from a whole message by its first byte; the true header is put last. The checksum (CRC-32 as in zlib) covers the header with
//! the checksum's own digits as zeros, and the body. After publishing, neither ever changes.

use super::checksum::Sum;
use super::digits::push;
use super::envelope::{Envelope, Unique, Until};
use super::name::{Priority, base32};
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// The message format this mq writes, and the only one it reads.
pub const FORMAT: u32 = 1;
/// A header line is no longer than this: a header goes into the environment of every job.
pub const HEADER_MAX: usize = 64 << 10;
/// What a header is made of while its message is being written.
pub(super) const PLACEHOLDER: u8 = b' ';

/// Where the eight digits of the checksum stand in the line: after `{"mq":1,"crc32":"`.
const CRC_AT: usize = 17;
/// Where the uid stands, of which all have as many characters.
const UID_AT: usize = CRC_AT + "00000000\",\"size_bytes\":,\"uid\":\"".len() + SIZE_WIDTH;
/// The width of the length's field: padded with spaces, so that a stream's length can be put in when it is known.
const SIZE_WIDTH: usize = 20;

/// 128 random bits that are the message's own for ever: the key for idempotency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(String);

impl Uid {
    pub(super) fn new(random: [u8; 16]) -> Uid {
        Uid(base32(random))
    }

    /// The uid of what comes out of a message, `index` telling apart several: the 128-bit FNV-1a hash (as
    /// [`super::name::GroupMark`]) of both, so that whoever makes it again makes the same.
    #[must_use]
    pub fn derived(&self, index: u64) -> Uid {
        let step =
            |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        let text = format!("{}/{index}", self.0);
        Uid::new(text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step).to_be_bytes())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A header as read from a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    mq: u32,
    crc32: String,
    pub size_bytes: u64,
    pub uid: Uid,
    pub sent_at: String,
    priority: u8,
    /// Microseconds, as in the name; a sender's delay is not rounded.
    #[serde(default)]
    due_us: Option<u64>,
    #[serde(default)]
    expires_us: Option<u64>,
    /// The ordering key.
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    unique: Option<String>,
    #[serde(default)]
    unique_until: Option<String>,
    /// The uid of the message it was made from.
    #[serde(default)]
    pub derived_from: Option<Uid>,
    /// It is a pack, and has so many.
    #[serde(default)]
    pub(super) messages: Option<u32>,
    /// What the index of its first message is, by which that one's uid follows from the pack's: a pack that was a part of
    /// another goes on counting.
    #[serde(default)]
    pub(super) first: u32,
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub headers: serde_json::Map<String, serde_json::Value>,
}

impl Header {
    pub fn priority(&self) -> Priority {
        Priority::new(self.priority).unwrap_or(Priority::DEFAULT)
    }
    pub fn due(&self) -> Option<Time> {
        self.due_us.map(Time::from_micros)
    }
    /// Not delivered after then.
    pub fn expires(&self) -> Option<Time> {
        self.expires_us.map(Time::from_micros)
    }
    pub fn unique(&self) -> Option<Unique> {
        let until = self.unique_until.as_deref().and_then(|text| Until::parse(text).ok());
        self.unique.clone().map(|key| Unique { key, until: until.unwrap_or(Until::Settled) })
    }
    /// What its sender said, to send it again: all but when it is due and when it expires.
    pub fn envelope(&self) -> Envelope {
        Envelope {
            priority: Some(self.priority()),
            due: None,
            content_type: self.content_type.clone(),
            headers: self.values().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            group: self.group.clone(),
            unique: None,
            expires: None,
            ttl: None,
            derived_from: None,
        }
    }
    /// Header values as text, in order.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}

#[derive(Serialize)]
struct Tail<'a> {
    uid: &'a Uid,
    sent_at: String,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    derived_from: Option<&'a Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    headers: Pairs<'a>,
}

/// Headers as a JSON object, in their order.
struct Pairs<'a>(&'a [(String, String)]);

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A header line whose length and checksum are still to come; its own length is fixed from the start.
#[derive(Clone, Debug)]
pub(super) struct Line(Vec<u8>);

impl Line {
    pub fn new(envelope: &Envelope, uid: &Uid, now: Time) -> Result<Line, String> {
        Line::with(envelope, uid, now.rfc3339(), None)
    }

    /// The line of a pack with so many messages, and the index of the first of them; or of one of a pack, which was sent when
    /// the pack was.
    pub fn with(envelope: &Envelope, uid: &Uid, sent_at: String, pack: Option<(u32, u32)>) -> Result<Line, String> {
        let tail = Tail {
            uid,
            sent_at,
            priority: envelope.priority.unwrap_or(Priority::DEFAULT).level(),
            due_us: envelope.due.map(Time::micros),
            expires_us: envelope.expires.map(Time::micros),
            group: envelope.group.as_deref(),
            unique: envelope.unique.as_ref().map(|unique| unique.key.as_str()),
            unique_until: envelope.unique.as_ref().map(|unique| unique.until.to_string()),
            derived_from: envelope.derived_from.as_ref(),
            messages: pack.map(|(count, _)| count),
            first: pack.map(|(_, first)| first).filter(|&first| first > 0),
            content_type: envelope.content_type.as_deref(),
            headers: Pairs(&envelope.headers),
        };
        let tail = serde_json::to_string(&tail).map_err(|error| error.to_string())?;
        let mut line = format!("{{\"mq\":{FORMAT},\"crc32\":\"00000000\",\"size_bytes\":{:SIZE_WIDTH$},", "");
        line.push_str(&tail[1..]);
        line.push('\n');
        if line.len() > HEADER_MAX {
            return Err(format!("headers of {} bytes are more than the {HEADER_MAX} allowed", line.len()));
        }
        Ok(Line(line.into_bytes()))
    }

    /// Another message's line, which differs from this one in its uid alone.
    pub fn of(&self, uid: &Uid) -> Line {
        let mut line = self.clone();
        line.0[UID_AT..UID_AT + uid.0.len()].copy_from_slice(uid.0.as_bytes());
        line
    }

    /// What stands in the file until [`Line::seal`].
    pub fn placeholder(&self) -> Vec<u8> {
        let mut blank = vec![PLACEHOLDER; self.0.len()];
        if let Some(last) = blank.last_mut() {
            *last = b'\n';
        }
        blank
    }

    /// The true header, for a body of this length and checksum.
    pub fn seal(mut self, size: u64, body: &Sum) -> Vec<u8> {
        let at = CRC_AT + "00000000\",\"size_bytes\":".len();
        let mut digits = String::with_capacity(SIZE_WIDTH);
        push(&mut digits, size, 1);
        self.0[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        let mut sum = Sum::new();
        sum.update(&self.0);
        sum.combine(body);
        self.0[CRC_AT..CRC_AT + 8].copy_from_slice(&sum.digits());
        self.0
    }
}

/// What the start of a file turned out to be.
#[derive(Debug)]
pub(super) enum Start {
    /// A header, and how long its line is, newline included. The checksum is not looked at yet.
    Header(Box<Header>, usize),
    /// Still being written when its writer ended: never sent.
    Placeholder,
    /// No message: why.
    Bad(String),
    /// A message of another format: leave it.
    Unknown(String),
}

/// Reads a header from the first bytes of a file, which must be the whole line or [`HEADER_MAX`] bytes.
pub(super) fn read(start: &[u8]) -> Start {
    // Of no bytes at all too.
    if start.iter().all(|&byte| byte == PLACEHOLDER) {
        return Start::Placeholder;
    }
    let Some(end) = memchr::memchr(b'\n', start) else {
        return Start::Bad("its header has no end".into());
    };
    let line = &start[..end];
    // A header that was put in by a write which came short ends as its placeholder does: it was not finished either.
    if line.ends_with(&[PLACEHOLDER]) {
        return Start::Placeholder;
    }
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.mq == FORMAT => {
            let fixed = line.starts_with(b"{\"mq\":1,\"crc32\":\"") && line.get(CRC_AT + 8) == Some(&b'"');
            let packed = header.messages.is_none_or(|count| (1..=super::name::PACK_COUNT_MAX).contains(&count));
            let uid = super::name::is_base32(header.uid.as_str());
            if !fixed || !packed || header.priority > 9 || !uid || !super::sayable::sayable(&header) {
                return Start::Bad("its header is not as mq writes it".into());
            }
            Start::Header(Box::new(header), end + 1)
        }
        Ok(header) => Start::Unknown(format!("message format {} is not known to this mq", header.mq)),
        Err(error) => {
            match serde_json::from_slice::<serde_json::Value>(line).ok().as_ref().and_then(|v| v["mq"].as_u64()) {
                Some(found) if found != u64::from(FORMAT) => {
                    Start::Unknown(format!("message format {found} is not known to this mq"))
                }
                _ => Start::Bad(format!("its header cannot be read: {error}")),
            }
        }
    }
}

/// Where the digits of the checksum stand.
#[cfg(any(test, fuzzing))]
pub(super) const CRC_DIGITS: std::ops::Range<usize> = CRC_AT..CRC_AT + 8;

/// The digits that make a message of a header line and a body.
#[cfg(any(test, fuzzing))]
pub(super) fn sealed_as(line: &[u8], body: &[u8]) -> String {
    let mut sum = checksum(line);
    sum.update(body);
    format!("{:08x}", sum.finalize())
}

/// Begins the checksum of a message with its header line.
pub(super) fn checksum(line: &[u8]) -> Sum {
    let mut sum = Sum::new();
    sum.update(&line[..CRC_AT]);
    sum.update(b"00000000");
    sum.update(&line[CRC_AT + 8..]);
    sum
}

impl Header {
    /// The header of another message, whose line differs from this one's in what is sealed, and in the uid.
    pub(super) fn of(&self, line: &[u8], uid: Uid, size: u64) -> Header {
        let crc32 = String::from_utf8_lossy(&line[CRC_AT..CRC_AT + 8]).into_owned();
        Header { crc32, uid, size_bytes: size, ..self.clone() }
    }

    /// Whether this is the checksum the header claims.
    pub(super) fn agrees(&self, sum: Sum) -> bool {
        self.crc32.as_bytes() == sum.digits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &[u8]) -> Vec<u8> {
        let mut envelope = Envelope { due: Some(Time::from_micros(7)), ..Envelope::default() };
        envelope.header("Trace-Id", "ü \"quoted\"").unwrap();
        let line = Line::new(&envelope, &Uid::new([1; 16]), Time::from_micros(0)).unwrap();
        let mut sum = Sum::new();
        sum.update(body);
        let mut bytes = line.seal(body.len() as u64, &sum);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_sealed_header_is_read_back_and_agrees() {
        let bytes = sealed(b"body");
        let Start::Header(header, end) = read(&bytes) else { panic!("no header") };
        assert_eq!((header.size_bytes, &bytes[end..]), (4, &b"body"[..]));
        assert_eq!(header.values().collect::<Vec<_>>(), [("Trace-Id", "ü \"quoted\"")]);
        let mut sum = checksum(&bytes[..end]);
        sum.update(b"body");
        assert!(header.agrees(sum));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sealed(b"some body");
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                if let Start::Header(header, end) = read(&bytes) {
                    let mut sum = checksum(&bytes[..end]);
                    let body = &bytes[end..];
                    sum.update(body);
                    assert!(header.size_bytes != body.len() as u64 || !header.agrees(sum), "bit {bit} of byte {at}");
                }
            }
        }
    }
}
