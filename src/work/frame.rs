//! The bodies of a batch, one after the other, as the stdin of one job: each told from the next by the frame. A body that
//! the frame can't hold is left out, with the reason; one that fails its check or can't be read as well.

use super::options::Frame;
use super::start::{NotStarted, unreadable};
use super::stdin::{PIPE_MAX, Stdin, filled};
use crate::fs::File;
use crate::queue::name::{self, Id};
use crate::queue::{Claim, Message, Queue, Result};
use serde_json::{Map, Value};

/// A body in a JSON object is held in memory, so it is no longer than this.
const JSON_MAX: u64 = 64 << 20;
const CHUNK: usize = 256 << 10;

/// A batch, framed.
pub(super) struct Framed {
    pub stdin: Stdin,
    pub fit: Vec<Claim>,
    pub unfit: Vec<(Claim, NotStarted)>,
}

/// Frames the bodies in the order of the claims.
///
/// # Errors
/// There is no room for them, on disk and in memory; all claims come back.
pub(super) fn frame(
    queue: &Queue,
    claims: Vec<Claim>,
    frame: Frame,
) -> std::result::Result<Framed, (Vec<Claim>, NotStarted)> {
    let mut sink = Sink { queue, file: None, written: 0, gathered: Vec::new() };
    let mut why_not: Vec<Option<NotStarted>> = Vec::with_capacity(claims.len());
    for claim in &claims {
        let begin = sink.length();
        let added = sink.add(claim, frame).and_then(|unfit| {
            if unfit.is_some() {
                sink.cut(begin)?;
            }
            Ok(unfit)
        });
        match added {
            Ok(unfit) => why_not.push(unfit),
            Err(error) => return Err((claims, NotStarted::Short(error.into()))),
        }
    }
    let stdin = match sink.finish() {
        Ok(stdin) => stdin,
        Err(error) => return Err((claims, NotStarted::Short(error.into()))),
    };
    let mut framed = Framed { stdin, fit: Vec::with_capacity(claims.len()), unfit: Vec::new() };
    for (claim, why) in claims.into_iter().zip(why_not) {
        match why {
            None => framed.fit.push(claim),
            Some(why) => framed.unfit.push((claim, why)),
        }
    }
    Ok(framed)
}

/// Where the frames go: gathered while they fit into a pipe, then into a file without a name.
struct Sink<'q> {
    queue: &'q Queue,
    file: Option<File>,
    /// How much the file has.
    written: u64,
    gathered: Vec<u8>,
}

