//! The names of things on disk: the only place that knows them. Every part has a fixed width and comes from a short list of
//! characters, so that names sort as text and a transition or a listing needs no look into the file.
//!
//! ```text
//! ready, dead, done   ID-BUCKET-P-ATTEMPTS[-GROUP][-COUNT]
//! delayed             DUE-ID-BUCKET-P-ATTEMPTS[-GROUP][-COUNT]
//! claimed             ID-BUCKET-P-ATTEMPTS[-GROUP][-COUNT]-LEASE-TOKEN
//! groups/MARK         ID-BUCKET-P-00000-gMARK
//! ```
//! ID, BUCKET and DUE are 16 digits, microseconds since the epoch; P is one digit; ATTEMPTS five; GROUP is `g` and its mark, 16
//! hexadecimal digits, for a message of a group, and `t` and the mark for a group's ticket; COUNT is `n` and six digits for a
//! pack of so many messages, whose ids follow one another from ID; LEASE is `l` and twelve zeros for a live one, `t` and its
//! length in milliseconds for a timed one; TOKEN is 26 characters of base32.

mod claimed;
mod group;
mod places;

pub use claimed::{ClaimedName, Hand, Lease, Token};
pub use group::{GroupMark, Grouped};
pub use places::*;

use super::digits::{digits, push};
use crate::time::Time;
use std::fmt;
use std::ops::Range;

/// How many messages share a home bucket. Measured, not part of the format: it weighs the listing of one bucket against
/// the listing of all buckets' names.
pub const BUCKET_SIZE: u32 = 1024;
/// The most messages that one pack may say it has: its six digits.
pub const PACK_COUNT_MAX: u32 = 999_999;

pub const PRIORITIES: u8 = 10;

/// Where a message is, as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Ready,
    Delayed,
    Claimed,
    Dead,
    Done,
    Damaged,
}

impl State {
    pub const ALL: [State; 6] =
        [State::Ready, State::Delayed, State::Claimed, State::Dead, State::Done, State::Damaged];

    /// The word in commands, JSON and on disk.
    pub fn word(self) -> &'static str {
        match self {
            State::Ready => READY,
            State::Delayed => DELAYED,
            State::Claimed => CLAIMED,
            State::Dead => DEAD,
            State::Done => DONE,
            State::Damaged => DAMAGED,
        }
    }

    pub fn parse(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A message's place in one queue: microseconds since the epoch, unique in it, rising in the order of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) Time);

impl Id {
    /// Exactly 16 digits.
    pub fn parse(text: &str) -> Option<Id> {
        digits(text, 16).map(|micros| Id(Time::from_micros(micros)))
    }

    /// When the message was published.
    pub fn time(self) -> Time {
        self.0
    }

    /// So many ids further.
    pub(super) fn after(self, count: u32) -> Id {
        Id(Time::from_micros(self.0.micros().saturating_add(u64::from(count))))
    }

    /// How many ids this one is further than `first`; `None` if it is before.
    pub(super) fn since(self, first: Id) -> Option<u64> {
        self.0.micros().checked_sub(first.0.micros())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}", self.0.micros())
    }
}

/// The directory a message comes home to, named by the first id in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(pub(super) Id);

impl Bucket {
    pub fn parse(text: &str) -> Option<Bucket> {
        Id::parse(text).map(Bucket)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 0 to 9, 9 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    pub const DEFAULT: Priority = Priority(4);

    pub fn new(level: u8) -> Option<Priority> {
        (level < PRIORITIES).then_some(Priority(level))
    }

    pub fn level(self) -> u8 {
        self.0
    }

    /// Highest first.
    pub fn all() -> impl Iterator<Item = Priority> {
        (0..PRIORITIES).rev().map(Priority)
    }
}

/// How many times a message has been claimed since it was sent or redriven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Attempts(u32);

impl Attempts {
    pub const MAX: u32 = 99_999;

