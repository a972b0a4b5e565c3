//! Unique keys: stopped at every step of whatever takes, keeps or frees one, a further send of the key is accepted if and only
//! if no message of it stands.

use super::judge::{fsck, mend};
use super::verbs::{VERBS, Verb, ack, first, remove};
use super::world::{Config, PLAIN, Q, World, body_of, claim_one, unexpected};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Cut;
use mq::fs::{Disk, Store};
use mq::queue::name::{Lease, Priority, State};
use mq::queue::{
    Again, Counting, Envelope, Error, Found, OnDuplicate, Published, Queue, Repair, Result, Scout, Settled, Uid,
    Unique, Until,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KEY: &str = "the/key";

/// Urgent, so that it is claimed next.
pub fn keyed(until: Until) -> Envelope {
    let unique = Some(Unique { key: KEY.into(), until });
    Envelope { unique, priority: Priority::new(7), ..Envelope::default() }
}

fn take(world: &mut World, until: Until) {
    let disk = world.machine.disk();
    world.send(&disk, Q, b"first of the key", keyed(until)).unwrap();
}

pub fn taken(world: &mut World) {
    take(world, Until::Settled);
}

pub fn taken_until_claimed(world: &mut World) {
    take(world, Until::Claimed);
}

pub fn taken_and_delayed(world: &mut World) {
    let disk = world.machine.disk();
    let due = Some(world.machine.now().plus(Duration::from_secs(300)));
    world.send(&disk, Q, b"first of the key", Envelope { due, ..keyed(Until::Settled) }).unwrap();
}

pub fn taken_and_failed(world: &mut World) {
    taken(world);
    let queue = world.open();
    claim_one(&queue, Lease::Live).unwrap().nack(&queue, Again::Now, Counting::Counted, None).unwrap();
}

pub fn taken_and_dead(world: &mut World) {
    taken(world);
    let queue = world.open();
    assert_eq!(claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap(), Settled::Dead);
}

pub fn send(world: &mut World, disk: &Disk) -> Result<()> {
    world.send(disk, Q, b"second of the key", keyed(Until::Settled))
}

pub fn send_in_vain(world: &mut World, disk: &Disk) -> Result<()> {
    match send(world, disk) {
        Err(Error::Duplicate { .. }) => Ok(()),
        Ok(()) => Err(unexpected("sent")),
        Err(error) => Err(error),
    }
}

pub fn replace(world: &mut World, disk: &Disk) -> Result<()> {
    replace_with(world, disk, keyed(Until::Settled))
}

pub fn replace_for_later(world: &mut World, disk: &Disk) -> Result<()> {
    let due = Some(world.machine.now().plus(Duration::from_secs(100)));
    replace_with(world, disk, Envelope { due, ..keyed(Until::Settled) })
}

fn replace_with(world: &mut World, disk: &Disk, envelope: Envelope) -> Result<()> {
    world.ledger.sending(b"second of the key");
    let queue = Queue::open(disk, Path::new(Q))?;
    let mut draft = queue.draft(envelope)?;
    draft.write(b"second of the key")?;
    world.ledger.leaving(b"first of the key");
    match draft.publish_unless(OnDuplicate::Replace { max_delay: None })? {
        Published::Replaced(sent) => {
            world.ledger.gone(b"first of the key");
            world.ledger.sent(b"second of the key", Some(sent.uid.as_str()));
            Ok(())
        }
        other => Err(unexpected(&format!("{other:?}"))),
    }
}

pub fn dead(_: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    claim_one(&queue, Lease::Live)?.dead(&queue, None).map(drop)
}

pub fn send_batch(world: &mut World, disk: &Disk) -> Result<()> {
    let other = Envelope { unique: Some(Unique { key: "b".into(), until: Until::Settled }), ..Envelope::default() };
    let plain = Envelope::default();
    let third = keyed(Until::Settled);
    world.send_batch(disk, &[(b"keyed 1", other), (b"keyed 2", plain), (b"keyed 3", third)])
}

pub fn derive(world: &mut World, disk: &Disk) -> Result<()> {
    world.ledger.sending(b"derived");
    let queue = Queue::open(disk, Path::new(Q))?;
    let source = source(&queue)?;
    // Its maker was killed after this, and makes it again.
    for again in [false, true] {
        let mut draft = queue.draft_from(Envelope::default(), &source, 0)?;
        draft.write(b"derived")?;
        match draft.publish_unless(OnDuplicate::Skip)? {
            Published::Sent(sent) if !again => world.ledger.sent(b"derived", Some(sent.uid.as_str())),
            Published::Stands(_) if again => (),
            other => return Err(unexpected(&format!("{other:?}"))),
        }
    }
    Ok(())
}

fn source(queue: &Queue) -> Result<Uid> {
    let (place, _) = first(queue, State::Ready)?;
    Ok(queue.read(&place)?.ok_or_else(|| unexpected("gone"))?.header.uid)
}

/// How many messages have the key: what waits or is held.
fn standing(queue: &Queue, until: Until) -> usize {
    let mut count = 0;
    for state in [State::Ready, State::Delayed, State::Claimed] {
        queue
            .each_place(state, |place, _| {
                let claimed = state == State::Claimed || place.name.attempts.count() > 0;
                let message = queue.read(&place)?.expect("a message");
                let has = message.header.unique().is_some_and(|unique| unique.key == KEY);
                count += usize::from(has && !(until == Until::Claimed && claimed));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
    }
    count
}

/// A further send is accepted if and only if nothing stands, and then one does. Returns how many stood, or came to stand
/// when the sender found them in `tmp/`.
fn hold_to_it(world: &World, what: &str, mended: bool) -> usize {
    let queue = world.open();
    let until = if what.contains("until claimed") { Until::Claimed } else { Until::Settled };
    let before = standing(&queue, until);
    assert!(before <= 1, "{before} of the key stand: {what}\n{}", world.machine.listing("/q"));
    let sent = queue.draft(keyed(until)).unwrap().publish();
    let after = standing(&queue, until);
    // A claimer that was stopped right before its rename has freed the key of a message that waits on.
    let early = usize::from(what.starts_with("claim under a key until claimed"));
    let as_it_should = match &sent {
        Ok(_) => before <= early,
        Err(Error::Duplicate { .. }) => before == 1 || !mended,
        Err(_) => false,
    };
    assert!(
        as_it_should && (1..=1 + early).contains(&after),
        "{before} of the key stood, and {after} after a send that came to {sent:?}: {what}\n{}",
        world.machine.listing("/q")
    );
    if sent.is_ok() { before } else { after }
}

fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().filter(|verb| verb.name.contains("key"))
}

#[test]
fn after_a_kill_at_any_step_the_key_is_taken_if_and_only_if_its_message_stands() {
    for verb in verbs() {
        let mut prepared = World::new(PLAIN, 1);
        (verb.prepare)(&mut prepared);
        for n in 1.. {
            let mut done = false;
            for plan in [Plan::StopBefore(n), Plan::StopAfter(n)] {
                for repaired in [true, false] {
                    let mut world = prepared.fork();
                    let (disk, tape) = world.injected(plan);
                    let outcome = (verb.act)(&mut world, &disk);
                    done |= !tape.struck();
                    if !tape.struck() {
                        outcome.unwrap_or_else(|error| panic!("{} fails by itself: {error}", verb.name));
                    }
                    drop(disk);
                    // Who comes first is fsck, a worker's recovery, or the next sender.
                    if repaired {
                        mend(&world.machine.disk());
                    } else if n.is_multiple_of(2) {
                        world.open().recover().unwrap();
                    }
                    let what = format!("{} stopped by {plan:?}, repaired: {repaired}", verb.name);
                    let stood = hold_to_it(&world, &what, repaired || n.is_multiple_of(2));
                    if verb.name.starts_with("replace") {
                        assert_eq!(stood, 1, "neither the old one nor the new one: {what}");
                    }
                    mend(&world.machine.disk());
                }
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn after_a_failed_step_the_key_is_taken_if_and_only_if_its_message_stands() {
    for verb in verbs() {
        let mut prepared = World::new(PLAIN, 1);
        (verb.prepare)(&mut prepared);
        for n in 1.. {
            let mut done = true;
            for errno in [rustix::io::Errno::IO, rustix::io::Errno::NOSPC] {
                for plan in [Plan::FailOnce(n, errno), Plan::FailFrom(n, errno)] {
                    let mut world = prepared.fork();
                    let (disk, tape) = world.injected(plan);
                    let _ = (verb.act)(&mut world, &disk);
                    done &= !tape.struck();
                    drop(disk);
                    let what = format!("{} with {plan:?}\n{}", verb.name, tape.trace());
                    mend(&world.machine.disk());
                    let stood = hold_to_it(&world, &what, true);
                    if verb.name.starts_with("replace") {
                        assert_eq!(stood, 1, "neither the old one nor the new one: {what}");
                    }
                }
            }
            if done {
                break;
            }
        }
    }
}

type Other = fn(&Queue) -> Result<()>;

/// What another process does whole, while the one under test is between two steps.
const MEANWHILE: [(&str, Other); 5] = [
    ("another sender of the key", |queue| queue.draft(keyed(Until::Settled))?.publish().map(drop)),
    ("a replacing sender", |queue| {
        let draft = queue.draft(keyed(Until::Settled))?;
        draft.publish_unless(OnDuplicate::Replace { max_delay: None }).map(drop)
    }),
    ("a worker", |queue| claim_one(queue, Lease::Live)?.ack(queue).map(drop)),
    ("somebody who removes", |queue| queue.remove(&first(queue, State::Ready)?.0).map(drop)),
    ("fsck", |queue| fsck(queue, Repair::Mend).map(drop)),
];

#[test]
fn whoever_comes_between_two_steps_the_key_is_taken_if_and_only_if_its_message_stands() {
    // Those who come take the key until it is settled; a redriven message comes although it is taken.
    let excepted = |verb: &&Verb| verb.name.contains("until claimed") || verb.name.contains("redrive");
    for verb in verbs().filter(|verb| !excepted(verb)) {
        let mut prepared = World::new(PLAIN, 1);
        (verb.prepare)(&mut prepared);
        for (name, other) in MEANWHILE {
            for n in 1.. {
                let mut world = prepared.fork();
                let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
                let machine = world.machine.clone();
                // What the other one sends.
                world.ledger.sending(b"");
                let steps = steps.meanwhile(n, move || {
                    let queue = Queue::open(&machine.disk(), Path::new(Q)).expect("the queue");
                    match other(&queue) {
                        // Locks are not waited for here, and some find nothing to do.
                        Ok(()) | Err(Error::Busy { .. } | Error::Held { .. }) => (),
                        Err(Error::Duplicate { .. } | Error::Refused { .. }) => (),
                        Err(error) => panic!("the other one: {error}"),
                    }
                });
                let outcome = (verb.act)(&mut world, &Disk::new(steps));
                let what = format!("{} with {name} before step {n}: {outcome:?}\n{}", verb.name, tape.trace());
                world.open().recover().unwrap();
                hold_to_it(&world, &what, true);
                mend(&world.machine.disk());
                if tape.steps() < n {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_a_claimer_has_in_its_hands_is_not_replaced() {
    for n in 1.. {
        let mut world = World::new(PLAIN, 1);
        let disk = world.machine.disk();
        world.send(&disk, Q, b"before", Envelope { priority: Priority::new(8), ..Envelope::default() }).unwrap();
        taken(&mut world);
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
            let draft = queue.draft(keyed(Until::Settled)).unwrap();
            let done = draft.publish_unless(OnDuplicate::Replace { max_delay: None });
            assert!(matches!(done, Ok(_) | Err(Error::Held { .. } | Error::Busy { .. })), "{done:?}");
        });
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        // With its first claim it would look for what a crash has left.
        let mut scout = Scout::new();
        for _ in 0..2 {
            if let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
                claim.ack(&queue).unwrap();
            }
        }
        hold_to_it(&world, &format!("a replacing sender before step {n}\n{}", tape.trace()), true);
        if tape.steps() < n {
            break;
        }
    }
}

#[test]
fn what_was_sent_under_a_key_has_it_also_after_a_power_cut() {
    for store in [Store::Trusted, Store::Other] {
        for (replaces, seed) in (0..40).map(|seed| (seed % 2 == 0, seed)) {
            let mut world = World::new(Config { store, sync: "send" }, seed);
            taken(&mut world);
            if replaces {
                let disk = world.machine.disk();
                replace(&mut world, &disk).unwrap();
            }
            for cut in [Cut::Nothing, Cut::Everything, Cut::Some(seed)] {
                let after = world.cut(cut);
                if seed % 4 < 2 {
                    mend(&after.machine.disk());
                }
                let what = format!("{cut:?} in {store:?}, replaced: {replaces}");
                let queue = after.open();
                let sent = queue.draft(keyed(Until::Settled)).unwrap().publish();
                assert!(matches!(sent, Err(Error::Duplicate { .. })), "{sent:?}: {what}");
                mend(&after.machine.disk());
                assert_eq!(standing(&queue, Until::Settled), 1, "{what}");
            }
        }
    }
}

#[test]
fn a_window_outlives_its_message_and_ends_by_itself() {
    let mut world = World::new(PLAIN, 1);
    let window = Until::For(Duration::from_secs(600));
    take(&mut world, window);
    let disk = world.machine.disk();
    ack(&mut world, &disk).unwrap();
    let queue = world.open();
    let again = || queue.draft(keyed(window)).unwrap().publish_unless(OnDuplicate::Replace { max_delay: None });
    assert!(matches!(again().unwrap(), Published::Stands(_)));
    world.machine.advance(Duration::from_secs(601));
    assert!(matches!(again().unwrap(), Published::Sent(_)));
    assert!(matches!(again().unwrap(), Published::Replaced(_)));
    // Nothing is wrong with it, and a repair takes away what is over.
    world.machine.advance(Duration::from_secs(601));
    assert!(fsck(&queue, Repair::Mend).unwrap().iter().all(|finding| !finding.path.starts_with("/q/unique")));
    assert!(!world.machine.files(Q).iter().any(|path| path.starts_with("unique/") && path.contains("k-")));
}

#[test]
fn replacements_put_a_delay_off_and_not_for_ever() {
    let world = World::new(PLAIN, 1);
    let queue = world.open();
    let send = || {
        let due = Some(world.machine.now().plus(Duration::from_secs(60)));
        let draft = queue.draft(Envelope { due, ..keyed(Until::Settled) }).unwrap();
        draft.publish_unless(OnDuplicate::Replace { max_delay: Some(Duration::from_secs(100)) }).unwrap()
    };
    let began = world.machine.now();
    let Published::Sent(sent) = send() else { panic!("not sent") };
    for _ in 0..2 {
        world.machine.advance(Duration::from_secs(30));
        let Published::Replaced(replaced) = send() else { panic!("not replaced") };
        assert_eq!(replaced.id, sent.id);
    }
    let (place, _) = first(&queue, State::Delayed).unwrap();
    let waits = place.due.unwrap().since(began);
    assert!((Duration::from_secs(99)..=Duration::from_secs(101)).contains(&waits), "{waits:?}");
}

#[test]
fn what_somebody_works_on_is_not_replaced_and_one_more_may_wait() {
    let mut world = World::new(PLAIN, 1);
    taken(&mut world);
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let replaced = queue.draft(keyed(Until::Settled)).unwrap().publish_unless(OnDuplicate::Replace { max_delay: None });
    assert!(matches!(replaced, Err(Error::Held { .. })), "{replaced:?}");
    assert_eq!(body_of(&claim).unwrap(), b"first of the key");
    claim.ack(&queue).unwrap();
    // Until it is claimed: one that runs, and one more.
    queue.draft(keyed(Until::Claimed)).unwrap().publish().unwrap();
    let running = claim_one(&queue, Lease::Live).unwrap();
    queue.draft(keyed(Until::Claimed)).unwrap().publish().unwrap();
    assert!(matches!(queue.draft(keyed(Until::Claimed)).unwrap().publish(), Err(Error::Duplicate { .. })));
    running.ack(&queue).unwrap();
    assert!(matches!(queue.draft(keyed(Until::Claimed)).unwrap().publish(), Err(Error::Duplicate { .. })));
}

#[test]
fn two_hundred_threads_publish_one() {
    let sandbox = crate::support::sandbox::Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let sent = AtomicUsize::new(0);
    let barrier = std::sync::Barrier::new(200);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let queue = Queue::open(&Disk::real(), &sandbox.queue("jobs")).unwrap();
                let draft = queue.draft(keyed(Until::Settled)).unwrap();
                barrier.wait();
                match draft.publish_unless(OnDuplicate::Skip).unwrap() {
                    Published::Sent(_) => sent.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
            });
        }
    });
    assert_eq!(sent.into_inner(), 1);
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines().len(), 1);
}

pub fn rm(world: &mut World, disk: &Disk) -> Result<()> {
    remove(world, disk, State::Ready)
}
