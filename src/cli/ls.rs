//! `mq ls`: the queues under the root, or the messages of one.

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::json;
use super::list::{Layout, List, Shape, body, or_none, preview_column, tries};
use super::look::{self, Look};
use super::output::{Out, on_terminal};
use super::select::{Select, States};
use super::stats;
use super::table::{Align, Cell, Table, Tint};
use crate::queue::Queue;
use crate::queue::name::State;
use crate::time::{Time, format_age};
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq ls                                       the queues under the root, with their counts
  mq ls jobs                                  what is in one, in the order of delivery
  mq ls jobs --state claimed                  who holds what
  mq ls jobs --state dead --match timeout --ids | mq dlq redrive jobs -
  mq ls jobs --full > jobs.jsonl              a copy that can be sent again:
  mq send other --jsonl < jobs.jsonl

Piped: a line a message, tab-separated, '-' for none, with \\t \\n \\r \\\\ escaped; columns are only ever added at the end:
  id state priority attempts sent_at size_bytes due_at lease_until held_by reason preview group
held_by is PID@HOST, preview the first line of the body. Without a QUEUE, a line a queue:
  queue ready delayed claimed dead paused_until damaged
Without --state or ids all states are listed but done; --all lists that too. Nothing is locked, moved or changed.
";

/// The arguments of `mq ls`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it; without it, all queues
    queue: Option<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    shape: Shape,
}

const DEFAULT: [State; 5] = [State::Ready, State::Delayed, State::Claimed, State::Dead, State::Damaged];

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let Some(name) = &args.queue else {
        if args.select.said() || args.states.said() || args.shape.of_messages() {
            return Err(Failure::usage("ls: these options need a queue").hint("mq ls lists the queues").into());
        }
        return queues(globals, args);
    };
    let (queue, spot) = globals.open(name)?;
    let walk = if args.select.all() { &State::ALL[..] } else { &DEFAULT[..] };
    let scope = args.states.scope(walk);
    let mut list = List::new(&queue, &spot, args.shape.form(), &LAYOUT, args.select.count());
    let tally = args.select.each(&queue, &spot, &scope, &mut |place, look| list.add(place, look))?;
    let exit = list.end()?;
    // An empty queue is a fine answer to a question about the queue, and none to one about certain messages.
    let asked = args.select.narrowed() || args.states.said() || args.select.count().is_some();
    Ok(tally.exit.or(exit).or(if asked { tally.end() } else { Exit::Done }))
}

const LAYOUT: Layout = Layout {
    titles: &[
        ("ID", Align::Left),
        ("STATE", Align::Left),
        ("PRI", Align::Right),
        ("TRIES", Align::Right),
        ("SENT", Align::Left),
        ("SIZE", Align::Right),
        ("WHY", Align::Text),
        ("BODY", Align::Text),
    ],
    cells,
    columns,
};

fn cells(look: &Look, queue: &Queue, now: Time) -> Vec<Cell> {
    let place = &look.place;
    let sent = Time::parse_rfc3339(&look.sent_at()).unwrap_or(place.id().time());
    vec![
        place.id().to_string().into(),
        Cell::new(place.state.word(), state_tint(place.state)),
        place.name.priority.level().to_string().into(),
        tries(look, queue),
        Cell::new(look::moment(sent, now), Tint::Faint),
        look.size().map(look::size).unwrap_or_default().into(),
        Cell::new(why(look, queue, now), if look.trouble.is_some() { Tint::Bad } else { Tint::Plain }),
        body(look),
    ]
}

/// What a person wants to know about a message in this state.
fn why(look: &Look, queue: &Queue, now: Time) -> String {
    let mut words = Vec::new();
    if let Some(due) = look.place.due {
        words.push(if due > now { format!("in {}", format_age(due.since(now))) } else { "due".into() });
    }
    words.extend(look.held(queue, now));
    words.extend(look.group().map(|group| format!("group {group}")));
    if look.place.state != State::Claimed || look.trouble.is_some() {
        words.extend(look.reason());
    }
    words.join(": ")
}

pub fn state_tint(state: State) -> Tint {
    match state {
        State::Ready => Tint::Good,
        State::Delayed => Tint::Waiting,
        State::Claimed => Tint::Busy,
        State::Dead | State::Damaged => Tint::Bad,
        State::Done => Tint::Faint,
    }
}

fn columns(look: &Look, queue: &Queue, _: Time) -> Result<Vec<String>> {
    let place = &look.place;
    let holder = if place.state == State::Claimed { queue.holder(place)? } else { None };
    let lease_until = look.times.and_then(|times| times.lease_until);
    Ok(vec![
        place.id().to_string(),
        place.state.word().to_string(),
        place.name.priority.level().to_string(),
        place.name.attempts.count().to_string(),
        look.sent_at(),
        or_none(look.size().map(|size| size.to_string())),
        or_none(place.due.map(Time::rfc3339)),
        or_none(lease_until.map(Time::rfc3339)),
        or_none(holder.map(|pid| format!("{pid}@{}", json::host()))),
        or_none(look.reason()),
        preview_column(look),
        or_none(look.group()),
    ])
}

/// `mq ls` alone.
fn queues(globals: &Globals, args: &Args) -> Result<Exit> {
    let mut out = Out::new();
    let mut table = Table::new(&[
        ("QUEUE", Align::Text),
        ("READY", Align::Right),
        ("DELAYED", Align::Right),
        ("CLAIMED", Align::Right),
        ("DEAD", Align::Right),
        ("DAMAGED", Align::Right),
        ("PAUSED", Align::Text),
    ]);
    let names = globals.all()?;
    let exit = stats::each(globals, &names, &mut |name, stats| {
        if args.shape.json() {
            return out.line(&json::text(&stats::fields(name, stats))?);
        }
        if on_terminal() {
            table.row(vec![
                name.into(),
                stats::number(stats.ready, Tint::Good),
                stats::number(stats.delayed, Tint::Waiting),
                stats::number(stats.claimed, Tint::Busy),
                stats::number(stats.dead, Tint::Bad),
                stats::damaged(stats),
                Cell::new(stats::pause_words(stats), Tint::Busy),
            ]);
            return Ok(());
        }
        let paused = stats::paused_until(stats).unwrap_or_else(|| "-".into());
        let [ready, delayed, claimed, dead] = [stats.ready, stats.delayed, stats.claimed, stats.dead];
        out.line(&format!("{name}\t{ready}\t{delayed}\t{claimed}\t{dead}\t{paused}\t{}", stats.damaged))
    })?;
    table.print(&mut out)?;
    out.flush()?;
    Ok(exit)
}
