//! Groups in whose directories there is more than their messages, and groups that have no ticket, or more than one.

use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one, drain, places};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::{Access, Disk};
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Envelope, Error, Found, Queue, Removed, Scout, Settled, Unique, Until};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn in_group(key: &str) -> Envelope {
    Envelope { group: Some(key.into()), ..Envelope::default() }
}

fn world(bodies: &[&str]) -> World {
    let mut world = World::empty(PLAIN, 1);
    bodies.iter().for_each(|body| send(&mut world, body, in_group("a")));
    world
}

fn send(world: &mut World, body: &str, envelope: Envelope) {
    world.send(&world.machine.disk(), Q, body.as_bytes(), envelope).unwrap();
}

fn path_of(world: &World, body: &str) -> String {
    let survey = Survey::of(&world.machine, Q);
    let seen = survey.messages.iter().find(|seen| seen.body == body.as_bytes()).expect("it was sent");
    format!("{Q}/{}", seen.path)
}

fn rename(world: &World, from: &str, to: &str) {
    world.machine.write(to, &world.machine.read(from).expect("a file"));
    world.machine.remove(from);
}

/// Moves a message of a group into the bucket below its directory, where those of a large group stand.
fn below(world: &World, body: &str) {
    let from = path_of(world, body);
    let (dir, name) = from.rsplit_once('/').unwrap();
    rename(world, &from, &format!("{dir}/{}/{name}", &name[17..33]));
}

fn tickets(machine: &Machine) -> Vec<String> {
    machine.files(Q).into_iter().filter(|path| path.contains("-t") || path.ends_with("/ticket")).collect()
}

fn ticket(world: &World) -> String {
    let tickets = tickets(&world.machine);
    assert_eq!(tickets.len(), 1, "{tickets:?}");
    format!("{Q}/{}", tickets[0])
}

fn nothing(queue: &Queue) {
    let found = queue.claim(&mut Scout::new(), Lease::Live).unwrap();
    assert!(matches!(found, Found::Nothing(_)), "{found:?}");
}

#[test]
fn what_is_foreign_in_a_groups_directory_is_nobodys_turn_and_stays() {
    let mut world = world(&["1", "2", "3"]);
    send(&mut world, "of another group", in_group("b"));
    let (first, other) = (path_of(&world, "1"), path_of(&world, "of another group"));
    let (dir, name) = first.rsplit_once('/').unwrap();
    let (mark, other) = (&name[name.len() - 16..], &other[other.len() - 16..]);
    // Whole messages, all of them older than the others.
    let bytes = world.machine.read(&first).unwrap();
    let older = |by: u64, rest: &str| {
        let id = name[..16].parse::<u64>().unwrap() - by;
        format!("{id:016}-{id:016}-4-{rest}")
    };
    let mut foreign = [
        older(1, "00000"),
        older(2, &format!("00001-g{mark}")),
        older(3, &format!("00000-g{other}")),
        older(4, &format!("00000-t{mark}")),
        older(5, "00000-n000005"),
        format!("0/{}", older(6, &format!("00000-g{mark}"))),
        format!("{}/x", older(7, &format!("00000-g{mark}"))),
        "README".to_string(),
    ];
    foreign.iter().for_each(|name| world.machine.write(format!("{dir}/{name}"), &bytes));
    let queue = world.open();
    assert_eq!((places(&queue, State::Ready).unwrap().len(), queue.stats().unwrap().ready), (4, 4));
    let mut waiting: Vec<u64> = queue.group_stats().unwrap().into_iter().map(|group| group.waiting).collect();
    waiting.sort_unstable();
    assert_eq!(waiting, [1, 3]);
    assert_eq!(drain(&queue).into_iter().filter(|body| body.len() == 1).collect::<Vec<_>>(), ["1", "2", "3"]);
    foreign.sort_unstable();
    let mut left = world.machine.files(dir);
    left.retain(|name| name != "ticket");
    assert_eq!(left, foreign);
    assert!(world.machine.files(format!("{Q}/tmp")).is_empty());
    // It is in nobody's way.
    send(&mut world, "4", in_group("a"));
    assert_eq!(drain(&queue), ["4"]);
}

#[test]
fn a_group_that_ends_takes_what_is_empty_with_it() {
    let mut world = world(&["1"]);
    let first = path_of(&world, "1");
    let dir = first.rsplit_once('/').unwrap().0;
    world.machine.mkdir(format!("{dir}/1000000000000000"));
    world.machine.mkdir(format!("{dir}/empty"));
    let queue = world.open();
    assert_eq!(drain(&queue), ["1"]);
    assert_eq!(world.machine.files(format!("{Q}/groups")), [""; 0]);
    send(&mut world, "2", in_group("a"));
    assert_eq!(drain(&queue), ["2"]);
    // Where there is anything in it, it stays, and so does its directory.
    let mut world = self::world(&["1"]);
    let first = path_of(&world, "1");
    let dir = first.rsplit_once('/').unwrap().0;
    world.machine.write(format!("{dir}/theirs/file"), b"somebody's");
    let queue = world.open();
    assert_eq!(drain(&queue), ["1"]);
    assert_eq!(world.machine.files(dir), ["theirs/file", "ticket"]);
    send(&mut world, "2", in_group("a"));
    assert_eq!(drain(&queue), ["2"]);
}

