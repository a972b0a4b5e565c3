//! What a recovery says that it did, and what it leaves to others.

use super::packs;
use super::unique;
use super::verbs::{cancelled, place_of};
use super::world::{MAX_ATTEMPTS, PLAIN, Q, World, claim_one, urgent};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::{Id, Lease};
use mq::queue::{Again, Counting, Envelope, Error, Found, Queue, Recovered, Result, Scout};
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn still() -> World {
    let world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world
}

/// The next message is claimed, and the claimer dies.
fn lose(world: &World) -> Id {
    claim_one(&world.open(), Lease::Live).unwrap().id()
}

/// Stops a command at the first moment at which something in `tmp/` begins so.
fn stop_with(world: &mut World, act: impl Fn(&mut World, &Disk) -> Result<()>, ends: &str, begins: &[u8]) {
    let had = world.machine.files(Q).len();
    world.stop_when(act, |world| {
        let files = world.machine.files(Q);
        let there = |path: &String| {
            let contents = world.machine.read(format!("{Q}/{path}")).unwrap_or_default();
            path.starts_with("tmp/") && path.ends_with(ends) && contents.starts_with(begins)
        };
        files.len() > had && files.iter().filter(|path| there(path)).count() > usize::from(world.rubbish > 0)
    });
}

#[test]
fn what_it_did_is_counted() {
    type Leave = fn(&mut World);
    let ways: [(&str, Leave, Recovered); 7] = [
        (
            "sends that were never finished",
            |world| {
                for name in ["a", "b"] {
                    world.machine.write(format!("{Q}/tmp/{}", name.repeat(26)), b"");
                }
            },
            Recovered { deleted: 2, ..Recovered::default() },
        ),
        (
            "batches that were never committed",
            |world| {
                for name in ["a", "b"] {
                    world.machine.mkdir(format!("{Q}/tmp/{}", name.repeat(26)));
                }
            },
            Recovered { deleted: 2, ..Recovered::default() },
        ),
        (
            "claims of which nobody knows",
            |world| {
                for body in [b"1", b"2"] {
                    world.send(&world.machine.disk(), Q, body, Envelope::default()).unwrap();
                }
                // Each claim looks after some others in passing.
                world.claim_timed(&world.machine.disk(), SECOND).unwrap();
                lose(world);
                world.machine.advance(SECOND);
            },
            Recovered { published: 2, ..Recovered::default() },
        ),
        (
            "claims that were the last",
            |world| {
                world.open().configure(|settings| settings.set("max_attempts", "1")).unwrap();
                for body in [b"1", b"2"] {
                    world.send(&world.machine.disk(), Q, body, Envelope::default()).unwrap();
                }
                let queue = world.open();
                let claims = [(); 2].map(|()| claim_one(&queue, Lease::Live).unwrap());
                drop(claims);
            },
            Recovered { ended: 2, ..Recovered::default() },
        ),
        (
            "a pack",
            |world| {
                packs::sent(world);
                packs::claim(world, &world.machine.disk()).unwrap();
            },
            Recovered { published: 1, ..Recovered::default() },
        ),
        (
            "a pack that was claimed for the last time",
            |world| {
                packs::tried(world);
                packs::claim(world, &world.machine.disk()).unwrap();
            },
            Recovered { ended: 1, ..Recovered::default() },
        ),
        (
            "what was claimed and is damaged",
            |world| {
                for body in [b"1", b"2"] {
                    world.send(&world.machine.disk(), Q, body, Envelope::default()).unwrap();
                }
                let queue = world.open();
                let claims = [(); 2].map(|()| claim_one(&queue, Lease::Live).unwrap());
                drop(claims);
                for path in world.machine.files(Q).iter().filter(|path| path.starts_with("claimed/")) {
                    let mut bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
                    let digit = bytes.iter().position(|byte| byte.is_ascii_digit()).unwrap();
                    bytes[digit + 40] ^= 1;
                    world.machine.write(format!("{Q}/{path}"), &bytes);
                }
            },
            Recovered { ended: 2, ..Recovered::default() },
        ),
    ];
    for (way, leave, said) in ways {
        let mut world = still();
        leave(&mut world);
        assert_eq!(world.open().recover().unwrap(), said, "{way}");
        assert_eq!(world.open().recover().unwrap(), Recovered::default(), "{way}: that was all");
    }
}

