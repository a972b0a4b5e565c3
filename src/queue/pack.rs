//! Packs: many messages in one file, as a bulk send writes them. One file is made, flushed, renamed, listed and unlinked where
//! a thousand would be.
//!
//! ```text
//! {"mq":1,"crc32":"…","size_bytes":N,"uid":"…",…,"messages":COUNT}      the header line, which all of them share
//! OOOOOOO LLLLL CCCCCCCC                                                 COUNT entries of one line each
//! bodies, one after the other
//! history of the whole pack
//! ```
//! An entry says where among the bodies one begins, how long it is, and the checksum (CRC-32) of these two fields with the
//! spaces behind them and of the body. The checksum in the header line covers that line alone. So what is damaged in the middle
//! costs one message. The message of index `i` has the id that the bucket in the pack's name says
//! plus `i`, and the uid that follows from the pack's and `first + i` ([`Uid::derived`]): `first` is 0 but in a part of a pack
//! that was divided.

mod ahead;
mod gather;
mod home;
mod open;
mod part;
mod settle;
mod unpacked;

pub(super) use gather::Builder;
pub(super) use home::{Opened, opened};
pub(super) use open::HeldPack;
pub(super) use part::{FEW, HANDFUL};
pub use settle::Ending;

use super::checksum::Sum;
use super::digits::digits;
use super::envelope::Envelope;
use super::error::{Error, Result};
use super::header::{self, Header, Line, Start, Uid};
use super::message::Message;
use super::name::{Bucket, Name};
use std::ops::Range;

/// No pack is made with more messages. Measured, not part of the format: so ten million messages are some 150 names.
pub const PACK_MOST: u32 = 65_536;
/// Nor with more bytes of bodies, give or take one: a pack is read whole into memory.
pub(super) const MOST_BYTES: usize = 4 << 20;
/// Fewer than so many are sent as files of their own, which need no opening; nor are packs divided into smaller ones.
pub const PACK_LEAST: u32 = 64;
/// A larger body gets a file of its own.
pub(super) const BODY_MAX: usize = 64 << 10;
/// So many messages become files at once when a pack is opened. Measured, not part of the format: each claim of a process of
/// its own lists them (0.1 ms; a thousand took 0.5), and each opening is flushed, which at 250 costs a worker nothing yet.
pub(super) const OPENED: u32 = 250;
/// The longest that a pack can be after its header line: what says more is no pack.
pub(super) const SIZE_MAX: u64 = 64 << 20;

/// How long an entry is: seven digits, five, and eight of the checksum, and what parts them.
const ENTRY: usize = 23;
/// How much of an entry its checksum covers.
const PLACE: usize = 14;

/// Where an entry says that a body is, after the table; `None` for one that says nothing.
fn read_entry(line: &[u8]) -> Option<Range<usize>> {
    let (at, length) = (digits(line.get(..7)?, 7)? as usize, digits(line.get(8..13)?, 5)? as usize);
    (line[7] == b' ' && line[13] == b' ' && line[ENTRY - 1] == b'\n').then_some(at..at + length)
}

fn agrees(line: &[u8], body: &[u8]) -> bool {
    let mut sum = Sum::new();
    sum.update(&line[..PLACE]);
    sum.update(body);
    line[PLACE..PLACE + 8] == sum.digits()
}

/// How long the table of so many entries is.
pub(super) fn table_length(count: u32) -> usize {
    count as usize * ENTRY
}

/// A pack in memory: its table and its bodies, and which of its messages are in it.
#[derive(Clone, Debug)]
pub(super) struct Packed<'m> {
    pub header: &'m Header,
    /// Of each of the messages that were ever in it.
    table: &'m [u8],
    bodies: &'m [u8],
    window: Range<u32>,
}

/// One message of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held<'m> {
    Whole(&'m [u8]),
    /// It fails its check; what is there of it.
    Bad(&'m [u8]),
}

impl Message {
    /// What is in it, if it is a pack that was read whole and can have this name.
    pub(super) fn packed(&self, name: &Name) -> Option<Packed<'_>> {
        let window = name.pack.map(|_| name.window())?;
        let packed = self.packed_whole().filter(|packed| window.end <= packed.window.end)?;
        Some(Packed { window, ..packed })
    }

    /// The same for a pack that nothing has come out of, whatever its name.
    pub(super) fn packed_whole(&self) -> Option<Packed<'_>> {
        Packed::split(&self.header, self.small_body()?)
    }
}

