//! What becomes due, however much at once.

use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one, urgent};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Found, Scout, Settled};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> World {
    let world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world
}

/// How many stand in each state.
fn states(world: &World) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for seen in Survey::of(&world.machine, Q).messages {
        *states.entry(seen.state).or_insert(0) += 1;
    }
    states
}

#[test]
fn all_that_is_due_is_ready_with_the_next_look_and_leaves_no_directory() {
    let mut world = world();
    let disk = world.machine.disk();
    let due = world.machine.now().plus(MINUTE);
    for (body, priority) in [("1", 1), ("2", 3), ("3", 9), ("4", 7), ("5", 5)] {
        world.send(&disk, Q, body.as_bytes(), Envelope { due: Some(due), ..urgent(priority) }).unwrap();
    }
    let later = due.plus(60 * MINUTE);
    world.send(&disk, Q, b"later", Envelope { due: Some(later), ..urgent(9) }).unwrap();
    world.machine.advance(2 * MINUTE);
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    assert_eq!(body_of(&claim).unwrap(), b"3", "the most urgent of all that are due");
    let expected = [("claimed", 1), ("delayed", 1), ("ready", 4)].map(|(state, many)| (state.to_string(), many));
    assert_eq!(states(&world), BTreeMap::from(expected));
    // That of the minute in which they were due has gone.
    let left = world.machine.files(format!("{Q}/delayed"));
    assert!(left.len() == 1 && !left[0].ends_with('/'), "{left:?}");
    let bucket = left[0].split('/').next().unwrap();
    assert!(bucket.parse::<u64>().unwrap() > world.machine.now().micros());
}

/// A look makes no more of them ready than it has time for, and the next one goes on, also that of the same claimer.
#[test]
fn of_many_that_are_due_each_look_takes_some_and_the_next_one_goes_on() {
    const MANY: usize = 1500;
    let mut world = world();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"a sample", Envelope::default()).unwrap();
    let sample = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/")).unwrap();
    let bytes = world.machine.read(format!("{Q}/{sample}")).unwrap();
    let due = world.machine.now().micros() / 60_000_000 * 60_000_000;
    for id in (due..).take(MANY) {
        world.machine.write(format!("{Q}/delayed/{due:016}/{due:016}-{id:016}-{due:016}-4-00000"), &bytes);
    }
    for body in [b"1", b"2", b"3"] {
        world.send(&disk, Q, body, urgent(9)).unwrap();
    }
    world.machine.advance(2 * MINUTE);
    let (queue, mut scout) = (world.open(), Scout::new());
    let mut left = Vec::new();
    for _ in 0..2 {
        let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() else { panic!("nothing") };
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
        let files = world.machine.files(format!("{Q}/delayed"));
        left.push(files.iter().filter(|path| !path.ends_with('/')).count());
    }
    assert!(left[0] > 0 && left[0] < MANY && left[1] == 0, "{left:?}");
}
