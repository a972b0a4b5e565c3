//! The directory that a worker has for what it takes in hand: its own as long as it lives, and gone with it.

use super::hand::{claim_in_hand, ready};
use super::{COUNT, body, sent};
use crate::queue::judge::fsck;
use crate::queue::world::{PLAIN, Q, World, body_of, claim_one};
use mq::fs::{Access, Birth, Disk};
use mq::queue::name::{Hand, Lease, State};
use mq::queue::{Claim, Found, Mended, Place, Queue, Repair, Scout, Settled, Trouble};
use std::ops::ControlFlow;
use std::path::Path;

/// With so many packs that a worker takes in hand.
fn world(packs: u32) -> World {
    let mut world = World::empty(PLAIN, 1);
    (1..packs).for_each(|_| sent(&mut world));
    ready(&mut world);
    world
}

/// What stands in `claimed/` itself.
fn in_claimed(world: &World) -> Vec<String> {
    let disk = world.machine.disk();
    let dir = disk.open_queue(Path::new(Q)).unwrap();
    let claimed = disk.open_dir(&dir, "claimed").unwrap();
    disk.names(&claimed).unwrap().into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
}

fn hand(claim: &Claim) -> Hand {
    match claim.lease() {
        Lease::Front(hand) => hand,
        other => panic!("not in hand: {other:?}"),
    }
}

fn ack_all(queue: &Queue, claim: Claim) {
    let mut next = Some(claim);
    while let Some(claim) = next {
        let (settled, then) = claim.ack_next(queue).unwrap();
        assert_eq!(settled, Settled::Acked);
        next = then;
    }
}

fn claims(queue: &Queue) -> Vec<Place> {
    let mut claims = Vec::new();
    let each = |place: Place, _: &_| {
        claims.push(place);
        Ok(ControlFlow::Continue(()))
    };
    queue.each_file(State::Claimed, each).unwrap();
    claims
}

#[test]
fn each_worker_has_one_for_all_that_it_takes_in_hand_and_takes_it_away() {
    let world = world(3);
    let (first, second) = (world.open(), world.open());
    let one = claim_in_hand(&first).unwrap();
    assert_eq!(in_claimed(&world), [hand(&one).to_string()]);
    let (two, three) = (claim_in_hand(&first).unwrap(), claim_in_hand(&second).unwrap());
    assert_eq!(hand(&one), hand(&two));
    assert_ne!(hand(&one), hand(&three));
    assert_eq!(in_claimed(&world).len(), 2);
    assert_eq!(claims(&first).len(), 3);
    assert_eq!(first.in_flight().unwrap(), u64::from(3 * COUNT));
    [one, two].into_iter().for_each(|claim| ack_all(&first, claim));
    let left = hand(&three).to_string();
    drop(first);
    assert_eq!(in_claimed(&world), [left]);
    ack_all(&second, three);
    drop(second);
    assert_eq!(in_claimed(&world), [""; 0]);
}

#[test]
fn that_of_a_worker_who_lives_stays_and_that_of_one_who_is_gone_goes() {
    let world = world(2);
    let worker = world.open();
    let claim = claim_in_hand(&worker).unwrap();
    let own = hand(&claim);
    ack_all(&worker, claim);
    let other = world.open();
    other.recover().unwrap();
    assert_eq!(fsck(&other, Repair::Mend).unwrap(), []);
    assert_eq!(in_claimed(&world), [own.to_string()]);
    assert_eq!(hand(&claim_in_hand(&worker).unwrap()), own);
    // Killed with something in it, which comes back.
    drop(worker);
    assert_eq!(in_claimed(&world), [own.to_string()]);
    other.recover().unwrap();
    assert_eq!(in_claimed(&world), [""; 0]);
    assert_eq!(claims(&other).len(), 0);
}

#[test]
fn an_empty_one_of_a_worker_who_is_gone_is_litter() {
    let world = world(1);
    let disk = world.machine.disk();
    let dir = disk.open_queue(Path::new(Q)).unwrap();
    let claimed = disk.open_dir(&dir, "claimed").unwrap();
    disk.make_dir(&claimed, "000000000017", Birth { mode: 0o700, owner: None }).unwrap();
    let queue = world.open();
    let found = fsck(&queue, Repair::Report).unwrap();
    assert_eq!(found.iter().map(|it| it.trouble).collect::<Vec<_>>(), [Trouble::Litter], "{found:?}");
    assert!(matches!(fsck(&queue, Repair::Mend).unwrap()[..], [ref one] if one.mended != Mended::Left));
    assert_eq!(in_claimed(&world), [""; 0]);
}

