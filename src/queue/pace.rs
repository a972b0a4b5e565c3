//! How fast a queue gives its messages out, and how many at once. All claimers of a queue that says `rate` or
//! `max_in_flight` pass through the lock of one small file, right before the rename that claims; where neither is said
//! nothing of this is touched.
//!
//! The rate is a leaky bucket in the form of the generic cell rate algorithm (ITU-T I.371): the file holds one moment, the
//! one at which the next claim would come if they came evenly.

use super::checksum;
use super::error::{Error, Result};
use super::name::{self, ClaimedName};
use super::{Queue, Rate};
use crate::fs::{Access, Dir, File, Kind};
use crate::time::Time;
use std::ops::ControlFlow;
use std::time::Duration;

/// How long to wait for the lock: its holders do a few calls, and count the claims.
const PATIENCE: Duration = Duration::from_secs(10);
/// A claim that comes late by up to a quarter of the interval, and no more than this, delays none of those after it:
/// otherwise every late wake-up of a worker would lower the rate.
const SLACK: Duration = Duration::from_millis(20);
/// How long the line is: `mq1`, 20 digits, the checksum.
const LINE: usize = 34;

/// Why a message that is there is not given out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The rate allows the next one then.
    Rate(Time),
    /// So many are claimed as may be at once; the end of one makes room.
    InFlight,
}

/// Whether a message may be claimed now.
pub(super) enum Gate<'q> {
    /// Yes; the claimer keeps this until it has renamed.
    Open(Permit<'q>),
    Shut(HeldBack),
}

/// A place in the pace of the queue. Dropping it gives up the lock and nothing else.
pub(super) struct Permit<'q> {
    queue: &'q Queue,
    /// The locked file, and what it said before, where a rate is set.
    pace: Option<(File, Option<u64>)>,
}

impl Permit<'_> {
    /// The message was somebody else's: what was taken of the rate is given back.
    pub fn return_unused(self) {
        if let Some((file, Some(before))) = &self.pace {
            // No room for it, and the rate is a little lower for once.
            let _ = self.queue.write_pace(file, *before);
        }
    }
}

/// In nanoseconds: what one claim takes of the rate, and how far ahead of the clock a burst may run.
fn spacing(rate: Rate, burst: u64) -> (u64, u64) {
    let interval = nanos(rate.interval()).max(1);
    (interval, interval.saturating_mul(burst.saturating_sub(1)))
}

/// A moment further ahead than a full burst puts it comes of a clock that went back, or of another rate.
fn believable(due: u64, now: u64, rate: Rate, burst: u64) -> u64 {
    let (interval, ahead) = spacing(rate, burst);
    due.min(now.saturating_add(ahead).saturating_add(interval))
}

/// When the next claim is due if they come evenly, in nanoseconds since the epoch, after one at `now`; or when it may come.
fn after_one(due: u64, now: u64, rate: Rate, burst: u64) -> std::result::Result<u64, u64> {
    let (interval, ahead) = spacing(rate, burst);
    if due.saturating_sub(ahead) > now {
        return Err(due - ahead);
    }
    let slack = (interval / 4).min(nanos(SLACK));
    Ok(due.max(now.saturating_sub(slack)).saturating_add(interval))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Queue {
    /// Asks whether one more message may be claimed now. The caller has it locked, and renames it next.
    ///
    /// Killed between this and the rename: one claim of the rate is lost, and none is given out twice.
    pub(super) fn pass(&self) -> Result<Gate<'_>> {
        let (rate, most) = (self.settings.rate(), self.settings.max_in_flight());
        if rate.is_none() && most.is_none() {
            return Ok(Gate::Open(Permit { queue: self, pace: None }));
        }
        let file = self.lock_pace()?;
        if let Some(most) = most
            && self.claims()? >= most
        {
            return Ok(Gate::Shut(HeldBack::InFlight));
        }
        let Some(rate) = rate else { return Ok(Gate::Open(Permit { queue: self, pace: Some((file, None)) })) };
        let (said, burst) = (self.read_pace(&file)?, self.settings.burst());
        let now = self.disk.now().micros().saturating_mul(1000);
        let due = believable(said, now, rate, burst);
        if due < said {
            // Written down, or it would stay as far ahead of a clock that goes on.
            self.write_pace(&file, due)?;
        }
        match after_one(due, now, rate, burst) {
            Err(then) => Ok(Gate::Shut(HeldBack::Rate(Time::from_micros(then.div_ceil(1000))))),
            Ok(next) => {
                self.write_pace(&file, next)?;
                Ok(Gate::Open(Permit { queue: self, pace: Some((file, Some(due))) }))
            }
        }
    }

    /// What renames within `claimed/` does it under the lock, where claims are counted: a listing may miss a name that
    /// changes meanwhile.
    pub(super) fn hold_count(&self) -> Result<Option<File>> {
        self.settings.max_in_flight().map(|_| self.lock_pace()).transpose()
    }

    /// A claim has ended: where that makes room for another one, others may look.
    pub(super) fn room_in_flight(&self) {
        if self.settings.max_in_flight().is_some() {
            self.wake();
        }
    }

    /// Waits for the lock on `pace`, which is made where it is missing and never unlinked.
    fn lock_pace(&self) -> Result<File> {
        let disk = &self.disk;
        loop {
            let file = match disk.open(&self.dir, name::PACE, Access::Write) {
                Err(error) if error.missing() => {
                    self.still_here()?;
                    match disk.create(&self.dir, name::PACE, self.file_birth()) {
                        Err(error) if error.exists() => continue,
                        created => created?,
                    }
                }
                opened => opened?,
            };
            if !disk.lock(&file, PATIENCE)? {
                let by = disk.holder(&disk.stat(&file)?).map(|holder| holder.pid);
                return Err(Error::Busy { path: file.path().to_path_buf(), by });
            }
            // Lock, then look again, as everywhere: a person may have removed it.
            if super::send::same(disk, &self.dir, name::PACE, &file)? {
                self.alone(&file, &disk.stat(&file)?)?;
                return Ok(file);
            }
        }
    }

    /// How many messages are claimed, in whosever hands, also of those who are gone and whom recovery will find.
    fn claims(&self) -> Result<u64> {
        let (mut count, hands) = self.count_in(self.claimed_dir()?)?;
        if hands {
            // Nothing is taken in hand in a queue that has a limit; but it may have got that a moment ago.
            for (_, dir) in self.hands()? {
                count += self.count_in(&dir)?.0;
            }
        }
        Ok(count)
    }

    /// How many claims stand in a directory, and whether there is a directory in it.
    fn count_in(&self, dir: &Dir) -> Result<(u64, bool)> {
        let (mut count, mut dirs) = (0, false);
        self.disk.list(dir, |name, kind| {
            count += u64::from(name.to_str().is_some_and(|name| ClaimedName::parse(name).is_some()));
            dirs |= kind == Kind::Dir;
            ControlFlow::Continue(())
        })?;
        Ok((count, dirs))
    }

    /// What the file says; nothing, if it is empty, torn or garbage.
    fn read_pace(&self, file: &File) -> Result<u64> {
        let mut bytes = [0; LINE];
        let length = self.disk.read_full(file, &mut bytes, 0)?;
        Ok(decode(&bytes[..length]).unwrap_or(0))
    }

    fn write_pace(&self, file: &File, due: u64) -> Result<()> {
        Ok(self.disk.write_all(file, encode(due).as_bytes(), 0)?)
    }
}

