//! How much a history holds.

use super::verbs::record;
use super::world::{PLAIN, Q, World, claim_one};
use mq::queue::name::Lease;
use mq::queue::{Again, Attempt, Counting, Envelope, HISTORY_MAX, Outcome};
use mq::time::Time;

/// The file of the one message, and what is in it.
fn ready(world: &World) -> (String, Vec<u8>) {
    let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let path = format!("{Q}/{path}");
    let bytes = world.machine.read(&path).unwrap();
    (path, bytes)
}

/// Fails once; by how much the file has grown.
fn fail(world: &World) -> usize {
    let before = ready(world).1.len();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let how = record(queue.disk(), claim.attempt(), Outcome::Exit);
    claim.nack(&queue, Again::Now, Counting::Counted, how).unwrap();
    ready(world).1.len() - before
}

#[test]
fn a_record_that_just_fits_is_kept_and_one_that_does_not_is_left_out() {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world.send(&world.machine.disk(), Q, b"1", Envelope::default()).unwrap();
    // The first one begins with a newline.
    let line = fail(&world.fork()) - 1;
    for (room, grows) in [(line, line), (line - 1, 0)] {
        let world = world.fork();
        let (path, mut bytes) = ready(&world);
        let mut old = Attempt::new(9, Time::from_micros(0), Outcome::Exit);
        let empty = serde_json::to_string(&Attempt { stderr: Some(String::new()), ..old.clone() }).unwrap();
        let most = usize::try_from(HISTORY_MAX).unwrap();
        old.stderr = Some("x".repeat(most - room - empty.len() - 2));
        bytes.extend(format!("\n{}\n", serde_json::to_string(&old).unwrap()).as_bytes());
        world.machine.write(&path, &bytes);
        assert_eq!(fail(&world), grows);
    }
}
