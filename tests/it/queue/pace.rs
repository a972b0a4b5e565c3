//! The rate and the number in flight, by the test's clock.

use super::world::Q;
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::{Access, Disk};
use mq::queue::name::Lease;
use mq::queue::{Again, Claim, Counting, Envelope, Error, Found, HeldBack, Nothing, Queue, Scout, Settings, Settled};
use std::path::Path;
use std::time::Duration;

fn queue(machine: &Machine, said: &[(&str, &str)], messages: u32) -> Queue {
    let mut settings = Settings::default();
    for (key, value) in said {
        settings.set(key, value).unwrap();
    }
    let queue = Queue::create(&machine.disk(), Path::new(Q), &settings).unwrap().0;
    let mut batch = queue.batch().unwrap();
    for _ in 0..messages {
        batch.begin(&Envelope::default()).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    queue
}

fn claim(queue: &Queue) -> Result<Claim, Nothing> {
    match queue.claim(&mut Scout::new(), Lease::Live).unwrap() {
        Found::Claim(claim) => Ok(*claim),
        Found::TooMany => panic!("one was wanted"),
        Found::Nothing(nothing) => Err(nothing),
    }
}

/// Many claimers that come whenever it may be, and wait as long as they are told.
#[test]
fn all_claimers_together_keep_the_rate() {
    let machine = Machine::new(1);
    let queues: Vec<Queue> = std::iter::once(queue(&machine, &[("rate", "20/s")], 250))
        .chain((0..3).map(|_| Queue::open(&machine.disk(), Path::new(Q)).unwrap()))
        .collect();
    let began = machine.now();
    let mut given = 0;
    for turn in 0.. {
        if machine.now().since(began) >= Duration::from_secs(10) {
            break;
        }
        match claim(&queues[turn % queues.len()]) {
            Ok(claim) => {
                given += 1;
                claim.ack(&queues[0]).unwrap();
            }
            Err(nothing) => {
                let Some(HeldBack::Rate(then)) = nothing.held_back else { panic!("{nothing:?}") };
                assert_eq!(nothing.next_due, Some(then));
                assert!(then.since(machine.now()) <= Duration::from_millis(50));
                machine.set_clock(then);
            }
        }
    }
    assert!((199..=201).contains(&given), "{given}");
}

#[test]
fn a_burst_comes_at_once_and_an_empty_queue_is_empty() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("rate", "1/h"), ("burst", "3")], 4);
    let claims: Vec<Claim> = (0..3).map(|_| claim(&queue).unwrap()).collect();
    assert!(matches!(claim(&queue).unwrap_err().held_back, Some(HeldBack::Rate(_))));
    machine.advance(Duration::from_secs(3600));
    claim(&queue).unwrap().ack(&queue).unwrap();
    // One is held back only where there is one.
    claims.into_iter().for_each(|claim| assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked));
    assert_eq!(claim(&queue).unwrap_err().held_back, None);
}

#[test]
fn a_clock_that_went_back_and_a_torn_file_hold_nobody_up() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("rate", "10/s")], 5);
    claim(&queue).unwrap().ack(&queue).unwrap();
    let back = mq::time::Time::from_micros(machine.now().micros() - 3_600_000_000);
    machine.set_clock(back);
    assert!(claim(&queue).is_err());
    machine.advance(Duration::from_millis(101));
    claim(&queue).unwrap().ack(&queue).unwrap();
    for garbage in [&b"mq1 99999999999999999999 00000000\n"[..], b"mq1", b"", b"\xff\xff"] {
        machine.remove("/q/pace");
        machine.write("/q/pace", garbage);
        let claim = claim(&queue).unwrap();
        claim.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
    }
}

