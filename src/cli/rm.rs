//! `mq rm`: deletes messages for good.

use super::Globals;
use super::exit::Exit;
use super::select::{Act, Select, States};
use super::taken::{Mode, Taken};
use crate::queue::name::{Id, State};
use crate::queue::{Error, Place, Queue, Removed};
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq rm jobs 1764000000000000                 one message
  mq rm jobs --match @example.org --dry-run   what would go
  mq ls jobs --older-than 30d --ids | mq rm jobs -
  mq rm jobs --all                            everything but what is claimed, and what is done

Prints the id of each message it deletes; nothing selected is exit 1. A claimed message belongs to its holder: exit 75.
";

/// The arguments of `mq rm`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    states: States,
    /// Delete nothing: print the ids that would go
    #[arg(long)]
    dry_run: bool,
}

/// What `--all` means: neither what is in somebody's hands, nor what a person keeps for replay.
const DEFAULT: [State; 4] = [State::Ready, State::Delayed, State::Dead, State::Damaged];

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.select.demand("rm", args.states.said())?;
    let (queue, spot) = globals.open(&args.queue)?;
    let mode = Mode::of(args.dry_run);
    let mut taken = Taken::new(globals, mode);
    let mut removal = Removal::new(&queue, mode);
    let scope = args.states.scope(&DEFAULT);
    let (tally, ended) =
        args.select.each_until(&queue, &spot, &scope, &mut |place, _| removal.remove(place, &mut |id| taken.line(id)));
    let flushed = removal.end(&mut |id| taken.line(id));
    ended?;
    flushed?;
    taken.finish("deleted")?;
    if args.select.all() && !args.states.said() {
        match queue.in_flight()? {
            0 => (),
            1 => globals.talk("1 claimed message is left to its holder"),
            held => globals.talk(&format!("{held} claimed messages are left to their holders")),
        }
    }
    Ok(tally.end())
}

/// Deleting message by message, those of a pack together, and at the end what makes it durable.
pub struct Removal<'q> {
    queue: &'q Queue,
    mode: Mode,
    counted: u64,
    removed: u64,
    emptied: Vec<State>,
    /// Of one pack, and still to be removed.
    packed: Vec<Place>,
}

impl<'q> Removal<'q> {
    pub fn new(queue: &'q Queue, mode: Mode) -> Removal<'q> {
        Removal { queue, mode, counted: 0, removed: 0, emptied: Vec::new(), packed: Vec::new() }
    }

    /// Deletes a message, or gathers it with others of its pack; `gone` is told of each that was deleted.
    pub fn remove(&mut self, place: &Place, gone: &mut dyn FnMut(Id) -> Result<()>) -> Result<Act> {
        if self.packed.first().is_some_and(|first| first.file_name != place.file_name) {
            self.remove_packed(gone)?;
        }
        let removed = match self.mode {
            // The same refusals as of the real run.
            Mode::Dry if place.state == State::Claimed => {
                let held = |by| Err(Error::Held { id: place.id(), by });
                self.queue.holder(place).and_then(held)
            }
            Mode::Dry => Ok(Removed::Removed),
            Mode::Real if place.in_pack.is_some() && place.state != State::Claimed => {
                self.packed.push(place.clone());
                return Ok(Act::Taken);
            }
            Mode::Real => self.queue.remove(place),
        };
        match removed {
            Ok(Removed::Gone) => Ok(Act::Gone),
            Err(error) => Ok(Act::Failed(error.into())),
            Ok(Removed::Removed) => {
                self.count(place);
                gone(place.id())?;
                Ok(Act::Taken)
            }
        }
    }

    fn count(&mut self, place: &Place) {
        self.removed += 1;
        // What is done counts as acknowledged already.
        self.counted += u64::from(place.state != State::Done);
        if !self.emptied.contains(&place.state) {
            self.emptied.push(place.state);
        }
    }

    fn remove_packed(&mut self, gone: &mut dyn FnMut(Id) -> Result<()>) -> Result<()> {
        let places = std::mem::take(&mut self.packed);
        let together = self.queue.remove_packed(&places)?;
        let mut told = Ok(());
        for place in &places {
            // Where somebody has opened the pack, each is where it is now, or in somebody's hands.
            if together || self.queue.remove(place)? == Removed::Removed {
                self.count(place);
                // What was deleted counts also where it can't be printed.
                told = told.and_then(|()| gone(place.id()));
            }
        }
        told
    }

    /// One flush for all of it, also after an error.
    pub fn end(mut self, gone: &mut dyn FnMut(Id) -> Result<()>) -> Result<()> {
        let packed = self.remove_packed(gone);
        if self.mode == Mode::Dry || self.removed == 0 {
            return packed;
        }
        for state in self.emptied {
            self.queue.remove_empty_buckets(state);
        }
        // A count for people: no reason to fail.
        let _ = self.queue.count_removed(self.counted);
        self.queue.flush_all()?;
        packed
    }
}
