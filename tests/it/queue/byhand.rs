//! What a person does to single messages: moving, redriving, removing and cancelling them, and looking at them.

use super::packs;
use super::verbs::{first, place_of};
use super::world::{OTHER, PLAIN, Q, World, claim_one, urgent};
use crate::support::inject::{Injected, Plan};
use crate::support::sandbox::Sandbox;
use mq::fs::{Access, Disk, File};
use mq::queue::name::{Id, Lease, State};
use mq::queue::{
    Again, Cancelled, Counting, Envelope, Error, Moved, Outcome, Place, Queue, Record, Removed, Settled, Unique, Until,
};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Two empty queues.
fn world() -> (World, Queue, Queue) {
    let world = World::empty(PLAIN, 1);
    world.machine.set_short(false);
    let disk = world.machine.disk();
    Queue::create(&disk, Path::new(OTHER), &world.settings()).unwrap();
    let (queue, other) = (world.open(), Queue::open(&disk, Path::new(OTHER)).unwrap());
    (world, queue, other)
}

fn send(queue: &Queue, envelope: Envelope) -> Id {
    queue.draft(envelope).unwrap().publish().unwrap().id
}

fn grouped() -> Envelope {
    Envelope { group: Some("a".into()), ..Envelope::default() }
}

/// The first message of a state.
fn one(queue: &Queue, state: State) -> Place {
    first(queue, state).unwrap().0
}

