//! `mq replay`: what was acknowledged and is kept is sent again, all of it or nothing.

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, say};
use super::json::{self, Detail};
use super::look::Look;
use super::progress::Bytes;
use super::queues::{Named, Spot, disk};
use super::select::{Act, ById, Scope, Select};
use super::taken::{Mode, Taken};
use crate::queue::name::{Id, State};
use crate::queue::{Batch, Error, Place, Queue};
use crate::time::{Time, parse_time};
use anyhow::Result;
use std::cell::OnceCell;

pub const EXAMPLES: &str = "\
Examples:
  mq create jobs --retain 7d                        keep what is acknowledged for a week
  mq replay jobs --since 09:00 --dry-run            what was acknowledged since then
  mq replay jobs --since 09:00 --until 10:00 --to jobs-test
  mq replay jobs --from 1764000000000000            that one, and all that were sent later
  mq ls jobs --state done --match ada --ids | mq replay jobs -

Each becomes a new message with an id and a uid of its own, and the header Replay-Of: the uid of the old one. Body,
headers, content type, priority and group are the same; delay and expiry are not. All are sent, or none. What is kept
stays where it is. Prints the id that each has among the kept ones; nothing selected is exit 1. One that is damaged is
left out: exit 65.
";

/// The arguments of `mq replay`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    /// Only acknowledged at that time or later
    ///
    /// A time like 2026-01-31T08:00:00Z, @1769846400, '2026-01-31 08:00', or 08:00, which is the last one.
    #[arg(long, value_name = "TIME", help_heading = "Selecting")]
    since: Option<String>,
    /// Only this message and those sent later
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with = "since", help_heading = "Selecting")]
    from: Option<Id>,
    /// Only acknowledged before that time
    #[arg(long, value_name = "TIME", help_heading = "Selecting")]
    until: Option<String>,
    /// Into another queue, on any file system
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// Send nothing: print the ids that would be sent
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line, of the kept message
    #[arg(long, hide_short_help = true)]
    json: bool,
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "an id is the 16 digits that mq ls shows first".into())
}

const DAY: u64 = 86_400_000_000;

/// A moment that is over: of a time of day it is the last one, where a sender's is the next.
fn past(text: &str, now: Time) -> Result<Time> {
    let of_day = text.as_bytes().get(2) == Some(&b':');
    let from = if of_day { Time::from_micros(now.micros().saturating_sub(DAY)) } else { now };
    Ok(parse_time(text, from).map_err(Failure::usage)?)
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let said = args.since.is_some() || args.from.is_some() || args.until.is_some();
    args.select.demand("replay", said)?;
    let (queue, spot) = globals.open(&args.queue)?;
    let now = queue.disk().now();
    let moment = |text: &Option<String>| text.as_deref().map(|text| past(text, now)).transpose();
    let span = Span { since: moment(&args.since)?, until: moment(&args.until)?, from: args.from };
    let opened = OnceCell::new();
    let target = match &args.to {
        None => Target::Open(&queue),
        Some(name) => target(globals, name, &opened)?,
    };
    let (mode, json) = (Mode::of(args.dry_run), args.json);
    let progress = Bytes::new(globals, None, "messages");
    let mut replay = Replay {
        globals,
        queue: &queue,
        spot: &spot,
        span,
        mode,
        json,
        target,
        batch: None,
        lines: Vec::new(),
        progress,
    };
    let scope = Scope { walk: vec![State::Done], by_id: ById::Strictly };
    let tally = args.select.each(&queue, &spot, &scope, &mut |place, look| replay.one(place, look))?;
    let lines = replay.end()?;
    let mut taken = Taken::new(globals, mode);
    lines.iter().try_for_each(|line| taken.text(line))?;
    taken.finish("sent")?;
    Ok(tally.end())
}

/// Which of the kept messages, beside what any selection says.
struct Span {
    since: Option<Time>,
    until: Option<Time>,
    from: Option<Id>,
}

