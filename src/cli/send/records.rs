//! Many messages from stdin: lines, NUL-ended records, JSON objects. Published whole at the end of the input, or not at
//! all; with `--flush`, whatever has come is published now and then, each time whole.

use super::jsonl;
use super::{Args, Ids, Newline, finish};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::input::Pieces;
use crate::cli::{Globals, progress};
use crate::queue::{Batch, Envelope, Queue};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// With `--flush`, at most so many records wait.
const FLUSH_RECORDS: u32 = 1000;
/// A JSON object is held in memory, so it has a limit; lines, NUL records, files and stdin have none.
const JSON_MAX: usize = 256 << 20;

/// How records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Lines(Newline),
    Null,
    Json,
}

pub(super) fn send(globals: &Globals, args: &Args, queue: &Queue, envelope: &Envelope, ids: Ids) -> Result<Exit> {
    let framing = match (args.lines, args.null) {
        (true, _) => Framing::Lines(args.newline()),
        (_, true) => Framing::Null,
        _ => Framing::Json,
    };
    if io::stdin().is_terminal() {
        globals.talk("reading records from the terminal: end them with Ctrl-D on a line of its own");
    }
    let bar = progress::Bytes::new(globals, stdin_length(), "bytes");
    let mut sender = Sender { queue, envelope, framing, args, ids, batch: None, open: Open::No, record: 0, bar };
    let sent = sender.all();
    sender.bar.finish();
    match sent {
        Ok(()) if sender.ids.count == 0 => {
            globals.talk("stdin was empty: nothing sent");
            Ok(Exit::Nothing)
        }
        Ok(()) => sender.ids.end(),
        Err(error) => {
            let before = sender.ids.count;
            let _ = sender.ids.end();
            // With --flush, what came before is sent.
            Err(match before {
                0 => error,
                sent => error.context(format!("{sent} messages were sent before")),
            })
        }
    }
}

/// Where a record stands that has not ended yet.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    No,
    /// Its start is in the batch.
    Begun,
    /// A JSON object, as far as it has come.
    Gathered(Vec<u8>),
}

struct Sender<'a> {
    queue: &'a Queue,
    envelope: &'a Envelope,
    framing: Framing,
    args: &'a Args,
    ids: Ids,
    batch: Option<(Batch<'a>, Instant)>,
    open: Open,
    /// The number of the record at hand, from 1.
    record: u64,
    bar: progress::Bytes,
}

impl<'a> Sender<'a> {
    fn all(&mut self) -> Result<()> {
        let stdin = io::stdin();
        let mut pieces = Pieces::new();
        loop {
            // A record that is still coming in is part of its batch, so it can be published only when it is whole.
            if let (Some(every), Some((_, began)), false) = (self.args.flush, &self.batch, self.open == Open::Begun) {
                let left = every.saturating_sub(began.elapsed());
                if left.is_zero() || !readable(&stdin, left)? {
                    self.publish()?;
                    continue;
                }
            }
            let piece = match pieces.next(|room| rustix::io::read(&stdin, room)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(io::Error::from(error)).context("cannot read stdin: not sent"),
                Ok(piece) => piece,
            };
            if piece.is_empty() {
                break;
            }
            self.bar.add(piece.len() as u64);
            self.take(piece)?;
        }
        match std::mem::replace(&mut self.open, Open::No) {
            Open::No => (),
            // The last record may lack its end.
            Open::Begun => self.end_record()?,
            Open::Gathered(object) => self.object(&object)?,
        }
        self.publish()
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        let end = if self.framing == Framing::Null { b'\0' } else { b'\n' };
        let ends_as_it_came = self.framing == Framing::Lines(Newline::Added);
        while !bytes.is_empty() {
            if let (true, Open::No, None, Some((batch, _))) =
                (ends_as_it_came, &self.open, self.args.flush, &mut self.batch)
            {
                let (taken, lines) = batch.lines(bytes);
                self.record += u64::from(lines);
                bytes = &bytes[taken..];
                if bytes.is_empty() {
                    break;
                }
            }
            let (piece, ended) = match memchr::memchr(end, bytes) {
                Some(at) => (&bytes[..at], true),
                None => (bytes, false),
            };
            let whole = &bytes[..piece.len() + usize::from(ended)];
            bytes = &bytes[whole.len()..];
            if self.framing == Framing::Json {
                self.json_piece(piece, ended)?;
                continue;
            }
            let begins = self.open == Open::No;
            let envelope = self.envelope;
            let batch = self.batch()?;
            if begins {
                batch.begin(envelope)?;
            }
            batch.write(if ends_as_it_came { whole } else { piece })?;
            self.record += u64::from(begins);
            self.open = if ended { Open::No } else { Open::Begun };
            if ended {
                self.full()?;
            }
        }
        Ok(())
    }

