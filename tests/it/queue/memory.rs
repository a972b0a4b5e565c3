//! What was completed is remembered, and forgotten in time.

use super::world::{PLAIN, Q, World, claim_one};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Header, Queue, Unique, Until};
use std::time::Duration;

/// Sends, claims and acknowledges one message.
fn header(queue: &Queue, key: Option<&str>) -> Header {
    let unique = key.map(|key| Unique { key: key.into(), until: Until::Settled });
    let envelope = Envelope { unique, priority: mq::queue::name::Priority::new(9), ..Envelope::default() };
    queue.draft(envelope).unwrap().publish().unwrap();
    let claim = claim_one(queue, Lease::Live).unwrap();
    let header = claim.message().header.clone();
    claim.ack(queue).unwrap();
    header
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
