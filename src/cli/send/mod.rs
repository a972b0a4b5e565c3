//! `mq send`: puts messages into a queue, from arguments, files, stdin or records, whole or not at all.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod ids;
mod jsonl;
mod records;
mod source;
mod unique;

use super::exit::Exit;
use super::failure::{Failure, say};
use super::input::Pieces;
use super::{Globals, extend, queues};
use crate::queue::name::Priority;
use crate::queue::{Envelope, Queue, Until, check_key, parse_size};
use crate::time::{Time, parse_duration, parse_time};
use anyhow::Result;
use ids::Ids;
use source::Source;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  mq send jobs 'resize 4711.jpg'              one message; prints its id
  mq send jobs -- \"$x\"                        whatever is in $x
  pg_dump db | mq send dumps                  stdin, byte for byte, of any size
  seq 9 | mq send jobs --lines                a message a line, all or none
  find . -type f -print0 | mq send files --null
  mq ls jobs --full --json | mq send other --jsonl
  tail -F log | mq send log --lines --flush 1s
  mq send jobs reindex --unique reindex       unless one is there already
  mq send jobs 'good morning' --at 'tomorrow 08:00' -p 9 -H From=cron

When it exits 0, the messages survive kill -9 and a power cut.
";

/// The arguments of `mq send`.
#[derive(Debug, Default, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it [default: default]
    queue: Option<String>,
    /// Bodies, a message each; without any, stdin is the body
    ///
    /// A body that does not end in a newline gets one, as echo would write it.
    #[arg(conflicts_with = "input")]
    body: Vec<OsString>,
    /// The body is in this file (several: a message each)
    ///
    /// Byte for byte, and of any size.
    #[arg(long, value_name = "FILE", group = "input")]
    file: Vec<PathBuf>,
    /// A message for each line of stdin
    #[arg(long, group = "input")]
    lines: bool,
    /// A message for each NUL-ended record of stdin
    ///
    /// As find -print0 writes them; byte for byte.
    #[arg(short = '0', long, group = "input")]
    null: bool,
    /// A message for each JSON object of stdin
    ///
    /// One a line; mq help json lists the fields.
    #[arg(long, group = "input")]
    jsonl: bool,
    /// A header; a job finds it as $MQ_H_NAME
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The media type of the bodies
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    content_type: Option<String>,
    /// Deliver in order, one at a time, among those of this key
    ///
    /// Messages of different keys run side by side. A failed one holds its group until it succeeds or is dead-lettered.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["delay", "at"])]
    group: Option<String>,
    /// 0 to 9, 9 first [default: 4]
    #[arg(short, long, value_name = "0-9", value_parser = priority)]
    priority: Option<Priority>,
    /// Deliver no sooner than after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Deliver no sooner than then, like 'tomorrow 08:00'
    ///
    /// RFC 3339, @SECONDS, or in the time zone of $TZ: 'YYYY-MM-DD HH:MM', HH:MM, 'tomorrow HH:MM'.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Not delivered after this time: dead-lettered, or dropped
    ///
    /// It runs from the send, or from when the message is due; on_expire says what becomes of the message.
    #[arg(long, value_name = "DURATION", value_parser = extend::lease, hide_short_help = true)]
    ttl: Option<Duration>,
    /// How long to wait for room in a full queue
    ///
    /// Then exit 5. Without it on_full decides: at once, or wait for ever.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    block: Option<Duration>,
    /// Send nothing while a message of this key is in the queue
    ///
    /// Then nothing is sent, unless --on-duplicate says otherwise, the id that stands is printed, and the exit is 0. A key
    /// is up to 128 bytes of text.
    #[arg(long, value_name = "KEY", value_parser = unique::key, conflicts_with_all = ["lines", "null", "jsonl"])]
    unique: Option<String>,
    /// Until when the key is taken: settled, claimed or a DURATION
    ///
    /// settled (unless said): until the message is acknowledged, dead-lettered or removed. claimed: until its first
    /// claim, so that one may run and one more wait. A duration: for so long from the send on, whatever becomes of it.
    #[arg(long, value_name = "WHEN", value_parser = Until::parse, requires = "unique", hide_short_help = true)]
    unique_until: Option<Until>,
    /// What to do when the key is taken: skip, replace or fail
    ///
    /// skip (unless said): send nothing; exit 0. fail: send nothing; exit 8. replace: take the place of the message that
    /// waits; with --delay, it waits anew, so that only the last of several is delivered (a debounce).
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = ["skip", "replace", "fail"],
        hide_possible_values = true,
        requires = "unique",
        hide_short_help = true
    )]
    on_duplicate: Option<String>,
    /// Replacements end the delay at the latest so long after the first send
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = parse_duration,
        requires = "on_duplicate",
        hide_short_help = true
    )]
    max_delay: Option<Duration>,
    /// Publish records this often, not all at the end
    ///
    /// And every 1000 records. Each part is published whole, and durably.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    flush: Option<Duration>,
    /// Publish only a body of exactly this size
    ///
    /// In bytes, or with K M G T; for what comes through a pipe that may break.
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_size,
        conflicts_with_all = ["lines", "null", "jsonl"],
        hide_short_help = true
    )]
    size: Option<u64>,
    /// An empty stdin is a message too
    #[arg(long, hide_short_help = true)]
    allow_empty: bool,
    /// Leave out the newline that ends the body of a BODY argument or a line
    #[arg(long, hide_short_help = true)]
    no_newline: bool,
    /// Print the ids, also of records
    #[arg(long)]
    ids: bool,
}

