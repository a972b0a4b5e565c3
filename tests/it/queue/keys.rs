//! The records of unique keys: what is in them, when they are believed, and that none outlives its message.

mod judged;

use super::judge::fsck;
use super::unique::{keyed, replace, taken, taken_and_delayed, taken_and_failed};
use super::verbs::{first, place_of};
use super::world::{OTHER, PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{Lease, Priority, State};
use mq::queue::{
    Again, Counting, Envelope, Error, Found, Moved, OnDuplicate, Published, Queue, Removed, Repair, Result, Scout,
    Sent, Settled, Until,
};
use rustix::io::Errno;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const REPLACE: OnDuplicate = OnDuplicate::Replace { max_delay: None };
const WINDOW: Until = Until::For(Duration::from_secs(600));

fn world() -> World {
    let world = World::empty(PLAIN, 1);
    world.machine.set_short(false);
    world
}

fn other(world: &World) -> Queue {
    let disk = world.machine.disk();
    Queue::create(&disk, Path::new(OTHER), &world.settings()).unwrap();
    Queue::open(&disk, Path::new(OTHER)).unwrap()
}

fn send(queue: &Queue, until: Until) -> Result<Sent> {
    queue.draft(keyed(until))?.publish()
}

/// One more is refused: the key is taken.
#[track_caller]
fn refused(queue: &Queue) {
    let sent = send(queue, Until::Settled);
    assert!(matches!(sent, Err(Error::Duplicate { .. })), "{sent:?}");
}

/// The records of a queue, by their paths below `unique/`.
fn records(machine: &Machine) -> Vec<String> {
    let files = machine.files(Q);
    files
        .iter()
        .filter_map(|path| path.strip_prefix("unique/"))
        .filter(|path| !path.is_empty() && !path.ends_with('/'))
        .map(Into::into)
        .collect()
}

/// The only one, and where it is.
fn record(machine: &Machine) -> (String, Value) {
    let paths = records(machine);
    let [path] = paths.as_slice() else { panic!("{paths:?}") };
    let path = format!("{Q}/unique/{path}");
    let bytes = machine.read(&path).unwrap();
    (path, serde_json::from_slice(&bytes).unwrap())
}

/// Claims and acknowledges all that can be had; how many.
fn drain(queue: &Queue) -> usize {
    let (mut scout, mut count) = (Scout::new(), 0);
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        assert_eq!(claim.ack(queue).unwrap(), Settled::Acked);
        count += 1;
    }
    count
}

#[test]
fn a_record_is_named_by_its_key_and_says_whose_it_is() {
    let world = world();
    let sent = send(&world.open(), Until::Settled).unwrap();
    let (path, record) = record(&world.machine);
    // The first two digits of FNV-1a of "the/key".
    let hash = b"the/key"
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    assert_eq!(path, format!("{Q}/unique/{:02x}/k-the%2Fkey", hash >> 56));
    assert_eq!((&record["key"], &record["until"]), (&"the/key".into(), &"settled".into()));
    assert_eq!(record["uid"], sent.uid.as_str());
    assert!(record["name"].as_str().unwrap().starts_with(&sent.id.to_string()));
}

type End = fn(&Queue, &Queue);

/// Each way in which a message ends.
const ENDS: [(&str, End); 7] = [
    ("ack", |queue, _| assert_eq!(claim_one(queue, Lease::Live).unwrap().ack(queue).unwrap(), Settled::Acked)),
    ("dead", |queue, _| assert_eq!(claim_one(queue, Lease::Live).unwrap().dead(queue, None).unwrap(), Settled::Dead)),
    ("rm", |queue, _| assert_eq!(queue.remove(&waiting(queue)).unwrap(), Removed::Removed)),
    ("rm of a retry", |queue, _| {
        let claim = claim_one(queue, Lease::Live).unwrap();
        claim.nack(queue, Again::After(Duration::from_secs(60)), Counting::Counted, None).unwrap();
        let place = first(queue, State::Delayed).unwrap().0;
        assert_eq!(queue.remove(&place).unwrap(), Removed::Removed);
    }),
    ("cancel", |queue, _| {
        queue.cancel(&waiting(queue), "not needed").unwrap();
    }),
    ("move", |queue, other| assert!(matches!(queue.move_to(&waiting(queue), other).unwrap(), Moved::To(_)))),
    ("recovery of the last attempt", |queue, _| {
        for _ in 0..super::world::MAX_ATTEMPTS {
            claim_one(queue, Lease::Live).unwrap();
        }
        queue.recover().unwrap();
        assert!(first(queue, State::Dead).is_ok());
    }),
];

fn waiting(queue: &Queue) -> mq::queue::Place {
    first(queue, State::Ready).unwrap().0
}

