//! `mq dlq redrive`: dead messages go round again.

use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::select::{Act, Select};
use crate::cli::taken::{Mode, Taken};
use crate::cli::target::Target;
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
    let target = match &args.to {
        None => Target::Same,
        Some(name) => Target::find(globals, name, &spot)?,
    };
    let mut redrive = Redrive { globals, queue: &queue, mode, target, moved: 0 };
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
        match self.queue.redrive(place, self.target.open(self.globals)?) {
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
