//! Steps of those who end a message, or let it go on.

use super::{Case, MINUTE, claim, file, group, open, places, remove, with};
use crate::queue::world::{Q, World, body_of, claim_one};
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Envelope, Error, Queue, Result, Settled};

/// The first message of a group is claimed, with a receipt.
fn claimed(lease: Lease, settings: &[(&str, &str)]) -> World {
    let mut world = group(settings);
    let claim = claim_one(&world.open(), lease).unwrap();
    world.receipts.push((claim.receipt(Q), body_of(&claim).unwrap()));
    world
}

/// Ends what the receipt is for.
fn by_receipt(world: &World, disk: &Disk, end: fn(mq::queue::Claim, &Queue) -> Result<Settled>) -> Result<String> {
    let queue = open(disk)?;
    match queue.redeem(&world.receipts[0].0, None).and_then(|claim| end(claim, &queue)) {
        Err(Error::Lost { .. }) => Ok("lost".to_string()),
        settled => then(&queue, settled?),
    }
}

fn ack_by_receipt(world: &World, disk: &Disk) -> Result<String> {
    by_receipt(world, disk, |claim, queue| claim.ack(queue))
}

/// What comes after it.
fn then(queue: &Queue, settled: Settled) -> Result<String> {
    Ok(format!("{settled:?}, {}", claim(queue)?))
}

fn ack(_: &World, disk: &Disk) -> Result<String> {
    let queue = open(disk)?;
    let settled = claim_one(&queue, Lease::Live)?.ack(&queue)?;
    then(&queue, settled)
}

/// The first message of a group waits for a retry.
fn delayed() -> World {
    let world = group(&[]);
    let queue = world.open();
    let later = Again::After(60 * MINUTE);
    claim_one(&queue, Lease::Live).unwrap().nack(&queue, later, Counting::Counted, None).unwrap();
    drop(queue);
    world
}

fn remove_delayed(_: &World, disk: &Disk) -> Result<String> {
    let queue = open(disk)?;
    let place = places(&queue, State::Delayed)?.pop().unwrap();
    Ok(format!("{:?}, {}", queue.remove(&place)?, claim(&queue)?))
}

fn keeping() -> World {
    with(&[("retain", "1h")], &[("1", Envelope::default()), ("2", Envelope::default())])
}

fn kept() -> World {
    let world = keeping();
    let queue = world.open();
    for _ in 0..2 {
        assert_eq!(claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap(), Settled::Acked);
    }
    drop(queue);
    world.machine.advance(61 * MINUTE);
    world
}

fn expire(_: &World, disk: &Disk) -> Result<String> {
    let queue = open(disk)?;
    let removed = queue.expire_done()?;
    Ok(format!("{removed} removed, {} left", places(&queue, State::Done)?.len()))
}

pub const CASES: &[Case] = &[
    // A message of a group, by its receipt: by that of a timed lease, and by that of a live one.
    Case {
        prepare: || claimed(Lease::Timed(MINUTE), &[]),
        act: ack_by_receipt,
        step: (&[" open ", "-g"], 0),
        meanwhile: &[(|machine| remove(machine, &["groups/", "-g"]), "lost")],
    },
    Case {
        prepare: || {
            let world = claimed(Lease::Timed(MINUTE), &[]);
            super::below(&world, &["1"]);
            world
        },
        act: ack_by_receipt,
        step: (&["open_dir 1"], 0),
        meanwhile: &[(|machine| remove(machine, &["groups/", "/1", "/1", "-g"]), "lost")],
    },
    Case {
        prepare: || claimed(Lease::Live, &[]),
        act: ack_by_receipt,
        step: (&["rename", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["claimed/", "-t"]), "lost")],
    },
    // By its holder.
    Case {
        prepare: || group(&[]),
        act: ack,
        step: (&["unlink", "-g"], 0),
        meanwhile: &[(|machine| remove(machine, &["groups/", "-g"]), "Acked, claimed 2")],
    },
    Case {
        prepare: || group(&[("group_on_dead", "hold")]),
        act: |_, disk| {
            let queue = open(disk)?;
            let settled = claim_one(&queue, Lease::Live)?.dead(&queue, None)?;
            then(&queue, settled)
        },
        step: (&["rename", "-t"], 1),
        meanwhile: &[(|machine| remove(machine, &["claimed/", "-t"]), "Already, nothing")],
    },
    // By a person.
    Case {
        prepare: delayed,
        act: remove_delayed,
        step: (&[" open ", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["delayed/", "-t"]), "Gone, nothing")],
    },
    Case {
        prepare: delayed,
        act: remove_delayed,
        step: (&["rename", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["delayed/", "-t"]), "Gone, nothing")],
    },
    // What is kept: an error keeps it where it is, and no twin that is there already is written over.
    Case {
        prepare: keeping,
        act: ack,
        step: (&["rename"], 1),
        meanwhile: &[(
            |machine| {
                let claimed = file(machine, &["claimed/"]);
                let (name, _) = claimed.rsplit('/').next().unwrap().split_at(16 + 1 + 16 + 1 + 1 + 1 + 5);
                machine.write(format!("{Q}/done/{}/{name}", &name[17..33]), b"a twin");
            },
            "Acked, claimed 2",
        )],
    },
    Case {
        prepare: kept,
        act: expire,
        step: (&["open_dir 1"], 0),
        meanwhile: &[(
            |machine| {
                let path = file(machine, &["done/"]);
                machine.remove(path.rsplit_once('/').unwrap().0);
            },
            "0 removed, 0 left",
        )],
    },
    Case {
        prepare: kept,
        act: expire,
        step: (&["stat_at 1"], 0),
        meanwhile: &[(|machine| remove(machine, &["done/"]), "1 removed, 0 left")],
    },
    Case {
        prepare: kept,
        act: expire,
        step: (&["unlink 1"], 0),
        meanwhile: &[(|machine| remove(machine, &["done/"]), "1 removed, 0 left")],
    },
];