fn ids(queue: &Queue, state: State) -> Vec<Id> {
    let mut ids = Vec::new();
    let each = |place: Place, _: &_| {
        ids.push(place.id());
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(state, each).unwrap();
    ids
}

fn bury(queue: &Queue) {
    assert_eq!(claim_one(queue, Lease::Live).unwrap().dead(queue, None).unwrap(), Settled::Dead);
}

/// What the redrives of a message say: how many there were.
fn redrives(queue: &Queue, place: &Place) -> Vec<u32> {
    let history = queue.read(place).unwrap().unwrap().history().unwrap();
    let said = history.records.iter().filter_map(|record| match record {
        Record::Redrive(redrive) => Some(redrive.redrives),
        Record::Attempt(_) => None,
    });
    said.collect()
}

/// The steps of a healthy `act` that are wanted, by their numbers.
fn steps(world: &World, wanted: impl Fn(&str) -> bool, act: impl Fn(&Queue)) -> Vec<u64> {
    let (disk, tape) = world.fork().injected(Plan::Healthy);
    act(&Queue::open(&disk, Path::new(Q)).unwrap());
    let trace = tape.trace();
    let lines = trace.lines().filter_map(|line| line.trim_start().split_once(' '));
    lines.filter(|(_, step)| wanted(step)).map(|(number, _)| number.parse().unwrap()).collect()
}

#[test]
fn what_somebody_has_or_is_over_is_not_moved() {
    let (_world, queue, other) = world();
    queue_of_all(&queue);
    for state in State::ALL {
        if ids(&queue, state).is_empty() {
            assert_eq!(state, State::Damaged);
            continue;
        }
        let place = one(&queue, state);
        let (may, moved) = (queue.movable(&place), queue.move_to(&place, &other));
        match state {
            State::Ready | State::Delayed | State::Dead => assert!(may.is_ok() && matches!(moved, Ok(Moved::To(_)))),
            State::Claimed => {
                assert!(matches!((may, moved), (Err(Error::Held { .. }), Err(Error::Held { .. }))));
                assert_eq!(one(&queue, State::Claimed), place);
            }
            State::Done | State::Damaged => {
                assert!(matches!((may, moved), (Err(Error::Refused { .. }), Err(Error::Refused { .. }))));
            }
        }
    }
}

/// One message in each state but `damaged`.
fn queue_of_all(queue: &Queue) {
    let mut keeping = Queue::open(queue.disk(), queue.path()).unwrap();
    keeping.configure(|settings| settings.set("retain", "1d")).unwrap();
    for _ in 0..3 {
        send(&keeping, Envelope::default());
    }
    claim_one(&keeping, Lease::Live).unwrap().ack(&keeping).unwrap();
    bury(&keeping);
    claim_one(&keeping, Lease::Timed(HOUR)).unwrap();
    send(&keeping, Envelope { due: Some(queue.disk().now().plus(HOUR)), ..Envelope::default() });
    send(&keeping, Envelope::default());
}

#[test]
fn what_is_moved_or_redriven_begins_anew_and_says_so_where_it_was_tried() {
    for (failed, buried) in [(false, false), (true, false), (false, true), (true, true)] {
        for elsewhere in [false, true] {
            let (_world, queue, other) = world();
            send(&queue, Envelope::default());
            if failed {
                let claim = claim_one(&queue, Lease::Live).unwrap();
                let record = super::verbs::record(queue.disk(), claim.attempt(), Outcome::Exit);
                claim.nack(&queue, Again::Now, Counting::Counted, record).unwrap();
            }
            if buried {
                bury(&queue);
            }
            let place = one(&queue, if buried { State::Dead } else { State::Ready });
            let to = elsewhere.then_some(&other);
            match (buried, to) {
                (true, to) => assert!(matches!(queue.redrive(&place, to).unwrap(), Moved::To(_))),
                (false, Some(to)) => assert!(matches!(queue.move_to(&place, to).unwrap(), Moved::To(_))),
                (false, None) => continue,
            }
            let to = to.unwrap_or(&queue);
            let place = one(to, State::Ready);
            assert_eq!(place.name.attempts.count(), 0);
            let said: &[u32] = match (failed, buried) {
                (_, true) => &[1],
                (true, false) => &[0],
                (false, false) => &[],
            };
            assert_eq!(redrives(to, &place), said, "failed: {failed}, dead: {buried}");
            assert_eq!(claim_one(to, Lease::Live).unwrap().attempt(), 1);
        }
    }
}

#[test]
fn what_was_killed_on_its_way_says_only_once_that_it_began_anew_or_was_cancelled() {
    let (world, queue, _) = world();
    send(&queue, Envelope::default());
    bury(&queue);
    let redrive = |queue: &Queue| drop(queue.redrive(&one(queue, State::Dead), None));
    let renames = steps(&world, |step| step.starts_with("rename 1"), redrive);
    let (disk, _) = world.injected(Plan::StopBefore(*renames.last().unwrap()));
    redrive(&Queue::open(&disk, Path::new(Q)).unwrap());
    drop(disk);
    redrive(&queue);
    assert_eq!(redrives(&queue, &one(&queue, State::Ready)), [1]);

    let cancel = |queue: &Queue, reason: &str| queue.cancel(&one(queue, State::Ready), reason);
    let renames = steps(&world, |step| step.starts_with("rename 1"), |queue| drop(cancel(queue, "a")));
    for reason in ["a", "b"] {
        let world = world.fork();
        let queue = world.open();
        let (disk, _) = world.injected(Plan::StopBefore(*renames.last().unwrap()));
        assert!(cancel(&Queue::open(&disk, Path::new(Q)).unwrap(), "a").is_err());
        drop(disk);
        assert_eq!(cancel(&queue, reason).unwrap(), Cancelled::Dead);
        let history = queue.read(&one(&queue, State::Dead)).unwrap().unwrap().history().unwrap();
        let said = history.records.iter().filter_map(|record| match record {
            Record::Attempt(attempt) => attempt.reason.as_deref(),
            Record::Redrive(_) => None,
        });
        // Another reason is said as well.
        let expected: &[&str] = if reason == "a" { &["a"] } else { &["a", "b"] };
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_target_on_another_file_system_is_told_as_that() {
    let (world, queue, _) = world();
    send(&queue, Envelope::default());
    let act = |queue: &Queue| {
        let other = Queue::open(queue.disk(), Path::new(OTHER)).unwrap();
        queue.move_to(&one(queue, State::Ready), &other)
    };
    let renames = steps(&world, |step| step.starts_with("rename 1"), |queue| drop(act(queue)));
    let (disk, _) = world.injected(Plan::FailOnce(*renames.last().unwrap(), Errno::XDEV));
    let moved = act(&Queue::open(&disk, Path::new(Q)).unwrap());
    assert!(matches!(moved, Err(Error::Elsewhere { .. })), "{moved:?}");
    assert_eq!(ids(&queue, State::Ready).len(), 1);
}

/// Locks a message, as somebody in the middle of a few calls.
fn lock(world: &World, state: &str) -> File {
    let files = world.machine.files(Q);
    let path = files.iter().find(|path| path.starts_with(state) && !path.ends_with('/')).unwrap();
    let (dir, name) = path.rsplit_once('/').unwrap();
    let disk = world.machine.disk();
    let dir = disk.open_queue(&Path::new(Q).join(dir)).unwrap();
    let file = disk.open(&dir, name, Access::Write).unwrap();
    assert!(disk.try_lock(&file).unwrap());
    file
}

#[test]
fn a_lock_on_a_ready_message_is_waited_for_a_moment_and_no_other() {
    for (state, word, freed, tries) in [
        (State::Ready, "ready", false, 21),
        (State::Ready, "ready", true, 2),
        (State::Delayed, "delayed", false, 1),
        (State::Dead, "dead", false, 1),
    ] {
        let (world, queue, other) = world();
        queue_of_all(&queue);
        let place = one(&queue, state);
        let locked = Mutex::new(Some(lock(&world, word)));
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let tried = AtomicU64::new(0);
        let seen = tape.clone();
        let steps = steps.watched(move |_| {
            let trying = seen.trace().lines().last().is_some_and(|step| step.ends_with("try_lock"));
            if trying && tried.fetch_add(1, Ordering::Relaxed) == 1 && freed {
                drop(locked.lock().unwrap().take());
            }
        });
        let moved = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap().move_to(&place, &other);
        let count = tape.trace().lines().filter(|step| step.ends_with("try_lock")).count();
        match freed {
            true => assert!(matches!(moved, Ok(Moved::To(_))) && count > tries, "{moved:?}\n{}", tape.trace()),
            false => assert!(matches!(moved, Err(Error::Held { .. })) && count == tries, "{moved:?}, {count} tries"),
        }
    }
}

#[test]
fn of_a_group_each_message_can_be_removed_where_it_stands() {
    let (world, queue, _) = world();
    let unique = Some(Unique { key: "k".into(), until: Until::Settled });
    let [dead, first, keyed, last] =
        [grouped(), grouped(), Envelope { unique, ..grouped() }, grouped()].map(|envelope| send(&queue, envelope));
    bury(&queue);
    assert_eq!(ids(&queue, State::Dead), [dead]);
    assert_eq!(queue.remove(&one(&queue, State::Dead)).unwrap(), Removed::Removed);
    let place = one(&queue, State::Ready);
    assert_eq!(place.id(), first);
    let claim = claim_one(&queue, Lease::Timed(HOUR)).unwrap();
    // Who has looked before does not take it out of its holder's hands.
    let removed = queue.remove(&place);
    assert!(matches!(removed, Err(Error::Held { .. })), "{removed:?}");
    assert_eq!(queue.remove(&place_of(&queue, keyed).unwrap()).unwrap(), Removed::Removed);
    assert!(!world.machine.files(Q).iter().any(|path| path.starts_with("unique/") && path.contains("k-")));
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    assert_eq!(ids(&queue, State::Ready), [last]);
}

#[test]
fn buckets_that_were_emptied_by_hand_go_but_the_newest() {
    let (world, queue, _) = world();
    for _ in 0..3 {
        send(&queue, Envelope::default());
        bury(&queue);
        world.machine.reboot();
        send(&queue, urgent(2));
        world.machine.reboot();
    }
    for state in [State::Dead, State::Ready] {
        while let Ok((place, _)) = first(&queue, state) {
            assert_eq!(queue.remove(&place).unwrap(), Removed::Removed);
        }
        let top = if state == State::Dead { "dead/" } else { "ready/2/" };
        let buckets =
            || world.machine.files(Q).iter().filter(|path| path.starts_with(top)).cloned().collect::<Vec<_>>();
        let before = buckets();
        queue.remove_empty_buckets(state);
        assert_eq!((before.len(), buckets()), (3, before[2..].to_vec()));
    }
}

/// Where nobody holds its pack any more, the one is dead and the others come again.
#[test]
fn of_a_pack_that_is_claimed_one_is_cancelled() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    packs::send(&mut world, &disk, &Envelope::default()).unwrap();
    packs::claim(&mut world, &disk).unwrap();
    let queue = world.open();
    let third = ids(&queue, State::Claimed)[2];
    assert_eq!(queue.cancel(&place_of(&queue, third).unwrap(), "not needed").unwrap(), Cancelled::Gone);
    assert_eq!((ids(&queue, State::Dead), ids(&queue, State::Ready).len()), (vec![third], 4));
    assert!(queue.cancellations().unwrap().is_empty());
}

#[test]
fn a_request_is_done_by_recovery_once_and_counted() {
    let (world, queue, _) = world();
    let (waits, over) = (send(&queue, urgent(2)), send(&queue, urgent(7)));
    bury(&queue);
    for id in [waits, over] {
        world.machine.write(format!("{Q}/cancel/{id}"), b"{\"asked_at\":\"\",\"reason\":\"left behind\"}\n");
    }
    let recovered = queue.recover().unwrap();
    assert_eq!(recovered.ended, 1);
    assert!(queue.cancellations().unwrap().is_empty());
    assert_eq!(ids(&queue, State::Dead).len(), 2);
    assert_eq!(queue.recover().unwrap().ended, 0);
}

#[test]
fn a_message_with_a_second_name_is_not_cancelled() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let queue = Queue::open(&Disk::real(), &sandbox.queue("jobs")).unwrap();
    let place = one(&queue, State::Ready);
    let bucket = place.name.bucket.to_string();
    let path = sandbox.queue("jobs").join("ready/4").join(bucket).join(&place.file_name);
    std::fs::hard_link(&path, sandbox.dir().join("another")).unwrap();
    let cancelled = queue.cancel(&place, "not needed");
    assert!(matches!(cancelled, Err(Error::Unknown { .. })), "{cancelled:?}");
    assert!(path.exists(), "{id}");
}

#[test]
fn who_holds_a_message_is_told() {
    let (_world, queue, _) = world();
    for _ in 0..2 {
        send(&queue, Envelope::default());
    }
    let held = claim_one(&queue, Lease::Live).unwrap();
    let place = place_of(&queue, held.id()).unwrap();
    let holder = queue.holder(&place).unwrap();
    assert!(holder.is_some_and(|pid| pid > 1), "{holder:?}");
    assert!(matches!(queue.remove(&place), Err(Error::Held { by, .. }) if by == holder));
    drop(held);
    assert_eq!(queue.holder(&place).unwrap(), None);
    assert_eq!(queue.holder(&one(&queue, State::Ready)).unwrap(), None);
}