/// Whether a body that is text ends in a newline, as `echo` would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newline {
    Added,
    LeftOut,
}

impl Args {
    pub(super) fn plain(words: Vec<OsString>) -> Option<Args> {
        let mut words = words.into_iter();
        let queue = words.next().map(OsString::into_string).transpose().ok()?;
        Some(Args { queue, body: words.collect(), ..Args::default() })
    }

    fn newline(&self) -> Newline {
        if self.no_newline { Newline::LeftOut } else { Newline::Added }
    }

    fn envelope(&self, now: Time) -> Result<Envelope> {
        let mut envelope = Envelope { priority: self.priority, ..Envelope::default() };
        for (name, value) in &self.headers {
            envelope.header(name, value).map_err(Failure::usage)?;
        }
        if let Some(content_type) = &self.content_type {
            envelope.typed(content_type).map_err(Failure::usage)?;
        }
        if let Some(group) = &self.group {
            check_key(group).map_err(|why| Failure::usage(format!("--group: {why}")))?;
            envelope.group = Some(group.clone());
        }
        envelope.unique = unique::of(self);
        envelope.due = match (self.delay, &self.at) {
            (Some(delay), _) => Some(now.plus(delay)),
            (None, Some(at)) => Some(parse_time(at, now).map_err(Failure::usage)?),
            (None, None) => None,
        };
        envelope.ttl = self.ttl;
        Ok(envelope)
    }
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let records = args.lines || args.null || args.jsonl;
    if args.flush.is_some() && !records {
        let failure = Failure::usage("send: --flush needs records");
        return Err(failure.hint("add --lines, --null or --jsonl").into());
    }
    unique::check(args)?;
    let now = queues::disk().now();
    let envelope = args.envelope(now)?;
    // What can be refused is refused before a queue is made for it.
    let files = args.file.iter().map(|path| Source::file(path)).collect::<Result<Vec<_>>>()?;
    let (mut queue, _) = globals.open_or_create(args.queue.as_deref().unwrap_or(queues::DEFAULT))?;
    if let Some(block) = args.block {
        queue.block_for(block);
    }
    let talk = Ids::new(globals, args, records);
    if records {
        return records::send(globals, args, &queue, &envelope, talk);
    }
    if !args.body.is_empty() {
        return arguments(globals, args, &queue, &envelope, talk);
    }
    if files.len() > 1 {
        return many_files(args, &queue, &envelope, files, talk);
    }
    let mut source = match files.into_iter().next() {
        Some(file) => file,
        None => Source::stdin(globals),
    };
    let mut draft = queue.draft(envelope)?;
    let mut pieces = Pieces::new();
    let mut bar = super::progress::Bytes::new(globals, source.length, "bytes");
    loop {
        let piece = pieces.next(|room| source.read(room))?;
        if piece.is_empty() {
            break;
        }
        draft.write(piece)?;
        bar.add(piece.len() as u64);
    }
    bar.finish();
    source.whole(draft.size())?;
    if draft.size() == 0 && source.path.is_none() && !args.allow_empty && args.size != Some(0) {
        globals.talk("stdin was empty: nothing sent (--allow-empty sends an empty message)");
        return Ok(Exit::Nothing);
    }
    held_to_size(args, draft.size())?;
    unique::publish(globals, args, draft, talk)
}