#[test]
fn a_send_that_was_written_to_its_end_is_counted_as_published() {
    let mut world = still();
    let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| world.send(disk, Q, b"whole", Envelope::default());
    for left in 0..2 {
        world.rubbish = left;
        stop_with(&mut world, act, "", b"{");
    }
    let mut damaged = world.fork();
    assert_eq!(world.open().recover().unwrap(), Recovered { published: 2, ..Recovered::default() });
    for path in world.machine.files(Q).iter().filter(|path| path.starts_with("ready/")) {
        assert!(world.machine.read(format!("{Q}/{path}")).unwrap().ends_with(b"whole"), "{path}");
    }
    // Whole, and with another body than its checksum is of.
    for path in damaged.machine.files(Q).iter().filter(|path| path.starts_with("tmp/")) {
        let path = format!("{Q}/{path}");
        let bytes = damaged.machine.read(&path).unwrap();
        damaged.machine.write(path, &[&bytes[..bytes.len() - 1], b"E"].concat());
    }
    damaged.rubbish = 2;
    assert_eq!(damaged.open().recover().unwrap(), Recovered { ended: 2, ..Recovered::default() });
}

#[test]
fn the_messages_of_a_batch_that_was_committed_are_counted_as_published() {
    let mut world = still();
    let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| {
        world.send_batch(disk, &[(b"1", Envelope::default()), (b"2", urgent(7)), (b"3", Envelope::default())])
    };
    stop_with(&mut world, act, "/commit", b"3\n");
    assert_eq!(world.open().recover().unwrap(), Recovered { published: 3, ..Recovered::default() });
}

/// A power cut before its flush can keep the file that says so and lose what it speaks of.
#[test]
fn a_batch_of_which_a_pack_is_damaged_was_never_committed() {
    let mut world = still();
    let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| packs::send(world, disk, &Envelope::default());
    stop_with(&mut world, act, "/commit", b"5\n");
    assert_eq!(world.fork().open().recover().unwrap(), Recovered { published: 5, ..Recovered::default() });
    let pack = world.machine.files(Q).into_iter().find(|path| path.starts_with("tmp/") && path.contains("-n")).unwrap();
    let pack = format!("{Q}/{pack}");
    let mut bytes = world.machine.read(&pack).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    world.machine.write(pack, &bytes);
    assert_eq!(world.open().recover().unwrap(), Recovered { deleted: 1, ..Recovered::default() });
    assert!(!world.machine.files(Q).iter().any(|path| path.contains("-n")), "{}", world.machine.listing(Q));
}

#[test]
fn a_send_under_a_key_that_is_taken_since_is_counted_as_deleted() {
    let mut world = still();
    let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| unique::send(world, disk);
    stop_with(&mut world, act, "", b"{");
    unique::taken(&mut world);
    assert_eq!(world.open().recover().unwrap(), Recovered { deleted: 1, ..Recovered::default() });
}

