//! What is kept after an acknowledgement, where space is short, and how it goes when its time is over.

use super::world::{PLAIN, Q, World, body_of, claim_one, urgent};
use crate::support::inject::Plan;
use mq::queue::name::{Lease, State};
use mq::queue::{Envelope, Queue, Settled};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn keeping() -> World {
    let world = World::new(PLAIN, 1);
    world.open().configure(|settings| settings.set("retain", "1h")).unwrap();
    world
}

fn bodies(queue: &Queue, state: State) -> Vec<String> {
    let mut bodies = Vec::new();
    let each = |place: mq::queue::Place, _: &mq::fs::Dir| {
        let body = queue.read(&place)?.map(|message| message.start(100)).transpose()?;
        bodies.push(String::from_utf8(body.unwrap_or_default()).unwrap());
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(state, each).unwrap();
    bodies
}

/// How often an ack, with one step failing, says that it could not keep the message.
fn unkept(errno: Errno) -> u32 {
    let mut unkept = 0;
    for n in 1.. {
        let world = keeping();
        let claim = claim_one(&world.open(), Lease::Live).unwrap();
        let (disk, tape) = world.injected(Plan::FailOnce(n, errno));
        // One step at a time: those of the opening, and then those that need space and those that do not.
        let Ok(queue) = Queue::open(&disk, Path::new(Q)) else { continue };
        match claim.ack(&queue) {
            Ok(Settled::Unkept) => {
                unkept += 1;
                assert_eq!(bodies(&world.open(), State::Done), [""; 0]);
            }
            Ok(_) => assert_eq!(bodies(&world.open(), State::Done), ["plain 1"]),
            // A system call that needs no space has failed for lack of it, which no file system does.
            Err(_) => assert!(tape.struck()),
        }
        if !tape.struck() {
            break;
        }
    }
    unkept
}

#[test]
fn an_ack_without_space_says_so_and_is_one_all_the_same() {
    assert!(unkept(Errno::NOSPC) > 0, "space was never short");
    assert_eq!(unkept(Errno::IO), 0, "another error is no lack of space");
}

#[test]
fn what_is_kept_takes_nothing_of_the_reserve() {
    let mut world = keeping();
    super::packs::reserved(&mut world);
    let claim = claim_one(&world.open(), Lease::Live).unwrap();
    let disk = world.without_room();
    assert_eq!(claim.ack(&Queue::open(&disk, Path::new(Q)).unwrap()).unwrap(), Settled::Unkept);
    assert_eq!(world.machine.files("/q/reserve").len(), 8);
}

#[test]
fn what_is_sent_again_says_what_its_sender_said_and_where_it_comes_from() {
    let mut world = keeping();
    let disk = world.machine.disk();
    let queue = world.open();
    let mut envelope = Envelope { content_type: Some("text/csv".into()), group: Some("g".into()), ..urgent(7) };
    envelope.header("Trace-Id", "a b").unwrap();
    envelope.header("Replay-Of", "an older one").unwrap();
    world.send(&disk, Q, b"kept", envelope).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let kept = claim.message().header.clone();
    claim.ack(&queue).unwrap();
    let (place, _) = super::verbs::first(&queue, State::Done).unwrap();
    let mut batch = queue.batch().unwrap();
    queue.replayable(&place).unwrap().unwrap().send(&mut batch).unwrap();
    assert!(batch.publish(|_| ()).unwrap().is_none());
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let again = &claim.message().header;
    assert_eq!(body_of(&claim).unwrap(), b"kept");
    let said: Vec<(&str, &str)> = again.values().collect();
    assert_eq!(said, [("Trace-Id", "a b"), ("Replay-Of", kept.uid.as_str())]);
    assert_eq!(
        (&again.content_type, &again.group, again.priority()),
        (&kept.content_type, &kept.group, kept.priority())
    );
    assert_ne!(again.uid, kept.uid);
}

#[test]
fn a_young_one_in_the_oldest_bucket_keeps_no_old_one_alive() {
    let mut world = keeping();
    let disk = world.machine.disk();
    let queue = world.open();
    // One that stays in hand for long, then others, in later buckets.
    world.send(&disk, Q, b"slow", urgent(7)).unwrap();
    let slow = claim_one(&queue, Lease::Live).unwrap();
    for body in [b"old 1", b"old 2", b"old 3"] {
        world.machine.reboot();
        world.send(&disk, Q, body, urgent(7)).unwrap();
        let claim = claim_one(&queue, Lease::Live).unwrap();
        assert_eq!(body_of(&claim).unwrap(), body);
        claim.ack(&queue).unwrap();
    }
    world.machine.advance(HOUR / 2);
    slow.ack(&queue).unwrap();
    world.machine.advance(HOUR / 2 + Duration::from_secs(1));
    assert_eq!(bodies(&queue, State::Done).len(), 4);
    for n in 0.. {
        assert!(n < 1000, "some are never looked at");
        if bodies(&queue, State::Done) == ["slow"] {
            break;
        }
        queue.recover().unwrap();
    }
    world.machine.advance(HOUR);
    queue.recover().unwrap();
    assert_eq!(bodies(&queue, State::Done), [""; 0]);
}

#[test]
fn nothing_goes_before_its_time_or_without_the_setting() {
    let mut world = keeping();
    let disk = world.machine.disk();
    let queue = world.open();
    world.send(&disk, Q, b"kept", Envelope::default()).unwrap();
    let mut acked = Vec::new();
    for _ in 0..3 {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        acked.push(String::from_utf8(body_of(&claim).unwrap()).unwrap());
        claim.ack(&queue).unwrap();
    }
    world.machine.advance(HOUR - Duration::from_secs(1));
    assert_eq!(queue.expire_done().unwrap(), 0);
    queue.recover().unwrap();
    assert_eq!(bodies(&queue, State::Done), acked);
    world.open().configure(|settings| settings.unset("retain")).unwrap();
    world.machine.advance(HOUR);
    let later = world.open();
    assert_eq!(later.expire_done().unwrap(), 0);
    later.recover().unwrap();
    assert_eq!(bodies(&later, State::Done), acked);
    assert_eq!(queue.expire_done().unwrap(), 3);
}

/// Kept at that time, by its name alone: nobody opens it to remove it.
fn kept(world: &World, bucket: u64, ids: impl Iterator<Item = u64>) {
    ids.for_each(|id| world.machine.write(format!("{Q}/done/{bucket:016}/{id:016}-{bucket:016}-4-00001"), b""));
}

#[test]
fn what_was_kept_goes_with_its_directory_and_what_is_foreign_there_stays() {
    let world = keeping();
    let bucket = world.machine.now().micros();
    kept(&world, bucket, bucket..bucket + 3);
    kept(&world, bucket + 10, bucket + 10..bucket + 13);
    let mut foreign = [
        format!("{:016}/README", bucket + 10),
        format!("{:016}/{:016}-{:016}-4-00001.bak", bucket + 10, bucket + 11, bucket + 10),
        format!("{:016}/{:016}-{:016}-4-00009/x", bucket + 10, bucket + 12, bucket + 10),
    ];
    foreign.iter().for_each(|name| world.machine.write(format!("{Q}/done/{name}"), b"somebody's"));
    world.machine.mkdir(format!("{Q}/done/{:016}", bucket + 20));
    world.machine.advance(2 * HOUR);
    assert_eq!(world.open().expire_done().unwrap(), 6);
    foreign.sort_unstable();
    assert_eq!(world.machine.files(format!("{Q}/done")), foreign);
}

/// However many are kept, those who work remove a few of them at a time, and none is out of reach.
#[test]
fn a_slice_of_what_was_kept_goes_at_a_time() {
    for many in [300, 130, 129, 128, 127] {
        let world = keeping();
        let bucket = world.machine.now().micros();
        kept(&world, bucket, bucket..bucket + many);
        world.machine.mkdir(format!("{Q}/done/{:016}", bucket + many));
        world.machine.advance(2 * HOUR);
        let queue = world.open();
        let (mut left, mut rounds) = (many, 0);
        while left > 0 {
            queue.recover().unwrap();
            let files = world.machine.files(format!("{Q}/done"));
            let now = files.iter().filter(|path| !path.ends_with('/')).count() as u64;
            assert!(now < left && now + 200 > left, "{now} are left of {left}");
            (left, rounds) = (now, rounds + 1);
        }
        assert!(rounds <= 4, "{rounds} for {many}");
        queue.recover().unwrap();
        queue.recover().unwrap();
        assert_eq!(world.machine.files(format!("{Q}/done")), [""; 0]);
    }
}

#[test]
fn behind_young_ones_in_their_bucket_all_that_are_old_go() {
    const MANY: u64 = 300;
    let world = keeping();
    let bucket = world.machine.now().micros();
    kept(&world, bucket, bucket + MANY..bucket + 2 * MANY);
    world.machine.advance(2 * HOUR);
    // Acknowledged just now, long after they were sent.
    kept(&world, bucket, bucket..bucket + MANY);
    let queue = world.open();
    let left = || world.machine.files(format!("{Q}/done")).len() as u64;
    let rounds = (0..500).take_while(|_| queue.recover().is_ok() && left() > MANY).count();
    assert_eq!(left(), MANY, "after {rounds} rounds");
}