/// `--size`: exactly so many bytes, or nothing is sent.
fn held_to_size(args: &Args, size: u64) -> Result<()> {
    match args.size {
        Some(wanted) if wanted != size => {
            let message = format!("send: the body has {size} bytes, not {wanted}: not sent");
            Err(Failure::new(Exit::Data, message).into())
        }
        _ => Ok(()),
    }
}

/// One message, or several published together.
fn arguments(globals: &Globals, args: &Args, queue: &Queue, envelope: &Envelope, mut ids: Ids) -> Result<Exit> {
    let bodies: Vec<Vec<u8>> = args
        .body
        .iter()
        .map(|body| {
            let mut body = body.as_bytes().to_vec();
            if args.newline() == Newline::Added && !body.is_empty() && !body.ends_with(b"\n") {
                body.push(b'\n');
            }
            body
        })
        .collect();
    for body in &bodies {
        held_to_size(args, body.len() as u64)?;
    }
    if let [body] = bodies.as_slice() {
        let mut draft = queue.draft(envelope.clone())?;
        draft.write(body)?;
        return unique::publish(globals, args, draft, ids);
    }
    let mut batch = queue.batch()?;
    for body in &bodies {
        batch.begin(envelope)?;
        batch.write(body)?;
    }
    finish(batch, &mut ids)?;
    ids.end()
}

fn many_files(args: &Args, queue: &Queue, envelope: &Envelope, files: Vec<Source>, mut ids: Ids) -> Result<Exit> {
    let mut batch = queue.batch()?;
    let mut pieces = Pieces::new();
    for mut source in files {
        batch.begin(envelope)?;
        let mut size = 0;
        loop {
            let piece = pieces.next(|room| source.read(room))?;
            if piece.is_empty() {
                break;
            }
            batch.write(piece)?;
            size += piece.len() as u64;
        }
        source.whole(size)?;
        held_to_size(args, size)?;
    }
    finish(batch, &mut ids)?;
    ids.end()
}

/// Publishes a batch. Once it is committed nothing fails the send: what is left to do is done by whoever comes next.
fn finish(batch: crate::queue::Batch<'_>, ids: &mut Ids) -> Result<()> {
    let (before, all) = (ids.count, u64::from(batch.len()));
    let unseen = batch.publish(|id| ids.sent(id))?;
    let skipped = (before + all).saturating_sub(ids.count);
    // Committed is sent, also where no id could be given out yet.
    ids.count = before + all;
    if let Some(error) = unseen {
        say(&format!("sent, but not all of it can be seen yet: {error}; the next mq claim or work finishes it"));
    } else if skipped > 0 {
        let what = if skipped == 1 { "1 message was".into() } else { format!("{skipped} messages were") };
        ids.talk(&format!("{what} not sent: one of the unique key is there already"));
    }
    ids.flush();
    Ok(())
}

fn header(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else { return Err(format!("'{text}' is not NAME=VALUE")) };
    Envelope::default().header(name, value)?;
    Ok((name.to_string(), value.to_string()))
}

pub fn priority(text: &str) -> Result<Priority, String> {
    let level = Some(text).filter(|text| text.len() == 1).and_then(|text| text.parse().ok());
    level.and_then(Priority::new).ok_or_else(|| format!("'{text}' is not a priority from 0 to 9"))
}
