//! What must not go wrong when another process comes between two steps.

use super::{MINUTE, behind, open, prepared, record, seen, survey, verb, world};
use crate::queue::world::{Q, World, claim_one, urgent};
use crate::support::inject::{Injected, Plan, Tape};
use mq::fs::{Access, Disk};
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Envelope, Error, Found, Moved, Place, Queue, Scout, Settled};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A process that is interrupted just before its step `n`, for as long as `other` takes.
fn interrupted(world: &World, n: u64, other: impl FnOnce(&Disk) + Send + 'static) -> (Disk, Tape) {
    let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
    let disk = world.machine.disk();
    (Disk::new(steps.meanwhile(n, move || other(&disk))), tape)
}

#[test]
fn a_seq_that_was_replaced_meanwhile_is_not_written_to() {
    let prepared = world();
    behind(&prepared);
    let (disk, tape) = interrupted(&prepared.fork(), u64::MAX, |_| ());
    prepared.fork().send(&disk, Q, b"new", Envelope::default()).unwrap();
    let looks = tape.trace().lines().position(|line| line.ends_with("stat_at seq")).expect("a look") as u64 + 1;
    for n in 1..=looks {
        let mut world = prepared.fork();
        let (machine, other) = (world.machine.clone(), Arc::new(Mutex::new(None)));
        let told = other.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            machine.remove(format!("{Q}/seq"));
            let queue = open(disk);
            let send = || queue.draft(urgent(9)).and_then(mq::queue::Draft::publish).unwrap();
            let (_, sent) = (send(), send());
            assert_eq!(claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap(), Settled::Acked);
            *told.lock().unwrap() = Some(sent.id.to_string());
        });
        world.send(&disk, Q, b"new", Envelope::default()).unwrap();
        let (mine, other) = (seen(&world, b"new").id, other.lock().unwrap().take().expect("it was sent"));
        assert!(mine > other, "{mine} after {other}, with the other before step {n}:\n{}", tape.trace());
    }
}

#[test]
fn recovery_leaves_alone_what_is_published_under_its_hands() {
    let mut prepared = world();
    let whole = |world: &World| {
        let paths = world.machine.files(format!("{Q}/tmp"));
        paths
            .into_iter()
            .find(|name| world.machine.read(format!("{Q}/tmp/{name}")).is_some_and(|bytes| bytes.starts_with(b"{")))
    };
    let send = |world: &mut World, disk: &Disk| world.send(disk, Q, b"new", Envelope::default());
    prepared.stop_when(send, |world| whole(world).is_some());
    let draft = whole(&prepared).unwrap();
    let plain = seen(&prepared, b"plain 2").path;
    let (bucket, name) = plain.rsplit_once('/').unwrap();
    let name = format!("{:016}{}", name[..16].parse::<u64>().unwrap() + 1, &name[16..]);
    for n in 1.. {
        let world = prepared.fork();
        let sender = world.machine.disk();
        let tmp = sender.open_queue(Path::new("/q/tmp")).unwrap();
        let file = sender.open(&tmp, &draft, Access::Write).unwrap();
        assert!(sender.try_lock(&file).unwrap());
        let (from, to, new) = (draft.clone(), format!("{Q}/{bucket}"), name.clone());
        let (disk, tape) = interrupted(&world, n, move |disk| {
            let ready = disk.open_queue(Path::new(&to)).unwrap();
            disk.rename(&tmp, from, &ready, new).unwrap();
            drop(file);
        });
        open(&disk).recover().unwrap_or_else(|error| panic!("{error}, published before step {n}:\n{}", tape.trace()));
        if tape.steps() < n {
            break;
        }
        assert_eq!(seen(&world, b"new").path, format!("{bucket}/{name}"));
        assert_eq!(survey(&world).damaged, Vec::<String>::new());
    }
}

/// When each file in `claimed/` was touched last.
fn touched(disk: &Disk) -> BTreeMap<std::ffi::OsString, mq::time::Time> {
    let dir = disk.open_queue(Path::new("/q/claimed")).unwrap();
    let names = disk.names(&dir).unwrap();
    names.into_iter().filter_map(|(name, _)| Some((name.clone(), disk.stat_at(&dir, name).ok()?.modified))).collect()
}

