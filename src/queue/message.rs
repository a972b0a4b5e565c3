//! One message's file, open: its header, its body, its history, and whether they are what was sent.

use super::checksum::Sum;
use super::error::{Error, Result};
use super::header::{self, HEADER_MAX, Header, Start};
use super::history::{self, History};
use super::pack;
use crate::fs::{Disk, File, Kind, Stat};

/// A body up to this size is read and checked at once; a larger one is checked while it is copied for the job.
pub(super) const SMALL: u64 = 1 << 20;
/// How much of a file is read at first: enough for nearly every header, with a small body behind it.
const FIRST: usize = 16 << 10;

/// A message whose header was read.
#[derive(Debug)]
pub struct Message {
    disk: Disk,
    file: File,
    pub stat: Stat,
    pub header: Box<Header>,
    /// The header line, newline included: what the checksum begins with.
    line: Vec<u8>,
    /// The whole body, where it was small and checked.
    body: Option<Vec<u8>>,
    /// A second descriptor of the same file, which has the lock.
    lock: Option<File>,
    /// Set for one message of a pack: where its body is in the file, and where the pack ends.
    in_pack: Option<(u64, u64)>,
}

/// How far to look into a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The header, and whether the file is long enough for the body.
    Header,
    /// A small body's checksum too.
    Small,
    /// The whole body's, however large.
    Whole,
}

/// What a file turned out to be.
#[derive(Debug)]
pub(super) enum Content {
    Message(Box<Message>),
    /// The file stays open, and so its lock held, until the caller has acted on its name.
    Placeholder(File),
    Bad(File, String),
    Unknown(String),
}

pub(super) fn load(disk: &Disk, file: File, stat: Stat, depth: Depth) -> Result<Content> {
    if stat.kind != Kind::File {
        return Ok(Content::Unknown("is not a regular file".into()));
    }
    // A message is nearly always read with one call, which a look at its length has made possible.
    let mut bytes = vec![0; usize::try_from(stat.size).unwrap_or(FIRST).min(FIRST)];
    let mut filled = disk.read_full(&file, &mut bytes, 0)?;
    if filled == FIRST && !bytes.contains(&b'\n') {
        bytes.resize(HEADER_MAX, 0);
        filled += disk.read_full(&file, &mut bytes[filled..], filled as u64)?;
    }
    bytes.truncate(filled);
    let (header, end) = match header::read(&bytes) {
        Start::Header(header, end) => (header, end),
        Start::Placeholder => return Ok(Content::Placeholder(file)),
        Start::Bad(why) => return Ok(Content::Bad(file, why)),
        Start::Unknown(why) => return Ok(Content::Unknown(why)),
    };
    let size = header.size_bytes;
    // Of a pack whatever is left is whole, or not, by itself.
    let cut = (end as u64).checked_add(size).is_none_or(|whole| whole > stat.size);
    if cut && header.messages.is_none() {
        let there = stat.size.saturating_sub(end as u64);
        return Ok(Content::Bad(file, format!("its body has {there} bytes, not {size}")));
    }
    let line = bytes[..end].to_vec();
    let mut message = Message { disk: disk.clone(), file, stat, header, line, body: None, lock: None, in_pack: None };
    if let Some(count) = message.header.messages {
        if size < pack::table_length(count) as u64 || size > pack::SIZE_MAX {
            return Ok(Content::Bad(message.file, format!("{size} bytes are no pack of {count} messages")));
        }
        if !message.header.agrees(header::checksum(&message.line)) {
            return Ok(Content::Bad(message.file, "the checksum of its header does not match".into()));
        }
        if depth != Depth::Header {
            let mut body = bytes.split_off(end);
            let have = body.len();
            body.resize(usize::try_from(size).unwrap_or(0), 0);
            if have < body.len() {
                // What is not there stays zero, which is no entry and has no checksum.
                disk.read_full(&message.file, &mut body[have..], (end + have) as u64)?;
            }
            message.body = Some(body);
        }
    } else if depth != Depth::Header && size <= SMALL {
        let mut body = bytes.split_off(end);
        let have = body.len();
        body.resize(usize::try_from(size).unwrap_or(0), 0);
        if have < body.len() {
            let rest = &mut body[have..];
            if disk.read_full(&message.file, rest, (end + have) as u64)? < rest.len() {
                return Ok(Content::Bad(message.file, "its body ends early".into()));
            }
        }
        let mut sum = header::checksum(&message.line);
        sum.update(&body);
        if !message.header.agrees(sum) {
            return Ok(Content::Bad(message.file, "its checksum does not match".into()));
        }
        message.body = Some(body);
    } else if depth == Depth::Whole {
        let mut reader = message.reader();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => (),
                Err(Error::Damaged { why, .. }) => return Ok(Content::Bad(message.file, why)),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Content::Message(Box::new(message)))
}

