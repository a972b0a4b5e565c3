//! An error of the disk is said as it is: it is never taken for "not there", for "nothing" or for "done".

use super::absent::tidy;
use super::bounds::committed;
use super::limits::set;
use super::world::{LEASE, PLAIN, Q, World, due_at};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::State;
use mq::queue::{Again, Counting, Envelope, Error, Header, Place, Queue, Result, Settings};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;

type Act = fn(&World, &mut Queue) -> Result<()>;

/// What is there before, what is done, and the steps of it that may fail in silence.
struct Case(&'static str, fn(&mut World), Act, &'static [&'static str]);

/// A wake-up that is lost costs time only.
const WAKE: &str = "touch_at wake";

const CASES: &[Case] = &[
    Case("a look for new settings", |_| (), |_, queue| queue.refresh(), &[]),
    Case("a look whether the queue is here", |_| (), |_, queue| queue.still_here(), &[]),
    Case("settings are changed", |_| (), |_, queue| queue.configure(|said| said.set("lease", "5m")), &[WAKE]),
    Case("a watch", |_| (), |_, queue| queue.watch().map(drop), &[]),
    Case("a watch of a queue in which nothing is", bare, |_, queue| queue.watch().map(drop), &[]),
    Case("a pause", |_| (), |_, queue| queue.pause(None), &[WAKE]),
    Case("a pause where wake is gone", bare, |_, queue| queue.pause(None), &[WAKE, "create wake"]),
    Case("a pause for at least a while", paused, at_least, &[WAKE]),
    Case("a look for a pause", paused, |_, queue| queue.paused().map(|pause| assert!(pause.is_some())), &[]),
    Case("the end of a pause", paused, |_, queue| queue.resume().map(|was| assert!(was)), &[WAKE]),
    Case("a send", |_| (), |_, queue| send(queue, Envelope::default()), &[WAKE]),
    Case("a send to a queue in which nothing is", bare, |_, queue| send(queue, Envelope::default()), &["wake"]),
    Case("a send to a queue with limits", limited, |_, queue| send(queue, Envelope::default()), &[WAKE]),
    Case("a send that drops another", full, |_, queue| send(queue, Envelope::default()), &[WAKE]),
    Case("a batch with a pack", half_a_reserve, |_, queue| send_pack(queue), &[WAKE, "list"]),
    Case(
        "a look for what was done",
        remembered,
        |world, queue| queue.finished(&header(&world.open())).map(|done| assert!(done)),
        &[],
    ),
    // What is old is forgotten in passing.
    Case(
        "what was done is remembered",
        remembered_before,
        |world, queue| queue.remember(&header(&world.open())),
        &["open_dir memory ", "list"],
    ),
    Case("a lease is made longer", in_flight, extend, &[]),
    Case("a message is put back", claimed, put_back, &[WAKE, "unlock"]),
    Case("a message is redriven", dead, redrive, &[WAKE]),
];

fn bare(world: &mut World) {
    for name in ["tmp", "ready", "delayed", "claimed", "dead", "damaged", "wake"] {
        world.machine.remove(format!("{Q}/{name}"));
    }
}

fn paused(world: &mut World) {
    world.open().pause(None).unwrap();
}

fn at_least(_: &World, queue: &mut Queue) -> Result<()> {
    queue.resume()?;
    queue.pause_at_least("why", LEASE).map(drop)
}

fn send(queue: &Queue, envelope: Envelope) -> Result<()> {
    queue.draft(envelope)?.publish().map(drop)
}

/// Of all that is counted there is something, and a committed batch of each kind.
fn limited(world: &mut World) {
    claimed(world);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"waits", Envelope::default()).unwrap();
    let due = disk.now().plus(LEASE);
    world.send(&disk, Q, b"due later", due_at(due)).unwrap();
    for packs in [false, true] {
        committed(&world.machine, packs);
    }
    set(&mut world.open(), &[("max_messages", "20"), ("max_bytes", "1M"), ("min_free", "1M")]);
}

fn full(world: &mut World) {
    let disk = world.machine.disk();
    for body in [b"1", b"2"] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
    }
    set(&mut world.open(), &[("max_messages", "2"), ("on_full", "drop")]);
}

/// Some files of the reserve are gone.
fn half_a_reserve(world: &mut World) {
    (3..6).for_each(|number| world.machine.write(format!("{Q}/reserve/{number}"), b""));
}

fn send_pack(queue: &Queue) -> Result<()> {
    let mut batch = queue.batch()?.packing(2, 4);
    (0..2).try_for_each(|_| batch.begin(&Envelope::default()))?;
    batch.publish(|_| ())?.map_or(Ok(()), Err)
}

