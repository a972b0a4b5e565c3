//! What is true of a queue whose processes have ended, whatever they did: `fsck --repair` makes it whole, and then it holds
//! what was sent and not what was acknowledged, and gives it out byte for byte.

use super::super::judge::fsck;
use super::super::ledger::{Ledger, Since};
use super::super::survey::Survey;
use super::super::world::{Q, body_of};
use crate::support::memory::Machine;
use mq::queue::name::Lease;
use mq::queue::{Found, Queue, Repair, Scout, Settled};
use std::path::Path;
use std::time::Duration;

/// Panics with what is wrong.
pub fn judge(machine: &Machine, mut ledger: Ledger, since: Since) {
    let disk = machine.disk();
    let queue = Queue::open(&disk, Path::new(Q)).expect("the queue");
    // What has a name in a state was flushed before it got it.
    let torn = Survey::of(machine, Q).torn;
    assert!(torn.is_empty(), "published and not whole: {torn:#?}");
    clean(&queue);
    let survey = Survey::of(machine, Q);
    let unsure = ledger.unsure();
    assert!(survey.damaged.len() <= unsure, "{unsure} may be set aside: {:?}", survey.damaged);
    check(&ledger, survey, since);
    ledger.let_move();
    drain(&queue, &mut ledger, since);
    // Whatever is leased comes back by then.
    machine.advance(Duration::from_secs(7200));
    drain(&queue, &mut ledger, since);
    let survey = Survey::of(machine, Q);
    let left: Vec<&str> = survey.messages.iter().map(|seen| seen.path.as_str()).collect();
    assert!(left.iter().all(|path| path.starts_with("dead/")), "not emptied: {left:?}");
    check(&ledger, survey, since);
}

fn clean(queue: &Queue) {
    fsck(queue, Repair::Mend).expect("a repair");
    let findings = fsck(queue, Repair::Report).expect("a look after the repair");
    assert!(findings.is_empty(), "found after the repair: {findings:#?}");
}

fn check(ledger: &Ledger, survey: Survey, since: Since) {
    let wrong = ledger.check(&[survey], since, false);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Claims and acknowledges all that can be had now.
fn drain(queue: &Queue, ledger: &mut Ledger, since: Since) {
    let mut scout = Scout::new();
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).expect("a claim") {
        let body = body_of(&claim).expect("a whole body");
        ledger.drained(&body, since).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(claim.ack(queue).expect("an ack"), Settled::Acked);
    }
}
