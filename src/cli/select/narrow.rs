//! What narrows a selection: age, the outcome of the last attempt, a text.

use super::Select;
use crate::cli::look::Look;
use crate::queue::name::{GroupMark, Grouped, State};
use crate::queue::{Error, Message, Outcome, Place, Queue, Result};
use crate::time::Time;

/// Whether a message is meant.
pub(super) enum Kept {
    /// With what was read of it to find out.
    Yes(Option<Box<Look>>),
    No,
    /// It moved on meanwhile.
    Gone,
}

impl Select {
    /// Opens the message only where the answer is inside.
    pub(super) fn keeps(&self, queue: &Queue, place: &Place, now: Time) -> Result<Kept> {
        if let Some(group) = &self.group
            && place.name.group.map(Grouped::mark) != Some(GroupMark::of(group))
        {
            return Ok(Kept::No);
        }
        if let Some(age) = self.older_than {
            let since = match place.state {
                State::Dead => match queue.times(place)? {
                    Some(times) => times.since,
                    None => return Ok(Kept::Gone),
                },
                _ => place.id().time(),
            };
            if now.since(since) <= age {
                return Ok(Kept::No);
            }
        }
        if self.outcome.is_empty() && self.matching.is_none() {
            return Ok(Kept::Yes(None));
        }
        let Some(look) = Look::at(queue, place) else { return Ok(Kept::Gone) };
        if let Look { failed: Some(error), .. } = look {
            return Err(error);
        }
        if !self.outcome.is_empty() && !last_outcome(&look).is_some_and(|outcome| self.outcome.contains(&outcome)) {
            return Ok(Kept::No);
        }
        if let Some(text) = &self.matching
            && !mentions(&look, text)?
        {
            return Ok(Kept::No);
        }
        Ok(Kept::Yes(Some(Box::new(look))))
    }
}

fn last_outcome(look: &Look) -> Option<Outcome> {
    match &look.inside {
        Some((_, history)) => history.last().map(|attempt| attempt.outcome),
        None => (look.place.state == State::Damaged).then_some(Outcome::Damaged),
    }
}

fn mentions(look: &Look, text: &str) -> Result<bool> {
    if look.reason().is_some_and(|reason| reason.contains(text)) {
        return Ok(true);
    }
    let Some((message, _)) = &look.inside else { return Ok(false) };
    if message.header.values().any(|(_, value)| value.contains(text)) {
        return Ok(true);
    }
    match body_mentions(message, text.as_bytes()) {
        // Damaged: what is not its body mentions nothing, and `ls` and `fsck` say what is wrong.
        Err(Error::Damaged { .. }) => Ok(false),
        found => found,
    }
}

/// Goes through a body of any size in constant memory; a match may lie across two reads.
fn body_mentions(message: &Message, text: &[u8]) -> Result<bool> {
    let mut reader = message.reader();
    let mut buffer = vec![0; text.len() + (64 << 10)];
    let mut kept = 0;
    loop {
        let got = reader.read(&mut buffer[kept..])?;
        if got == 0 {
            return Ok(false);
        }
        let filled = kept + got;
        if contains(&buffer[..filled], text) {
            return Ok(true);
        }
        let tail = filled.saturating_sub(text.len() - 1);
        buffer.copy_within(tail..filled, 0);
        kept = filled - tail;
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some((&first, rest)) = text.split_first() else { return true };
    let mut from = bytes;
    while let Some(at) = from.iter().position(|&byte| byte == first) {
        from = &from[at + 1..];
        if from.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is() {
        for (bytes, text, found) in
            [("abcabd", "abd", true), ("aab", "ab", true), ("abc", "abcd", false), ("", "a", false), ("x", "x", true)]
        {
            assert_eq!(contains(bytes.as_bytes(), text.as_bytes()), found, "{bytes} {text}");
        }
    }
}
