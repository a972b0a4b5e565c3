//! Claiming: the oldest message of the highest priority that nobody holds becomes ours, by a lock and one rename.

mod idle;
mod look;
mod names;
mod reach;
mod scout;

use super::busy::a_moment;
use super::error::{Error, Result};
use super::message::{self, Content, Depth};
use super::name::{ClaimedName, Lease, Name, Token};
use super::pace::{Gate, HeldBack, Permit};
use super::recover::SLICE;
use super::settle::Claim;
use super::{Queue, Sync};
use crate::fs::{Access, Dir, File, Kind};
use crate::time::Time;
pub use scout::Scout;
use scout::{Cursor, List, Steady, Wanted};

/// What a look for a message came to.
#[derive(Debug)]
pub enum Found {
    Claim(Box<Claim>),
    /// The next is a pack with more messages than are wanted at the moment, and no more than are wanted at most.
    TooMany,
    Nothing(Nothing),
}

/// Nothing is claimable, and this is what may change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing {
    /// The next delayed message is due then.
    pub next_due: Option<Time>,
    /// A ready message is locked by somebody: a job that settled it and still runs.
    pub busy: bool,
    /// The next timed lease ends then.
    pub next_expiry: Option<Time>,
    /// A message is ready, and the queue gives none out now: it is not empty.
    pub held_back: Option<HeldBack>,
}

/// How one look at one name ended.
pub(super) enum Try {
    Claimed(Box<Claim>),
    Busy,
    /// Somebody was faster.
    Gone,
    /// It is none that anybody can claim: foreign, or ended here and now.
    Unfit,
    HeldBack(HeldBack),
}

/// How often to look again, a millisecond apart, when the only ready messages were locked: their sender or claimer is in
/// the middle of its few calls. One that is still locked then is held by a job that has settled it already.
const BUSY_LOOKS: u32 = 20;
/// While claims succeed, what crashes have left is looked for in slices, once in so many claims.
const SLICE_EVERY: u32 = 64;
/// Where each claim is of a pack taken in hand, it is so with each; but so few entries at a time.
const SLICE_OF_HANDFUL: usize = 4;

impl Queue {
    /// Whether there is nothing still, for a worker that a message has woken, of which there may be many: asked before anything
    /// else, it is answered with a few system calls. Then nobody has paused the queue either, and its path is still its own.
    ///
    /// `None`: it is not known, so [`Queue::refresh`] and [`Queue::claim`]. What it says of nothing is a reason to sleep on, and
    /// none to end.
    ///
    /// # Errors
    /// A read error is an error, and never "nothing".
    pub fn still_nothing(&self, scout: &Scout) -> Result<Option<Nothing>> {
        match (scout.lately(self.disk.now()), &scout.idle) {
            (Some((_, next_expiry)), Some(idle)) if self.still_idle(idle)? => {
                Ok(Some(Nothing { next_expiry, ..Nothing::default() }))
            }
            _ => Ok(None),
        }
    }

    /// Claims one message, or finds that there is nothing: after a look that skipped no locked entry, with `tmp/` and
    /// `claimed/` gone through for what a crash left.
    ///
    /// The attempt is counted by the rename. Killed before it, the message is ready; after it, the lease is found free by
    /// recovery (live) or runs out (timed), and the attempt counts. No flush: after a power cut the claim may not have
    /// happened, unless `sync = all`.
    ///
    /// # Errors
    /// A read error is an error, and never "nothing".
    pub fn claim(&self, scout: &mut Scout, lease: Lease) -> Result<Found> {
        let (mut looks, mut stuck) = (0, false);
        let (asked, now) = (std::mem::take(&mut scout.glance), self.disk.now());
        let glance = scout.lately(now).filter(|_| asked);
        let idle = scout.idle.take().filter(|_| glance.is_some());
        loop {
            // What is due and can't be moved hides nothing that is ready.
            let (next_due, undue) = match self.promote_due(scout) {
                Ok(next) => (next, None),
                Err(error) => (None, Some(error)),
            };
            scout.held_back = None;
            scout.too_many = false;
            let (claimed, failed, busy) = self.look(scout, lease);
            if let Some(claim) = claimed {
                scout.claims = scout.claims.wrapping_add(1);
                if claim.waiting() > 0 {
                    self.recover_slice(SLICE_OF_HANDFUL);
                } else if scout.claims % SLICE_EVERY == 1 {
                    self.recover_slice(SLICE);
                }
                return Ok(Found::Claim(claim));
            }
            if scout.too_many {
                return Ok(Found::TooMany);
            }
            scout.cursor = None;
            if let (Some((_, next_expiry)), None, None, None) = (glance, &failed, &undue, scout.held_back) {
                let again = busy && look_again(&mut looks);
                let still = idle.as_ref().map_or(Ok(false), |idle| self.still_idle(idle))?;
                if again && !still {
                    continue;
                }
                // Who had it in hand has taken it away, or this look came too late: what is remembered is right again.
                let busy = busy && !still;
                if !still {
                    self.still_here()?;
                }
                // Without one the next glance is a look as well.
                scout.idle = match idle {
                    Some(idle) if still => Some(idle),
                    _ if !busy => self.idle()?,
                    _ => None,
                };
                return Ok(Found::Nothing(Nothing { next_due, busy, next_expiry, held_back: None }));
            }
            // What a crash has left was just looked for, and is once more after the last of these looks.
            let well = failed.is_none() && undue.is_none() && scout.held_back.is_none();
            if busy && well && (1..BUSY_LOOKS).contains(&looks) && look_again(&mut looks) {
                continue;
            }
            let (recovered, left) = match scout.held_back {
                // It is not said that there is nothing: a few entries at a time are enough to find who is gone.
                Some(_) => self.recover_some(SLICE),
                None => self.recover_all(),
            };
            // What came home of something that can't all be brought home is found by one more look. Were it looked for as
            // long as there is such a thing, that would be for ever: on a full or broken disk it stays.
            // What ended lets the next one of its group come, or another into the room that it had.
            let again = recovered.published + recovered.ended > 0 && !stuck;
            stuck |= left.is_some();
            let failed = failed.or(undue).or(left);
            if again {
                continue;
            }
            if let Some(error) = failed {
                return Err(error);
            }
            let held_back = scout.held_back;
            if (busy || recovered.contended) && held_back.is_none() && look_again(&mut looks) {
                continue;
            }
            if self.mended_since_boot()? || (held_back.is_none() && self.was_opened(scout)?) {
                continue;
            }
            self.still_here()?;
            scout.whole = held_back.is_none().then(|| (self.disk.now(), recovered.next_expiry));
            let next_due = match held_back {
                Some(HeldBack::Rate(then)) => Some(next_due.map_or(then, |due| due.min(then))),
                _ => next_due,
            };
            return Ok(Found::Nothing(Nothing { next_due, busy, next_expiry: recovered.next_expiry, held_back }));
        }
    }

