//! Every verb, interrupted before every one of its steps by another process that does something whole, and then goes on:
//! who loses a race says so, and nothing is lost, doubled, or in two hands at once.

use super::judge::{First, Judged, fsck};
use super::ledger::Since;
use super::verbs::{Share, VERBS};
use super::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{
    Again, Attempt, Claim, Counting, Envelope, Error, Found, Outcome, Queue, Receipt, Repair, Scout, Settled,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the other process did, for the ledger.
#[derive(Default)]
struct Told {
    acked: Vec<Vec<u8>>,
    removed: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    held: Option<(Queue, Claim, Vec<u8>)>,
    leases_over: bool,
}

/// The other process: it has the machine to itself for a moment.
type Other = fn(&Queue, &Machine, Option<&Receipt>, &mut Told) -> mq::queue::Result<()>;

const WORKERS: &[(&str, Other)] = &[
    ("a worker", |queue, _, _, told| {
        let mut scout = Scout::new();
        for _ in 0..2 {
            if let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live)? {
                let body = body_of(&claim)?;
                assert_eq!(claim.ack(queue)?, Settled::Acked);
                told.acked.push(body);
            }
        }
        Ok(())
    }),
    ("a worker with a long job", |queue, _, _, told| {
        if let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live)? {
            let body = body_of(&claim)?;
            told.held = Some((Queue::open(queue.disk(), Path::new(Q))?, *claim, body));
        }
        Ok(())
    }),
    ("a worker whose job fails", |queue, _, _, _| {
        if let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live)? {
            let record = Attempt::new(claim.attempt(), claim.started(), Outcome::Exit);
            claim.nack(queue, Again::Now, Counting::Counted, Some(record))?;
        }
        Ok(())
    }),
];

const OTHERS: &[(&str, Other)] = &[
    ("fsck", |queue, _, _, _| fsck(queue, Repair::Mend).map(drop)),
    ("recovery an hour later", |queue, machine, _, told| {
        machine.advance(Duration::from_secs(3600));
        told.leases_over = true;
        queue.recover().map(drop)
    }),
    ("a sender", |queue, _, _, told| {
        let mut draft = queue.draft(Envelope::default())?;
        draft.write(b"meanwhile")?;
        draft.publish()?;
        told.sent.push(b"meanwhile".to_vec());
        Ok(())
    }),
    ("somebody with the same receipt", |queue, _, receipt, told| {
        let Some(receipt) = receipt else { return Ok(()) };
        match queue.redeem(receipt, None).and_then(|claim| Ok((body_of(&claim)?, claim.ack(queue)?))) {
            Ok((body, settled)) => {
                assert_eq!(settled, Settled::Acked);
                told.acked.push(body);
                Ok(())
            }
            Err(Error::Lost { .. } | Error::Held { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }),
    ("somebody who removes all", |queue, _, _, told| {
        for state in [State::Ready, State::Delayed, State::Dead] {
            let mut places = Vec::new();
            queue.each_place(state, |place, _| {
                let body = queue.read(&place)?.map(|message| message.start(400_000)).transpose()?;
                places.push((place, body));
                Ok(ControlFlow::Continue(()))
            })?;
            for (place, body) in places {
                queue.remove(&place)?;
                told.removed.extend(body);
            }
        }
        Ok(())
    }),
    ("somebody who redrives all", |queue, _, _, _| {
        let mut places = Vec::new();
        queue.each_place(State::Dead, |place, _| {
            places.push(place);
            Ok(ControlFlow::Continue(()))
        })?;
        for place in places {
            match queue.redrive(&place, None) {
                Err(Error::Held { .. }) => (),
                other => drop(other?),
            }
        }
        Ok(())
    }),
];

/// Says, when a test fails, where it was.
struct Telling(String, Tape, Machine);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, after:\n{}and now:\n{}", self.0, self.1.trace(), self.2.listing("/"));
        }
    }
}

#[test]
fn a_worker_that_comes_between_two_steps_takes_nothing_from_anybody() {
    interrupt(WORKERS, Share::Quick);
}

#[test]
fn whoever_else_comes_between_two_steps_takes_nothing_from_anybody() {
    interrupt(OTHERS, Share::Quick);
}

#[test]
#[ignore = "a minute: every step of every verb, of which the two tests above take a part"]
fn whoever_comes_between_any_two_steps_takes_nothing_from_anybody() {
    interrupt(WORKERS, Share::All);
    interrupt(OTHERS, Share::All);
}

fn interrupt(others: &[(&str, Other)], share: Share) {
    for verb in VERBS.iter().filter(|verb| !verb.fsck_first) {
        let mut prepared = World::new(PLAIN, 1);
        (verb.prepare)(&mut prepared);
        for &(name, other) in others {
            let mut judged = Judged::default();
            for n in share.steps(verb) {
                let mut world = prepared.fork();
                let told = Arc::new(Mutex::new(Told::default()));
                let receipt = world.receipts.last().map(|(receipt, _)| receipt.clone());
                let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
                let (machine, tell) = (world.machine.clone(), told.clone());
                let steps = steps.meanwhile(n, move || {
                    let queue = Queue::open(&machine.disk(), Path::new(Q)).expect("the queue");
                    match other(&queue, &machine, receipt.as_ref(), &mut tell.lock().unwrap()) {
                        // The one that is interrupted has a lock, and nobody here can wait for it.
                        Ok(()) | Err(Error::Busy { .. } | Error::Held { .. }) => (),
                        Err(error) => panic!("the other one: {error}"),
                    }
                });
                let what = format!("{} with {name} before step {n}", verb.name);
                let _telling = Telling(what, tape.clone(), world.machine.clone());
                let outcome = (verb.act)(&mut world, &Disk::new(steps));
                let lost_a_race = matches!(
                    outcome,
                    Ok(()) | Err(Error::Lost { .. } | Error::Held { .. } | Error::Busy { .. } | Error::Refused { .. })
                );
                assert!(lost_a_race, "{outcome:?}");
                take_over(&mut world, &mut told.lock().unwrap());
                judged.judge(&mut world, None, Since::Kill, if n % 2 == 0 { First::Fsck } else { First::Worker });
                if tape.steps() < n {
                    break;
                }
            }
        }
    }
}

/// Tells the ledger what the other did, and lets it end its job.
fn take_over(world: &mut World, told: &mut Told) {
    world.ledger.let_move();
    for body in told.sent.drain(..) {
        world.ledger.sent(&body, None);
    }
    if let Some((queue, claim, body)) = told.held.take() {
        queue.recover().expect("a recovery");
        let mine = claim_one(&queue, Lease::Live);
        let same = mine.as_ref().is_ok_and(|claim| body_of(claim).unwrap() == body);
        assert!(!same, "{} is in two hands", String::from_utf8_lossy(&body));
        drop(mine);
        assert_eq!(claim.ack(&queue).expect("the holder's ack"), Settled::Acked);
        told.acked.push(body);
    }
    for body in told.acked.drain(..).chain(told.removed.drain(..)) {
        world.receipts.retain(|(_, other)| *other != body);
        world.ledger.gone_once(&body);
    }
    if told.leases_over {
        world.receipts.clear();
        world.leased.clear();
    }
}
