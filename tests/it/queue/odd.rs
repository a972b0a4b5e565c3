//! Queues that somebody else has had his hands in: moved away, restored from a backup, with things in them that are no
//! messages. An unreadable queue is never an empty one, and one bad entry never stops the line.

use super::judge::fsck;
use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one, due_at, urgent};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Envelope, Error, Found, Queue, Repair, Scout, Settled, Trouble};
use std::path::Path;
use std::time::Duration;

fn world() -> (World, Disk) {
    let world = World::new(PLAIN, 1);
    let disk = world.machine.disk();
    (world, disk)
}

fn path_of(world: &World, body: &[u8]) -> String {
    let survey = Survey::of(&world.machine, Q);
    let seen = survey.messages.iter().find(|seen| seen.body == body).expect("it was sent");
    format!("{Q}/{}", seen.path)
}

fn copy(world: &World, from: &str, to: &str) {
    world.machine.write(to, &world.machine.read(from).expect("a file"));
}

#[test]
fn a_queue_that_was_moved_away_is_neither_empty_nor_are_its_leases_lost() {
    for other_in_its_place in [false, true] {
        let (world, disk) = world();
        let queue = world.open();
        let (receipt, _) = world.receipts[0].clone();
        for _ in 0..2 {
            assert_eq!(claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap(), Settled::Acked);
        }
        let root = disk.open_queue(Path::new("/")).unwrap();
        disk.rename(&root, "q", &root, "away").unwrap();
        if other_in_its_place {
            Queue::create(&disk, Path::new(Q), &world.settings()).unwrap();
        }
        let claimed = queue.claim(&mut Scout::new(), Lease::Live);
        assert!(matches!(claimed, Err(Error::Moved { .. })), "{claimed:?}");
        let away = Queue::open(&disk, Path::new("/away")).unwrap();
        away.redeem(&receipt, None).unwrap().ack(&away).unwrap();
        let redeemed = queue.redeem(&receipt, None);
        assert!(matches!(redeemed, Err(Error::Moved { .. })), "{redeemed:?}");
        assert!(matches!(queue.stats(), Err(Error::Moved { .. })));
    }
}

#[test]
fn a_sender_finishes_a_queue_whose_directories_are_gone() {
    let (mut world, disk) = world();
    let queue = world.open();
    let moved = ["tmp", "ready", "delayed"];
    for name in moved {
        disk.open_queue(Path::new(Q)).and_then(|dir| disk.rename(&dir, name, &dir, format!("{name}.old"))).unwrap();
    }
    let due = world.machine.now().plus(Duration::from_secs(1));
    world.send(&disk, Q, b"after all", urgent(9)).unwrap();
    world.send(&disk, Q, b"later", due_at(due)).unwrap();
    world.send_batch(&disk, &[(b"1", Envelope::default()), (b"2", Envelope::default())]).unwrap();
    assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"after all");
}

#[test]
fn an_id_from_the_future_is_never_given_out_again() {
    let (mut world, disk) = world();
    let ahead = |path: &str| path.replace("/17", "/19").replace("-17", "-19");
    let path = path_of(&world, b"plain 1");
    copy(&world, &path, &ahead(&path));
    world.machine.remove(&path);
    // Nobody has looked at the names since: the id that comes next is taken.
    let id: u64 = ahead(&path).rsplit('/').next().unwrap()[..16].parse().unwrap();
    world.machine.set_clock(mq::time::Time::from_micros(id - 3));
    let before = world.machine.read(ahead(&path));
    for n in 0..4 {
        world.send(&disk, Q, format!("new {n}").as_bytes(), Envelope::default()).unwrap();
    }
    assert_eq!(world.machine.read(ahead(&path)), before);
    world.ledger.let_move();
    let wrong = world.ledger.check(
        &[Survey::of(&world.machine, Q), Survey::of(&world.machine, super::world::OTHER)],
        super::ledger::Since::Kill,
        false,
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_twin_that_becomes_due_stops_no_claim() {
    let (mut world, disk) = world();
    let due = world.machine.now().plus(Duration::from_secs(1));
    world.send(&disk, Q, b"doubled", due_at(due)).unwrap();
    let delayed = path_of(&world, b"doubled");
    let name = delayed.rsplit('/').next().unwrap()[17..].to_string();
    let bucket = name[17..33].to_string();
    copy(&world, &delayed, &format!("{Q}/ready/4/{bucket}/{name}"));
    world.machine.advance(Duration::from_secs(2));
    let queue = world.open();
    for _ in 0..3 {
        assert_eq!(claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap(), Settled::Acked);
    }
}

#[test]
fn a_bucket_that_was_made_anew_is_looked_at() {
    let (mut world, disk) = world();
    let send = |world: &mut World, body: &[u8]| world.send(&disk, Q, body, urgent(9)).unwrap();
    send(&mut world, b"first");
    send(&mut world, b"second");
    let (worker, other) = (world.open(), world.open());
    let mut scout = Scout::new();
    let Found::Claim(first) = worker.claim(&mut scout, Lease::Live).unwrap() else { panic!("nothing there") };
    let second = claim_one(&other, Lease::Live).unwrap();
    world.machine.reboot();
    send(&mut world, b"in a younger bucket");
    // The old bucket is empty: whoever passes by removes it. Then its message comes home.
    claim_one(&other, Lease::Live).unwrap().ack(&other).unwrap();
    second.nack(&other, Again::Now, Counting::Uncounted, None).unwrap();
    scout.woken();
    let Found::Claim(next) = worker.claim(&mut scout, Lease::Live).unwrap() else { panic!("it was not seen") };
    assert_eq!((body_of(&first).unwrap(), body_of(&next).unwrap()), (b"first".to_vec(), b"second".to_vec()));
}

#[test]
fn what_is_no_message_stops_no_claim_and_stays_where_it_is() {
    let (mut world, disk) = world();
    world.send(&disk, Q, b"urgent", urgent(7)).unwrap();
    let (plain, urgent) = (path_of(&world, b"plain 1"), path_of(&world, b"urgent"));
    let dir = urgent.rsplit_once('/').unwrap().0;
    let machine = &world.machine;
    machine.symlink(format!("{dir}/0000000000000001-0000000000000001-7-00000"), &plain);
    machine.socket(format!("{dir}/0000000000000002-0000000000000002-7-00000"));
    machine.mkdir(format!("{dir}/0000000000000003-0000000000000003-7-00000"));
    machine.write(format!("{dir}/README"), b"not a message");
    machine.symlink(format!("{Q}/ready/9"), "/");
    machine.symlink(format!("{Q}/claimed/link"), &plain);
    machine.symlink(format!("{Q}/tmp/aaaaaaaaaaaaaaaaaaaaaaaaaa"), &plain);
    let before = machine.files(Q).len();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), b"urgent");
    claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
    let findings = fsck(&queue, Repair::Mend).unwrap();
    let foreign = findings.iter().filter(|finding| finding.trouble == Trouble::Foreign).count();
    assert_eq!((foreign, findings.len(), world.machine.files(Q).len()), (7, 7, before), "{findings:#?}");
}

