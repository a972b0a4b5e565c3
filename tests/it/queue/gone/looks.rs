//! Steps of those who look for a message: of a claim, of a list, and of what is done in passing.

use super::{Case, MINUTE, below, claim, empty, file, group, in_group, open, places, remove, with};
use crate::queue::world::{Q, World, claim_one, due_at, urgent};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{GroupMark, Lease, State};
use mq::queue::{Envelope, Result};

/// The directory of the group.
fn group_dir(machine: &Machine) -> String {
    let path = file(machine, &["groups/"]);
    path.split('/').take(4).collect::<Vec<_>>().join("/")
}

/// The bucket below it.
fn bucket(machine: &Machine) -> String {
    let path = file(machine, &["groups/", "/1", "/1", "-g"]);
    path.rsplit_once('/').unwrap().0.to_string()
}

/// A group whose second message alone stands in a bucket, and whose first one is gone, with its ticket still claimed.
fn goes_on() -> World {
    let world = group(&[]);
    drop(claim_one(&world.open(), Lease::Live).unwrap());
    world.machine.remove(super::path_of(&world, "1"));
    world
}

fn goes_on_below() -> World {
    let world = goes_on();
    below(&world, &["2"]);
    world
}

/// One that ended with its last message, but for its ticket.
fn ends() -> World {
    let world = with(&[], &[("1", in_group())]);
    drop(claim_one(&world.open(), Lease::Live).unwrap());
    world.machine.remove(super::path_of(&world, "1"));
    world
}

/// A group without a ticket, after a start of the machine.
fn without_ticket() -> World {
    let world = group(&[]);
    remove(&world.machine, &["ready/", "-t"]);
    world.machine.reboot();
    world
}

/// Two tickets for one group.
fn spare_ticket() -> World {
    let world = group(&[]);
    let ticket = file(&world.machine, &["ready/", "-t"]);
    world.machine.write(ticket.replace("-00000-t", "-00001-t"), b"");
    world.machine.reboot();
    world
}

/// A group whose directory has grown.
fn large() -> World {
    let world = group(&[]);
    let dir = group_dir(&world.machine);
    (0..400).for_each(|number| world.machine.write(format!("{dir}/x{number}"), b""));
    world
}

fn due() -> World {
    let mut world = empty(&[]);
    let due = world.machine.now().plus(MINUTE);
    world.send(&world.machine.disk(), Q, b"due", due_at(due)).unwrap();
    world.machine.advance(2 * MINUTE);
    world
}

fn expired(on_expire: &str) -> World {
    let world = with(&[("on_expire", on_expire)], &[("old", Envelope { ttl: Some(MINUTE), ..Envelope::default() })]);
    world.machine.advance(2 * MINUTE);
    world
}

fn damaged() -> World {
    let world = with(&[], &[("1", Envelope::default())]);
    let path = super::path_of(&world, "1");
    let mut bytes = world.machine.read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    world.machine.write(&path, &bytes);
    world
}

fn recover(world: &World, disk: &Disk) -> Result<String> {
    let _ = world;
    open(disk)?.recover()?;
    Ok("recovered".to_string())
}

fn send(world: &World, disk: &Disk) -> Result<String> {
    world.clone().send(disk, Q, b"4", in_group())?;
    assert_eq!(world.machine.files(format!("{Q}/tmp")), [""; 0]);
    let (claimed, places) = (claim(&world.open())?, places(&world.open(), State::Ready)?.len());
    Ok(format!("sent, {claimed}, {places} ready"))
}

