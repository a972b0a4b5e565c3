//! A pack stands where the next message is: it is claimed whole, taken in hand, or opened.

use super::{Scout, Wanted};
use crate::fs::Dir;
use crate::queue::Queue;
use crate::queue::browse::Place;
use crate::queue::error::Result;
use crate::queue::message::Message;
use crate::queue::name::{ClaimedName, Hand, Lease, Name, Token};
use crate::queue::pace::{Gate, HeldBack};
use crate::queue::pack::{FEW, HANDFUL, HeldPack};
use crate::queue::settle::Claim;

/// No more bytes than about so many are taken in hand at once: they stay in memory, for each job.
const HANDFUL_BYTES: u64 = 256 << 10;
/// Where those are fewer than so many, none is taken in hand.
const LIGHT: u32 = 64;

/// What came of reaching a pack.
pub(super) enum Reached {
    Claimed(Box<Claim>),
    /// It is not there any more, and what was in it is: look again.
    Opened,
    /// Somebody else takes it at this moment, or has.
    Taken,
    Busy,
    /// It is no regular file with one name.
    Foreign,
    TooMany,
    HeldBack(HeldBack),
}

/// A pack where it stands.
pub(super) struct Stand {
    pub place: Place,
    /// Something stands behind it.
    pub more: bool,
    /// There are others, so it is not waited for.
    pub hasty: bool,
}

/// How much of a pack is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// Its first message, and the others wait behind that.
    InHand,
    /// So many of its first messages, and the others are out of reach as long: the disk is too full to take these out.
    Front(u32),
}

impl Queue {
    /// Claims of the pack that stands there what is wanted of it, or opens it.
    pub(super) fn reach_pack(&self, scout: &Scout, dir: &Dir, stand: Stand, lease: Lease) -> Result<Reached> {
        let Stand { place: ref pack, more, hasty } = stand;
        let Wanted { most, now } = scout.wanted;
        let whole = lease == Lease::Live && most > 1 && self.lets_claim_together();
        let (most, many) = (if whole { most } else { 1 }, pack.name.count());
        if most > now && many > now && many <= most {
            return Ok(Reached::TooMany);
        }
        let hasty = hasty && many <= HANDFUL;
        let message = match self.reach_for_pack(dir, pack, hasty)? {
            HeldPack::Ours(message) => message,
            HeldPack::Busy(_) | HeldPack::Gone if hasty => return Ok(Reached::Taken),
            HeldPack::Busy(_) => return Ok(Reached::Busy),
            HeldPack::Gone => return Ok(Reached::Opened),
            HeldPack::Foreign => return Ok(Reached::Foreign),
        };
        let expired = message.header.expires().is_some_and(|expires| expires <= self.disk.now());
        // Each message is checked when it comes out: all of them only where they are claimed together.
        let intact = || message.packed(&pack.name).is_some_and(|packed| packed.bad().is_empty());
        let single = scout.handfuls && lease == Lease::Live && most == 1;
        let handful = handful(&message);
        let in_hand = single && !expired && handful >= LIGHT && self.lets_wait();
        // Of the last there is no more than a few are taken, where the disk has room: others would stand idle meanwhile.
        let last = in_hand && many > 2 * FEW && !more && !self.more_to_come(dir, pack)?;
        if in_hand && (many > handful || last) && self.opened_handfuls(dir, pack, &message, handful, last)? {
            return Ok(Reached::Opened);
        }
        // With more than that there was no room to divide it.
        let part = if in_hand && many > 1 && intact() {
            Part::InHand
        } else if whole && !expired && many <= most && intact() {
            Part::Whole
        } else {
            match self.open_pack(dir, pack, &message, if expired { 1 } else { most }) {
                // A full disk must be drainable: its first messages are claimed where they stand, with the pack around them.
                Err(error) if error.no_room() && !expired && intact() => {
                    Part::Front(if whole && self.locks_apart() { now } else { 1 })
                }
                opened => {
                    opened?;
                    // For those who glanced while its messages stood nowhere.
                    self.wake();
                    return Ok(Reached::Opened);
                }
            }
        };
        self.claim_pack(dir, pack, message, part, lease)
    }

    /// Whether somebody has opened the pack by the handful; where there is no room for that, or something is damaged, nobody.
    fn opened_handfuls(&self, dir: &Dir, pack: &Place, message: &Message, size: u32, last: bool) -> Result<bool> {
        match self.open_handfuls(dir, pack, message, size, last) {
            Ok(None) => Ok(false),
            Err(error) if error.no_room() && self.there(self.disk.stat_at(dir, &pack.file_name))?.is_some() => {
                Ok(false)
            }
            opened => {
                opened?;
                self.wake();
                Ok(true)
            }
        }
    }

    /// Whether something stands behind a pack after all: what is left of one that is just being opened is nowhere for a moment.
    fn more_to_come(&self, dir: &Dir, pack: &Place) -> Result<bool> {
        Ok(self.any_opened()? || self.bucket_entries(dir)?.last().is_some_and(|(name, _)| *name > pack.file_name))
    }

    fn claim_pack(&self, dir: &Dir, pack: &Place, message: Box<Message>, part: Part, lease: Lease) -> Result<Reached> {
        let permit = match self.pass()? {
            Gate::Open(permit) => permit,
            Gate::Shut(why) => return Ok(Reached::HeldBack(why)),
        };
        if let Lease::Timed(_) = lease {
            self.disk.touch(message.file())?;
        }
        let token = Token::new(self.disk.random()?);
        let name = Name { attempts: pack.name.attempts.next(), ..pack.name.clone() };
        let claimed = ClaimedName {
            name,
            lease: match part {
                Part::InHand => Lease::Front(self.own_hand()),
                // Who is lost with them has begun none of those behind them.
                Part::Front(2..) => Lease::Front(Hand::NONE),
                Part::Front(_) | Part::Whole => lease,
            },
            token,
        };
        if !self.take(dir, &pack.file_name, &claimed, permit, message.file())? {
            return Ok(Reached::Opened);
        }
        let now = self.disk.now();
        Ok(Reached::Claimed(Box::new(match part {
            Part::Whole => Claim::new(claimed, *message, now),
            Part::InHand => Claim::with_rest(claimed, *message, now)?,
            Part::Front(many @ 2..) => Claim::fronts(claimed, *message, now, many),
            Part::Front(_) => Claim::front(claimed, *message, now)?,
        })))
    }
}

/// How many of a pack's messages are taken in hand at once: fewer, where their bodies are much to keep in memory.
fn handful(pack: &Message) -> u32 {
    let count = pack.header.messages.unwrap_or(1).max(1);
    let body = (pack.header.size_bytes / u64::from(count)).max(1);
    u32::try_from(HANDFUL_BYTES / body).unwrap_or(HANDFUL).min(HANDFUL)
}
