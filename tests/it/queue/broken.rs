//! A disk on which one step fails, once or whenever it is tried, and a person who takes away what is being worked on. An error
//! of the disk is told as that error or makes no difference, and is never taken for absence; what is gone is no error; and
//! whatever fails, nothing goes with it.

use super::packs;
use super::survey::Survey;
use super::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Ending, Envelope, Error, Found, Queue, Result, Scout, Settled};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

struct Case {
    name: &'static str,
    prepare: fn(&mut World),
    /// What a process does, and what it says of it.
    act: fn(&World, &Disk) -> Result<String>,
    /// What a person takes away meanwhile: the first path that begins so, and ends there.
    taken: &'static [&'static str],
}

const TIMED: Lease = Lease::Timed(Duration::from_secs(60));

const CASES: &[Case] = &[
    case(
        "claim",
        |world| send(world, b"1"),
        |_, disk| claimed(disk, Lease::Live),
        &["ready/4/*/*", "ready/4/*", "ready/4"],
    ),
    case("claim for a receipt", |world| send(world, b"1"), |_, disk| claimed(disk, TIMED), &["ready/4/*/*"]),
    case(
        "claim of what comes into the bucket at hand",
        |world| send(world, b"1"),
        |world, disk| {
            let (queue, mut scout) = (open(disk)?, Scout::new());
            // In hand until the end.
            let first = queue.claim(&mut scout, Lease::Live)?;
            send(&mut world.clone(), b"2");
            let second = queue.claim(&mut scout, Lease::Live)?;
            Ok(came(&first)? + &came(&second)?)
        },
        &["ready/4/*"],
    ),
    case(
        "claim of a pack",
        packs::sent,
        |_, disk| {
            let mut scout = Scout::new();
            scout.want(10, 10);
            match open(disk)?.claim(&mut scout, Lease::Live)? {
                Found::Claim(claim) => Ok(format!("{} at once", claim.messages())),
                found => Ok(format!("{found:?}")),
            }
        },
        &["ready/7/*"],
    ),
    case(
        "claim out of a pack",
        packs::sent,
        |world, disk| {
            // Where the first of them can't be had the second is, and what could not be tidied up is by the next recovery.
            let one = claimed(disk, Lease::Live)?.starts_with("packed");
            world.open().recover()?;
            Ok(format!("one: {one}"))
        },
        &["ready/7/*", "ready/7"],
    ),
    case("send", |world| send(world, b"1"), |_, disk| sent(disk), &["seq"]),
    case(
        "send without seq",
        |world| {
            send(world, b"1");
            world.machine.remove("/q/seq");
        },
        |_, disk| sent(disk),
        &[],
    ),
    case("last id", |world| send(world, b"1"), |_, disk| Ok(format!("{:?}", open(disk)?.last_id()?)), &["seq"]),
    case(
        "stats",
        |world| {
            send(world, b"1");
            claim_one(&world.open(), Lease::Live).unwrap().ack(&world.open()).unwrap();
        },
        |_, disk| open(disk)?.stats().map(|stats| format!("{} sent", stats.sent_total)),
        &[],
    ),
    case(
        "recovery of what was never sent",
        |world| world.machine.write(format!("{Q}/tmp/{}", "a".repeat(26)), b""),
        recover,
        &["tmp/*"],
    ),
    case("recovery of a send", |world| stopped(world, "tmp/", b"{", |_, disk| sent(disk).map(drop)), recover, &[]),
    case(
        "recovery of a batch that was never committed",
        |world| stopped(world, "tmp/", b"{", |_, disk| batch(disk, false)),
        recover,
        &["tmp/*"],
    ),
    case("recovery of a batch", |world| stopped(world, "tmp/", b"4\n", |_, disk| batch(disk, false)), recover, &[]),
    case(
        "recovery of a batch of packs",
        |world| stopped(world, "tmp/", b"4\n", |_, disk| batch(disk, true)),
        recover,
        &[],
    ),
    case("recovery of a pack that was being opened", packs::half_opened, recover, &[]),
    case(
        "recovery of a pack that was being settled",
        |world| {
            packs::sent(world);
            let opened = |world: &World| world.machine.files(Q).iter().any(|path| path.contains("/spent-"));
            world.stop_when(|_, disk| settled_each(disk).map(drop), opened);
        },
        recover,
        &[],
    ),
    case(
        "recovery of a worker's claim",
        |world| {
            send(world, b"1");
            drop(claim_one(&world.open(), Lease::Live).unwrap());
        },
        recover,
        &["claimed/*"],
    ),
    case(
        "recovery of a lease that has run out",
        |world| {
            leased(world);
            world.machine.advance(Duration::from_secs(61));
        },
        recover,
        &["claimed/*"],
    ),
    case("recovery of a lease that runs", leased, recover, &["claimed/*"]),
    case("settling of each message of a pack", packs::sent, |_, disk| settled_each(disk), &["claimed/*"]),
    case(
        "ack of the first of a pack",
        front,
        |world, disk| {
            let queue = open(disk)?;
            lost(queue.redeem(&world.receipts[0].0, None).and_then(|claim| claim.ack(&queue)))
        },
        &["claimed/*"],
    ),
    case(
        "nack of the first of a pack",
        front,
        |world, disk| {
            let queue = open(disk)?;
            let nack = |claim: mq::queue::Claim| claim.nack(&queue, Again::Now, Counting::Counted, None);
            lost(queue.redeem(&world.receipts[0].0, None).and_then(nack))
        },
        &["claimed/*"],
    ),
    case("rm of a pack", packs::sent, |_, disk| remove(disk, &[0, 1, 2, 3, 4]), &["ready/7/*"]),
    case("rm of the first of a pack", packs::sent, |_, disk| remove(disk, &[0, 1]), &["ready/7/*"]),
    case("rm within a pack", packs::sent, |_, disk| remove(disk, &[1, 3]), &["ready/7/*"]),
];

