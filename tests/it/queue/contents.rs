//! What a message says and holds, from its sender to its claimer: long and short, alone and among others, and damaged.

use super::judge::fsck;
use super::verbs::record;
use super::world::{PLAIN, Q, World, body_of, claim_one, urgent};
use crate::support::inject::Plan;
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{
    Again, Claim, Counting, Envelope, Error, Found, Outcome, Place, Queue, Removed, Repair, Scout, Settled,
};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const TIMED: Lease = Lease::Timed(Duration::from_secs(60));

fn empty() -> World {
    World::empty(PLAIN, 1)
}

fn open(disk: &Disk) -> Queue {
    Queue::open(disk, Path::new(Q)).unwrap()
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Lengths at which it is read in another way, and one beside each.
const LENGTHS: [usize; 9] = [0, 1, 15 << 10, 16 << 10, 17 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20];

#[test]
fn a_body_of_any_length_arrives_as_it_was_sent() {
    for length in LENGTHS {
        for lease in [Lease::Live, TIMED] {
            let mut world = empty();
            let disk = world.machine.disk();
            world.send(&disk, Q, &body(length), Envelope::default()).unwrap();
            let queue = open(&disk);
            // What is behind the body is no part of it.
            let claim = claim_one(&queue, lease).unwrap();
            let failed = record(&disk, claim.attempt(), Outcome::Exit);
            claim.nack(&queue, Again::Now, Counting::Counted, failed).unwrap();
            let claim = claim_one(&queue, lease).unwrap();
            assert!(body_of(&claim).unwrap() == body(length), "{length} bytes");
            assert_eq!(claim.message().small_body().is_some(), length <= 1 << 20);
            let dir = disk.open_queue(Path::new(Q)).unwrap();
            let copy = claim.message().private_copy(&dir).unwrap();
            let mut copied = vec![0; length + 1];
            assert_eq!(disk.read_full(&copy, &mut copied, 0).unwrap(), length);
            assert!(copied[..length] == body(length), "{length} bytes");
            assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
        }
    }
}

#[test]
fn a_damaged_body_of_any_length_is_told() {
    for length in LENGTHS.into_iter().filter(|length| *length > 0) {
        for lease in [Lease::Live, TIMED] {
            let mut world = empty();
            let disk = world.machine.disk();
            world.send(&disk, Q, &body(length), Envelope::default()).unwrap();
            let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/")).unwrap();
            let mut bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            world.machine.write(format!("{Q}/{path}"), &bytes);
            let queue = open(&disk);
            let found = queue.claim(&mut Scout::new(), lease).unwrap();
            let damaged = || world.machine.files(Q).iter().any(|path| path.starts_with("damaged/") && path.len() > 9);
            // A worker finds out while it copies a large one.
            let Found::Claim(claim) = found else {
                assert!(damaged() && (length <= 1 << 20 || lease == TIMED), "{length} bytes");
                continue;
            };
            assert!(length > 1 << 20 && lease == Lease::Live, "{length} bytes were believed");
            let dir = disk.open_queue(Path::new(Q)).unwrap();
            assert!(matches!(claim.message().private_copy(&dir), Err(Error::Damaged { .. })));
            assert!(matches!(body_of(&claim), Err(Error::Damaged { .. })));
            claim.set_aside(&queue, "its checksum does not match").unwrap();
            assert!(damaged());
        }
    }
}

#[test]
fn a_header_may_be_longer_than_what_is_read_first() {
    let mut world = empty();
    let disk = world.machine.disk();
    let mut envelope = Envelope::default();
    for number in 0..30 {
        envelope.headers.push((format!("h{number}"), "x".repeat(1000)));
    }
    world.send(&disk, Q, b"body", envelope).unwrap();
    let claim = claim_one(&open(&disk), TIMED).unwrap();
    assert_eq!(claim.message().header.headers.len(), 30);
    assert_eq!(body_of(&claim).unwrap(), b"body");
}

#[test]
fn a_long_history_is_read_whole() {
    const ATTEMPTS: u32 = 25;
    let mut world = empty();
    world.open().configure(|settings| settings.set("max_attempts", "100")).unwrap();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let queue = open(&disk);
    for attempt in 1..=ATTEMPTS {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        assert_eq!(claim.message().history().unwrap().records.len(), attempt as usize - 1);
        let how = record(&disk, claim.attempt(), Outcome::Exit);
        claim.nack(&queue, Again::Now, Counting::Counted, how).unwrap();
    }
}

/// Sends these in one batch, and claims them one after the other, by their bodies.
fn together(messages: &[(Vec<u8>, Envelope)], packing: (u32, u32)) -> (World, Vec<Vec<u8>>) {
    let world = empty();
    let disk = world.machine.disk();
    let queue = open(&disk);
    let mut batch = queue.batch().unwrap().packing(packing.0, packing.1);
    assert!(batch.is_empty());
    for (body, envelope) in messages {
        batch.begin(envelope).unwrap();
        for part in body.chunks(50_000) {
            batch.write(part).unwrap();
        }
    }
    assert!(!batch.is_empty());
    assert!(batch.publish(|_| ()).unwrap().is_none());
    let (mut scout, mut bodies) = (Scout::new(), Vec::new());
    let claimed = world.fork();
    let queue = claimed.open();
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        let claim: Claim = *claim;
        bodies.push(body_of(&claim).unwrap());
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    }
    (world, bodies)
}

