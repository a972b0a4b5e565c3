//! What a claimer is given to settle its message with later: `QUEUE:ID:TOKEN`, one shell word, to be kept and handed back
//! as it is. TOKEN is the rest of the claimed name, so that a receipt finds its message without a listing.

use super::name::{ClaimedName, Id};
use std::fmt;

/// A claim's receipt. It stays the same when the lease is extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The queue as the claimer named it: a name, or an absolute path.
    pub queue: String,
    pub(super) claimed: ClaimedName,
}

impl Receipt {
    pub(super) fn new(queue: String, claimed: ClaimedName) -> Receipt {
        Receipt { queue, claimed }
    }

    pub fn id(&self) -> Id {
        self.claimed.name.id
    }

    /// `None` for what no claim ever printed.
    pub fn parse(text: &str) -> Option<Receipt> {
        let mut parts = text.split(':');
        let queue = decode(parts.next()?)?;
        let (id, token) = (parts.next()?, parts.next()?);
        let claimed = ClaimedName::parse(&format!("{id}-{token}"))?;
        (parts.next().is_none() && !queue.is_empty()).then_some(Receipt { queue, claimed })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claimed = self.claimed.to_string();
        let (id, token) = claimed.split_at(16);
        write!(f, "{}:{id}:{}", encode(&self.queue), &token[1..])
    }
}

/// Percent-encoding (RFC 3986, section 2.1) of all that is not plain in a path.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            // What reads numbers would take a sign for a digit.
            if digits.starts_with('+') {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_one_word_and_is_read_back() {
        let name = "1764000000000001-1764000000000000-4-00001-t000000600000-abcdefghijklmnopqrstuvwxyz";
        for (queue, written) in
            [("jobs", "jobs"), ("/Q/a-1_b.c", "/Q/a-1_b.c"), ("/a b:%\n'ü", "/a%20b%3A%25%0A%27%C3%BC")]
        {
            let receipt = Receipt::new(queue.into(), ClaimedName::parse(name).unwrap());
            let text = receipt.to_string();
            assert_eq!(text.split_once(':').map(|(queue, _)| queue), Some(written));
            assert!(!text.contains(|c: char| c.is_whitespace() || "\"'$`\\*?".contains(c)), "{text}");
            assert_eq!(Receipt::parse(&text), Some(receipt));
        }
        let rest = &name[16..].replacen('-', ":", 1);
        for queue in ["", "%zz", "%+1", "%", "%f", "%ff", "a:b"] {
            assert_eq!(Receipt::parse(&format!("{queue}:1764000000000001{rest}")), None, "{queue}");
        }
        for text in ["", "jobs", "jobs:1:2", "jobs:1764000000000001:"] {
            assert_eq!(Receipt::parse(text), None, "{text}");
        }
    }
}
