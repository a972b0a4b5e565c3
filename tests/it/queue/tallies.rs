//! What `seq` says of a queue: how much has come and gone, and the last id.

use super::world::{PLAIN, Q, World, claim_one};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{Ending, Envelope, Found, Place, Queue, Removed, Scout};
use std::ops::ControlFlow;
use std::path::Path;

/// How many were sent, acknowledged and dead is told when they are gone, and also after seq was lost: of what is there then.
#[test]
fn what_is_gone_stays_counted() {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    let (disk, queue) = (world.machine.disk(), world.open());
    for body in [b"1", b"2", b"3", b"4"] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
    }
    let mut batch = queue.batch().unwrap().packing(2, 3);
    for body in [b"5", b"6", b"7"] {
        batch.begin(&Envelope::default()).unwrap();
        batch.write(body).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    world.machine.remove(format!("{Q}/seq"));
    world.send(&disk, Q, b"8", Envelope::default()).unwrap();
    for dead in [false, false, true, true] {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let settled = if dead { claim.dead(&queue, None) } else { claim.ack(&queue) };
        settled.unwrap();
    }
    let mut scout = Scout::new();
    scout.want(3, 3);
    let Found::Claim(pack) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("a pack") };
    let acked = pack.id();
    let ending = |id| if id == acked { Ending::Acked } else { Ending::Dead };
    pack.settle_each(&queue, &mut |id| (ending(id), None)).unwrap();
    let mut dead = Vec::new();
    let each = |place: Place, _: &_| {
        dead.push(place);
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(State::Dead, each).unwrap();
    for place in &dead {
        assert_eq!(queue.remove(place).unwrap(), Removed::Removed);
    }
    queue.count_removed(4).unwrap();
    let stats = queue.stats().unwrap();
    let counted = (stats.sent_total, stats.acked_total, stats.dead_total, stats.ready);
    assert_eq!((dead.len(), counted), (4, (8, 3, 4, 1)));
}

#[test]
fn the_last_id_of_a_queue_is_that_of_the_last_send() {
    let world = World::empty(PLAIN, 1);
    let queue = world.open();
    assert_eq!(queue.last_id().unwrap(), None);
    let sent = queue.draft(Envelope::default()).unwrap().publish().unwrap().id;
    assert_eq!(queue.last_id().unwrap(), Some(sent));
    claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
    world.machine.reboot();
    assert_eq!(queue.last_id().unwrap(), Some(sent));
}

/// Totals are read without the lock: that somebody writes them at that moment, between two parts of the read, is no reason to
/// tell others.
#[test]
fn what_is_counted_is_counted_also_while_others_write_it() {
    // On some of these machines the read is a short one.
    for seed in 1..40 {
        let mut n = 1;
        while counted_with_a_sender_before(n, seed) {
            n += 1;
        }
    }
}

/// Whether there was such a step.
fn counted_with_a_sender_before(n: u64, seed: u64) -> bool {
    let mut world = World::empty(PLAIN, seed);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    claim_one(&world.open(), Lease::Live).unwrap().ack(&world.open()).unwrap();
    let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
    let steps = steps.meanwhile(n, move || {
        Queue::open(&disk, Path::new(Q)).unwrap().draft(Envelope::default()).unwrap().publish().unwrap();
    });
    let stats = Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|queue| queue.stats()).unwrap();
    let (sent, acked) = (stats.sent_total, stats.acked_total);
    assert!(sent >= 1 && acked >= 1, "{sent} sent, {acked} acked, with somebody before step {n}:\n{}", tape.trace());
    tape.steps() >= n
}