/// How many packs there are.
fn packs(world: &World) -> usize {
    world.machine.files(Q).iter().filter(|path| path.contains("-n0")).count()
}

#[test]
fn a_body_that_is_too_long_for_a_pack_stands_between_two() {
    for long in [65_000, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000] {
        let messages: Vec<_> =
            (0..7).map(|number| (body(if number == 3 { long } else { number + 1 }), Envelope::default())).collect();
        let (world, bodies) = together(&messages, (2, 100));
        assert!(bodies.iter().eq(messages.iter().map(|(body, _)| body)), "{long} bytes");
        assert_eq!(packs(&world), if long <= 64 << 10 { 1 } else { 2 }, "{long} bytes");
    }
}

#[test]
fn what_needs_more_than_an_id_to_be_published_is_in_no_pack() {
    let alike = |envelope: Envelope| -> Vec<_> { (0..5).map(|number| (body(number + 1), envelope.clone())).collect() };
    let group = Envelope { group: Some("a".into()), ..Envelope::default() };
    let source = empty().open().draft(Envelope::default()).unwrap().publish().unwrap().uid;
    let derived = Envelope { derived_from: Some(source), ..Envelope::default() };
    for (envelope, expected) in [(Envelope::default(), 1), (urgent(7), 1), (group, 0), (derived, 0)] {
        let (world, _) = together(&alike(envelope.clone()), (2, 100));
        assert_eq!(packs(&world), expected, "{envelope:?}");
    }
}

#[test]
fn one_of_a_group_cannot_be_for_later() {
    let world = empty();
    let queue = world.open();
    let due = Some(world.machine.now().plus(Duration::from_secs(60)));
    let envelope = Envelope { group: Some("a".into()), due, ..Envelope::default() };
    assert!(matches!(queue.draft(envelope.clone()), Err(Error::Refused { .. })));
    assert!(matches!(queue.batch().unwrap().begin(&envelope), Err(Error::Refused { .. })));
}

#[test]
fn a_bucket_takes_so_many_and_keeps_their_order() {
    let messages: Vec<_> =
        (0..1024 + 3).map(|number: u32| (number.to_string().into_bytes(), Envelope::default())).collect();
    let (world, bodies) = together(&messages, (60_000, 60_000));
    assert!(bodies.iter().eq(messages.iter().map(|(body, _)| body)));
    let mut buckets = std::collections::BTreeMap::new();
    for path in world.machine.files(Q).iter().filter(|path| path.starts_with("ready/4/")) {
        *buckets.entry(path.split('/').nth(2).unwrap().to_string()).or_insert(0) += 1;
    }
    assert_eq!(buckets.into_values().collect::<Vec<_>>(), [1024, 3]);
}

