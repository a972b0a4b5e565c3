//! Making a queue and changing its settings. Control files are written under a temporary name, flushed and renamed, so that
//! there is always one whole `queue.json`: the old or the new.

use super::error::{Error, Result};
use super::name::{self, DIRS, base32};
use super::settings::{KEYS, Settings};
use super::{Queue, foreign_owner, read_settings, settings_json};
use crate::fs::{Access, Birth, Dir, Disk, Owner, Store};
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

/// Whether `create` made the queue or found it as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Fresh,
    Existed,
}

/// Control files that are being written have this before their random name, so that recovery knows them from messages.
pub(super) const CONTROL: &str = "control-";

impl Queue {
    /// Makes a queue, or finds that one with these settings is there. A half-made one is finished.
    ///
    /// After a kill the queue is there or it is not (`queue.json`); after `Ok` it survives a power cut, with its parent's
    /// entry for it.
    ///
    /// # Errors
    /// [`Error::Differs`] when it exists with other values of what `asked` sets.
    pub fn create(disk: &Disk, path: &Path, asked: &Settings) -> Result<(Queue, Created)> {
        match Queue::open(disk, path) {
            Ok(queue) => {
                let differences: Vec<String> = KEYS
                    .iter()
                    .filter_map(|key| {
                        let (there, wanted) = (queue.settings.value(key), asked.said(key)?);
                        (there != wanted).then(|| format!("{} = {there}, not {wanted}", key.name))
                    })
                    .collect();
                if differences.is_empty() {
                    return Ok((queue, Created::Existed));
                }
                return Err(Error::Differs { path: path.to_path_buf(), differences });
            }
            Err(Error::NoQueue { .. }) => (),
            Err(error) => return Err(error),
        }
        let parent = disk.open_queue(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        let owner = foreign_owner(&disk.stat_dir(&parent)?);
        let birth = Birth { mode: asked.mode(), owner };
        match disk.make_queue(path, birth) {
            Err(error) if !error.exists() => return Err(error.into()),
            _ => (),
        }
        let dir = disk.open_queue(path)?;
        for name in DIRS {
            match disk.make_dir(&dir, name, birth) {
                Err(error) if !error.exists() => return Err(error.into()),
                _ => (),
            }
        }
        match disk.create(&dir, name::WAKE, Birth { mode: birth.mode & 0o666, owner }) {
            Err(error) if !error.exists() => return Err(error.into()),
            _ => (),
        }
        let json = settings_json(asked, Map::from_iter([("created_at".into(), disk.now().rfc3339().into())]));
        put_control(disk, &dir, name::QUEUE_JSON, &json, birth.mode, owner)?;
        disk.sync_dir(&dir)?;
        disk.sync_dir(&parent)?;
        Ok((Queue::open(disk, path)?, Created::Fresh))
    }

    /// Changes the settings as `change` says, durably. Workers see it at their next claim.
    pub fn configure(&mut self, change: impl FnOnce(&mut Settings) -> std::result::Result<(), String>) -> Result<()> {
        let mut settings = read_settings(&self.disk, &self.dir)?.0;
        change(&mut settings).map_err(|why| Error::Refused { why })?;
        let json = settings_json(&settings, self.written()?);
        put_control(&self.disk, &self.dir, name::QUEUE_JSON, &json, settings.mode(), self.owner)?;
        self.disk.sync_dir(&self.dir)?;
        self.refresh()?;
        self.wake();
        Ok(())
    }

    /// All that `queue.json` says: when the queue was made, and whatever a person has written there.
    fn written(&self) -> Result<Map<String, Value>> {
        let file = self.disk.open(&self.dir, name::QUEUE_JSON, Access::Read)?;
        let mut bytes = vec![0; usize::try_from(self.disk.stat(&file)?.size).unwrap_or(0)];
        let length = self.disk.read_full(&file, &mut bytes, 0)?;
        let bad = |error| Error::BadQueue { path: file.path().to_path_buf(), why: format!("is damaged: {error}") };
        serde_json::from_slice(&bytes[..length]).map_err(bad)
    }

    /// What a person should know about where the queue is: nothing, or one clause each.
    pub fn warnings(&self) -> Vec<String> {
        crate::fs::warnings(self.store, self.path())
    }

    /// Whether a power cut is survived here at all.
    pub fn store(&self) -> Store {
        self.store
    }
}

/// Writes a control file whole: temporary name, flush, rename over the old one.
pub(super) fn put_control(
    disk: &Disk,
    dir: &Dir,
    name: &str,
    bytes: &[u8],
    mode: u32,
    owner: Option<Owner>,
) -> Result<()> {
    let (temporary, file) = loop {
        let temporary = format!("{CONTROL}{}", base32(disk.random()?));
        let file = disk.create(dir, &temporary, Birth { mode: mode & 0o666, owner })?;
        // Between our open and our lock, fsck may have taken the empty file for litter: then begin again.
        if disk.lock(&file, Duration::from_secs(1))? && super::send::same(disk, dir, &temporary, &file)? {
            break (temporary, file);
        }
    };
    let written = (|| {
        disk.write_all(&file, bytes, 0)?;
        disk.sync_file(&file)?;
        disk.replace(dir, &temporary, name)
    })();
    if written.is_err() {
        let _ = disk.unlink(dir, &temporary);
    }
    Ok(written?)
}
