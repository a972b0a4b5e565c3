//! What stands behind a message's body: one JSON line an attempt, appended by whoever ends the attempt, under the lock.
//!
//! Whatever follows the body is never damage. Reading stops at the first thing that is not a whole record; who appends first
//! truncates to the end of the last whole one, so that a torn write of a killed process hides nothing that comes later.

use crate::fs::{Disk, File, Result};
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// A message's history ends here; later attempts leave no record.
pub const HISTORY_MAX: u64 = 256 << 10;
/// How much of a job's stderr an attempt keeps: its end.
pub const STDERR_MAX: usize = 4 << 10;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    Exit,
    Signal,
    Timeout,
    Lost,
    Cancelled,
    Nack,
    Dead,
    Expired,
    Damaged,
}

impl Outcome {
    pub const ALL: [Outcome; 10] = [
        Outcome::Ok,
        Outcome::Exit,
        Outcome::Signal,
        Outcome::Timeout,
        Outcome::Lost,
        Outcome::Cancelled,
        Outcome::Nack,
        Outcome::Dead,
        Outcome::Expired,
        Outcome::Damaged,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Exit => "exit",
            Outcome::Signal => "signal",
            Outcome::Timeout => "timeout",
            Outcome::Lost => "lost",
            Outcome::Cancelled => "cancelled",
            Outcome::Nack => "nack",
            Outcome::Dead => "dead",
            Outcome::Expired => "expired",
            Outcome::Damaged => "damaged",
        }
    }

    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub attempt: u32,
    pub started_at: String,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// It did not count: the message came back with the attempts it had before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
}

impl Attempt {
    pub fn new(attempt: u32, started: Time, outcome: Outcome) -> Attempt {
        Attempt {
            attempt,
            started_at: started.rfc3339(),
            outcome,
            exit: None,
            signal: None,
            duration_s: None,
            reason: None,
            stderr: None,
            uncounted: false,
        }
    }

    /// The reason in one line: what was said, else how it ended.
    pub fn summary(&self) -> String {
        if let Some(reason) = &self.reason {
            return reason.clone();
        }
        match (self.outcome, self.exit, self.signal) {
            (Outcome::Exit, Some(code), _) => format!("exit {code}"),
            (Outcome::Signal, _, Some(signal)) => format!("signal {signal}"),
            (outcome, ..) => outcome.word().to_string(),
        }
    }
}

/// The message was taken out of the dead-letter queue, and its attempts began anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redrive {
    pub redriven_at: String,
    /// How many times by now.
    pub redrives: u32,
    /// The queue it came from.
    pub from: String,
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Record {
    Attempt(Attempt),
    Redrive(Redrive),
}

/// All whole records, oldest first, and where the last one ends.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub records: Vec<Record>,
    end: u64,
}

impl History {
    /// Where the last whole record ends.
    #[cfg(any(test, fuzzing))]
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The latest attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.records.iter().rev().find_map(|record| match record {
            Record::Attempt(attempt) => Some(attempt),
            Record::Redrive(_) => None,
        })
    }

    pub fn redrives(&self) -> u32 {
        let count = |record: &Record| match record {
            Record::Redrive(redrive) => Some(redrive.redrives),
            Record::Attempt(_) => None,
        };
        self.records.iter().rev().find_map(count).unwrap_or(0)
    }

    /// Whether this very attempt has left its record already, since the last redrive.
    fn has(&self, attempt: &Attempt) -> bool {
        let since = self.records.iter().rev().map_while(|record| match record {
            Record::Attempt(attempt) => Some(attempt),
            Record::Redrive(_) => None,
        });
        let mut since = since;
        !attempt.uncounted && since.any(|found| !found.uncounted && found.attempt == attempt.attempt)
    }
}

/// Reads the history that begins at `start`, the end of the body.
pub(super) fn read(disk: &Disk, file: &File, start: u64) -> Result<History> {
    let mut bytes = vec![0; 4096];
    let mut filled = 0;
    loop {
        filled += disk.read_full(file, &mut bytes[filled..], start + filled as u64)?;
        if filled < bytes.len() || bytes.len() as u64 >= HISTORY_MAX {
            break;
        }
        bytes.resize(usize::try_from(HISTORY_MAX).unwrap_or(bytes.len()), 0);
    }
    Ok(parse(&bytes[..filled], start))
}

