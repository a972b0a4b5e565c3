//! When a record is believed, and what becomes of one that is not.

use super::*;
use mq::fs::Access;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sender was killed after it had written its record.
fn left_in_doubt() -> World {
    let mut world = world();
    world.stop_when(super::super::unique::send, |world| {
        records(&world.machine).first().is_some_and(|path| {
            let line = world.machine.read(format!("{Q}/unique/{path}")).unwrap();
            path.ends_with('~') && line.ends_with(b"\n")
        })
    });
    world
}

/// A sender of one more, and whether anything was flushed on the way.
fn one_more(world: &World, until: Until) -> (Result<Sent>, bool) {
    let (disk, tape) = world.injected(Plan::Healthy);
    let sent = send(&Queue::open(&disk, Path::new(Q)).unwrap(), until);
    (sent, tape.trace().contains("sync"))
}

#[test]
fn a_duplicate_is_refused_without_a_flush_and_after_a_boot_from_the_second_on() {
    for until in [Until::Settled, Until::Claimed, WINDOW] {
        let mut world = world();
        send(&world.open(), until).unwrap();
        for rebooted in [false, true] {
            for again in [false, true] {
                let (sent, flushed) = one_more(&world, until);
                assert!(matches!(sent, Err(Error::Duplicate { .. })), "{sent:?}");
                assert_eq!(flushed, rebooted && !again, "{until:?}, rebooted: {rebooted}, again: {again}");
            }
            world.machine.reboot();
        }
        world = world.fork();
        assert_eq!(drain(&world.open()), 1);
    }
}

#[test]
fn a_window_that_is_over_stops_nobody() {
    for rebooted in [false, true] {
        let world = world();
        let queue = world.open();
        send(&queue, WINDOW).unwrap();
        assert_eq!(drain(&queue), 1);
        if rebooted {
            world.machine.reboot();
        }
        world.machine.advance(Duration::from_secs(590));
        refused(&queue);
        world.machine.advance(Duration::from_secs(11));
        send(&queue, WINDOW).unwrap();
        refused(&queue);
    }
}

/// A power cut may leave a record and not what ended its message, or its message.
#[test]
fn a_record_from_before_a_boot_is_believed_only_if_its_message_stands() {
    type Change = fn(&World, &Queue);
    let changes: [(&str, Until, bool, Change); 6] = [
        ("nothing", Until::Settled, true, |_, _| ()),
        ("acknowledged", Until::Settled, false, |_, queue| assert_eq!(drain(queue), 1)),
        ("claimed", Until::Settled, true, |_, queue| drop(claim_one(queue, Lease::Live).unwrap())),
        ("claimed", Until::Claimed, false, |_, queue| {
            claim_one(queue, Lease::Timed(Duration::from_secs(1000))).unwrap();
        }),
        ("tried", Until::Claimed, false, |_, queue| {
            claim_one(queue, Lease::Live).unwrap().nack(queue, Again::Now, Counting::Counted, None).unwrap();
        }),
        ("dead", Until::Settled, false, |_, queue| {
            claim_one(queue, Lease::Live).unwrap().dead(queue, None).unwrap();
        }),
    ];
    for (what, until, taken, change) in changes {
        for doubtful in [false, true] {
            let world = world();
            let queue = world.open();
            send(&queue, until).unwrap();
            let path = record(&world.machine).0;
            let bytes = world.machine.read(&path).unwrap();
            change(&world, &queue);
            // As it was before.
            if records(&world.machine).len() == 1 {
                world.machine.remove(&path);
            }
            match doubtful {
                true => world.machine.write(format!("{path}~"), &bytes),
                false => {
                    world.machine.write(&path, &bytes);
                    world.machine.reboot();
                }
            }
            let sent = send(&queue, until);
            assert_eq!(sent.is_err(), taken, "{what}, doubtful: {doubtful}: {sent:?}");
            refused(&queue);
            assert_eq!(record(&world.machine).0, path);
        }
    }
}

/// A torn one says nothing, and the headers say who has the key.
#[test]
fn a_torn_record_is_as_good_as_its_message() {
    for (stands, later, repaired) in
        [(true, false, false), (true, true, false), (true, true, true), (false, false, true)]
    {
        let world = world();
        let queue = world.open();
        let due = later.then(|| world.machine.now().plus(Duration::from_secs(60)));
        queue.draft(Envelope { due, ..keyed(Until::Settled) }).unwrap().publish().unwrap();
        let path = record(&world.machine).0;
        if !stands {
            let waits = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/")).unwrap();
            world.machine.remove(format!("{Q}/{waits}"));
        }
        world.machine.write(&path, b"");
        if repaired {
            let found = fsck(&queue, Repair::Mend).unwrap();
            assert!(found.iter().any(|finding| finding.path == Path::new(&path)), "{found:?}");
        }
        assert_eq!(send(&queue, Until::Settled).is_err(), stands);
        world.machine.advance(Duration::from_secs(61));
        refused(&queue);
        assert_eq!(drain(&queue), 1);
        assert_eq!(records(&world.machine), [""; 0]);
    }
}

