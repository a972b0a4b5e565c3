//! Whoever looks at a queue, with one call failing: an error is told and never taken for absence, and what has gone meanwhile
//! is no error.

use super::check::troubled;
use super::judge::fsck;
use super::verbs::{ack, dead, keeping};
use super::world::{PLAIN, Q, World, places, urgent};
use crate::support::inject::Plan;
use mq::queue::name::State;
use mq::queue::{Awaited, Envelope, Error, Place, Queue, Repair, Result};
use rustix::io::Errno;
use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::time::Duration;

struct Look {
    name: &'static str,
    prepare: fn() -> World,
    /// What is seen, or done.
    look: fn(&World, &Queue) -> Result<Vec<String>>,
}

const LOOKS: &[Look] = &[
    Look {
        name: "fsck",
        prepare: troubled,
        look: |_, queue| {
            let findings = fsck(queue, Repair::Report)?;
            Ok(findings
                .iter()
                .map(|finding| format!("{} {}", finding.trouble.word(), finding.path.display()))
                .collect())
        },
    },
    Look {
        name: "stats",
        prepare: troubled,
        look: |_, queue| {
            let stats = queue.stats()?;
            Ok(vec![format!(
                "{:?}",
                (stats.ready, stats.delayed, stats.claimed, stats.dead, stats.done, stats.damaged)
            )])
        },
    },
    Look {
        name: "replay",
        prepare: || {
            let mut world = world();
            keeping(&mut world);
            let disk = world.machine.disk();
            ack(&mut world, &disk).unwrap();
            world
        },
        look: |_, queue| {
            let mut seen = Vec::new();
            for place in places(queue, State::Done)? {
                seen.extend(queue.replayable(&place)?.map(|_| place.id().to_string()));
            }
            Ok(seen)
        },
    },
    Look { name: "redeem", prepare: leased, look: |world, queue| redeem(world, queue, false) },
    Look { name: "redeem of what was extended", prepare: extended, look: |world, queue| redeem(world, queue, false) },
    Look { name: "extend", prepare: leased, look: |world, queue| redeem(world, queue, true) },
    Look {
        name: "wait",
        prepare: || {
            let mut world = world();
            let disk = world.machine.disk();
            dead(&mut world, &disk).unwrap();
            world
        },
        look: |_, queue| {
            let all = [places(queue, State::Ready)?, places(queue, State::Dead)?].concat();
            let mut awaited = Awaited::new(all.iter().map(Place::id));
            // The second time they are looked for where they were seen.
            for _ in 0..2 {
                awaited.look(queue)?;
            }
            Ok(vec![format!("{} {}", awaited.left(), awaited.ended().len())])
        },
    },
    Look {
        name: "recover",
        prepare: troubled,
        look: |_, queue| {
            queue.recover()?;
            Ok(vec![places(queue, State::Claimed)?.len().to_string()])
        },
    },
    Look {
        name: "send",
        prepare: world,
        look: |world, queue| {
            let mut draft = queue.draft(Envelope::default())?;
            draft.write(b"new")?;
            draft.publish()?;
            Ok(vec![places(&world.open(), State::Ready)?.len().to_string()])
        },
    },
];

fn world() -> World {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    for body in [b"one", b"two"] {
        world.send(&disk, Q, body, urgent(7)).unwrap();
    }
    world
}

fn leased() -> World {
    let mut world = world();
    world.claim_timed(&world.machine.disk(), Duration::from_secs(60)).unwrap();
    world
}

/// The receipt names a lease that the claim has no more.
fn extended() -> World {
    let world = leased();
    let queue = world.open();
    let claim = queue.redeem(&world.receipts[0].0, None).unwrap();
    claim.extend(&queue, Some(Duration::from_secs(90))).unwrap();
    world
}

fn redeem(world: &World, queue: &Queue, extending: bool) -> Result<Vec<String>> {
    let claim = queue.redeem(&world.receipts[0].0, None)?;
    let id = claim.id().to_string();
    if extending {
        claim.extend(queue, Some(Duration::from_secs(90)))?;
    }
    Ok(vec![id])
}

/// Takes a look with one step failing, each in turn; `judge` gets the step, what came of it, and what comes of it else.
fn one_step_fails(errno: Errno, judge: impl Fn(&str, Result<Vec<String>>, &[String])) {
    for Look { name, prepare, look } in LOOKS {
        let prepared = prepare();
        prepared.machine.stand_still();
        let healthy = prepared.fork();
        let healthy = look(&healthy, &healthy.open()).unwrap();
        assert!(!healthy.is_empty(), "{name}: nothing to see");
        let opening = {
            let (disk, tape) = prepared.injected(Plan::Healthy);
            Queue::open(&disk, Path::new(Q)).unwrap();
            tape.steps()
        };
        for n in opening + 1.. {
            let world = prepared.fork();
            let (disk, tape) = world.injected(Plan::FailOnce(n, errno));
            let queue = Queue::open(&disk, Path::new(Q)).unwrap();
            let seen = look(&world, &queue);
            if !tape.struck() {
                break;
            }
            judge(&format!("{name}, step {n}: {}", tape.victim()), seen, &healthy);
        }
    }
}

#[test]
fn an_error_is_told_and_is_never_an_absence() {
    one_step_fails(Errno::IO, |what, seen, healthy| match seen {
        Err(Error::Lost { .. } | Error::Moved { .. } | Error::NoQueue { .. }) => panic!("{what}: {seen:?}"),
        Err(_) => (),
        Ok(seen) => {
            let told = seen.iter().any(|finding| finding.starts_with("unreadable"));
            // Whoever goes through everything has not done so; others may not need what failed.
            let need = what.starts_with("fsck")
                && ["open", "list", "read_at"].iter().any(|step| what.contains(&format!(": {step}")));
            assert!(told || !need && seen == healthy, "{what}: {seen:#?}, not {healthy:#?}");
        }
    });
}

#[test]
fn what_is_gone_meanwhile_is_no_error() {
    one_step_fails(Errno::NOENT, |what, seen, _| {
        let (_, step) = what.split_once(": ").unwrap();
        if !["open ", "open_dir ", "stat_at ", "rename "].iter().any(|start| step.starts_with(start)) {
            return;
        }
        match seen {
            Err(Error::Disk(error)) => panic!("{what}: {error}"),
            Err(_) => (),
            Ok(seen) => assert!(!seen.iter().any(|finding| finding.starts_with("unreadable")), "{what}: {seen:#?}"),
        }
    });
}

#[test]
fn an_error_says_what_the_system_said() {
    let world = world();
    let (disk, _) = world.injected(Plan::FailOnce(1, Errno::IO));
    let error = Queue::open(&disk, Path::new(Q)).unwrap_err();
    let system = error.source().and_then(StdError::source).and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(system.and_then(io::Error::raw_os_error), Some(Errno::IO.raw_os_error()), "{error}");
    assert!(Error::Moved { path: Q.into() }.source().is_none());
}
