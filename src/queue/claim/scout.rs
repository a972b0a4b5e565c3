//! What a claimer remembers between two claims.

use super::idle::Idle;
use super::names::Names;
use crate::fs::{Dir, Kind};
use crate::queue::name::Priority;
use crate::queue::pace::HeldBack;
use crate::queue::pack::PACK_LEAST;
use crate::time::Time;
use std::time::Duration;

/// For so long after a look that went through all, a glance at what is ready is enough for an idle worker that was woken: of
/// several, all but one find nothing. A holder's death is heard in another way.
const GLANCES: Duration = Duration::from_secs(5);

/// What one process remembers from claim to claim, so that a bucket is listed once and not for each of its messages.
#[derive(Debug, Default)]
pub struct Scout {
    pub(super) cursor: Option<Cursor>,
    pub(super) steady: Option<Steady>,
    /// The lists of buckets that the look at hand has read.
    pub(super) lists: Vec<List>,
    /// Nothing in `delayed/` is due before then, unless somebody touched `wake`.
    pub(super) quiet_until: Option<Time>,
    pub(super) claims: u32,
    /// The look at hand found a message that the queue does not give out now, and went no further.
    pub(super) held_back: Option<HeldBack>,
    pub(super) wanted: Wanted,
    /// Packs may be taken in hand.
    pub(super) handfuls: bool,
    /// The look at hand found a pack that has too many messages.
    pub(super) too_many: bool,
    /// The next look may be a glance.
    pub(super) glance: bool,
    /// What the last whole look found nothing at, and which timed lease ends next.
    pub(super) whole: Option<(Time, Option<Time>)>,
    /// What a glance found nothing in.
    pub(super) idle: Option<Idle>,
}

/// How many messages a claim may bring: with one, packs are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) most: u32,
    pub(super) now: u32,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { most: 1, now: 1 }
    }
}

#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) priority: Priority,
    pub(super) bucket: String,
    pub(super) dir: Dir,
    pub(super) names: Names,
    /// How many there were when it was listed first, until it was told that half of them are gone.
    pub(super) full: Option<usize>,
}

/// While these directories have not changed, nothing goes before what the cursor has.
#[derive(Debug)]
pub(super) struct Steady {
    pub(super) ready: Dir,
    pub(super) ready_modified: Time,
    pub(super) top: Dir,
    pub(super) top_modified: Time,
}

/// A list of buckets that was read.
#[derive(Debug)]
pub(super) struct List {
    pub(super) top: Dir,
    pub(super) entries: Vec<(String, Kind)>,
}

impl Scout {
    pub fn new() -> Scout {
        Scout::default()
    }

    /// Packs of up to `most` messages are claimed whole ([`Claim::is_pack`]), and larger ones divided into such; but none with
    /// more than `now`.
    pub fn want(&mut self, now: u32, most: u32) {
        self.wanted = Wanted { most, now };
    }

    /// Whether the next claim may be of a small pack's first message, with the others behind it ([`crate::queue::Claim::waiting`]): for a worker
    /// that is done with all of them in a moment, and else puts them back.
    pub fn take_handfuls(&mut self, whether: bool) {
        self.handfuls = whether;
    }

    /// Something may have changed: look at the lists of buckets again, and at what is due. What is left of the bucket at
    /// hand is kept while no older bucket and no higher priority has appeared.
    pub fn woken(&mut self) {
        self.quiet_until = None;
    }

    /// Whether the bucket at hand came half to its end: once a bucket, and only for one that a pack may have filled. Time for
    /// [`crate::queue::Queue::open_ahead`].
    pub fn half_way(&mut self) -> bool {
        let Some(cursor) = &mut self.cursor else { return false };
        let half = cursor.full.filter(|&full| full >= PACK_LEAST as usize && cursor.names.left() <= full / 2).is_some();
        if half {
            cursor.full = None;
        }
        half
    }

    /// The next claim is for a message that was just sent or became ready, and nothing else has happened: where there is none
    /// it looks for nothing that a crash left, if a whole look found nothing a few seconds ago. What it says of nothing is a
    /// reason to sleep on, and none to end.
    pub fn glance(&mut self) {
        self.glance = true;
    }

    /// The last whole look that found nothing, and which timed lease ends next, where that is not long ago.
    pub(super) fn lately(&self, now: Time) -> Option<(Time, Option<Time>)> {
        self.whole.filter(|(whole, _)| *whole <= now && now < whole.plus(GLANCES))
    }
}
