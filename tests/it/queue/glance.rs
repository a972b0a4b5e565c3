//! A glance of an idle worker, which looks only at what can have changed, sees whatever has become claimable.

use super::world::{PLAIN, Q, World, claim_one, due_at, urgent};
use crate::support::inject::Plan;
use crate::support::sandbox::Sandbox;
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Envelope, Found, Queue, Scout, Settled};
use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

fn glance(queue: &Queue, scout: &mut Scout) -> Option<Box<mq::queue::Claim>> {
    scout.woken();
    if queue.still_nothing(scout).unwrap().is_some() {
        return None;
    }
    scout.glance();
    match queue.claim(scout, Lease::Live).unwrap() {
        Found::Claim(claim) => Some(claim),
        _ => None,
    }
}

fn after(seconds: u64) -> Again {
    Again::After(Duration::from_secs(seconds))
}

/// A way in which something becomes claimable, once there was nothing: prepared before that, and done after it.
type Way = (&'static str, fn(&mut World, &Disk) -> Vec<mq::queue::Claim>, fn(&mut World, &Disk, Vec<mq::queue::Claim>));

const WAYS: [Way; 8] = [
    ("sent", |_, _| vec![], |world, disk, _| world.send(disk, Q, b"new", Envelope::default()).unwrap()),
    ("sent with a priority", |_, _| vec![], |world, disk, _| world.send(disk, Q, b"new", urgent(9)).unwrap()),
    (
        "sent in bulk",
        |_, _| vec![],
        |world, disk, _| {
            let bodies: Vec<String> = (0..100).map(|number| format!("bulk {number}")).collect();
            let bodies: Vec<_> = bodies.iter().map(|body| (body.as_bytes(), Envelope::default())).collect();
            world.send_batch(disk, &bodies).unwrap();
        },
    ),
    (
        "sent with a delay",
        |_, _| vec![],
        |world, disk, _| {
            let due = disk.now().plus(Duration::from_millis(10));
            world.send(disk, Q, b"new", due_at(due)).unwrap();
            world.machine.advance(Duration::from_secs(1));
        },
    ),
    (
        "due",
        |world, disk| {
            let due = disk.now().plus(Duration::from_secs(3));
            world.send(disk, Q, b"new", due_at(due)).unwrap();
            vec![]
        },
        |world, _, _| world.machine.advance(Duration::from_secs(3)),
    ),
    ("put back", held, |world, _, claims| settle_all(world, claims, Again::Now)),
    ("put back with a delay", held, |world, _, claims| {
        settle_all(world, claims, after(1));
        world.machine.advance(Duration::from_secs(2));
    }),
    ("left by a holder that died, a while ago", held, |world, _, claims| {
        drop(claims);
        world.machine.advance(Duration::from_secs(6));
    }),
];

fn held(world: &mut World, disk: &Disk) -> Vec<mq::queue::Claim> {
    world.send(disk, Q, b"held", Envelope::default()).unwrap();
    vec![claim_one(&Queue::open(disk, Path::new(Q)).unwrap(), Lease::Live).unwrap()]
}

fn settle_all(world: &World, claims: Vec<mq::queue::Claim>, again: Again) {
    for claim in claims {
        claim.nack(&world.open(), again, Counting::Counted, None).unwrap();
    }
}

#[test]
fn whatever_becomes_claimable_is_seen() {
    for (way, prepare, act) in WAYS {
        let mut world = World::empty(PLAIN, 1);
        let other = world.machine.disk();
        world.send(&other, Q, b"first", Envelope::default()).unwrap();
        let (disk, tape) = world.injected(Plan::Healthy);
        let queue = Queue::open(&disk, Path::new(Q)).unwrap();
        let mut scout = Scout::new();
        let Found::Claim(first) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("it was sent") };
        assert_eq!(first.ack(&queue).unwrap(), Settled::Acked);
        let claims = prepare(&mut world, &other);
        assert!(glance(&queue, &mut scout).is_none(), "{way}: the first is a look at all");
        world.machine.advance(Duration::from_secs(1));
        assert!(glance(&queue, &mut scout).is_none(), "{way}: the second remembers");
        let before = tape.steps();
        assert!(glance(&queue, &mut scout).is_none(), "{way}: nothing has happened");
        if way != "due" {
            let steps = tape.steps() - before;
            assert!(steps <= 4, "{way}: a glance at an empty queue took {steps} steps:\n{}", tape.trace());
        }
        act(&mut world, &other, claims);
        assert!(glance(&queue, &mut scout).is_some(), "{way}: not seen");
    }
}