impl Message {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Keeps the descriptor that has the lock as long as the message.
    pub(super) fn keep(&mut self, lock: File) {
        self.lock = Some(lock);
    }

    /// The file alone, open and locked as it is.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where the body begins in the file.
    pub(super) fn body_at(&self) -> u64 {
        self.in_pack.map_or(self.line.len() as u64, |(at, _)| at)
    }

    /// Where the history begins: after the body, or after the whole pack.
    pub(super) fn body_end(&self) -> u64 {
        self.in_pack.map_or(self.body_at() + self.header.size_bytes, |(_, end)| end)
    }

    /// This pack's file, as that of one of its messages: its header, its body and where that is in the file.
    pub(super) fn one_of_pack(self, header: Box<Header>, line: Vec<u8>, body: Vec<u8>, at: u64) -> Message {
        let in_pack = Some((at, self.body_end()));
        Message { header, line, body: Some(body), in_pack, ..self }
    }

    /// The table and the bodies of a pack, or a body, as they were read.
    pub(super) fn take_body(&mut self) -> Option<Vec<u8>> {
        self.body.take()
    }

    /// The whole body, where it is small (1 MiB) and was checked when the message was read.
    pub fn small_body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// The first bytes of the body, unchecked: for a preview.
    pub fn start(&self, most: usize) -> Result<Vec<u8>> {
        let length = self.header.size_bytes.min(most as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(most)];
        let got = self.disk.read_full(&self.file, &mut bytes, self.body_at())?;
        bytes.truncate(got);
        Ok(bytes)
    }

    pub fn history(&self) -> Result<History> {
        Ok(history::read(&self.disk, &self.file, self.body_end())?)
    }

    /// The body in order, checked at its end.
    pub fn reader(&self) -> Reader<'_> {
        Reader { message: self, offset: 0, sum: Some(header::checksum(&self.line)) }
    }

    /// Whether another file is the same message: header and body, byte for byte.
    ///
    /// # Errors
    /// [`Error::Damaged`] when one of them fails its check.
    pub(super) fn equals(&self, other: &Message) -> Result<bool> {
        if self.line != other.line {
            return Ok(false);
        }
        // Equal headers have equal lengths and checksums: what is left to find out is whether both bodies are whole.
        for message in [self, other] {
            let mut reader = message.reader();
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer)? > 0 {}
        }
        Ok(true)
    }

    /// A private copy of the body without a name, checked: what a job reads as its stdin. It lives as long as it is open.
    pub fn private_copy(&self, dir: &crate::fs::Dir) -> Result<File> {
        let copy = self.disk.create_unnamed(dir)?;
        let copy = match self.copy_into(&copy) {
            // A full disk must be drainable, and this is how it is drained.
            Err(error) if error.no_room() => {
                let in_memory = self.disk.create_in_memory(dir)?;
                self.copy_into(&in_memory)?;
                in_memory
            }
            copied => copied.map(|()| copy)?,
        };
        let size = self.header.size_bytes;
        // The copy is what the job will see, so the copy is what is checked.
        let mut sum = header::checksum(&self.line);
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            let got = self.disk.read_full(&copy, &mut buffer, offset)?;
            if got == 0 {
                break;
            }
            sum.update(&buffer[..got]);
            offset += got as u64;
        }
        if offset != size || !self.header.agrees(sum) {
            return Err(self.damaged("its checksum does not match"));
        }
        Ok(copy)
    }

    fn copy_into(&self, copy: &File) -> Result<()> {
        let size = self.header.size_bytes;
        let mut done = 0;
        while done < size {
            match self.disk.copy(&self.file, self.body_at() + done, copy, done, size - done)? {
                0 => return Err(self.damaged("its body ends early")),
                copied => done += copied,
            }
        }
        Ok(())
    }

    fn damaged(&self, why: &str) -> Error {
        Error::Damaged { path: self.file.path().to_path_buf(), why: why.to_string() }
    }
}

/// Reads a body from its start to its end.
#[derive(Debug)]
pub struct Reader<'m> {
    message: &'m Message,
    offset: u64,
    sum: Option<Sum>,
}

impl Reader<'_> {
    /// The next bytes; none at the end, where the checksum was found to match.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it does not.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let message = self.message;
        let left = message.header.size_bytes - self.offset;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return match &self.sum {
                Some(sum) if left == 0 && !message.header.agrees(sum.clone()) => {
                    Err(message.damaged("its checksum does not match"))
                }
                _ => Ok(0),
            };
        }
        let got = message.disk.read_at(&message.file, &mut into[..most], message.body_at() + self.offset)?;
        if got == 0 {
            return Err(message.damaged("its body ends early"));
        }
        if let Some(sum) = &mut self.sum {
            sum.update(&into[..got]);
        }
        self.offset += got as u64;
        Ok(got)
    }
}