impl<'m> Packed<'m> {
    /// What follows the header line of a pack; `None` where it has no room for the table.
    pub fn split(header: &'m Header, bytes: &'m [u8]) -> Option<Packed<'m>> {
        let count = header.messages?;
        let (table, bodies) = bytes.split_at_checked(table_length(count))?;
        Some(Packed { header, table, bodies, window: 0..count })
    }

    pub fn get(&self, index: u32) -> Held<'m> {
        let at = index as usize * ENTRY;
        let Some(line) = self.table.get(at..at + ENTRY) else { return Held::Bad(&[]) };
        let body = read_entry(line).and_then(|range| self.bodies.get(range)).unwrap_or_default();
        if agrees(line, body) { Held::Whole(body) } else { Held::Bad(body) }
    }

    /// Where the body of a message begins, after the header line of the pack.
    pub fn begins(&self, index: u32) -> usize {
        let at = index as usize * ENTRY;
        let range = self.table.get(at..at + ENTRY).and_then(read_entry);
        self.table.len() + range.map_or(0, |range| range.start)
    }

    /// Each message, with its index.
    pub fn each(&self) -> impl Iterator<Item = (u32, Held<'m>)> + use<'m> {
        let packed = self.clone();
        self.window.clone().map(move |index| (index, packed.get(index)))
    }

    /// Whether so many of the first pass their check.
    pub fn begins_whole(&self, most: u32) -> bool {
        self.each().take(most as usize).all(|(_, held)| matches!(held, Held::Whole(_)))
    }

    /// The indexes of those that fail their check.
    pub fn bad(&self) -> Vec<u32> {
        self.each().filter(|(_, held)| matches!(held, Held::Bad(_))).map(|(index, _)| index).collect()
    }
}

impl Header {
    /// What all messages of a pack have in common.
    pub(super) fn shared(&self) -> Envelope {
        Envelope { due: self.due(), expires: self.expires(), ..self.envelope() }
    }

    pub(super) fn uid_of_packed(&self, index: u32) -> Uid {
        self.uid.derived(u64::from(self.first) + u64::from(index))
    }

    /// What it takes to make the header of each of a pack's messages.
    pub(super) fn pattern(&self) -> Result<Pattern> {
        let line = Line::with(&self.shared(), &self.uid, self.sent_at.clone(), None);
        let line = line.map_err(|why| Error::Refused { why })?;
        match header::read(&line.clone().seal(0, &Sum::new())) {
            Start::Header(header, _) => Ok(Pattern { line, header, first: self.first }),
            _ => Err(Error::Refused { why: "the headers of its messages can't be read".into() }),
        }
    }
}

/// The header of any message of a pack, but for what each has of its own.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    line: Line,
    /// With the uid of the pack.
    header: Box<Header>,
    first: u32,
}

impl Pattern {
    /// The header line of one of the messages, which has this body.
    pub fn line(&self, index: u32, body: &[u8]) -> Vec<u8> {
        self.sealed(&self.uid(index), body)
    }

    /// The same, and the header that it is.
    pub fn header(&self, index: u32, body: &[u8]) -> (Box<Header>, Vec<u8>) {
        let uid = self.uid(index);
        let line = self.sealed(&uid, body);
        (Box::new(self.header.of(&line, uid, body.len() as u64)), line)
    }

    fn uid(&self, index: u32) -> Uid {
        self.header.uid.derived(u64::from(self.first) + u64::from(index))
    }

    fn sealed(&self, uid: &Uid, body: &[u8]) -> Vec<u8> {
        let mut sum = Sum::new();
        sum.update(body);
        self.line.of(uid).seal(body.len() as u64, &sum)
    }
}

/// The bucket of a pack's message once it is a file of its own.
pub(super) fn bucket(pack: &Name, index: u32) -> Bucket {
    Bucket(pack.bucket.0.after(index / OPENED * OPENED))
}

