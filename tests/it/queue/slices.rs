//! What a claim looks after in passing does not grow with what is claimed, and leaves nothing out.

use super::world::{PLAIN, Q, World};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Envelope, Found, Queue, Scout};
use std::path::Path;

const CLAIMED: usize = 1500;
const ROUNDS: usize = 300;

/// So many claims that are there by their names alone, with a lease of so many seconds. Until that has run out nobody opens them.
fn claimed(world: &World, many: usize, lease: u64) {
    let first = world.machine.now().micros() + lease;
    for id in (first..).take(many) {
        let name = format!("{id:016}-{first:016}-4-00001-t{:012}-{}", lease * 1000, "a".repeat(26));
        world.machine.write(format!("{Q}/claimed/{name}"), b"");
    }
}

/// How many names each of so many claims listed, and how many steps it took.
fn listed(world: &mut World) -> Vec<(u64, u64)> {
    (0..ROUNDS)
        .map(|_| {
            let disk = world.machine.disk();
            world.send(&disk, Q, b"one", Envelope::default()).unwrap();
            let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
            let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
            let Found::Claim(claim) = queue.claim(&mut Scout::default(), Lease::Live).unwrap() else {
                panic!("nothing")
            };
            claim.ack(&queue).unwrap();
            (tape.names(), tape.steps())
        })
        .collect()
}

#[test]
fn a_claim_lists_no_more_however_much_is_claimed_but_one_in_a_hundred_lists_it_all() {
    let mut world = World::empty(PLAIN, 9);
    claimed(&world, CLAIMED, 600);
    let listed = listed(&mut world);
    let all: Vec<u64> = listed.iter().filter(|(names, _)| *names > CLAIMED as u64).map(|(_, steps)| *steps).collect();
    assert!((1..=ROUNDS / 30).contains(&all.len()), "{} of {ROUNDS} listed everything", all.len());
    let few: Vec<u64> = listed.iter().filter(|(names, _)| *names < 1100).map(|(_, steps)| *steps).collect();
    assert_eq!(few.len() + all.len(), ROUNDS);
    // One look at least at each that is looked after: a few of them, and by those that list all so many times as many.
    assert!(few.iter().all(|&steps| steps < 200) && all.iter().all(|&steps| steps > CLAIMED as u64), "{few:?} {all:?}");
}

/// A worker that never finds nothing looks after others all the same.
#[test]
fn what_was_lost_comes_back_while_claims_succeed() {
    let world = World::empty(PLAIN, 7);
    let queue = world.open();
    let mut batch = queue.batch().unwrap().packing(60_000, 60_000);
    for number in 0..250_u32 {
        batch.begin(&Envelope::default()).unwrap();
        batch.write(&number.to_le_bytes()).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    let mut scout = Scout::new();
    let mut work = || {
        let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("nothing") };
        claim.ack(&queue).unwrap();
    };
    let is_lost = || world.machine.files(format!("{Q}/claimed")).iter().any(|name| !name.is_empty());
    for before in [2, 60] {
        (0..before).for_each(|_| work());
        let Found::Claim(claim) = world.open().claim(&mut Scout::new(), Lease::Live).unwrap() else {
            panic!("nothing")
        };
        drop(claim);
        assert!(is_lost());
        let claims = (1..=64).find(|_| (work(), is_lost()) == ((), false));
        assert!(claims.is_some(), "lost after {before} claims");
    }
}

#[test]
fn slices_reach_each_claim_that_was_lost_among_many() {
    let mut world = World::empty(PLAIN, 8);
    claimed(&world, CLAIMED, 1 << 20);
    claimed(&world, 200, 1);
    world.machine.advance(std::time::Duration::from_secs(3600));
    let (mut left, mut rounds) = (200, 0);
    while left > 0 {
        listed(&mut world);
        left = world.machine.files(format!("{Q}/claimed")).len() - CLAIMED;
        rounds += ROUNDS;
        assert!(rounds <= 10 * ROUNDS, "{left} are left after {rounds} claims");
    }
}
