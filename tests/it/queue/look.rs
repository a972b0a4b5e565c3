//! What one claimer remembers from claim to claim: it saves looks, and never the one that would have shown what comes first.

use super::packs;
use super::world::{PLAIN, Q, World, due_at, urgent};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::sandbox::Sandbox;
use mq::fs::{Access, Disk, File};
use mq::queue::name::Lease;
use mq::queue::{Again, Claim, Counting, Envelope, Found, Nothing, PACK_LEAST, Queue, Scout, Settled};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LIVE: Lease = Lease::Live;
const SECOND: Duration = Duration::from_secs(1);

fn opened(disk: &Disk) -> Queue {
    Queue::open(disk, Path::new(Q)).unwrap()
}

fn found(queue: &Queue, scout: &mut Scout) -> Option<Claim> {
    match queue.claim(scout, LIVE).unwrap() {
        Found::Claim(claim) => Some(*claim),
        _ => None,
    }
}

/// Claims the next message and acknowledges it: its body.
fn next(queue: &Queue, scout: &mut Scout) -> Option<String> {
    let claim = found(queue, scout)?;
    let body = super::world::body_of(&claim).unwrap();
    assert_eq!(claim.ack(queue).unwrap(), Settled::Acked);
    Some(String::from_utf8(body).unwrap())
}

fn nothing(queue: &Queue, scout: &mut Scout) -> Nothing {
    match queue.claim(scout, LIVE).unwrap() {
        Found::Nothing(nothing) => nothing,
        other => panic!("{other:?}"),
    }
}

fn glance(queue: &Queue, scout: &mut Scout) -> Nothing {
    scout.woken();
    scout.glance();
    nothing(queue, scout)
}

/// What was done since so many steps.
fn since(tape: &Tape, before: u64) -> Vec<String> {
    let trace = tape.trace();
    let lines: Vec<&str> = trace.lines().collect();
    let new = usize::try_from(tape.steps() - before).unwrap();
    lines[lines.len() - new..].iter().map(|line| line.trim_start().to_string()).collect()
}

/// A queue with these messages, at a time at which nothing has just changed.
fn with(bodies: &[(&[u8], Envelope)]) -> World {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    let disk = world.machine.disk();
    for (body, envelope) in bodies {
        world.send(&disk, Q, body, envelope.clone()).unwrap();
    }
    world.machine.advance(SECOND);
    world
}

fn plain(count: usize) -> Vec<(&'static [u8], Envelope)> {
    ["1", "2", "3", "4", "5", "6"][..count].iter().map(|body| (body.as_bytes(), Envelope::default())).collect()
}

#[test]
fn half_of_a_bucket_that_a_pack_may_have_filled_is_told_once() {
    let least = PACK_LEAST as usize;
    for (count, told) in [(least - 1, None), (least, Some(least / 2)), (least + 7, Some(least / 2 + 4))] {
        let mut world = World::empty(PLAIN, 1);
        let disk = world.machine.disk();
        let bodies: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let bodies: Vec<_> = bodies.iter().map(|body| (body.as_bytes(), Envelope::default())).collect();
        world.send_batch(&disk, &bodies).unwrap();
        let (queue, mut scout) = (opened(&disk), Scout::new());
        assert!(!scout.half_way(), "nothing is at hand yet");
        let mut at = Vec::new();
        for taken in 1..=count {
            assert!(next(&queue, &mut scout).is_some());
            if scout.half_way() {
                at.push(taken);
            }
        }
        assert_eq!(at, told.into_iter().collect::<Vec<_>>(), "of {count}");
    }
}

#[test]
fn while_nothing_changes_no_list_is_read_again() {
    let world = with(&plain(6));
    let (disk, tape) = world.injected(Plan::Healthy);
    let (queue, mut scout) = (opened(&disk), Scout::new());
    for body in ["1", "2"] {
        assert_eq!(next(&queue, &mut scout).as_deref(), Some(body));
    }
    for body in ["3", "4", "5"] {
        let before = tape.steps();
        assert_eq!(next(&queue, &mut scout).as_deref(), Some(body));
        let done = since(&tape, before);
        assert!(!done.iter().any(|step| step.contains("list")), "{body}: {done:#?}");
    }
}

