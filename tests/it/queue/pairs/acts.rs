//! What one of two processes does, telling the ledger that both share what it was told.

use super::super::ledger::{Lasting, Ledger};
use super::super::packs::{self, hand};
use super::super::verbs::{first, only, record};
use super::super::world::{Config, Q, body_of, claim_one, lasting, unexpected, urgent};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{
    Again, Claim, Counting, Envelope, Error, Moved, Outcome, Place, Queue, Receipt, Removed, Result, Settled,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One machine, and what was said on it.
pub struct Shared {
    pub machine: Machine,
    pub config: Config,
    /// A timed claim that was handed out before.
    pub receipt: Option<(Receipt, Vec<u8>)>,
    pub said: Mutex<Said>,
}

#[derive(Clone, Default)]
pub struct Said {
    pub ledger: Ledger,
    /// What living processes hold by its lock, and what somebody was promised for longer than all this takes.
    hands: BTreeSet<Vec<u8>>,
    leased: BTreeSet<Vec<u8>>,
    over: BTreeSet<Vec<u8>>,
}

/// One of the two.
pub struct Party {
    pub shared: Arc<Shared>,
    pub disk: Disk,
    pub name: &'static str,
}

pub type Act = fn(&Party) -> Result<()>;

/// A message in somebody's hands, for as long as that process lives.
struct Hand(Arc<Shared>, Vec<Vec<u8>>);

impl Drop for Hand {
    fn drop(&mut self) {
        let mut said = self.0.said();
        said.hands.retain(|body| !self.1.contains(body));
    }
}

impl Shared {
    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    pub fn new(ledger: Ledger) -> Said {
        Said { ledger, ..Said::default() }
    }

    /// Settled for good, which happens to a message once.
    fn gone(&mut self, body: &[u8]) {
        assert!(self.over.insert(body.to_vec()), "{} was settled twice", String::from_utf8_lossy(body));
        self.leased.remove(body);
        self.ledger.gone(body);
    }
}

/// Nobody takes from a living process what it holds by its lock.
fn not_lost<T>(outcome: Result<T>) -> Result<T> {
    assert!(!matches!(outcome, Err(Error::Lost { .. })), "it was taken from its holder");
    outcome
}

impl Party {
    fn queue(&self) -> Result<Queue> {
        Queue::open(&self.disk, Path::new(Q))
    }

    /// Takes what was claimed into its hands, in which nobody else's are.
    fn hold(&self, bodies: Vec<Vec<u8>>) -> Hand {
        let mut said = self.shared.said();
        for body in &bodies {
            let text = String::from_utf8_lossy(body).into_owned();
            assert!(said.ledger.knows(body), "{text} was delivered and never sent");
            assert!(!said.over.contains(body), "{text} was delivered after it was acknowledged or removed");
            assert!(!said.leased.contains(body), "{text} was delivered during another's lease");
            assert!(said.hands.insert(body.clone()), "{text} is in two hands");
        }
        drop(said);
        Hand(self.shared.clone(), bodies)
    }

    fn take(&self, queue: &Queue, lease: Lease) -> Result<(Claim, Vec<u8>, Hand)> {
        let claim = claim_one(queue, lease)?;
        let body = body_of(&claim)?;
        let hand = self.hold(vec![body.clone()]);
        Ok((claim, body, hand))
    }

    /// Ends messages, of which it is not known what becomes until `end` returns.
    fn end(&self, bodies: &[Vec<u8>], end: impl FnOnce() -> Result<bool>) -> Result<()> {
        bodies.iter().for_each(|body| self.shared.said().ledger.leaving(body));
        match end() {
            Ok(true) => {
                let mut said = self.shared.said();
                bodies.iter().for_each(|body| said.gone(body));
                Ok(())
            }
            Ok(false) | Err(Error::Lost { .. }) => {
                let mut said = self.shared.said();
                bodies.iter().for_each(|body| said.ledger.stays(body));
                Err(unexpected("somebody else was faster"))
            }
            Err(error) => Err(error),
        }
    }
}

/// Claims, works for a while, and ends without a word.
pub fn claim(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let (_claim, _, _hand) = party.take(&queue, Lease::Live)?;
    queue.paused().map(drop)
}

pub fn claim_timed(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let claim = claim_one(&queue, Lease::Timed(Duration::from_secs(60)))?;
    let body = body_of(&claim)?;
    let hand = party.hold(vec![body.clone()]);
    let mut said = party.shared.said();
    said.leased.insert(body.clone());
    said.ledger.is_in(&body, &["claimed"], Lasting::Kill);
    drop(said);
    drop(hand);
    Ok(())
}

pub fn ack(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let (claim, body, hand) = party.take(&queue, Lease::Live)?;
    drop(hand);
    party.end(&[body], || Ok(not_lost(claim.ack(&queue))? == Settled::Acked))
}

pub fn nack(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let (claim, body, hand) = party.take(&queue, Lease::Live)?;
    let record = record(&party.disk, claim.attempt(), Outcome::Exit);
    // Another one may have it before this one learns that it is free.
    drop(hand);
    let settled = not_lost(claim.nack(&queue, Again::Now, Counting::Counted, record))?;
    only(settled == Settled::Ready, "not ready")?;
    let durable = if party.shared.config.sync == "all" { Lasting::Cut } else { Lasting::Kill };
    party.shared.said().ledger.is_in(&body, &["ready", "claimed"], durable);
    Ok(())
}

pub fn recover(party: &Party) -> Result<()> {
    party.queue()?.recover().map(drop)
}

pub fn send(party: &Party) -> Result<()> {
    let body = format!("sent by {}", party.name).into_bytes();
    party.shared.said().ledger.sending(&body);
    let queue = party.queue()?;
    let mut draft = queue.draft(Envelope::default())?;
    draft.write(&body)?;
    let sent = draft.publish()?;
    party.shared.said().ledger.published(&body, sent.uid.as_str());
    Ok(())
}

pub fn send_pack(party: &Party) -> Result<()> {
    let bodies: Vec<Vec<u8>> = (1..=2).map(|n| format!("{n} packed by {}", party.name).into_bytes()).collect();
    let mut said = party.shared.said();
    said.ledger.together(bodies.clone());
    bodies.iter().for_each(|body| said.ledger.sending(body));
    drop(said);
    let queue = party.queue()?;
    let mut batch = queue.batch()?.packing(2, 2);
    for body in &bodies {
        batch.begin(&urgent(7))?;
        batch.write(body)?;
    }
    // What is wrong after the commit does not unsend.
    let _ = batch.publish(|_| ())?;
    let mut said = party.shared.said();
    bodies.iter().for_each(|body| said.ledger.sent(body, None));
    Ok(())
}

pub fn extend(party: &Party) -> Result<()> {
    let (receipt, body) = party.shared.receipt.as_ref().expect("a receipt");
    let queue = party.queue()?;
    queue.redeem(receipt, None)?.extend(&queue, None)?;
    let mut said = party.shared.said();
    said.leased.insert(body.clone());
    said.ledger.is_in(body, &["claimed"], Lasting::Kill);
    Ok(())
}

pub fn ack_by_receipt(party: &Party) -> Result<()> {
    let (receipt, body) = party.shared.receipt.as_ref().expect("a receipt");
    let queue = party.queue()?;
    let claim = queue.redeem(receipt, None)?;
    party.end(std::slice::from_ref(body), || Ok(claim.ack(&queue)? == Settled::Acked))
}

pub fn nack_by_receipt(party: &Party) -> Result<()> {
    let (receipt, body) = party.shared.receipt.as_ref().expect("a receipt");
    let queue = party.queue()?;
    let claim = queue.redeem(receipt, None)?;
    let record = record(&party.disk, claim.attempt(), Outcome::Nack);
    only(claim.nack(&queue, Again::Now, Counting::Counted, record)? == Settled::Ready, "not ready")?;
    party.shared.said().ledger.is_in(body, &["ready", "claimed"], Lasting::Kill);
    Ok(())
}

pub fn redrive(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let (place, body) = first(&queue, State::Dead)?;
    only(matches!(queue.redrive(&place, None)?, Moved::To(_)), "gone")?;
    queue.flush_all()?;
    party.shared.said().ledger.is_in(&body, &["ready", "claimed"], lasting(party.shared.config));
    Ok(())
}

/// Removes the youngest of what is ready: in a pack, one of its messages.
pub fn rm(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let mut places: Vec<Place> = Vec::new();
    queue.each_place(State::Ready, |place, _| {
        places.push(place);
        Ok(ControlFlow::Continue(()))
    })?;
    places.sort_by_key(|place| (place.name.priority.level(), std::cmp::Reverse(place.id())));
    let place = places.pop().ok_or_else(|| unexpected("nothing there"))?;
    let body = queue.read(&place)?.ok_or_else(|| unexpected("gone"))?.start(100)?;
    party.end(&[body], || {
        let removed = queue.remove(&place)? == Removed::Removed;
        queue.flush_all()?;
        Ok(removed)
    })
}

pub fn claim_whole(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let claim = packs::claim_whole(&queue, 3)?;
    let _hand = party.hold(packs::bodies(&claim)?);
    queue.paused().map(drop)
}

pub fn ack_whole(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let claim = packs::claim_whole(&queue, 3)?;
    let bodies = packs::bodies(&claim)?;
    drop(party.hold(bodies.clone()));
    party.end(&bodies, || Ok(not_lost(claim.ack(&queue))? == Settled::Acked))
}

pub fn claim_part(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let claim = packs::claim_whole(&queue, 2)?;
    let _hand = party.hold(packs::bodies(&claim)?);
    queue.paused().map(drop)
}

/// Takes a pack in hand, and acknowledges its messages one after the other.
pub fn ack_in_hand(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let mut next = Some(hand::claim_in_hand(&queue)?);
    while let Some(claim) = next.take() {
        let body = body_of(&claim)?;
        drop(party.hold(vec![body.clone()]));
        party.end(&[body], || {
            let (settled, following) = not_lost(claim.ack_next(&queue))?;
            next = following;
            Ok(settled == Settled::Acked)
        })?;
    }
    Ok(())
}

/// Takes a pack in hand, puts the rest back, and ends without a word.
pub fn claim_in_hand(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let mut claim = hand::claim_in_hand(&queue)?;
    let _hand = party.hold(vec![body_of(&claim)?]);
    not_lost(claim.lock_for_job(&queue))?;
    not_lost(claim.put_rest_back(&queue))
}

/// Takes a pack in hand, works on the first of it for long, and acknowledges that.
pub fn ack_late(party: &Party) -> Result<()> {
    let queue = party.queue()?;
    let mut claim = hand::claim_in_hand(&queue)?;
    let body = body_of(&claim)?;
    let hand = party.hold(vec![body.clone()]);
    not_lost(claim.lock_for_job(&queue))?;
    not_lost(claim.put_rest_back(&queue))?;
    drop(hand);
    party.end(&[body], || Ok(not_lost(claim.ack(&queue))? == Settled::Acked))
}
