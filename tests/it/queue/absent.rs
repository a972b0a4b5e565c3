//! What others remove, make or replace between any two steps: what mq makes by itself is made anew, and a race is no error.

use super::bounds::step_of;
use super::judge::fsck;
use super::limits::set;
use super::swallowed::header;
use super::world::{LEASE, PLAIN, Q, World, claim_one, due_at};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Envelope, Error, Queue, Repair, Result, Settings, Settled};
use rustix::io::Errno;
use std::path::Path;

/// Whoever passes by removes directories in which nothing is.
pub fn tidy(machine: &Machine) {
    let removable = |path: &String| {
        let top = ["ready/", "delayed/", "dead/", "memory/"].into_iter().find(|top| path.starts_with(top));
        path.ends_with('/') && top.is_some_and(|top| path.len() > top.len())
    };
    while let Some(path) = machine.files(Q).into_iter().find(removable) {
        machine.remove(format!("{Q}/{}", path.trim_end_matches('/')));
    }
}

/// What is there before, what is done, and what others do meanwhile.
struct Case(&'static str, fn(&mut World), fn(&World, &Queue) -> Result<()>, &'static [fn(&Machine)]);

const CASES: &[Case] = &[
    Case("a send", |_| (), |_, queue| send(queue, Envelope::default()), &[tidy, sender]),
    Case("a delayed send", |_| (), |_, queue| send(queue, due_at(queue.disk().now().plus(LEASE))), &[tidy, later]),
    Case("a message is put back", claimed, |_, queue| put_back(queue), &[tidy]),
    Case("a completion is remembered", claimed, remember, &[tidy, rememberer]),
    Case("a claim of so many", in_flight, |_, queue| claim_one(queue, Lease::Live).map(drop), &[claimer]),
    Case("a lease is made longer", leased, extend, &[claimer]),
    Case("a look for a pause", paused, |_, queue| queue.paused().map(drop), &[resumer]),
    Case("a pause", |_| (), |_, queue| queue.pause(None), &[mender]),
    Case("another creation", |_| (), |_, queue| create(queue.disk()), &[creator]),
];

fn send(queue: &Queue, envelope: Envelope) -> Result<()> {
    queue.draft(envelope)?.publish().map(drop)
}

fn open(machine: &Machine) -> Queue {
    Queue::open(&machine.disk(), Path::new(Q)).unwrap()
}

/// Others may find a lock taken; that is all.
fn may_be_busy<T>(done: Result<T>) {
    if let Err(error) = done {
        assert!(matches!(error, Error::Busy { .. }), "{error}");
    }
}

fn sender(machine: &Machine) {
    may_be_busy(send(&open(machine), Envelope::default()));
}

fn later(machine: &Machine) {
    may_be_busy(send(&open(machine), due_at(machine.now().plus(LEASE))));
}

fn claimer(machine: &Machine) {
    may_be_busy(claim_one(&open(machine), Lease::Timed(LEASE)));
}

fn resumer(machine: &Machine) {
    open(machine).resume().unwrap();
}

fn mender(machine: &Machine) {
    may_be_busy(fsck(&open(machine), Repair::Mend));
}

fn creator(machine: &Machine) {
    create(&machine.disk()).unwrap();
}

fn claimed(world: &mut World) {
    let disk = world.machine.disk();
    world.send(&disk, Q, b"claimed", Envelope::default()).unwrap();
}

fn in_flight(world: &mut World) {
    let disk = world.machine.disk();
    for body in [b"1", b"2", b"3"] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
    }
    set(&mut world.open(), &[("max_in_flight", "5"), ("rate", "1000000/ms")]);
}

fn paused(world: &mut World) {
    world.open().pause(None).unwrap();
}

const NEW: &str = "/new";

fn create(disk: &Disk) -> Result<()> {
    Queue::create(disk, Path::new(NEW), &Settings::default()).map(drop)
}

fn put_back(queue: &Queue) -> Result<()> {
    let settled = claim_one(queue, Lease::Live)?.nack(queue, Again::After(LEASE), Counting::Counted, None)?;
    assert!(matches!(settled, Settled::Delayed { .. }), "{settled:?}");
    Ok(())
}

fn remember(_: &World, queue: &Queue) -> Result<()> {
    let header = header(queue);
    queue.remember(&header)?;
    assert!(queue.finished(&header)?);
    Ok(())
}

fn rememberer(machine: &Machine) {
    let queue = open(machine);
    queue.remember(&header(&queue)).unwrap();
}

/// The first message is claimed already, before there was a limit.
fn leased(world: &mut World) {
    claimed(world);
    world.claim_timed(&world.machine.disk(), LEASE).unwrap();
    in_flight(world);
}

fn extend(world: &World, queue: &Queue) -> Result<()> {
    queue.redeem(&world.receipts[0].0, None)?.extend(queue, Some(2 * LEASE))
}

#[test]
fn whoever_comes_between_any_two_steps_is_no_error() {
    for Case(name, prepare, act, others) in CASES {
        let mut prepared = World::empty(PLAIN, 1);
        prepare(&mut prepared);
        for (which, other) in others.iter().enumerate() {
            for n in 1.. {
                let world = prepared.fork();
                let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
                let (machine, other) = (world.machine.clone(), *other);
                let steps = steps.meanwhile(n, move || other(&machine));
                let done = Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|queue| act(&world, &queue));
                let trace = tape.trace();
                assert!(
                    matches!(done, Ok(()) | Err(Error::Busy { .. })),
                    "{name}: {done:?}, with {which} before step {n}:\n{trace}"
                );
                if tape.steps() < n {
                    break;
                }
            }
        }
    }
}

/// Somebody else gives the reserve up at the same time.
#[test]
fn a_reserve_that_is_gone_already_is_given_up_as_well() {
    let mut prepared = World::empty(PLAIN, 1);
    claimed(&mut prepared);
    super::packs::reserved(&mut prepared);
    let done = |n, plan| {
        let world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), plan);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            for file in machine.files("/q/reserve").iter().filter(|file| file.len() == 1) {
                machine.remove(format!("/q/reserve/{file}"));
            }
        });
        let done = Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|queue| put_back(&queue));
        (done, tape, world)
    };
    let full = step_of(&done(0, Plan::Healthy).1.trace(), "make_dir");
    for n in full.. {
        let (done, tape, world) = done(n, Plan::FailOnce(full, Errno::NOSPC));
        // Gone before it was looked at, it is none.
        let none = matches!(&done, Err(Error::Disk(error)) if error.no_room());
        assert!(done.is_ok() || none, "{done:?}, given up before step {n}:\n{}", tape.trace());
        assert_eq!(world.machine.files("/q/reserve"), [""; 0], "{}", tape.trace());
        if tape.steps() < n {
            done.unwrap();
            break;
        }
    }
}

#[test]
fn whoever_sends_a_pack_makes_what_is_missing_of_the_reserve() {
    for there in [0, 5, 8] {
        let world = World::empty(PLAIN, 1);
        (0..there).for_each(|number| world.machine.write(format!("{Q}/reserve/{number}"), &[0; 64 << 10]));
        let queue = world.open();
        let mut batch = queue.batch().unwrap().packing(2, 4);
        (0..2).for_each(|_| batch.begin(&Envelope::default()).unwrap());
        assert!(batch.publish(|_| ()).unwrap().is_none());
        let files = world.machine.files("/q/reserve");
        assert_eq!(files.len(), 8, "of {there}");
        let whole =
            |file: &String| world.machine.read(format!("{Q}/reserve/{file}")).is_some_and(|it| it.len() == 64 << 10);
        assert!(files.iter().all(whole), "of {there}");
    }
}
