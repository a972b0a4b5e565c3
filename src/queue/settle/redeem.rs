//! Taking hold of a message that was claimed before: by its receipt, to settle or extend it, and by the lock of a holder that is
//! gone, for recovery.

use super::{Claim, Grip};
use crate::fs::{Access, Dir, File};
use crate::queue::Queue;
use crate::queue::busy::a_moment;
use crate::queue::error::{Error, Result};
use crate::queue::message::{self, Content, Depth};
use crate::queue::name::{ClaimedName, Lease, Name};
use crate::queue::receipt::Receipt;
use crate::queue::send::same;
use std::time::Duration;

/// How long to wait for a lock that a recovery or another settling holds for a few calls.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look, a millisecond apart, for a name that comes back.
const LOOKS: u32 = 30;

impl Queue {
    /// Takes hold of a claimed message by its receipt, to settle or extend it. `inherited` is the descriptor number that a
    /// job was given (`MQ_LEASE_FD`), by which it shares its worker's lock.
    ///
    /// # Errors
    /// [`Error::Lost`] when the message is settled already, or was taken back.
    pub fn redeem(&self, receipt: &Receipt, inherited: Option<i32>) -> Result<Claim> {
        let lost = || Error::Lost { id: receipt.id() };
        let mut name = receipt.claimed.clone();
        let dir = &*self.claimed_in(&name)?;
        let file = match self.disk.open(dir, name.to_string(), Access::Write) {
            Err(error) if error.missing() => {
                name = self.renamed_soon(&receipt.claimed)?.ok_or_else(|| self.gone(lost()))?;
                match self.disk.open(self.claimed_dir()?, name.to_string(), Access::Write) {
                    Err(error) if error.missing() => return Err(self.gone(lost())),
                    opened => opened?,
                }
            }
            opened => opened?,
        };
        let (file, grip) = match name.lease {
            Lease::Acked | Lease::Buried | Lease::Removed => return Err(self.gone(lost())),
            Lease::Timed(_) => {
                if !self.disk.lock(&file, PATIENCE)? {
                    let by = self.disk.holder(&self.disk.stat(&file)?).map(|holder| holder.pid);
                    return Err(Error::Held { id: receipt.id(), by });
                }
                if !same(&self.disk, dir, &name.to_string(), &file)? {
                    return Err(self.gone(lost()));
                }
                (file, Grip::Ours)
            }
            Lease::Live | Lease::Front(_) => match self.shared_lock(&file, inherited)? {
                Some(shared) => (shared, Grip::Shared),
                None => (file, Grip::Receipt),
            },
        };
        let stat = self.disk.stat(&file)?;
        if let Some(mark) = name.name.ticket_of() {
            let redeemed = self.redeem_in_group(&name, mark, file, Depth::Header)?;
            let (message, ticket) = redeemed.ok_or_else(|| self.gone(lost()))?;
            return Ok(Claim {
                name,
                message,
                started: stat.changed,
                grip,
                ticket: Some(ticket),
                front: None,
                behind: None,
            });
        }
        let path = file.path().to_path_buf();
        match message::load(&self.disk, file, stat, Depth::Header)? {
            Content::Message(message) => {
                // A receipt is for one message: of a pack that is claimed, for the first of it.
                let front = name.name.pack.map(|_| 1);
                let message = if front.is_some() { message.unpacked(name.name.window().start)? } else { *message };
                Ok(Claim { name, message, started: stat.changed, grip, ticket: None, front, behind: None })
            }
            Content::Placeholder(_) => Err(Error::Damaged { path, why: "it was never finished".into() }),
            Content::Bad(_, why) => Err(Error::Damaged { path, why }),
            Content::Unknown(why) => Err(Error::Unknown { path, why }),
        }
    }

    /// The inherited descriptor, if it is one of this very message.
    fn shared_lock(&self, file: &File, inherited: Option<i32>) -> Result<Option<File>> {
        let Some(fd) = inherited else { return Ok(None) };
        let Ok(shared) = self.disk.inherited(fd, file.path()) else { return Ok(None) };
        Ok((self.disk.stat(&shared)?.identity == self.disk.stat(file)?.identity).then_some(shared))
    }

    /// [`Queue::renamed`], where what waits behind the message may be on its way back at this moment: its own name is nowhere for
    /// a few calls then.
    fn renamed_soon(&self, claimed: &ClaimedName) -> Result<Option<ClaimedName>> {
        // Wherever it stood, as the only one it stands in `claimed/` itself.
        let dir = self.claimed_dir()?;
        for _ in 0..LOOKS {
            let renamed = self.renamed(dir, claimed)?;
            if renamed.is_some() || !matches!(claimed.lease, Lease::Front(_)) {
                return Ok(renamed);
            }
            if !self.any_opened()? {
                break;
            }
            a_moment();
        }
        // It may have come back since.
        self.renamed(dir, claimed)
    }

    /// An extension may have changed the lease in the name; and what waited behind the message, how many there are.
    fn renamed(&self, dir: &Dir, claimed: &ClaimedName) -> Result<Option<ClaimedName>> {
        let mut found = None;
        self.disk.list(dir, |entry, _| {
            let parsed = entry.to_str().and_then(ClaimedName::parse);
            if let Some(other) = parsed.filter(|other| other.token == claimed.token && alone(other) == alone(claimed)) {
                found = Some(other);
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// "Lost" is said only of a queue that is still there.
    fn gone(&self, lost: Error) -> Error {
        self.still_here().err().unwrap_or(lost)
    }

    /// A claimed message under a fresh descriptor whose lock we have: for recovery.
    pub(in crate::queue) fn take_back(&self, name: ClaimedName, probe: File) -> Result<Option<Claim>> {
        if let Some(mark) = name.name.ticket_of() {
            return self.take_back_ticket(&name, mark, probe);
        }
        let dir = &*self.claimed_in(&name)?;
        let file_name = name.to_string();
        // The probe has the lock but may not write; what it locks is the inode, so the lock covers this one too. It must
        // stay open until the message is settled, so it travels with the claim's file.
        let writable = match self.disk.open(dir, &file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let stat = self.disk.stat(&writable)?;
        if stat.identity != self.disk.stat(&probe)?.identity {
            return Ok(None);
        }
        let path = writable.path().to_path_buf();
        match message::load(&self.disk, writable, stat, Depth::Small)? {
            Content::Message(mut message) => {
                message.keep(probe);
                Ok(Some(match name.lease {
                    Lease::Front(_) => match Claim::front(name.clone(), *message, stat.changed) {
                        // Whoever claims from it next sets aside what is damaged in it.
                        Err(Error::Damaged { .. }) => {
                            return match self.send_back(&name, None) {
                                Err(error) if error.missing() => Ok(None),
                                back => back.map(|()| self.wake()).map(|()| None),
                            };
                        }
                        front => front?,
                    },
                    _ => Claim::new(name, *message, stat.changed),
                }))
            }
            Content::Placeholder(_lock) => self.set_aside(dir, &file_name, "it was never finished").map(|()| None),
            Content::Bad(_lock, why) => self.set_aside(dir, &file_name, &why).map(|()| None),
            Content::Unknown(why) => Err(Error::Unknown { path, why }),
        }
    }
}

/// The name of a claimed message, or of the first one of a pack that is claimed alone.
fn alone(claimed: &ClaimedName) -> Name {
    match claimed.lease {
        Lease::Front(_) => Name { pack: None, ..claimed.name.clone() },
        _ => claimed.name.clone(),
    }
}
