//! Pausing: while `paused` stands, nothing is claimed. Sending goes on.

use super::error::Result;
use super::name;
use super::{Again, Claim, Counting, Queue, create};
use crate::fs::{Access, File};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Since when, until when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub paused_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Pause {
    /// The end of the pause; `None` for one that lasts until `mq resume`.
    pub fn until(&self) -> Option<Time> {
        self.paused_until.as_deref().and_then(Time::parse_rfc3339)
    }
}

impl Queue {
    /// Pauses the queue until [`Queue::resume`], durably. What is claimed already goes on.
    pub fn pause(&self, reason: Option<String>) -> Result<()> {
        self.pause_for(reason, None)
    }

    /// Pauses the queue, durably, for a while or until [`Queue::resume`]; a pause that holds already is replaced. What is
    /// claimed already goes on. The end is kept in whole seconds, rounded up.
    ///
    /// Killed before it returns: paused or not, whole in either case.
    pub fn pause_for(&self, reason: Option<String>, length: Option<Duration>) -> Result<()> {
        let now = self.disk.now();
        let until = length.map(|length| now.plus(length).plus(Duration::from_micros(999_999)).rfc3339());
        let lock = self.pause_lock()?;
        self.put_pause(&Pause { paused_at: now.rfc3339(), paused_until: until, reason })?;
        drop(lock);
        self.wake();
        Ok(())
    }

    /// Pauses the queue for at least so long from now, durably; a pause that lasts longer already stands as it is. The one
    /// that holds comes back. Moments are in whole seconds, so it may last a second longer.
    ///
    /// Under a lock, so that of two who do this at once neither shortens what the other has said.
    pub fn pause_at_least(&self, reason: &str, length: Duration) -> Result<Pause> {
        let lock = self.pause_lock()?;
        let now = self.disk.now();
        let until = now.plus(length).plus(Duration::from_micros(999_999));
        if let Some(standing) = self.paused()?
            && standing.until().is_none_or(|standing| standing.plus(Duration::from_secs(1)) > until)
        {
            return Ok(standing);
        }
        let pause =
            Pause { paused_at: now.rfc3339(), paused_until: Some(until.rfc3339()), reason: Some(reason.to_string()) };
        self.put_pause(&pause)?;
        drop(lock);
        self.wake();
        Ok(pause)
    }

    /// The lock on `wake`, which nobody else locks: that of `seq` is never held over a flush.
    fn pause_lock(&self) -> Result<File> {
        let file = match self.disk.open(&self.dir, name::WAKE, Access::Read) {
            Err(error) if error.missing() => {
                self.wake();
                self.disk.open(&self.dir, name::WAKE, Access::Read)?
            }
            opened => opened?,
        };
        // A pause is a brake: where nobody gives the lock back it works without.
        self.disk.lock(&file, Duration::from_secs(10))?;
        Ok(file)
    }

    fn put_pause(&self, pause: &Pause) -> Result<()> {
        let mut bytes = serde_json::to_vec(pause).unwrap_or_default();
        bytes.push(b'\n');
        create::put_control(&self.disk, &self.dir, name::PAUSED, &bytes, self.settings.mode(), self.owner)?;
        Ok(self.disk.sync_dir(&self.dir)?)
    }

    /// Ends a pause; whether there was one.
    pub fn resume(&self) -> Result<bool> {
        match self.disk.unlink(&self.dir, name::PAUSED) {
            Err(error) if error.missing() => return Ok(false),
            gone => gone?,
        }
        self.disk.sync_dir(&self.dir)?;
        self.wake();
        Ok(true)
    }

    /// A claim that was made while the queue was being paused is put back, uncounted, and `None` comes back. So whoever has
    /// paused a queue and then sees nothing in `claimed/` knows that nobody works on anything: either the claimer sees the
    /// pause, or its claim is seen.
    pub fn unless_paused(&self, claim: Box<Claim>) -> Result<Option<Box<Claim>>> {
        if self.paused()?.is_none() {
            return Ok(Some(claim));
        }
        claim.nack(self, Again::Now, Counting::Uncounted, None)?;
        Ok(None)
    }

    /// The pause that holds now. A file that cannot be understood pauses, until somebody looks.
    pub fn paused(&self) -> Result<Option<Pause>> {
        match self.disk.stat_at(&self.dir, name::PAUSED) {
            Err(error) if error.missing() => return Ok(None),
            stat => stat?,
        };
        let file = match self.disk.open(&self.dir, name::PAUSED, Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let mut bytes = vec![0; 64 << 10];
        let length = self.disk.read_full(&file, &mut bytes, 0)?;
        let pause: Pause = serde_json::from_slice(&bytes[..length]).unwrap_or(Pause {
            paused_at: String::new(),
            paused_until: None,
            reason: Some("the file 'paused' can't be read".into()),
        });
        Ok(match pause.until() {
            Some(until) if until <= self.disk.now() => None,
            _ => Some(pause),
        })
    }
}
