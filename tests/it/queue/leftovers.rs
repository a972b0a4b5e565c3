//! What recovery makes of what stands in `tmp/`: what was never finished goes, what is whole is published, and everything else
//! is kept.

use super::survey::Survey;
use super::world::{Config, PLAIN, Q, World, body_of, claim_one, due_at};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Cut;
use mq::fs::{Disk, Store};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Error, Queue};
use std::path::Path;
use std::time::Duration;

const DRAFT: &str = "/q/tmp/abcdefghijklmnopqrstuvwxyz";

/// An empty queue, and the bytes of a message that was taken out of it.
fn world(envelope: impl Fn(&World) -> Envelope) -> (World, Vec<u8>) {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let envelope = envelope(&world);
    world.send(&disk, Q, b"body", envelope).unwrap();
    let path = format!("{Q}/{}", Survey::of(&world.machine, Q).messages[0].path);
    let bytes = world.machine.read(&path).unwrap();
    world.machine.remove(path);
    (world, bytes)
}

/// Whether a draft stands, and how many messages were set aside, and how many are in the queue.
type Fate = (bool, usize, usize);

fn standing(world: &World) -> Fate {
    let survey = Survey::of(&world.machine, Q);
    (world.machine.read(DRAFT).is_some(), survey.damaged.len(), survey.messages.len())
}

#[test]
fn only_what_was_never_finished_is_deleted() {
    const GONE: Fate = (false, 0, 0);
    const ASIDE: Fate = (false, 1, 0);
    let (world, whole) = world(|_| Envelope::default());
    let end = whole.iter().position(|&byte| byte == b'\n').unwrap();
    let half_a_header = [&whole[..20], &b" ".repeat(end - 20), b"\nbody"].concat();
    let scenes: &[(&[u8], Fate)] = &[
        (b"", GONE),
        (b" ", GONE),
        (&b" ".repeat(100_000), GONE),
        (b"     \nhalf a bo", GONE),
        (&half_a_header, GONE),
        (&whole, (false, 0, 1)),
        (b"garbage", ASIDE),
        (b"garbage\n", ASIDE),
        (b"  garbage", ASIDE),
        // As long as what is read at once, as the longest header, and longer.
        (&b"x".repeat(16 << 10), ASIDE),
        (&b"x".repeat(64 << 10), ASIDE),
        (&b"x".repeat(100_000), ASIDE),
        (&whole[..end], ASIDE),
        (&whole[..whole.len() - 1], ASIDE),
    ];
    for (bytes, fate) in scenes {
        let world = world.fork();
        world.machine.write(DRAFT, bytes);
        world.open().recover().unwrap();
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert_eq!(standing(&world), *fate, "{} bytes: {what:?}", bytes.len());
    }
}

#[test]
fn a_message_of_another_format_is_left_where_it_is() {
    let (world, whole) = world(|_| Envelope::default());
    let future = String::from_utf8(whole).unwrap().replacen("\"mq\":1", "\"mq\":2", 1);
    for bytes in [future.as_str(), "{\"mq\":2}\n"] {
        world.machine.write(DRAFT, bytes.as_bytes());
        let recovered = world.open().recover();
        assert!(matches!(recovered, Err(Error::Unknown { .. })), "{recovered:?}");
        assert_eq!(world.machine.read(DRAFT).unwrap(), bytes.as_bytes());
    }
}

#[test]
fn a_message_for_later_that_was_left_comes_later() {
    let hour = Duration::from_secs(3600);
    let (world, whole) = world(|world| due_at(world.machine.now().plus(hour)));
    world.machine.write(DRAFT, &whole);
    let queue = world.open();
    queue.recover().unwrap();
    assert_eq!(standing(&world), (false, 0, 1));
    assert!(claim_one(&queue, Lease::Live).is_err(), "an hour early");
    world.machine.advance(hour);
    assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"body");
}

#[test]
fn what_has_no_name_of_mqs_is_never_deleted() {
    let (world, _) = world(|_| Envelope::default());
    let names = ["notes", "abcdefghijklmnopqrstuvwxyza", "Abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxy1"];
    for name in names {
        world.machine.write(format!("{Q}/tmp/{name}"), b"");
        world.machine.mkdir(format!("{Q}/tmp/{name}.d"));
    }
    world.machine.mkdir(format!("{Q}/tmp/directory"));
    let before = world.machine.files(Q);
    world.open().recover().unwrap();
    assert_eq!(world.machine.files(Q), before);
}

/// Its name may be lost with the rename, but then it stands in `tmp/` still: by its own flush, or by that of the directory.
#[test]
fn what_was_said_to_be_sent_is_found_after_a_power_cut_on_every_disk() {
    for store in [Store::Trusted, Store::Other] {
        let mut world = World::empty(Config { store, sync: "send" }, 1);
        let disk = world.machine.disk();
        world.send(&disk, Q, b"body", Envelope::default()).unwrap();
        let after = world.cut(Cut::Nothing);
        let queue = after.open();
        queue.recover().unwrap();
        assert_eq!(body_of(&claim_one(&queue, Lease::Live).unwrap()).unwrap(), b"body", "{store:?}");
    }
}

/// An empty file that nobody has locked yet is litter to whoever comes by.
#[test]
fn a_send_whose_file_was_taken_for_litter_begins_again() {
    for n in 1.. {
        let world = World::empty(PLAIN, 1);
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let machine = world.machine.clone();
        let steps = steps.meanwhile(n, move || {
            let other = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
            match other.recover() {
                Ok(_) | Err(Error::Busy { .. }) => (),
                Err(error) => panic!("before step {n}: {error}"),
            }
        });
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        let mut draft = queue.draft(Envelope::default()).unwrap();
        draft.write(b"body").unwrap();
        draft.publish().unwrap();
        assert_eq!(standing(&world), (false, 0, 1), "before step {n}");
        assert!(world.machine.files("/q/tmp").is_empty(), "{}", world.machine.listing(Q));
        if tape.steps() < n {
            break;
        }
    }
}