#[test]
fn who_loses_a_message_to_another_claimer_leaves_its_lease_alone() {
    let prepared = world();
    for n in 1.. {
        let world = prepared.fork();
        let before = Arc::new(Mutex::new(BTreeMap::new()));
        let told = before.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            // Busy where the one that is interrupted has the lock.
            if let Found::Claim(_) = open(disk).claim(&mut Scout::new(), Lease::Timed(MINUTE)).unwrap() {
                *told.lock().unwrap() = touched(disk);
            }
        });
        claim_one(&open(&disk), Lease::Timed(MINUTE)).unwrap();
        let after = touched(&world.machine.disk());
        for (name, when) in before.lock().unwrap().iter() {
            assert_eq!(after.get(name), Some(when), "{} before step {n}:\n{}", name.display(), tape.trace());
        }
        if tape.steps() < n {
            break;
        }
    }
}

#[test]
fn who_finds_a_message_locked_for_a_moment_looks_again() {
    let prepared = world();
    let queue = prepared.open();
    claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
    let path = seen(&prepared, b"plain 2").path;
    let (bucket, name) = path.rsplit_once('/').unwrap();
    // More steps than one look has, and fewer than all.
    for n in 1..100 {
        let world = prepared.fork();
        let other = world.machine.disk();
        let dir = other.open_queue(Path::new(&format!("{Q}/{bucket}"))).unwrap();
        let file = other.open(&dir, name, Access::Write).unwrap();
        assert!(other.try_lock(&file).unwrap());
        let (disk, tape) = interrupted(&world, n, move |_| drop(file));
        let found = open(&disk).claim(&mut Scout::new(), Lease::Live).unwrap();
        assert!(matches!(found, Found::Claim(_)), "{found:?}, free before step {n}:\n{}", tape.trace());
    }
}

#[test]
fn nobody_takes_a_message_while_it_is_settled() {
    type End = fn(&Queue, mq::queue::Claim) -> mq::queue::Result<Settled>;
    let ends: [(&str, End); 4] = [
        ("ack", |queue, claim| claim.ack(queue)),
        ("nack", |queue, claim| {
            let record = record(claim.attempt(), queue.disk());
            claim.nack(queue, Again::Now, Counting::Counted, record)
        }),
        ("nack for later", |queue, claim| claim.nack(queue, Again::After(MINUTE), Counting::Counted, None)),
        ("dead", |queue, claim| {
            let record = record(claim.attempt(), queue.disk());
            claim.dead(queue, record)
        }),
    ];
    let prepared = world();
    for (name, end) in ends {
        for n in 1.. {
            let world = prepared.fork();
            let (disk, tape) = interrupted(&world, n, |disk| {
                open(disk).recover().unwrap();
            });
            let queue = open(&disk);
            let settled = end(&queue, claim_one(&queue, Lease::Live).unwrap()).unwrap();
            assert_ne!(settled, Settled::Already, "{name}, taken before step {n}:\n{}", tape.trace());
            if tape.steps() < n {
                break;
            }
        }
    }
}

#[test]
fn a_message_comes_home_whoever_removes_its_bucket_meanwhile() {
    let prepared = prepared(verb("nack into an old bucket"));
    for n in 1.. {
        let world = prepared.fork();
        let (disk, tape) = interrupted(&world, n, |disk| {
            let queue = open(disk);
            if let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live).unwrap() {
                assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
            }
        });
        let queue = open(&disk);
        let claim = claim_one(&queue, Lease::Live).unwrap();
        let settled = claim.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
        assert_eq!(settled, Settled::Ready, "another one passed before step {n}:\n{}", tape.trace());
        if tape.steps() < n {
            break;
        }
    }
}

#[test]
fn an_extend_says_that_it_holds_only_while_it_does() {
    let prepared = prepared(verb("extend"));
    let (receipt, _) = prepared.receipts.last().cloned().expect("a receipt");
    for n in 1.. {
        let world = prepared.fork();
        let (theirs, acked) = (receipt.clone(), Arc::new(Mutex::new(false)));
        let told = acked.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            let queue = open(disk);
            *told.lock().unwrap() = queue.redeem(&theirs, None).and_then(|claim| claim.ack(&queue)).is_ok();
        });
        let queue = open(&disk);
        let extended = queue.redeem(&receipt, None).and_then(|claim| claim.extend(&queue, None));
        let lost = match extended {
            Ok(()) => false,
            Err(Error::Lost { .. }) => true,
            Err(other) => panic!("{other}"),
        };
        if tape.steps() < n {
            break;
        }
        assert_eq!(lost, *acked.lock().unwrap(), "settled before step {n}:\n{}", tape.trace());
    }
}

