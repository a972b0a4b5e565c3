//! One message as a person who looks gets to see it: read where it stands, without a lock, damaged or not.

use super::cat::is_binary;
use super::json::{self, Detail, Inside};
use super::queues::Spot;
use crate::queue::name::{Lease, State};
use crate::queue::{Error, History, Message, Place, Queue, Times};
use crate::time::{Time, format_age};
use anyhow::Result;
use serde_json::{Map, Value};

/// How much of a body is read for its first line.
const PREVIEW: usize = 400;
/// How much of that line a listing has.
const PREVIEW_CHARS: usize = 80;

/// A message, read. What can't be read is there too, with the reason instead of the contents.
#[derive(Debug)]
pub struct Look {
    pub place: Place,
    /// `None` for one that is damaged or can't be read.
    pub inside: Option<(Message, History)>,
    pub times: Option<Times>,
    /// Why it was set aside, or can't be read.
    pub trouble: Option<String>,
    /// The disk's own error, where that is the trouble.
    pub failed: Option<Error>,
}

/// What stands at the start of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    Text(String),
    Binary,
    /// It can't be read.
    Nothing,
}

impl Look {
    /// Reads a message; `None` when it has moved on.
    pub fn at(queue: &Queue, place: &Place) -> Option<Look> {
        let mut look = Look { place: place.clone(), inside: None, times: None, trouble: None, failed: None };
        match look.read(queue) {
            Ok(true) => (),
            Ok(false) => return None,
            Err(Error::Damaged { why, .. }) => look.trouble = Some(format!("damaged: {why}")),
            Err(Error::Unknown { why, .. }) => look.trouble = Some(why),
            Err(error) => {
                look.trouble = Some(error.to_string());
                look.failed = Some(error);
            }
        }
        Some(look)
    }

    fn read(&mut self, queue: &Queue) -> crate::queue::Result<bool> {
        if matches!(self.place.state, State::Claimed | State::Dead | State::Done) {
            self.times = queue.times(&self.place)?;
            if self.times.is_none() {
                return Ok(false);
            }
        }
        if self.place.state == State::Damaged {
            let why = queue.why_damaged(&self.place)?;
            self.trouble = Some(why.unwrap_or_else(|| "set aside; the reason was not written down".into()));
            return Ok(true);
        }
        let Some(message) = queue.read(&self.place)? else { return Ok(false) };
        let history = message.history()?;
        self.inside = Some((message, history));
        Ok(true)
    }

    /// The trouble with it, else why its last attempt failed.
    pub fn reason(&self) -> Option<String> {
        let last = || self.inside.as_ref().and_then(|(_, history)| Some(history.last()?.summary()));
        self.trouble.clone().or_else(last)
    }

    pub fn sent_at(&self) -> String {
        match &self.inside {
            Some((message, _)) => message.header.sent_at.clone(),
            None => self.place.id().time().rfc3339(),
        }
    }

    pub fn group(&self) -> Option<String> {
        self.inside.as_ref().and_then(|(message, _)| message.header.group.clone())
    }

    pub fn size(&self) -> Option<u64> {
        self.inside.as_ref().map(|(message, _)| message.header.size_bytes)
    }

    /// The first line of the body.
    pub fn preview(&self) -> Preview {
        let Some(Ok(mut start)) = self.inside.as_ref().map(|(message, _)| message.start(PREVIEW)) else {
            return Preview::Nothing;
        };
        if let Some(end) = start.iter().position(|&byte| byte == b'\n') {
            start.truncate(end);
        }
        if is_binary(&start) {
            return Preview::Binary;
        }
        Preview::Text(
            String::from_utf8_lossy(&start).trim_end_matches('\u{fffd}').chars().take(PREVIEW_CHARS).collect(),
        )
    }

    /// As one JSON object. A body that turns out to be damaged on the way leaves the object without it, and says why.
    pub fn json(&self, queue: &Queue, spot: &Spot, detail: Detail) -> Result<Map<String, Value>> {
        let inside = self.inside.as_ref().map(|(message, history)| Inside { message, history });
        let written = json::place(queue, spot, &self.place, inside.as_ref(), self.trouble.as_deref(), detail);
        match written {
            Err(error) => match error.downcast::<Error>() {
                Ok(Error::Damaged { why, .. }) => {
                    json::place(queue, spot, &self.place, None, Some(&format!("damaged: {why}")), detail)
                }
                Ok(other) => Err(other.into()),
                Err(other) => Err(other),
            },
            written => written,
        }
    }

    /// Who has it, and for how long: for a person.
    pub fn held(&self, queue: &Queue, now: Time) -> Option<String> {
        let claimed = self.place.claimed.as_ref()?;
        Some(match (claimed.lease, self.times.and_then(|times| times.lease_until)) {
            (Lease::Timed(_), Some(until)) if until > now => format!("{} left", format_age(until.since(now))),
            (Lease::Timed(_), Some(until)) => format!("lease ran out {} ago", format_age(now.since(until))),
            _ => match queue.holder(&self.place) {
                Ok(Some(pid)) => format!("pid {pid}"),
                _ => "no holder seen".into(),
            },
        })
    }
}

/// A moment for a table, in local time: as much of it as is not plain from now.
pub fn moment(time: Time, now: Time) -> String {
    let (text, today) = (time.local(), now.local());
    match (text.split_once(' '), today.split_once(' ')) {
        (Some((date, clock)), Some((today, _))) if date == today => clock.to_string(),
        (Some((date, clock)), Some((today, _))) if date.get(..4) == today.get(..4) => {
            format!("{} {}", date.get(5..).unwrap_or(date), clock.get(..5).unwrap_or(clock))
        }
        (Some((date, _)), _) => date.to_string(),
        _ => text,
    }
}

/// Bytes for a table: `812`, `1.2K`, `34M`.
#[allow(clippy::cast_precision_loss)] // two digits are shown
pub fn size(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    let mut units = ["K", "M", "G", "T"].into_iter();
    let mut unit = "";
    while scaled >= 1023.5 {
        let Some(next) = units.next() else { break };
        (scaled, unit) = (scaled / 1024.0, next);
    }
    if unit.is_empty() {
        bytes.to_string()
    } else if scaled < 9.95 {
        format!("{scaled:.1}{unit}")
    } else {
        format!("{scaled:.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in
            [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10 << 10, "10K"), (1 << 20, "1.0M"), (5 << 30, "5.0G")]
        {
            assert_eq!(size(bytes), text);
        }
        assert!(size(u64::MAX).ends_with('T'));
    }

    #[test]
    fn a_moment_says_what_is_not_plain() {
        let now = Time::parse_rfc3339("2026-06-30T12:00:00Z").unwrap();
        let then = |text| moment(Time::parse_rfc3339(text).unwrap(), now);
        assert_eq!(then("2026-06-30T12:00:01Z").len(), "12:00:01".len());
        assert_eq!(then("2026-03-01T12:00:00Z").len(), "03-01 12:00".len());
        assert_eq!(then("2020-03-02T12:00:00Z"), "2020-03-02");
    }
}
