//! Steps that ask for what may not be there. One that fails is an error, and says which: never "it is not there", nor "it is
//! there already". And what somebody else took away just before it, or brought, is no error.

mod ends;
mod looks;

use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, places};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Envelope, Error, Found, Queue, Result, Scout};
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// One step of one verb.
struct Case {
    prepare: fn() -> World,
    /// What comes of it, in words.
    act: fn(&World, &Disk) -> Result<String>,
    /// Words that stand in the trace of the step, and how many other steps with the same words are before it.
    step: (&'static [&'static str], usize),
    /// What somebody does just before the step, and what comes of the verb then.
    meanwhile: &'static [(Other, &'static str)],
}

type Other = fn(&Machine);

impl Case {
    /// The number of the step in a run in which nothing goes wrong.
    fn number(&self, prepared: &World) -> u64 {
        let world = prepared.fork();
        let (disk, tape) = world.injected(Plan::Healthy);
        (self.act)(&world, &disk).unwrap_or_else(|error| panic!("{:?} fails by itself: {error}", self.step));
        let trace = tape.trace();
        let (words, before) = self.step;
        let line = trace.lines().filter(|line| words.iter().all(|word| line.contains(word))).nth(before);
        let line = line.unwrap_or_else(|| panic!("no step {:?}:\n{trace}", self.step)).trim_start();
        line.split(' ').next().unwrap().parse().unwrap()
    }

    fn hold(&self) {
        let prepared = (self.prepare)();
        let n = self.number(&prepared);
        for plan in [Plan::FailOnce(n, Errno::IO), Plan::FailAlikeFrom(n, Errno::IO)] {
            let world = prepared.fork();
            let (disk, tape) = world.injected(plan);
            let came = (self.act)(&world, &disk);
            assert!(io_error(&came), "{came:?} with {plan:?} at {:?}:\n{}", self.step, tape.trace());
        }
        for (at, (other, expected)) in self.meanwhile.iter().enumerate() {
            let world = prepared.fork();
            let (disk, tape) = interrupted(&world, n, *other);
            match (self.act)(&world, &disk) {
                Ok(came) if came == *expected => (),
                came => panic!("{came:?} with another ({at}) before {:?}:\n{}", self.step, tape.trace()),
            }
        }
    }
}

fn io_error<T>(came: &Result<T>) -> bool {
    matches!(came, Err(Error::Disk(error)) if error.source.raw_os_error() == Some(Errno::IO.raw_os_error()))
}

/// A process in which somebody comes in between just before a step.
fn interrupted(world: &World, n: u64, other: Other) -> (Disk, Tape) {
    let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
    let machine = world.machine.clone();
    (Disk::new(steps.meanwhile(n, move || other(&machine))), tape)
}

fn open(disk: &Disk) -> Result<Queue> {
    Queue::open(disk, Path::new(Q))
}

/// An empty queue, in which what is done twice is the same.
fn empty(settings: &[(&str, &str)]) -> World {
    let world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world.open().configure(|all| settings.iter().try_for_each(|(key, value)| all.set(key, value))).unwrap();
    world
}

/// The same with messages in it.
fn with(settings: &[(&str, &str)], bodies: &[(&str, Envelope)]) -> World {
    let mut world = empty(settings);
    let disk = world.machine.disk();
    for (body, envelope) in bodies {
        world.send(&disk, Q, body.as_bytes(), envelope.clone()).unwrap();
    }
    world
}

fn in_group() -> Envelope {
    Envelope { group: Some("a".into()), ..Envelope::default() }
}

/// Three messages of one group.
fn group(settings: &[(&str, &str)]) -> World {
    with(settings, &[("1", in_group()), ("2", in_group()), ("3", in_group())])
}

/// Moves messages of a group into buckets below its directory, where those of large groups stand.
fn below(world: &World, bodies: &[&str]) {
    for body in bodies {
        let from = path_of(world, body);
        let (dir, name) = from.rsplit_once('/').unwrap();
        let bucket = name.split('-').nth(1).unwrap();
        world.machine.write(format!("{dir}/{bucket}/{name}"), &world.machine.read(&from).unwrap());
        world.machine.remove(from);
    }
}

fn path_of(world: &World, body: &str) -> String {
    let survey = Survey::of(&world.machine, Q);
    let seen = survey.messages.iter().find(|seen| seen.body == body.as_bytes()).expect("it was sent");
    format!("{Q}/{}", seen.path)
}

/// The first file whose path has all these words in it.
fn file(machine: &Machine, words: &[&str]) -> String {
    let files = machine.files(Q);
    let found = files.iter().find(|path| words.iter().all(|word| path.contains(word)));
    format!("{Q}/{}", found.unwrap_or_else(|| panic!("no {words:?} in {files:?}")))
}

fn remove(machine: &Machine, words: &[&str]) {
    machine.remove(file(machine, words));
}

/// The next message, or that there is none.
fn claim(queue: &Queue) -> Result<String> {
    Ok(match queue.claim(&mut Scout::new(), Lease::Live)? {
        Found::Claim(claim) => format!("claimed {}", String::from_utf8_lossy(&body_of(&claim)?)),
        Found::Nothing(nothing) => (if nothing.busy { "busy" } else { "nothing" }).to_string(),
        Found::TooMany => "too many".to_string(),
    })
}

#[test]
fn a_step_of_a_look_that_fails_is_an_error_and_what_is_gone_is_none() {
    looks::CASES.iter().for_each(Case::hold);
}

#[test]
fn a_step_of_an_end_that_fails_is_an_error_and_what_is_gone_is_none() {
    ends::CASES.iter().for_each(Case::hold);
}