#[test]
fn what_seq_says_is_made_anew_from_what_is_there_and_fsck_tells() {
    let mut world = empty();
    let disk = world.machine.disk();
    let seq = format!("{Q}/seq");
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let before = world.machine.read(&seq).unwrap();
    for body in [b"2", b"3"] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
    }
    let queue = open(&disk);
    assert_eq!((fsck(&queue, Repair::Report).unwrap().len(), queue.stats().unwrap().sent_total), (0, 3));
    let whole = world.machine.read(&seq).unwrap();
    for (contents, sent) in [(Some(before), 3), (Some(b"garbage\n".to_vec()), 3), (None, 3)] {
        match contents {
            Some(bytes) => world.machine.write(&seq, &bytes),
            None => world.machine.remove(&seq),
        }
        assert_eq!(fsck(&queue, Repair::Report).unwrap().len(), 1);
        fsck(&queue, Repair::Mend).unwrap();
        assert_eq!(fsck(&queue, Repair::Report).unwrap(), []);
        assert_eq!(queue.stats().unwrap().sent_total, sent);
        world.machine.write(&seq, &whole);
    }
    // Two that are taken out are neither sent on nor acknowledged.
    queue.count_removed(1).unwrap();
    queue.count_removed(1).unwrap();
    let first = claim_one(&queue, Lease::Live).unwrap();
    first.ack(&queue).unwrap();
    drop(claim_one(&queue, Lease::Live).unwrap());
    assert_eq!(queue.stats().unwrap().acked_total, 0, "three were sent, two removed, and one is there");
}

#[test]
fn a_copy_for_a_job_is_in_memory_where_the_disk_is_full() {
    let mut world = empty();
    world.machine.stand_still();
    world.send(&world.machine.disk(), Q, &body(2 << 20), Envelope::default()).unwrap();
    let copied = |plan: Plan| {
        let tried = world.fork();
        let (disk, tape) = tried.injected(plan);
        let claim = claim_one(&open(&disk), Lease::Live).unwrap();
        let copy = claim.message().private_copy(&disk.open_queue(Path::new(Q)).unwrap());
        (copy.map(drop), tape.trace())
    };
    let (copy, trace) = copied(Plan::Healthy);
    copy.unwrap();
    let step = trace.lines().find(|line| line.contains("copy")).expect("a copy").trim_start();
    let n = step.split(' ').next().unwrap().parse().unwrap();
    let (copy, trace) = copied(Plan::FailOnce(n, Errno::NOSPC));
    copy.unwrap_or_else(|error| panic!("{error}:\n{trace}"));
    assert!(copied(Plan::FailOnce(n, Errno::IO)).0.is_err());
}

