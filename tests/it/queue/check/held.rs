//! What somebody holds is left to its holder, and what was settled between two steps is no trouble.

use super::{DRAFT, Q, copy, key_of_a_message, moved, of, read, spoil_packed, told, tree, world, write};
use crate::queue::judge::fsck;
use crate::queue::packs;
use crate::queue::unique::keyed;
use crate::queue::world::{World, claim_one};
use crate::support::inject::{Injected, Plan};
use mq::fs::{Access, Disk, File};
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Finding, Mended, Queue, Repair, Settled, Trouble, Until};
use std::path::Path;
use std::time::Duration;

/// The lock of a file, by a process of its own.
fn lock(world: &World, path: &str) -> (Disk, File) {
    let disk = world.machine.disk();
    let (dir, name) = path.rsplit_once('/').unwrap();
    let dir = disk.open_queue(&Path::new(Q).join(dir)).unwrap();
    let file = disk.open(&dir, name, Access::Read).unwrap();
    assert!(disk.try_lock(&file).unwrap());
    (disk, file)
}

/// Finds this alone, and leaves everything as it is.
#[track_caller]
fn left(world: &World, trouble: Trouble, path: &str) {
    let before = tree(&world.machine);
    let findings = fsck(&world.open(), Repair::Mend).unwrap();
    assert_eq!(told(&findings), [(trouble, Path::new(Q).join(path).as_path(), &Mended::Left)]);
    assert_eq!(tree(&world.machine), before);
}

#[track_caller]
fn nothing(world: &World) {
    let before = tree(&world.machine);
    for repair in [Repair::Report, Repair::Mend] {
        assert_eq!(fsck(&world.open(), repair).unwrap(), []);
        assert_eq!(tree(&world.machine), before);
    }
}

#[test]
fn a_damaged_message_that_somebody_holds_is_left_to_him() {
    let world = world();
    let path = of(&world, b"two");
    write(&world, &path, b"garbage");
    let _lock = lock(&world, &path);
    left(&world, Trouble::Damaged, &path);
}

#[test]
fn a_damaged_pack_that_somebody_works_on_is_left_to_him() {
    let mut world = world();
    packs::sent(&mut world);
    let queue = world.open();
    let _claim = packs::claim_whole(&queue, 5).unwrap();
    let path = spoil_packed(&world);
    left(&world, Trouble::Damaged, &path);
}

#[test]
fn sends_that_are_at_work_are_no_trouble() {
    let world = world();
    moved(&world, &of(&world, b"two"), DRAFT);
    let _lock = lock(&world, DRAFT);
    let batch = "tmp/bbbbbbbbbbbbbbbbbbbbbbbbbb";
    world.machine.mkdir(format!("{Q}/{batch}/000000"));
    let disk = world.machine.disk();
    let dir = disk.open_queue(&Path::new(Q).join(batch)).unwrap();
    assert!(disk.try_lock_dir(&dir).unwrap());
    nothing(&world);
}

#[test]
fn a_record_that_somebody_holds_is_no_trouble_and_ends_no_repair() {
    let mut world = world();
    let record = key_of_a_message(&mut world);
    // Found only by whoever does not see that it is held.
    write(&world, &record, b"");
    let _lock = lock(&world, &record);
    nothing(&world);
}

#[test]
fn a_key_that_is_taken_for_a_while_is_no_trouble_when_its_message_is_gone() {
    let mut world = world();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"windowed", keyed(Until::For(Duration::from_secs(60)))).unwrap();
    let queue = world.open();
    assert_eq!(claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap(), Settled::Acked);
    nothing(&world);
}

#[test]
fn a_request_to_cancel_stands_as_long_as_somebody_holds_the_message() {
    let world = world();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    write(&world, &format!("cancel/{}", claim.id()), b"{\"asked_at\":\"2025-11-24T16:00:00Z\",\"reason\":\"x\"}\n");
    nothing(&world);
}

#[test]
fn of_two_copies_the_one_that_somebody_holds_is_not_taken_from_him() {
    let world = world();
    let two = of(&world, b"two");
    let dead = two.replace("ready/4/", "dead/").replace("-4-00000", "-4-00003");
    copy(&world, &two, &dead);
    let _lock = lock(&world, &two);
    left(&world, Trouble::Twin, &two);
}

/// Two names of one file have one lock: that its claimed name is held says nothing of the one that it never left.
#[test]
fn of_two_names_of_one_file_the_one_without_attempts_goes_although_the_file_is_held() {
    for (attempts, goes) in [("00000", true), ("00001", false)] {
        let world = world();
        let two = of(&world, b"two");
        let tried = two.replace("-4-00000", &format!("-4-{attempts}"));
        if tried != two {
            moved(&world, &two, &tried);
        }
        let dead = two.replace("ready/4/", "dead/").replace("-4-00000", "-4-00003");
        world.machine.link(format!("{Q}/{tried}"), format!("{Q}/{dead}"));
        let body = read(&world, &dead);
        let _lock = lock(&world, &dead);
        if goes {
            let findings = fsck(&world.open(), Repair::Mend).unwrap();
            let done = Mended::Done("removed this name of it".into());
            assert_eq!(told(&findings), [(Trouble::Twin, Path::new(Q).join(&tried).as_path(), &done)]);
            assert_eq!((world.machine.read(format!("{Q}/{tried}")), read(&world, &dead)), (None, body));
        } else {
            left(&world, Trouble::Twin, &tried);
        }
    }
}

#[test]
fn what_its_holder_settles_under_fscks_eyes_is_no_trouble() {
    let prepared = world();
    let mut settled = 0;
    for n in 1.. {
        let mut world = prepared.fork();
        world.claim_timed(&world.machine.disk(), Duration::from_secs(60)).unwrap();
        world.machine.advance(Duration::from_secs(61));
        let (receipt, _) = world.receipts[0].clone();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
            // Whoever has the lock decides.
            if let Ok(claim) = queue.redeem(&receipt, None) {
                let settled = claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
                assert_eq!(settled, Settled::Ready);
            }
        });
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        let orphans = |finding: &Finding| finding.trouble == Trouble::Orphaned;
        let findings = fsck(&queue, Repair::Mend).unwrap();
        assert!(findings.iter().all(orphans), "before step {n}: {findings:#?}");
        for finding in &findings {
            assert_eq!(finding.mended, Mended::Done("ready again".into()), "before step {n}: {finding:?}");
        }
        settled += usize::from(findings.is_empty());
        assert_eq!(world.machine.files(format!("{Q}/claimed")), [""; 0]);
        if tape.steps() < n {
            break;
        }
    }
    assert!(settled > 1, "always before");
}

#[test]
fn what_is_sent_under_fscks_eyes_has_its_key() {
    let prepared = world();
    // A file that is read without a lock is read in one piece.
    prepared.machine.set_short(false);
    for n in 1.. {
        let world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
            queue.draft(keyed(Until::Settled)).unwrap().publish().unwrap();
        });
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        assert_eq!(fsck(&queue, Repair::Mend).unwrap(), [], "before step {n}");
        if tape.steps() < n {
            break;
        }
    }
}