    pub fn new(count: u32) -> Attempts {
        Attempts(count.min(Attempts::MAX))
    }
    pub fn count(self) -> u32 {
        self.0
    }
    pub(super) fn next(self) -> Attempts {
        Attempts::new(self.0 + 1)
    }
    pub(super) fn previous(self) -> Attempts {
        Attempts(self.0.saturating_sub(1))
    }
}

/// 128 random bits as 26 characters of lower-case base32.
pub(super) fn base32(random: [u8; 16]) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(&random);
    text.make_ascii_lowercase();
    text
}

pub(super) fn is_base32(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

/// What every name of a message says, in every state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub id: Id,
    pub bucket: Bucket,
    pub priority: Priority,
    pub attempts: Attempts,
    pub group: Option<Grouped>,
    /// It is a pack of so many messages; the rest of the name is about the first of them. `bucket` is the id of the first one
    /// that was ever in the file, so that what stands before `id` has come out of it.
    pub pack: Option<u32>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The longest name: a claimed pack's, of a group.
const LONGEST: usize = 128;

impl Name {
    /// The name as it stands in `ready/`, `dead/` and `done/`.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(LONGEST);
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        push(text, self.id.0.micros(), 16);
        text.push('-');
        push(text, self.bucket.0.0.micros(), 16);
        text.push('-');
        push(text, self.priority.0.into(), 1);
        text.push('-');
        push(text, self.attempts.0.into(), 5);
        if let Some(group) = self.group {
            text.push_str(if matches!(group, Grouped::Message(_)) { "-g" } else { "-t" });
            text.push_str(&group.mark().to_string());
        }
        if let Some(count) = self.pack {
            text.push_str("-n");
            push(text, count.into(), 6);
        }
    }

    /// What [`Name::text`] wrote.
    pub fn parse(text: &str) -> Option<Name> {
        match Name::parse_start(text)? {
            (name, "") => Some(name),
            _ => None,
        }
    }

    /// The name as it stands in `delayed/`, and when it is due.
    pub fn parse_delayed(text: &str) -> Option<(Time, Name)> {
        let (due, rest) = text.split_at_checked(16)?;
        let due = digits(due, 16).map(Time::from_micros)?;
        Some((due, Name::parse(rest.strip_prefix('-')?)?))
    }

    pub(super) fn delayed(&self, due: Time) -> String {
        let mut text = String::with_capacity(LONGEST);
        push(&mut text, due.micros(), 16);
        text.push('-');
        self.write(&mut text);
        text
    }

    fn parse_start(text: &str) -> Option<(Name, &str)> {
        // Fixed width: ID-BUCKET-P-AAAAA.
        if [16, 33, 35].iter().any(|&at| text.as_bytes().get(at) != Some(&b'-')) {
            return None;
        }
        let id = Id::parse(text.get(..16)?)?;
        let bucket = Bucket::parse(text.get(17..33)?)?;
        let priority = Priority::new(u8::try_from(digits(text.get(34..35)?, 1)?).ok()?)?;
        let attempts = Attempts::new(u32::try_from(digits(text.get(36..41)?, 5)?).ok()?);
        let rest = &text[41..];
        let marked = |rest: &str| GroupMark::parse(rest.get(2..18)?);
        let (group, rest) = match rest.get(..2) {
            Some("-g") => (Some(Grouped::Message(marked(rest)?)), &rest[18..]),
            // A timed lease begins with a `t` too, followed by twelve digits and not sixteen.
            Some("-t") if marked(rest).is_some() => (marked(rest).map(Grouped::Ticket), &rest[18..]),
            _ => (None, rest),
        };
        let (pack, rest) = match rest.strip_prefix("-n") {
            Some(counted) => (Some(parse_count(counted.get(..6)?)?), &counted[6..]),
            None => (None, rest),
        };
        Some((Name { id, bucket, priority, attempts, group, pack }, rest))
    }

    /// How many messages the file of this name has.
    pub fn count(&self) -> u32 {
        self.pack.unwrap_or(1)
    }

    /// The id of the last of them.
    pub(super) fn last_id(&self) -> Id {
        self.id.after(self.count() - 1)
    }

    /// Which messages of its file are in a pack: from and to which index.
    pub(super) fn window(&self) -> Range<u32> {
        let from = self.id.since(self.bucket.0).and_then(|from| u32::try_from(from).ok()).unwrap_or(u32::MAX);
        from..from.saturating_add(self.count())
    }

    /// The name that one of a pack's messages has, as long as it stands in it.
    pub(super) fn of_packed(&self, index: u32) -> Name {
        Name { id: self.bucket.0.after(index), pack: None, ..self.clone() }
    }
}

