//! What is flushed, and what is not, as the setting `sync` and the file system have it.

use super::world::{Config, LEASE, Q, World, claim_one, places, urgent};
use crate::support::inject::Plan;
use crate::support::memory::Cut;
use mq::fs::Store;
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Envelope, Queue};
use std::path::Path;

fn redrive_all(queue: &Queue) {
    for place in places(queue, State::Dead).unwrap() {
        queue.redrive(&place, None).unwrap();
    }
    queue.flush_all().unwrap();
}

#[test]
fn with_sync_all_a_claim_outlives_a_power_cut_on_any_file_system() {
    for store in [Store::Trusted, Store::Other, Store::Overlay] {
        let mut world = World::empty(Config { store, sync: "all" }, 1);
        let disk = world.machine.disk();
        world.send(&disk, Q, b"claimed", Envelope::default()).unwrap();
        world.machine.settle();
        world.claim_timed(&disk, LEASE).unwrap();
        let after = world.cut(Cut::Nothing);
        assert_eq!(after.machine.files("/q/claimed").len(), 1, "{store:?}:\n{}", after.machine.listing(Q));
    }
}

#[test]
fn what_is_redriven_outlives_a_power_cut() {
    for sync in ["send", "all"] {
        let mut world = World::empty(Config { store: Store::Trusted, sync }, 1);
        let disk = world.machine.disk();
        world.send(&disk, Q, b"dead", Envelope::default()).unwrap();
        let queue = world.open();
        claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
        world.machine.settle();
        redrive_all(&queue);
        let after = world.cut(Cut::Nothing);
        assert_eq!(after.machine.files("/q/ready").iter().filter(|file| !file.ends_with('/')).count(), 1, "{sync}");
    }
}

#[test]
fn with_sync_none_nothing_is_flushed() {
    let mut world = World::empty(Config { store: Store::Other, sync: "none" }, 1);
    let (disk, tape) = world.injected(Plan::Healthy);
    let queue = Queue::open(&disk, Path::new(Q)).unwrap();
    let flushes = || tape.trace().lines().filter(|line| line.contains(" sync_")).count();
    world.send(&disk, Q, b"one", urgent(5)).unwrap();
    assert_eq!(flushes(), 0, "{}", tape.trace());
    world.send_batch(&disk, &[(b"two", Envelope::default()), (b"three", Envelope::default())]).unwrap();
    assert_eq!(flushes(), 0, "{}", tape.trace());
    claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
    claim_one(&queue, Lease::Live).unwrap().nack(&queue, Again::Now, Counting::Counted, None).unwrap();
    assert_eq!(flushes(), 0, "{}", tape.trace());
    redrive_all(&queue);
    claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
    assert_eq!(flushes(), 0, "{}", tape.trace());
}
