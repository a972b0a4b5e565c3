//! What a worker says on stderr: nothing of a success, a line for each failure, and what the jobs themselves write.

use super::bar::Bar;
use crate::cli::ack::UNKEPT;
use crate::cli::failure::{say, told};
use crate::cli::queues::Spot;
use crate::cli::{Globals, Talk};
use crate::queue::Pause;
use crate::time::{Time, format_age, format_duration};
use crate::work::{Drain, End, Fate, Observer, Running, Standing, Totals};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much is said of single jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Nothing,
    Failures,
    Everything,
}

/// The worker's observer.
#[derive(Debug)]
pub struct Talker {
    /// The queue as the person called it.
    queue: String,
    detail: Detail,
    bar: Option<Bar>,
}

impl Talker {
    pub fn new(globals: &Globals, verbose: bool, spot: &Spot, drain: Option<Drain>) -> Talker {
        let detail = match (globals.talk_level(), verbose) {
            (Talk::Quiet, _) => Detail::Nothing,
            (Talk::Normal, false) => Detail::Failures,
            (Talk::Normal, true) => Detail::Everything,
        };
        let bar = drain.filter(|_| detail > Detail::Nothing).and_then(|_| Bar::new(spot));
        Talker { queue: spot.label.clone(), detail, bar }
    }

    pub fn finish(&mut self) {
        self.bar = None;
    }

    fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.around(|| say(text)),
            None => say(text),
        }
    }

    fn say_of(&mut self, id: impl std::fmt::Display, attempt: u32, max_attempts: u32, what: &str) {
        let text = format!("{} {id} attempt {attempt}/{max_attempts}: {what}", self.queue);
        self.say(&text);
    }
}

impl Observer for Talker {
    fn started(&mut self, job: Running) {
        if self.detail == Detail::Everything {
            self.say_of(
                job.id,
                job.attempt,
                job.max_attempts,
                &format!("started as process {}{}", job.pid, others(job)),
            );
        }
    }

    fn ended(&mut self, end: &End<'_>, totals: &Totals) {
        if let Some(bar) = &mut self.bar {
            bar.ended(totals);
        }
        let (detail, then) = match end.fate {
            Fate::Acked => (Detail::Everything, "acknowledged".to_string()),
            Fate::Unkept => (Detail::Failures, format!("acknowledged; {UNKEPT}")),
            Fate::ByJob => (Detail::Everything, "settled by the job itself".to_string()),
            Fate::DeadByJob => (Detail::Everything, "dead-lettered by the job itself".to_string()),
            Fate::Again(due) => match due.since(now()) {
                Duration::ZERO => (Detail::Failures, "again at once".to_string()),
                delay => (Detail::Failures, format!("again in {}", short(delay))),
            },
            Fate::Dead => (Detail::Failures, "dead-lettered".to_string()),
            Fate::GivenUp => (Detail::Failures, "not tried again: it was acknowledged before".to_string()),
            Fate::PutBack => (Detail::Failures, "put back, not counted".to_string()),
            Fate::SetAside => (Detail::Failures, "set aside in damaged/".to_string()),
        };
        if self.detail >= detail {
            let took = match end.took {
                Duration::ZERO => String::new(),
                took if end.how.contains("after") => format!(", ended after {}", short(took)),
                took => format!(" after {}", short(took)),
            };
            let more = if end.messages > 1 { format!(" ({} messages)", end.messages) } else { String::new() };
            self.say_of(end.id, end.attempt, end.max_attempts, &format!("{}{took}; {then}{more}", end.how));
        }
    }

    fn relayed(&mut self, bytes: &[u8]) {
        // As it came: it is the job that talks, not mq. Where nobody listens any more, the job goes on.
        let write = || drop(std::io::stderr().lock().write_all(bytes));
        match &self.bar {
            Some(bar) => bar.around(write),
            None => write(),
        }
    }

    fn troubled(&mut self, error: &anyhow::Error, again: Option<Duration>) {
        let then = again.map(|again| format!("; trying again in {}", short(again))).unwrap_or_default();
        self.say(&format!("{}{then}", told(error)));
    }

    fn paused(&mut self, pause: &Pause) {
        if self.detail > Detail::Nothing {
            let why = pause.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let text = format!("{} is paused{why}: waiting", self.queue);
            self.say(&text);
        }
    }

    fn pausing(&mut self, pause: &Pause) {
        if self.detail > Detail::Nothing {
            let until = pause.until().map(|until| format!(" for {}", short(until.since(now())))).unwrap_or_default();
            let why = pause.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let text = format!("{} is paused{until}{why}", self.queue);
            self.say(&text);
        }
    }

    fn stopping(&mut self, signal: i32, stops: u32, standing: &Standing) {
        if self.detail > Detail::Nothing {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            let running = count(standing.running.len() as u64, "job");
            let text = match stops {
                0 | 1 => format!("{}: {name}: claiming no more, {running} still running; again stops them", self.queue),
                2 => format!("{}: {name}: stopping {running}", self.queue),
                _ => format!("{}: {name}: killing {running}", self.queue),
            };
            self.say(&text);
        }
    }

    fn asked(&mut self, standing: &Standing) {
        let Totals { acked, retried, failed, dead, put_back, by_job, .. } = standing.totals;
        let mut text =
            format!("{}: {} done, {} failed, {dead} dead-lettered", self.queue, acked + by_job, retried + failed);
        if put_back > 0 {
            text.push_str(&format!(", {put_back} put back"));
        }
        text.push_str(&format!("; {} running", standing.running.len()));
        self.say(&text);
        for job in &standing.running {
            let what = format!("running for {}, process {}{}", short(job.age), job.pid, others(*job));
            self.say_of(job.id, job.attempt, job.max_attempts, &what);
        }
    }
}

/// What else a job works on.
fn others(job: Running) -> String {
    match job.messages {
        0 | 1 => String::new(),
        messages => format!(", with {} more of its batch", messages - 1),
    }
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// In seconds, as a person says it; below ten with one decimal, below one in milliseconds.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format_duration(Duration::from_millis(u64::try_from(duration.as_millis().max(1)).unwrap_or(1))),
        1..10 => format_duration(Duration::from_millis(u64::try_from(duration.as_millis() / 100 * 100).unwrap_or(0))),
        _ => format_age(duration),
    }
}
