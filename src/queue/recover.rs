//! What a crash leaves, mended by anybody in passing: whole messages and committed batches in `tmp/` are published, what
//! was never finished is deleted, and claims whose holder is gone come back.
//!
//! A lock decides, never an age and never a process number: what somebody still holds is left alone.

mod packs;
mod sends;

use super::Queue;
use super::error::{Error, Result};
use super::history::{Attempt, Outcome};
use super::name::{ClaimedName, Hand, Lease, State, is_base32};
use super::send::{same, same_dir};
use super::settle::{Again, Counting};
use crate::fs::{Access, Dir, Kind};
use crate::time::{Time, format_duration};
use std::ops::ControlFlow;

/// What a pass over `tmp/` and `claimed/` came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages that became ready again, or were found whole in `tmp/`.
    pub published: u64,
    /// Unfinished sends that were deleted.
    pub deleted: u64,
    /// Messages that were dead-lettered or set aside.
    pub ended: u64,
    /// A timed lease that has run out is being settled or taken back by somebody else at this moment.
    pub contended: bool,
    /// When the next timed lease runs out.
    pub next_expiry: Option<Time>,
}

/// How many entries of each directory a slice looks at.
pub(super) const SLICE: usize = 16;
/// How many names a slice lists, so that a claim costs the same however much is claimed. But one slice in [`LONG`] lists them all, and
/// looks at so many times as many entries: none is out of reach, and each has its turn as often as if all were listed always.
const LISTED: usize = 1024;
const LONG: usize = 128;

impl Queue {
    /// Goes through `tmp/` and `claimed/` whole. One entry that fails does not hide the others; the first failure comes back
    /// at the end.
    ///
    /// Killed anywhere, the next pass goes on: each step is one of the transitions that any process may take.
    pub fn recover(&self) -> Result<Recovered> {
        match self.recover_all() {
            (_, Some(error)) => Err(error),
            (recovered, None) => Ok(recovered),
        }
    }

    /// [`Queue::recover`], with what it did beside the first failure.
    pub(super) fn recover_all(&self) -> (Recovered, Option<Error>) {
        self.recover_some(usize::MAX)
    }

    /// A few entries, beginning at a random one, so that no entry is out of every slice's reach.
    pub(super) fn recover_slice(&self, most: usize) {
        // In passing: an error here is for whoever finds nothing else to do.
        let _ = self.recover_some(most);
    }

    pub(super) fn recover_some(&self, most: usize) -> (Recovered, Option<Error>) {
        let mut recovered = Recovered::default();
        let mut failed = None;
        let sends = self.recover_sends(most, &mut recovered, &mut failed);
        let claims = self.recover_claims(most, &mut recovered, &mut failed);
        self.expire_done_slice();
        // A slice is taken between claims, and requests are rare: whole passes are often enough.
        let cancelled = if most == usize::MAX { self.recover_cancellations(&mut recovered) } else { Ok(()) };
        (recovered, failed.or(sends.err()).or(claims.err()).or(cancelled.err()))
    }

    fn recover_claims(&self, most: usize, recovered: &mut Recovered, failed: &mut Option<Error>) -> Result<()> {
        let claimed = self.claimed_dir()?;
        for (name, kind) in self.some(claimed, most)? {
            let mended = match kind {
                Kind::File => ClaimedName::parse(&name)
                    .filter(|name| name.hand() == Hand::NONE)
                    .map_or(Ok(()), |name| self.recover_claim(claimed, name, recovered)),
                Kind::Dir => Hand::parse(&name).map_or(Ok(()), |hand| self.recover_hand(claimed, hand, recovered)),
                Kind::Symlink | Kind::Other => Ok(()),
            };
            *failed = failed.take().or(mended.err());
        }
        Ok(())
    }

    /// What a worker has in hand, where that is locked by nobody; and its directory, where the worker is gone.
    pub(super) fn recover_hand(&self, claimed: &Dir, hand: Hand, recovered: &mut Recovered) -> Result<()> {
        let own = hand.to_string();
        let dir = match self.disk.open_dir(claimed, &own) {
            Err(error) if error.missing() => return Ok(()),
            opened => opened?,
        };
        let gone = self.disk.try_lock_dir(&dir)?;
        // What a worker who is alive has let go, without being able to settle it, is his to find.
        if !gone && !self.is_own_hand(hand) {
            return Ok(());
        }
        let mut failed = None;
        for (name, kind) in self.disk.names(&dir)? {
            let name = name.to_str().filter(|_| kind == Kind::File).and_then(ClaimedName::parse);
            if let Some(name) = name.filter(|name| name.hand() == hand) {
                failed = failed.or(self.recover_claim(&dir, name, recovered).err());
            }
        }
        failed.map_or(Ok(()), Err)?;
        if gone && same_dir(&self.disk, claimed, &own, &dir)? {
            // rmdir(2) refuses one that is not empty.
            let _ = self.disk.remove_dir(claimed, &own);
        }
        Ok(())
    }