/// Its name is another's by the time it is locked: that one is neither published nor deleted in its place.
#[test]
fn a_batch_that_was_moved_away_meanwhile_is_left_where_it_is() {
    let mut world = still();
    let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| packs::send(world, disk, &Envelope::default());
    stop_with(&mut world, act, "/commit", b"5\n");
    let name = world.machine.files(Q).into_iter().find(|path| path.ends_with("/commit")).unwrap();
    let name = name.split('/').nth(1).unwrap().to_string();
    let (disk, tape) = world.fork().injected(Plan::Healthy);
    Queue::open(&disk, Path::new(Q)).unwrap().recover().unwrap();
    let look = format!("stat_at {name}");
    let looks = tape.trace().lines().position(|line| line.ends_with(&look)).expect("a look") as u64 + 1;
    for n in 1..=looks {
        let world = world.fork();
        let (machine, moved) = (world.machine.clone(), name.clone());
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let disk = Disk::new(steps.meanwhile(n, move || {
            let disk = machine.disk();
            let tmp = disk.open_queue(Path::new("/q/tmp")).unwrap();
            disk.rename(&tmp, &moved, &disk.open_queue(Path::new("/")).unwrap(), "away").unwrap();
            machine.mkdir(format!("{Q}/tmp/{moved}"));
        }));
        Queue::open(&disk, Path::new(Q)).unwrap().recover().unwrap();
        let away = world.machine.files("/away");
        assert_eq!(away.len(), 2, "{away:?}, moved before step {n}:\n{}", tape.trace());
    }
}

#[test]
fn a_lease_ends_at_its_end_and_the_next_end_is_told() {
    let mut world = still();
    let disk = world.machine.disk();
    let start = disk.now();
    for (body, lease) in [(b"1", 30), (b"2", 10), (b"3", 20)] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
        world.claim_timed(&disk, lease * SECOND).unwrap();
    }
    let queue = world.open();
    for (at, published, next) in [(1, 0, Some(10)), (10, 1, Some(20)), (19, 0, Some(20)), (30, 2, None)] {
        world.machine.set_clock(start.plus(at * SECOND));
        let next_expiry = next.map(|next: u32| start.plus(next * SECOND));
        let said = Recovered { published, next_expiry, ..Recovered::default() };
        assert_eq!(queue.recover().unwrap(), said, "after {at} s");
    }
}

