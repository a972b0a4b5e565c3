//! Moments and durations: how they are kept, written and read. Nothing here asks what time it is.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime, civil};
use std::time::Duration;

/// A moment: microseconds since the epoch, what an id is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// The last moment that sixteen digits can write: in the year 2286.
const LAST: u64 = 9_999_999_999_999_999;

impl Time {
    /// Later moments than 16 digits can write become the last one.
    pub const fn from_micros(micros: u64) -> Time {
        Time(if micros < LAST { micros } else { LAST })
    }

    pub fn micros(self) -> u64 {
        self.0
    }

    pub fn plus(self, duration: Duration) -> Time {
        Time::from_micros(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long it is from `earlier` to here; zero when it is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC and whole seconds, as all of mq's JSON has it.
    pub fn rfc3339(self) -> String {
        let seconds = i64::try_from(self.0 / 1_000_000).unwrap_or(0);
        Timestamp::from_second(seconds).map_or_else(|_| String::new(), |moment| moment.to_string())
    }

    /// Reads what [`Time::rfc3339`] writes, and any other RFC 3339 moment.
    pub fn parse_rfc3339(text: &str) -> Option<Time> {
        Time::from_timestamp(text.parse().ok()?)
    }

    /// For a person: `YYYY-MM-DD HH:MM:SS` in the time zone of `$TZ`.
    pub fn local(self) -> String {
        let micros = i64::try_from(self.0).unwrap_or(0);
        Timestamp::from_microsecond(micros).map_or_else(
            |_| String::new(),
            |moment| moment.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }

    fn from_timestamp(moment: Timestamp) -> Option<Time> {
        u64::try_from(moment.as_microsecond()).ok().map(Time::from_micros)
    }

    fn zoned(self) -> Option<ZonedDateTime> {
        let micros = i64::try_from(self.0).ok()?;
        Some(Timestamp::from_microsecond(micros).ok()?.to_zoned_datetime(TimeZone::system()))
    }
}

/// Units of a duration, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3600 * 1_000_000),
    ("d", 24 * 3600 * 1_000_000),
    ("h", 3600 * 1_000_000),
    ("m", 60 * 1_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];
/// No duration is longer than a century, so that sums of moments and durations stay in range.
const LONGEST: u64 = 100 * 366 * 24 * 3600 * 1_000_000;

/// Reads `90` (seconds), `1.5s`, `1h30m`; units ms s m h d w, each at most once, longest first or not.
///
/// # Errors
/// One clause that says what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration like 90, 1.5s, 10m or 1h30m (ms s m h d w)");
    let mut rest = text;
    let mut total = 0_u64;
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit = match unit {
            "" if seen.is_empty() && tail.is_empty() => "s",
            unit => unit,
        };
        let &(unit, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if seen.contains(&unit) {
            return Err(wrong());
        }
        seen.push(unit);
        let micros = scaled(number, size).ok_or_else(wrong)?;
        total = total.saturating_add(micros);
        rest = tail;
    }
    if seen.is_empty() {
        return Err(wrong());
    }
    if total > LONGEST {
        return Err(format!("'{text}' is longer than a century"));
    }
    Ok(Duration::from_micros(total))
}

/// `number` (digits, at most one point) times `size`, exactly; beyond range it saturates.
fn scaled(number: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let mut part = 0;
    let mut place = size;
    for digit in fraction.bytes().take(18) {
        place /= 10;
        part += place * u64::from(digit - b'0');
    }
    Some(whole.saturating_mul(size).saturating_add(part))
}

/// Writes what [`parse_duration`] reads: `1h30m`, `1.5s`, `0s`; nothing below a millisecond.
pub fn format_duration(duration: Duration) -> String {
    let mut left = duration.as_micros();
    if left == 0 {
        return "0s".to_string();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        let size = u128::from(size);
        // A whole number of milliseconds below a minute reads better as a fraction of a second.
        if unit == "s" && left >= 1_000_000 && left % 1_000_000 >= 1_000 {
            let fraction = format!("{:03}", left % 1_000_000 / 1_000);
            text.push_str(&format!("{}.{}s", left / 1_000_000, fraction.trim_end_matches('0')));
            return text;
        }
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "1ms".to_string() } else { text }
}

/// For a person, in at most two units: `3s`, `4m10s`, `2d3h`.
pub fn format_age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let steps = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(first) = steps.iter().position(|(_, size)| seconds >= *size) else { return "0s".to_string() };
    let (unit, size) = steps[first];
    let mut text = format!("{}{unit}", seconds / size);
    if let Some((unit, smaller)) = steps.get(first + 1) {
        let rest = seconds % size / smaller;
        if rest > 0 {
            text.push_str(&format!("{rest}{unit}"));
        }
    }
    text
}

/// Reads a moment: RFC 3339, `@SECONDS`, or in the time zone of `$TZ` `YYYY-MM-DD HH:MM[:SS]`, `HH:MM` (the next one),
/// `tomorrow HH:MM`.
///
/// # Errors
/// One clause that says what is allowed.
pub fn parse_time(text: &str, now: Time) -> Result<Time, String> {
    let wrong = || {
        format!(
            "'{text}' is not a time like 2026-01-31T08:00:00Z, @1769846400, '2026-01-31 08:00', 08:00 or 'tomorrow 08:00'"
        )
    };
    if let Some(seconds) = text.strip_prefix('@') {
        return scaled(seconds, 1_000_000).map(Time::from_micros).ok_or_else(wrong);
    }
    if let Some(time) = Time::parse_rfc3339(text) {
        return Ok(time);
    }
    let today = now.zoned().ok_or_else(wrong)?;
    let clock = |text: &str| -> Option<civil::Time> {
        let text = text.trim_start();
        let format = match text.len() {
            5 => "%H:%M",
            8 => "%H:%M:%S",
            _ => return None,
        };
        civil::Time::strptime(format, text).ok()
    };
    let at = |date: civil::Date, time: civil::Time| {
        let zoned = date.to_datetime(time).to_zoned_datetime(TimeZone::system()).ok()?;
        // Before the epoch is long past, and the past means now.
        Some(Time::from_timestamp(zoned.timestamp()).unwrap_or_default())
    };
    let found = if let Some(time) = text.strip_prefix("tomorrow ") {
        today.date().checked_add(1.day()).ok().zip(clock(time)).and_then(|(date, time)| at(date, time))
    } else if let Some(time) = clock(text) {
        match at(today.date(), time) {
            Some(moment) if moment > now => Some(moment),
            _ => today.date().checked_add(1.day()).ok().and_then(|date| at(date, time)),
        }
    } else {
        text.split_at_checked(10).and_then(|(date, time)| {
            let date = civil::Date::strptime("%Y-%m-%d", date).ok()?;
            at(date, clock(time.strip_prefix([' ', 'T'])?)?)
        })
    };
    found.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, millis) in [
            ("0", 0),
            ("90", 90_000),
            ("1.5s", 1_500),
            (".5", 500),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("2w", 1_209_600_000),
            ("1m500ms", 60_500),
            ("0.1h", 360_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "-1",
            "1x",
            "1.s",
            "1..5",
            "1s1s",
            "s",
            "1h30",
            "1 s",
            "١s",
            "1e3",
            "+1",
            "99999999999999999999999w",
            "101000w",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "1ms", "1.5s", "10m", "1h30m", "1d2h3m4s", "2w", "59.999s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (250, "4m10s"), (90_061, "1d1h")] {
            assert_eq!(format_age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn moments_are_read_in_every_grammar() {
        let now = Time::parse_rfc3339("2026-01-30T12:00:00Z").unwrap();
        for (text, found) in [
            ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
            ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00Z"),
            ("@1769846400", "2026-01-31T08:00:00Z"),
            ("@0", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse_time(text, now).unwrap().rfc3339(), found, "{text}");
        }
        for text in ["2026-01-31 08:00", "2026-01-31 08:00:30", "08:00", "23:59", "tomorrow 08:00"] {
            let moment = parse_time(text, now).unwrap();
            assert!(moment > now && moment.since(now) < Duration::from_secs(2 * 86_400), "{text}");
        }
        for text in
            ["", "yesterday", "8", "25:00", "2026-02-30 08:00", "@-1", "@x", "2026-01-31", "tomorrow", "é é é é é é"]
        {
            assert!(parse_time(text, now).is_err(), "{text}");
        }
    }
}
