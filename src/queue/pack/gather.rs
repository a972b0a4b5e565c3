//! Gathering a pack in memory: its bodies, then the header line and the table before them.

use super::{BODY_MAX, MOST_BYTES, PLACE, table_length};
use crate::queue::checksum::Sum;
use crate::queue::digits::fill;
use crate::queue::envelope::Envelope;
use crate::queue::error::{Error, Result};
use crate::queue::header::{Line, Uid};

/// A pack that is being gathered.
#[derive(Debug, Default)]
pub(in crate::queue) struct Builder {
    /// Where each body ends.
    ends: Vec<usize>,
    bodies: Vec<u8>,
}

impl Builder {
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn is_full(&self, most: u32) -> bool {
        self.len() >= most || self.bodies.len() >= MOST_BYTES
    }

    /// Adds to the body at hand.
    pub fn write(&mut self, bytes: &[u8]) {
        self.bodies.extend_from_slice(bytes);
    }

    /// The body at hand is whole.
    pub fn end(&mut self) {
        self.ends.push(self.bodies.len());
    }

    /// Whole lines, each a body with its newline behind the one at hand, until there are `most` with that one, or one is too long for a
    /// pack: how many bytes these are, and how many lines.
    pub fn lines(&mut self, bytes: &[u8], most: u32) -> (usize, u32) {
        let (begun, before, mut taken) = (self.bodies.len(), self.len(), 0);
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let full = self.len() + 1 >= most || begun + taken >= MOST_BYTES;
            if full || newline + 1 - taken > BODY_MAX {
                break;
            }
            self.ends.push(begun + taken);
            taken = newline + 1;
        }
        if self.bodies.capacity() < begun + taken {
            // All that a pack can need, of which the system gives what is written to: not twice as much each time, and a copy.
            self.bodies.reserve_exact(MOST_BYTES + bytes.len() - begun.min(MOST_BYTES));
        }
        self.bodies.extend_from_slice(&bytes[..taken]);
        (taken, self.len() - before)
    }

    /// How long the body at hand is so far.
    pub fn open(&self) -> usize {
        self.bodies.len() - self.ends.last().copied().unwrap_or(0)
    }

    /// Takes out the body at hand: it is too long for a pack.
    pub fn take_open(&mut self) -> Vec<u8> {
        self.bodies.split_off(self.ends.last().copied().unwrap_or(0))
    }

    pub fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bodies[start..end])
    }

    pub fn clear(&mut self) {
        self.ends.clear();
        self.bodies.clear();
    }

    /// The header line and the table, which the bodies follow.
    pub fn start(&self, envelope: &Envelope, uid: &Uid, sent_at: String, first: u32) -> Result<Vec<u8>> {
        Ok(self.start_with(self.line(envelope, uid, sent_at, first)?))
    }

    /// The header line, whose checksum and length are still to come.
    pub fn line(&self, envelope: &Envelope, uid: &Uid, sent_at: String, first: u32) -> Result<Line> {
        let pack = Some((self.len(), first));
        Line::with(envelope, uid, sent_at, pack).map_err(|why| Error::Refused { why })
    }

    /// That line, and the table.
    pub fn start_with(&self, line: Line) -> Vec<u8> {
        let size = table_length(self.len()) + self.bodies.len();
        let mut start = line.seal(size as u64, &Sum::new());
        start.reserve(table_length(self.len()));
        let mut at = 0;
        for body in self.bodies() {
            push_entry(&mut start, at, body);
            at += body.len();
        }
        start
    }

    /// All bodies, as they follow the table.
    pub fn rest(&self) -> &[u8] {
        &self.bodies
    }
}

/// One line of the table.
fn push_entry(table: &mut Vec<u8>, at: usize, body: &[u8]) {
    let mut entry = *b"ooooooo lllll cccccccc\n";
    fill(&mut entry[..7], at as u64);
    fill(&mut entry[8..13], body.len() as u64);
    let mut sum = Sum::new();
    sum.update(&entry[..PLACE]);
    sum.update(body);
    entry[PLACE..PLACE + 8].copy_from_slice(&sum.digits());
    table.extend_from_slice(&entry);
}
