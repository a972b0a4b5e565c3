//! A message that stood in a pack when it was listed, and has come out of it since: wherever it is, what is done to it is done
//! to that one, or it is said who has it.

use super::{body, claim_part, open, sent};
use crate::queue::survey::Survey;
use crate::queue::verbs::{cancelled, place_of};
use crate::queue::world::{PLAIN, Q, World, claim_one};
use crate::support::inject::{Injected, Plan};
use mq::fs::{Dir, Disk};
use mq::queue::name::{Lease, State};
use mq::queue::{Error, Place, Queue, Removed, Result};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

fn world() -> World {
    let mut world = World::empty(PLAIN, 1);
    sent(&mut world);
    world
}

/// Where the message of this number stands: in the pack.
fn place(world: &World, number: usize) -> Place {
    let mut places = Vec::new();
    let each = |place: Place, _: &Dir| {
        places.push(place);
        Ok(ControlFlow::Continue(()))
    };
    world.open().each_place(State::Ready, each).unwrap();
    let place = places.swap_remove(number - 1);
    assert!(place.in_pack.is_some());
    place
}

fn is_there(world: &World, number: u32) -> bool {
    Survey::of(&world.machine, Q).messages.iter().any(|seen| seen.body == body(number))
}

/// The directory in `tmp/` in which a pack is being opened, below the queue.
fn opening(world: &World) -> String {
    let spent =
        world.machine.files(Q).into_iter().find(|path| path.contains("/spent-")).expect("a pack that is opened");
    spent.rsplit_once('/').unwrap().0.to_string()
}

/// A pack whose opener is in the middle of it; its lock goes with what comes back. And where its third message stood.
fn opened_by_another() -> (World, Place) {
    let mut world = world();
    let place = place(&world, 3);
    half_opened_again(&mut world);
    (world, place)
}

fn half_opened_again(world: &mut World) {
    let opened = |world: &World| world.machine.files(Q).iter().any(|path| path.contains("/spent-"));
    world.stop_when(|_, disk| claim_one(&open(disk)?, Lease::Live).map(drop), opened);
    *world = world.fork();
}

fn lock(world: &World) -> Dir {
    let disk = world.machine.disk();
    let dir = disk.open_queue(Path::new(&format!("{Q}/{}", opening(world)))).unwrap();
    assert!(disk.try_lock_dir(&dir).unwrap());
    dir
}

fn remove(disk: &Disk, place: &Place) -> Result<Removed> {
    open(disk)?.remove(place)
}

#[test]
fn what_a_killed_opener_had_on_its_way_is_brought_home_for_it() {
    let (world, place) = opened_by_another();
    assert_eq!(remove(&world.machine.disk(), &place).unwrap(), Removed::Removed);
    assert!(!is_there(&world, 3) && is_there(&world, 4));
}

#[test]
fn what_is_on_its_way_is_waited_for_a_moment() {
    let (world, place) = opened_by_another();
    // Something else in tmp/, which comes first.
    world.machine.write(format!("{Q}/tmp/{}", "2".repeat(26)), b"");
    world.machine.write(format!("{Q}/tmp/README"), b"");
    let opener = lock(&world);
    let begun = Instant::now();
    let removed = remove(&world.machine.disk(), &place);
    assert!(matches!(removed, Err(Error::Held { by: None, .. })), "{removed:?}");
    // Some thirty looks, a millisecond apart.
    assert!(begun.elapsed() > Duration::from_millis(20), "{:?}", begun.elapsed());
    drop(opener);
    world.open().recover().unwrap();
    assert!(is_there(&world, 3));
}

/// Its opener is done before any of the steps of whoever waits for it.
#[test]
fn what_came_home_meanwhile_is_found_there() {
    let (prepared, place) = opened_by_another();
    for n in 1..150 {
        let world = prepared.fork();
        let opener = lock(&world);
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let other = world.open();
        let disk = Disk::new(steps.meanwhile(n, move || {
            drop(opener);
            other.recover().expect("a recovery");
        }));
        let removed = remove(&disk, &place);
        assert!(matches!(removed, Ok(Removed::Removed)), "{removed:?}, home before step {n}:\n{}", tape.trace());
        assert!(!is_there(&world, 3) && is_there(&world, 4));
    }
}

#[test]
fn an_opener_that_cannot_be_read_is_an_error() {
    let (world, place) = opened_by_another();
    let _opener = lock(&world);
    let step = format!("open_dir {}", opening(&world).rsplit_once('/').unwrap().1);
    let disk = world.refusing(move |it| (it == step).then_some(Errno::IO));
    let removed = remove(&disk, &place);
    let Err(Error::Disk(error)) = removed else { panic!("{removed:?}") };
    assert_eq!(error.source.raw_os_error(), Some(Errno::IO.raw_os_error()));
}

#[test]
fn what_stands_in_a_bucket_that_is_not_its_own_is_not_waited_for() {
    let world = world();
    let place = place(&world, 3);
    claim_one(&world.open(), Lease::Live).unwrap();
    let path = Survey::of(&world.machine, Q).messages.into_iter().find(|seen| seen.body == body(3)).unwrap().path;
    let bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
    world.machine.remove(format!("{Q}/{path}"));
    let name = path.rsplit('/').next().unwrap();
    world.machine.write(format!("{Q}/ready/7/1600000000000000/{name}"), &bytes);
    let (disk, tape) = world.injected(Plan::Healthy);
    let removed = remove(&disk, &place);
    assert!(matches!(removed, Err(Error::Unknown { .. })), "{removed:?}");
    assert!(tape.steps() < 300, "{} steps", tape.steps());
}

#[test]
fn what_was_claimed_by_itself_is_its_holders() {
    let world = world();
    let place = place(&world, 1);
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(claim.id(), place.id());
    let removed = remove(&world.machine.disk(), &place);
    assert!(matches!(removed, Err(Error::Held { .. })), "{removed:?}");
    assert!(is_there(&world, 1));
}

#[test]
fn what_is_in_a_part_of_its_pack_is_found_there() {
    for number in [3, 5] {
        let mut world = world();
        let place = place(&world, number);
        let disk = world.machine.disk();
        claim_part(&mut world, &disk).unwrap();
        assert_eq!(remove(&disk, &place).unwrap(), Removed::Removed, "{number}");
        assert!(!is_there(&world, number as u32) && is_there(&world, 4));
    }
}

/// Who wants to remove what waits does not remove what has ended.
#[test]
fn what_has_ended_since_is_gone_from_where_it_was() {
    let world = world();
    let place = place(&world, 3);
    let queue: Queue = world.open();
    let now = place_of(&queue, place.id()).unwrap();
    cancelled(queue.cancel(&now, "not needed any more").unwrap(), &now, false).unwrap();
    assert_eq!(remove(&world.machine.disk(), &place).unwrap(), Removed::Gone);
    assert!(is_there(&world, 3));
}