#[test]
fn what_comes_before_the_bucket_at_hand_is_claimed_first() {
    type Come = fn(&mut World, &Disk);
    let send: Come = |world, disk| world.send(disk, Q, b"first", urgent(9)).unwrap();
    let ways: [(&str, Come, Come); 5] = [
        ("of a higher priority", |_, _| (), send),
        // In the same tick of the clock in which its directory changed last, so that no time tells.
        ("in the tick in which a directory came and went", come_and_go, send),
        (
            "of a higher priority whose directory stands",
            |world, disk| {
                world.send(disk, Q, b"before", urgent(9)).unwrap();
                assert_eq!(next(&opened(disk), &mut Scout::new()).as_deref(), Some("before"));
                world.machine.advance(SECOND);
            },
            send,
        ),
        (
            "when it becomes due",
            |world, disk| {
                let due = disk.now().plus(3 * SECOND);
                world.send(disk, Q, b"first", Envelope { due: Some(due), ..urgent(9) }).unwrap();
            },
            |world, _| world.machine.advance(3 * SECOND),
        ),
        (
            "due before that second is over",
            |_, _| (),
            |world, disk| {
                // Whoever sends what is due before anything else wakes the others up.
                let due = disk.now().plus(Duration::from_millis(10));
                world.send(disk, Q, b"first", Envelope { due: Some(due), ..urgent(9) }).unwrap();
                world.machine.advance(Duration::from_millis(20));
            },
        ),
    ];
    for (way, before, come) in ways {
        let mut world = with(&plain(6));
        let disk = world.machine.disk();
        let (queue, mut scout) = (opened(&disk), Scout::new());
        before(&mut world, &disk);
        for body in ["1", "2", "3"] {
            assert_eq!(next(&queue, &mut scout).as_deref(), Some(body), "{way}");
        }
        come(&mut world, &disk);
        if way.starts_with("due") {
            scout.woken();
        }
        assert_eq!(next(&queue, &mut scout).as_deref(), Some("first"), "{way}");
        assert_eq!(next(&queue, &mut scout).as_deref(), Some("4"), "{way}");
    }
}

fn come_and_go(world: &mut World, _: &Disk) {
    world.machine.mkdir(format!("{Q}/ready/9"));
    world.machine.remove(format!("{Q}/ready/9"));
}

/// The first message of one bucket is in somebody's hands, and five stand in the next, of which three are claimed.
fn with_an_older_bucket() -> (World, Disk, Scout, Claim) {
    let mut world = with(&plain(1));
    let disk = world.machine.disk();
    let (queue, mut scout) = (opened(&disk), Scout::new());
    let first = found(&queue, &mut scout).unwrap();
    // A pack is a bucket of its own.
    packs::send(&mut world, &disk, &Envelope::default()).unwrap();
    world.machine.advance(SECOND);
    for number in 1..=3 {
        assert_eq!(next(&queue, &mut scout), Some(format!("packed {number}")));
        world.machine.advance(SECOND);
    }
    (world, disk, scout, first)
}

#[test]
fn what_comes_back_into_an_older_bucket_is_claimed_first() {
    for fresh in [false, true] {
        let (world, disk, mut scout, first) = with_an_older_bucket();
        let queue = opened(&disk);
        let mut left = 4..;
        if fresh {
            // In the same tick of the clock in which the list of buckets changed last.
            world.machine.mkdir(format!("{Q}/ready/4/0000000000000001"));
            world.machine.remove(format!("{Q}/ready/4/0000000000000001"));
            assert_eq!(next(&queue, &mut scout), left.next().map(|number| format!("packed {number}")));
        }
        first.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
        assert_eq!(next(&queue, &mut scout).as_deref(), Some("1"), "fresh: {fresh}");
        assert_eq!(next(&queue, &mut scout), left.next().map(|number| format!("packed {number}")));
    }
}

#[test]
fn what_was_locked_in_an_older_bucket_is_claimed_first() {
    let mut world = with(&plain(1));
    let disk = world.machine.disk();
    packs::send(&mut world, &disk, &Envelope::default()).unwrap();
    world.machine.advance(SECOND);
    let locked = lock(&world, &disk);
    let (queue, mut scout) = (opened(&disk), Scout::new());
    for number in 1..=3 {
        assert_eq!(next(&queue, &mut scout), Some(format!("packed {number}")));
        world.machine.advance(SECOND);
    }
    drop(locked);
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("1"));
}

/// On a disk, whose directories are as large as they are.
#[test]
fn of_the_buckets_that_are_empty_the_newest_stays() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "first");
    let path = sandbox.queue("jobs");
    let queue = Queue::open(&Disk::real(), &path).unwrap();
    let mut batch = queue.batch().unwrap().packing(2, 3);
    for body in ["1", "2", "3"] {
        batch.begin(&Envelope::default()).unwrap();
        batch.write(body.as_bytes()).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    let buckets = || {
        let entries = path.join("ready/4").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let before = buckets();
    assert_eq!(before.len(), 2);
    let mut scout = Scout::new();
    while next(&queue, &mut scout).is_some() {}
    let after = buckets();
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(after.last().unwrap().to_string_lossy() > before.first().unwrap().to_string_lossy());
}

/// The bucket that a claimer has at hand is emptied and removed by another, at each moment of the claim.
#[test]
fn a_bucket_may_go_while_it_is_at_hand() {
    for n in 1.. {
        let (world, disk, _, first) = with_an_older_bucket();
        first.nack(&opened(&disk), Again::Now, Counting::Counted, None).unwrap();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let (done, when) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(u64::MAX)));
        let (said, from) = (done.clone(), when.clone());
        let steps = steps.watched(move |step| {
            if step >= from.load(Ordering::Relaxed) && !said.swap(true, Ordering::Relaxed) {
                let other = opened(&machine.disk());
                let mut scout = Scout::new();
                while next(&other, &mut scout).is_some() {}
            }
        });
        let queue = opened(&Disk::new(steps));
        let mut scout = Scout::new();
        assert_eq!(next(&queue, &mut scout).as_deref(), Some("1"));
        assert_eq!(next(&queue, &mut scout).as_deref(), Some("packed 4"));
        when.store(tape.steps() + n, Ordering::Relaxed);
        let last = next(&queue, &mut scout);
        if !done.load(Ordering::Relaxed) {
            break;
        }
        assert!(last.is_none() || last.as_deref() == Some("packed 5"), "{last:?}");
    }
}

