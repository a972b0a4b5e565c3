//! Two recoveries and a claim, all three at one message whose lease has run out: the second recovery comes between any two
//! steps of the first, the claim between any two of the second, and then the outer ones go on.

use super::judge::{First, judge};
use super::ledger::Since;
use super::world::{PLAIN, Q, World, body_of, claim_one, urgent};
use crate::support::inject::{Injected, Plan, Tape};
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Claim, Queue, Settled};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A process that is interrupted before its step `n`.
fn interrupted(world: &World, n: u64, other: impl FnOnce() + Send + 'static) -> (Disk, Tape) {
    let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
    (Disk::new(steps.meanwhile(n, other)), tape)
}

fn recover(disk: &Disk) {
    Queue::open(disk, Path::new(Q)).unwrap().recover().expect("a recovery");
}

/// The queue and what was claimed of it, which is held from then on.
type Held = Arc<Mutex<Option<(Queue, Claim)>>>;

#[test]
fn two_recoveries_and_a_claim_leave_one_message_in_one_hand() {
    let mut prepared = World::new(PLAIN, 1);
    prepared.settle_held();
    let disk = prepared.machine.disk();
    prepared.send(&disk, Q, b"expired", urgent(9)).unwrap();
    prepared.claim_timed(&disk, Duration::from_secs(60)).unwrap();
    prepared.last_receipt();
    drop(disk);
    prepared.machine.advance(Duration::from_secs(61));
    let mut claimed_it = 0;
    for n in 1.. {
        for m in 1.. {
            let mut world = prepared.fork();
            let held: Held = Arc::default();
            let (claimer, inner_world, ours) = (world.machine.disk(), world.clone(), held.clone());
            let ended = Arc::new(Mutex::new(false));
            let inner_ended = ended.clone();
            let (outer, tape) = interrupted(&world, n, move || {
                let (inner, tape) = interrupted(&inner_world, m, move || {
                    let queue = Queue::open(&claimer, Path::new(Q)).unwrap();
                    let claim = claim_one(&queue, Lease::Live).expect("a claim");
                    *ours.lock().unwrap() = Some((queue, claim));
                });
                recover(&inner);
                *inner_ended.lock().unwrap() = tape.steps() < m;
            });
            recover(&outer);
            if tape.steps() < n {
                assert!(claimed_it > 10, "the claim came to the message {claimed_it} times");
                return;
            }
            if *ended.lock().unwrap() {
                break;
            }
            let (queue, claim) = held.lock().unwrap().take().expect("it was claimed");
            let body = body_of(&claim).unwrap();
            claimed_it += usize::from(body == b"expired");
            // Nobody else gets it, and nobody has taken it away.
            let other = claim_one(&world.open(), Lease::Live).expect("the next one");
            assert_ne!(body_of(&other).unwrap(), body, "in two hands: before {n} and {m}");
            drop(other);
            assert_eq!(claim.ack(&queue).expect("its ack"), Settled::Acked, "taken away: before {n} and {m}");
            world.ledger.gone(&body);
            drop((queue, outer));
            judge(&mut world, None, Since::Kill, if m % 2 == 0 { First::Fsck } else { First::Worker });
        }
    }
}
