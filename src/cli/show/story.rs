//! A message told to a person on a terminal.

use crate::cli::cat::is_binary;
use crate::cli::look::{self, Look};
use crate::cli::ls::state_tint;
use crate::cli::output::{Out, Screen, shown};
use crate::cli::queues::Spot;
use crate::cli::table::{Tint, cut, screen_width};
use crate::queue::{Attempt, Message, Outcome, Queue, Record, Redrive};
use crate::time::{Time, format_age, format_duration};
use anyhow::Result;
use std::time::Duration;

/// How much of a body is shown.
const LINES: usize = 12;
const BYTES: usize = 4 << 10;
/// How much of a binary one, in rows of sixteen bytes.
const ROWS: usize = 4;
/// How many lines of an attempt's stderr, from its end.
const STDERR_LINES: usize = 10;

pub fn tell(look: &Look, queue: &Queue, spot: &Spot, out: &mut Out) -> Result<()> {
    let place = &look.place;
    let now = queue.disk().now();
    let mut say = |name: &str, text: &str| out.line(&format!("{:<10}  {}", name, shown(text, Screen::Line)));
    say("id", &format!("{} in {}", place.id(), spot.label))?;
    let word = place.state.word();
    let state = match (look.held(queue, now), look.times, place.due) {
        (Some(held), Some(times), _) => format!("{word} since {}; {held}", ago(times.since, now)),
        (None, Some(times), _) => format!("{word} since {}", ago(times.since, now)),
        (_, _, Some(due)) if due > now => {
            format!("{word} until {}, in {}", due.local(), format_age(due.since(now)))
        }
        (_, _, Some(_)) => format!("{word}, and due"),
        _ => word.to_string(),
    };
    out.line(&format!("{:<10}  {}", "state", state_tint(place.state).paint(&shown(&state, Screen::Line))))?;
    let mut say = |name: &str, text: &str| out.line(&format!("{:<10}  {}", name, shown(text, Screen::Line)));
    if let Some(reason) = look.reason() {
        say("reason", &reason)?;
    }
    say("attempts", &format!("{} of {}", place.name.attempts.count(), queue.settings().max_attempts()))?;
    say("priority", &place.name.priority.level().to_string())?;
    let sent = Time::parse_rfc3339(&look.sent_at()).unwrap_or(place.id().time());
    say("sent", &ago(sent, now))?;
    let Some((message, history)) = &look.inside else { return Ok(()) };
    say("uid", message.header.uid.as_str())?;
    if let Some(expires) = message.header.expires() {
        let lifted = if history.redrives() > 0 { "; no more, since it was redriven" } else { "" };
        say("expires", &format!("{}{lifted}", expires.local()))?;
    }
    if history.redrives() > 0 {
        say("redrives", &history.redrives().to_string())?;
    }
    if let Some(content_type) = &message.header.content_type {
        say("type", content_type)?;
    }
    for (name, value) in message.header.values() {
        say("header", &format!("{name}: {value}"))?;
    }
    body(message, spot, &place.id().to_string(), out)?;
    for record in &history.records {
        match record {
            Record::Attempt(record) => attempt(record, out)?,
            Record::Redrive(record) => redrive(record, out)?,
        }
    }
    Ok(())
}

fn ago(time: Time, now: Time) -> String {
    if time > now { time.local() } else { format!("{}, {} ago", time.local(), format_age(now.since(time))) }
}

fn title(text: &str, out: &mut Out) -> Result<()> {
    out.line(&Tint::Title.paint(text))
}

fn body(message: &Message, spot: &Spot, id: &str, out: &mut Out) -> Result<()> {
    let size = message.header.size_bytes;
    let start = message.start(BYTES)?;
    if size == 0 {
        return title("body: empty", out);
    }
    if is_binary(&start) {
        title(&format!("body: {}, binary; mq cat {} {id} > FILE writes it", bytes(size), spot.label), out)?;
        return start.chunks(16).take(ROWS).enumerate().try_for_each(|(row, bytes)| out.line(&hex(row * 16, bytes)));
    }
    title(&format!("body: {}", bytes(size)), out)?;
    let text = String::from_utf8_lossy(&start);
    let mut shown_bytes = 0;
    for line in text.split_inclusive('\n').take(LINES) {
        shown_bytes += line.len();
        indented(line, out)?;
    }
    let left = size.saturating_sub(shown_bytes as u64);
    if left > 0 && !text.is_empty() {
        out.line(&Tint::Faint.paint(&format!("  … {} more; mq cat {} {id}", bytes(left), spot.label)))?;
    }
    Ok(())
}

/// One line of somebody's text, cut to the screen.
fn indented(line: &str, out: &mut Out) -> Result<()> {
    let safe = shown(line.trim_end_matches(['\n', '\r']), Screen::Line);
    out.line(&format!("  {}", cut(&safe, screen_width().saturating_sub(2))))
}

fn bytes(size: u64) -> String {
    match size {
        1 => "1 byte".into(),
        0..1024 => format!("{size} bytes"),
        _ => format!("{} ({size} bytes)", look::size(size)),
    }
}

fn hex(at: usize, bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text: String =
        bytes.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' }).collect();
    format!("  {at:04x}  {:<47}  {text}", digits.join(" "))
}

fn attempt(attempt: &Attempt, out: &mut Out) -> Result<()> {
    // What somebody said about it has a line of its own; what mq says is how it ended.
    let (mut how, said) = match attempt.outcome {
        Outcome::Ok | Outcome::Nack | Outcome::Dead => (attempt.outcome.word().to_string(), attempt.reason.as_deref()),
        _ => (attempt.summary(), None),
    };
    if let Some(took) = attempt.duration_s.filter(|_| attempt.outcome != Outcome::Timeout) {
        how.push_str(&format!(" after {}", seconds(took)));
    }
    if attempt.uncounted {
        how.push_str(" (not counted)");
    }
    let tint = if attempt.outcome == Outcome::Ok { Tint::Good } else { Tint::Bad };
    event(&format!("attempt {}", attempt.attempt), &attempt.started_at, &how, tint, out)?;
    if let Some(said) = said {
        indented(said, out)?;
    }
    let Some(stderr) = &attempt.stderr else { return Ok(()) };
    let lines: Vec<&str> = stderr.lines().collect();
    let skipped = lines.len().saturating_sub(STDERR_LINES);
    if skipped > 0 {
        out.line(&Tint::Faint.paint(&format!("  | … {skipped} lines of stderr before these; --json has them")))?;
    }
    lines[skipped..].iter().try_for_each(|line| indented(&format!("| {line}"), out))
}

fn redrive(redrive: &Redrive, out: &mut Out) -> Result<()> {
    let from = format!("from the dead of {}", redrive.from);
    event(&format!("redrive {}", redrive.redrives), &redrive.redriven_at, &from, Tint::Waiting, out)
}

/// One thing that happened: what, when, how.
fn event(what: &str, at: &str, how: &str, tint: Tint, out: &mut Out) -> Result<()> {
    let when = Time::parse_rfc3339(at).map_or_else(|| at.to_string(), Time::local);
    let when = shown(&when, Screen::Line);
    out.line(&format!(
        "{}  {when}  {}",
        Tint::Title.paint(&format!("{what:<10}")),
        tint.paint(&shown(how, Screen::Line))
    ))
}

fn seconds(took: f64) -> String {
    Duration::try_from_secs_f64(took).map_or_else(
        |_| "?".to_string(),
        |took| if took < Duration::from_secs(60) { format_duration(took) } else { format_age(took) },
    )
}
