//! The name of one message of a batch, as it waits in the batch's directory for its place.

use crate::queue::digits::digits;
use crate::queue::name::{GroupMark, Priority, parse_count};
use crate::time::Time;
use std::fmt;

/// One message of a batch, as it stands in the batch's directory: order, priority, due time, and what else decides where it
/// is put: its group, and whether it has a unique key (in its header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Part {
    pub number: u32,
    pub priority: Priority,
    pub due: Option<Time>,
    pub group: Option<GroupMark>,
    pub unique: bool,
    /// It is a pack of so many messages.
    pub pack: Option<u32>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}-{}-{:016}", self.number, self.priority.level(), self.due.unwrap_or_default().micros())?;
        if let Some(mark) = self.group {
            write!(f, "-g{mark}")?;
        }
        if self.unique {
            f.write_str("-u")?;
        }
        self.pack.map_or(Ok(()), |count| write!(f, "-n{count:06}"))
    }
}

impl Part {
    pub fn parse(text: &str) -> Option<Part> {
        let (fixed, mut rest) = text.split_at_checked(25)?;
        let mut parts = fixed.split('-');
        let number = u32::try_from(digits(parts.next()?, 6)?).ok()?;
        let priority = Priority::new(u8::try_from(digits(parts.next()?, 1)?).ok()?)?;
        let due = digits(parts.next()?, 16)?;
        let due = (due > 0).then(|| Time::from_micros(due));
        let mut group = None;
        if let Some(marked) = rest.strip_prefix("-g") {
            group = Some(GroupMark::parse(marked.get(..16)?)?);
            rest = &marked[16..];
        }
        let mut unique = false;
        if let Some(left) = rest.strip_prefix("-u") {
            (unique, rest) = (true, left);
        }
        let mut pack = None;
        if let Some(counted) = rest.strip_prefix("-n") {
            (pack, rest) = (Some(parse_count(counted)?), "");
        }
        let whole = parts.next().is_none() && rest.is_empty();
        whole.then_some(Part { number, priority, due, group, unique, pack })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_the_round_trip() {
        let marked = [(None, false), (Some(GroupMark::of("a")), false), (None, true), (Some(GroupMark::of("a")), true)];
        for ((group, unique), pack) in marked.into_iter().flat_map(|kind| [(kind, None), (kind, Some(1000))]) {
            for due in [None, Some(Time::from_micros(9))] {
                let part = Part { number: 7, priority: Priority::DEFAULT, due, group, unique, pack };
                assert_eq!(Part::parse(&part.to_string()), Some(part));
                assert_eq!(Part::parse(&format!("{part}x")), None);
            }
        }
        assert_eq!(Part::parse("000001-é"), None);
    }
}
