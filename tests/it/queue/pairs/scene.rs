//! What two processes find when they come: queues of a few messages, in which all that both do is about the same ones.

use super::super::packs;
use super::super::survey::{Survey, open};
use super::super::verbs;
use super::super::world::{Q, World, claim_one, urgent};
use super::acts::{Said, Shared};
use mq::queue::Envelope;
use mq::queue::name::Lease;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub type Scene = fn(&mut World);

/// What both find, as it is for each run anew.
pub fn begun(world: &World) -> Arc<Shared> {
    let world = world.fork();
    Arc::new(Shared {
        machine: world.machine,
        config: world.config,
        receipt: world.receipts.into_iter().next_back(),
        said: Mutex::new(Said::new(world.ledger)),
    })
}

fn send(world: &mut World, body: &[u8], envelope: Envelope) {
    let disk = world.machine.disk();
    world.send(&disk, Q, body, envelope).unwrap();
}

pub fn plain(world: &mut World) {
    send(world, b"plain 1", Envelope::default());
    send(world, b"plain 2", Envelope::default());
}

/// A worker was killed, and a sender just before its rename.
pub fn crashed(world: &mut World) {
    plain(world);
    let queue = world.open();
    drop(claim_one(&queue, Lease::Live).unwrap());
    let whole = |world: &World| {
        let files = world.machine.files("/q/tmp");
        files.iter().any(|path| world.machine.read(format!("/q/tmp/{path}")).is_some_and(|bytes| open(&bytes).is_ok()))
    };
    world.stop_when(|world, disk| world.send(disk, Q, b"whole", Envelope::default()), whole);
}

/// A timed claim, whose lease is over.
pub fn expired(world: &mut World) {
    plain(world);
    let disk = world.machine.disk();
    world.claim_timed(&disk, Duration::from_secs(60)).unwrap();
    world.machine.settle();
    world.machine.advance(Duration::from_secs(61));
}

/// One message is dead, and one ready.
pub fn buried(world: &mut World) {
    let disk = world.machine.disk();
    send(world, b"dead", urgent(7));
    verbs::dead(world, &disk).unwrap();
    world.ledger.let_move();
    send(world, b"plain 1", Envelope::default());
}

pub fn two_buckets(world: &mut World) {
    send(world, b"in the old bucket", urgent(7));
    world.machine.reboot();
    send(world, b"in the new bucket", urgent(7));
}

/// Three messages in a pack.
pub fn packed(world: &mut World) {
    packs::reserved(world);
    let disk = world.machine.disk();
    let bodies: Vec<(Vec<u8>, Envelope)> = (1..=3).map(|n| (format!("packed {n}").into_bytes(), urgent(7))).collect();
    bodies.iter().for_each(|(body, _)| world.ledger.sending(body));
    let queue = world.open();
    let mut batch = queue.batch().unwrap().packing(2, 3);
    for (body, envelope) in &bodies {
        batch.begin(envelope).unwrap();
        batch.write(body).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    drop((queue, disk));
    for seen in Survey::of(&world.machine, Q).messages {
        world.ledger.sent(&seen.body, Some(&seen.uid));
    }
}

/// The same, and a message behind it, so that the pack may be taken in hand.
pub fn packed_before_another(world: &mut World) {
    packed(world);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"behind the pack", urgent(7)).unwrap();
}

/// Whoever was opening it was killed when the pack was taken in.
pub fn half_opened(world: &mut World) {
    packed(world);
    let opened = |world: &World| world.machine.files(Q).iter().any(|path| path.contains("/spent-"));
    world.stop_when(verbs::claim, opened);
}
