//! What comes out of a pack: the message in front of it where the disk is full, one in the middle, and each in its own way.

use super::{COUNT, body, claim_whole, open, send, tried};
use crate::queue::survey::Survey;
use crate::queue::verbs::{cancelled, keeping, place_of};
use crate::queue::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::Plan;
use mq::queue::name::{Id, Lease};
use mq::queue::{Again, Claim, Counting, Ending, Envelope, Error, Queue, Settled};
use rustix::io::Errno;
use std::time::Duration;

/// One pack, and a clock that stands still.
pub fn world() -> World {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    let disk = world.machine.disk();
    send(&mut world, &disk, &Envelope::default()).unwrap();
    world
}

/// A disk that has no room for another directory, and so for the opening of a pack; and the message in front of it, claimed.
fn full(world: &World) -> (Queue, Claim) {
    let tried = world.fork();
    let (disk, tape) = tried.injected(Plan::Healthy);
    claim_one(&open(&disk).unwrap(), Lease::Live).unwrap();
    let trace = tape.trace();
    let makes = trace.lines().find(|line| line.contains("make_dir")).expect("a directory for what comes out");
    let n = makes.split_whitespace().next().unwrap().parse().unwrap();
    let (disk, _) = world.injected(Plan::FailAlikeFrom(n, Errno::NOSPC));
    let queue = open(&disk).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!((claim.messages(), claim.is_pack(), claim.attempt()), (1, false, 1));
    (queue, claim)
}

/// Of each message that is there: its state, its attempts and its body, in the order of the ids.
pub fn there(world: &World) -> Vec<(String, u32, String)> {
    let survey = Survey::of(&world.machine, Q);
    assert_eq!(survey.wrong, [""; 0]);
    let mut messages = survey.messages;
    messages.sort_by(|one, other| one.id.cmp(&other.id));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    messages.into_iter().map(|seen| (seen.state, seen.attempts, text(seen.body))).collect()
}

/// These, by number, are ready and were never tried.
fn untried(numbers: std::ops::RangeInclusive<u32>) -> Vec<(String, u32, String)> {
    numbers.map(|number| ("ready".to_string(), 0, format!("packed {number}"))).collect()
}

#[test]
fn a_full_disk_is_drained_from_the_front_of_a_pack() {
    for retain in [false, true] {
        let mut world = world();
        if retain {
            keeping(&mut world);
        }
        for number in 1..=COUNT {
            let (queue, claim) = full(&world);
            assert_eq!(body_of(&claim).unwrap(), body(number));
            assert_eq!(claim.ack(&queue).unwrap(), if retain { Settled::Unkept } else { Settled::Acked });
            assert_eq!(there(&world), untried(number + 1..=COUNT));
        }
        let left = world.machine.files(Q);
        assert!(!left.iter().any(|path| path.contains("-4-")), "{left:?}");
    }
}

#[test]
fn the_message_in_front_of_a_pack_comes_out_of_it_when_it_fails() {
    type End = fn(Claim, &Queue) -> mq::queue::Result<Settled>;
    let ways: [(&str, End, &str, u32); 4] = [
        ("put back", |claim, queue| claim.nack(queue, Again::Now, Counting::Counted, None), "ready", 1),
        ("put back uncounted", |claim, queue| claim.nack(queue, Again::Now, Counting::Uncounted, None), "ready", 0),
        (
            "put back for later",
            |claim, queue| claim.nack(queue, Again::After(Duration::from_secs(30)), Counting::Counted, None),
            "delayed",
            1,
        ),
        ("dead", |claim, queue| claim.dead(queue, None), "dead", 1),
    ];
    for (way, end, state, attempts) in ways {
        let world = world();
        let (_full, claim) = full(&world);
        let settled = end(claim, &world.open()).unwrap();
        let word = match settled {
            Settled::Ready => "ready",
            Settled::Delayed { due } => {
                assert_eq!(due, world.machine.now().plus(Duration::from_secs(30)));
                "delayed"
            }
            Settled::Dead => "dead",
            other => panic!("{way}: {other:?}"),
        };
        let mut all = vec![(state.to_string(), attempts, "packed 1".to_string())];
        all.extend(untried(2..=COUNT));
        assert_eq!((word, there(&world)), (state, all), "{way}");
    }
}

