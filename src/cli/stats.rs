//! `mq stats`: how queues stand, in numbers.

use super::Globals;
use super::exit::Exit;
use super::failure::{exit_of, report};
use super::json;
use super::output::{Out, field, on_terminal};
use super::table::{Align, Cell, Table, Tint};
use crate::queue::Stats;
use crate::time::{Time, format_age};
use anyhow::Result;
use serde_json::{Map, Value};
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq stats                                    every queue under the root
  mq stats jobs --json | jq .oldest_ready_age_s
  mq stats jobs | cut -f5                     how many are dead

Piped: a line a queue, tab-separated, '-' for none, in the order of the JSON fields:
  queue ready delayed claimed dead done damaged oldest_ready_age_s oldest_claimed_age_s oldest_dead_age_s
  sent_total acked_total dead_total paused_until expired_total dropped_total

With --groups, a line a group (state and attempts are those of its first message, which the others wait for):
  queue group waiting state attempts oldest_age_s

Ages are in seconds; that of what is ready is found by a sample where a thousand messages came out of one bulk send at once.
paused_until is '-' or null for a queue that is not paused, a time, or 'resume' for a pause without an end.
";

/// The arguments of `mq stats`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// Names or paths; without any, every queue under the root
    queue: Vec<String>,
    /// One JSON object a queue
    #[arg(long)]
    json: bool,
    /// A line a group instead: what waits, and what its first message is in
    #[arg(long)]
    groups: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let names = if args.queue.is_empty() { globals.all()? } else { args.queue.clone() };
    let mut out = Out::new();
    if args.groups {
        let exit = groups(globals, args, &names, &mut out)?;
        out.flush()?;
        return Ok(exit);
    }
    let mut table = several();
    let exit = each(globals, &names, &mut |label, stats| {
        let fields = fields(label, stats);
        if args.json {
            return out.line(&json::text(&fields)?);
        }
        if !on_terminal() {
            let columns: Vec<String> = fields.values().map(column).collect();
            return out.line(&columns.join("\t"));
        }
        if args.queue.len() == 1 {
            return one(&fields, stats).print(&mut out);
        }
        table.row(row(label, stats));
        Ok(())
    })?;
    table.print(&mut out)?;
    out.flush()?;
    Ok(exit)
}

/// `--groups`.
fn groups(globals: &Globals, args: &Args, names: &[String], out: &mut Out) -> Result<Exit> {
    let mut table = Table::new(&[
        ("QUEUE", Align::Text),
        ("GROUP", Align::Text),
        ("WAITING", Align::Right),
        ("STATE", Align::Left),
        ("TRIES", Align::Right),
        ("OLDEST", Align::Right),
    ]);
    let mut exit = Exit::Done;
    for name in names {
        let (label, groups) = match globals.open(name).and_then(|(queue, spot)| Ok((spot.label, queue.group_stats()?)))
        {
            Ok(found) => found,
            Err(error) => {
                exit = exit.or(exit_of(&error));
                report(&error);
                continue;
            }
        };
        for group in groups {
            let key = group.key.clone().unwrap_or_else(|| group.mark.to_string());
            if !args.json && on_terminal() {
                table.row(vec![
                    label.as_str().into(),
                    key.as_str().into(),
                    number(group.waiting, Tint::Good),
                    Cell::new(group.state.word(), super::ls::state_tint(group.state)),
                    group.attempts.to_string().into(),
                    format_age(group.oldest_age).into(),
                ]);
                continue;
            }
            let fields: [(&str, Value); 6] = [
                ("queue", label.as_str().into()),
                ("group", key.into()),
                ("waiting", group.waiting.into()),
                ("state", group.state.word().into()),
                ("attempts", group.attempts.into()),
                ("oldest_age_s", group.oldest_age.as_secs().into()),
            ];
            let fields: Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            match args.json {
                true => out.line(&json::text(&fields)?)?,
                false => out.line(&fields.values().map(column).collect::<Vec<_>>().join("\t"))?,
            }
        }
    }
    table.print(out)?;
    Ok(exit)
}

/// Calls `show` with each queue's label and statistics. One that can't be read is an error, and hides no other.
pub fn each(globals: &Globals, names: &[String], show: &mut dyn FnMut(&str, &Stats) -> Result<()>) -> Result<Exit> {
    if names.is_empty() {
        globals.talk(&format!("no queues in {}", globals.root()?.display()));
    }
    let mut exit = Exit::Done;
    for name in names {
        match globals.open(name).and_then(|(queue, spot)| Ok((spot.label, queue.stats()?))) {
            Ok((label, stats)) => show(&label, &stats)?,
            Err(error) => {
                exit = exit.or(exit_of(&error));
                report(&error);
            }
        }
    }
    Ok(exit)
}

