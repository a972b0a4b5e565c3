//! A worker's inner loop without the job, for `tests/bench/compare`: claims and acknowledges what is in a queue.
//!
//! ```text
//! inner QUEUE MESSAGES          until so many are acknowledged, or nothing is left; prints how many, and the seconds. Packs are
//!                               taken in hand, as by a worker whose jobs are short
//! inner QUEUE MESSAGES packs    the same with packs of up to 1000 messages claimed and acknowledged whole
//! ```
//!
//! QUEUE is the path of its directory. What is locked by another claimer is looked for again, as a worker does.

use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Found, Queue, Scout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (queue, most, packs) = match words.as_slice() {
        [queue, most] => (queue, most, false),
        [queue, most, "packs"] => (queue, most, true),
        _ => return fail("usage: inner QUEUE MESSAGES [packs]"),
    };
    let Ok(most) = most.parse() else { return fail("MESSAGES is not a count") };
    match run(Path::new(queue), most, packs) {
        Ok((done, seconds)) => {
            println!("{done}\t{seconds:.6}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("inner: {why}");
    ExitCode::from(2)
}

fn run(path: &Path, most: u64, packs: bool) -> mq::queue::Result<(u64, f64)> {
    let start = Instant::now();
    let queue = Queue::open(&Disk::real(), path)?;
    let mut scout = Scout::new();
    scout.take_handfuls(!packs);
    if packs {
        scout.want(1000, 1000);
    }
    let mut done = 0;
    while done < most {
        match queue.claim(&mut scout, Lease::Live)? {
            Found::Claim(claim) => {
                let mut next = Some(*claim);
                while let Some(claim) = next {
                    done += u64::from(claim.messages());
                    next = claim.ack_next(&queue)?.1;
                }
            }
            Found::Nothing(nothing) if nothing.busy => {}
            Found::Nothing(_) | Found::TooMany => break,
        }
    }
    Ok((done, start.elapsed().as_secs_f64()))
}