#[test]
fn an_extension_at_the_last_moment_counts() {
    let prepared = prepared(verb("extend"));
    let (receipt, _) = prepared.receipts.last().cloned().expect("a receipt");
    prepared.machine.advance(2 * MINUTE);
    for n in 1.. {
        let world = prepared.fork();
        let (theirs, extended) = (receipt.clone(), Arc::new(Mutex::new(false)));
        let told = extended.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            let queue = open(disk);
            *told.lock().unwrap() = queue.redeem(&theirs, None).and_then(|claim| claim.extend(&queue, None)).is_ok();
        });
        open(&disk).recover().unwrap();
        if tape.steps() < n {
            break;
        }
        let holds = world.open().redeem(&receipt, None).is_ok();
        assert_eq!(holds, *extended.lock().unwrap(), "extended before step {n}:\n{}", tape.trace());
    }
}

#[test]
fn of_two_redrives_one_leaves_its_record() {
    let dead = |disk: &Disk| -> Place {
        let mut found = None;
        let first = |place, _: &mq::fs::Dir| {
            found = Some(place);
            Ok(ControlFlow::Break(()))
        };
        open(disk).each_place(State::Dead, first).unwrap();
        found.expect("a dead message")
    };
    let prepared = prepared(verb("redrive"));
    for n in 1.. {
        let world = prepared.fork();
        let place = dead(&world.machine.disk());
        let (theirs, done) = (place.clone(), Arc::new(Mutex::new(false)));
        let told = done.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            let queue = open(disk);
            if !matches!(queue.redrive(&theirs, None), Ok(Moved::To(_))) {
                return;
            }
            // Tried once more, so that its history goes on.
            let claim = claim_one(&queue, Lease::Live).unwrap();
            let record = record(claim.attempt(), disk);
            claim.nack(&queue, Again::Now, Counting::Counted, record).unwrap();
            *told.lock().unwrap() = true;
        });
        let moved = open(&disk).redrive(&place, None).unwrap();
        let done = *done.lock().unwrap();
        if tape.steps() < n {
            break;
        }
        assert_eq!(moved == Moved::Gone, done, "before step {n}");
        let records = seen(&world, b"dead 1").history;
        let redrives = records.iter().filter(|record| record.get("redriven_at").is_some()).count();
        assert_eq!(redrives, 1, "another one before step {n}: {records:?}\n{}", tape.trace());
    }
}

#[test]
fn who_pauses_and_sees_nothing_claimed_knows_that_nobody_works() {
    let prepared = world();
    let held = open(&prepared.machine.disk()).in_flight().unwrap();
    for n in 1.. {
        let world = prepared.fork();
        let seen = Arc::new(Mutex::new(None));
        let told = seen.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            let queue = open(disk);
            queue.pause(None).unwrap();
            *told.lock().unwrap() = Some(queue.in_flight().unwrap());
        });
        let queue = open(&disk);
        let mut kept = None;
        if queue.paused().unwrap().is_none()
            && let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live).unwrap()
        {
            let attempt = claim.attempt();
            kept = queue.unless_paused(claim).unwrap();
            let next = claim_one(&queue, Lease::Live).unwrap().attempt();
            assert!(kept.is_some() || next == attempt, "it was counted:\n{}", tape.trace());
        }
        let Some(seen) = seen.lock().unwrap().take() else { break };
        assert!(kept.is_none() || seen > held, "paused before step {n}, and the claim not seen:\n{}", tape.trace());
    }
}

#[test]
fn who_passes_over_names_that_others_took_finds_the_one_they_left() {
    let mut prepared = World::empty(super::PLAIN, 1);
    let disk = prepared.machine.disk();
    let bodies = ["0", "1", "2", "3", "4", "5"].map(|body| (body.as_bytes(), Envelope::default()));
    prepared.send_batch(&disk, &bodies).unwrap();
    let path = seen(&prepared, b"3").path;
    for n in 1.. {
        let world = prepared.fork();
        let path = path.clone();
        let (disk, tape) = interrupted(&world, n, move |disk| {
            // One is ready all the time, between others that are gone when the interrupted one has listed all of them: it
            // has passed over this one when it finds the next gone.
            let (bucket, name) = path.rsplit_once('/').unwrap();
            let dir = disk.open_queue(Path::new(&format!("{Q}/{bucket}"))).unwrap();
            let left = disk.open(&dir, name, Access::Write).unwrap();
            if !disk.try_lock(&left).unwrap() {
                return;
            }
            let queue = open(disk);
            let mut scout = Scout::new();
            while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
                claim.ack(&queue).unwrap();
            }
        });
        let found = open(&disk).claim(&mut Scout::new(), Lease::Live).unwrap();
        assert!(matches!(found, Found::Claim(_)), "{found:?}, with the others before step {n}:\n{}", tape.trace());
        if tape.steps() < n {
            break;
        }
    }
}
