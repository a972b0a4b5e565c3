//! `mq pause`: nothing more is claimed until `mq resume`, or for a while.

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::queues::Spot;
use super::vigil::Vigil;
use crate::queue::Queue;
use crate::time::{format_duration, parse_duration};
use anyhow::Result;
use std::time::{Duration, Instant};

pub const EXAMPLES: &str = "\
Examples:
  mq pause jobs --reason 'database maintenance'
  mq pause jobs --wait 10m && pg_dump app > app.sql; mq resume jobs
  mq pause jobs --for 1h                   ends by itself

What is claimed goes on to its end, and sending goes on. Workers wait; mq work --drain and mq claim exit 7. With --wait it
returns when nothing is claimed any more, and then nobody works on anything of the queue until the pause ends; exit 4 if
that took too long, and the queue stays paused. A pause of a paused queue takes the other's place.
";

/// The arguments of `mq pause`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// Why, for mq stats and for those who wait
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Resume by itself after so long, in whole seconds
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
    /// Return when nothing is claimed any more, or after so long (exit 4)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    queue.pause_for(args.reason.clone(), args.length)?;
    match args.wait {
        None => Ok(Exit::Done),
        Some(limit) => wait(&queue, &spot, limit),
    }
}

fn wait(queue: &Queue, spot: &Spot, limit: Duration) -> Result<Exit> {
    let mut vigil = Vigil::new(queue, Some(limit));
    loop {
        let began = Instant::now();
        // While the queue is paused nobody else takes back what lost workers have left. An entry that can't be taken back is
        // counted below as what it is: claimed.
        let recovered = queue.recover().unwrap_or_default();
        let held = queue.in_flight()?;
        queue.still_here()?;
        if held == 0 {
            return Ok(Exit::Done);
        }
        let next = recovered.next_expiry.map(|moment| moment.since(queue.disk().now()));
        if !vigil.pause(queue, began, next)? {
            let are = if held == 1 { "message is" } else { "messages are" };
            let text = format!("{}: {held} {are} still claimed after {}", spot.label, format_duration(limit));
            let hint = format!("it stays paused; mq ls {} --state claimed shows who holds what", spot.label);
            return Err(Failure::new(Exit::TimedOut, text).hint(hint).into());
        }
    }
}