#[test]
fn no_record_outlives_its_message() {
    for (name, end) in ENDS {
        for doubtful in [false, true] {
            let world = world();
            let (queue, other) = (world.open(), other(&world));
            let (sent, path) = (send(&queue, Until::Settled).unwrap(), record(&world.machine).0);
            if doubtful {
                // Beside a plain name it means nothing.
                world.machine.write(format!("{path}~"), b"");
            }
            refused(&queue);
            end(&queue, &other);
            assert_eq!(records(&world.machine), [""; 0], "{name} of {sent:?}");
            send(&queue, Until::Settled).unwrap();
        }
    }
}

#[test]
fn what_begins_with_a_doubt_that_was_never_needed_ends_well() {
    let mut world = world();
    taken(&mut world);
    let path = record(&world.machine).0;
    world.machine.write(format!("{path}~"), b"");
    let disk = world.machine.disk();
    replace(&mut world, &disk).unwrap();
    refused(&world.open());
    assert_eq!(record(&world.machine).0, path);
    world.machine.write(format!("{path}~"), b"");
    assert_eq!(fsck(&world.open(), Repair::Mend).unwrap().len(), 1);
    assert_eq!(record(&world.machine).0, path);
    refused(&world.open());
}

/// Runs `act` with each of its steps `wanted` picks failing, and that kind from there on.
fn failing(world: &World, errno: Errno, wanted: impl Fn(&str) -> bool, act: impl Fn(&World, &Disk)) {
    let healthy = world.fork();
    let (disk, tape) = healthy.injected(Plan::Healthy);
    act(&healthy, &disk);
    let trace = tape.trace();
    let steps: Vec<u64> = trace
        .lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .filter(|(_, step)| wanted(step))
        .map(|(number, _)| number.parse().unwrap())
        .collect();
    assert!(!steps.is_empty(), "{trace}");
    for n in steps {
        let world = world.fork();
        let (disk, _) = world.injected(Plan::FailAlikeFrom(n, errno));
        act(&world, &disk);
    }
}

fn doubting(step: &str) -> bool {
    step.starts_with("rename k-") && step.ends_with('~')
}

#[test]
fn on_a_full_disk_a_message_with_a_key_is_settled_all_the_same() {
    let mut world = world();
    taken(&mut world);
    failing(&world, Errno::NOSPC, doubting, |world, disk| {
        let queue = Queue::open(disk, Path::new(Q)).unwrap();
        let claim = claim_one(&world.open(), Lease::Live).unwrap();
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
        assert_eq!(records(&world.machine), [""; 0]);
    });
}

#[test]
fn a_key_whose_record_cannot_be_doubted_stays_taken() {
    let mut world = world();
    taken(&mut world);
    failing(&world, Errno::IO, doubting, |world, disk| {
        let queue = Queue::open(disk, Path::new(Q)).unwrap();
        let _ = claim_one(&world.open(), Lease::Live).unwrap().dead(&queue, None);
        let stands = first(&world.open(), State::Claimed).is_ok();
        assert_eq!(send(&world.open(), Until::Settled).is_err(), stands);
    });
}

#[test]
fn on_a_full_disk_a_key_is_not_taken_and_that_is_told() {
    let world = world();
    send(&world.open(), Until::Settled).unwrap();
    drain(&world.open());
    failing(
        &world,
        Errno::NOSPC,
        |step| step.starts_with("create k-"),
        |_, disk| {
            let queue = Queue::open(disk, Path::new(Q)).unwrap();
            let sent = send(&queue, Until::Settled);
            assert!(sent.is_ok() || sent.is_err_and(|error| error.no_room()));
        },
    );
}

/// A person has sent it all the same, and it has no say in whose the key is.
#[test]
fn a_message_that_was_moved_here_takes_no_key_from_another() {
    let world = world();
    let (queue, other) = (world.open(), other(&world));
    // Redriven, it has its key again, as has one that a power cut has left without a record.
    send(&queue, Until::Settled).unwrap();
    claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
    let (dead, _) = first(&queue, State::Dead).unwrap();
    assert!(matches!(queue.redrive(&dead, None).unwrap(), Moved::To(_)));
    refused(&queue);
    send(&other, Until::Settled).unwrap();
    let Moved::To(second) = other.move_to(&waiting(&other), &queue).unwrap() else { panic!("gone") };
    assert_eq!(queue.remove(&place_of(&queue, second).unwrap()).unwrap(), Removed::Removed);
    refused(&queue);
    assert_eq!(drain(&queue), 1);
    send(&queue, Until::Settled).unwrap();
}