    fn json_piece(&mut self, piece: &[u8], ended: bool) -> Result<()> {
        let mut object = match std::mem::replace(&mut self.open, Open::No) {
            Open::Gathered(object) => object,
            _ => Vec::new(),
        };
        if object.len() + piece.len() > JSON_MAX {
            let why = format!("line {} is longer than {} MiB: not sent", self.record + 1, JSON_MAX >> 20);
            return Err(Failure::new(Exit::Data, why).hint("--file and stdin take bodies of any size").into());
        }
        let needed = object.len() + piece.len();
        if object.capacity() < needed {
            // Twice as much each time, as a vector grows, but never more than the limit.
            let room = (2 * object.capacity()).clamp(needed, JSON_MAX);
            object.reserve_exact(room - object.len());
        }
        object.extend_from_slice(piece);
        if !ended {
            self.open = Open::Gathered(object);
            return Ok(());
        }
        self.object(&object)
    }

    fn object(&mut self, line: &[u8]) -> Result<()> {
        self.record += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let now = self.queue.disk().now();
        let parsed = jsonl::parse(line, self.envelope, self.args, now);
        let (envelope, body) = parsed.map_err(|why| {
            let failure = Failure::new(Exit::Data, format!("line {}: {why}: nothing of this is sent", self.record));
            failure.hint("mq help json lists the fields; --lines sends each line as it is")
        })?;
        let batch = self.batch()?;
        batch.begin(&envelope)?;
        batch.write(&body)?;
        self.full()
    }

    fn end_record(&mut self) -> Result<()> {
        if self.framing == Framing::Lines(Newline::Added) {
            self.batch()?.write(b"\n")?;
        }
        self.full()
    }

    fn full(&mut self) -> Result<()> {
        let full = self.batch.as_ref().is_some_and(|(batch, _)| batch.len() >= FLUSH_RECORDS);
        if self.args.flush.is_some() && full { self.publish() } else { Ok(()) }
    }

    /// The batch at hand, begun where there is none.
    fn batch(&mut self) -> Result<&mut Batch<'a>> {
        if self.batch.is_none() {
            self.batch = Some((self.queue.batch()?, Instant::now()));
        }
        let batch = self.batch.as_mut().map(|(batch, _)| batch);
        batch.context("a batch that was just begun")
    }

    fn publish(&mut self) -> Result<()> {
        match self.batch.take() {
            Some((batch, _)) if !batch.is_empty() => finish(batch, &mut self.ids),
            _ => Ok(()),
        }
    }
}

/// Whether there is something to read within `wait`; the end of the input is something.
fn readable(stdin: &io::Stdin, wait: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(wait.max(Duration::from_millis(1))).ok();
    loop {
        let mut fds = [PollFd::new(stdin, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(io::Error::from(error)).context("cannot wait for stdin"),
            Ok(count) => return Ok(count > 0),
        }
    }
}

/// How much there is to read, where stdin is a regular file.
fn stdin_length() -> Option<u64> {
    let stat = rustix::fs::fstat(io::stdin()).ok()?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    u64::try_from(stat.st_size).ok().filter(|_| regular)
}
