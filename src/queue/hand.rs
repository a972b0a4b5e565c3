//! A worker's own directory in `claimed/`, for the packs that it takes in hand: with each of their messages it renames within that
//! directory, and workers that all did so in one would wait for each other there.
//!
//! The name of a claim says in which one it stands. The directory is locked as long as its worker lives, and an empty one without
//! a lock is removed by whoever finds it.

use super::Queue;
use super::browse::{Each, Order, Place};
use super::error::{Error, Result};
use super::name::{CLAIMED, ClaimedName, Hand, State, WAKE};
use crate::fs::{Access, Dir, File, Kind};
use std::cell::Cell;
use std::ops::{ControlFlow, Deref};
use std::path::Path;

/// What this process has of it.
#[derive(Debug)]
pub(super) struct OwnHand {
    hand: Hand,
    /// Locked: it is not removed while we live.
    dir: Dir,
    /// Somebody has removed it all the same.
    lost: Cell<bool>,
    /// `wake`, open for writing: when the last descriptor of that is closed, those who watch it hear that we are gone.
    _alive: File,
}

/// The directory in which a claim stands.
pub(super) enum ClaimedDir<'q> {
    Open(&'q Dir),
    Opened(Dir),
}

impl Deref for ClaimedDir<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            ClaimedDir::Open(dir) => dir,
            ClaimedDir::Opened(dir) => dir,
        }
    }
}

impl Queue {
    /// Where this worker puts what it takes in hand: made when it is first asked for; `claimed/` itself, where it can't be.
    pub(super) fn own_hand(&self) -> Hand {
        let own = self.hand.get_or_init(|| self.make_hand().ok().flatten());
        own.as_ref().filter(|own| !own.lost.get()).map_or(Hand::NONE, |own| own.hand)
    }

    fn make_hand(&self) -> Result<Option<OwnHand>> {
        let disk = &self.disk;
        let alive = disk.open(&self.dir, WAKE, Access::Write)?;
        let fresh = || Ok(Hand::new(disk.random()?).to_string());
        let (name, dir) = self.locked_dir(self.claimed_dir()?, &fresh)?;
        Ok(Hand::parse(&name).map(|hand| OwnHand { hand, dir, lost: Cell::new(false), _alive: alive }))
    }

    /// What we have of it, if that is ours.
    fn own(&self, hand: Hand) -> Option<&OwnHand> {
        self.hand.get()?.as_ref().filter(|own| own.hand == hand)
    }

    /// The directory in which a claim of this name stands. Where that is gone, `claimed/` itself, where no claim of such a name stands
    /// either.
    pub(super) fn claimed_in(&self, claimed: &ClaimedName) -> Result<ClaimedDir<'_>> {
        let hand = claimed.hand();
        if hand == Hand::NONE {
            return Ok(ClaimedDir::Open(self.claimed_dir()?));
        }
        if let Some(own) = self.own(hand).filter(|own| !own.lost.get()) {
            return Ok(ClaimedDir::Open(&own.dir));
        }
        match self.disk.open_dir(self.claimed_dir()?, hand.to_string()) {
            Err(error) if error.missing() => Ok(ClaimedDir::Open(self.claimed_dir()?)),
            opened => Ok(ClaimedDir::Opened(opened?)),
        }
    }

    pub(super) fn is_own_hand(&self, hand: Hand) -> bool {
        self.own(hand).is_some()
    }

    /// Our own directory is not there any more, and was made anew by a rename that found it gone.
    pub(super) fn lost_hand(&self, claimed: &ClaimedName) {
        if let Some(own) = self.own(claimed.hand()) {
            own.lost.set(true);
        }
    }

    /// The directories of workers, each with its name.
    pub(super) fn hands(&self) -> Result<Vec<(Hand, Dir)>> {
        match self.maybe_dir(Path::new(CLAIMED))? {
            Some(claimed) => self.hands_in(&claimed),
            None => Ok(Vec::new()),
        }
    }

    fn hands_in(&self, claimed: &Dir) -> Result<Vec<(Hand, Dir)>> {
        let mut hands = Vec::new();
        self.disk.list(claimed, |name, kind| {
            hands.extend(name.to_str().filter(|_| kind == Kind::Dir).and_then(Hand::parse));
            ControlFlow::Continue(())
        })?;
        let open = |hand: Hand| match self.disk.open_dir(claimed, hand.to_string()) {
            Err(error) if error.missing() => None,
            opened => Some(opened.map(|dir| (hand, dir)).map_err(Error::from)),
        };
        hands.into_iter().filter_map(open).collect()
    }

    /// [`Queue::each_file`] for claims: those of each worker's own directory first, since one may come out of there into `claimed/`
    /// itself, and never into another one.
    pub(super) fn every_claim(&self, order: Order, each: Each<'_>) -> Result<()> {
        let Some(claimed) = self.maybe_dir(Path::new(CLAIMED))? else { return Ok(()) };
        for (hand, dir) in self.hands_in(&claimed)? {
            if self.each_claim_of(hand, &dir, order, each)?.is_break() {
                return Ok(());
            }
        }
        if self.each_claim_of(Hand::NONE, &claimed, order, each)?.is_break() {
            return Ok(());
        }
        self.each_opened(State::Claimed, each)
    }

    fn each_claim_of(&self, hand: Hand, dir: &Dir, order: Order, each: Each<'_>) -> Result<ControlFlow<()>> {
        let mut each = |place: Place, dir: &Dir| match &place.claimed {
            Some(claimed) if claimed.hand() == hand => each(place, dir),
            _ => Ok(ControlFlow::Continue(())),
        };
        self.each_in(State::Claimed, order, dir, &mut each)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let (Some(Some(own)), Some(claimed)) = (self.hand.get(), self.claimed.get()) {
            let _ = self.disk.remove_dir(claimed, own.hand.to_string());
        }
    }
}
