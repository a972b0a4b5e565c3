//! A clock that jumps: a year back, to the year 2100, and back again while leases run.

use super::judge::{First, judge};
use super::ledger::Since;
use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one, due_at, urgent};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Error, Settled};
use mq::time::Time;
use std::time::Duration;

const DAY: u64 = 24 * 3600 * 1_000_000;

#[test]
fn whatever_the_clock_says_ids_rise_and_a_lease_is_no_longer_than_it_is() {
    let start = World::new(PLAIN, 1).machine.now().micros();
    let (year_back, in_2100) = (start - 365 * DAY, start + 75 * 365 * DAY);
    for jumps in [[year_back, start], [in_2100, start], [in_2100, year_back], [year_back, in_2100]] {
        let mut world = World::new(PLAIN, 1);
        let disk = world.machine.disk();
        let (receipt, leased) = world.last_receipt();
        let mut last = String::new();
        for (number, jump) in jumps.into_iter().enumerate() {
            let body = format!("claimed before jump {number}").into_bytes();
            world.send(&disk, Q, &body, urgent(9)).unwrap();
            world.claim_timed(&disk, Duration::from_secs(60)).unwrap();
            let (mine, mine_body) = world.last_receipt();
            world.machine.set_clock(Time::from_micros(jump));
            // Who sees a lease that begins in the future lets it begin now.
            world.open().recover().unwrap();
            let body = format!("sent after jump {number}").into_bytes();
            world.send(&disk, Q, &body, Envelope::default()).unwrap();
            let soon = world.machine.now().plus(Duration::from_secs(5));
            world.send(&disk, Q, format!("due after jump {number}").as_bytes(), due_at(soon)).unwrap();
            let survey = Survey::of(&world.machine, Q);
            let id = survey.messages.iter().find(|seen| seen.body == body).expect("it was sent").id.to_string();
            assert!(id > last, "{id} after {last}");
            last = id;
            world.machine.advance(Duration::from_secs(61));
            let queue = world.open();
            queue.recover().unwrap();
            let claim = claim_one(&queue, Lease::Live).expect("a claim");
            assert_eq!(body_of(&claim).unwrap(), mine_body, "its lease is over");
            let stale = queue.redeem(&mine, None);
            assert!(matches!(stale, Err(Error::Lost { .. } | Error::Held { .. } | Error::Busy { .. })), "{stale:?}");
            assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
            world.ledger.gone(&mine_body);
        }
        // The first lease, of ten minutes: over in 2100, and later nobody's or still its own; never two.
        drop((receipt, leased));
        judge(&mut world, None, Since::Kill, First::Fsck);
    }
}