const fn case(
    name: &'static str,
    prepare: fn(&mut World),
    act: fn(&World, &Disk) -> Result<String>,
    taken: &'static [&'static str],
) -> Case {
    Case { name, prepare, act, taken }
}

fn open(disk: &Disk) -> Result<Queue> {
    Queue::open(disk, Path::new(Q))
}

fn send(world: &mut World, body: &[u8]) {
    let disk = world.machine.disk();
    world.send(&disk, Q, body, Envelope::default()).unwrap();
}

fn sent(disk: &Disk) -> Result<String> {
    let queue = open(disk)?;
    let mut draft = queue.draft(Envelope::default())?;
    draft.write(b"new")?;
    draft.publish().map(|_| "sent".into())
}

/// Four messages, which are two packs or files.
fn batch(disk: &Disk, packed: bool) -> Result<()> {
    let queue = open(disk)?;
    let mut batch = queue.batch()?;
    if packed {
        batch = batch.packing(2, 2);
    }
    for body in [b"b1", b"b2", b"b3", b"b4"] {
        batch.begin(&Envelope::default())?;
        batch.write(body)?;
    }
    batch.publish(|_| ()).map(drop)
}

/// What one claim brings.
fn claimed(disk: &Disk, lease: Lease) -> Result<String> {
    came(&open(disk)?.claim(&mut Scout::new(), lease)?)
}

fn came(found: &Found) -> Result<String> {
    match found {
        Found::Claim(claim) => Ok(String::from_utf8_lossy(&body_of(claim)?).into_owned()),
        found => Ok(format!("{found:?}")),
    }
}

fn leased(world: &mut World) {
    send(world, b"1");
    let disk = world.machine.disk();
    world.claim_timed(&disk, Duration::from_secs(60)).unwrap();
}

fn recover(_: &World, disk: &Disk) -> Result<String> {
    open(disk)?.recover().map(|recovered| format!("{recovered:?}"))
}

/// The first message of a pack, claimed for a receipt with the pack around it, since the disk was full.
fn front(world: &mut World) {
    packs::sent(world);
    let full = world.without_room();
    let claim = claim_one(&open(&full).unwrap(), TIMED).unwrap();
    world.receipts.push((claim.receipt(Q), b"packed 1".to_vec()));
}

fn settled_each(disk: &Disk) -> Result<String> {
    let queue = open(disk)?;
    let claim = packs::claim_whole(&queue, 10)?;
    let later = Again::After(Duration::from_secs(30));
    let endings = [
        Ending::Again(Again::Now, Counting::Counted),
        Ending::Again(later, Counting::Counted),
        Ending::Dead,
        Ending::Again(Again::Now, Counting::Uncounted),
        Ending::Dead,
    ];
    let mut endings = endings.into_iter().cycle();
    let settled = claim.settle_each(&queue, &mut |_| (endings.next().expect("one more"), None));
    lost(settled.map(|_| Settled::Dead))
}

/// That a lease is lost is what its holder has to hear where the message was taken away.
fn lost(settled: Result<Settled>) -> Result<String> {
    match settled {
        Err(Error::Lost { .. }) => Ok("lost".into()),
        settled => settled.map(|settled| format!("{settled:?}")),
    }
}

/// Removes these messages of a pack, by their index.
fn remove(disk: &Disk, indexes: &[u32]) -> Result<String> {
    let queue = open(disk)?;
    let mut places = Vec::new();
    queue.each_place(State::Ready, |place, _| {
        places.extend(Some(place).filter(|place| place.in_pack.is_some_and(|index| indexes.contains(&index))));
        Ok(ControlFlow::Continue(()))
    })?;
    queue.remove_packed(&places).map(|removed| format!("{removed}"))
}

/// A process that is stopped at the first moment at which a file there begins so.
fn stopped(world: &mut World, below: &str, begins: &[u8], act: fn(&mut World, &Disk) -> Result<()>) {
    world.stop_when(act, |world| {
        let begins = |path: &String| world.machine.read(format!("{Q}/{path}")).is_some_and(|it| it.starts_with(begins));
        world.machine.files(Q).iter().any(|path| path.starts_with(below) && begins(path))
    });
}

