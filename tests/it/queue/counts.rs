//! What is counted and how old it is, told from names, and at what cost; and what is waited for.

use super::verbs::place_of;
use super::world::{PLAIN, Q, World, body_of, claim_one, urgent};
use crate::support::inject::Plan;
use mq::fs::Dir;
use mq::queue::name::{Id, Lease, State};
use mq::queue::{Again, Awaited, Claim, Counting, Envelope, Place, Queue, Removed, Settled};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A queue with these messages, whose clock goes on when it is told to.
fn world(bodies: &[&str]) -> World {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    let disk = world.machine.disk();
    for body in bodies {
        world.send(&disk, Q, body.as_bytes(), urgent(7)).unwrap();
    }
    world
}

fn ready(queue: &Queue) -> Vec<Id> {
    let mut ids = Vec::new();
    let each = |place: Place, _: &Dir| {
        ids.push(place.id());
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(State::Ready, each).unwrap();
    ids
}

/// How many steps it takes to count all.
fn steps(world: &World) -> u64 {
    let (disk, tape) = world.injected(Plan::Healthy);
    let queue = Queue::open(&disk, Path::new(Q)).unwrap();
    let opening = tape.steps();
    queue.stats().unwrap();
    tape.steps() - opening
}

#[test]
fn an_age_is_that_of_the_one_that_came_first_whichever_is_listed_first() {
    // Sent long ago, they come to their state in another order than that of their ids, one a second.
    let world = world(&["1", "2", "3", "4", "5"]);
    world.machine.advance(60 * SECOND);
    let queue = world.open();
    let turn = |claim: &Claim| [3, 1, 4, 0, 2][usize::from(body_of(claim).unwrap()[0] - b'1')];
    let mut claims: Vec<Claim> = (0..5).map(|_| claim_one(&queue, Lease::Live).unwrap()).collect();
    claims.sort_by_key(turn);
    for claim in claims {
        world.machine.advance(SECOND);
        assert_eq!(claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap(), Settled::Ready);
    }
    world.machine.advance(10 * SECOND);
    let stats = queue.stats().unwrap();
    assert_eq!((stats.ready, stats.oldest_ready_age), (5, Some(14 * SECOND)));
    // Claimed in the order of their ids, they die in another.
    let mut claims = Vec::new();
    for _ in 0..5 {
        claims.push(claim_one(&queue, Lease::Live).unwrap());
        world.machine.advance(SECOND);
    }
    assert_eq!(queue.stats().unwrap().oldest_claimed_age, Some(5 * SECOND));
    claims.sort_by_key(turn);
    for claim in claims {
        world.machine.advance(SECOND);
        assert_eq!(claim.dead(&queue, None).unwrap(), Settled::Dead);
    }
    world.machine.advance(10 * SECOND);
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dead, stats.oldest_dead_age), (5, Some(14 * SECOND)));
}

#[test]
fn of_what_came_in_order_one_is_looked_at_however_many_there_are() {
    let counted = |many: usize, dead: bool| {
        let mut world = world(&[]);
        let disk = world.machine.disk();
        let queue = world.open();
        for _ in 0..many {
            world.machine.advance(Duration::from_millis(1));
            world.send(&disk, Q, b"x", urgent(7)).unwrap();
            if dead {
                claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
            }
        }
        steps(&world)
    };
    for dead in [false, true] {
        let (few, many) = (counted(3, dead), counted(60, dead));
        assert!(many < few + 10, "{many} steps, and {few} for a few");
    }
    let delayed = |many: usize| {
        let world = world(&vec!["x"; many]);
        let queue = world.open();
        for _ in 0..many {
            claim_one(&queue, Lease::Live)
                .unwrap()
                .nack(&queue, Again::After(60 * SECOND), Counting::Counted, None)
                .unwrap();
        }
        steps(&world)
    };
    assert!(delayed(60) < delayed(3) + 10);
}

/// All of them may be the oldest, and came at once.
#[test]
fn of_what_came_out_of_a_pack_some_are_looked_at() {
    let opened = |many: u32| {
        let world = world(&[]);
        let queue = world.open();
        let mut batch = queue.batch().unwrap().packing(2, many);
        for _ in 0..many {
            batch.begin(&urgent(7)).unwrap();
        }
        assert!(batch.publish(|_| ()).unwrap().is_none());
        world.machine.advance(SECOND);
        claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
        world.machine.advance(SECOND);
        let stats = queue.stats().unwrap();
        assert_eq!((stats.ready, stats.oldest_ready_age), (u64::from(many) - 1, Some(SECOND)));
        steps(&world)
    };
    let (few, many) = (opened(3), opened(150));
    assert!(many < few + 50, "{many} steps, and {few} for a few");
}

#[test]
fn a_damaged_message_counts_once_with_its_reason_and_without() {
    let world = world(&[]);
    for name in ["1764000000000007-1764000000000007-4-00000", "1764000000000008-1764000000000007-4-00000"] {
        world.machine.write(format!("{Q}/damaged/{name}"), b"x");
    }
    world.machine.write(format!("{Q}/damaged/1764000000000008-1764000000000007-4-00000.why"), b"{}\n");
    assert_eq!(world.open().stats().unwrap().damaged, 2);
}

/// It stood in a pack, and then among others in files of their own, in a bucket that is not that of the pack.
#[test]
fn what_comes_out_of_a_pack_is_waited_for_on() {
    let world = world(&[]);
    let queue = world.open();
    let mut batch = queue.batch().unwrap().packing(2, 260);
    for _ in 0..260 {
        batch.begin(&urgent(7)).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    let ids = ready(&queue);
    let mut awaited = Awaited::new([ids[255]]);
    awaited.look(&queue).unwrap();
    assert_eq!(queue.remove(&place_of(&queue, ids[257]).unwrap()).unwrap(), Removed::Removed);
    awaited.look(&queue).unwrap();
    assert_eq!((awaited.left(), awaited.ended().len()), (1, 0));
    assert_eq!(queue.remove(&place_of(&queue, ids[255]).unwrap()).unwrap(), Removed::Removed);
    awaited.look(&queue).unwrap();
    assert_eq!((awaited.left(), awaited.ended().len()), (0, 0));
}

/// A message of a group has no home but its group's.
#[test]
fn what_waits_in_a_group_is_waited_for_on() {
    let mut world = world(&[]);
    let disk = world.machine.disk();
    for body in [b"a", b"b"] {
        world.send(&disk, Q, body, Envelope { group: Some("g".into()), ..urgent(8) }).unwrap();
    }
    let queue = world.open();
    let ids = ready(&queue);
    let mut awaited = Awaited::new(ids);
    let mut left = || {
        awaited.look(&queue).unwrap();
        (awaited.left(), awaited.ended().len())
    };
    assert_eq!(left(), (2, 0));
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(left(), (2, 0));
    claim.nack(&queue, Again::After(SECOND), Counting::Counted, None).unwrap();
    assert_eq!(left(), (2, 0));
    world.machine.advance(2 * SECOND);
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(left(), (2, 0));
    claim.ack(&queue).unwrap();
    assert_eq!(left(), (1, 0));
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(left(), (1, 0));
    claim.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
    assert_eq!(left(), (1, 0));
    claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
    assert_eq!(left(), (0, 1));
}
