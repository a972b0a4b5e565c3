//! `mq move`: messages go to another queue.

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::json::{self, Detail};
use super::look::Look;
use super::queues::Spot;
use super::select::{Act, Select, States};
use super::taken::{Mode, Taken};
use super::target::Target;
use crate::queue::name::{Id, State};
use crate::queue::{Error, Moved, Place, Queue};
use anyhow::Result;
use serde_json::{Map, Value};

pub const EXAMPLES: &str = "\
Examples:
  mq move jobs 1764000000000000 --to slow         one message
  mq move jobs --match big.iso --to slow          those that are about one thing
  mq move jobs --all --to jobs2 --dry-run         what would go: all that is ready or delayed
  mq move jobs --all --state dead --to graveyard

Each goes with one rename, in the order of delivery, and is in one of the two queues whatever happens. It gets the next id
of the other queue, which is made if it is missing; uid, priority, due time and history stay, and its attempts begin anew.
Prints the id that each message had. Nothing selected is exit 1; a claimed message belongs to its holder: exit 75.
";

/// The arguments of `mq move`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    states: States,
    /// The queue they go to, on the same file system
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Move nothing: print the ids that would go
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a message, with to and new_id
    #[arg(long)]
    json: bool,
}

/// What `--all` means.
const DEFAULT: [State; 2] = [State::Ready, State::Delayed];

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.select.demand("move", args.states.said())?;
    let scope = args.states.scope(&DEFAULT);
    if let Some(state) = scope.walk.iter().find(|state| matches!(state, State::Done | State::Damaged)) {
        let hint = "ready, delayed and dead ones are";
        return Err(Failure::usage(format!("move: {} messages are not moved", state.word())).hint(hint).into());
    }
    let (queue, spot) = globals.open(&args.queue)?;
    let target = Target::find(globals, &args.to, &spot)?;
    if let Target::Same = target {
        return Err(Failure::usage(format!("move: {} is the queue they are in", args.to)).into());
    }
    let mode = Mode::of(args.dry_run);
    let mut taken = Taken::new(globals, mode);
    let mut mover = Mover { globals, args, queue: &queue, spot: &spot, mode, target, removed: 0, emptied: Vec::new() };
    let (tally, ended) =
        args.select.each_until(&queue, &spot, &scope, &mut |place, look| mover.one(place, look, &mut taken));
    let flushed = mover.end();
    ended?;
    flushed?;
    taken.finish("moved")?;
    Ok(tally.end())
}

struct Mover<'a> {
    globals: &'a Globals,
    args: &'a Args,
    queue: &'a Queue,
    spot: &'a Spot,
    mode: Mode,
    target: Target,
    removed: u64,
    emptied: Vec<State>,
}

impl Mover<'_> {
    fn one(&mut self, place: &Place, look: Option<Look>, taken: &mut Taken) -> Result<Act> {
        // As it was before it went.
        let told = match self.args.json {
            false => None,
            true => match look.or_else(|| Look::at(self.queue, place)) {
                None => return Ok(Act::Gone),
                Some(look) => Some(look.json(self.queue, self.spot, Detail::Fields)?),
            },
        };
        let moved = match self.mode {
            // The same refusals as of the real run.
            Mode::Dry => self.queue.movable(place).map(|()| Moved::To(place.id())),
            Mode::Real => match self.target.open(self.globals)? {
                Some(to) => self.queue.move_to(place, to),
                None => Ok(Moved::Gone),
            },
        };
        let new = match moved {
            Ok(Moved::To(id)) => id,
            Ok(Moved::Gone) => return Ok(Act::Gone),
            // The same for every message that would follow.
            Err(error @ (Error::Elsewhere { .. } | Error::Busy { .. } | Error::Moved { .. })) => {
                return Err(error.into());
            }
            Err(error) => return Ok(Act::Failed(error.into())),
        };
        if self.mode == Mode::Real {
            self.removed += 1;
            if !self.emptied.contains(&place.state) {
                self.emptied.push(place.state);
            }
        }
        match told {
            None => taken.line(place.id())?,
            Some(map) => taken.text(&json::text(&self.gone(map, new))?)?,
        }
        Ok(Act::Taken)
    }

    fn gone(&self, mut map: Map<String, Value>, new: Id) -> Map<String, Value> {
        map.insert("to".into(), self.args.to.clone().into());
        if self.mode == Mode::Real {
            map.insert("new_id".into(), new.to_string().into());
        }
        map
    }

    /// One flush for all of it, also after an error.
    fn end(self) -> Result<()> {
        let (Target::Open(to), true) = (&self.target, self.removed > 0) else { return Ok(()) };
        for state in self.emptied {
            self.queue.remove_empty_buckets(state);
        }
        // A count for people: no reason to fail.
        let _ = self.queue.count_removed(self.removed);
        Ok(to.flush_all()?)
    }
}
