//! The name of a claimed message: until when the claim holds, and the secret of whoever may end it.

use super::{CLAIMED, LONGEST, Name, base32, is_base32};
use crate::queue::digits::{digits, push};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Until when a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// As long as somebody holds the lock on the message.
    Live,
    /// The same, for the first message of a pack alone: the others wait behind it, and are in nobody's hands.
    Front(Hand),
    /// For so long after the file was last touched.
    Timed(Duration),
    /// No more: the message of this group's ticket was acknowledged, and the ticket waits to be sent on.
    Acked,
    /// The same, dead-lettered.
    Buried,
    /// The same, removed.
    Removed,
}

impl Lease {
    /// The longest that its twelve digits of milliseconds can say: 31 years.
    pub const LONGEST: Duration = Duration::from_millis(999_999_999_999);
}

/// In which directory of `claimed/` a pack in hand stands: in its worker's own, or in `claimed/` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand(u64);

impl Hand {
    /// `claimed/` itself.
    pub const NONE: Hand = Hand(0);
    /// As many as twelve digits can tell apart.
    const MOST: u64 = 999_999_999_999;

    pub(in crate::queue) fn new(random: [u8; 8]) -> Hand {
        Hand(u64::from_le_bytes(random) % Hand::MOST + 1)
    }

    /// The name of a worker's own directory.
    pub(in crate::queue) fn parse(text: &str) -> Option<Hand> {
        digits(text, 12).filter(|&number| number > 0).map(Hand)
    }
}

impl fmt::Display for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

/// The secret of one claim: who knows it may settle the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(in crate::queue) fn new(random: [u8; 16]) -> Token {
        Token(base32(random))
    }
}

/// The name of a claimed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedName {
    pub name: Name,
    pub lease: Lease,
    pub token: Token,
}

impl fmt::Display for ClaimedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl ClaimedName {
    /// The directory, below the queue's, in which it stands.
    pub(in crate::queue) fn home(&self) -> PathBuf {
        let mut home = PathBuf::from(CLAIMED);
        if self.hand() != Hand::NONE {
            home.push(self.hand().to_string());
        }
        home
    }

    /// Whose own directory that is.
    pub fn hand(&self) -> Hand {
        match self.lease {
            Lease::Front(hand) => hand,
            _ => Hand::NONE,
        }
    }

    pub fn text(&self) -> String {
        let (kind, number) = match self.lease {
            Lease::Live => ("-l", 0),
            Lease::Front(Hand(number)) => ("-f", number.into()),
            Lease::Timed(length) => ("-t", length.min(Lease::LONGEST).as_millis()),
            Lease::Acked => ("-a", 0),
            Lease::Buried => ("-b", 0),
            Lease::Removed => ("-r", 0),
        };
        let mut text = String::with_capacity(LONGEST);
        self.name.write(&mut text);
        text.push_str(kind);
        push(&mut text, u64::try_from(number).unwrap_or(u64::MAX), 12);
        text.push('-');
        text.push_str(&self.token.0);
        text
    }

    pub fn parse(text: &str) -> Option<ClaimedName> {
        let (name, rest) = Name::parse_start(text)?;
        let (lease, token) = rest.strip_prefix('-')?.split_once('-')?;
        let number = digits(lease.get(1..)?, 12)?;
        let lease = match (lease.as_bytes()[0], number) {
            (b'l', 0) => Lease::Live,
            (b'f', hand) if name.pack.is_some() => Lease::Front(Hand(hand)),
            (b'a', 0) => Lease::Acked,
            (b'b', 0) => Lease::Buried,
            (b'r', 0) => Lease::Removed,
            (b't', millis) => Lease::Timed(Duration::from_millis(millis)),
            _ => return None,
        };
        is_base32(token).then(|| ClaimedName { name, lease, token: Token(token.to_string()) })
    }
}
