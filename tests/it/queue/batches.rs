//! What a batch is published as, how much it counts, and what becomes of it where something fails or is in its way.

use super::world::{PLAIN, Q, World, drain};
use crate::support::inject::Plan;
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::State;
use mq::queue::{Envelope, Error, Queue, Result};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const BODIES: [&str; 3] = ["first", "second", "third"];

/// As one pack, as files, and as files of a group.
const SHAPES: [(u32, Option<&str>); 3] = [(2, None), (100, None), (2, Some("a"))];

fn world(settings: &[(&str, &str)]) -> World {
    let world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    world.open().configure(|all| settings.iter().try_for_each(|(key, value)| all.set(key, value))).unwrap();
    world
}

/// Whether something was wrong after the commit.
fn send(disk: &Disk, shape: (u32, Option<&str>)) -> Result<Option<Error>> {
    send_these(disk, shape, BODIES)
}

fn send_these(disk: &Disk, (least, group): (u32, Option<&str>), bodies: [&str; 3]) -> Result<Option<Error>> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let mut batch = queue.batch()?.packing(least, 100);
    for body in bodies {
        batch.begin(&Envelope { group: group.map(str::to_string), ..Envelope::default() })?;
        batch.write(body.as_bytes())?;
    }
    batch.publish(|_| ())
}

/// The files of messages and packs.
fn files(machine: &Machine) -> Vec<String> {
    let files = machine.files(Q).into_iter().filter(|path| !path.ends_with('/'));
    files.filter(|path| path.starts_with("ready/") || path.starts_with("groups/")).collect()
}