#[test]
fn the_first_of_a_group_is_the_oldest_wherever_it_stands() {
    let mut world = world(&["1", "2", "3"]);
    send(&mut world, "4", in_group("a"));
    below(&world, "2");
    world.machine.stand_still();
    let queue = world.open();
    let first = |queue: &Queue| {
        let [group] = &queue.group_stats().unwrap()[..] else { panic!("one group") };
        (group.waiting, group.oldest_age)
    };
    let age = |body: &str| {
        let path = path_of(&world, body);
        let id = path.rsplit('/').next().unwrap()[..16].parse().unwrap();
        world.machine.now().since(mq::time::Time::from_micros(id))
    };
    assert_eq!(first(&queue), (4, age("1")));
    let second = age("2");
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), b"1");
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    assert_eq!(first(&queue), (3, second));
    assert_eq!(drain(&queue), ["2", "3", "4"]);
}

/// A power cut can take the ticket of a group away, and one can come back that was there before.
#[test]
fn each_group_has_one_ticket_after_a_start_of_the_machine() {
    for sent in [false, true] {
        let mut world = world(&["1", "2"]);
        let ticket = ticket(&world);
        world.machine.remove(&ticket);
        let (disk, _) = world.injected(Plan::Healthy);
        nothing(&Queue::open(&disk, Path::new(Q)).unwrap());
        world.machine.reboot();
        if sent {
            send(&mut world, "3", in_group("a"));
            assert_eq!(Survey::of(&world.machine, Q).wrong, [""; 0]);
        }
        assert_eq!(drain(&world.open()), if sent { vec!["1", "2", "3"] } else { vec!["1", "2"] });
        assert_eq!(tickets(&world.machine), [""; 0]);
    }
    // Nothing is wrong after a start as a rule.
    let mut world = world(&["1"]);
    send(&mut world, "2", in_group("b"));
    world.machine.reboot();
    let queue = world.open();
    assert_eq!((drain(&queue).len(), tickets(&world.machine).len()), (2, 0));
    // Nor with one that is claimed for a receipt.
    let mut world = self::world(&["1", "2"]);
    let receipt = claim_one(&world.open(), Lease::Timed(MINUTE)).unwrap().receipt(Q);
    world.machine.reboot();
    send(&mut world, "3", in_group("a"));
    assert_eq!(tickets(&world.machine).len(), 1);
    assert_eq!(world.open().redeem(&receipt, None).unwrap().ack(&world.open()).unwrap(), Settled::Acked);
    assert_eq!(drain(&world.open()), ["2", "3"]);
    // A group in which there is nothing more goes then.
    let mut world = self::world(&["1"]);
    let (ticket, first) = (self::ticket(&world), path_of(&world, "1"));
    world.machine.remove(ticket);
    world.machine.remove(first);
    world.machine.reboot();
    send(&mut world, "2", in_group("b"));
    assert_eq!(world.machine.files(format!("{Q}/groups")).len(), 1);
}

#[test]
fn a_ticket_too_many_goes_unless_somebody_works_by_it() {
    type Spare = fn(&str) -> String;
    let beside: Spare = |ticket| ticket.replace("-00000-t", "-00001-t");
    let dead: Spare = |ticket| ticket.replace("/ready/4/", "/dead/");
    let retry: Spare = |ticket| {
        let name = ticket.rsplit('/').next().unwrap();
        format!("{Q}/delayed/1999999980000000/1999999980000000-{name}")
    };
    for spare in [beside, dead, retry] {
        for claimed in [false, true] {
            let mut world = world(&["1", "2"]);
            let ticket = ticket(&world);
            let claim = claimed.then(|| claim_one(&world.open(), Lease::Live).unwrap());
            let spare = spare(&ticket);
            world.machine.write(&spare, b"");
            world.machine.reboot();
            // Locked, it is left until nobody has it any more.
            let disk = world.machine.disk();
            let (dir, name) = spare.rsplit_once('/').unwrap();
            let lock = disk.open(&disk.open_queue(Path::new(dir)).unwrap(), name, Access::Write).unwrap();
            if claimed {
                assert!(disk.try_lock(&lock).unwrap());
                send(&mut world, "3", in_group("a"));
                assert_eq!(tickets(&world.machine).len(), 2);
                world.machine.reboot();
            }
            drop(lock);
            send(&mut world, "4", in_group("a"));
            let survey = Survey::of(&world.machine, Q);
            assert_eq!(survey.wrong, [""; 0], "{spare}");
            let queue = world.open();
            if let Some(claim) = claim {
                assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
            }
        }
    }
}

