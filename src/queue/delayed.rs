//! What is not to be delivered before a time: a schedule, or the backoff before a retry. Whoever looks for a message moves
//! what is due to `ready/`, each with one rename; of two who try, one finds the name gone. No lock: the name is the claim.

use super::Queue;
use super::error::{Error, Result};
use super::name::{DELAYED, Name, State, due_bucket, home};
use crate::fs::Kind;
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;

/// At most so many messages become ready in one look, so that a million which are due at once delay no claim.
const AT_ONCE: usize = 1024;

impl Queue {
    /// Makes ready what is due by `now`, at most a thousand messages; returns when to look again, if ever. When more is due
    /// than was moved, that is now.
    ///
    /// Killed anywhere: each message is in one of the two places.
    pub(super) fn promote(&self, now: Time) -> Result<Option<Time>> {
        let Some(top) = self.maybe_dir(Path::new(DELAYED))? else { return Ok(None) };
        let current = due_bucket(now);
        let mut moved = 0;
        let mut next: Option<Time> = None;
        for bucket in self.bucket_names(&top)? {
            if bucket > current {
                // Nothing in there is due before its name: look again then.
                let start = bucket.parse().map_or(now, Time::from_micros);
                return Ok(Some(next.map_or(start, |next| next.min(start))));
            }
            let dir = match self.disk.open_dir(&top, &bucket) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            let mut due: Vec<String> = Vec::new();
            let mut later = false;
            self.disk.list(&dir, |entry, kind| {
                let Some((at, text)) = entry.to_str().and_then(|text| Some((Name::parse_delayed(text)?.0, text)))
                else {
                    return ControlFlow::Continue(());
                };
                if kind != Kind::File {
                    return ControlFlow::Continue(());
                }
                if at > now {
                    later = true;
                    next = Some(next.map_or(at, |next| next.min(at)));
                } else {
                    due.push(text.to_string());
                }
                if moved + due.len() >= AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            due.sort_unstable();
            moved += due.len();
            for file_name in due {
                let Some((_, name)) = Name::parse_delayed(&file_name) else { continue };
                match self.move_into(&dir, &file_name, &home(State::Ready, &name, None), &name.to_string()) {
                    Err(error) if error.missing() => self.still_here()?,
                    // A twin, out of a backup: fsck's affair. It must not stop all others.
                    Err(Error::Disk(error)) if error.exists() => (),
                    renamed => renamed?,
                }
            }
            if moved >= AT_ONCE {
                return Ok(Some(now));
            }
            if !later && bucket < current {
                // Not empty any more, gone, or somebody's foreign file in it: all the same to us.
                let _ = self.disk.remove_dir(&top, &bucket);
            }
        }
        Ok(next)
    }

    /// When the first message that waits for a retry is due; what was scheduled and never tried does not count.
    pub fn next_retry(&self) -> Result<Option<Time>> {
        let mut next = None;
        self.each_file(State::Delayed, |place, _| {
            if place.name.attempts.count() == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            next = place.due;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(next)
    }
}