/// Of any message that is there.
pub fn header(queue: &Queue) -> Header {
    let place = State::ALL.into_iter().find_map(|state| first(queue, state)).expect("a message");
    *queue.read(&place).unwrap().expect("it is there").header
}

fn first(queue: &Queue, state: State) -> Option<Place> {
    let mut found = None;
    let each = |place, _: &mq::fs::Dir| {
        found = Some(place);
        Ok(ControlFlow::Break(()))
    };
    queue.each_place(state, each).unwrap();
    found
}

fn remembered(world: &mut World) {
    dead(world);
    world.open().remember(&header(&world.open())).unwrap();
}

/// Another one was.
fn remembered_before(world: &mut World) {
    remembered(world);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"another", Envelope::default()).unwrap();
    set(&mut world.open(), &[("sync", "all")]);
}

fn claimed(world: &mut World) {
    let disk = world.machine.disk();
    super::packs::reserved(world);
    world.send(&disk, Q, b"claimed", Envelope::default()).unwrap();
    world.claim_timed(&disk, LEASE).unwrap();
}

fn in_flight(world: &mut World) {
    claimed(world);
    set(&mut world.open(), &[("max_in_flight", "5"), ("sync", "all")]);
}

fn extend(world: &World, queue: &mut Queue) -> Result<()> {
    queue.redeem(&world.receipts[0].0, None)?.extend(queue, Some(2 * LEASE))
}

fn put_back(world: &World, queue: &mut Queue) -> Result<()> {
    let claim = queue.redeem(&world.receipts[0].0, None)?;
    claim.nack(queue, Again::After(LEASE), Counting::Counted, None).map(drop)
}

fn dead(world: &mut World) {
    claimed(world);
    world.open().redeem(&world.receipts[0].0, None).unwrap().dead(&world.open(), None).unwrap();
    set(&mut world.open(), &[("max_messages", "5")]);
}

fn redrive(world: &World, queue: &mut Queue) -> Result<()> {
    let place = first(&world.open(), State::Dead).expect("a dead message");
    queue.redrive(&place, None)?;
    queue.flush_all()
}

/// The step that was refused.
fn refused(trace: &str) -> String {
    trace.lines().find_map(|line| line.strip_suffix("<-- refused")).unwrap_or_default().trim().to_string() + " "
}

/// What is wrong if this came of a step that failed with EIO.
fn unsaid(result: &Result<()>, trace: &str) -> Option<String> {
    match result {
        Err(Error::Disk(error)) if error.source.raw_os_error() == Some(Errno::IO.raw_os_error()) => None,
        other => Some(format!("{other:?} after {}", refused(trace))),
    }
}

#[test]
fn whatever_step_fails_it_is_said() {
    let mut wrong = Vec::new();
    for Case(name, prepare, act, silent) in CASES {
        let mut prepared = World::empty(PLAIN, 1);
        prepare(&mut prepared);
        // Before the step that fails, others may have removed the empty directories that it was to put something into.
        for tidied in [false, true] {
            for n in 1.. {
                let world = prepared.fork();
                let (steps, tape) = Injected::new(world.machine.process(), Plan::FailOnce(n, Errno::IO));
                let machine = world.machine.clone();
                let steps = steps.meanwhile(if tidied { n - 1 } else { 0 }, move || tidy(&machine));
                let done = Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|mut queue| act(&world, &mut queue));
                let trace = format!("{name}:\n{}", tape.trace());
                if !tape.struck() {
                    done.unwrap_or_else(|error| panic!("{error} without a failure, {trace}"));
                    break;
                }
                let step = refused(&trace);
                if !silent.iter().any(|silent| step.contains(silent)) {
                    wrong.extend(unsaid(&done, &trace).map(|why| format!("{name}: {why}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn whatever_step_of_a_creation_fails_it_is_said() {
    for half_made in [false, true] {
        for n in 1.. {
            let world = World::empty(PLAIN, 1);
            if half_made {
                ["queue.json", "tmp", "dead"].iter().for_each(|name| world.machine.remove(format!("{Q}/{name}")));
            }
            let path = Path::new(if half_made { Q } else { "/dir/new" });
            world.machine.write("/dir/file", b"");
            let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::IO));
            let made = Queue::create(&disk, path, &Settings::default()).map(drop);
            if !tape.struck() {
                made.unwrap();
                assert!(world.machine.files(path).contains(&"wake".to_string()));
                break;
            }
            assert_eq!(unsaid(&made, &tape.trace()), None);
        }
    }
}
