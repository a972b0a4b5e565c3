//! Freeing a key: by whoever acknowledges, dead-letters or removes its message, or claims it, where that is enough.

use super::super::envelope::Until;
use super::super::error::{Error, Result};
use super::super::header::Header;
use super::super::message::Message;
use super::super::name::UNIQUE;
use super::super::{Place, Queue};
use super::record::{Held, Key, record_name};
use crate::fs::Kind;
use std::ops::ControlFlow;
use std::path::Path;

/// A key that is being freed: its record is in doubt until [`Queue::unique_release_end`]. Dropping it leaves it so.
#[derive(Debug)]
#[must_use]
pub(in crate::queue) struct Freeing {
    /// The record of the message.
    own: Option<Held>,
    /// Another one's of the key: held, so that nobody replaces what is about to be removed by its name.
    _other: Option<Held>,
}

/// There is nothing to free.
const NOTHING: Freeing = Freeing { own: None, _other: None };

/// Expired windows are looked for in passing: by one unique send in so many, this many records of a random shard.
const SWEEP_EVERY: u8 = 16;
const SWEEP: usize = 16;

impl Queue {
    /// Before the rename or unlink that settles or removes a message: puts its key in doubt. Killed from here on, whoever
    /// needs the key next looks whether the message stands. Nothing to do, and nothing done, for a message without a key.
    pub(in crate::queue) fn unique_release_begin(&self, header: &Header) -> Result<Freeing> {
        let key = match Key::of_header(header, self) {
            // A window is not ended by anything.
            Some(key) if !matches!(key.until, Until::For(_)) => key,
            _ => return Ok(NOTHING),
        };
        match self.hold_record(&key.shard(), key.plain())? {
            Some(held) => self.put_in_doubt(held, &key, header),
            None => Ok(NOTHING),
        }
    }

    fn put_in_doubt(&self, mut held: Held, key: &Key, header: &Header) -> Result<Freeing> {
        if !held.is_of(header) {
            return Ok(Freeing { own: None, _other: Some(held) });
        }
        if !held.doubt {
            let doubt = key.doubt();
            match self.disk.rename(&held.shard, &held.plain, &held.shard, &doubt) {
                // A record that was never needed: this one is right.
                Err(error) if error.exists() => {
                    self.unlink_gone(&held.shard, &doubt)?;
                    self.disk.rename(&held.shard, &held.plain, &held.shard, &doubt)?;
                }
                // Settling never needs space. Killed before it settles, a second message may be queued early.
                Err(error) if error.no_room() => {
                    self.free_record(&held)?;
                    return Ok(NOTHING);
                }
                renamed => renamed?,
            }
            held.doubt = true;
        }
        Ok(Freeing { own: Some(held), _other: None })
    }

    /// After it: the key is free. What can't be removed stays in doubt, and is looked into.
    pub(in crate::queue) fn unique_release_end(&self, freeing: Freeing) {
        if let Some(held) = freeing.own {
            let _ = self.free_record(&held);
        }
    }

    /// [`Queue::unique_release_begin`] for who has only the place of a message.
    pub(in crate::queue) fn unique_release_at(&self, place: &Place) -> Result<Freeing> {
        if self.maybe_dir(Path::new(UNIQUE))?.is_none() {
            return Ok(NOTHING);
        }
        loop {
            let Some(header) = self.header_at(place)? else { return Ok(NOTHING) };
            let freeing = self.unique_release_begin(&header)?;
            // It may have been replaced, under its own name, before we got hold of the record; not any more.
            if self.header_at(place)?.is_none_or(|again| again.uid == header.uid) {
                return Ok(freeing);
            }
        }
    }

    /// `None` for one that is gone or damaged: nobody can tell whose key it had.
    fn header_at(&self, place: &Place) -> Result<Option<Header>> {
        match self.read(place) {
            Ok(message) => Ok(message.map(|message| *message.header)),
            Err(Error::Damaged { .. } | Error::Unknown { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Right before the rename of a first claim, under the message's lock: frees a key that is taken until then. Killed in
    /// between, a second message may be queued while this one still waits.
    pub(in crate::queue) fn unique_claimed(&self, message: &Message) -> Result<()> {
        if let Some(key) = Key::of_header(&message.header, self)
            && key.until == Until::Claimed
            && let Some(held) = self.own_record(&key, &message.header)?
        {
            self.free_record(&held)?;
        }
        Ok(())
    }

    /// The record of a key, if it is this message that has it.
    fn own_record(&self, key: &Key, header: &Header) -> Result<Option<Held>> {
        let held = self.hold_record(&key.shard(), key.plain())?;
        Ok(held.filter(|held| held.is_of(header)))
    }

    /// Removes a few records whose window has passed. In passing: an error is for whoever needs one of them.
    pub(in crate::queue) fn sweep_records(&self) {
        let swept = (|| -> Result<()> {
            let [turn, shard, skip] = self.disk.random()?;
            if turn % SWEEP_EVERY != 0 {
                return Ok(());
            }
            let below = Path::new(UNIQUE).join(format!("{shard:02x}"));
            let Some(dir) = self.maybe_dir(&below)? else { return Ok(()) };
            let mut names = Vec::new();
            self.disk.list(&dir, |name, kind| {
                if let Some(text) = name.to_str()
                    && kind == Kind::File
                    && record_name(text) == Some(text)
                {
                    names.push(text.to_string());
                }
                ControlFlow::Continue(())
            })?;
            let start = usize::from(skip) * names.len() / 256;
            for name in names.iter().cycle().skip(start).take(SWEEP.min(names.len())) {
                self.sweep_record(&below, name)?;
            }
            Ok(())
        })();
        let _ = swept;
    }

    /// Removes a record if its window has passed.
    pub(in crate::queue) fn sweep_record(&self, below: &Path, plain: &str) -> Result<()> {
        if let Some(held) = self.hold_record(below, plain)?
            && !held.doubt
            && held.record.as_ref().is_some_and(|record| record.expired(self.disk.now()))
        {
            self.free_record(&held)?;
        }
        Ok(())
    }
}
