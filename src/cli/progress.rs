//! Progress on a terminal, for what takes over a second.

use super::{Globals, Talk};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Shown from then on: what is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar for something that is counted; silent where stderr is no terminal, or for `-q`.
#[derive(Debug)]
pub struct Bytes {
    bar: Option<ProgressBar>,
    shown: bool,
    began: Instant,
    done: u64,
    unit: &'static str,
}

impl Bytes {
    /// Of `total`, where that is known. `unit` is "bytes", which are scaled, or what is counted.
    pub fn new(globals: &Globals, total: Option<u64>, unit: &'static str) -> Bytes {
        let wanted = globals.talk_level() == Talk::Normal && stderr().is_terminal();
        let bar = wanted.then(|| ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()));
        Bytes { bar, shown: false, began: Instant::now(), done: 0, unit }
    }

    pub fn add(&mut self, more: u64) {
        let Some(bar) = &self.bar else { return };
        self.done += more;
        if !self.shown {
            if self.began.elapsed() < PATIENCE {
                return;
            }
            self.shown = true;
            let count = match self.unit {
                "bytes" => "{bytes}/{total_bytes} {bytes_per_sec}".to_string(),
                unit => format!("{{human_pos}} {unit} {{per_sec}}"),
            };
            let template = match bar.length() {
                Some(_) => format!("{{bar:40}} {count} {{eta}}"),
                None => format!("{{spinner}} {}", count.replace("/{total_bytes}", "")),
            };
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_position(self.done);
    }

    /// Clears it.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