#[test]
fn what_comes_in_the_place_of_another_is_as_it_was_sent() {
    for (prepare, begun) in [
        (taken as fn(&mut World), false),
        (taken_and_failed, false),
        (taken_and_delayed, false),
        (taken, true),
        (taken_and_failed, true),
        (taken_and_delayed, true),
    ] {
        let mut world = world();
        prepare(&mut world);
        let mut queue = world.open();
        let urgent = || Envelope { priority: Priority::new(2), ..keyed(Until::Settled) };
        let put = |queue: &Queue| {
            let mut draft = queue.draft(urgent())?;
            draft.write(b"second")?;
            draft.publish_unless(REPLACE)
        };
        if begun {
            // Killed with the old one gone, recovery goes on.
            let act = |_: &mut World, disk: &Disk| put(&Queue::open(disk, Path::new(Q))?).map(drop);
            world.stop_when(act, |world| {
                let files = world.machine.files(Q);
                let waits = |path: &&String| path.starts_with("ready/") || path.starts_with("delayed/");
                !files.iter().filter(waits).any(|path| !path.ends_with('/'))
            });
            queue = world.open();
            queue.recover().unwrap();
        } else {
            assert!(matches!(put(&queue).unwrap(), Published::Replaced(_)));
        }
        let claim = claim_one(&queue, Lease::Live).unwrap();
        assert_eq!((claim.attempt(), claim.name().priority), (1, Priority::new(2).unwrap()));
        assert_eq!(body_of(&claim).unwrap(), b"second");
        claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
        assert!(fsck(&queue, Repair::Report).unwrap().is_empty());
        assert_eq!(drain(&queue), 1);
        assert_eq!(records(&world.machine), [""; 0]);
    }
}

/// What was tried is in the name of a message whose record a power cut has torn.
#[test]
fn what_takes_the_place_of_one_that_failed_begins_anew() {
    let mut world = world();
    taken_and_failed(&mut world);
    world.machine.write(record(&world.machine).0, b"");
    let disk = world.machine.disk();
    replace(&mut world, &disk).unwrap();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!((claim.attempt(), body_of(&claim).unwrap()), (1, b"second of the key".to_vec()));
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    assert_eq!(records(&world.machine), [""; 0]);
}

/// It moves without anybody's lock.
#[test]
fn what_becomes_due_while_it_is_replaced_is_replaced_all_the_same() {
    let mut prepared = world();
    taken_and_delayed(&mut prepared);
    for n in 1.. {
        let mut world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            machine.advance(Duration::from_secs(301));
            let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
            if let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live).unwrap() {
                claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
            }
        });
        let replaced = replace(&mut world, &Disk::new(steps));
        assert!(matches!(replaced, Ok(()) | Err(Error::Held { .. })), "{n}: {replaced:?}\n{}", tape.trace());
        let queue = world.open();
        refused(&queue);
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let body = body_of(&claim).unwrap();
        assert_eq!(body == b"second of the key", replaced.is_ok(), "{n}");
        assert_eq!((claim.ack(&queue).unwrap(), drain(&queue)), (Settled::Acked, 0));
        assert_eq!(records(&world.machine), [""; 0]);
        if tape.steps() < n {
            break;
        }
    }
}

/// Somebody has put the old one back, and has it out again.
#[test]
fn a_name_that_is_taken_for_a_moment_is_tried_again() {
    let mut world = world();
    taken(&mut world);
    let (disk, tape) = world.fork().injected(Plan::Healthy);
    replace(&mut world.fork(), &disk).unwrap();
    drop(disk);
    let mut put = None;
    for line in tape.trace().lines() {
        let (number, step) = line.trim_start().split_once(' ').unwrap();
        if step.starts_with("rename ") && step.contains(" to 1") {
            put = Some(number.parse().unwrap());
        }
    }
    // Nothing else in it is the rename of a message.
    let (disk, _) = world.injected(Plan::FailOnce(put.unwrap(), Errno::EXIST));
    replace(&mut world, &disk).unwrap();
    assert_eq!(body_of(&claim_one(&world.open(), Lease::Live).unwrap()).unwrap(), b"second of the key");
}

/// It says what it took the place of, and not also what that one did.
#[test]
fn a_record_does_not_grow_with_each_replacement() {
    let mut world = world();
    taken(&mut world);
    let queue = world.open();
    let mut lengths = Vec::new();
    for _ in 0..4 {
        assert!(matches!(
            queue.draft(keyed(Until::Settled)).unwrap().publish_unless(REPLACE).unwrap(),
            Published::Replaced(_)
        ));
        lengths.push(world.machine.read(record(&world.machine).0).unwrap().len());
    }
    assert!(lengths[1..].iter().all(|length| *length < lengths[0] + 32), "{lengths:?}");
}
