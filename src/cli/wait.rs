//! `mq wait`: returns when messages are settled.

use super::claim::paused;
use super::exit::Exit;
use super::failure::{Failure, report};
use super::queues::Spot;
use super::vigil::Vigil;
use super::{Globals, input};
use crate::queue::name::{Id, State};
use crate::queue::{Awaited, Queue};
use crate::time::{format_duration, parse_duration};
use anyhow::Result;
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

pub const EXAMPLES: &str = "\
Examples:
  id=$(mq send jobs 'resize a.png') && mq wait jobs \"$id\" --wait 5m && ls a-small.png
  mq send jobs --lines --ids < list | mq wait jobs -
  mq wait jobs                             until nothing is ready, delayed or claimed

Exit 0: all are acknowledged. 10: some are dead, or damaged; stderr names them. 4: --wait was over first. 7: the queue is
paused, and not all are settled. 3: an id that was never given out, said at once. An id that is nowhere in the queue any
more counts as acknowledged, also when the message was removed or moved to another queue. Nothing is changed or locked.
";

/// The arguments of `mq wait`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// These messages; - reads ids from stdin; none said: until nothing is ready, delayed or claimed
    #[arg(value_name = "ID")]
    id: Vec<String>,
    /// How long at most (exit 4) [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    let ids = match ids(&queue, &spot, &args.id)? {
        Given::Ids(ids) => ids,
        Given::Nothing => return Ok(Exit::Nothing),
        Given::Wrong => return Ok(Exit::NotFound),
    };
    let mut vigil = Vigil::new(&queue, args.wait);
    let mut goal = match args.id.is_empty() {
        true => Goal::Idle { dead: ended(&queue)? },
        false => Goal::Ids(Awaited::new(ids)),
    };
    loop {
        let began = Instant::now();
        if goal.reached(&queue)? {
            return goal.end(globals, &queue, &spot);
        }
        if let Some(pause) = queue.paused()? {
            return Err(paused(&spot, &args.queue, &pause));
        }
        if !vigil.pause(&queue, began, None)? {
            let what = match &goal {
                Goal::Idle { .. } => "not all is".to_string(),
                Goal::Ids(awaited) => match awaited.left() {
                    1 => "1 message is not".to_string(),
                    left => format!("{left} messages are not"),
                },
            };
            let limit = format_duration(args.wait.unwrap_or_default());
            let text = format!("{}: {what} settled after {limit}", spot.label);
            return Err(Failure::new(Exit::TimedOut, text).hint(format!("mq stats {} shows why", args.queue)).into());
        }
    }
}

/// What was said of ids.
enum Given {
    Ids(BTreeSet<Id>),
    /// stdin had none.
    Nothing,
    /// Some were never given out, and it was said which.
    Wrong,
}

fn ids(queue: &Queue, spot: &Spot, said: &[String]) -> Result<Given> {
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut one = |text: &str| match Id::parse(text) {
        Some(id) => drop(ids.insert(id)),
        None => wrong.push(text.to_string()),
    };
    for text in said {
        match text.as_str() {
            "-" => input::each_word(&mut one)?,
            text => one(text),
        }
    }
    let last = if ids.is_empty() { None } else { queue.last_id()? };
    wrong.extend(ids.iter().filter(|id| Some(**id) > last).map(ToString::to_string));
    for text in &wrong {
        let text = format!("'{text}' was never given out by {}", spot.label);
        let hint = "an id is the 16 digits that mq send prints";
        report(&Failure::new(Exit::NotFound, text).hint(hint).into());
    }
    Ok(match (wrong.is_empty(), ids.is_empty()) {
        (false, _) => Given::Wrong,
        (true, true) if !said.is_empty() => Given::Nothing,
        (true, _) => Given::Ids(ids),
    })
}

/// What is waited for.
enum Goal {
    /// `dead`: what had ended badly before.
    Idle {
        dead: HashSet<Id>,
    },
    Ids(Awaited),
}

impl Goal {
    fn reached(&mut self, queue: &Queue) -> Result<bool> {
        match self {
            Goal::Idle { .. } => Ok(queue.is_idle()?),
            Goal::Ids(awaited) => {
                awaited.look(queue)?;
                Ok(awaited.left() == 0)
            }
        }
    }

    fn end(self, globals: &Globals, queue: &Queue, spot: &Spot) -> Result<Exit> {
        let bad: Vec<Id> = match self {
            Goal::Idle { dead } => {
                let mut new: Vec<Id> = ended(queue)?.into_iter().filter(|id| !dead.contains(id)).collect();
                new.sort_unstable();
                new
            }
            Goal::Ids(awaited) => awaited.ended().to_vec(),
        };
        for id in &bad {
            globals.talk(&format!("{} {id} failed for good: mq show {} {id}", spot.label, spot.label));
        }
        Ok(if bad.is_empty() { Exit::Done } else { Exit::DeadLettered })
    }
}

/// What is dead or damaged now.
fn ended(queue: &Queue) -> Result<HashSet<Id>> {
    let mut ids = HashSet::new();
    for state in [State::Dead, State::Damaged] {
        queue.each_place(state, |place, _| {
            ids.insert(place.id());
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(ids)
}
