//! `mq work`: runs a command for each message, until it is told to stop.

mod bar;
mod talk;

use super::exit::Exit;
use super::failure::{Failure, exit_of};
use super::queues::{DEFAULT, Named, Spot};
use super::{Globals, claim};
use crate::queue::Queue;
use crate::time::parse_duration;
use crate::work::{
    self, Acking, Batch, Command, Drain, Ended, Forward, Frame, Input, Limit, Options, Output, Prefetch, Rules, Skip,
    Split, Stderr, Until, Unusable, Why,
};
use anyhow::Result;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;
use talk::Talker;

pub const EXAMPLES: &str = "\
Examples:
  mq work jobs -- ./job.sh                       the body on stdin; exit 0 acknowledges it
  mq work jobs -j4 --drain -- ./job.sh           four at once, until nothing is left: for cron
  mq work jobs --arg -- curl -fsS -o /dev/null   the body as an argument, or where {} stands
  mq work rows --batch 500 --linger 1s -- ./load.sh      up to 500 at once, a line each
  mq work jobs --timeout 5m --on 3,4=dead --on 75=pause:60s -- ./job.sh

By exit code: 0 acknowledges; 65 and 100 dead-letter at once; any other, or a signal, is tried again after a backoff and
dead-letters when the attempts are used up. A job finds MQ_ID, MQ_UID, MQ_ATTEMPT, MQ_MAX_ATTEMPTS, MQ_SENT_AT, MQ_QUEUE,
MQ_RECEIPT and its headers as MQ_H_NAME in its environment. SIGTERM or Ctrl-C: claim no more, let jobs finish; again: stop
them. SIGUSR1 prints where it stands.
";