#[test]
fn as_many_as_make_a_pack_are_one() {
    for (many, expected) in [(2, 2), (3, 1), (4, 2), (6, 2), (7, 3), (8, 4)] {
        let world = world(&[]);
        let queue = world.open();
        let mut batch = queue.batch().unwrap().packing(3, 3);
        for number in 0..many {
            batch.begin(&Envelope::default()).unwrap();
            batch.write(format!("{number}").as_bytes()).unwrap();
        }
        assert!(batch.publish(|_| ()).unwrap().is_none());
        assert_eq!(files(&world.machine).len(), expected, "{many} in packs of three");
        assert_eq!(drain(&queue), (0..many).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_batch_counts_as_many_bytes_as_it_takes() {
    for shape in SHAPES {
        let world = world(&[]);
        send(&world.machine.disk(), shape).unwrap();
        let sizes =
            files(&world.machine).into_iter().map(|path| world.machine.read(format!("{Q}/{path}")).unwrap().len());
        let bytes: usize = sizes.sum();
        for (most, fits) in [(bytes - 1, false), (bytes, true)] {
            let world = self::world(&[("max_bytes", &most.to_string())]);
            match send(&world.machine.disk(), shape) {
                Ok(None) => assert!(fits, "{shape:?} in {most} bytes"),
                Err(Error::Limit { key: "max_bytes", .. }) => assert!(!fits, "{shape:?} in {most} bytes"),
                other => panic!("{other:?}"),
            }
            assert_eq!(files(&world.machine).is_empty(), !fits);
        }
    }
}

#[test]
fn the_time_to_live_of_the_queue_is_that_of_each_of_a_batch() {
    for shape in SHAPES {
        let world = world(&[("ttl", "1m"), ("on_expire", "dead")]);
        send(&world.machine.disk(), shape).unwrap();
        world.machine.advance(Duration::from_secs(59));
        assert_eq!(drain(&world.fork().open()), BODIES);
        world.machine.advance(Duration::from_secs(1));
        assert_eq!(drain(&world.open()), [""; 0], "{shape:?}");
        let mut dead = 0;
        let each = |_, _: &_| {
            dead += 1;
            Ok(ControlFlow::Continue(()))
        };
        world.open().each_place(State::Dead, each).unwrap();
        assert_eq!(dead, BODIES.len(), "{shape:?}");
    }
}

/// It is sent whole, in its order, or not at all; and what is not sent leaves nothing behind.
#[test]
fn whatever_fails_a_batch_is_sent_in_its_order_or_not_at_all() {
    for shape in SHAPES {
        let mut prepared = world(&[]);
        super::packs::reserved(&mut prepared);
        for n in 1.. {
            let mut done = true;
            for plan in [Plan::FailOnce(n, Errno::IO), Plan::FailAlikeFrom(n, Errno::IO)] {
                let world = prepared.fork();
                let (disk, tape) = world.injected(plan);
                let sent = send(&disk, shape);
                done &= !tape.struck();
                drop(disk);
                let queue = world.open();
                queue.recover().unwrap();
                let expected: &[&str] = if sent.is_ok() { &BODIES } else { &[] };
                assert_eq!(drain(&queue), expected, "{shape:?} with {plan:?}: {sent:?}\n{}", tape.trace());
                assert_eq!(world.machine.files(format!("{Q}/tmp")), [""; 0], "{shape:?} with {plan:?}");
            }
            if done {
                break;
            }
        }
    }
}

/// An old file that somebody has restored, under an id of the future.
#[test]
fn a_batch_passes_over_an_id_that_is_taken() {
    for shape in SHAPES {
        let world = world(&[]);
        send(&world.machine.disk(), shape).unwrap();
        let names = files(&world.machine);
        let path = names.iter().find(|path| !path.contains("-t")).unwrap();
        let (dir, name) = path.rsplit_once('/').unwrap();
        let first: u64 = name[..16].parse().unwrap();
        // The clock is a day behind, so that ids follow one another.
        world.machine.set_clock(mq::time::Time::from_micros(first - 86_400_000_000));
        let pack = shape == SHAPES[0];
        let taken = format!("{:016}", first + BODIES.len() as u64 + u64::from(!pack));
        let name = match pack {
            true => format!("{taken}-{taken}{}", &name[33..]),
            false => format!("{taken}{}", &name[16..]),
        };
        let old = world.machine.read(format!("{Q}/{path}")).unwrap();
        world.machine.write(format!("{Q}/{dir}/{name}"), &old);
        let new = ["4", "5", "6"];
        let sent = send_these(&world.machine.disk(), shape, new);
        assert!(matches!(sent, Ok(None)), "{shape:?}: {sent:?}");
        assert_eq!(world.machine.read(format!("{Q}/{dir}/{name}")).unwrap(), old);
        let (came, others): (Vec<_>, Vec<_>) = drain(&world.open()).into_iter().partition(|body| body.len() == 1);
        assert_eq!(came, new, "{shape:?}");
        assert_eq!(others.len(), if pack { 6 } else { 4 });
        assert_eq!(world.open().stats().unwrap().sent_total, 6, "{shape:?}");
    }
}

/// An id that nobody was given is none that was sent, nor acknowledged.
#[test]
fn an_id_that_was_passed_over_is_not_counted() {
    let mut world = world(&[]);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    let path = files(&world.machine).pop().unwrap();
    let (dir, name) = path.rsplit_once('/').unwrap();
    let taken = format!("{:016}{}", name[..16].parse::<u64>().unwrap() + 1, &name[16..]);
    let old = world.machine.read(format!("{Q}/{path}")).unwrap();
    world.machine.write(format!("{Q}/{dir}/{taken}"), &old);
    world.send(&disk, Q, b"2", Envelope::default()).unwrap();
    let queue = world.open();
    assert_eq!(drain(&queue), ["1", "1", "2"]);
    let stats = queue.stats().unwrap();
    assert_eq!((stats.sent_total, stats.acked_total), (2, 2));
}

/// Somebody's directory in what a killed sender has left.
#[test]
fn what_is_foreign_in_a_batch_stays_and_stops_nobody() {
    let dir = format!("{Q}/tmp/{}", "a".repeat(26));
    for committed in [false, true] {
        let mut world = world(&[]);
        world.send(&world.machine.disk(), Q, b"sent", Envelope::default()).unwrap();
        let message = world.machine.read(format!("{Q}/{}", files(&world.machine)[0])).unwrap();
        world.machine.write(format!("{dir}/000000/000000-4-0000000000000000"), &message);
        world.machine.write(format!("{dir}/000000/theirs/file"), b"somebody's");
        match committed {
            true => world.machine.write(format!("{dir}/commit"), b"1\n"),
            false => world.machine.write(format!("{dir}/commit/theirs/file"), b"somebody's"),
        }
        let queue = world.open();
        queue.recover().unwrap();
        queue.recover().unwrap();
        assert_eq!(drain(&queue).len(), if committed { 2 } else { 1 });
        let left = ["000000/theirs/file", "commit/theirs/file"];
        assert_eq!(world.machine.files(&dir), if committed { &left[..1] } else { &left[..] });
    }
}

/// However they come in, in pieces and of any length: the same packs, with the same messages.
#[test]
fn lines_that_are_taken_together_are_the_messages_that_they_would_be_one_by_one() {
    let long = "x".repeat(70_000);
    let texts = ["a\n", "", "\n", "\n\n\n", "a\nbb\nccc\n", "a\nbb\nc", "a\nb\nc\nd\ne\nf\ng\nh\n"];
    let texts = texts.map(str::to_string).into_iter().chain([format!("a\n{long}\nb\nc\n"), format!("{long}\na\nb\n")]);
    for text in texts {
        for most in [2, 3, 100] {
            let (one_by_one, together) = (world(&[]), world(&[]));
            for (world, at_once) in [(&one_by_one, false), (&together, true)] {
                let queue = world.open();
                let mut batch = queue.batch().unwrap().packing(2, most);
                let mut rest = text.as_bytes();
                while !rest.is_empty() {
                    let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
                    let (line, after) = rest.split_at(end);
                    batch.begin(&Envelope::default()).unwrap();
                    batch.write(line).unwrap();
                    rest = after;
                    if at_once && line.ends_with(b"\n") {
                        let (taken, lines) = batch.lines(rest);
                        assert_eq!(rest[..taken].iter().filter(|&&byte| byte == b'\n').count(), lines as usize);
                        rest = &rest[taken..];
                    }
                }
                assert!(batch.publish(|_| ()).unwrap().is_none());
            }
            let shape = |world: &World| {
                let counts = files(&world.machine).into_iter().map(|path| path.rsplit('-').next().map(str::to_string));
                counts.filter(|count| count.as_ref().is_some_and(|count| count.starts_with('n'))).collect::<Vec<_>>()
            };
            assert_eq!(shape(&together), shape(&one_by_one), "{:.20?} in packs of {most}", text);
            assert_eq!(drain(&together.open()), drain(&one_by_one.open()), "{:.20?} in packs of {most}", text);
        }
    }
}

/// Of which two packs are written on a second thread, and a third one, if there is one, is not.
#[test]
fn whatever_fails_or_ends_a_large_batch_is_sent_whole_or_not_at_all() {
    const STEPS: u64 = 150;
    let bodies: Vec<String> = (0..40).map(|number| format!("{number} {}", "x".repeat(60_000))).collect();
    let mut prepared = world(&[]);
    super::packs::reserved(&mut prepared);
    for (bodies, n) in [&bodies[..36], &bodies].into_iter().flat_map(|bodies| (1..=STEPS).map(move |n| (bodies, n))) {
        for plan in [Plan::FailOnce(n, Errno::NOSPC), Plan::FailAlikeFrom(n, Errno::IO), Plan::StopBefore(n)] {
            let world = prepared.fork();
            let (disk, tape) = world.injected(plan);
            let sent = send_large(&disk, bodies);
            assert!(n < STEPS || !tape.struck(), "there are more steps:\n{}", tape.trace());
            drop(disk);
            let queue = world.open();
            queue.recover().unwrap();
            let there = drain(&queue);
            let killed = matches!(plan, Plan::StopBefore(_));
            assert!(
                there == bodies || ((sent.is_err() || killed) && there.is_empty()),
                "{} with {plan:?}",
                there.len()
            );
            assert!(killed || sent.is_err() == there.is_empty(), "{sent:?} with {plan:?}\n{}", tape.trace());
            assert_eq!(world.machine.files(format!("{Q}/tmp")), [""; 0], "{plan:?}");
        }
    }
}

fn send_large(disk: &Disk, bodies: &[String]) -> Result<Option<Error>> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let mut batch = queue.batch()?.packing(2, 18);
    for body in bodies {
        batch.begin(&Envelope::default())?;
        batch.write(body.as_bytes())?;
    }
    batch.publish(|_| ())
}
