//! Packs in a worker's hands, as verbs that can be stopped at any step: the first message is claimed, and the others wait behind it.

use super::{COUNT, any_claimed, body, open, sent};
use crate::queue::ledger::Lasting;
use crate::queue::verbs::{only, record, settled};
use crate::queue::world::{Q, World, body_of, claim_by, claim_one, urgent};
use mq::fs::{Access, Birth, Disk, File};
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Claim, Counting, Error, Found, Outcome, Queue, Result, Scout, Settled};
use std::path::Path;
use std::time::Duration;

/// There is a pack, and a message behind it, so that a worker takes the pack in hand.
pub fn ready(world: &mut World) {
    sent(world);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"behind the pack", urgent(7)).unwrap();
}

/// The worker that has the pack in hand is gone.
pub fn lost(world: &mut World) {
    ready(world);
    drop(claim_in_hand(&world.open()).unwrap());
}

/// The same, but for whoever has the receipt of its first message.
pub fn live(world: &mut World) {
    ready(world);
    let queue = world.open();
    let claim = claim_in_hand(&queue).unwrap();
    let body = body_of(&claim).unwrap();
    world.receipts.push((claim.receipt(Q), body));
}

/// Claims as a worker does whose jobs are short.
pub fn claim_in_hand(queue: &Queue) -> Result<Claim> {
    let mut scout = Scout::new();
    scout.take_handfuls(true);
    claim_by(&mut scout, queue, Lease::Live)
}

/// Acknowledges one, and claims the one behind it.
fn ack_one(world: &mut World, queue: &Queue, claim: Claim) -> Result<Option<Claim>> {
    let body = body_of(&claim)?;
    world.ledger.leaving(&body);
    let (how, next) = claim.ack_next(queue)?;
    only(how == Settled::Acked, "settled already")?;
    world.ledger.gone(&body);
    Ok(next)
}

/// All of what is in hand, one after the other.
pub fn ack_all(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let mut next = Some(claim_in_hand(&queue)?);
    while let Some(claim) = next {
        next = ack_one(world, &queue, claim)?;
    }
    Ok(())
}

/// One is acknowledged, and what comes next: where the first was not in hand, because others came first, another first one.
fn second(world: &mut World, queue: &Queue) -> Result<Claim> {
    let claim = claim_in_hand(queue)?;
    match ack_one(world, queue, claim)? {
        Some(next) => Ok(next),
        None => claim_in_hand(queue),
    }
}

/// The second goes back the first for its worker, and with it the rest.
pub fn ack_and_go(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = second(world, &queue)?;
    let body = body_of(&claim)?;
    world.ledger.leaving(&body);
    only(claim.ack(&queue)? == Settled::Acked, "settled already")?;
    world.ledger.gone(&body);
    Ok(())
}

pub fn nack(world: &mut World, disk: &Disk, again: Again) -> Result<()> {
    let queue = open(disk)?;
    let claim = second(world, &queue)?;
    let (body, record) = (body_of(&claim)?, record(disk, claim.attempt(), Outcome::Exit));
    only(claim.attempt() == 1, "it was tried before")?;
    let how = claim.nack(&queue, again, Counting::Counted, record)?;
    settled(world, &body, how)
}

pub fn dead(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = second(world, &queue)?;
    let (body, record) = (body_of(&claim)?, record(disk, claim.attempt(), Outcome::Dead));
    let how = claim.dead(&queue, record)?;
    settled(world, &body, how)
}

/// As it was before.
pub fn put_back(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let claim = second(world, &queue)?;
    let body = body_of(&claim)?;
    let how = claim.nack(&queue, Again::Now, Counting::Uncounted, None)?;
    settled(world, &body, how)
}

/// The job takes long: what waits goes back, and the job ends well after all.
pub fn let_go(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let mut claim = second(world, &queue)?;
    claim.lock_for_job(&queue)?;
    claim.put_rest_back(&queue)?;
    only(claim.waiting() == 0, "something waits")?;
    only(ack_one(world, &queue, claim)?.is_none(), "it goes on")
}