#[test]
fn a_repair_frees_the_key_of_a_message_that_is_not_there() {
    for until in [Until::Settled, Until::Claimed, WINDOW] {
        let world = world();
        let queue = world.open();
        send(&queue, until).unwrap();
        let waits = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/")).unwrap();
        world.machine.remove(format!("{Q}/{waits}"));
        // A window stands without its message.
        let stands = until == WINDOW;
        assert_eq!(fsck(&queue, Repair::Mend).unwrap().is_empty(), stands);
        assert_eq!(fsck(&queue, Repair::Report).unwrap(), []);
        assert_eq!(send(&queue, until).is_err(), stands);
    }
}

#[test]
fn a_repair_publishes_what_a_record_in_doubt_is_for() {
    let world = left_in_doubt();
    let queue = world.open();
    assert!(!fsck(&queue, Repair::Mend).unwrap().is_empty());
    refused(&queue);
    assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"second of the key");
}

/// Whoever has the key after a kill has it until its end, and then it is free.
#[test]
fn after_a_kill_while_one_takes_the_place_of_another_the_key_is_freed_by_the_one_that_stands() {
    for prepare in [taken as fn(&mut World), taken_and_delayed] {
        for draft_is_lost in [false, true] {
            let mut prepared = world();
            prepare(&mut prepared);
            for n in 1.. {
                let mut world = prepared.fork();
                let (disk, tape) = world.injected(Plan::StopBefore(n));
                let _ = replace(&mut world, &disk);
                drop(disk);
                let machine = &world.machine;
                let waits = |path: &String| path.starts_with("ready/") || path.starts_with("delayed/");
                let drafts: Vec<String> = machine
                    .files(Q)
                    .into_iter()
                    .filter(|path| path.starts_with("tmp/") && !path.ends_with('/'))
                    .collect();
                let waiting = machine.files(Q).iter().filter(|path| waits(path) && !path.ends_with('/')).count();
                if draft_is_lost && waiting == 1 {
                    // As if it had never been whole.
                    drafts.iter().for_each(|path| machine.remove(format!("{Q}/{path}")));
                }
                let queue = world.open();
                refused(&queue);
                machine.advance(Duration::from_secs(301));
                assert_eq!(drain(&queue), 1, "stopped before step {n}\n{}", tape.trace());
                assert_eq!(records(machine), [""; 0], "stopped before step {n}\n{}", tape.trace());
                if !tape.struck() {
                    break;
                }
            }
        }
    }
}

/// In the middle of its few calls a sender has its draft locked, and whoever claims or cancels the message that it was to
/// take the place of.
#[test]
fn who_has_not_come_to_the_end_of_a_few_calls_is_waited_for() {
    let mut replacing = world();
    taken(&mut replacing);
    replacing.stop_when(replace, |world| {
        let paths = records(&world.machine);
        paths.len() == 1 && paths[0].ends_with('~')
    });
    for (world, wanted) in [(left_in_doubt(), "tmp/"), (replacing.fork(), "tmp/"), (replacing.fork(), "ready/")] {
        let files = world.machine.files(Q);
        let path = files.iter().find(|path| path.starts_with(wanted) && !path.ends_with('/')).unwrap().clone();
        let (below, name) = path.rsplit_once('/').unwrap();
        let disk = world.machine.disk();
        let dir = disk.open_queue(&Path::new(Q).join(below)).unwrap();
        let file = disk.open(&dir, name, Access::Write).unwrap();
        assert!(disk.try_lock(&file).unwrap());
        let locked = Mutex::new(Some(file));
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (looks, machine, path) = (AtomicU64::new(0), world.machine.clone(), path.clone());
        let steps = steps.watched(move |_| {
            // By then it has looked more than once.
            if looks.fetch_add(1, Ordering::Relaxed) == 250 {
                assert!(machine.files(Q).contains(&path), "{path} was taken out of somebody's hands");
                drop(locked.lock().unwrap().take());
            }
        });
        let sent = send(&Queue::open(&Disk::new(steps), Path::new(Q)).unwrap(), Until::Settled);
        let waited = tape.steps() > 250;
        assert!(matches!(sent, Err(Error::Duplicate { .. })) && waited, "{sent:?}, {wanted}\n{}", tape.trace());
        let claim = claim_one(&world.open(), Lease::Live).unwrap();
        assert_eq!(body_of(&claim).unwrap(), b"second of the key");
        assert_eq!((claim.ack(&world.open()).unwrap(), drain(&world.open())), (Settled::Acked, 0));
        assert_eq!(records(&world.machine), [""; 0]);
    }
}
