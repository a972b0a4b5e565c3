//! The oracle: after whatever happened, new processes mend the queues and empty them, and everything is held against the
//! ledger.

use super::ledger::Since;
use super::survey::Survey;
use super::world::{Bystander, NEW, OTHER, Promise, Q, World, body_of};
use mq::fs::Disk;
use mq::queue::name::{Grouped, Lease, State};
use mq::queue::{Error, Finding, Found, Moved, Place, Queue, Repair, Result, Scout, Settled};
use std::collections::HashSet;
use std::path::Path;

/// Who comes first after the accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// `fsck --repair`.
    Fsck,
    /// A worker, which recovers in passing.
    Worker,
}

/// Who comes first, after what, in which world: most steps only look, and what is left before one and after it is the same.
#[derive(Default)]
pub struct Judged(HashSet<(u64, Since, First)>);

impl Judged {
    /// [`judge`], for a world that is unlike all before it.
    pub fn judge(&mut self, world: &mut World, bystander: Option<Bystander<'_>>, since: Since, first: First) {
        if self.0.insert((world.mark(), since, first)) {
            judge(world, bystander, since, first);
        }
    }
}

/// Judges a world whose processes have ended, a bystander aside. Panics with what is wrong.
pub fn judge(world: &mut World, bystander: Option<Bystander<'_>>, since: Since, first: First) {
    let disk = world.machine.disk();
    promise(world, &disk);
    let queues = world.queues();
    if first == First::Fsck {
        mend_all(&disk, queues);
        let surveys = survey(world);
        none(&world.ledger.check(&surveys, since, bystander.is_some()));
        let damaged: Vec<&String> = surveys.iter().flat_map(|survey| &survey.damaged).collect();
        let allowed = world.rubbish..=world.rubbish + world.ledger.unsure();
        assert!(allowed.contains(&damaged.len()), "{allowed:?} may be set aside: {damaged:?}");
    }
    world.ledger.let_move();
    drain(world, &disk, since);
    world.settle_held();
    if let Some(bystander) = bystander {
        bystander.finish(&mut world.ledger);
    }
    settle_receipts(world, &disk, since);
    // Whatever is scheduled or leased comes back by then.
    for _ in 0..2 {
        world.machine.advance(std::time::Duration::from_secs(7200));
        drain(world, &disk, since);
    }
    released(&disk);
    drain(world, &disk, since);
    mend_all(&disk, queues);
    let surveys = survey(world);
    none(&world.ledger.check(&surveys, since, false));
    let left: Vec<&str> = surveys.iter().flat_map(|s| &s.messages).map(|seen| seen.path.as_str()).collect();
    // What is kept where it should not be the ledger has told.
    assert!(left.iter().all(|path| path.starts_with("dead/") || path.starts_with("done/")), "not emptied: {left:?}");
}

/// The dead letters that hold their groups are sent round again, and their groups go on.
fn released(disk: &Disk) {
    for path in [Q, OTHER] {
        let queue = Queue::open(disk, Path::new(path)).expect("the queue");
        let mut held = Vec::new();
        let each = |place: Place, _: &_| {
            if matches!(place.name.group, Some(Grouped::Ticket(_))) {
                held.push(place);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        };
        queue.each_place(State::Dead, each).expect("a look at the dead");
        for place in held {
            assert!(matches!(queue.redrive(&place, None).expect("a redrive"), Moved::To(_)));
        }
    }
}

fn promise(world: &World, disk: &Disk) {
    let queue = Queue::open(disk, Path::new(Q)).expect("the queue");
    let paused = queue.paused().expect("a look for a pause").is_some();
    match world.promised {
        Some(Promise::Paused) => assert!(paused, "the queue is not paused any more"),
        Some(Promise::Resumed) => assert!(!paused, "the queue is paused again"),
        Some(Promise::Configured) => assert_eq!(queue.settings().lease().as_secs(), 77, "the setting is gone"),
        Some(Promise::Created) => {
            Queue::open(disk, Path::new(NEW)).expect("the new queue");
        }
        None => (),
    }
    // Whatever a stopped `create` has left, the next one finishes.
    if disk.open_queue(Path::new(NEW)).is_err_and(|error| error.missing()) {
        return;
    }
    match Queue::open(disk, Path::new(NEW)) {
        Ok(_) | Err(Error::NoQueue { .. }) => (),
        Err(error) => panic!("a half-made queue: {error}"),
    }
    let (new, _) = Queue::create(disk, Path::new(NEW), &world.settings()).expect("a queue made whole");
    fsck(&new, Repair::Mend).expect("a repair");
    assert_eq!(fsck(&new, Repair::Report).expect("a look"), []);
}

/// `fsck --repair`, and then a look that must find nothing.
pub fn mend(disk: &Disk) {
    mend_all(disk, &[Q, OTHER]);
}

fn mend_all(disk: &Disk, queues: &[&str]) {
    for path in queues {
        let queue = Queue::open(disk, Path::new(path)).expect("the queue");
        fsck(&queue, Repair::Mend).expect("a repair");
        let findings = fsck(&queue, Repair::Report).expect("a look after the repair");
        assert!(findings.is_empty(), "found after the repair: {findings:#?}");
    }
}

pub fn fsck(queue: &Queue, repair: Repair) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    queue.fsck(repair, &mut |finding| findings.push(finding))?;
    Ok(findings)
}

fn survey(world: &World) -> Vec<Survey> {
    [Q, OTHER].map(|path| Survey::of(&world.machine, path)).into()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether there is nothing in a queue that could come out of it.
fn is_drained(world: &World, queue: &str) -> bool {
    let over = |path: &String| {
        path.ends_with('/')
            || !path.contains('/')
            || ["dead/", "done/", "damaged/"].iter().any(|dir| path.starts_with(dir))
    };
    world.machine.files(queue).iter().all(over)
}

/// Claims and acknowledges all that can be had now.
fn drain(world: &mut World, disk: &Disk, since: Since) {
    for path in [Q, OTHER] {
        if is_drained(world, path) {
            continue;
        }
        let queue = Queue::open(disk, Path::new(path)).expect("the queue");
        let mut scout = Scout::new();
        while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).expect("a claim") {
            let body = body_of(&claim).expect("a whole body");
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(!(world.is_held() && body == b"held"), "what a living process holds was delivered");
            let promised = world.leased.get(&body).is_some_and(|until| *until > world.machine.now());
            assert!(!promised || since == Since::Cut, "{text} was delivered during another's lease");
            world.ledger.drained(&body, since).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(claim.ack(&queue).expect("an ack"), Settled::Acked);
        }
    }
}

/// Whoever has a receipt and was told that it holds can settle with it.
fn settle_receipts(world: &mut World, disk: &Disk, since: Since) {
    let queue = Queue::open(disk, Path::new(Q)).expect("the queue");
    for (receipt, body) in std::mem::take(&mut world.receipts) {
        match queue.redeem(&receipt, None).and_then(|claim| claim.ack(&queue)) {
            Ok(Settled::Acked) => world.ledger.gone(&body),
            Err(Error::Lost { .. }) if since == Since::Cut => (),
            other => panic!("{}: settled with its receipt: {other:?}", String::from_utf8_lossy(&body)),
        }
    }
}