pub fn recover(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    queue.recover()?;
    if let Ok(place) = any_claimed(&queue) {
        // A lock that can't be had is somebody's.
        return Err(Error::Held { id: place.id(), by: None });
    }
    (1..=COUNT).for_each(|number| world.ledger.is_in(&body(number), &["ready"], Lasting::Kill));
    Ok(())
}

fn counted(queue: &Queue, wanted: &[u8]) -> Result<Option<(State, u32)>> {
    let mut found = None;
    for state in [State::Ready, State::Delayed, State::Claimed, State::Dead] {
        queue.each_place(state, |place, _| {
            if let Some(message) = queue.read(&place)?
                && message.start(100)? == wanted
            {
                found = Some((state, place.name.attempts.count()));
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
    }
    Ok(found)
}

fn world() -> World {
    let mut world = World::empty(crate::queue::world::PLAIN, 1);
    ready(&mut world);
    world
}

fn killed(world: &World, act: impl FnOnce(&Queue)) {
    let process = world.machine.process();
    let disk = Disk::new(process);
    act(&Queue::open(&disk, Path::new(Q)).unwrap());
}

/// The lock on the first message, as the process of a job has inherited it.
fn locked_by(job: &Disk) -> File {
    let dir = job.open_queue(Path::new(Q)).unwrap();
    let claimed = job.open_dir(&dir, "claimed").unwrap();
    let (own, _) = job.names(&claimed).unwrap().remove(0);
    let claimed = job.open_dir(&claimed, Path::new(&own)).unwrap();
    let (name, _) = job.names(&claimed).unwrap().remove(0);
    let file = job.open(&claimed, &name, Access::Write).unwrap();
    assert!(job.hold_byte(&file, 0).unwrap());
    file
}

#[test]
fn of_what_a_worker_had_in_hand_the_first_alone_has_been_tried() {
    let world = world();
    killed(&world, |queue| {
        let claim = claim_in_hand(queue).unwrap();
        drop(claim.ack_next(queue).unwrap().1.expect("the next one"));
    });
    let queue = world.open();
    queue.recover().unwrap();
    assert_eq!(counted(&queue, &body(1)).unwrap(), None, "it was acknowledged");
    assert_eq!(counted(&queue, &body(2)).unwrap(), Some((State::Ready, 1)));
    for number in 3..=COUNT {
        assert_eq!(counted(&queue, &body(number)).unwrap(), Some((State::Ready, 0)), "{number}");
    }
    assert_eq!(
        claim_one(&queue, Lease::Live).unwrap().message().history().unwrap().last().unwrap().outcome,
        Outcome::Lost
    );
}

#[test]
fn what_waits_in_hand_is_not_listed_as_tried() {
    let world = world();
    let queue = world.open();
    let claim = claim_in_hand(&queue).unwrap();
    for number in 1..=COUNT {
        let tried = u32::from(number == 1);
        assert_eq!(counted(&queue, &body(number)).unwrap(), Some((State::Claimed, tried)), "{number}");
    }
    assert_eq!(claim.attempt(), 1);
}

#[test]
fn a_job_that_outlives_its_worker_keeps_its_message_and_not_those_behind_it() {
    let world = world();
    let job = world.machine.disk();
    let mut byte = None;
    killed(&world, |queue| {
        let claim = claim_in_hand(queue).unwrap();
        byte = Some(locked_by(&job));
        drop(claim);
    });
    let queue = world.open();
    queue.recover().unwrap();
    assert_eq!(counted(&queue, &body(1)).unwrap(), Some((State::Claimed, 1)));
    assert_eq!(queue.in_flight().unwrap(), 1);
    let mut scout = Scout::new();
    let mut claims = Vec::new();
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        claims.push((body_of(&claim).unwrap(), claim));
    }
    let bodies: Vec<&[u8]> = claims.iter().map(|(body, _)| body.as_slice()).collect();
    let (second, third, fourth, fifth) = (body(2), body(3), body(4), body(5));
    assert_eq!(bodies, [&second[..], &third, &fourth, &fifth, b"behind the pack"]);
    // It ends.
    drop(byte);
    queue.recover().unwrap();
    assert_eq!(counted(&queue, &body(1)).unwrap(), Some((State::Ready, 1)));
}

#[test]
fn what_a_job_has_left_behind_does_not_hold_the_messages_after_it() {
    let world = world();
    let child = world.machine.disk();
    let mut left = None;
    killed(&world, |queue| {
        let claim = claim_in_hand(queue).unwrap();
        left = Some(locked_by(&child));
        let mut next = claim.ack_next(queue).unwrap().1.expect("the next one");
        next.lock_for_job(queue).unwrap();
    });
    let queue = world.open();
    queue.recover().unwrap();
    assert_eq!(counted(&queue, &body(2)).unwrap(), Some((State::Ready, 1)));
    drop(left);
}

#[test]
fn by_its_receipt_a_message_is_settled_alone() {
    type Settle = fn(Claim, &Queue) -> Settled;
    let ways: [(Settle, Option<(State, u32)>); 3] = [
        (|claim, queue| claim.ack(queue).unwrap(), None),
        (|claim, queue| claim.nack(queue, Again::Now, Counting::Counted, None).unwrap(), Some((State::Ready, 1))),
        (|claim, queue| claim.dead(queue, None).unwrap(), Some((State::Dead, 1))),
    ];
    for (settle, there) in ways {
        for let_go in [false, true] {
            let world = world();
            let worker = world.open();
            let mut claim = claim_in_hand(&worker).unwrap();
            claim.lock_for_job(&worker).unwrap();
            let receipt = claim.receipt(Q);
            if let_go {
                claim.put_rest_back(&worker).unwrap();
            }
            let queue = world.open();
            settle(queue.redeem(&receipt, None).unwrap(), &queue);
            assert_eq!(counted(&queue, &body(1)).unwrap(), there);
            assert!(matches!(queue.redeem(&receipt, None), Err(Error::Lost { .. })));
            // What waited behind it can be had while its job still runs, and itself cannot.
            let others: Vec<Claim> = (0..COUNT).map(|_| claim_one(&queue, Lease::Live).unwrap()).collect();
            let bodies: Vec<Vec<u8>> = others.iter().map(|claim| body_of(claim).unwrap()).collect();
            assert_eq!(bodies[..4], [body(2), body(3), body(4), body(5)]);
            assert_eq!(bodies[4], b"behind the pack");
            assert_eq!(claim.ack_next(&worker).unwrap().0, Settled::Already);
            if there == Some((State::Ready, 1)) {
                let claim = claim_one(&queue, Lease::Live).unwrap();
                assert_eq!((body_of(&claim).unwrap(), claim.attempt()), (body(1), 2));
            }
        }
    }
}

#[test]
fn nothing_waits_where_the_queue_says_how_fast_or_keeps_what_is_done() {
    for (key, value) in [("rate", "100/s"), ("max_in_flight", "10"), ("retain", "1h"), ("sync", "all")] {
        let world = world();
        let mut queue = world.open();
        queue.configure(|settings| settings.set(key, value)).unwrap();
        assert_eq!(claim_in_hand(&queue).unwrap().waiting(), 0, "{key}");
    }
    // Nor where it says so meanwhile.
    let world = world();
    let (mut queue, mut other) = (world.open(), world.open());
    let claim = claim_in_hand(&queue).unwrap();
    other.configure(|settings| settings.set("max_in_flight", "10")).unwrap();
    queue.refresh().unwrap();
    assert!(claim.ack_next(&queue).unwrap().1.is_none());
    assert_eq!(queue.in_flight().unwrap(), 0);
}

/// Sends a pack of so many messages of `length` bytes.
fn pack_of(world: &World, count: u32, length: usize) {
    let queue = world.open();
    let mut batch = queue.batch().unwrap().packing(2, count);
    for number in 1..=count {
        batch.begin(&urgent(7)).unwrap();
        batch.write(&vec![number as u8; length]).unwrap();
    }
    batch.publish(|_| ()).unwrap();
}

/// How many each of several workers takes in hand, until there is nothing left.
fn handfuls(world: &World) -> Vec<u32> {
    let mut handfuls = Vec::new();
    let mut held = Vec::new();
    while let Ok(claim) = claim_in_hand(&world.open()) {
        handfuls.push(claim.waiting() + 1);
        held.push(claim);
    }
    handfuls
}

#[test]
fn what_nothing_stands_behind_is_shared_in_ever_smaller_handfuls() {
    for (count, first, many) in
        [(2, 2, 1), (16, 16, 1), (17, 8, 3), (100, 8, 13), (300, 18, 30), (5_000, 312, 74), (20_000, 1000, 96)]
    {
        let world = World::empty(crate::queue::world::PLAIN, 1);
        pack_of(&world, count, 3);
        let handfuls = handfuls(&world);
        assert_eq!(handfuls.iter().sum::<u32>(), count, "{handfuls:?}");
        assert_eq!((handfuls[0], handfuls.len()), (first, many), "{count}: {handfuls:?}");
        assert!(handfuls.is_sorted_by(|one, next| one >= next), "{handfuls:?}");
    }
}

#[test]
fn what_something_stands_behind_is_taken_in_full_handfuls() {
    for (count, length, expected) in
        [(17, 3, vec![17]), (2_400, 3, vec![1000, 1000, 400]), (140, 4_000, vec![65, 65, 10]), (140, 1_000, vec![140])]
    {
        let mut world = World::empty(crate::queue::world::PLAIN, 1);
        let disk = world.machine.disk();
        pack_of(&world, count, length);
        world.send(&disk, Q, b"behind the pack", urgent(7)).unwrap();
        let mut handfuls = handfuls(&world);
        assert_eq!(handfuls.pop(), Some(1), "{handfuls:?}");
        assert_eq!(handfuls, expected);
    }
}

#[test]
fn a_handful_that_is_the_last_only_while_another_pack_is_being_opened_is_not_divided() {
    let world = World::empty(crate::queue::world::PLAIN, 1);
    pack_of(&world, 100, 3);
    // Somebody has taken another pack in, and has not brought back what is left of it.
    let opener = world.machine.disk();
    let dir = opener.open_queue(Path::new(Q)).unwrap();
    let (tmp, name) = (opener.open_dir(&dir, "tmp").unwrap(), "a".repeat(26));
    opener.make_dir(&tmp, &name, Birth { mode: 0o700, owner: None }).unwrap();
    let own = opener.open_dir(&tmp, &name).unwrap();
    assert!(opener.try_lock_dir(&own).unwrap());
    let left = "left-1764000000009000-1764000000009000-7-00000-n000100";
    opener.create(&own, left, Birth { mode: 0o600, owner: None }).unwrap();
    assert_eq!(claim_in_hand(&world.open()).unwrap().waiting(), 99);
}

#[test]
fn on_a_full_disk_the_last_pack_is_taken_in_hand_undivided() {
    let world = World::empty(crate::queue::world::PLAIN, 1);
    pack_of(&world, 100, 3);
    let full = world.without_room();
    assert_eq!(claim_in_hand(&open(&full).unwrap()).unwrap().waiting(), 99);
}

#[test]
fn what_has_expired_does_not_come_next() {
    let mut world = World::empty(crate::queue::world::PLAIN, 1);
    let disk = world.machine.disk();
    let expires = world.machine.now().plus(Duration::from_secs(100));
    let envelope = mq::queue::Envelope { expires: Some(expires), ..urgent(7) };
    super::send(&mut world, &disk, &envelope).unwrap();
    world.send(&disk, Q, b"behind the pack", urgent(7)).unwrap();
    let queue = world.open();
    let claim = claim_in_hand(&queue).unwrap();
    assert_eq!(claim.waiting(), COUNT - 1);
    world.machine.set_clock(expires);
    assert!(claim.ack_next(&queue).unwrap().1.is_none());
    assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"behind the pack");
}

#[test]
fn large_bodies_are_not_taken_in_hand() {
    for (length, waiting) in [(4_000, COUNT - 1), (4_500, 0)] {
        let mut world = World::empty(crate::queue::world::PLAIN, 1);
        let disk = world.machine.disk();
        pack_of(&world, COUNT, length);
        world.send(&disk, Q, b"behind the pack", urgent(7)).unwrap();
        assert_eq!(claim_in_hand(&world.open()).unwrap().waiting(), waiting, "{length}");
    }
}