impl Message {
    /// One message of the pack that this is: its own header and body, and the pack's history.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it fails its check.
    pub(super) fn unpacked(self, index: u32) -> Result<Message> {
        let path = self.file().path().to_path_buf();
        let damaged =
            |why: &str| Error::Damaged { path: path.clone(), why: format!("message {index} of the pack: {why}") };
        let count = self.header.messages.filter(|&count| index < count).ok_or_else(|| damaged("there is none"))?;
        let (disk, file) = (self.disk(), self.file());
        let start = self.body_at();
        let mut line = [0; ENTRY];
        if disk.read_full(file, &mut line, start + index as u64 * ENTRY as u64)? < ENTRY {
            return Err(damaged("the file ends early"));
        }
        let range = read_entry(&line).ok_or_else(|| damaged("its entry cannot be read"))?;
        let at = start + (table_length(count) + range.start) as u64;
        if at + range.len() as u64 > start + self.header.size_bytes {
            return Err(damaged("its entry cannot be true"));
        }
        let mut body = vec![0; range.len()];
        let length = disk.read_full(file, &mut body, at)?;
        if length < body.len() || !agrees(&line, &body) {
            return Err(damaged("its checksum does not match"));
        }
        let (header, line) = self.header.pattern()?.header(index, &body);
        Ok(self.one_of_pack(header, line, body, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(bodies: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let mut builder = Builder::default();
        for body in bodies {
            builder.write(body);
            builder.end();
        }
        let line = builder.line(&Envelope::default(), &Uid::new([3; 16]), String::new(), 0).unwrap();
        let start = builder.start_with(line);
        let table = start.len() - table_length(builder.len());
        (start[table..].to_vec(), builder.rest().to_vec())
    }

    fn header(count: u32) -> Header {
        let line =
            Line::with(&Envelope::default(), &Uid::new([3; 16]), "2026-11-25T09:00:00Z".into(), Some((count, 0)));
        let line = line.unwrap().seal(0, &Sum::new());
        let Start::Header(header, _) = header::read(&line) else { panic!("no header") };
        *header
    }

    #[test]
    fn what_was_packed_comes_out() {
        let bodies: [&[u8]; 4] = [b"one\n", b"", b"\0\xff", b"four"];
        let (table, bytes) = built(&bodies);
        let header = header(4);
        let packed = Packed { header: &header, table: &table, bodies: &bytes, window: 0..bodies.len() as u32 };
        for (index, body) in (0..).zip(bodies) {
            assert_eq!(packed.get(index), Held::Whole(body));
        }
        assert_eq!((packed.get(4), packed.bad()), (Held::Bad(&[]), vec![]));
    }

    #[test]
    fn the_header_of_a_packed_message_is_what_is_read_of_its_line() {
        for body in [&b""[..], b"a body", &[7; 12_345]] {
            let (made, line) = header(4).pattern().unwrap().header(2, body);
            let Start::Header(read, end) = header::read(&line) else { panic!("no header") };
            assert_eq!((&made, end), (&read, line.len()));
            assert_eq!((&made.uid, made.messages), (&header(4).uid_of_packed(2), None));
            let mut sum = header::checksum(&line);
            sum.update(body);
            assert!(made.agrees(sum));
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_message() {
        let bodies: [&[u8]; 3] = [b"first", b"second", b"third"];
        let (table, bytes) = built(&bodies);
        let header = header(3);
        for at in 0..table.len() + bytes.len() {
            for bit in 0..8 {
                let (mut table, mut bytes) = (table.clone(), bytes.clone());
                match at.checked_sub(table.len()) {
                    None => table[at] ^= 1 << bit,
                    Some(at) => bytes[at] ^= 1 << bit,
                }
                let packed = Packed { header: &header, table: &table, bodies: &bytes, window: 0..bodies.len() as u32 };
                let whole: Vec<bool> =
                    (0..3).map(|index| packed.get(index) == Held::Whole(bodies[index as usize])).collect();
                assert_eq!(whole.iter().filter(|whole| **whole).count(), 2, "bit {bit} of byte {at}: {whole:?}");
            }
        }
    }
}