#[test]
fn of_a_pack_that_was_lost_what_was_cancelled_is_dead_with_the_right_reason() {
    let mut world = still();
    packs::sent(&mut world);
    let queue = world.open();
    let mut scout = Scout::new();
    scout.want(10, 10);
    let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("it was sent") };
    let id = claim.ids().nth(1).unwrap();
    let place = place_of(&queue, id).unwrap();
    let _ = cancelled(queue.cancel(&place, "not needed any more").unwrap(), &place, true);
    drop(claim);
    let recovered = queue.recover().unwrap();
    assert_eq!((recovered.ended, recovered.published), (1, 1));
    let dead = world.machine.files(Q).into_iter().find(|path| path.starts_with("dead/")).expect("the cancelled one");
    let dead = String::from_utf8(world.machine.read(format!("{Q}/{dead}")).unwrap()).unwrap();
    let last = dead.lines().last().unwrap();
    assert!(last.contains(r#""outcome":"cancelled""#) && last.contains("not needed any more"), "{last}");
}

#[test]
fn what_was_lost_and_cancelled_is_dead() {
    let mut world = still();
    let queue = world.open();
    for body in [b"1", b"2"] {
        world.send(&world.machine.disk(), Q, body, Envelope::default()).unwrap();
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let place = place_of(&queue, claim.id()).unwrap();
        cancelled(queue.cancel(&place, "not needed any more").unwrap(), &place, true).unwrap();
        std::mem::forget(claim);
    }
    let world = world.fork();
    assert_eq!(world.open().recover().unwrap(), Recovered { ended: 2, ..Recovered::default() });
    assert_eq!(world.machine.files(Q).iter().filter(|path| path.starts_with("dead/")).count(), 2);
}

/// Its holder put it back and did not see the request: whoever looks after what others left does what it asks for.
#[test]
fn what_was_put_back_although_it_was_cancelled_is_dead() {
    let mut world = still();
    let queue = world.open();
    world.send(&world.machine.disk(), Q, b"1", Envelope::default()).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let place = place_of(&queue, claim.id()).unwrap();
    cancelled(queue.cancel(&place, "not needed any more").unwrap(), &place, true).unwrap();
    claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
    assert_eq!(world.open().recover().unwrap(), Recovered { ended: 1, ..Recovered::default() });
    assert!(world.machine.files(Q).iter().any(|path| path.starts_with("dead/")));
    assert!(queue.cancellations().unwrap().is_empty());
}

/// A claimer that finds what ended while it looked says that there is nothing.
#[test]
fn a_claim_that_ends_what_was_lost_finds_nothing() {
    let mut world = still();
    world.open().configure(|settings| settings.set("max_attempts", "1")).unwrap();
    world.send(&world.machine.disk(), Q, b"1", Envelope::default()).unwrap();
    lose(&world);
    let found = world.open().claim(&mut Scout::new(), Lease::Live).unwrap();
    assert!(matches!(found, Found::Nothing(_)), "{found:?}");
    assert!(world.machine.files(Q).iter().any(|path| path.starts_with("dead/")));
}

#[test]
fn where_nothing_is_to_be_flushed_a_recovery_flushes_nothing() {
    for (sync, flushes) in [("none", false), ("send", true)] {
        let mut world = still();
        world.open().configure(|settings| settings.set("sync", sync)).unwrap();
        let act: fn(&mut World, &Disk) -> Result<()> = |world, disk| world.send(disk, Q, b"1", Envelope::default());
        stop_with(&mut world, act, "", b"{");
        let (disk, tape) = world.injected(Plan::Healthy);
        Queue::open(&disk, Path::new(Q)).unwrap().recover().unwrap();
        assert_eq!(tape.trace().contains("sync"), flushes, "{}", tape.trace());
    }
}

/// The claimer of a message that a recovery took back has no word in it any more.
#[test]
fn who_lost_a_timed_lease_settles_nothing() {
    for ended in [true, false] {
        let mut world = still();
        let disk = world.machine.disk();
        world.send(&disk, Q, b"1", Envelope::default()).unwrap();
        let queue = world.open();
        let claim = claim_one(&queue, Lease::Timed(SECOND)).unwrap();
        assert_eq!(claim.started(), disk.now());
        // As by another process, past the lock that we have.
        let name = world.machine.files(Q).into_iter().find(|path| path.starts_with("claimed/")).unwrap();
        let dir = disk.open_queue(Path::new("/q/claimed")).unwrap();
        let home = disk.open_queue(Path::new(Q)).unwrap();
        disk.rename(&dir, name.strip_prefix("claimed/").unwrap(), &home, "elsewhere").unwrap();
        let settled = match ended {
            true => claim.ack(&queue),
            false => claim.nack(&queue, Again::Now, Counting::Counted, None),
        };
        assert!(matches!(settled, Err(Error::Lost { .. })), "{settled:?}");
    }
}

#[test]
fn whether_a_message_is_dead_is_said_only_after_a_look() {
    let mut world = still();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let name = claim.name().clone();
    assert!(!queue.is_dead(&name).unwrap());
    claim.dead(&queue, None).unwrap();
    assert!(queue.is_dead(&name).unwrap());
    for n in 1.. {
        let (disk, tape) = world.injected(Plan::FailOnce(n, rustix::io::Errno::IO));
        let said = Queue::open(&disk, Path::new(Q)).and_then(|queue| queue.is_dead(&name));
        if !tape.struck() {
            assert!(said.unwrap());
            break;
        }
        assert!(said.is_err(), "{}", tape.trace());
    }
}

#[test]
fn attempts_are_counted_up_to_the_last() {
    let mut world = still();
    world.send(&world.machine.disk(), Q, b"1", Envelope::default()).unwrap();
    for attempt in 1..=MAX_ATTEMPTS {
        lose(&world);
        let recovered = world.open().recover().unwrap();
        let last = attempt == MAX_ATTEMPTS;
        assert_eq!((recovered.published, recovered.ended), (u64::from(!last), u64::from(last)), "attempt {attempt}");
    }
}