    fn try_claim(&self, dir: &Dir, file_name: &str, lease: Lease) -> Result<Try> {
        let disk = &self.disk;
        let Some(name) = Name::parse(file_name) else { return Ok(Try::Unfit) };
        if let Some(mark) = name.ticket_of() {
            return self.try_ticket(dir, file_name, &name, mark, lease);
        }
        let file = match disk.open(dir, file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(Try::Gone),
            // A link, a socket, a directory: foreign, left alone, and reported by fsck.
            Err(error) if foreign(&error) => return Ok(Try::Unfit),
            opened => opened?,
        };
        if !disk.try_lock(&file)? {
            return Ok(Try::Busy);
        }
        let stat = match disk.stat_at(dir, file_name) {
            Err(error) if error.missing() => return Ok(Try::Gone),
            stat => stat?,
        };
        let held = disk.stat(&file)?;
        if held.identity != stat.identity || held.kind != Kind::File || held.links != 1 {
            return Ok(Try::Gone);
        }
        let message = match message::load(disk, file, held, self.depth(lease))? {
            Content::Message(message) if message.header.messages.is_some() => {
                let _lock = message.into_file();
                let why = "it is a pack, and its name is that of one message";
                return self.set_aside(dir, file_name, why).map(|()| Try::Unfit);
            }
            Content::Message(message) => message,
            Content::Unknown(why) => return Err(Error::Unknown { path: dir.path().join(file_name), why }),
            Content::Placeholder(_lock) => {
                return self.set_aside(dir, file_name, "it was never finished").map(|()| Try::Unfit);
            }
            Content::Bad(_lock, why) => return self.set_aside(dir, file_name, &why).map(|()| Try::Unfit),
        };
        if self.expired(&message)? {
            return self.expire(dir, file_name, &name, &message).map(|()| Try::Unfit);
        }
        let permit = match self.pass()? {
            Gate::Open(permit) => permit,
            Gate::Shut(why) => return Ok(Try::HeldBack(why)),
        };
        if let Lease::Timed(_) = lease {
            disk.touch(message.file())?;
        }
        let token = Token::new(disk.random()?);
        let claimed = ClaimedName { name: Name { attempts: name.attempts.next(), ..name }, lease, token };
        if name.attempts == super::name::Attempts::default() {
            self.unique_claimed(&message)?;
        }
        if !self.take(dir, file_name, &claimed, permit, message.file())? {
            return Ok(Try::Gone);
        }
        Ok(Try::Claimed(Box::new(Claim::new(claimed, *message, disk.now()))))
    }

    /// How far to look into a message before it is claimed: for a worker a large body is checked while it is copied.
    pub(super) fn depth(&self, lease: Lease) -> Depth {
        match lease {
            Lease::Live => Depth::Small,
            _ => Depth::Whole,
        }
    }

    /// The rename that claims, within the pace that `permit` is for, of what `locked` is the lock on. `false` where somebody was
    /// faster.
    pub(super) fn take(
        &self,
        dir: &Dir,
        file_name: &str,
        claimed: &ClaimedName,
        permit: Permit<'_>,
        locked: &File,
    ) -> Result<bool> {
        match self.move_claimed(dir, file_name, claimed) {
            Err(error) if error.missing() => {
                permit.return_unused();
                return Ok(false);
            }
            moved => moved?,
        }
        drop(permit);
        if self.settings.sync() == Sync::All {
            self.flush(locked, &*self.claimed_in(claimed)?)?;
        }
        Ok(true)
    }

    fn move_claimed(&self, dir: &Dir, file_name: &str, claimed: &ClaimedName) -> Result<()> {
        self.with_reserve(|| match self.disk.rename(dir, file_name, &*self.claimed_in(claimed)?, claimed.text()) {
            Err(error) if error.missing() => {
                self.place_into(dir, file_name, &claimed.home(), &claimed.text())?;
                self.lost_hand(claimed);
                Ok(())
            }
            moved => Ok(moved?),
        })
    }
}

/// Whether to look once more, a moment later. Of what is settled and runs on the lock is kept as well.
fn look_again(looks: &mut u32) -> bool {
    let again = *looks < BUSY_LOOKS;
    if again {
        *looks += 1;
        a_moment();
    }
    again
}

/// Errors of open(2) that say: this is no regular file.
pub(super) fn foreign(error: &crate::fs::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.source.raw_os_error();
    [Errno::LOOP, Errno::ISDIR, Errno::NXIO].iter().any(|foreign| errno == Some(foreign.raw_os_error()))
}
