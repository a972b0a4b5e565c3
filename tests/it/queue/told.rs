//! What is done to one message by hand, or under its key, with each of its steps failing, and with somebody else at work
//! before each: an error of the disk is told as one, and never as "gone" or "nothing there"; and what others have taken
//! meanwhile is never told as an error of the disk.

mod calls;

use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::{Injected, Plan, Tape};
use calls::{CALLS, Call};
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Error, Place, Queue, Receipt, Result};
use rustix::io::Errno;
use std::ops::RangeInclusive;
use std::path::Path;

/// What a person sees of the messages: where each is, what it was tried, and what its history says.
fn picture(world: &World, call: &Call) -> Vec<String> {
    let survey = Survey::of(&world.machine, Q);
    assert_eq!(survey.wrong, [""; 0]);
    let seen = survey.messages.iter().map(|seen| {
        let histories = if call.settles { &[][..] } else { &seen.history[..] };
        let said: Vec<String> =
            histories.iter().map(|record| format!("{}:{}", record["outcome"], record["reason"])).collect();
        format!("{} {} {} {said:?}", seen.state, String::from_utf8_lossy(&seen.body), seen.attempts)
    });
    let mut seen: Vec<String> = seen.collect();
    seen.sort();
    seen
}

/// A call that was prepared for: the world, the message it is about, and how it goes if nothing comes between.
struct Ready {
    call: &'static Call,
    world: World,
    place: Place,
    /// Which steps are its own.
    steps: RangeInclusive<u64>,
    came: String,
    left: Vec<String>,
    trace: Vec<String>,
}

impl Ready {
    fn new(call: &'static Call) -> Ready {
        let mut world = World::new(PLAIN, 1);
        world.machine.set_short(false);
        (call.prepare)(&mut world);
        let place = (call.place)(&world.open());
        let healthy = world.fork();
        let (disk, tape) = healthy.injected(Plan::Healthy);
        let queue = Queue::open(&disk, Path::new(Q)).unwrap();
        let before = tape.steps();
        let came = (call.call)(&queue, &place).unwrap_or_else(|error| panic!("{} fails by itself: {error}", call.name));
        let trace = tape.trace().lines().map(str::to_string).collect();
        Ready { call, place, steps: before + 1..=tape.steps(), came, left: picture(&healthy, call), world, trace }
    }

    /// What step `n` of its own is.
    fn step(&self, n: u64) -> &str {
        let at = self.trace.len() as u64 - (self.steps.end() - n) - 1;
        self.trace[usize::try_from(at).unwrap()].trim_start().split_once(' ').unwrap().1
    }

    fn go(&self, disk: &Disk) -> Result<String> {
        (self.call.call)(&Queue::open(disk, Path::new(Q))?, &self.place)
    }

    /// With this plan the disk's error is told, or all is as if there had been none.
    fn honest(&self, plan: Plan) {
        let world = self.world.fork();
        let (disk, tape) = world.injected(plan);
        let came = self.go(&disk);
        let name = self.call.name;
        match &came {
            Err(Error::Disk(_)) => (),
            Ok(came) if *came == self.came && picture(&world, self.call) == self.left => (),
            _ => panic!("{name} with {plan:?} came to {came:?}, not {}\n{}", self.came, tape.trace()),
        }
    }
}

#[test]
fn an_error_of_the_disk_is_told_as_one() {
    for call in CALLS {
        let ready = Ready::new(call);
        for n in ready.steps.clone() {
            ready.honest(Plan::FailOnce(n, Errno::IO));
        }
    }
}

/// Also where what fails is tried again.
#[test]
fn nothing_is_tried_for_ever() {
    for call in CALLS {
        let ready = Ready::new(call);
        for n in ready.steps.clone() {
            ready.honest(Plan::FailAlikeFrom(n, Errno::IO));
        }
    }
}

/// A history that has no room is gone without, and so is the doubt about a key.
#[test]
fn what_ends_a_message_needs_no_room() {
    let mut tried = 0;
    for call in CALLS.iter().filter(|call| call.ends) {
        let ready = Ready::new(call);
        let doubts = |n: &u64| ready.step(*n).starts_with("rename k-") && ready.step(*n).ends_with('~');
        // What is written first is the history.
        let writes = ready.steps.clone().find(|n| ready.step(*n).starts_with("write_at"));
        for n in ready.steps.clone().filter(|n| Some(*n) == writes || doubts(n)) {
            tried += 1;
            let world = ready.world.fork();
            let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::NOSPC));
            let came = ready.go(&disk);
            assert!(came.as_ref().is_ok_and(|came| *came == ready.came), "{came:?}: {}\n{}", call.name, tape.trace());
        }
    }
    assert!(tried > 5, "only {tried} steps");
}

type Other = fn(&Queue, &Place, Option<&Receipt>) -> Result<()>;

const OTHERS: &[(&str, Other)] = &[
    ("somebody who removes it", |queue, place, _| queue.remove(place).map(drop)),
    ("a worker", |queue, _, _| {
        while let Ok(claim) = claim_one(queue, Lease::Live) {
            body_of(&claim)?;
            claim.ack(queue)?;
        }
        mq::queue::name::State::ALL.iter().for_each(|state| queue.remove_empty_buckets(*state));
        Ok(())
    }),
    ("its holder", |queue, _, receipt| {
        let Some(receipt) = receipt else { return Ok(()) };
        queue.redeem(receipt, None)?.ack(queue).map(drop)
    }),
    ("somebody who cancels it", |queue, place, _| {
        queue.cancel(place, "by another")?;
        queue.cancellation_over(place.id());
        Ok(())
    }),
];

#[test]
fn what_others_have_taken_is_no_error_of_the_disk() {
    for call in CALLS {
        let ready = Ready::new(call);
        for (name, other) in OTHERS {
            for n in ready.steps.clone() {
                let world = ready.world.fork();
                let (machine, place) = (world.machine.clone(), ready.place.clone());
                let receipt = world.receipts.last().map(|(receipt, _)| receipt.clone());
                let (steps, tape): (_, Tape) = Injected::new(world.machine.process(), Plan::Healthy);
                let steps = steps.meanwhile(n, move || {
                    let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
                    // It may find nothing to do, or a lock.
                    let _ = other(&queue, &place, receipt.as_ref());
                });
                let came = ready.go(&Disk::new(steps));
                assert!(
                    !matches!(came, Err(Error::Disk(_))),
                    "{} with {name} before step {n}: {came:?}\n{}",
                    call.name,
                    tape.trace()
                );
            }
        }
    }
}