/// How many files there are in each place.
fn left(world: &World) -> BTreeMap<String, usize> {
    let mut left = BTreeMap::new();
    for path in world.machine.files(Q).iter().filter(|path| !path.ends_with('/')) {
        *left.entry(path.split('/').next().unwrap_or_default().to_string()).or_default() += 1;
    }
    // Whether somebody was woken is no promise, and what was spared for a full disk is made anew.
    left.retain(|place, _| !["wake", "reserve"].contains(&place.as_str()));
    left
}

/// The bodies of all that is there once everything was mended, and how much is damaged.
fn kept(world: &World) -> (Vec<Vec<u8>>, usize) {
    let world = world.fork();
    world.open().recover().unwrap();
    let survey = Survey::of(&world.machine, Q);
    let mut bodies: Vec<Vec<u8>> = survey.messages.into_iter().map(|seen| seen.body).collect();
    bodies.sort();
    (bodies, survey.damaged.len())
}

fn prepared(case: &Case) -> World {
    let mut world = World::empty(PLAIN, 1);
    world.machine.stand_still();
    (case.prepare)(&mut world);
    world.fork()
}

/// The steps of a healthy run, and what comes of it.
fn healthy(case: &Case, prepared: &World) -> (Vec<String>, String, World) {
    let world = prepared.fork();
    let (disk, tape) = world.injected(Plan::Healthy);
    let said = (case.act)(&world, &disk).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let trace: Vec<String> =
        tape.trace().lines().map(|line| line.trim_start().split_once(' ').expect("a number").1.to_string()).collect();
    assert_eq!(trace.len() as u64, tape.steps(), "{}: too long to be told", case.name);
    (trace, said, world)
}

#[test]
fn a_step_that_fails_is_told_and_takes_nothing_with_it() {
    let mut wrong = Vec::new();
    for case in CASES {
        let prepared = prepared(case);
        let (trace, said, after) = healthy(case, &prepared);
        let (left_then, kept_then) = (left(&after), kept(&after));
        // What was there and is to stay.
        let (mut stays, _) = kept(&prepared);
        stays.retain(|body| kept_then.0.contains(body));
        for (at, step) in trace.iter().enumerate() {
            for once in [true, false] {
                let world = prepared.fork();
                let plan = if once { Plan::FailOnce(at as u64 + 1, Errno::IO) } else { Plan::Healthy };
                let (steps, _) = Injected::new(world.machine.process(), plan);
                let refused = step.clone();
                let disk = Disk::new(steps.refusing(move |step| (!once && step == refused).then_some(Errno::IO)));
                let done = (case.act)(&world, &disk);
                drop(disk);
                let told = match &done {
                    Err(Error::Disk(error)) => error.source.raw_os_error() == Some(Errno::IO.raw_os_error()),
                    Err(_) => false,
                    Ok(did) => (did, &left(&world)) == (&said, &left_then),
                };
                let how = if once { "once" } else { "for good" };
                let what =
                    format!("{}: step {}, {step:?}, failed {how}: {done:?}, {:?}", case.name, at + 1, left(&world));
                let kept = kept(&world);
                if !told {
                    wrong.push(what);
                } else if kept.1 != kept_then.1 || !stays.iter().all(|body| kept.0.contains(body)) {
                    wrong.push(format!("{what}: lost"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first path in a queue that has these parts, where `*` is any.
fn find(world: &World, pattern: &str) -> Option<String> {
    let parts: Vec<&str> = pattern.split('/').collect();
    world.machine.files(Q).into_iter().find_map(|path| {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).take(parts.len()).collect();
        let alike =
            |(part, is): (&&str, &&str)| part.strip_suffix('*').map_or(part == is, |start| is.starts_with(start));
        (path.len() == parts.len() && parts.iter().zip(&path).all(alike)).then(|| path.join("/"))
    })
}

#[test]
fn what_a_person_takes_away_is_no_error() {
    let mut wrong = Vec::new();
    for case in CASES {
        let prepared = prepared(case);
        for pattern in case.taken {
            for n in 1.. {
                let world = prepared.fork();
                let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
                let person = world.clone();
                let disk = Disk::new(steps.meanwhile(n, move || {
                    let Some(path) = find(&person, pattern) else { return };
                    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
                    let disk = person.machine.disk();
                    let from = disk.open_queue(Path::new(&format!("{Q}/{dir}"))).expect("its directory");
                    let to = disk.open_queue(Path::new("/")).expect("elsewhere");
                    disk.rename(&from, name, &to, "taken").expect("a rename");
                }));
                let done = (case.act)(&world, &disk);
                if done.is_err() {
                    wrong.push(format!("{}, with {pattern} taken before step {n}: {done:?}", case.name));
                }
                if tape.steps() < n {
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