#[test]
fn what_is_sent_with_a_delay_to_an_idle_claimer_comes_when_it_is_due() {
    let mut world = with(&[]);
    let disk = world.machine.disk();
    let (queue, mut scout) = (opened(&disk), Scout::new());
    assert_eq!(nothing(&queue, &mut scout), Nothing::default());
    world.send(&disk, Q, b"soon", due_at(disk.now().plus(Duration::from_millis(10)))).unwrap();
    world.machine.advance(Duration::from_millis(100));
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("soon"));
}

/// In the tick of the clock in which a list of buckets changed last, its time tells nothing.
#[test]
fn what_is_sent_in_the_tick_of_a_glance_is_seen_by_the_next() {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"before", Envelope::default()).unwrap();
    let (queue, mut scout) = (opened(&disk), Scout::new());
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("before"));
    nothing(&queue, &mut scout);
    for _ in 0..3 {
        glance(&queue, &mut scout);
    }
    world.send(&disk, Q, b"new", urgent(9)).unwrap();
    scout.woken();
    scout.glance();
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("new"));
}

/// On a disk, whose directories are as large as they are, and so stay.
#[test]
fn what_comes_into_a_higher_priority_that_was_there_before_is_claimed_first() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "-p", "9", "before"]).ok();
    let path = sandbox.queue("jobs");
    let queue = Queue::open(&Disk::real(), &path).unwrap();
    assert_eq!(next(&queue, &mut Scout::new()).as_deref(), Some("before\n"));
    let send = |body: &str, priority| {
        let mut draft = queue.draft(urgent(priority)).unwrap();
        draft.write(body.as_bytes()).unwrap();
        draft.publish().unwrap();
    };
    ["1", "2", "3", "4"].iter().for_each(|body| send(body, 4));
    // As if that had been some time ago.
    for dir in ["ready", "ready/4", "ready/9"] {
        let then = std::fs::FileTimes::new().set_modified(std::time::SystemTime::now() - 60 * SECOND);
        std::fs::File::open(path.join(dir)).unwrap().set_times(then).unwrap();
    }
    let mut scout = Scout::new();
    for body in ["1", "2", "3"] {
        assert_eq!(next(&queue, &mut scout).as_deref(), Some(body));
    }
    send("first", 9);
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("first"));
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("4"));
}

#[test]
fn a_glance_says_when_the_next_lease_ends() {
    let mut world = with(&plain(1));
    let disk = world.machine.disk();
    world.claim_timed(&disk, 60 * SECOND).unwrap();
    let (queue, mut scout) = (opened(&disk), Scout::new());
    let expiry = nothing(&queue, &mut scout).next_expiry;
    assert!(expiry.is_some());
    for _ in 0..3 {
        world.machine.advance(SECOND);
        assert_eq!(glance(&queue, &mut scout).next_expiry, expiry);
    }
}

/// Locks the first message that is ready, as somebody in the middle of a few calls.
fn lock(world: &World, disk: &Disk) -> File {
    let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let (dir, name) = path.rsplit_once('/').unwrap();
    let dir = disk.open_queue(&Path::new(Q).join(dir)).unwrap();
    let file = disk.open(&dir, name, Access::Write).unwrap();
    assert!(disk.try_lock(&file).unwrap());
    file
}

#[test]
fn a_lock_of_a_moment_is_waited_for() {
    let world = with(&plain(1));
    let locked = std::sync::Mutex::new(Some(lock(&world, &world.machine.disk())));
    let (steps, _) = Injected::new(world.machine.process(), Plan::Healthy);
    let looks = AtomicU64::new(0);
    let steps = steps.watched(move |_| {
        // By then it has looked more than once.
        if looks.fetch_add(1, Ordering::Relaxed) == 150 {
            drop(locked.lock().unwrap().take());
        }
    });
    let queue = opened(&Disk::new(steps));
    assert_eq!(next(&queue, &mut Scout::new()).as_deref(), Some("1"));
}

#[test]
fn what_was_locked_at_a_glance_is_seen_by_the_next() {
    let mut world = with(&[]);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"locked", Envelope::default()).unwrap();
    world.machine.advance(SECOND);
    let (queue, mut scout) = (opened(&disk), Scout::new());
    let locked = lock(&world, &disk);
    assert!(nothing(&queue, &mut scout).busy);
    for _ in 0..3 {
        world.machine.advance(SECOND);
        assert!(glance(&queue, &mut scout).busy, "it is there, and locked");
    }
    drop(locked);
    scout.woken();
    scout.glance();
    assert_eq!(next(&queue, &mut scout).as_deref(), Some("locked"));
}
