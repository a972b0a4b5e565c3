//! `mq dlq redrive`: dead messages go round again.

use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::queues::{Named, Spot, disk};
use crate::cli::select::{Act, Select};
use crate::cli::taken::{Mode, Taken};
use crate::queue::name::State;
use crate::queue::{Error, Moved, Place, Queue};
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq dlq redrive jobs 1764000000000000         one message
  mq dlq redrive jobs --outcome lost           those whose worker died
  mq dlq redrive jobs --all --dry-run          what would go
  mq dlq redrive jobs --all --to jobs-slow     into another queue, which is made if it is missing

Attempts begin anew; the uid, the history and a count of the redrives stay. Prints the id that each message had among the
dead; in the same queue it keeps it, in another it gets a new one. Nothing selected is exit 1.
";

/// Send dead messages round again
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    /// Into another queue, on the same file system
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// Move nothing: print the ids that would go
    #[arg(long)]
    dry_run: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    args.select.demand("dlq redrive", false)?;
    let (queue, spot) = globals.open(&args.queue)?;
    let mode = Mode::of(args.dry_run);
    let mut taken = Taken::new(globals, mode);
    let mut redrive = Redrive { globals, queue: &queue, mode, target: target(globals, args, &spot)?, moved: 0 };
    let (tally, ended) = args.select.each_until(&queue, &spot, &super::scope(), &mut |place, _| {
        let act = redrive.one(place)?;
        if let Act::Taken = act {
            taken.line(place.id())?;
        }
        Ok(act)
    });
    let flushed = redrive.end();
    ended?;
    flushed?;
    taken.finish("redriven")?;
    Ok(tally.end())
}

/// Where dead messages go.
enum Target {
    /// Home, under the same id.
    Same,
    /// A queue that is opened, or made, when the first message goes there.
    Named(Spot),
    Open(Box<Queue>),
}

/// Checks the target before anything moves. A name that is no queue yet becomes one, as `send` does it.
fn target(globals: &Globals, args: &Args, from: &Spot) -> Result<Target> {
    let Some(name) = &args.to else { return Ok(Target::Same) };
    let spot = globals.spot(name)?;
    match Queue::open(&disk(), &spot.path) {
        Err(Error::NoQueue { .. }) if spot.named == Named::Name => Ok(Target::Named(spot)),
        Err(Error::NoQueue { .. }) => globals.open(name).map(|_| Target::Named(spot)),
        Err(error) => Err(error.into()),
        Ok(_) if same(&spot, from)? => Ok(Target::Same),
        Ok(queue) => Ok(Target::Open(Box::new(queue))),
    }
}

/// One directory may have two names.
fn same(one: &Spot, other: &Spot) -> Result<bool> {
    let identity = |spot: &Spot| disk().stat_path(&spot.path).map(|stat| stat.identity).map_err(Error::Disk);
    Ok(identity(one)? == identity(other)?)
}

struct Redrive<'a> {
    globals: &'a Globals,
    queue: &'a Queue,
    mode: Mode,
    target: Target,
    moved: u64,
}

impl Redrive<'_> {
    fn one(&mut self, place: &Place) -> Result<Act> {
        if self.mode == Mode::Dry {
            return Ok(Act::Taken);
        }
        if let Target::Named(spot) = &self.target {
            self.target = Target::Open(Box::new(self.globals.open_or_create(&spot.label)?.0));
        }
        let to = match &self.target {
            Target::Open(queue) => Some(queue.as_ref()),
            Target::Same | Target::Named(_) => None,
        };
        match self.queue.redrive(place, to) {
            Ok(Moved::To(_)) => {
                self.moved += 1;
                Ok(Act::Taken)
            }
            Ok(Moved::Gone) => Ok(Act::Gone),
            // The same for every message that would follow.
            Err(error @ (Error::Elsewhere { .. } | Error::Busy { .. } | Error::Moved { .. })) => Err(error.into()),
            Err(error) => Ok(Act::Failed(error.into())),
        }
    }

    /// One flush for all of it, also after an error.
    fn end(self) -> Result<()> {
        if self.moved == 0 {
            return Ok(());
        }
        self.queue.remove_empty_buckets(State::Dead);
        match &self.target {
            Target::Open(to) => {
                // A count for people: no reason to fail.
                let _ = self.queue.count_removed(self.moved);
                to.flush_all()?;
            }
            Target::Same | Target::Named(_) => self.queue.flush_all()?,
        }
        Ok(())
    }
}
