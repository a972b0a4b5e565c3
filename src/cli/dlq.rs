//! `mq dlq`: the messages that failed for good, and what to do with them.

mod redrive;

use super::exit::Exit;
use super::list::{Layout, List, Shape, body, or_none, preview_column, tries};
use super::look::Look;
use super::rm::Removal;
use super::select::{ById, Scope, Select};
use super::table::{Align, Cell, Tint};
use super::taken::{Mode, Taken};
use super::{Globals, show};
use crate::queue::Queue;
use crate::queue::name::State;
use crate::time::{Time, format_age};
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq dlq ls jobs                               what failed for good, and why
  mq dlq show jobs                             the first of them, with the stderr of each attempt
  mq dlq redrive jobs --match 'timed out'      those once more, from the first attempt
  mq dlq redrive jobs --all --to jobs-slow     all of them, into another queue
  mq dlq purge jobs --older-than 30d           delete what has been dead for a month
";

/// The arguments of `mq dlq`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(LsArgs),
    /// Show dead messages with their bodies and attempts
    #[command(before_long_help = SHOW_EXAMPLES)]
    Show(show::Args),
    Redrive(redrive::Args),
    Purge(PurgeArgs),
}

pub const LS_EXAMPLES: &str = "\
Examples:
  mq dlq ls jobs
  mq dlq ls jobs --outcome timeout --ids | mq dlq redrive jobs -
  mq dlq ls jobs --json | jq -r .reason | sort | uniq -c | sort -rn

Piped: a line a message, tab-separated, escaped, '-' for none:
  id age_s attempts reason preview
age_s is how long it has been dead, in seconds.
";

/// List dead messages, with age and reason
#[derive(Debug, clap::Args)]
#[command(before_long_help = LS_EXAMPLES)]
struct LsArgs {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    shape: Shape,
}

pub const SHOW_EXAMPLES: &str = "\
Examples:
  mq dlq show jobs                          the one that has the lowest id
  mq dlq ls jobs --ids | mq dlq show jobs - --json | jq .history
";

pub const PURGE_EXAMPLES: &str = "\
Examples:
  mq dlq purge jobs 1764000000000000
  mq dlq purge jobs --older-than 30d --dry-run
  mq dlq purge jobs --all

Prints the id of each message it deletes; nothing selected is exit 1.
";

/// Delete dead messages for good
#[derive(Debug, clap::Args)]
#[command(before_long_help = PURGE_EXAMPLES)]
struct PurgeArgs {
    /// A name, or a path with a slash in it
    queue: String,
    #[command(flatten)]
    select: Select,
    /// Delete nothing: print the ids that would go
    #[arg(long)]
    dry_run: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    match &args.command {
        Command::Ls(args) => ls(globals, args),
        Command::Show(args) => show::dead(globals, args),
        Command::Redrive(args) => redrive::run(globals, args),
        Command::Purge(args) => purge(globals, args),
    }
}

fn scope() -> Scope {
    Scope { walk: vec![State::Dead], by_id: ById::Strictly }
}

fn ls(globals: &Globals, args: &LsArgs) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    let mut list = List::new(&queue, &spot, args.shape.form(), &LAYOUT, args.select.count());
    let tally = args.select.each(&queue, &spot, &scope(), &mut |place, look| list.add(place, look))?;
    let exit = list.end()?;
    let asked = args.select.narrowed() || args.select.count().is_some();
    Ok(tally.exit.or(exit).or(if asked { tally.end() } else { Exit::Done }))
}

const LAYOUT: Layout = Layout {
    titles: &[
        ("ID", Align::Left),
        ("AGE", Align::Right),
        ("TRIES", Align::Right),
        ("REASON", Align::Text),
        ("BODY", Align::Text),
    ],
    cells,
    columns,
};

fn cells(look: &Look, queue: &Queue, now: Time) -> Vec<Cell> {
    vec![
        look.place.id().to_string().into(),
        look.times.map(|times| format_age(now.since(times.since))).unwrap_or_default().into(),
        tries(look, queue),
        Cell::new(look.reason().unwrap_or_default(), Tint::Bad),
        body(look),
    ]
}

fn columns(look: &Look, _: &Queue, now: Time) -> Result<Vec<String>> {
    Ok(vec![
        look.place.id().to_string(),
        or_none(look.times.map(|times| now.since(times.since).as_secs().to_string())),
        look.place.name.attempts.count().to_string(),
        or_none(look.reason()),
        preview_column(look),
    ])
}

fn purge(globals: &Globals, args: &PurgeArgs) -> Result<Exit> {
    args.select.demand("dlq purge", false)?;
    let (queue, spot) = globals.open(&args.queue)?;
    let mode = Mode::of(args.dry_run);
    let mut taken = Taken::new(globals, mode);
    let mut removal = Removal::new(&queue, mode);
    let (tally, ended) = args
        .select
        .each_until(&queue, &spot, &scope(), &mut |place, _| removal.remove(place, &mut |id| taken.line(id)));
    let flushed = removal.end(&mut |id| taken.line(id));
    ended?;
    flushed?;
    taken.finish("deleted")?;
    Ok(tally.end())
}
