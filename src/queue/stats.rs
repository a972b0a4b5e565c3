//! How a queue stands, from its names and `seq`: nothing is opened but that one file, nothing is locked.

use super::Queue;
use super::browse::LOOKS;
use super::error::Result;
use super::name::{Bucket, State, WHY};
use super::pause::Pause;
use super::seq;
use crate::fs::Dir;
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// So many ready messages of a bucket are looked at for their age.
const SAMPLED: usize = 32;
/// And then one in so many.
const SAMPLE: usize = 32;

/// Counts and ages. A message that moves while they are taken may be counted twice or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub ready: u64,
    pub delayed: u64,
    pub claimed: u64,
    pub dead: u64,
    pub done: u64,
    pub damaged: u64,
    /// How long the one that has been ready longest has been so: a delayed message counts from when it became ready.
    pub oldest_ready_age: Option<Duration>,
    pub oldest_claimed_age: Option<Duration>,
    pub oldest_dead_age: Option<Duration>,
    /// Published, acknowledged and dead-lettered since the queue was made, or `seq` was made anew.
    pub sent_total: u64,
    pub acked_total: u64,
    pub dead_total: u64,
    /// Gone as expired, under `on_expire = drop`.
    pub expired_total: u64,
    /// Gone to make room for others, under `on_full = drop`.
    pub dropped_total: u64,
    pub paused: Option<Pause>,
}

impl Queue {
    pub fn stats(&self) -> Result<Stats> {
        let now = self.disk.now();
        let mut stats = Stats::default();
        // Where there was nothing it may have gone back meanwhile, to what was read before.
        for _ in 0..LOOKS {
            (stats.ready, stats.oldest_ready_age) = self.count(State::Ready, now)?;
            (stats.delayed, _) = self.count(State::Delayed, now)?;
            (stats.claimed, stats.oldest_claimed_age) = self.count(State::Claimed, now)?;
            (stats.dead, stats.oldest_dead_age) = self.count(State::Dead, now)?;
            if stats.ready + stats.delayed + stats.claimed + stats.dead > 0 {
                break;
            }
        }
        (stats.done, _) = self.count(State::Done, now)?;
        stats.damaged = self.count_damaged()?;
        let totals = seq::totals(self)?.unwrap_or_default();
        let present = stats.ready + stats.delayed + stats.claimed + stats.dead + stats.damaged;
        stats.sent_total = totals.sent.max(present);
        (stats.expired_total, stats.dropped_total) = (totals.expired, totals.dropped);
        let otherwise = totals.removed.saturating_add(totals.expired).saturating_add(totals.dropped);
        stats.acked_total = totals.sent.saturating_sub(otherwise).saturating_sub(present);
        stats.dead_total = totals.dead.max(stats.dead);
        stats.paused = self.paused()?;
        self.still_here()?;
        Ok(stats)
    }

    /// How many messages are in a state, and since when the first of them has been. Names are counted; of their files only
    /// as many are looked at as could be older than the oldest found: a message came to its state after its id. Of the
    /// messages that came out of a pack all could be, and all came at once: of a bucket of ready ones some are looked at
    /// ([`SAMPLED`], [`SAMPLE`]) as they come.
    fn count(&self, state: State, now: Time) -> Result<(u64, Option<Duration>)> {
        let aged = matches!(state, State::Ready | State::Claimed | State::Dead);
        let mut count = 0;
        let mut oldest: Option<Time> = None;
        let mut looked: Option<(Bucket, usize)> = None;
        self.each_file_unsorted(state, &mut |place, dir: &Dir| {
            count += u64::from(place.name.count());
            if aged && oldest.is_none_or(|oldest| place.id().time() < oldest) {
                if state == State::Ready {
                    let before =
                        looked.filter(|(bucket, _)| *bucket == place.name.bucket).map_or(0, |(_, times)| times);
                    looked = Some((place.name.bucket, before + 1));
                    if before >= SAMPLED && !before.is_multiple_of(SAMPLE) {
                        return Ok(ControlFlow::Continue(()));
                    }
                }
                match self.disk.stat_at(dir, &place.file_name) {
                    Ok(stat) => oldest = Some(oldest.map_or(stat.changed, |oldest| oldest.min(stat.changed))),
                    Err(error) if error.missing() => (),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((count, oldest.map(|oldest| now.since(oldest))))
    }

    fn count_damaged(&self) -> Result<u64> {
        let Some(dir) = self.maybe_dir(Path::new(State::Damaged.word()))? else { return Ok(0) };
        let mut count = 0;
        self.disk.list(&dir, |name, _| {
            count += u64::from(!name.to_string_lossy().ends_with(WHY));
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }
}