#[test]
fn where_there_is_still_no_room_it_goes_back_with_its_pack_unless_it_is_to_be_dead() {
    let world = world();
    for counting in [Counting::Counted, Counting::Uncounted] {
        let (queue, claim) = full(&world);
        assert_eq!(claim.nack(&queue, Again::Now, counting, None).unwrap(), Settled::Ready);
        assert_eq!(there(&world), untried(1..=COUNT));
        assert_eq!(world.machine.files(Q).iter().filter(|path| path.starts_with("ready/")).count(), 1);
    }
    let (queue, claim) = full(&world);
    let dead = claim.dead(&queue, None);
    assert!(matches!(&dead, Err(Error::Disk(error)) if error.no_room()), "{dead:?}");
    assert!(world.machine.files(Q).iter().any(|path| path.starts_with("claimed/")), "it is still claimed");
}

#[test]
fn each_message_of_a_pack_ends_in_its_own_way() {
    let later = Duration::from_secs(30);
    let endings = [
        Ending::Acked,
        Ending::Again(Again::Now, Counting::Counted),
        Ending::Again(Again::After(later), Counting::Counted),
        Ending::Dead,
        Ending::Again(Again::Now, Counting::Uncounted),
    ];
    for retain in [false, true] {
        let mut world = world();
        let queue = world.open();
        let claim = claim_whole(&queue, COUNT).unwrap();
        if retain {
            keeping(&mut world);
        }
        let queue = world.open();
        let ids: Vec<Id> = claim.ids().collect();
        // The id right behind its last.
        let beyond = Id::parse(&format!("{:016}", ids[4].to_string().parse::<u64>().unwrap() + 1)).unwrap();
        assert!(ids.iter().all(|id| claim.has(*id)) && !claim.has(beyond));
        let due = world.machine.now().plus(later);
        let settled =
            claim.settle_each(&queue, &mut |id| (endings[ids.iter().position(|other| *other == id).unwrap()], None));
        let how = [Settled::Acked, Settled::Ready, Settled::Delayed { due }, Settled::Dead, Settled::Ready];
        assert_eq!(settled.unwrap(), ids.into_iter().zip(how).collect::<Vec<_>>());
        let all = [("done", 1, 1), ("ready", 1, 2), ("delayed", 1, 3), ("dead", 1, 4), ("ready", 0, 5)];
        let all = all.iter().skip(usize::from(!retain));
        let all: Vec<_> =
            all.map(|(state, n, number)| ((*state).to_string(), *n, format!("packed {number}"))).collect();
        assert_eq!(there(&world), all);
        assert_eq!(queue.stats().unwrap().dead_total, 1);
    }
}

#[test]
fn a_pack_that_was_tried_for_the_last_time_is_dead_but_for_what_is_acknowledged() {
    let mut world = World::empty(PLAIN, 1);
    tried(&mut world);
    let queue = world.open();
    let claim = claim_whole(&queue, COUNT).unwrap();
    let first = claim.id();
    let settled = claim.settle_each(&queue, &mut |id| match id == first {
        true => (Ending::Acked, None),
        false => (Ending::Again(Again::Now, Counting::Counted), None),
    });
    let dead = settled.unwrap().iter().filter(|(_, settled)| *settled == Settled::Dead).count();
    let states: Vec<String> = there(&world).into_iter().map(|(state, ..)| state).collect();
    assert_eq!((dead, states), (4, vec!["dead".to_string(); 4]));
    assert_eq!(queue.stats().unwrap().dead_total, 4);
}

/// More than come out of a pack at once: what is left of it is a smaller one, in which they are found where they were.
#[test]
fn a_message_is_found_in_what_is_left_of_its_pack() {
    const MANY: u32 = 2300;
    let world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    world.machine.stand_still();
    let queue = open(&disk).unwrap();
    let mut batch = queue.batch().unwrap().packing(2, MANY);
    for number in 1..=MANY {
        batch.begin(&Envelope::default()).unwrap();
        batch.write(&body(number)).unwrap();
    }
    let mut ids = Vec::new();
    assert!(batch.publish(|sent| ids.push(sent)).unwrap().is_none());
    let numbers = [1100, 2250, 5, 1000, 1001, 2000, 2001, 2300];
    let places: Vec<_> = numbers.iter().map(|number| place_of(&queue, ids[*number as usize - 1]).unwrap()).collect();
    // The first thousand come out, and the others stay together.
    let first = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&first).unwrap(), body(1));
    for (number, place) in numbers.iter().zip(&places) {
        cancelled(queue.cancel(place, "not needed any more").unwrap(), place, false).unwrap();
        let dead: Vec<String> = there(&world).into_iter().filter(|seen| seen.0 == "dead").map(|seen| seen.2).collect();
        assert!(dead.contains(&format!("packed {number}")), "{number}: {dead:?}");
    }
    assert_eq!(there(&world).len(), MANY as usize);
}
