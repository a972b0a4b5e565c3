//! What is ended in passing: messages of a group that have expired, and keys whose time is over.

use super::survey::Survey;
use super::verbs::{cancelled, place_of};
use super::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::Plan;
use mq::queue::name::{Lease, State};
use mq::queue::{
    Again, Cancelled, Counting, Envelope, Found, Moved, Outcome, Place, Queue, Record, Scout, Settled, Unique, Until,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Three messages of one group, of which the second expires after a minute: or the first, if `first`.
fn group(settings: &[(&str, &str)], expires: usize) -> World {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world.open().configure(|all| settings.iter().try_for_each(|(key, value)| all.set(key, value))).unwrap();
    for (at, body) in [b"1", b"2", b"3"].iter().enumerate() {
        let ttl = (at == expires).then_some(MINUTE);
        let envelope = Envelope { group: Some("a".into()), ttl, ..Envelope::default() };
        world.send(&world.machine.disk(), Q, *body, envelope).unwrap();
    }
    world
}

/// Claims and acknowledges all that can be had.
fn drain(world: &World) -> Vec<String> {
    let (queue, mut scout, mut bodies) = (world.open(), Scout::new(), Vec::new());
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        bodies.push(String::from_utf8(body_of(&claim).unwrap()).unwrap());
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    }
    bodies
}

/// The attempts of each message that is dead.
fn dead(world: &World) -> Vec<(String, u32)> {
    let survey = Survey::of(&world.machine, Q);
    assert_eq!(survey.wrong, [""; 0]);
    let dead = survey.messages.into_iter().filter(|seen| seen.state == "dead");
    dead.map(|seen| (String::from_utf8(seen.body).unwrap(), seen.attempts)).collect()
}

#[test]
fn an_expired_message_of_a_group_lets_the_next_one_come() {
    for expires in [0, 1] {
        for (on_expire, left) in [("drop", 0), ("dead", 1)] {
            for tried in [false, true] {
                let world = group(&[("on_expire", on_expire), ("group_on_dead", "continue")], expires);
                if tried {
                    let queue = world.open();
                    let claim = claim_one(&queue, Lease::Live).unwrap();
                    claim.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
                }
                world.machine.advance(2 * MINUTE);
                let alive = ["1", "2", "3"].into_iter().enumerate().filter(|(at, _)| *at != expires);
                assert_eq!(drain(&world), alive.map(|(_, body)| body.to_string()).collect::<Vec<_>>());
                let dead = dead(&world);
                assert_eq!(dead.len(), left, "{on_expire}: {dead:?}");
                // Only of the first it was the turn.
                let attempts = u32::from(tried && expires == 0);
                assert!(dead.iter().all(|(_, tries)| *tries == attempts), "{dead:?}");
            }
        }
    }
}

#[test]
fn where_a_dead_letter_holds_its_group_an_expired_one_does() {
    for (on_expire, held) in [("dead", true), ("drop", false)] {
        let world = group(&[("on_expire", on_expire), ("group_on_dead", "hold")], 0);
        world.machine.advance(2 * MINUTE);
        let came = drain(&world);
        assert_eq!(came.is_empty(), held, "{on_expire}: {came:?}");
        if !held {
            continue;
        }
        let queue = world.open();
        let mut places = Vec::new();
        let each = |place: Place, _: &_| {
            places.push(place);
            Ok(ControlFlow::Continue(()))
        };
        queue.each_place(State::Dead, each).unwrap();
        assert_eq!(places.len(), 1);
        // Sent round again by a person, it is delivered, and its group goes on.
        assert!(matches!(queue.redrive(&places[0], None).unwrap(), Moved::To(_)));
        assert_eq!(drain(&world), ["1", "2", "3"]);
    }
}

/// Its turn is in `delayed/`, and it stands in its group.
#[test]
fn a_message_of_a_group_that_waits_for_a_retry_can_be_cancelled() {
    // Whoever cancels it lets its group go on, whatever a dead letter does.
    for on_dead in ["continue", "hold"] {
        let world = group(&[("group_on_dead", on_dead)], 9);
        let queue = world.open();
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let id = claim.id();
        claim.nack(&queue, Again::After(60 * MINUTE), Counting::Counted, None).unwrap();
        assert_eq!(drain(&world), [""; 0], "the others wait for it");
        let place = place_of(&queue, id).unwrap();
        assert_eq!(place.state, State::Delayed);
        cancelled(queue.cancel(&place, "not needed any more").unwrap(), &place, false).unwrap();
        assert_eq!(dead(&world), [("1".to_string(), 1)]);
        let dead = place_of(&queue, id).unwrap();
        let history = queue.read(&dead).unwrap().unwrap().history().unwrap();
        let last = history.records.last().unwrap();
        let Record::Attempt(last) = last else { panic!("{last:?}") };
        assert_eq!((last.outcome, last.reason.as_deref()), (Outcome::Cancelled, Some("not needed any more")));
        assert_eq!(drain(&world), ["2", "3"], "{on_dead}");
        assert_eq!(queue.stats().unwrap().dead_total, 1);
        // It is not there any more to be cancelled again.
        assert!(!matches!(queue.cancel(&place, "again"), Ok(Cancelled::Dead)));
    }
}