impl Sink<'_> {
    fn length(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() > PIPE_MAX { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        let disk = self.queue.disk();
        let beside = disk.open_queue(&self.queue.path().join(name::TMP))?;
        let wrote = match &self.file {
            Some(file) => disk.write_all(file, &self.gathered, self.written),
            None => {
                let file = self.file.insert(disk.create_unnamed(&beside)?);
                disk.write_all(file, &self.gathered, 0)
            }
        };
        match wrote {
            // A full disk must be drainable, and this is how it is drained.
            Err(error) if error.no_room() => {
                let memory = disk.create_in_memory(&beside)?;
                if let Some(file) = &self.file {
                    let mut done = 0;
                    while done < self.written {
                        match disk.copy(file, done, &memory, done, self.written - done)? {
                            0 => break,
                            copied => done += copied,
                        }
                    }
                }
                disk.write_all(&memory, &self.gathered, self.written)?;
                self.file = Some(memory);
            }
            wrote => wrote?,
        }
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Takes back what was pushed since it had this length.
    fn cut(&mut self, length: u64) -> Result<()> {
        match length.checked_sub(self.written) {
            Some(keep) => self.gathered.truncate(usize::try_from(keep).unwrap_or(usize::MAX)),
            None => {
                if let Some(file) = &self.file {
                    self.queue.disk().truncate(file, length)?;
                }
                self.written = length;
                self.gathered.clear();
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Stdin> {
        if self.file.is_none()
            && self.gathered.len() <= PIPE_MAX
            && let Some(pipe) = filled(&self.gathered)
        {
            return Ok(Stdin::Pipe(pipe));
        }
        self.spill()?;
        Ok(self.file.map_or(Stdin::Null, Stdin::Copy))
    }

    /// Adds one message. `Some` where it is to be left out; an error concerns the whole batch.
    fn add(&mut self, claim: &Claim, frame: Frame) -> Result<Option<NotStarted>> {
        let message = claim.message();
        if claim.is_pack() {
            return self.pack(claim, frame);
        }
        match frame {
            Frame::Lines => self.parted(message, b'\n'),
            Frame::Null => self.parted(message, b'\0'),
            Frame::JsonLines => self.object(claim),
        }
    }

    /// The body and then the byte that parts it from the next, which it must not have inside.
    fn parted(&mut self, message: &Message, parting: u8) -> Result<Option<NotStarted>> {
        let size = message.header.size_bytes;
        let mut seen = 0;
        let mut ended = false;
        let mut reader = message.reader();
        let mut buffer = Vec::new();
        loop {
            let bytes = match message.small_body() {
                Some(body) if seen == 0 => body,
                Some(_) => &[],
                None => {
                    buffer.resize(CHUNK, 0);
                    match reader.read(&mut buffer) {
                        Ok(got) => &buffer[..got],
                        Err(error) => return Ok(Some(unreadable(error))),
                    }
                }
            };
            if bytes.is_empty() {
                break;
            }
            if let Some(at) = bytes.iter().position(|byte| *byte == parting) {
                // A line that ends as a line does.
                ended = parting == b'\n' && seen + at as u64 + 1 == size;
                if !ended {
                    return Ok(Some(NotStarted::Unfit { reason: not_parted(parting) }));
                }
            }
            self.push(bytes)?;
            seen += bytes.len() as u64;
        }
        if !ended {
            self.push(&[parting])?;
        }
        Ok(None)
    }

    /// All messages of a pack, or none: where one of them does not fit, each is to be looked at by itself.
    fn pack(&mut self, claim: &Claim, frame: Frame) -> Result<Option<NotStarted>> {
        for (id, uid, body) in claim.each_packed() {
            let Ok(body) = body else { return Ok(Some(NotStarted::Mixed)) };
            let parting = match frame {
                Frame::Lines => b'\n',
                Frame::Null => b'\0',
                Frame::JsonLines => {
                    let mut line =
                        serde_json::to_vec(&told(claim, id, uid.as_str(), body.to_vec())).unwrap_or_default();
                    line.push(b'\n');
                    self.push(&line)?;
                    continue;
                }
            };
            let inside = body.strip_suffix(b"\n").filter(|_| parting == b'\n').unwrap_or(body);
            if inside.contains(&parting) {
                return Ok(Some(NotStarted::Mixed));
            }
            self.push(inside)?;
            self.push(&[parting])?;
        }
        Ok(None)
    }

    fn object(&mut self, claim: &Claim) -> Result<Option<NotStarted>> {
        let message = claim.message();
        if message.header.size_bytes > JSON_MAX {
            let reason = format!("the body of {} bytes is too long for --frame jsonl", message.header.size_bytes);
            return Ok(Some(NotStarted::Unfit { reason }));
        }
        let body = match message.small_body() {
            Some(body) => body.to_vec(),
            None => match whole(message) {
                Ok(body) => body,
                Err(error) => return Ok(Some(unreadable(error))),
            },
        };
        let mut line = serde_json::to_vec(&object(claim, body)).unwrap_or_default();
        line.push(b'\n');
        self.push(&line)?;
        Ok(None)
    }
}

fn whole(message: &Message) -> Result<Vec<u8>> {
    let mut reader = message.reader();
    let mut body = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(body),
            got => body.extend_from_slice(&buffer[..got]),
        }
    }
}

fn object(claim: &Claim, body: Vec<u8>) -> Map<String, Value> {
    told(claim, claim.id(), claim.message().header.uid.as_str(), body)
}

/// The message with the names that `mq ls --full --json` has for what a job may want of it.
fn told(claim: &Claim, id: Id, uid: &str, body: Vec<u8>) -> Map<String, Value> {
    let header = &claim.message().header;
    let mut map = Map::new();
    map.insert("id".into(), id.to_string().into());
    map.insert("uid".into(), uid.into());
    map.insert("attempts".into(), claim.attempt().into());
    map.insert("sent_at".into(), header.sent_at.clone().into());
    if !header.headers.is_empty() {
        map.insert("headers".into(), Value::Object(header.headers.clone()));
    }
    if let Some(content_type) = &header.content_type {
        map.insert("content_type".into(), content_type.clone().into());
    }
    match String::from_utf8(body) {
        Ok(text) => map.insert("body".into(), text.into()),
        Err(error) => map.insert("body_base64".into(), data_encoding::BASE64.encode(error.as_bytes()).into()),
    };
    map
}

fn not_parted(parting: u8) -> String {
    match parting {
        b'\n' => "the body has a newline inside, which --frame lines would take for two messages".into(),
        _ => "the body has a NUL byte, which --frame null would take for two messages".into(),
    }
}