/// A newline, then records, each ended by one: so `tail -n +2` of a message shows its body as it was sent.
pub(super) fn parse(bytes: &[u8], start: u64) -> History {
    let mut history = History { records: Vec::new(), end: start };
    let Some(mut rest) = bytes.strip_prefix(b"\n") else { return history };
    let mut end = start + 1;
    while let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
        let Ok(record) = serde_json::from_slice(&rest[..length]) else { break };
        history.records.push(record);
        end += length as u64 + 1;
        history.end = end;
        rest = &rest[length + 1..];
    }
    history
}

/// A history as it stands behind a body, with one more record where that attempt has none: for a message that gets a file of
/// its own.
pub(super) fn copied(history: &History, more: Option<&Record>) -> Vec<u8> {
    let more = more.filter(|record| !matches!(record, Record::Attempt(attempt) if history.has(attempt)));
    let mut bytes = Vec::new();
    for record in history.records.iter().chain(more) {
        let before = bytes.len();
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
        serde_json::to_writer(&mut bytes, record).unwrap_or_default();
        bytes.push(b'\n');
        if bytes.len() as u64 > HISTORY_MAX {
            bytes.truncate(before);
            break;
        }
    }
    bytes
}

/// Appends a record, unless that attempt has one. The caller holds the lock on the file and has looked again.
///
/// A kill leaves the record whole, torn (the next append cuts it off) or not there; a power cut the same until the file is
/// flushed.
pub(super) fn append(disk: &Disk, file: &File, start: u64, record: &Record) -> Result<()> {
    let history = read(disk, file, start)?;
    if matches!(record, Record::Attempt(attempt) if history.has(attempt)) {
        return Ok(());
    }
    let mut line = if history.end == start { vec![b'\n'] } else { Vec::new() };
    serde_json::to_writer(&mut line, record).unwrap_or_default();
    line.push(b'\n');
    if history.end + line.len() as u64 > start + HISTORY_MAX {
        return Ok(());
    }
    if disk.stat(file)?.size > history.end {
        disk.truncate(file, history.end)?;
    }
    disk.write_all(file, &line, history.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_first_thing_that_is_no_record() {
        let attempt = Attempt::new(1, Time::from_micros(0), Outcome::Exit);
        let line = format!("{}\n", serde_json::to_string(&attempt).unwrap());
        let whole = format!("\n{line}");
        for tail in ["", "{\"attempt\":2", "garbage\n", "\0\0\0\0", "\n", "[]\n", "{}\n"] {
            let history = parse(format!("{whole}{tail}").as_bytes(), 10);
            assert_eq!(history.records, [Record::Attempt(attempt.clone())], "{tail:?}");
            assert_eq!(history.end, 10 + whole.len() as u64, "{tail:?}");
        }
        assert_eq!(parse(line.as_bytes(), 10).end, 10);
    }

    #[test]
    fn a_copy_holds_no_more_than_is_read_of_it() {
        let record = |attempt, length| {
            let attempt = Attempt::new(attempt, Time::from_micros(0), Outcome::Exit);
            Record::Attempt(Attempt { stderr: Some("x".repeat(length)), ..attempt })
        };
        let line = serde_json::to_string(&record(1, 0)).unwrap().len() + 1;
        let room = HISTORY_MAX as usize - 1 - 2 * line;
        let history = History { records: vec![record(1, 1000)], end: 0 };
        for (length, kept) in [(room - 1001, 2), (room - 1000, 2), (room - 999, 1), (room, 1)] {
            let bytes = copied(&history, Some(&record(2, length)));
            assert!(bytes.len() as u64 <= HISTORY_MAX);
            assert_eq!((parse(&bytes, 0).records.len(), parse(&bytes, 0).end), (kept, bytes.len() as u64));
        }
    }
}