/// The fields, in the order in which they are promised.
pub fn fields(label: &str, stats: &Stats) -> Map<String, Value> {
    let age = |age: Option<Duration>| age.map(|age| age.as_secs()).into();
    let fields: [(&str, Value); 16] = [
        ("queue", label.into()),
        ("ready", stats.ready.into()),
        ("delayed", stats.delayed.into()),
        ("claimed", stats.claimed.into()),
        ("dead", stats.dead.into()),
        ("done", stats.done.into()),
        ("damaged", stats.damaged.into()),
        ("oldest_ready_age_s", age(stats.oldest_ready_age)),
        ("oldest_claimed_age_s", age(stats.oldest_claimed_age)),
        ("oldest_dead_age_s", age(stats.oldest_dead_age)),
        ("sent_total", stats.sent_total.into()),
        ("acked_total", stats.acked_total.into()),
        ("dead_total", stats.dead_total.into()),
        ("paused_until", paused_until(stats).into()),
        ("expired_total", stats.expired_total.into()),
        ("dropped_total", stats.dropped_total.into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// `None`: not paused.
pub fn paused_until(stats: &Stats) -> Option<String> {
    let pause = stats.paused.as_ref()?;
    Some(pause.until().map_or_else(|| "resume".to_string(), Time::rfc3339))
}

/// A value as a piped column.
pub fn column(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => field(text),
        other => other.to_string(),
    }
}

/// How a pause reads in a table.
pub fn pause_words(stats: &Stats) -> String {
    let Some(pause) = &stats.paused else { return String::new() };
    let until = pause.until().map(|until| format!("until {}", until.local()));
    let words: Vec<String> = until.into_iter().chain(pause.reason.clone()).collect();
    if words.is_empty() { "until mq resume".into() } else { words.join(", ") }
}

fn several() -> Table {
    Table::new(&[
        ("QUEUE", Align::Text),
        ("READY", Align::Right),
        ("DELAYED", Align::Right),
        ("CLAIMED", Align::Right),
        ("DEAD", Align::Right),
        ("DONE", Align::Right),
        ("DAMAGED", Align::Right),
        ("OLDEST", Align::Right),
        ("SENT", Align::Right),
        ("ACKED", Align::Right),
        ("PAUSED", Align::Text),
    ])
}

fn row(label: &str, stats: &Stats) -> Vec<Cell> {
    vec![
        label.into(),
        number(stats.ready, Tint::Good),
        number(stats.delayed, Tint::Waiting),
        number(stats.claimed, Tint::Busy),
        number(stats.dead, Tint::Bad),
        // As with what is damaged: no column where no queue keeps any.
        if stats.done == 0 { Cell::default() } else { stats.done.to_string().into() },
        damaged(stats),
        stats.oldest_ready_age.map(format_age).unwrap_or_default().into(),
        stats.sent_total.to_string().into(),
        stats.acked_total.to_string().into(),
        Cell::new(pause_words(stats), Tint::Busy),
    ]
}

/// Zeros step back.
pub fn number(count: u64, tint: Tint) -> Cell {
    Cell::new(count.to_string(), if count == 0 { Tint::Faint } else { tint })
}

/// Nothing where none is, so that the column is there only when there is something to see.
pub fn damaged(stats: &Stats) -> Cell {
    if stats.damaged == 0 { Cell::default() } else { number(stats.damaged, Tint::Bad) }
}

/// One queue on a terminal: a line a field.
fn one(fields: &Map<String, Value>, stats: &Stats) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Text)]);
    for (name, value) in fields {
        let text = match (name.as_str(), value) {
            (_, Value::Null) => "-".to_string(),
            ("paused_until", _) => pause_words(stats),
            (name, value) if name.ends_with("_age_s") => {
                value.as_u64().map(|seconds| format_age(Duration::from_secs(seconds))).unwrap_or_default()
            }
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        let tint = match (name.as_str(), text.as_str()) {
            (_, "0" | "-") => Tint::Faint,
            ("dead" | "damaged", _) => Tint::Bad,
            ("paused_until", _) => Tint::Busy,
            _ => Tint::Plain,
        };
        table.row(vec![name.trim_end_matches("_s").into(), Cell::new(text, tint)]);
    }
    table
}