#[test]
fn what_is_claimed_for_a_receipt_is_not_removed_where_it_waits() {
    let mut world = world(&["1", "2"]);
    let queue = world.open();
    let [first, second] = &places(&queue, State::Ready).unwrap()[..] else { panic!("two messages") };
    // Listed before, it is removed after somebody has claimed it, and ended its process.
    let receipt = claim_one(&queue, Lease::Timed(MINUTE)).unwrap().receipt(Q);
    let removed = queue.remove(first);
    assert!(matches!(removed, Err(Error::Held { .. })), "{removed:?}");
    assert_eq!(queue.remove(second).unwrap(), Removed::Removed);
    assert_eq!(queue.redeem(&receipt, None).unwrap().ack(&queue).unwrap(), Settled::Acked);
    assert_eq!(queue.remove(first).unwrap(), Removed::Gone);
    send(&mut world, "3", in_group("a"));
    assert_eq!(drain(&queue), ["3"]);
}

#[test]
fn a_key_until_claimed_is_free_with_the_claim_in_a_group_too() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let mut envelope = in_group("a");
    envelope.unique = Some(Unique { key: "k".into(), until: Until::Claimed });
    world.send(&disk, Q, b"1", envelope.clone()).unwrap();
    let taken = world.send(&disk, Q, b"2", envelope.clone());
    assert!(matches!(taken, Err(Error::Duplicate { .. })), "{taken:?}");
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    world.send(&disk, Q, b"3", envelope).unwrap();
    // It was its first claim: a later one frees nothing.
    claim.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), b"1");
    let mut envelope = in_group("a");
    envelope.unique = Some(Unique { key: "k".into(), until: Until::Claimed });
    let taken = world.send(&disk, Q, b"4", envelope);
    assert!(matches!(taken, Err(Error::Duplicate { .. })), "{taken:?}");
}

/// When each file in `claimed/` was touched last.
fn touched(disk: &Disk) -> BTreeMap<std::ffi::OsString, mq::time::Time> {
    let dir = disk.open_queue(Path::new("/q/claimed")).unwrap();
    let names = disk.names(&dir).unwrap();
    names.into_iter().filter_map(|(name, _)| Some((name.clone(), disk.stat_at(&dir, name).ok()?.modified))).collect()
}

#[test]
fn who_loses_a_group_to_another_claimer_leaves_its_lease_alone() {
    let prepared = world(&["1", "2"]);
    for n in 1.. {
        let world = prepared.fork();
        let before = Arc::new(Mutex::new(BTreeMap::new()));
        let (told, other) = (before.clone(), world.machine.disk());
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&other, Path::new(Q)).unwrap();
            // Busy where the one that is interrupted has the lock.
            if let Found::Claim(_) = queue.claim(&mut Scout::new(), Lease::Timed(MINUTE)).unwrap() {
                *told.lock().unwrap() = touched(&other);
            }
        });
        let disk = Disk::new(steps);
        let queue = Queue::open(&disk, Path::new(Q)).unwrap();
        queue.claim(&mut Scout::new(), Lease::Timed(MINUTE)).unwrap();
        let after = touched(&world.machine.disk());
        for (name, when) in before.lock().unwrap().iter() {
            assert_eq!(after.get(name), Some(when), "{} before step {n}:\n{}", name.display(), tape.trace());
        }
        if tape.steps() < n {
            break;
        }
    }
}

/// Whatever fails when a group ends: what is sent to it afterwards is delivered.
#[test]
fn a_group_whose_end_failed_goes_on_with_its_next_message() {
    let prepared = world(&["1"]);
    for n in 1.. {
        let mut world = prepared.fork();
        let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::IO));
        let acked = Queue::open(&disk, Path::new(Q)).and_then(|queue| claim_one(&queue, Lease::Live)?.ack(&queue));
        drop(disk);
        send(&mut world, "2", in_group("a"));
        let came = drain(&world.open());
        let expected: &[&str] = if acked.is_ok() { &["2"] } else { &["1", "2"] };
        // Of an error after the message has gone nobody can tell.
        assert!(came == expected || acked.is_err() && came == ["2"], "{came:?} with {acked:?}:\n{}", tape.trace());
        assert_eq!(tickets(&world.machine), [""; 0], "{}", tape.trace());
        if !tape.struck() {
            break;
        }
    }
}

/// Whatever fails in a send to a group: what was sent is delivered.
#[test]
fn what_was_sent_to_a_group_is_delivered_whatever_failed() {
    for bodies in [&[][..], &["1"]] {
        let prepared = world(bodies);
        for n in 1.. {
            let mut world = prepared.fork();
            let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::IO));
            let sent = world.send(&disk, Q, b"2", in_group("a"));
            drop(disk);
            let came = drain(&world.open());
            let whole = [bodies, &["2"]].concat();
            assert!(came == whole || sent.is_err() && came == bodies, "{came:?} with {sent:?}:\n{}", tape.trace());
            if !tape.struck() {
                break;
            }
        }
    }
}