/// The file of the one message that is ready.
fn ready(world: &World) -> (String, Vec<u8>) {
    let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let path = format!("{Q}/{path}");
    let bytes = world.machine.read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_record_is_written_over_what_was_torn() {
    let mut world = empty();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let queue = open(&disk);
    let fail = || {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let how = record(&disk, claim.attempt(), Outcome::Exit);
        claim.nack(&queue, Again::Now, Counting::Counted, how).unwrap();
    };
    fail();
    let (path, bytes) = ready(&world);
    world.machine.write(&path, &[bytes.as_slice(), &b"torn".repeat(1000)].concat());
    fail();
    let (_, after) = ready(&world);
    assert!(after.starts_with(&bytes) && after.ends_with(b"}\n"));
    assert!(!after.windows(4).any(|four| four == b"torn"));
}

#[test]
fn a_history_ends_at_its_limit_and_stops_nobody() {
    const MOST: usize = 256 << 10;
    let mut world = empty();
    world.open().configure(|settings| settings.set("max_attempts", "1000")).unwrap();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let start = ready(&world).1.len();
    let queue = open(&disk);
    let mut lengths = Vec::new();
    for _ in 0..20 {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let mut how = record(&disk, claim.attempt(), Outcome::Exit).unwrap();
        how.stderr = Some("x".repeat(15_000));
        claim.nack(&queue, Again::Now, Counting::Counted, Some(how)).unwrap();
        lengths.push(ready(&world).1.len() - start);
    }
    let full = *lengths.last().unwrap();
    assert!(full <= MOST && full + 16_000 > MOST, "{lengths:?}");
    assert!(lengths.is_sorted());
}

#[test]
fn what_is_damaged_in_a_pack_is_not_read_from_it() {
    let messages: Vec<_> = (0..5).map(|number| (body(number + 10), Envelope::default())).collect();
    let (world, _) = together(&messages, (2, 100));
    let path = world.machine.files(Q).into_iter().find(|path| path.contains("-n0")).unwrap();
    let path = format!("{Q}/{path}");
    let mut bytes = world.machine.read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    world.machine.write(&path, &bytes);
    let queue = world.open();
    let mut read = Vec::new();
    let each = |place: Place, _: &_| {
        read.push(queue.read(&place).is_ok_and(|message| message.is_some()));
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(State::Ready, each).unwrap();
    assert_eq!(read, [true, true, true, true, false]);
}

/// Beyond some hundreds they stand in buckets below the directory of their group.
#[test]
fn a_large_group_is_delivered_in_its_order() {
    let group = |number: u32| {
        let key = if number.is_multiple_of(7) { "b" } else { "a" };
        Envelope { group: Some(key.into()), ..Envelope::default() }
    };
    let text = |number: u32| number.to_string().into_bytes();
    let messages: Vec<_> = (0..1100).map(|number| (text(number), group(number))).collect();
    let (mut world, bodies) = together(&messages, (2, 100));
    let of = |bodies: &[Vec<u8>], b: bool| -> Vec<u32> {
        let numbers = bodies.iter().map(|body| String::from_utf8(body.clone()).unwrap().parse::<u32>().unwrap());
        numbers.filter(|number| number.is_multiple_of(7) == b).collect()
    };
    for b in [false, true] {
        let sent: Vec<u32> = (0..1100).filter(|number: &u32| number.is_multiple_of(7) == b).collect();
        assert_eq!(of(&bodies, b), sent);
    }
    let depth = |world: &World| world.machine.files(Q).iter().map(|path| path.split('/').count()).max();
    assert_eq!(depth(&world), Some(4), "groups/MARK/BUCKET/NAME");

    // What is sent while it is drained comes last, and what is taken out of the middle leaves the order as it was.
    let queue = world.open();
    let mut seen = 0;
    let mut places = Vec::new();
    let each = |place: Place, _: &_| {
        seen += 1;
        if seen % 100 == 50 {
            places.push(place);
        }
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(State::Ready, each).unwrap();
    assert_eq!((seen, places.len(), queue.stats().unwrap().ready), (1100, 11, 1100));
    let mut removed = Vec::new();
    for place in &places {
        removed.push(queue.read(place).unwrap().unwrap().start(10).unwrap());
        assert_eq!(queue.remove(place).unwrap(), Removed::Removed);
    }
    let (mut scout, mut bodies) = (Scout::new(), Vec::new());
    let mut failed = false;
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        let body = body_of(&claim).unwrap();
        if bodies.len() == 600 && !failed {
            failed = true;
            // It stays its turn.
            claim.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
            world.send(&world.machine.disk(), Q, b"1101", group(1101)).unwrap();
            continue;
        }
        bodies.push(body);
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    }
    for b in [false, true] {
        let gone = of(&removed, b);
        let left =
            (0..1100).chain([1101]).filter(|number: &u32| number.is_multiple_of(7) == b && !gone.contains(number));
        assert_eq!(of(&bodies, b), left.collect::<Vec<_>>());
    }
    let left = world.machine.files(Q);
    assert!(!left.iter().any(|path| path.starts_with("groups/") && path != "groups/"), "{left:?}");
}