/// Always of the same length, so that one write replaces it whole.
fn encode(due: u64) -> String {
    let text = format!("mq1 {due:020}");
    format!("{text} {:08x}\n", checksum::of(text.as_bytes()))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (text, sum) = text.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != checksum::of(text.as_bytes()) {
        return None;
    }
    text.strip_prefix("mq1 ")?.parse().ok()
}

/// What is read is read again from what is written of it.
#[cfg(any(test, fuzzing))]
pub(super) fn read_again(bytes: &[u8]) {
    if let Some(due) = decode(bytes) {
        assert_eq!(decode(encode(due).as_bytes()), Some(due));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1) };

    #[test]
    fn a_line_is_read_back_and_a_torn_one_is_not() {
        let line = encode(u64::MAX);
        assert_eq!((line.len(), decode(line.as_bytes())), (LINE, Some(u64::MAX)));
        assert_eq!(encode(7).len(), LINE);
        for end in 0..line.len() {
            assert_eq!(decode(&line.as_bytes()[..end]), None);
        }
    }

    /// How many claims come through in `seconds` when one is tried every `step` nanoseconds.
    fn claims(rate: Rate, burst: u64, seconds: u64, step: u64) -> Vec<u64> {
        let (mut due, mut given) = (0, Vec::new());
        let mut now = 1_764_000_000 * SECOND;
        let end = now + seconds * SECOND;
        while now < end {
            if let Ok(next) = after_one(due, now, rate, burst) {
                due = next;
                given.push(now);
            }
            now += step;
        }
        given
    }

    #[test]
    fn the_rate_is_exact_whenever_they_come() {
        for step in [SECOND / 10, SECOND / 1000, 1_234_567, SECOND / 70] {
            let given = claims(TEN, 1, 100, step);
            // One more for the slack that a quiet time leaves.
            assert!((999..=1001).contains(&given.len()), "{} by {step}", given.len());
            // No second has more than ten, and the one at its start.
            for (at, &start) in given.iter().enumerate() {
                let within = given[at..].iter().take_while(|&&now| now < start + SECOND).count();
                assert!(within <= 11, "{within} by {step}");
            }
        }
        let seven = Rate { count: 7, per: Duration::from_secs(1) };
        assert!((6999..=7001).contains(&claims(seven, 1, 1000, SECOND / 700).len()));
    }

    #[test]
    fn a_burst_comes_after_a_quiet_time() {
        let given = claims(TEN, 5, 10, SECOND / 1000);
        let at_once = given.iter().take_while(|&&now| now < given[0] + SECOND / 20).count();
        assert_eq!(at_once, 5);
        assert!((104..=105).contains(&given.len()), "{}", given.len());
    }

    #[test]
    fn a_clock_that_went_back_stops_nobody_for_long() {
        let now = 1_764_000_000 * SECOND;
        let mut due = 0;
        while let Ok(next) = after_one(due, now, TEN, 3) {
            due = next;
        }
        let back = now - 3600 * SECOND;
        assert_eq!(believable(due, now, TEN, 3), due);
        let due = believable(due, back, TEN, 3);
        assert_eq!((due, believable(u64::MAX, back, TEN, 3)), (back + 3 * SECOND / 10, due));
        assert_eq!(after_one(due, back, TEN, 3), Err(back + SECOND / 10));
        assert!(after_one(due, back + SECOND / 10, TEN, 3).is_ok());
    }
}