impl Span {
    /// `None` when the message is gone.
    fn has(&self, queue: &Queue, place: &Place) -> crate::queue::Result<Option<bool>> {
        if self.from.is_some_and(|from| place.id() < from) {
            return Ok(Some(false));
        }
        if self.since.is_none() && self.until.is_none() {
            return Ok(Some(true));
        }
        let Some(times) = queue.times(place)? else { return Ok(None) };
        let acknowledged = times.since;
        Ok(Some(
            self.since.is_none_or(|since| acknowledged >= since) && self.until.is_none_or(|until| acknowledged < until),
        ))
    }
}

/// Where the messages go.
enum Target<'q> {
    Open(&'q Queue),
    /// Made when the first message goes there.
    Missing(Spot, &'q OnceCell<Queue>),
}

/// Looks at the target before anything is read. A name that is no queue yet becomes one, as `send` does it.
fn target<'q>(globals: &Globals, name: &str, opened: &'q OnceCell<Queue>) -> Result<Target<'q>> {
    let spot = globals.spot(name)?;
    match Queue::open(&disk(), &spot.path) {
        Err(Error::NoQueue { .. }) if spot.named == Named::Name => Ok(Target::Missing(spot, opened)),
        Err(Error::NoQueue { .. }) => globals.open(name).map(|(queue, _)| Target::Open(opened.get_or_init(|| queue))),
        queue => {
            let queue = queue?;
            Ok(Target::Open(opened.get_or_init(|| queue)))
        }
    }
}

struct Replay<'q> {
    globals: &'q Globals,
    queue: &'q Queue,
    spot: &'q Spot,
    span: Span,
    mode: Mode,
    json: bool,
    target: Target<'q>,
    /// Begun with the first message.
    batch: Option<Batch<'q>>,
    /// What is printed once all are sent: to print it earlier would be to promise it.
    lines: Vec<String>,
    progress: Bytes,
}

impl Replay<'_> {
    fn one(&mut self, place: &Place, look: Option<Look>) -> Result<Act> {
        match self.span.has(self.queue, place) {
            Ok(Some(true)) => (),
            Ok(Some(false)) => return Ok(Act::Passed),
            Ok(None) => return Ok(Act::Gone),
            Err(error) => return Ok(Act::Failed(error.into())),
        }
        let kept = match self.queue.replayable(place) {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(Act::Gone),
            Err(error) => return Ok(Act::Failed(error.into())),
        };
        let line = match self.json {
            false => place.id().to_string(),
            true => match look.or_else(|| Look::at(self.queue, place)) {
                Some(look) => json::text(&look.json(self.queue, self.spot, Detail::Fields)?)?,
                None => return Ok(Act::Gone),
            },
        };
        if self.mode == Mode::Real {
            let batch = match &mut self.batch {
                Some(batch) => batch,
                none => none.insert(self.target.open(self.globals)?.batch()?),
            };
            kept.send(batch)?;
        }
        self.lines.push(line);
        self.progress.add(1);
        Ok(Act::Taken)
    }

    /// Sends them all; what to print comes back.
    fn end(self) -> Result<Vec<String>> {
        self.progress.finish();
        if let Some(batch) = self.batch
            && let Some(error) = batch.publish(|_| ())?
        {
            say(&format!("sent, but not all of it can be seen yet: {error}; the next mq claim or work finishes it"));
        }
        Ok(self.lines)
    }
}

impl<'q> Target<'q> {
    fn open(&self, globals: &Globals) -> Result<&'q Queue> {
        match self {
            Target::Open(queue) => Ok(queue),
            Target::Missing(spot, opened) => {
                let (queue, _) = globals.open_or_create(&spot.label)?;
                Ok(opened.get_or_init(|| queue))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_last_one() {
        let now = Time::parse_rfc3339("2026-06-30T12:00:00Z").unwrap();
        for minute in 0..1440 {
            let text = format!("{:02}:{:02}", minute / 60, minute % 60);
            let time = past(&text, now).unwrap();
            assert!(time <= now && now.since(time) < std::time::Duration::from_secs(86_400), "{text}");
        }
        assert_eq!(past("2026-07-01T00:00:00Z", now).unwrap(), Time::parse_rfc3339("2026-07-01T00:00:00Z").unwrap());
    }
}
