//! Packs in smaller packs: for workers that take one in hand, and for what waited behind a message in such hands.

use super::open::Run;
use super::{Builder, Held, Packed};
use crate::fs::Dir;
use crate::queue::error::{Error, Result};
use crate::queue::message::Message;
use crate::queue::name::{ClaimedName, Hand, Lease, Name};
use crate::queue::{Place, Queue};

/// So many messages a worker takes in hand at once. Measured, not part of the format.
pub(in crate::queue) const HANDFUL: u32 = 1000;
/// So many packs for workers come out of a larger one at once.
const HANDFULS: u32 = 32;
/// Where nothing stands behind them, the last messages are shared by several workers: each pack gets one in so many of those that
/// are left,
const SHARES: u32 = 16;
/// and no fewer than so many.
pub(in crate::queue) const FEW: u32 = 8;

impl Queue {
    /// The first messages of a pack into packs of up to `size`, that a worker takes in hand; the rest stays in it. Where they are
    /// the `last` of the queue these become ever smaller. `None` where that can't be: some of them are damaged.
    pub(in crate::queue) fn open_handfuls(
        &self,
        from: &Dir,
        place: &Place,
        message: &Message,
        size: u32,
        last: bool,
    ) -> Result<Option<bool>> {
        let Some(packed) = message.packed(&place.name) else { return Ok(Some(true)) };
        let (count, end) = (place.name.count(), place.name.window().end);
        // None is left in it that are too few to be worth another opening.
        let most = if count <= size * (HANDFULS + 2) { count } else { size * HANDFULS };
        if !packed.begins_whole(most) {
            return Ok(None);
        }
        let shared = last && most == count;
        let into = |index: u32| if shared { ((end - index) / SHARES).clamp(FEW, size) } else { size };
        self.open_first(from, place, message, most, &into).map(Some)
    }

    /// Parts the first message of a claimed pack from the others, which become ready as a pack of their own. The new name of the
    /// one, whose file is the same; `None` where the claim is gone.
    pub(in crate::queue) fn part(
        &self,
        claimed: &ClaimedName,
        packed: &Packed<'_>,
        past: &[u8],
    ) -> Result<Option<ClaimedName>> {
        let back = Name { attempts: claimed.name.attempts.previous(), ..claimed.name.clone() };
        let Some(place) = Place::parse_pack(&back.text()) else { return Ok(None) };
        let window = back.window();
        let mut opening = self.opening()?;
        let first = window.start + 1;
        let mut run = Run { place: &place, packed: packed.clone(), past, first, part: Builder::default() };
        for index in first..window.end {
            let Held::Whole(body) = packed.get(index) else {
                let path = self.path().join(claimed.home()).join(claimed.text());
                return Err(Error::Damaged { path, why: format!("message {index} of the pack fails its check") });
            };
            run.part.write(body);
            run.part.end();
        }
        let many = run.part.len();
        run.put(&mut opening, many)?;
        let name = Name { pack: Some(1), ..claimed.name.clone() };
        // What becomes of it is for all who watch `claimed/` to hear.
        let alone = ClaimedName { name, lease: Lease::Front(Hand::NONE), token: claimed.token.clone() };
        let parted =
            opening.commit(&*self.claimed_in(claimed)?, &claimed.text(), &claimed.name, Some(&alone.text()))?;
        Ok(parted.then_some(alone))
    }
}
