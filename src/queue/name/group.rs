//! How the name of a message says which group it belongs to.

use std::fmt;

/// Marks the messages of one group (an ordering key) in their names: the 64-bit FNV-1a hash of the key (Fowler, Noll and
/// Vo; draft-eastlake-fnv). Two keys of one mark are one group; nothing else depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupMark(u64);

impl GroupMark {
    pub fn of(key: &str) -> GroupMark {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        GroupMark(key.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }

    /// The name of the group's directory.
    pub(in crate::queue) fn parse(text: &str) -> Option<GroupMark> {
        let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u64::from_str_radix(text, 16).ok().map(GroupMark)).flatten()
    }
}

impl fmt::Display for GroupMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a name says about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grouped {
    /// It is a message of this group.
    Message(GroupMark),
    /// It is the group's ticket: it stands for the group's first message, which the rest of the name is about.
    Ticket(GroupMark),
}

impl Grouped {
    pub fn mark(self) -> GroupMark {
        match self {
            Grouped::Message(mark) | Grouped::Ticket(mark) => mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_hash_of_the_key() {
        // Two of the published test vectors.
        assert_eq!(GroupMark::of("").to_string(), "cbf29ce484222325");
        assert_eq!(GroupMark::of("foobar").to_string(), "85944171f73967e8");
    }
}
