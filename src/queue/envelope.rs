//! What a sender says about a message besides its body, and what may be said.

use super::header::Uid;
use super::name::Priority;
use crate::time::{Time, format_duration, parse_duration};
use std::time::Duration;

/// A message has no more headers than this: each is looked at against all others.
pub const HEADERS_MAX: usize = 1000;

/// What a sender says about a message besides its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    pub priority: Option<Priority>,
    /// Not before then; the past means now.
    pub due: Option<Time>,
    pub content_type: Option<String>,
    /// In the order they were given; names are unique when folded to variables.
    pub headers: Vec<(String, String)>,
    /// Its ordering key: messages of one are delivered in order and one at a time. Checked by [`check_key`].
    pub group: Option<String>,
    /// While a message of this key is in the queue, there is no second one.
    pub unique: Option<Unique>,
    /// Not delivered after then.
    pub expires: Option<Time>,
    /// Where `expires` says nothing: not delivered after so long, from the send or from when it is due.
    pub ttl: Option<Duration>,
    /// The message it was made from: its own uid follows from that one, and it is published once.
    pub derived_from: Option<Uid>,
}

/// A key that one message of a queue may have at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// Checked by [`check_key`].
    pub key: String,
    pub until: Until,
}

/// How long a unique key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the message is claimed for the first time: one that runs, and one more.
    Claimed,
    /// Until the message is acknowledged, dead-lettered or removed.
    Settled,
    /// For so long from the send on, whatever becomes of the message.
    For(Duration),
}

/// Keys are no longer than this, in bytes, as in the hosted queues: a hash of something longer is a good key.
pub const KEY_MAX: usize = 128;

/// Whether this can be a group or a unique key. The error says what is allowed.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_MAX || key.chars().any(char::is_control) {
        return Err(format!("{key:?} is not a key of 1 to {KEY_MAX} bytes without control characters"));
    }
    Ok(())
}

impl Until {
    /// `claimed`, `settled` or a duration.
    pub fn parse(text: &str) -> Result<Until, String> {
        match text {
            "claimed" => Ok(Until::Claimed),
            "settled" => Ok(Until::Settled),
            text => parse_duration(text)
                .map(Until::For)
                .map_err(|_| format!("'{text}' is not claimed, settled or a duration like 10m")),
        }
    }
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Until::Claimed => f.write_str("claimed"),
            Until::Settled => f.write_str("settled"),
            Until::For(length) => f.write_str(&format_duration(*length)),
        }
    }
}

impl Envelope {
    /// Adds a header. The error says what is allowed.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !is_header_name(name) {
            return Err(format!("header name {name:?} is not a letter followed by letters, digits, '_' and '-'"));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("the value of header {name} has a control character"));
        }
        if self.headers.len() == HEADERS_MAX {
            return Err(format!("more than {HEADERS_MAX} headers"));
        }
        if let Some((other, _)) = self.headers.iter().find(|(other, _)| variable(other) == variable(name)) {
            return Err(format!("headers {other} and {name} would both be {}", variable(name)));
        }
        self.headers.push((name.to_string(), value.to_string()));
        Ok(())
    }

    /// Sets the content type, which is held to the rule of a header's value.
    pub fn typed(&mut self, content_type: &str) -> Result<(), String> {
        if content_type.is_empty() || content_type.chars().any(char::is_control) {
            return Err("a content type is one line of text, like text/csv".to_string());
        }
        self.content_type = Some(content_type.to_string());
        Ok(())
    }
}

/// `[A-Za-z][A-Za-z0-9_-]*`.
pub(super) fn is_header_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The environment variable in which a job finds a header.
pub fn variable(header: &str) -> String {
    format!("MQ_H_{}", header.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_fold_to_one_variable_or_reach_outside_are_refused() {
        let mut envelope = Envelope::default();
        envelope.header("a-b", "1").unwrap();
        for (name, value) in
            [("A_B", "1"), ("", "1"), ("=", "1"), ("1a", "1"), ("BASH_FUNC_x%%", "1"), ("é", "1"), ("x", "a\nb")]
        {
            assert!(envelope.header(name, value).is_err(), "{name:?}");
        }
        assert_eq!(variable("Proxy"), "MQ_H_PROXY");
    }

    #[test]
    fn keys_types_and_names_of_headers_are_held_to_their_rules() {
        let longest = "k".repeat(KEY_MAX);
        for (key, good) in
            [("a", true), (longest.as_str(), true), (&format!("{longest}k"), false), ("", false), ("a\nb", false)]
        {
            assert_eq!(check_key(key).is_ok(), good, "{key:?}");
        }
        for (kind, good) in [("text/csv", true), ("", false), ("text\ncsv", false)] {
            assert_eq!(Envelope::default().typed(kind).is_ok(), good, "{kind:?}");
        }
        for (name, good) in
            [("a", true), ("A9_b-c", true), ("", false), ("9a", false), ("_a", false), ("a.b", false), ("a b", false)]
        {
            assert_eq!(is_header_name(name), good, "{name:?}");
        }
    }
}