pub const CASES: &[Case] = &[
    // The ticket of a group.
    Case {
        prepare: || group(&[]),
        act: |_, disk| claim(&open(disk)?),
        step: (&[" open ", "-t", "Write"], 0),
        meanwhile: &[
            (|machine| remove(machine, &["ready/", "-t"]), "nothing"),
            (
                |machine| {
                    let ticket = file(machine, &["ready/", "-t"]);
                    machine.remove(&ticket);
                    machine.symlink(ticket, "/");
                },
                "nothing",
            ),
        ],
    },
    Case {
        prepare: || group(&[]),
        act: |_, disk| claim(&open(disk)?),
        step: (&["rename", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["ready/", "-t"]), "nothing")],
    },
    // Its first message.
    Case {
        prepare: || group(&[]),
        act: |_, disk| claim(&open(disk)?),
        step: (&[" open ", "-g", "Write"], 0),
        meanwhile: &[(|machine| remove(machine, &["groups/", "-g"]), "claimed 2")],
    },
    // Sends a ticket on whose message has ended.
    Case {
        prepare: goes_on,
        act: recover,
        step: (&["rename", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["claimed/", "-t"]), "recovered")],
    },
    Case {
        prepare: goes_on_below,
        act: recover,
        step: (&["open_dir 1"], 1),
        meanwhile: &[(|machine| machine.remove(bucket(machine)), "recovered")],
    },
    Case {
        prepare: ends,
        act: recover,
        step: (&["rename", "-t", "to ticket"], 0),
        meanwhile: &[
            (|machine| remove(machine, &["claimed/", "-t"]), "recovered"),
            (|machine| machine.write(format!("{}/ticket", group_dir(machine)), b""), "recovered"),
        ],
    },
    // A list of what waits.
    Case {
        prepare: || {
            let world = group(&[]);
            below(&world, &["2"]);
            world
        },
        act: |_, disk| Ok(places(&open(disk)?, State::Ready)?.len().to_string()),
        step: (&["open_dir 1"], 1),
        meanwhile: &[(|machine| machine.remove(bucket(machine)), "2")],
    },
    // Sends to a group: to a new one, to one whose ticket stands in it, and to a large one.
    Case {
        prepare: || empty(&[]),
        act: send,
        step: (&["rename ", " to "], 0),
        meanwhile: &[
            (|machine| machine.remove(parent(&file(machine, &["tmp/", "/ticket"]))), "sent, claimed 4, 0 ready"),
            (|machine| machine.remove(format!("{Q}/groups")), "sent, claimed 4, 0 ready"),
            (
                |machine| machine.write(format!("{Q}/groups/{}/ticket", GroupMark::of("a")), b""),
                "sent, claimed 4, 0 ready",
            ),
        ],
    },
    Case { prepare: || empty(&[]), act: send, step: (&["rename ticket"], 0), meanwhile: &[] },
    Case {
        prepare: large,
        act: send,
        step: (&["make_dir 1"], 0),
        meanwhile: &[(large_bucket, "sent, claimed 1, 3 ready")],
    },
    Case {
        prepare: large,
        act: send,
        step: (&["open_dir 1"], 0),
        meanwhile: &[(|machine| machine.remove(made(machine)), "sent, claimed 1, 3 ready")],
    },
    // After a start of the machine each group has one ticket again.
    Case {
        prepare: without_ticket,
        act: |_, disk| claim(&open(disk)?),
        step: (&["create ticket"], 0),
        meanwhile: &[(|machine| machine.write(format!("{}/ticket", group_dir(machine)), b""), "claimed 1")],
    },
    Case {
        prepare: spare_ticket,
        act: send,
        step: (&[" open ", "-t", "Read"], 0),
        meanwhile: &[(|machine| remove(machine, &["ready/", "-00001-t"]), "sent, claimed 1, 3 ready")],
    },
    Case {
        prepare: spare_ticket,
        act: send,
        step: (&["unlink", "-t"], 0),
        meanwhile: &[(|machine| remove(machine, &["ready/", "-00001-t"]), "sent, claimed 1, 3 ready")],
    },
    Case {
        prepare: || {
            let world = spare_ticket();
            world.machine.mkdir(format!("{Q}/ready/7/1000000000000000"));
            world
        },
        act: send,
        step: (&["open_dir 1000000000000000"], 1),
        meanwhile: &[(|machine| remove(machine, &["ready/7/1"]), "sent, claimed 1, 3 ready")],
    },
    // What is due.
    Case {
        prepare: due,
        act: |_, disk| claim(&open(disk)?),
        step: (&["open_dir 1"], 0),
        meanwhile: &[(|machine| machine.remove(parent(&file(machine, &["delayed/"]))), "nothing")],
    },
    Case {
        prepare: due,
        act: |_, disk| claim(&open(disk)?),
        step: (&["rename 1"], 0),
        meanwhile: &[
            (|machine| remove(machine, &["delayed/"]), "nothing"),
            (
                |machine| {
                    let (delayed, bytes) = (file(machine, &["delayed/"]), b"a twin");
                    let name = &delayed.rsplit('/').next().unwrap()[17..];
                    machine.write(format!("{Q}/ready/4/{}/{name}", &name[17..33]), bytes);
                },
                "nothing",
            ),
        ],
    },
    // What has expired.
    Case {
        prepare: || expired("drop"),
        act: |_, disk| claim(&open(disk)?),
        step: (&["unlink"], 0),
        meanwhile: &[(|machine| remove(machine, &["ready/"]), "nothing")],
    },
    Case {
        prepare: || expired("dead"),
        act: |_, disk| claim(&open(disk)?),
        step: (&["rename"], 0),
        meanwhile: &[(|machine| remove(machine, &["ready/"]), "nothing")],
    },
    // What is damaged.
    Case {
        prepare: damaged,
        act: |_, disk| claim(&open(disk)?),
        step: (&["rename"], 0),
        meanwhile: &[
            (|machine| remove(machine, &["ready/"]), "nothing"),
            (
                |machine| {
                    let path = file(machine, &["ready/"]);
                    machine.write(format!("{Q}/damaged/{}", path.rsplit('/').next().unwrap()), b"another");
                },
                "nothing",
            ),
        ],
    },
    Case {
        prepare: || {
            let world = damaged();
            claim(&world.open()).unwrap();
            world
        },
        act: |_, disk| {
            let queue = open(disk)?;
            let place = places(&queue, State::Damaged)?.pop().unwrap();
            Ok(format!("{:?}", queue.why_damaged(&place)?))
        },
        step: (&["open", ".why"], 0),
        meanwhile: &[(|machine| remove(machine, &[".why"]), "None")],
    },
    // Nothing of a batch that was not committed is left, and it goes as a whole.
    Case { prepare: batch, act: recover, step: (&["unlink commit"], 0), meanwhile: &[(gone_batch, "recovered")] },
    Case { prepare: batch, act: recover, step: (&["open_dir 000000"], 1), meanwhile: &[(gone_batch, "recovered")] },
    Case { prepare: batch, act: recover, step: (&["unlink 000000"], 0), meanwhile: &[] },
    Case { prepare: batch, act: recover, step: (&["remove_dir 000000"], 0), meanwhile: &[] },
];

fn batch() -> World {
    let world = with(&[], &[("1", urgent(9))]);
    let dir = format!("{Q}/tmp/{}", "a".repeat(26));
    world.machine.write(format!("{dir}/commit"), b"1\n");
    world.machine.write(format!("{dir}/000000/000000-4-0000000000000000"), b"never finished");
    world
}

fn gone_batch(machine: &Machine) {
    let dir = format!("{Q}/tmp/{}", "a".repeat(26));
    machine.remove(format!("{dir}/commit"));
    machine.remove(format!("{dir}/000000"));
    machine.remove(dir);
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').unwrap().0.to_string()
}

fn made(machine: &Machine) -> String {
    file(machine, &["groups/", "/1", "/1"]).trim_end_matches('/').to_string()
}

/// The bucket that the next message of a large group goes to.
fn large_bucket(machine: &Machine) {
    let name = file(machine, &["groups/", "-g"]);
    let bucket = name.rsplit('/').next().unwrap().split('-').nth(1).unwrap();
    machine.mkdir(format!("{}/{bucket}", group_dir(machine)));
}
