//! A disk too full to divide a pack: a batch gets the first messages of it, and the others wait in it.

use super::parts::{self, world};
use super::{COUNT, any_claimed, bodies, body, open, sent};
use crate::queue::ledger::Lasting;
use crate::queue::verbs::{only, place_of, record, settled};
use crate::queue::world::{PLAIN, Q, World, body_of, claim_by, claim_one};
use mq::fs::Disk;
use mq::queue::name::{Id, Lease};
use mq::queue::{Again, Cancelled, Claim, Counting, Ending, Error, Outcome, Queue, Result, Scout, Settled};
use rustix::io::Errno;
use std::time::Duration;

/// So many are wanted at once: the pack has two more.
const MANY: u32 = 3;

fn claim_first(world: &World) -> Result<Claim> {
    claim_of(&open(&world.without_room())?, MANY, MANY)
}

fn claim_of(queue: &Queue, now: u32, most: u32) -> Result<Claim> {
    let mut scout = Scout::new();
    scout.want(now, most);
    claim_by(&mut scout, queue, Lease::Live)
}

fn endings() -> [Ending; 3] {
    let later = Again::After(Duration::from_secs(30));
    [Ending::Acked, Ending::Again(later, Counting::Counted), Ending::Dead]
}

/// Its worker is gone.
pub fn lost(world: &mut World) {
    sent(world);
    drop(claim_first(world).unwrap());
}

pub fn ack(world: &mut World, disk: &Disk) -> Result<()> {
    let claim = claim_first(world)?;
    end_ack(world, disk, claim)
}

fn end_ack(world: &mut World, disk: &Disk, claim: Claim) -> Result<()> {
    let bodies = bodies(&claim)?;
    bodies.iter().for_each(|body| world.ledger.leaving(body));
    only(claim.ack(&open(disk)?)? == Settled::Acked, "settled already")?;
    bodies.iter().for_each(|body| world.ledger.gone(body));
    Ok(())
}

pub fn nack(world: &mut World, disk: &Disk) -> Result<()> {
    let claim = claim_first(world)?;
    let bodies = bodies(&claim)?;
    let record = record(disk, claim.attempt(), Outcome::Exit);
    let how = claim.nack(&open(disk)?, Again::After(Duration::from_secs(30)), Counting::Counted, record)?;
    bodies.iter().try_for_each(|body| settled(world, body, how))
}

/// Acknowledged, put back for later, dead.
pub fn settle_each(world: &mut World, disk: &Disk) -> Result<()> {
    let claim = claim_first(world)?;
    if !claim.is_pack() {
        // Where locks are not to be relied on they come one by one.
        return end_ack(world, disk, claim);
    }
    let (ids, bodies): (Vec<Id>, _) = (claim.ids().collect(), bodies(&claim)?);
    let at = |id: Id| ids.iter().position(|other| *other == id).expect("one of them");
    let attempt = claim.attempt();
    world.ledger.leaving(&bodies[0]);
    for (id, how) in
        claim.settle_each(&open(disk)?, &mut |id| (endings()[at(id)], record(disk, attempt, Outcome::Exit)))?
    {
        match how {
            Settled::Acked => world.ledger.gone(&bodies[at(id)]),
            how => settled(world, &bodies[at(id)], how)?,
        }
    }
    Ok(())
}

/// All are there again.
pub fn recover(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = open(disk)?;
    let place = any_claimed(&queue)?;
    queue.recover()?;
    if any_claimed(&queue).is_ok() {
        return Err(Error::Held { id: place.id(), by: None });
    }
    (1..=COUNT).for_each(|number| world.ledger.is_in(&body(number), &["ready"], Lasting::Kill));
    Ok(())
}

/// Of each message its state and its attempts, in the order of the ids, which is that of the numbers.
fn there(world: &World) -> Vec<(String, u32)> {
    parts::there(world).into_iter().map(|(state, attempts, _)| (state, attempts)).collect()
}

fn are(what: &[(&str, u32)]) -> Vec<(String, u32)> {
    what.iter().map(|(state, attempts)| ((*state).to_string(), *attempts)).collect()
}

/// The id of the message that comes so many after this one.
fn further(id: Id, many: u32) -> Id {
    Id::parse(&format!("{:016}", id.to_string().parse::<u64>().unwrap() + u64::from(many))).unwrap()
}

fn untried(state: &str) -> Vec<(String, u32)> {
    are(&[(state, 0); COUNT as usize])
}

#[test]
fn a_batch_gets_as_many_as_it_wants_of_a_pack_that_cannot_be_divided() {
    // Now, at most, and how many come.
    for (now, most, got) in [(3, 3, 3), (2, 3, 2), (1, 3, 1), (4, 4, 4), (5, 5, 5), (1, 1, 1)] {
        let world = world();
        let claim = claim_of(&open(&world.without_room()).unwrap(), now, most).unwrap();
        let expected: Vec<_> = (1..=got).map(body).collect();
        assert_eq!((claim.messages(), bodies(&claim).unwrap()), (got, expected));
        assert_eq!(claim.ids().count(), got as usize);
        assert!(claim.ids().all(|id| claim.has(id) && !claim.has_waiting(id)));
        let next = further(claim.id(), got);
        assert_eq!((claim.has(next), claim.has_waiting(next)), (false, (2..COUNT).contains(&got)));
    }
}

#[test]
fn a_full_disk_is_drained_by_batches() {
    let world = world();
    for (wanted, bodies_of) in [(2, [1, 2].as_slice()), (2, &[3, 4]), (2, &[5])] {
        let queue = open(&world.without_room()).unwrap();
        let claim = claim_of(&queue, wanted, wanted).unwrap();
        assert_eq!(bodies(&claim).unwrap(), bodies_of.iter().map(|number| body(*number)).collect::<Vec<_>>());
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    }
    assert_eq!(there(&world), []);
}

