//! The checksum of all that a queue keeps: CRC-32 as in zlib and gzip (RFC 1952, section 8).
//!
//! It is `crc32fast`'s, but for the first few kilobytes of a process. Before its first byte `crc32fast` asks what the processor
//! can do, and under a hypervisor the answer takes longer than all that a single send or claim has to sum up: 45 µs.

use crc32fast::Hasher;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of this process are still summed up by the table.
static LEFT: AtomicUsize = AtomicUsize::new(8 << 10);

/// The checksum of what has come so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    crc: u32,
    length: u64,
    /// What goes on from these, once there is more than a little.
    large: Option<Hasher>,
}

/// The checksum of these bytes.
pub(super) fn of(bytes: &[u8]) -> u32 {
    let mut sum = Sum::new();
    sum.update(bytes);
    sum.finalize()
}

impl Sum {
    pub fn new() -> Sum {
        Sum::default()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if self.large.is_some() || !is_left(bytes.len()) {
            return self.large().update(bytes);
        }
        self.crc = !bytes.iter().fold(!self.crc, |crc, byte| next(crc, *byte));
        self.length += bytes.len() as u64;
    }

    /// Adds what another has summed up, as if its bytes came now.
    pub fn combine(&mut self, after: &Sum) {
        if self.large.is_some() || after.large.is_some() || !is_left(after.length as usize) {
            return self.large().combine(after.clone().large());
        }
        // A CRC is linear: the first moves past as many zeros as bytes follow, and what these make is added to it.
        self.crc = (0..after.length).fold(self.crc, |crc, _| next(crc, 0)) ^ after.crc;
        self.length += after.length;
    }

    pub fn finalize(self) -> u32 {
        self.large.map_or(self.crc, Hasher::finalize)
    }

    /// The checksum as it is written: eight digits. (`format!` took a third of a claim of a whole pack.)
    pub fn digits(self) -> [u8; 8] {
        let sum = self.finalize();
        std::array::from_fn(|at| b"0123456789abcdef"[(sum >> (28 - 4 * at) & 15) as usize])
    }

    fn large(&mut self) -> &mut Hasher {
        let (crc, length) = (self.crc, self.length);
        self.large.get_or_insert_with(|| Hasher::new_with_initial_len(crc, length))
    }
}

fn is_left(bytes: usize) -> bool {
    let left = LEFT.load(Ordering::Relaxed);
    // Of two threads that spend it at once both may: it is no limit that has to hold.
    let enough = left >= bytes;
    if enough {
        LEFT.store(left - bytes, Ordering::Relaxed);
    }
    enough
}

fn next(crc: u32, byte: u8) -> u32 {
    TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
}

/// What each byte does to the sum: eight steps of the polynomial, lowest bit first.
static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_are_the_same_checksum_however_it_comes_about() {
        let bytes: Vec<u8> = (0..600u32).map(|number| (number * number / 7) as u8).collect();
        for (from, to) in [(0, 0), (0, 1), (0, 255), (1, 600), (300, 300), (299, 301)] {
            let all = crc32fast::hash(&bytes);
            let part = |range: std::ops::Range<usize>, small| {
                LEFT.store(if small { usize::MAX } else { 0 }, Ordering::Relaxed);
                let mut sum = Sum::new();
                sum.update(&bytes[range]);
                sum
            };
            for kinds in 0..16u8 {
                let small = |bit: u8| kinds & 1 << bit == 0;
                let mut sum = part(0..from, small(0));
                sum.combine(&part(from..to, small(1)));
                LEFT.store(if small(2) { usize::MAX } else { 0 }, Ordering::Relaxed);
                let mut rest = Sum::new();
                rest.update(&bytes[to..]);
                LEFT.store(if small(3) { usize::MAX } else { 0 }, Ordering::Relaxed);
                sum.combine(&rest);
                assert_eq!(sum.finalize(), all, "{from}, {to}, {kinds:04b}");
                // Bytes by themselves after what was combined, and what was combined after something.
                let set = |bit| LEFT.store(if small(bit) { usize::MAX } else { 0 }, Ordering::Relaxed);
                let mut sum = part(0..from, small(0));
                let mut after = part(from..to, small(1));
                let end = part(to..600, small(2));
                set(3);
                after.combine(&end);
                sum.combine(&after);
                assert_eq!(sum.finalize(), all, "{from}, {to}, {kinds:04b}, the end first");
                let mut sum = part(0..from, small(0));
                sum.combine(&part(from..to, small(1)));
                set(2);
                sum.update(&bytes[to..to + (600 - to) / 2]);
                set(3);
                sum.update(&bytes[to + (600 - to) / 2..]);
                assert_eq!(sum.finalize(), all, "{from}, {to}, {kinds:04b}, one by one");
            }
        }
        assert_eq!(of(b"123456789"), 0xcbf4_3926, "the check value of RFC 1952's CRC");
        for bytes in [&b"123456789"[..], b"", b"1", b"12"] {
            let mut sum = Sum::new();
            sum.update(bytes);
            assert_eq!(sum.digits(), format!("{:08x}", of(bytes)).as_bytes());
        }
    }
}