    /// The names that recovery may act on, at most so many, from a random one on.
    fn some(&self, dir: &Dir, most: usize) -> Result<Vec<(String, Kind)>> {
        let mut names: Vec<(String, Kind)> = Vec::new();
        let (mut listed, mut long) = (0, most == usize::MAX);
        let mut failed = None;
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str()
                && (is_base32(name) || ClaimedName::parse(name).is_some() || Hand::parse(name).is_some())
            {
                names.push((name.to_string(), kind));
            }
            listed += 1;
            if listed == LISTED && !long {
                match self.random_below(LONG) {
                    Ok(number) => long = number == 0,
                    Err(error) => failed = Some(error),
                }
            }
            if listed < LISTED || long { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let most = if listed > LISTED { most.saturating_mul(LONG) } else { most };
        if names.len() > most {
            let start = self.random_below(names.len())?;
            names.rotate_left(start);
            names.truncate(most);
        }
        Ok(names)
    }

    pub(super) fn random_below(&self, many: usize) -> Result<usize> {
        Ok((u64::from_le_bytes(self.disk.random()?) % many as u64) as usize)
    }

    /// A claim whose holder may be gone.
    pub(super) fn recover_claim(&self, dir: &Dir, name: ClaimedName, recovered: &mut Recovered) -> Result<()> {
        match self.try_recover_claim(dir, name, recovered) {
            // Settled meanwhile by its receipt, for which a live one needs no lock.
            Err(Error::Lost { .. }) => Ok(()),
            tried => tried,
        }
    }

    fn try_recover_claim(&self, dir: &Dir, name: ClaimedName, recovered: &mut Recovered) -> Result<()> {
        let disk = &self.disk;
        let file_name = name.to_string();
        if let Lease::Timed(lease) = name.lease {
            let stat = match disk.stat_at(dir, &file_name) {
                Err(error) if error.missing() => return Ok(()),
                stat => stat?,
            };
            let now = disk.now();
            if stat.modified <= now && now < stat.modified.plus(lease) {
                let expiry = stat.modified.plus(lease);
                recovered.next_expiry = Some(recovered.next_expiry.map_or(expiry, |next| next.min(expiry)));
                return Ok(());
            }
        }
        // Read-only: closing it raises no event, so a probe wakes nobody.
        let probe = match disk.open(dir, &file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(()),
            Err(error) if super::claim::foreign(&error) => return Ok(()),
            opened => opened?,
        };
        if !disk.try_lock(&probe)? {
            recovered.contended |= matches!(name.lease, Lease::Timed(_));
            return Ok(());
        }
        // Lock, then look again: the name, and for a timed lease the time, which an extension may have moved.
        if !same(disk, dir, &file_name, &probe)? {
            return Ok(());
        }
        let stat = disk.stat(&probe)?;
        if stat.kind != Kind::File || stat.links != 1 {
            return Ok(());
        }
        let reason = match name.lease {
            Lease::Live | Lease::Front(_) | Lease::Acked | Lease::Buried | Lease::Removed => "worker lost".to_string(),
            Lease::Timed(lease) => {
                let now = disk.now();
                if stat.modified > now {
                    // The clock went back: nobody may hold a message for longer than its lease.
                    disk.touch(&probe)?;
                    let expiry = now.plus(lease);
                    recovered.next_expiry = Some(recovered.next_expiry.map_or(expiry, |next| next.min(expiry)));
                    return Ok(());
                }
                if now < stat.modified.plus(lease) {
                    return Ok(());
                }
                format!("the lease of {} ran out", format_duration(lease))
            }
        };
        if matches!(name.lease, Lease::Front(_)) && self.outlived(dir, &name, &probe, recovered)? {
            return Ok(());
        }
        let attempt = name.name.attempts.count();
        let Some(claim) = self.take_back(name, probe)? else {
            recovered.ended += 1;
            return Ok(());
        };
        if claim.is_pack() {
            return self.recover_pack(claim, &reason, recovered);
        }
        if let Some(reason) = self.cancellation(claim.id())? {
            let id = claim.id();
            let mut record = Attempt::new(attempt, claim.started(), Outcome::Cancelled);
            record.reason = Some(reason);
            claim.dead(self, Some(record))?;
            self.cancellation_over(id);
            recovered.ended += 1;
            return Ok(());
        }
        let mut record = Attempt::new(attempt, claim.started(), Outcome::Lost);
        record.reason = Some(reason);
        match claim.nack(self, Again::Now, Counting::Counted, Some(record))? {
            super::Settled::Dead => recovered.ended += 1,
            _ => recovered.published += 1,
        }
        Ok(())
    }

    /// How many claims there are: in anybody's hands.
    pub fn in_flight(&self) -> Result<u64> {
        let mut count = 0;
        self.each_place(State::Claimed, |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }
}
