//! The room that is kept for a full disk, on btrfs: a full one has none for a rename.

use super::packs;
use super::world::{Config, PLAIN, Q, World, body_of, claim_one};
use mq::fs::{Disk, Store};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Queue, Scout, Settled};
use rustix::io::Errno;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn btrfs() -> World {
    World::empty(Config { store: Store::SmallBtrfs, ..PLAIN }, 1)
}

fn files(world: &World) -> usize {
    world.machine.files("/q/reserve").len()
}

/// A process for which the disk has no room for a rename, until a file of the reserve has gone.
fn full(world: &World) -> Disk {
    let given = AtomicBool::new(false);
    world.refusing(move |step| {
        given.fetch_or(step.starts_with("unlink 0"), Ordering::Relaxed);
        (step.starts_with("rename") && !given.load(Ordering::Relaxed)).then_some(Errno::NOSPC)
    })
}

#[test]
fn a_full_btrfs_is_drained_with_the_reserve_that_its_senders_left() {
    let mut world = btrfs();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"first", Envelope::default()).unwrap();
    assert_eq!(files(&world), 8);
    let queue = Queue::open(&full(&world), Path::new(Q)).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), b"first");
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    assert_eq!(files(&world), 0, "it was given for the rename");
    world.send_batch(&disk, &[(b"second", Envelope::default())]).unwrap();
    assert_eq!(files(&world), 8, "the next sender makes it anew");
}

#[test]
fn a_full_btrfs_delivers_what_is_due() {
    let mut world = btrfs();
    let disk = world.machine.disk();
    let due = Some(world.machine.now().plus(HOUR));
    world.send(&disk, Q, b"later", Envelope { due, ..Envelope::default() }).unwrap();
    world.machine.advance(2 * HOUR);
    let queue = Queue::open(&full(&world), Path::new(Q)).unwrap();
    assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"later");
}

/// What comes out of a pack would take the room of the renames: its first message is claimed with the pack around it, and
/// the reserve is for its dead letter.
#[test]
fn on_a_full_btrfs_a_pack_is_not_opened_with_the_reserve_and_a_dead_letter_of_it_is() {
    let mut world = btrfs();
    packs::sent(&mut world);
    let given = AtomicBool::new(false);
    let disk = world.refusing(move |step| {
        given.fetch_or(step.starts_with("unlink 0"), Ordering::Relaxed);
        let new = step.starts_with("create") || step.starts_with("make_dir");
        (new && !given.load(Ordering::Relaxed)).then_some(Errno::NOSPC)
    });
    let queue = Queue::open(&disk, Path::new(Q)).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!((claim.messages(), files(&world)), (1, 8));
    assert_eq!(claim.dead(&queue, None).unwrap(), Settled::Dead);
    assert_eq!(files(&world), 0);
}

#[test]
fn whoever_sends_to_a_btrfs_without_room_for_the_reserve_is_refused() {
    let world = btrfs();
    let no_room = |step: &str| (step == "create 7").then_some(Errno::NOSPC);
    let queue = Queue::open(&world.refusing(no_room), Path::new(Q)).unwrap();
    assert!(queue.draft(Envelope::default()).is_err_and(|error| error.no_room()));
    assert!(queue.batch().is_err_and(|error| error.no_room()));
    assert_eq!((files(&world), world.machine.files("/q/tmp").len()), (0, 0));
}

#[test]
fn elsewhere_nobody_keeps_room_for_renames() {
    let mut world = World::empty(PLAIN, 1);
    world.send(&world.machine.disk(), Q, b"first", Envelope::default()).unwrap();
    assert_eq!(files(&world), 0);
    let queue = Queue::open(&full(&world), Path::new(Q)).unwrap();
    let claimed = queue.claim(&mut Scout::new(), Lease::Live);
    assert!(claimed.is_err_and(|error| error.no_room()));
    assert_eq!(world.machine.files("/q/ready").iter().filter(|file| !file.ends_with('/')).count(), 1);
}
