//! `mq show`: one message as a whole, with the story of its attempts.

mod story;

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, exit_of, report};
use super::json::{self, Detail};
use super::look::Look;
use super::output::{Out, field, on_terminal};
use super::queues::Spot;
use super::select::{Act, ById, Scope, Select};
use crate::queue::name::State;
use crate::queue::{Place, Queue};
use anyhow::Result;
use serde_json::Value;
use std::ops::ControlFlow;

pub const EXAMPLES: &str = "\
Examples:
  mq show jobs                        the message that would be delivered next
  mq show jobs 1764000000000000       that one, in any state
  mq show jobs 1764000000000000 --json | jq '.history[-1].stderr'

Piped: a line a field, NAME<tab>VALUE, escaped, with the names of the JSON and a dot for what is inside:
  id … headers.Trace-Id … body … history.1.outcome history.1.stderr …
A message begins at its id. A binary body is there as body_base64. Nothing is locked, moved or changed.
";

/// The arguments of `mq show`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// Which messages; without any, the one that would be delivered next; - reads ids from stdin
    id: Vec<String>,
    /// One JSON object a message, with the body and the history
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let scope = Scope { walk: Vec::new(), by_id: ById::Anywhere };
    show(globals, args, &scope, &next, "ready")
}

/// `mq dlq show`: the same, of dead ones; without an id the first of them.
pub fn dead(globals: &Globals, args: &Args) -> Result<Exit> {
    let scope = Scope { walk: vec![State::Dead], by_id: ById::Strictly };
    show(globals, args, &scope, &first_dead, "dead")
}

/// The first in the order of delivery that is still where it was listed, read; and whether one was not.
type Pick = dyn Fn(&Queue) -> Result<(Option<(Place, Look)>, bool)>;

/// How often to go through the queue again when what was listed has moved on meanwhile. A file in a bucket that is not its
/// own is never found where its name says, so that going on until nothing has moved would never end.
const PASSES: u32 = 3;

fn show(globals: &Globals, args: &Args, scope: &Scope, pick: &Pick, what: &str) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    let mut out = Out::new();
    let mut exit = Exit::Done;
    let mut first = true;
    let mut one = |place: &Place, look: Option<Look>| {
        let Some(look) = look.or_else(|| Look::at(&queue, place)) else { return Ok(Act::Gone) };
        if args.json {
            out.line(&json::text(&look.json(&queue, &spot, Detail::Full)?)?)?;
        } else if on_terminal() {
            if !std::mem::take(&mut first) {
                out.line("")?;
            }
            story::tell(&look, &queue, &spot, &mut out)?;
        } else {
            fields(&look, &queue, &spot, &mut out)?;
        }
        if let Some(error) = look.failed {
            let error = error.into();
            exit = exit.or(exit_of(&error));
            report(&error);
        }
        Ok(Act::Taken)
    };
    let shown = if args.id.is_empty() {
        let mut next = None;
        for _ in 0..PASSES {
            let (found, moved) = pick(&queue)?;
            next = found;
            if next.is_some() || !moved {
                break;
            }
        }
        queue.still_here()?;
        let Some((place, look)) = next else {
            return Err(Failure::new(Exit::Nothing, format!("nothing is {what} in {}", spot.label)).into());
        };
        one(&place, Some(look))?;
        Exit::Done
    } else {
        Select::of(&args.id).each(&queue, &spot, scope, &mut one)?.end()
    };
    out.flush()?;
    Ok(shown.or(exit))
}

/// What the next claim would find, but for what is locked at this moment. What is due counts as ready: the claim moves it.
fn next(queue: &Queue) -> Result<(Option<(Place, Look)>, bool)> {
    let (mut best, mut moved) = first(queue, State::Ready)?;
    let order = |place: &Place| (std::cmp::Reverse(place.name.priority), place.name.bucket, place.id());
    let now = queue.disk().now();
    queue.each_place(State::Delayed, |place, _| {
        if place.due.is_some_and(|due| due > now) {
            return Ok(ControlFlow::Break(()));
        }
        if best.as_ref().is_none_or(|(best, _)| order(&place) < order(best)) {
            match Look::at(queue, &place) {
                Some(look) => best = Some((place, look)),
                None => moved = true,
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((best, moved))
}

fn first_dead(queue: &Queue) -> Result<(Option<(Place, Look)>, bool)> {
    first(queue, State::Dead)
}

fn first(queue: &Queue, state: State) -> Result<(Option<(Place, Look)>, bool)> {
    let (mut first, mut moved) = (None, false);
    queue.each_place(state, |place, _| match Look::at(queue, &place) {
        Some(look) => {
            first = Some((place, look));
            Ok(ControlFlow::Break(()))
        }
        None => {
            moved = true;
            Ok(ControlFlow::Continue(()))
        }
    })?;
    Ok((first, moved))
}

/// The JSON of a message, a line a field.
fn fields(look: &Look, queue: &Queue, spot: &Spot, out: &mut Out) -> Result<()> {
    let map = look.json(queue, spot, Detail::Full)?;
    for (name, value) in &map {
        flat(name, value, out)?;
    }
    Ok(())
}

fn flat(name: &str, value: &Value, out: &mut Out) -> Result<()> {
    match value {
        Value::Object(map) => map.iter().try_for_each(|(inner, value)| flat(&format!("{name}.{inner}"), value, out)),
        Value::Array(list) => {
            list.iter().enumerate().try_for_each(|(at, value)| flat(&format!("{name}.{}", at + 1), value, out))
        }
        Value::Null => out.line(&format!("{name}\t-")),
        Value::String(text) => out.line(&format!("{name}\t{}", field(text))),
        other => out.line(&format!("{name}\t{other}")),
    }
}
