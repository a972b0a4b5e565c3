//! Packs, as verbs that can be stopped at any step: sent, opened, divided, claimed whole, and ended in every way.

mod apart;
mod found;
pub mod fronts;
pub mod hand;
mod own;
mod parts;
mod races;
mod wanted;

use super::ledger::Lasting;
use super::survey::Survey;
use super::verbs::{cancelled, in_an_hour, keeping, only, place_of, record, settled};
use super::world::{MAX_ATTEMPTS, OTHER, Q, World, claim_by, claim_one, lasting, unexpected, urgent};
use mq::fs::Disk;
use mq::queue::name::{Id, Lease, State};
use mq::queue::{
    Again, Claim, Counting, Ending, Envelope, Error, Found, Moved, Outcome, Place, Queue, Removed, Result, Scout,
    Settled,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How many messages the pack has.
const COUNT: u32 = 5;

fn body(number: u32) -> Vec<u8> {
    format!("packed {number}").into_bytes()
}

fn open(disk: &Disk) -> Result<Queue> {
    Queue::open(disk, Path::new(Q))
}

/// Sends one pack.
pub fn send(world: &mut World, disk: &Disk, envelope: &Envelope) -> Result<()> {
    let bodies: Vec<Vec<u8>> = (1..=COUNT).map(body).collect();
    world.ledger.together(bodies.clone());
    bodies.iter().for_each(|body| world.ledger.sending(body));
    let queue = open(disk)?;
    let mut batch = queue.batch()?.packing(2, COUNT);
    for body in &bodies {
        batch.begin(envelope)?;
        batch.write(body)?;
    }
    // What is wrong after the commit does not unsend.
    let _ = batch.publish(|_| ())?;
    bodies.iter().for_each(|body| world.ledger.sent(body, None));
    Ok(())
}

/// The queue has its reserve already, whose files are empty here, so that forking the world copies none of them.
pub fn reserved(world: &mut World) {
    (0..8).for_each(|number| world.machine.write(format!("{Q}/reserve/{number}"), b""));
}

pub fn send_later(world: &mut World, disk: &Disk) -> Result<()> {
    let envelope = in_an_hour(world);
    send(world, disk, &envelope)?;
    (1..=COUNT).for_each(|n| world.ledger.is_in(&body(n), &["delayed", "ready"], Lasting::Cut));
    Ok(())
}

/// There is a pack, which is claimed before all others, and its messages keep their uids from here on.
pub fn sent(world: &mut World) {
    let disk = world.machine.disk();
    send(world, &disk, &urgent(7)).unwrap();
    known(world);
}

pub fn scheduled(world: &mut World) {
    let disk = world.machine.disk();
    send_later(world, &disk).unwrap();
    known(world);
}

fn known(world: &mut World) {
    reserved(world);
    let survey = Survey::of(&world.machine, Q);
    assert_eq!(survey.wrong, [""; 0]);
    world.ledger.let_part();
    for number in 1..=COUNT {
        let seen = survey.messages.iter().find(|seen| seen.body == body(number)).expect("it was sent");
        world.ledger.sent(&seen.body, Some(&seen.uid));
    }
}

pub fn due(world: &mut World) {
    let due = world.machine.now().plus(Duration::from_secs(300));
    let disk = world.machine.disk();
    send(world, &disk, &Envelope { due: Some(due), ..urgent(7) }).unwrap();
    known(world);
    world.machine.set_clock(due);
}

/// The pack has failed whole all its attempts but one.
pub fn tried(world: &mut World) {
    sent(world);
    let disk = world.machine.disk();
    for _ in 1..MAX_ATTEMPTS {
        nack(world, &disk, Again::Now).unwrap();
    }
    world.ledger.let_move();
}

/// Two packs of two messages and a file, out of which came the first message.
pub fn divided(world: &mut World) {
    sent(world);
    let disk = world.machine.disk();
    claim_part(world, &disk).unwrap();
    world.open().recover().unwrap();
}

/// Its worker is gone.
pub fn lost(world: &mut World) {
    sent(world);
    let disk = world.machine.disk();
    claim(world, &disk).unwrap();
}

pub fn lost_at_last(world: &mut World) {
    tried(world);
    let disk = world.machine.disk();
    claim(world, &disk).unwrap();
}

pub fn lost_and_cancelled(world: &mut World) {
    sent(world);
    let queue = world.open();
    let claim = claim_whole(&queue, COUNT).unwrap();
    let id = claim.ids().nth(2).unwrap();
    let place = place_of(&queue, id).unwrap();
    cancelled(queue.cancel(&place, "not needed").unwrap(), &place, true).unwrap();
}

/// Messages that end are kept, as somebody says after the pack was sent.
pub fn kept(world: &mut World) {
    sent(world);
    keeping(world);
}

/// Whoever opened it was killed when the pack was taken in.
pub fn half_opened(world: &mut World) {
    sent(world);
    let opened = |world: &World| world.machine.files(Q).iter().any(|path| path.contains("/spent-"));
    world.stop_when(|_, disk| claim_one(&open(disk)?, Lease::Live).map(drop), opened);
}

/// One pack was being opened, one was divided, and one is in a backup twice.
pub fn in_pieces(world: &mut World) {
    half_opened(world);
    let disk = world.machine.disk();
    let queue = open(&disk).unwrap();
    let mut batch = queue.batch().unwrap().packing(2, 3);
    let bodies: Vec<Vec<u8>> = (11..=13).map(body).collect();
    for body in &bodies {
        batch.begin(&urgent(6)).unwrap();
        batch.write(body).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    bodies.iter().for_each(|body| world.ledger.sent(body, None));
    let files = world.machine.files(Q);
    let pack = files.iter().find(|path| path.starts_with("ready/6/")).expect("a pack");
    let file_name = pack.rsplit('/').next().expect("a name");
    let bytes = world.machine.read(format!("{Q}/{pack}")).expect("a pack");
    // Tried once more in the copy, which is where it is now.
    let (start, end) = (&file_name[..file_name.len() - 12], &file_name[file_name.len() - 8..]);
    world.machine.write(format!("{Q}/ready/6/{start}0001{end}"), &bytes);
}

/// Claims as many together as are wanted at once; larger packs are divided.
pub fn claim_whole(queue: &Queue, most: u32) -> Result<Claim> {
    let mut scout = Scout::new();
    scout.want(most, most);
    claim_by(&mut scout, queue, Lease::Live)
}

/// The bodies of what is claimed, be it a pack or one message.
pub fn bodies(claim: &Claim) -> Result<Vec<Vec<u8>>> {
    if !claim.is_pack() {
        return Ok(vec![super::world::body_of(claim)?]);
    }
    claim.each_packed().map(|(_, _, body)| body.map(<[u8]>::to_vec)).collect()
}

pub fn claim(world: &mut World, disk: &Disk) -> Result<()> {
    let _ = world;
    claim_whole(&open(disk)?, COUNT).map(drop)
}

pub fn claim_part(world: &mut World, disk: &Disk) -> Result<()> {
    let _ = world;
    let claim = claim_whole(&open(disk)?, 2)?;
    only(claim.messages() <= 2, "more than were wanted")
}

pub fn ack(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = claim_whole(&queue, COUNT)?;
    let bodies = bodies(&claim)?;
    bodies.iter().for_each(|body| world.ledger.leaving(body));
    only(claim.ack(&queue)? == Settled::Acked, "settled already")?;
    bodies.iter().for_each(|body| world.ledger.gone(body));
    Ok(())
}

pub fn nack(world: &mut World, disk: &Disk, again: Again) -> Result<()> {
    let queue = open(disk)?;
    let claim = claim_whole(&queue, COUNT)?;
    let bodies = bodies(&claim)?;
    let used_up = claim.attempt() >= MAX_ATTEMPTS;
    let record = record(disk, claim.attempt(), Outcome::Exit);
    let how = claim.nack(&queue, again, Counting::Counted, record)?;
    only((how == Settled::Dead) == used_up, "dead or not")?;
    bodies.iter().try_for_each(|body| settled(world, body, how))
}

pub fn dead(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = claim_whole(&queue, COUNT)?;
    let bodies = bodies(&claim)?;
    let record = record(disk, claim.attempt(), Outcome::Dead);
    let how = claim.dead(&queue, record)?;
    bodies.iter().try_for_each(|body| settled(world, body, how))
}

/// Acknowledged, put back for now and for later, dead, and as if it had not been tried.
pub fn settle_each(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = claim_whole(&queue, COUNT)?;
    if !claim.is_pack() {
        // Another one came first and has opened it; or it is kept, for which each message goes by itself.
        let body = super::world::body_of(&claim)?;
        world.ledger.leaving(&body);
        return match claim.ack(&queue)? {
            Settled::Acked if queue.settings().retain().is_some() => {
                world.ledger.kept(&body);
                Ok(())
            }
            how => {
                only(matches!(how, Settled::Acked | Settled::Unkept), "settled already")?;
                world.ledger.gone(&body);
                Ok(())
            }
        };
    }
    let bodies = bodies(&claim)?;
    let ids: Vec<Id> = claim.ids().collect();
    let attempt = claim.attempt();
    let later = Again::After(Duration::from_secs(30));
    let endings = [
        Ending::Acked,
        Ending::Again(Again::Now, Counting::Counted),
        Ending::Again(later, Counting::Counted),
        Ending::Dead,
        Ending::Again(Again::Now, Counting::Uncounted),
    ];
    let ending = |id: Id| endings[ids.iter().position(|other| *other == id).unwrap_or(0)];
    for (id, body) in ids.iter().zip(&bodies) {
        if ending(*id) == Ending::Acked {
            world.ledger.leaving(body);
        }
    }
    let each = claim.settle_each(&queue, &mut |id| (ending(id), record(disk, attempt, Outcome::Exit)))?;
    for (id, how) in each {
        let body = &bodies[ids.iter().position(|other| *other == id).unwrap_or(0)];
        match how {
            Settled::Acked => world.ledger.gone(body),
            how => settled(world, body, how)?,
        }
    }
    Ok(())
}

/// Of a pack whose worker is gone, all messages are there again: or in this state.
pub fn recover(world: &mut World, disk: &Disk, state: Option<&str>) -> Result<()> {
    let queue = open(disk)?;
    let place = any_claimed(&queue)?;
    queue.recover()?;
    if any_claimed(&queue).is_ok() {
        // A lock that can't be had is somebody's.
        return Err(Error::Held { id: place.id(), by: None });
    }
    for number in 1..=COUNT {
        match state {
            Some(_) => world.ledger.is_in(&body(number), &["dead"], lasting(world.config)),
            None => world.ledger.is_in(&body(number), &["ready"], Lasting::Kill),
        }
    }
    Ok(())
}

pub fn recover_cancelled(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let place = any_claimed(&queue)?;
    queue.recover()?;
    if any_claimed(&queue).is_ok() || !queue.cancellations()?.is_empty() {
        return Err(Error::Held { id: place.id(), by: None });
    }
    world.ledger.is_in(&body(3), &["dead"], lasting(world.config));
    Ok(())
}

/// The pack that is claimed.
fn any_claimed(queue: &Queue) -> Result<Place> {
    let mut found = None;
    queue.each_place(State::Claimed, |place, _| {
        found = found.take().or(place.in_pack.is_some().then_some(place));
        Ok(ControlFlow::Continue(()))
    })?;
    found.ok_or_else(|| unexpected("none there"))
}

/// Where these messages of the pack stand.
fn places(queue: &Queue, numbers: &[u32]) -> Result<Vec<(Place, Vec<u8>)>> {
    let mut places = Vec::new();
    for state in [State::Ready, State::Delayed] {
        queue.each_place(state, |place, _| {
            if let Some(message) = queue.read(&place)? {
                let start = message.start(100)?;
                if numbers.iter().any(|number| body(*number) == start) {
                    places.push((place, start));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    only(places.len() == numbers.len(), "not all are there")?;
    Ok(places)
}

/// Each by itself, for which the pack is opened.
pub fn remove(world: &mut World, disk: &Disk, numbers: &[u32]) -> Result<()> {
    let queue = open(disk)?;
    for (place, body) in places(&queue, numbers)? {
        world.ledger.leaving(&body);
        only(queue.remove(&place)? == Removed::Removed, "gone")?;
        queue.flush_all()?;
        world.ledger.gone(&body);
    }
    queue.count_removed(numbers.len() as u64)
}

/// All in one go.
pub fn remove_together(world: &mut World, disk: &Disk, numbers: &[u32]) -> Result<()> {
    let queue = open(disk)?;
    let (places, bodies): (Vec<Place>, Vec<Vec<u8>>) = places(&queue, numbers)?.into_iter().unzip();
    bodies.iter().for_each(|body| world.ledger.leaving(body));
    only(queue.remove_packed(&places)?, "gone")?;
    queue.flush_all()?;
    bodies.iter().for_each(|body| world.ledger.gone(body));
    queue.count_removed(numbers.len() as u64)
}

pub fn move_one(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let other = Queue::open(disk, Path::new(OTHER))?;
    let (place, body) = places(&queue, &[3])?.remove(0);
    let delayed = place.state == State::Delayed;
    only(matches!(queue.move_to(&place, &other)?, Moved::To(_)), "gone")?;
    other.flush_all()?;
    world.ledger.is_in(&body, if delayed { &["delayed"] } else { &["ready"] }, lasting(world.config));
    Ok(())
}

pub fn cancel_one(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let (place, body) = places(&queue, &[3])?.remove(0);
    cancelled(queue.cancel(&place, "not needed any more")?, &place, false)?;
    world.ledger.is_in(&body, &["dead"], lasting(world.config));
    Ok(())
}

/// Claims and acknowledges all that can be had.
fn in_order(queue: &Queue) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut scout = Scout::new();
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).expect("a claim") {
        bodies.push(super::world::body_of(&claim).expect("a whole body"));
        claim.ack(queue).expect("an ack");
    }
    bodies
}
