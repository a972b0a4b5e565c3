//! What a setting can be: its grammar, and the text it is written as.

use super::super::name::Lease;
use crate::time::{format_duration, parse_duration};
use std::time::Duration;

/// When what was done must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Sends, dead-letterings, redrives.
    Send,
    /// Claims and acknowledgements too.
    All,
    /// Nothing: kill -9 is survived, a power cut is not.
    None,
}

/// How long to wait before the next attempt: doubling from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub last: Duration,
}

impl Backoff {
    /// The longest delay after so many attempts.
    pub fn ceiling(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(63);
        let factor = u32::try_from(1_u64 << doublings.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.last)
    }

    /// The delay itself: between half of the ceiling and the ceiling, by 64 random bits, so that messages which failed
    /// together do not return together ("equal jitter", Brooker, AWS Architecture Blog 2015).
    pub fn delay(self, attempts: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(attempts);
        let half = ceiling / 2;
        #[allow(clippy::cast_precision_loss)] // jitter needs no 64 bits
        let share = random as f64 / u64::MAX as f64;
        half + (ceiling - half).mul_f64(share)
    }

    /// What all the delays of a message that always fails add up to, at most.
    pub fn total(self, max_attempts: u32) -> Duration {
        let mut total = Duration::ZERO;
        for attempts in 1..max_attempts {
            let next = self.ceiling(attempts);
            if next == self.last {
                return total.saturating_add(next.saturating_mul(max_attempts - attempts));
            }
            total = total.saturating_add(next);
        }
        total
    }
}

/// How many claims a queue gives out in how much time, at most: the distance between two of them on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u64,
    pub per: Duration,
}

impl Rate {
    /// How much time one claim takes of it.
    pub fn interval(self) -> Duration {
        let nanos = self.per.as_nanos() / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What a sender leaves free on the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub bytes: u64,
    pub inodes: u64,
}

/// The grammar of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number in this range.
    Count(u64, u64),
    /// A duration between 1 ms and 31 years.
    Duration,
    Size,
    Words(&'static [&'static str]),
    Backoff,
    Mode,
    Rate,
    Room,
}

/// A setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `none`: no limit.
    None,
    Count(u64),
    Duration(Duration),
    Size(u64),
    Word(&'static str),
    Backoff(Backoff),
    Mode(u32),
    Rate(Rate),
    Room(Room),
}

impl Kind {
    /// The error is one clause that says what is allowed; `none` is for the caller to allow.
    pub(super) fn parse(self, text: &str) -> Result<Value, String> {
        let wrong = |why: &str| format!("'{text}' {why}");
        Ok(match self {
            Kind::Count(from, to) => match text.parse() {
                Ok(count) if (from..=to).contains(&count) => Value::Count(count),
                _ => return Err(wrong(&format!("is not a whole number from {from} to {to}"))),
            },
            Kind::Duration => {
                let length = whole_millis(text)?;
                if length.as_millis() == 0 || length > Lease::LONGEST {
                    return Err(wrong("is not between 1ms and 31 years"));
                }
                Value::Duration(length)
            }
            Kind::Size => Value::Size(parse_size(text)?),
            Kind::Words(words) => match words.iter().find(|word| **word == text) {
                Some(word) => Value::Word(word),
                None => return Err(wrong(&format!("is not {}", listed(words)))),
            },
            Kind::Backoff => {
                let (first, last) = text.split_once("..").unwrap_or((text, text));
                let (first, last) = (whole_millis(first)?, whole_millis(last)?);
                if first > last {
                    return Err(wrong("goes down; write the shorter delay first, like 1s..1h"));
                }
                Value::Backoff(Backoff { first, last })
            }
            Kind::Mode => match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 && mode & 0o700 == 0o700 && text.bytes().all(|b| b.is_ascii_digit()) => {
                    Value::Mode(mode)
                }
                _ => {
                    return Err(wrong(
                        "is not an octal mode like 0700 or 2770 that lets the owner read, write and enter",
                    ));
                }
            },
            Kind::Rate => Value::Rate(rate(text).ok_or_else(|| wrong("is not a rate like 10/s, 100/m or 5/30s"))?),
            Kind::Room => {
                let (bytes, inodes) = text.split_once(',').unwrap_or((text, "1000"));
                let inodes =
                    inodes.parse().map_err(|_| wrong("is not a size, or a size and a number of files, like 64M,1000"));
                Value::Room(Room { bytes: parse_size(bytes)?, inodes: inodes? })
            }
        })
    }
}

/// A duration that is written down as it holds: nothing below a millisecond is.
fn whole_millis(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    if length.subsec_micros() % 1000 > 0 {
        return Err(format!("'{text}' is finer than a millisecond"));
    }
    Ok(length)
}

/// `10/s`, `5/30s`.
fn rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let count = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
    let per = match per {
        "ms" | "s" | "m" | "h" | "d" | "w" => whole_millis(&format!("1{per}")).ok()?,
        per => whole_millis(per).ok()?,
    };
    (!per.is_zero() && per <= Duration::from_secs(366 * 86400)).then_some(Rate { count, per })
}

/// `a`, `a or b`, `a, b or c`.
fn listed(words: &[&str]) -> String {
    match words {
        [start @ .., last] if !start.is_empty() => format!("{} or {last}", start.join(", ")),
        words => words.concat(),
    }
}

/// Bytes: `4096`, `64K`, `10M`, `2G`, `1T`; powers of 1024. The error is one clause.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size like 4096, 64K, 10M or 2G");
    let (number, power) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 2),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 3),
        Some(b'T' | b't') => (&text[..text.len() - 1], 4),
        _ => (text, 0),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(1024_u64.pow(power))).ok_or_else(wrong)
}

/// The shortest text that [`parse_size`] reads as this.
pub(in crate::queue) fn format_size(bytes: u64) -> String {
    let mut unit = (bytes, "");
    for letter in ["K", "M", "G", "T"] {
        if unit.0 == 0 || !unit.0.is_multiple_of(1024) {
            break;
        }
        unit = (unit.0 / 1024, letter);
    }
    format!("{}{}", unit.0, unit.1)
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::None => f.write_str("none"),
            Value::Count(count) => count.fmt(f),
            Value::Duration(length) => f.write_str(&format_duration(*length)),
            Value::Size(bytes) => f.write_str(&format_size(*bytes)),
            Value::Word(word) => f.write_str(word),
            Value::Backoff(Backoff { first, last }) if first == last => f.write_str(&format_duration(*first)),
            Value::Backoff(Backoff { first, last }) => {
                write!(f, "{}..{}", format_duration(*first), format_duration(*last))
            }
            Value::Mode(mode) => write!(f, "{mode:04o}"),
            Value::Rate(Rate { count, per }) => {
                let per = format_duration(*per);
                match per.strip_prefix('1').filter(|unit| unit.bytes().all(|b| b.is_ascii_alphabetic())) {
                    Some(unit) => write!(f, "{count}/{unit}"),
                    None => write!(f, "{count}/{per}"),
                }
            }
            Value::Room(Room { bytes, inodes }) => write!(f, "{},{inodes}", format_size(*bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_listed_as_one_says_them() {
        assert_eq!([&["a"][..], &["a", "b"], &["a", "b", "c"]].map(super::listed), ["a", "a or b", "a, b or c"]);
    }
}