/// The arguments of `mq work`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it [default: default]
    queue: Option<String>,
    /// How many jobs at once
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// End when nothing is left to do here
    ///
    /// When nothing is ready, running here, or waiting for a retry; with =ready, retries stay. What is scheduled, or held
    /// by others, is not waited for.
    #[arg(long, value_name = "ready", value_enum, num_args = 0..=1, require_equals = true, hide_possible_values = true)]
    #[allow(clippy::option_option)] // clap's form of a flag with an optional value
    drain: Option<Option<DrainTo>>,
    /// End after at most so many messages
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Claim no more after so long, and end
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    time: Option<Duration>,
    /// Stop a job after so long
    ///
    /// TERM to its process group, KILL five seconds later: a failed attempt. none: never. Unless said, as the queue's
    /// setting is.
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    timeout: Option<Limit>,
    /// How long jobs may go on once stopping
    ///
    /// As long as they take, unless this is said. Then they are stopped, and their messages are put back uncounted.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stop_timeout: Option<Duration>,
    /// The body as an argument: {} or the last
    #[arg(long)]
    arg: bool,
    /// What exit codes mean: ack, retry, dead, pause:D
    ///
    /// Like 3,4=dead, 75=retry or 75=pause:60s, which pauses the whole queue for a minute and puts the message back, uncounted.
    /// Else 0 is ack, 65 and 100 are dead, and any other is retry.
    #[arg(long, value_name = "CODES=OUTCOME", value_parser = rule)]
    on: Vec<String>,
    /// Acknowledge before the job: at most once
    ///
    /// Then the job has no lease and no MQ_RECEIPT. Its failure is told and counted, and no more: it is not tried again and
    /// not dead-lettered, whatever its exit code. Not with rules of --on that retry or dead-letter.
    #[arg(long, hide_short_help = true)]
    ack_first: bool,
    /// One command for up to N messages
    ///
    /// From 1 to 1000; fewer where the limit of open files allows no more. The command gets them on its stdin and
    /// acknowledges them all with exit 0; any other exit is the end of an attempt of each. It finds MQ_BATCH, how many they
    /// are, and MQ_IDS in its environment, and their locks as descriptors from 10 on. -n counts messages, -j commands.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), hide_short_help = true)]
    #[arg(conflicts_with_all = ["arg", "ack_first"])]
    batch: Option<u16>,
    /// Wait so long for more after the first
    ///
    /// Unless said, a batch starts with what is there.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "batch", hide_short_help = true)]
    linger: Option<Duration>,
    /// How messages are told apart: lines, null, jsonl
    ///
    /// lines, as it is unless said: a body is a line; a newline is added where it has none, and one with a newline inside is
    /// dead-lettered. null: a NUL byte after each body, which must have none. jsonl: one object a line, with the fields id,
    /// uid, attempts, sent_at, headers, content_type and body or body_base64 of mq ls --full --json. Then the command may write
    /// the ids of those that failed to descriptor 3, one a line, and the others are acknowledged if it exits 0.
    #[arg(long, value_name = "FRAME", value_enum, requires = "batch", hide_short_help = true)]
    #[arg(hide_possible_values = true)]
    frame: Option<FrameWord>,
    /// Send what a job prints to this queue
    ///
    /// Before its message is acknowledged, its stdout becomes one message of NEXT, with the headers, the content type and
    /// the priority of the one it was made from; an empty stdout sends nothing. A message that is worked on again after a
    /// crash sends nothing twice, within the time that NEXT's setting done_for says. NEXT is made if it is a name.
    #[arg(long, value_name = "NEXT", hide_short_help = true, conflicts_with_all = ["ack_first", "batch"])]
    to: Option<String>,
    /// Send it line by line, a message each
    ///
    /// All of them or none.
    #[arg(long, requires = "to", hide_short_help = true)]
    to_lines: bool,
    /// Acknowledge without a job what was done before
    ///
    /// A message whose uid or unique key was completed by such a worker within the queue's setting done_for is acknowledged
    /// at once: one that comes again because the worker was killed between the job's end and the acknowledgement, or was
    /// sent again under its key.
    #[arg(long, hide_short_help = true, conflicts_with = "ack_first")]
    skip_done: bool,
    /// Claim before their turn: auto, always, never
    ///
    /// A worker whose jobs are short claims what came of one bulk send by the handful: beside each job's message up to 999 that wait
    /// behind it, which mq ls shows as claimed, and which go back when they have waited for a tenth of a second. auto, as it is unless
    /// said: while jobs take 1.5 ms or less. always: whatever jobs take. never: each message at its turn.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", hide_short_help = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    prefetch: PrefetchWord,
    /// Relay a job's stderr, or hand it mq's
    ///
    /// relay, as it is unless said: pass it on, and keep its last 4 KiB with the attempt. inherit: hand over mq's own and keep nothing, for jobs
    /// that must outlive their worker.
    #[arg(long, value_name = "HOW", value_enum, default_value = "relay")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    stderr: StderrTo,
    /// Say a line for every job
    #[arg(short, long)]
    verbose: bool,
    /// The command, executed without a shell for each message
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DrainTo {
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FrameWord {
    Lines,
    Null,
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PrefetchWord {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StderrTo {
    Relay,
    Inherit,
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit::None),
        _ => match parse_duration(text)? {
            Duration::ZERO => Err("would stop every job at once; write none for no limit".into()),
            limit => Ok(Limit::After(limit)),
        },
    }
}

fn rule(text: &str) -> Result<String, String> {
    Rules::default().add(text).map(|()| text.to_string())
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    if args.arg {
        work::refuse_shell_word(&args.command)
            .map_err(|why| Failure::usage(why).hint("hand it to the script instead: … -c 'echo \"$1\"' sh {}"))?;
    }
    let rules = rules(args)?;
    let command = Command::find(&args.command, std::env::var_os("PATH").as_deref()).map_err(unusable)?;
    let (queue, spot) = globals.open_or_create(args.queue.as_deref().unwrap_or(DEFAULT))?;
    // What can be refused is refused before anything is claimed.
    let forward = match &args.to {
        Some(next) => {
            let split = if args.to_lines { Split::Lines } else { Split::Whole };
            Some(Forward { queue: Rc::new(globals.open_or_create(next)?.0), split })
        }
        None => None,
    };
    let options = options(globals, args, &spot, rules, forward);
    let mut talker = Talker::new(globals, args.verbose, &spot, options.until.drain);
    let ended = work::run(queue, &command, &options, &mut talker)?;
    talker.finish();
    finish(&spot, ended)
}

fn rules(args: &Args) -> Result<Rules> {
    let mut rules = Rules::default();
    for rule in &args.on {
        rules.add(rule).map_err(Failure::usage)?;
    }
    if args.ack_first && rules.keeps_messages() {
        let wrong = "--ack-first: the message is gone when its job ends: nothing is left to retry or dead-letter";
        return Err(Failure::usage(wrong).hint("--on CODES=ack or --on CODES=pause:DURATION go with it").into());
    }
    Ok(rules)
}

fn options(globals: &Globals, args: &Args, spot: &Spot, rules: Rules, forward: Option<Forward>) -> Options {
    Options {
        queue: match spot.named {
            Named::Name => spot.label.clone(),
            Named::Path => spot.path.to_string_lossy().into_owned(),
        },
        receipts: claim::receipt_word(globals, spot),
        // A path needs no root, so it is no failure when there is none.
        root: globals.root().ok(),
        jobs: NonZeroUsize::new(args.jobs.into()).unwrap_or(NonZeroUsize::MIN),
        until: Until {
            drain: args.drain.map(|to| to.map_or(Drain::Retries, |DrainTo::Ready| Drain::Ready)),
            count: args.count,
            time: args.time,
        },
        timeout: args.timeout.unwrap_or(Limit::OfQueue),
        stop_timeout: args.stop_timeout,
        input: if args.arg { Input::Argument } else { Input::Stdin },
        output: if forward.is_some() { Output::Capture } else { Output::Inherit },
        forward,
        skip: if args.skip_done { Skip::Done } else { Skip::None },
        prefetch: match args.prefetch {
            PrefetchWord::Auto => Prefetch::WhereShort,
            PrefetchWord::Always => Prefetch::Always,
            PrefetchWord::Never => Prefetch::Never,
        },
        stderr: match args.stderr {
            StderrTo::Relay => Stderr::Relay,
            StderrTo::Inherit => Stderr::Inherit,
        },
        rules,
        acking: if args.ack_first { Acking::BeforeJob } else { Acking::AfterJob },
        batch: args.batch.map(|most| Batch {
            most: NonZeroUsize::new(most.into()).unwrap_or(NonZeroUsize::MIN),
            linger: args.linger.unwrap_or_default(),
            frame: match args.frame {
                None | Some(FrameWord::Lines) => Frame::Lines,
                Some(FrameWord::Null) => Frame::Null,
                Some(FrameWord::Jsonl) => Frame::JsonLines,
            },
        }),
        umask: crate::fs::user_umask(),
    }
}

/// From the end of a run to an exit code.
fn finish(spot: &Spot, ended: Ended) -> Result<Exit> {
    match ended.why {
        Why::Signal(signal) if signal == libc::SIGINT => {
            // As if it had not been caught, so that a shell's loop around us stops too (signal-safety(7), "Proper handling
            // of SIGINT" by Cracauer).
            signal_hook::low_level::emulate_default_handler(signal)?;
            Ok(Exit::Done)
        }
        Why::Signal(_) => Ok(Exit::Done),
        Why::Unusable(why) => Err(unusable(why).into()),
        Why::Failed(error) => Err(error),
        Why::Paused => Err(Failure::new(Exit::Paused, format!("{} is paused", spot.label))
            .hint(format!("mq resume {}", spot.label))
            .into()),
        Why::Drained | Why::Count | Why::Time => Ok(match ended.unsettled {
            // Said when it happened.
            Some(error) => exit_of(&error),
            None if ended.dead_lettered => Exit::DeadLettered,
            None => Exit::Done,
        }),
    }
}

fn unusable(why: Unusable) -> Failure {
    let exit = match why {
        Unusable::NotFound { .. } => Exit::NoCommand,
        Unusable::NotExecutable { .. } => Exit::NotExecutable,
    };
    Failure::new(exit, why.to_string())
}

/// The queue of a bar that counts what is left; a second opening, since the worker has the first.
fn reopen(spot: &Spot) -> Option<Queue> {
    Queue::open(&super::queues::disk(), &spot.path).ok()
}
