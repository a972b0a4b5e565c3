//! A bar on a terminal while a queue is being drained: how many messages are through, of how many there are.

use super::reopen;
use crate::cli::queues::Spot;
use crate::work::Totals;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Shown from then on: what is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often to count again what is left: others send, and work, at the same time.
const RECOUNT: Duration = Duration::from_secs(10);

/// Drawn by the worker's own thread, when a job ends. Dropping it clears it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    spot: Spot,
    began: Instant,
    counted: Option<Instant>,
}

impl Bar {
    /// None where stderr is no terminal.
    pub fn new(spot: &Spot) -> Option<Bar> {
        stderr().is_terminal().then(|| Bar {
            bar: ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()),
            spot: spot.clone(),
            began: Instant::now(),
            counted: None,
        })
    }

    pub fn ended(&mut self, totals: &Totals) {
        let now = Instant::now();
        if now - self.began < PATIENCE {
            return;
        }
        let through = totals.acked + totals.failed + totals.dead + totals.by_job + totals.set_aside;
        if self.counted.is_none_or(|counted| now - counted >= RECOUNT) {
            let left = reopen(&self.spot).and_then(|queue| queue.stats().ok());
            self.bar.set_length(through + left.map_or(0, |stats| stats.ready + stats.delayed + stats.claimed));
            if self.counted.is_none() {
                let style =
                    ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} messages{msg} {per_sec} {eta}");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.bar.reset();
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.counted = Some(now);
        }
        if self.bar.length().is_some_and(|length| length < through) {
            self.bar.set_length(through);
        }
        if totals.retried + totals.failed + totals.dead > 0 {
            self.bar.set_message(format!(", {} failed, {} dead-lettered", totals.retried + totals.failed, totals.dead));
        }
        self.bar.set_position(through);
    }

    /// Takes it away while something else is written.
    pub fn around(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