/// Here a bucket stays when it is empty.
#[test]
fn what_comes_into_the_newest_bucket_is_seen() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "first");
    let path = sandbox.queue("jobs");
    let queue = Queue::open(&Disk::real(), &path).unwrap();
    let mut scout = Scout::new();
    for round in 0..3 {
        let claim = match round {
            0 => match queue.claim(&mut scout, Lease::Live).unwrap() {
                Found::Claim(claim) => Some(claim),
                _ => None,
            },
            _ => glance(&queue, &mut scout),
        };
        claim.unwrap_or_else(|| panic!("not seen in round {round}")).ack(&queue).unwrap();
        // As if the last message had been some time ago.
        for dir in ["ready", "ready/4", "delayed"] {
            let then = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(60));
            File::open(path.join(dir)).unwrap().set_times(then).unwrap();
        }
        assert!(path.join("ready/4").read_dir().unwrap().next().is_some(), "the bucket is gone");
        for _ in 0..3 {
            assert!(glance(&queue, &mut scout).is_none(), "round {round}: nothing is there");
        }
        sandbox.send("jobs", "another");
    }
}

/// A worker of a queue that had one message, which knows what is to be looked at.
fn idle(world: &mut World) -> (Queue, Scout) {
    world.send(&world.machine.disk(), Q, b"first", Envelope::default()).unwrap();
    let queue = world.open();
    let mut scout = Scout::new();
    let Found::Claim(first) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("it was sent") };
    assert_eq!(first.ack(&queue).unwrap(), Settled::Acked);
    for _ in 0..3 {
        assert!(glance(&queue, &mut scout).is_none());
        world.machine.advance(Duration::from_secs(1));
    }
    assert!(queue.still_nothing(&scout).unwrap().is_some(), "nothing has happened");
    (queue, scout)
}

#[test]
fn a_glance_at_a_queue_that_was_moved_away_says_so() {
    for other_in_its_place in [false, true] {
        let mut world = World::empty(PLAIN, 1);
        let (queue, mut scout) = idle(&mut world);
        let disk = world.machine.disk();
        let root = disk.open_queue(Path::new("/")).unwrap();
        disk.rename(&root, "q", &root, "away").unwrap();
        if other_in_its_place {
            Queue::create(&disk, Path::new(Q), &world.settings()).unwrap();
        }
        scout.woken();
        assert_eq!(queue.still_nothing(&scout).unwrap(), None);
        scout.glance();
        let found = queue.claim(&mut scout, Lease::Live);
        assert!(matches!(found, Err(mq::queue::Error::Moved { .. })), "{found:?}");
    }
}

/// Neither is a message, but a worker says that its queue is paused, and does from now on what the settings say now.
#[test]
fn a_glance_sees_a_pause_and_other_settings() {
    for what in ["a pause", "settings"] {
        let mut world = World::empty(PLAIN, 1);
        let (queue, mut scout) = idle(&mut world);
        match what {
            "a pause" => world.open().pause(None).unwrap(),
            _ => world.open().configure(|settings| settings.set("max_attempts", "9")).unwrap(),
        }
        assert_eq!(queue.still_nothing(&scout).unwrap(), None, "{what}: not seen");
        // Nor is a queue remembered as idle by who has not heard of it yet.
        for _ in 0..3 {
            world.machine.advance(Duration::from_secs(1));
            assert!(glance(&queue, &mut scout).is_none());
            assert_eq!(queue.still_nothing(&scout).unwrap(), None, "{what}: forgotten");
        }
    }
}
