//! What failed its check: set aside in `damaged/` beside the reason, never deleted, and never in anybody's way.

use super::Queue;
use super::browse::Place;
use super::error::{Error, Result};
use super::name::{self, ClaimedName, Name};
use super::seq::Seq;
use crate::fs::{Access, Dir};
use std::path::Path;

/// A name in `damaged/`: whatever the message was called where it was found.
pub(super) fn damaged_name(text: &str) -> Option<Name> {
    Name::parse(text)
        .or_else(|| ClaimedName::parse(text).map(|claimed| claimed.name))
        .or_else(|| Name::parse_delayed(text).map(|(_, name)| name))
}

impl Queue {
    /// Moves a file that failed its check into `damaged/`, under its own name where that is one, and writes the reason
    /// beside it. The caller holds its lock. Never deletes, never blocks the queue.
    pub(super) fn set_aside(&self, dir: &Dir, file_name: &str, why: &str) -> Result<()> {
        let new = match damaged_name(file_name) {
            Some(_) => file_name.to_string(),
            None => self.fresh_damaged_name()?,
        };
        self.set_aside_as(dir, file_name, new, why, &|| self.fresh_damaged_name())
    }

    /// [`Queue::set_aside`] for what is left of an opened pack, by whoever opens it, also under the lock of `seq`: the time
    /// makes its name.
    pub(super) fn set_pack_aside(&self, dir: &Dir, file_name: &str, why: &str) -> Result<()> {
        let fresh = || {
            let id = name::Id(self.disk.now());
            let (bucket, priority, attempts) = (name::Bucket(id), name::Priority::DEFAULT, name::Attempts::default());
            Ok(Name { id, bucket, priority, attempts, group: None, pack: None }.to_string())
        };
        self.set_aside_as(dir, file_name, fresh()?, why, &fresh)
    }

    fn set_aside_as(
        &self,
        dir: &Dir,
        file_name: &str,
        mut new: String,
        why: &str,
        fresh: &dyn Fn() -> Result<String>,
    ) -> Result<()> {
        let damaged = Path::new(name::DAMAGED);
        loop {
            match self.move_into(dir, file_name, damaged, &new) {
                Err(error) if error.missing() => return self.still_here(),
                Err(Error::Disk(error)) if error.exists() => new = fresh()?,
                moved => break moved?,
            }
        }
        let told = || -> Result<()> {
            let to = self.ensure_dir(damaged)?;
            let from = dir.path().join(file_name);
            let text = serde_json::json!({
                "reason": why,
                "from": from.strip_prefix(self.path()).unwrap_or(&from).to_string_lossy(),
                "set_aside_at": self.disk.now().rfc3339(),
            });
            let file = self.disk.create(&to, format!("{new}{}", name::WHY), self.file_birth())?;
            Ok(self.disk.write_all(&file, format!("{text}\n").as_bytes(), 0)?)
        };
        // Without space for the reason the message is still aside, and fsck finds out again what is wrong with it.
        let _ = told();
        Ok(())
    }

    fn fresh_damaged_name(&self) -> Result<String> {
        let mut seq = Seq::lock(self)?;
        let priority = name::Priority::DEFAULT;
        let (id, bucket) = seq.next(priority);
        seq.save()?;
        Ok(Name { id, bucket, priority, attempts: name::Attempts::default(), group: None, pack: None }.to_string())
    }

    /// Why a damaged message was set aside.
    pub fn why_damaged(&self, place: &Place) -> Result<Option<String>> {
        let Some(dir) = self.dir_of(place)? else { return Ok(None) };
        let file = match self.disk.open(&dir, format!("{}{}", place.file_name, name::WHY), Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let mut bytes = vec![0; 16 << 10];
        let length = self.disk.read_full(&file, &mut bytes, 0)?;
        let value: serde_json::Value = serde_json::from_slice(&bytes[..length]).unwrap_or_default();
        Ok(value["reason"].as_str().map(str::to_string))
    }
}
