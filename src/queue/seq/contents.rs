//! What `seq` says, as its one line.

use super::believable;
use crate::queue::checksum::{self, Sum};
use crate::queue::digits::push;
use crate::queue::name::{Id, PRIORITIES};
use crate::time::Time;

/// How long the line is.
const LINE: usize = 471;

/// The counts that `stats` reports beside what it can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Published, since `seq` was last made anew.
    pub sent: u64,
    /// Taken out by rm, purge or a redrive to another queue.
    pub removed: u64,
    /// Dead-lettered, by any process, at any time.
    pub dead: u64,
    /// Gone as expired, where the queue drops such messages.
    pub expired: u64,
    /// Gone to make room for others, where the queue drops from its full end.
    pub dropped: u64,
}

/// No more messages than this wait or are in hand, and no more bytes: an upper bound, since nobody who acknowledges takes
/// the lock. Counted anew when a limit seems to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub messages: u64,
    /// Of the files; [`Held::UNCOUNTED`] where only messages were counted.
    pub bytes: u64,
    /// Until then it is taken at its word also where it says that the queue is full: counting took long.
    pub fresh_until: Time,
}

impl Held {
    pub const UNCOUNTED: u64 = u64::MAX;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub last: Time,
    pub boot: String,
    pub totals: Totals,
    /// By priority: the bucket being filled and how many were put into it.
    pub filling: [(Time, u32); PRIORITIES as usize],
    /// `None` until a limit is asked about.
    pub held: Option<Held>,
}

impl Contents {
    /// One line of text that ends in a checksum, always of the same length, so that one write replaces it whole. It is made under
    /// the lock, so with as little work as there is.
    pub fn encode(&self) -> String {
        let Totals { sent, removed, dead, expired, dropped } = self.totals;
        let mut text = String::with_capacity(LINE);
        let spaces = |text: &mut String, to: usize| (text.len()..to).for_each(|_| text.push(' '));
        text.push_str("mq1 ");
        push(&mut text, self.last.micros(), 16);
        text.push(' ');
        let end = text.len() + 36;
        text.push_str(&self.boot);
        spaces(&mut text, end);
        for total in [sent, removed, dead] {
            text.push(' ');
            push(&mut text, total, 20);
        }
        for (bucket, count) in self.filling {
            text.push(' ');
            push(&mut text, bucket.micros(), 16);
            text.push(':');
            push(&mut text, count.into(), 6);
        }
        for total in [expired, dropped] {
            text.push(' ');
            push(&mut text, total, 20);
        }
        let held = self.held.map(|held| [held.messages, held.bytes, held.fresh_until.micros()]);
        for (at, width) in [20, 20, 16].into_iter().enumerate() {
            text.push(' ');
            let end = text.len() + width;
            match held {
                Some(held) => push(&mut text, held[at], width),
                None => text.push('-'),
            }
            spaces(&mut text, end);
        }
        let mut sum = Sum::new();
        sum.update(text.as_bytes());
        text.push(' ');
        text.push_str(std::str::from_utf8(&sum.digits()).unwrap_or_default());
        text.push('\n');
        text
    }

    /// Whether it can be gone by: written since the machine was started, and no id that nobody was given.
    pub fn holds(&self, boot: &str) -> bool {
        !boot.is_empty() && self.boot == boot && believable(Id(self.last))
    }

    pub fn decode(bytes: &[u8]) -> Option<Contents> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (text, sum) = text.rsplit_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != checksum::of(text.as_bytes()) {
            return None;
        }
        let mut words = text.split_ascii_whitespace();
        if words.next()? != "mq1" {
            return None;
        }
        let last = Time::from_micros(words.next()?.parse().ok()?);
        let boot = words.next()?.to_string();
        let mut count = || words.next()?.parse().ok();
        let mut totals = Totals { sent: count()?, removed: count()?, dead: count()?, ..Totals::default() };
        let mut filling = [(Time::default(), 0); PRIORITIES as usize];
        for slot in &mut filling {
            let (bucket, count) = words.next()?.split_once(':')?;
            *slot = (Time::from_micros(bucket.parse().ok()?), count.parse().ok()?);
        }
        // A line of an earlier mq ends here.
        let mut more = || words.next().and_then(|word| word.parse().ok());
        (totals.expired, totals.dropped) = (more().unwrap_or(0), more().unwrap_or(0));
        let (held, fresh_until) = (more().zip(more()), Time::from_micros(more().unwrap_or(0)));
        let held = held.map(|(messages, bytes)| Held { messages, bytes, fresh_until });
        Some(Contents { last, boot, totals, filling, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_and_a_torn_one_is_not() {
        let contents = Contents {
            last: Time::from_micros(1_764_000_000_000_000),
            boot: "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f".into(),
            totals: Totals { sent: 3, removed: 2, dead: 1, expired: 4, dropped: 5 },
            filling: [(Time::from_micros(5), 7); PRIORITIES as usize],
            held: Some(Held { messages: 8, bytes: 9, fresh_until: Time::from_micros(10) }),
        };
        let text = contents.encode();
        assert_eq!(text.len(), LINE);
        assert_eq!(Contents::decode(text.as_bytes()), Some(contents));
        for end in 0..text.len() {
            assert_eq!(Contents::decode(&text.as_bytes()[..end]), None);
        }
    }

    #[test]
    fn it_is_written_to_the_letter() {
        let mut contents = Contents {
            last: Time::from_micros(1_764_000_000_000_000),
            boot: "0f0f".into(),
            totals: Totals { sent: 3, removed: u64::MAX, dead: 1, expired: 4, dropped: 5 },
            filling: [(Time::from_micros(5), 1_000_007); PRIORITIES as usize],
            held: None,
        };
        for (held, written) in [
            (None, format!("{:20} {:20} {:16}", '-', '-', '-')),
            (
                Some(Held { messages: 8, bytes: Held::UNCOUNTED, fresh_until: Time::from_micros(10) }),
                format!("{:020} {:020} {:016}", 8, u64::MAX, 10),
            ),
        ] {
            contents.held = held;
            let filling = " 0000000000000005:1000007".repeat(PRIORITIES.into());
            let text = format!(
                "mq1 1764000000000000 {:36} {:020} {:020} {:020}{filling} {:020} {:020} {written}",
                "0f0f",
                3,
                u64::MAX,
                1,
                4,
                5
            );
            let sum = checksum::of(text.as_bytes());
            assert_eq!(contents.encode(), format!("{text} {sum:08x}\n"));
        }
    }
}