/// Killed at any step, a claimer takes at most its turn from the others, and never gives one out twice.
#[test]
fn a_kill_at_any_step_exceeds_nothing() {
    for n in 1..200 {
        let machine = Machine::new(1);
        let queue = queue(&machine, &[("rate", "1/h"), ("max_in_flight", "1")], 3);
        let process = machine.process();
        let (steps, tape) = Injected::new(process.clone(), Plan::StopBefore(n));
        let disk = Disk::new(steps);
        let _ = Queue::open(&disk, Path::new(Q))
            .map(|killed| killed.claim(&mut Scout::new(), Lease::Timed(Duration::from_secs(60))));
        machine.kill(&process);
        let taken = machine.files("/q/claimed").len();
        assert!(taken <= 1);
        let mine = claim(&queue).is_ok();
        assert!(taken + usize::from(mine) <= 1, "two in flight, or two of the rate, after a kill before step {n}");
        assert!(claim(&queue).is_err());
        if !tape.struck() {
            return;
        }
    }
    panic!("a claim of so many steps");
}

#[test]
fn no_more_are_in_flight_than_may_be() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_in_flight", "2")], 4);
    let other = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
    let (one, _two) = (claim(&queue).unwrap(), claim(&other).unwrap());
    assert_eq!(claim(&queue).unwrap_err().held_back, Some(HeldBack::InFlight));
    one.nack(&queue, Again::Now, Counting::Uncounted, None).unwrap();
    let three = claim(&other).unwrap();
    assert!(claim(&queue).is_err());
    // Its holder is gone: whoever is held back finds that out.
    drop(three);
    assert!(claim(&queue).is_ok());
}

/// Between any two steps somebody may remove what is about to be claimed: another message gets its turn.
#[test]
fn what_goes_before_it_is_claimed_takes_nothing_of_the_rate() {
    for n in 1.. {
        let machine = Machine::new(1);
        drop(queue(&machine, &[("rate", "1/h")], 2));
        let path = format!("/q/ready/{}", machine.files("/q/ready").into_iter().min().unwrap());
        let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
        let others = machine.clone();
        let steps = steps.meanwhile(n, move || {
            if others.read(&path).is_some() {
                others.remove(&path);
            }
        });
        let claimed = claim(&Queue::open(&Disk::new(steps), Path::new(Q)).unwrap());
        assert!(claimed.is_ok(), "{claimed:?}, removed before step {n}:\n{}", tape.trace());
        if tape.steps() < n {
            break;
        }
    }
}

/// A name that changes in `claimed/` may be missed by who counts there: it changes under the lock of the count.
#[test]
fn a_claim_changes_its_name_only_while_nobody_counts() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_in_flight", "2")], 1);
    let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Timed(Duration::from_secs(60))).unwrap() else {
        panic!("nothing there")
    };
    let receipt = claim.receipt(Q);
    drop(claim);
    let disk = machine.disk();
    let pace = disk.open(&disk.open_queue(Path::new(Q)).unwrap(), "pace", Access::Write).unwrap();
    assert!(disk.try_lock(&pace).unwrap());
    let longer = || queue.redeem(&receipt, None).unwrap().extend(&queue, Some(Duration::from_secs(90)));
    assert!(matches!(longer(), Err(Error::Busy { .. })));
    drop(pace);
    longer().unwrap();
}

#[test]
fn whoever_ends_a_claim_wakes_those_who_were_held_back() {
    const LATER: Again = Again::After(Duration::from_secs(9));
    type End = fn(Claim, &Queue) -> mq::queue::Result<()>;
    let ends: [(&str, End); 4] = [
        ("ack", |claim, queue| claim.ack(queue).map(|_| ())),
        ("nack", |claim, queue| claim.nack(queue, LATER, Counting::Counted, None).map(|_| ())),
        ("dead", |claim, queue| claim.dead(queue, None).map(|_| ())),
        ("set aside", |claim, queue| claim.set_aside(queue, "why")),
    ];
    for (name, end) in ends {
        let machine = Machine::new(1);
        let queue = queue(&machine, &[("max_in_flight", "1")], 2);
        let disk = machine.disk();
        let dir = disk.open_queue(Path::new(Q)).unwrap();
        let claim = claim(&queue).unwrap();
        let before = disk.stat_at(&dir, "wake").unwrap().modified;
        end(claim, &queue).unwrap();
        assert!(disk.stat_at(&dir, "wake").unwrap().modified > before, "{name}");
    }
}