#[test]
fn what_is_not_acknowledged_comes_out_and_the_others_are_as_they_were() {
    type End = fn(Claim, &Queue) -> Result<Settled>;
    let ways: [(End, &str, u32); 4] = [
        (|claim, queue| claim.nack(queue, Again::Now, Counting::Counted, None), "ready", 1),
        (|claim, queue| claim.nack(queue, Again::Now, Counting::Uncounted, None), "ready", 0),
        (
            |claim, queue| claim.nack(queue, Again::After(Duration::from_secs(30)), Counting::Counted, None),
            "delayed",
            1,
        ),
        (|claim, queue| claim.dead(queue, None), "dead", 1),
    ];
    for (end, state, attempts) in ways {
        let world = world();
        let claim = claim_first(&world).unwrap();
        end(claim, &world.open()).unwrap();
        let tried = (state, attempts);
        assert_eq!(there(&world), are(&[tried, tried, tried, ("ready", 0), ("ready", 0)]), "{tried:?}");
        assert_eq!(world.open().stats().unwrap().dead_total, if state == "dead" { u64::from(MANY) } else { 0 });
    }
    let world = world();
    let claim = claim_first(&world).unwrap();
    let ids: Vec<Id> = claim.ids().collect();
    let each = &mut |id: Id| (endings()[ids.iter().position(|other| *other == id).unwrap()], None);
    claim.settle_each(&world.open(), each).unwrap();
    assert_eq!(there(&world), are(&[("delayed", 1), ("dead", 1), ("ready", 0), ("ready", 0)]));
}

#[test]
fn where_there_is_still_no_room_they_go_back_with_their_pack_and_wait_as_they_were_to() {
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    for (again, state) in [(Again::Now, "ready"), (Again::After(second), "delayed"), (Again::After(hour), "delayed")] {
        for counting in [Counting::Counted, Counting::Uncounted] {
            let world = world();
            let claim = claim_first(&world).unwrap();
            let queue = open(&full_but_delayed(&world)).unwrap();
            let settled = claim.nack(&queue, again, counting, None).unwrap();
            assert_eq!(matches!(settled, Settled::Delayed { .. }), state == "delayed");
            assert_eq!(there(&world), untried(state));
            world.machine.set_clock(world.machine.now().plus(second));
            assert_eq!(claim_of(&queue, COUNT, COUNT).unwrap().messages(), COUNT);
        }
    }
    // Nor is there room for what they would wait in.
    let world = world();
    let claim = claim_first(&world).unwrap();
    let settled = claim.nack(&open(&world.without_room()).unwrap(), Again::After(second), Counting::Counted, None);
    assert_eq!((settled.unwrap(), there(&world)), (Settled::Ready, untried("ready")));
}

/// A disk that has room for a bucket of what is delayed, and for no opening.
fn full_but_delayed(world: &World) -> Disk {
    let bucket = |name: &str| name.len() == 16;
    world.refusing(move |step| step.strip_prefix("make_dir ").filter(|name| !bucket(name)).map(|_| Errno::NOSPC))
}

#[test]
fn where_not_all_end_alike_and_there_is_no_room_nothing_has_ended() {
    let world = world();
    let claim = claim_first(&world).unwrap();
    let ids: Vec<Id> = claim.ids().collect();
    let each = &mut |id: Id| (endings()[ids.iter().position(|other| *other == id).unwrap()], None);
    let settled = claim.settle_each(&open(&full_but_delayed(&world)).unwrap(), each);
    assert!(matches!(&settled, Err(error) if error.no_room()), "{settled:?}");
    assert_eq!(there(&world), untried("delayed"));
}

#[test]
fn of_a_worker_that_is_lost_the_first_alone_has_had_an_attempt() {
    let mut world = World::empty(PLAIN, 1);
    lost(&mut world);
    let queue = world.open();
    queue.recover().unwrap();
    assert_eq!(there(&world), are(&[("ready", 1), ("ready", 0), ("ready", 0), ("ready", 0), ("ready", 0)]));
    let place = place_of(&queue, claim_one(&queue, Lease::Live).unwrap().id()).unwrap();
    assert_eq!(place.name.attempts.count(), 2);
}

#[test]
fn one_of_them_and_one_behind_them_are_cancelled_by_whoever_has_them_or_comes_next() {
    for number in [2, 5] {
        let world = world();
        let claim = claim_first(&world).unwrap();
        let id = further(claim.id(), number - 1);
        let queue = world.open();
        let place = place_of(&queue, id).unwrap();
        assert!(matches!(queue.cancel(&place, "not needed").unwrap(), Cancelled::Asked { .. }));
        assert_eq!((claim.has(id), claim.has_waiting(id)), (number == 2, number == 5));
        drop(claim);
        queue.recover().unwrap();
        let states: Vec<_> = there(&world).into_iter().map(|(state, _)| state).collect();
        let expected: Vec<_> = (1..=COUNT).map(|other| if other == number { "dead" } else { "ready" }).collect();
        assert_eq!(states, expected);
    }
}

#[test]
fn one_of_them_that_is_damaged_is_found_before_anything_is_claimed() {
    let world = world();
    let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let mut bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == b"packed 2").unwrap();
    bytes[at] ^= 1;
    world.machine.write(format!("{Q}/{path}"), &bytes);
    let claimed = claim_first(&world);
    assert!(matches!(&claimed, Err(error) if error.no_room()), "{claimed:?}");
    // With room what is whole comes out.
    let claim = claim_one(&world.open(), Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), body(1));
}
