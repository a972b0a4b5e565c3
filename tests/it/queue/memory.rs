//! What was completed is remembered, and forgotten in time.

use super::world::{Config, PLAIN, Q, World, claim_one};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Cut;
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Envelope, Header, Queue, Unique, Until};
use std::path::Path;
use std::time::Duration;

/// Sends, claims and acknowledges one message.
fn header(queue: &Queue, key: Option<&str>) -> Header {
    let unique = key.map(|key| Unique { key: key.into(), until: Until::Settled });
    let envelope = Envelope { unique, priority: mq::queue::name::Priority::new(9), ..Envelope::default() };
    queue.draft(envelope).unwrap().publish().unwrap();
    let claim = claim_one(queue, Lease::Live).unwrap();
    let header = claim.message().header.clone();
    claim.ack(queue).unwrap();
    *header
}

#[test]
fn a_completion_is_remembered_by_uid_and_by_key_for_as_long_as_the_setting_says() {
    let world = World::new(PLAIN, 1);
    let mut queue = world.open();
    queue.configure(|settings| settings.set("done_for", "80m")).unwrap();
    let (one, keyed, other) = (header(&queue, None), header(&queue, Some("k")), header(&queue, None));
    for header in [&one, &keyed] {
        assert!(!queue.finished(header).unwrap());
        queue.remember(header).unwrap();
        queue.remember(header).unwrap();
    }
    assert!(queue.finished(&one).unwrap() && !queue.finished(&other).unwrap());
    // Another message of the key.
    assert!(queue.finished(&header(&queue, Some("k"))).unwrap());
    world.machine.advance(Duration::from_secs(79 * 60));
    assert!(queue.finished(&one).unwrap());
    world.machine.advance(Duration::from_secs(2 * 60));
    assert!(!queue.finished(&one).unwrap() && !queue.finished(&keyed).unwrap());
}

#[test]
fn what_is_forgotten_goes_away_a_little_at_a_time() {
    let world = World::new(PLAIN, 1);
    let mut queue = world.open();
    queue.configure(|settings| settings.set("done_for", "80m")).unwrap();
    let entries =
        || world.machine.files(Q).iter().filter(|path| path.starts_with("memory/") && !path.ends_with('/')).count();
    for _ in 0..150 {
        queue.remember(&header(&queue, None)).unwrap();
    }
    world.machine.advance(Duration::from_secs(91 * 60));
    for left in [86 + 1, 22 + 2, 3, 4] {
        queue.remember(&header(&queue, None)).unwrap();
        assert_eq!(entries(), left);
    }
    assert_eq!(world.machine.listing(Q).matches("  memory/").count(), 4, "in one directory");
}

#[test]
fn with_sync_all_a_power_cut_forgets_nothing() {
    let world = World::new(Config { sync: "all", ..PLAIN }, 1);
    let queue = world.open();
    let header = header(&queue, Some("k"));
    queue.remember(&header).unwrap();
    let after = world.cut(Cut::Nothing);
    assert!(after.open().finished(&header).unwrap());
}

/// A directory is removed when all that is in it is older than `done_for`, and not looked into before that.
#[test]
fn a_directory_is_looked_into_when_all_in_it_is_old() {
    let world = World::new(PLAIN, 1);
    let mut queue = world.open();
    queue.configure(|settings| settings.set("done_for", "80m")).unwrap();
    let headers: Vec<Header> = (0..12).map(|_| header(&queue, None)).collect();
    let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
    let watched = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
    let names = |header: &Header| {
        let before = tape.names();
        watched.remember(header).unwrap();
        tape.names() - before
    };
    let directories = || {
        let files = world.machine.files(Q);
        let mut found: Vec<_> =
            files.iter().filter_map(|path| path.strip_prefix("memory/")?.split('/').next()).collect();
        found.dedup();
        found.len()
    };
    for header in &headers[..9] {
        // The list of the directories is all that is read.
        let listed = names(header);
        assert_eq!((listed, directories()), (directories() as u64, directories()));
        world.machine.advance(Duration::from_secs(10 * 60));
    }
    assert_eq!(directories(), 9, "one for each eighth");
    for header in &headers[9..] {
        queue.remember(header).unwrap();
        assert_eq!(directories(), 9, "{}", world.machine.listing(Q));
        world.machine.advance(Duration::from_secs(10 * 60));
    }
}
