//! What was completed, remembered for as long as the setting `done_for` says: an empty file each, in a directory for each
//! eighth of that time, so that a look is a few stat(2) calls and forgetting is the removal of whole directories.

use super::error::Result;
use super::header::Header;
use super::name::{Bucket, MEMORY};
use super::unique::key_name;
use super::{Queue, Sync};
use crate::fs::Kind;
use crate::time::Time;
use std::ops::ControlFlow;
use std::path::Path;

/// So many directories share `done_for`.
const BUCKETS: u32 = 8;
/// Who remembers one thing forgets at most so many.
const FORGET: usize = 64;

impl Queue {
    /// Whether a message of this uid or unique key was completed within `done_for`.
    ///
    /// # Errors
    /// What can't be read is an error, and never "not completed".
    pub fn finished(&self, header: &Header) -> Result<bool> {
        let Some(top) = self.maybe_dir(Path::new(MEMORY))? else { return Ok(false) };
        let (now, keep) = (self.disk.now(), self.settings.done_for());
        let names = names(header);
        // The youngest first: what comes again comes soon.
        for bucket in self.bucket_names(&top)?.iter().rev() {
            let Some(dir) = self.maybe_dir(&Path::new(MEMORY).join(bucket))? else { continue };
            for name in &names {
                match self.disk.stat_at(&dir, name) {
                    Err(error) if error.missing() => (),
                    stat => {
                        if stat?.modified.plus(keep) >= now {
                            return Ok(true);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Remembers that a message was completed, before it is acknowledged. Killed before this, it is done again; after it,
    /// never within `done_for`, except after a power cut, unless `sync = all`.
    pub fn remember(&self, header: &Header) -> Result<()> {
        let length = self.settings.done_for() / BUCKETS;
        let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(1_000_000);
        let now = self.disk.now();
        let bucket = format!("{:016}", now.micros() / length * length);
        let below = Path::new(MEMORY).join(&bucket);
        for name in names(header) {
            let (dir, file) = loop {
                let dir = self.ensure_dir(&below)?;
                match self.disk.create(&dir, &name, self.file_birth()) {
                    // Forgotten meanwhile, as the clock has it.
                    Err(error) if error.missing() => (),
                    Err(error) if error.exists() => {
                        self.disk.touch_at(&dir, &name)?;
                        break (dir, None);
                    }
                    created => break (dir, Some(created?)),
                }
            };
            if self.settings.sync() == Sync::All
                && let Some(file) = file
            {
                self.flush(&file, &dir)?;
            }
        }
        // In passing.
        let _ = self.forget(now, &bucket);
        Ok(())
    }

    /// Forgets a few of those that are older than `done_for`: of a directory in which nothing is younger.
    fn forget(&self, now: Time, current: &str) -> Result<()> {
        let Some(top) = self.maybe_dir(Path::new(MEMORY))? else { return Ok(()) };
        let buckets = self.bucket_names(&top)?;
        let Some(oldest) = buckets.first().filter(|oldest| *oldest != current) else { return Ok(()) };
        let keep = self.settings.done_for();
        let began = Bucket::parse(oldest).map_or(now, |bucket| bucket.0.time());
        if now < began.plus(keep + keep / BUCKETS) {
            return Ok(());
        }
        let dir = self.disk.open_dir(&top, oldest)?;
        let mut names = Vec::new();
        self.disk.list(&dir, |name, kind| {
            if kind == Kind::File {
                names.push(name.to_os_string());
            }
            if names.len() < FORGET { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for name in &names {
            // The directory may be of a time when the setting was another: its entries decide.
            if self.disk.stat_at(&dir, name)?.modified.plus(keep) < now {
                self.disk.unlink(&dir, name)?;
            }
        }
        // Not empty yet, or gone: all the same.
        let _ = self.disk.remove_dir(&top, oldest);
        Ok(())
    }
}

/// The names under which a message is remembered: its uid, and its unique key.
fn names(header: &Header) -> Vec<String> {
    let mut names = vec![format!("d-{}", header.uid.as_str())];
    names.extend(header.unique().map(|unique| key_name(&unique.key)));
    names
}