/// A key that is taken for an hour leaves a record, and those who send take some away.
#[test]
fn records_of_keys_whose_time_is_over_go_in_passing() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let records = |world: &World| world.machine.files(Q).iter().filter(|path| path.starts_with("unique/")).count();
    let send = |world: &mut World, key: String| {
        let until = Until::For(Duration::from_secs(3600));
        let unique = Some(Unique { key: key.clone(), until });
        world.send(&disk, Q, key.as_bytes(), Envelope { unique, ..Envelope::default() }).unwrap();
    };
    for number in 0..100 {
        send(&mut world, format!("{number} is old"));
    }
    assert_eq!(records(&world), 100);
    world.machine.advance(Duration::from_secs(1800));
    for number in 0..300 {
        send(&mut world, format!("{number} is new"));
    }
    assert_eq!(records(&world), 400, "none of these times is over");
    world.machine.advance(Duration::from_secs(1801));
    for number in 0..1000 {
        send(&mut world, format!("{number} is the newest"));
    }
    // A few, now and then: whoever sends has not come to clean up.
    let left = records(&world);
    assert!((1340..1399).contains(&left), "{left}");
}

/// Many share a directory, and its first ones last for ever.
#[test]
fn no_record_whose_time_is_over_is_behind_others_for_ever() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let now = world.machine.now().micros();
    let record = |until: &str| {
        format!(
            "{{\"key\":\"k\",\"until\":\"{until}\",\"uid\":\"u\",\"name\":\"n\",\"draft\":\"\",\
             \"first_us\":{now},\"taken_us\":{now},\"boot\":\"b\"}}\n"
        )
    };
    let names: Vec<String> = (0..24).map(|number| format!("k-{number}")).collect();
    let plant = |shard: u8, name: &str, until| {
        world.machine.write(format!("{Q}/unique/{shard:02x}/{name}"), record(until).as_bytes());
    };
    names.iter().for_each(|name| plant(0, name, "1000d"));
    // In the order in which they are listed.
    let mut names = Vec::new();
    let dir = disk.open_queue(&Path::new(Q).join("unique/00")).unwrap();
    disk.list(&dir, |name, _| {
        names.push(name.to_str().unwrap().to_string());
        ControlFlow::Continue(())
    })
    .unwrap();
    for shard in 0..64 {
        names.iter().enumerate().for_each(|(at, name)| plant(shard, name, if at < 16 { "1000d" } else { "1m" }));
    }
    let machine = world.machine.clone();
    let left = |names: &[String]| {
        let files = machine.files(Q);
        let of = |path: &&String| {
            names.iter().any(|name| path.starts_with("unique/") && path.ends_with(&format!("/{name}")))
        };
        files.iter().filter(of).count()
    };
    assert_eq!((left(&names[..16]), left(&names[16..])), (64 * 16, 64 * 8));
    machine.advance(2 * MINUTE);
    for number in 0..400 {
        let unique = Some(Unique { key: format!("{number} is new"), until: Until::Settled });
        world.send(&disk, Q, b"", Envelope { unique, ..Envelope::default() }).unwrap();
    }
    assert_eq!(left(&names[..16]), 64 * 16, "their time is not over");
    assert!(left(&names[16..]) < 64 * 8);
}

/// With `sync = all` what is claimed, extended, put back or acknowledged stays so after a power cut.
#[test]
fn each_step_of_a_message_is_flushed_where_all_are_to_be() {
    for (sync, flushes) in [("all", true), ("send", false), ("none", false)] {
        for key in [None, Some("a".to_string())] {
            let mut world = World::empty(PLAIN, 1);
            world.open().configure(|all| all.set("sync", sync)).unwrap();
            for body in [b"1", b"2"] {
                world
                    .send(&world.machine.disk(), Q, body, Envelope { group: key.clone(), ..Envelope::default() })
                    .unwrap();
            }
            let (disk, tape) = world.injected(Plan::Healthy);
            let queue = Queue::open(&disk, Path::new(Q)).unwrap();
            let synced = |what: &str| {
                let count = tape.trace().lines().filter(|step| step.contains("sync")).count();
                assert_eq!(count > 0, flushes, "{what} with {sync}:\n{}", tape.trace());
                count
            };
            let claim = claim_one(&queue, Lease::Timed(MINUTE)).unwrap();
            let claimed = synced("claim");
            let receipt = claim.receipt(Q);
            claim.extend(&queue, None).unwrap();
            let extended = synced("extend");
            queue.redeem(&receipt, None).unwrap().nack(&queue, Again::Now, Counting::Counted, None).unwrap();
            let put_back = synced("nack");
            claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
            let acked = synced("ack");
            assert!(!flushes || claimed < extended && extended < put_back && put_back < acked, "{}", tape.trace());
        }
    }
}

/// A power cut can undo one of two renames. What a group has lost by that the first claim after it mends, and none before: there
/// a group without a ticket is one that somebody is at work on.
#[test]
fn a_group_that_lost_its_turn_in_a_power_cut_goes_on_with_the_first_claim() {
    let world = group(&[], usize::MAX);
    let ticket = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/")).expect("a ticket");
    world.machine.remove(format!("{Q}/{ticket}"));
    let (disk, tape) = world.injected(Plan::Healthy);
    let found = Queue::open(&disk, Path::new(Q)).unwrap().claim(&mut Scout::new(), Lease::Live).unwrap();
    assert!(matches!(found, Found::Nothing(_)), "{found:?}");
    assert!(!tape.trace().contains(" lock"), "{}", tape.trace());
    world.machine.reboot();
    assert_eq!(drain(&world), ["1", "2", "3"]);
}

/// What has expired counts as dead, also when it is dead no more.
#[test]
fn an_expired_message_that_became_a_dead_letter_is_counted_as_one() {
    let world = group(&[("on_expire", "dead"), ("group_on_dead", "continue")], 0);
    world.machine.advance(2 * MINUTE);
    assert_eq!(drain(&world), ["2", "3"]);
    let queue = world.open();
    let mut dead = Vec::new();
    let each = |place: Place, _: &_| {
        dead.push(place);
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(State::Dead, each).unwrap();
    assert_eq!(queue.remove(&dead[0]).unwrap(), mq::queue::Removed::Removed);
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dead, stats.dead_total), (0, 1));
}