#[test]
fn a_claim_in_one_that_is_not_its_own_is_found_and_comes_back() {
    let world = world(1);
    let disk = world.machine.disk();
    let claim = claim_in_hand(&world.open()).unwrap();
    let own = hand(&claim);
    drop(claim);
    let dir = disk.open_queue(Path::new(Q)).unwrap();
    let claimed = disk.open_dir(&dir, "claimed").unwrap();
    let mine = disk.open_dir(&claimed, own.to_string()).unwrap();
    let (name, _) = disk.names(&mine).unwrap().remove(0);
    disk.rename(&mine, &name, &claimed, &name).unwrap();
    disk.create(&mine, "notes", Birth { mode: 0o600, owner: None }).unwrap();
    let queue = world.open();
    // Nobody takes it back from there.
    queue.recover().unwrap();
    assert_eq!(in_claimed(&world).len(), 2);
    let mut found: Vec<Trouble> = fsck(&queue, Repair::Mend).unwrap().iter().map(|it| it.trouble).collect();
    found.sort_by_key(|trouble| trouble.word());
    assert_eq!(found, [Trouble::Foreign, Trouble::Misplaced]);
    let again = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!((body_of(&again).unwrap(), again.attempt()), (body(1), 2));
}

#[test]
fn what_its_worker_could_not_settle_that_worker_finds() {
    let world = world(1);
    let worker = world.open();
    drop(claim_in_hand(&worker).unwrap());
    // It may be at work on it: nobody else looks.
    world.open().recover().unwrap();
    assert_eq!(claims(&worker).len(), 1);
    worker.recover().unwrap();
    assert_eq!(claims(&worker), []);
}

/// Its worker finds it gone, at the next claim, and goes on in one that is made anew.
#[test]
fn one_that_somebody_removes_is_made_anew() {
    let world = world(3);
    let worker = world.open();
    let claim = claim_in_hand(&worker).unwrap();
    let own = hand(&claim).to_string();
    ack_all(&worker, claim);
    let disk = world.machine.disk();
    let dir = disk.open_queue(Path::new(Q)).unwrap();
    disk.remove_dir(&disk.open_dir(&dir, "claimed").unwrap(), &own).unwrap();
    let claim = claim_in_hand(&worker).unwrap();
    assert_eq!(in_claimed(&world), [own]);
    ack_all(&worker, claim);
    // From now on it needs none.
    assert_eq!(hand(&claim_in_hand(&worker).unwrap()), Hand::NONE);
}

#[test]
fn where_there_can_be_none_a_pack_in_hand_stands_among_the_other_claims() {
    let world = world(1);
    let disk = world.machine.disk();
    let dir = disk.open_queue(Path::new(Q)).unwrap();
    // Without this nobody would hear of the worker's death.
    let _ = disk.unlink(&dir, "wake");
    let worker = world.open();
    let claim = claim_in_hand(&worker).unwrap();
    assert_eq!((hand(&claim), claim.waiting()), (Hand::NONE, COUNT - 1));
    ack_all(&worker, claim);
    assert_eq!(claims(&worker), []);
}

/// What is claimed before a queue gets a limit counts against it.
#[test]
fn what_is_in_hand_counts_where_there_is_a_limit() {
    let world = world(1);
    let (mut worker, mut other) = (world.open(), world.open());
    let claim = claim_in_hand(&worker).unwrap();
    other.configure(|settings| settings.set("max_in_flight", "1")).unwrap();
    let nothing = match other.claim(&mut Scout::new(), Lease::Live).unwrap() {
        Found::Nothing(nothing) => nothing,
        found => panic!("{found:?}"),
    };
    assert!(nothing.held_back.is_some());
    worker.refresh().unwrap();
    claim.ack(&worker).unwrap();
    assert!(matches!(other.claim(&mut Scout::new(), Lease::Live).unwrap(), Found::Claim(_)));
}

/// A job that outlives its worker goes on in `claimed/`, where its end is heard, also with the last message of a pack.
#[test]
fn the_message_of_a_job_that_outlives_its_worker_comes_out() {
    for acked in [0, COUNT - 1] {
        let world = world(1);
        let job = world.machine.disk();
        let (held, own) = {
            let process = world.machine.process();
            let worker = Queue::open(&Disk::new(process), Path::new(Q)).unwrap();
            let mut claim = claim_in_hand(&worker).unwrap();
            for _ in 0..acked {
                claim = claim.ack_next(&worker).unwrap().1.unwrap();
            }
            let own = hand(&claim);
            let dir = job.open_dir(&job.open_queue(Path::new(Q)).unwrap(), "claimed").unwrap();
            let dir = job.open_dir(&dir, own.to_string()).unwrap();
            let (name, _) = job.names(&dir).unwrap().remove(0);
            let file = job.open(&dir, &name, Access::Write).unwrap();
            assert!(job.hold_byte(&file, acked.into()).unwrap());
            let receipt = claim.receipt(Q);
            ((file, receipt), own)
        };
        let queue = world.open();
        queue.recover().unwrap();
        queue.recover().unwrap();
        let left = in_claimed(&world);
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].contains("-n000001-f000000000000-"), "{own}: {left:?}");
        // Its receipt is still good.
        let (file, receipt) = held;
        assert_eq!(queue.redeem(&receipt, None).unwrap().ack(&queue).unwrap(), Settled::Acked);
        drop(file);
        assert_eq!(claims(&queue), []);
    }
}