#[test]
fn a_damaged_message_is_set_aside_with_the_reason_and_the_next_one_is_claimed() {
    let (mut world, disk) = world();
    for body in [b"flipped bit", b"cut off 123", b"lost header"] {
        world.send(&disk, Q, body, urgent(7)).unwrap();
    }
    let spoil = |body: &[u8], how: &dyn Fn(&mut Vec<u8>)| {
        let path = path_of(&world, body);
        let mut bytes = world.machine.read(&path).unwrap();
        how(&mut bytes);
        world.machine.write(&path, &bytes);
    };
    spoil(b"flipped bit", &|bytes| *bytes.last_mut().unwrap() ^= 1);
    spoil(b"cut off 123", &|bytes| bytes.truncate(bytes.len() - 3));
    spoil(b"lost header", &|bytes| bytes.fill(0));
    for lease in [Lease::Live, Lease::Timed(Duration::from_secs(9))] {
        let world = world.fork();
        let queue = world.open();
        let claim = claim_one(&queue, lease).unwrap();
        assert_eq!(body_of(&claim).unwrap(), b"plain 1");
        let files = world.machine.files(format!("{Q}/damaged"));
        let whys: Vec<&String> = files.iter().filter(|path| path.ends_with(".why")).collect();
        assert_eq!((files.len(), whys.len()), (6, 3), "{files:?}");
        for why in whys {
            let text = world.machine.read(format!("{Q}/damaged/{why}")).unwrap();
            let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert!(text["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{text}");
        }
        drop(claim);
        assert!(matches!(queue.claim(&mut Scout::new(), lease).unwrap(), Found::Claim(_)));
    }
}

/// A queue with one message, and no process.
fn one() -> World {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    world.fork()
}

/// What is put in the place of a message before its claimer has looked again is another one, of which it has no lock.
#[test]
fn what_a_person_puts_in_its_place_is_not_claimed_by_the_lock_of_another() {
    let prepared = one();
    let path = path_of(&prepared, b"1");
    let (disk, tape) = prepared.fork().injected(Plan::Healthy);
    claim_one(&Queue::open(&disk, Path::new(Q)).unwrap(), Lease::Live).unwrap();
    let look = format!("stat_at {}", path.rsplit('/').next().unwrap());
    let looks = tape.trace().lines().position(|step| step.ends_with(&look)).expect("a look") as u64 + 1;
    for n in 1..=looks {
        let world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (machine, path) = (world.machine.clone(), path.clone());
        let disk = Disk::new(steps.meanwhile(n, move || {
            let (bytes, disk) = (machine.read(&path).expect("a message"), machine.disk());
            let (dir, name) = path.rsplit_once('/').expect("a path");
            let (dir, root) = (disk.open_queue(Path::new(dir)).unwrap(), disk.open_queue(Path::new("/")).unwrap());
            disk.rename(&dir, name, &root, "away").unwrap();
            machine.write(&path, &bytes);
        }));
        // Or it finds nothing: what it had listed is gone.
        let claim = Queue::open(&disk, Path::new(Q)).and_then(|queue| claim_one(&queue, Lease::Live));
        world.open().recover().unwrap();
        let held = world.machine.files("/q/claimed").len();
        assert_eq!(held, usize::from(claim.is_ok()), "put there before step {n}:\n{}", tape.trace());
    }
}

/// The directory that it goes into is made anew.
#[test]
fn a_message_is_claimed_although_somebody_removes_the_empty_directory_of_claims() {
    let prepared = one();
    for n in 1.. {
        let world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let disk = Disk::new(steps.meanwhile(n, move || {
            if machine.files("/q/claimed").is_empty() {
                machine.remove("/q/claimed");
            }
        }));
        let claim = Queue::open(&disk, Path::new(Q)).and_then(|queue| claim_one(&queue, Lease::Live));
        assert!(claim.is_ok(), "{claim:?}, removed before step {n}:\n{}", tape.trace());
        if tape.steps() < n {
            break;
        }
    }
}