/// The names of messages in the order of their ids. Nearly all begin alike, and the id decides before a byte is compared.
pub(super) fn sort(names: &mut [String]) {
    let id = |name: &String| name.as_bytes().first_chunk().map(|id: &[u8; 16]| u128::from_be_bytes(*id));
    names.sort_unstable_by(|one, other| id(one).cmp(&id(other)).then_with(|| one.cmp(other)));
}

/// How many messages a pack has: at least one.
pub(super) fn parse_count(text: &str) -> Option<u32> {
    digits(text, 6).filter(|&count| count > 0).and_then(|count| u32::try_from(count).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name() -> Name {
        Name {
            id: Id::parse("1764000000000001").unwrap(),
            bucket: Bucket::parse("1764000000000000").unwrap(),
            priority: Priority::DEFAULT,
            attempts: Attempts::new(3),
            group: None,
            pack: None,
        }
    }

    #[test]
    fn names_survive_the_round_trip() {
        let groups = [None, Some(Grouped::Message(GroupMark::of("feed"))), Some(Grouped::Ticket(GroupMark::of("a")))];
        for (group, pack) in groups.into_iter().flat_map(|group| [(group, None), (group, Some(16_384))]) {
            let name = Name { group, pack, ..name() };
            assert_eq!(Name::parse(&name.to_string()), Some(name.clone()));
            let due = Time::from_micros(1_764_000_000_500_000);
            assert_eq!(Name::parse_delayed(&name.delayed(due)), Some((due, name.clone())));
            let timed = Lease::Timed(Duration::from_secs(600));
            let front = |hand| pack.map_or(Lease::Live, |_| Lease::Front(hand));
            let hands = [front(Hand::NONE), front(Hand::new([0xff; 8]))];
            for lease in [Lease::Live, hands[0], hands[1], Lease::Acked, Lease::Buried, Lease::Removed, timed] {
                let claimed = ClaimedName { name: name.clone(), lease, token: Token::new([7; 16]) };
                assert_eq!(ClaimedName::parse(&claimed.to_string()), Some(claimed.clone()));
                assert_eq!(Name::parse(&claimed.to_string()), None);
            }
        }
    }

    #[test]
    fn a_pack_ends_with_the_last_of_its_messages() {
        for (pack, last) in [(None, "1764000000000001"), (Some(1), "1764000000000001"), (Some(5), "1764000000000005")] {
            assert_eq!(Name { pack, ..name() }.last_id().to_string(), last);
        }
    }

    #[test]
    fn random_names_are_26_characters_of_lower_case_base32() {
        let good = base32([0xa7; 16]);
        assert!(is_base32(&good));
        for bad in
            ["", "notes", &good[1..], &format!("{good}a"), &good.to_ascii_uppercase(), &good.replacen('u', "1", 1)]
        {
            assert!(!is_base32(bad), "{bad}");
        }
    }

    #[test]
    fn foreign_names_are_nobody() {
        let good = name().to_string();
        let mut bad: Vec<String> = (0..good.len()).map(|end| good[..end].to_string()).collect();
        bad.extend(["x", "-", "é", ".", "queue.json"].map(|tail| format!("{good}{tail}")));
        bad.push(good.replace('-', "."));
        bad.push(format!("+{}", &good[1..]));
        bad.push("é".repeat(21));
        for text in bad {
            assert_eq!(Name::parse(&text), None, "{text}");
            assert_eq!(ClaimedName::parse(&text), None, "{text}");
            assert_eq!(Name::parse_delayed(&text), None, "{text}");
        }
    }
}
