//! Two that reach for one pack, and packs that are damaged, foreign, or not what their names say.

use super::{COUNT, body, claim_whole, half_opened, in_order, open, sent};
use crate::queue::judge::{First, fsck, judge, mend};
use crate::queue::ledger::Since;
use crate::queue::survey::Survey;
use crate::queue::world::{PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::{Id, Lease, State};
use mq::queue::{Claim, Envelope, Found, Queue, Repair, Scout};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

fn world() -> World {
    let mut world = World::new(PLAIN, 1);
    sent(&mut world);
    world
}

/// The file of the pack, from the queue on.
fn pack(world: &World) -> String {
    let files = world.machine.files(Q);
    files.into_iter().find(|path| path.starts_with("ready/7/") && path.contains("-n")).expect("a pack")
}

fn claimed(queue: &Queue, most: u32) -> Option<Claim> {
    let mut scout = Scout::new();
    scout.want(most, most);
    match queue.claim(&mut scout, Lease::Live) {
        Ok(Found::Claim(claim)) => Some(*claim),
        _ => None,
    }
}

/// What one of two gets, and the other between any two of its steps; each message is in one hand at most, and none is lost.
fn race(one: u32, other: u32) {
    for n in 1.. {
        let mut world = world();
        let held: Arc<Mutex<Option<Holding>>> = Arc::default();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (machine, hold) = (world.machine.clone(), held.clone());
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&machine.disk(), Path::new(Q)).expect("the queue");
            let claim = claimed(&queue, other);
            *hold.lock().unwrap() = Some((queue, claim));
        });
        let disk = Disk::new(steps);
        let queue = open(&disk).unwrap();
        let mut scout = Scout::new();
        scout.want(one, one);
        let mine = match queue.claim(&mut scout, Lease::Live).unwrap() {
            Found::Claim(claim) => Some(*claim),
            _ => None,
        };
        let theirs = held.lock().unwrap().take();
        let mut ids = BTreeSet::new();
        for claim in mine.iter().chain(theirs.iter().filter_map(|(_, claim)| claim.as_ref())) {
            assert!(claim.ids().all(|id| ids.insert(id)), "step {n}: in two hands\n{}", tape.trace());
        }
        drop((mine, theirs, scout, queue, disk));
        let over = tape.steps() < n;
        judge(&mut world, None, Since::Kill, First::Worker);
        if over {
            break;
        }
    }
}

/// Somebody else's queue, and what is claimed there.
type Holding = (Queue, Option<Claim>);

#[test]
fn of_two_that_open_a_pack_each_has_a_message_of_its_own() {
    race(1, 1);
}

#[test]
fn whoever_opens_a_pack_and_whoever_claims_it_whole_share_no_message() {
    race(1, COUNT);
    race(COUNT, 1);
    race(2, COUNT);
}

/// Whoever finds nothing while the messages of a pack are on their way says that it may not be so for long.
#[test]
fn nothing_is_not_said_while_a_pack_is_being_opened() {
    for n in 1.. {
        let world = world();
        let told: Arc<Mutex<Option<String>>> = Arc::default();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (machine, tell) = (world.machine.clone(), told.clone());
        let steps = steps.meanwhile(n, move || {
            let queue = Queue::open(&machine.disk(), Path::new(Q)).expect("the queue");
            let recovered = queue.recover().expect("a recovery");
            let mut here = BTreeSet::new();
            queue
                .each_place(State::Ready, |place, _| {
                    here.insert(place.id());
                    Ok(ControlFlow::Continue(()))
                })
                .expect("a look");
            let on_the_way = machine.files(Q).iter().any(|path| path.contains("/spent-"));
            if on_the_way && !recovered.contended {
                *tell.lock().unwrap() = Some("nothing is on its way".into());
            }
            if here.len() < 5 + 2 {
                *tell.lock().unwrap() = Some(format!("{} messages are seen", here.len()));
            }
        });
        let disk = Disk::new(steps);
        let before = open(&disk).unwrap();
        let message = before.claim(&mut Scout::new(), Lease::Live).unwrap();
        // Of the message that is claimed the other sees nothing.
        let claimed =
            tape.trace().lines().position(|step| step.contains("-l000000000000-")).map_or(u64::MAX, |at| at as u64);
        let wrong = told.lock().unwrap().take().filter(|_| n <= claimed);
        assert_eq!(wrong, None, "before step {n}:\n{}", tape.trace());
        drop(message);
        if tape.steps() < n {
            break;
        }
    }
}

#[test]
fn who_waited_for_a_pack_looks_again() {
    race(COUNT, 2);
    race(2, 2);
}

/// Whoever comes to a pack while another opens it, or claims it whole and is killed, finds that it is gone: nothing is wrong.
#[test]
fn a_pack_that_went_while_its_lock_was_waited_for_is_no_error() {
    for most in [1, COUNT] {
        for n in 1.. {
            let world = world();
            let machine = world.machine.clone();
            let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
            let disk = Disk::new(steps.meanwhile(n, move || {
                let queue = Queue::open(&machine.disk(), Path::new(Q)).expect("the queue");
                drop(claimed(&queue, most));
            }));
            let mut places = Vec::new();
            world
                .open()
                .each_place(State::Ready, |place, _| {
                    places.extend(Some(place).filter(|place| place.in_pack.is_some()));
                    Ok(ControlFlow::Continue(()))
                })
                .expect("a look");
            let removed = open(&disk).and_then(|queue| queue.remove_packed(&places[1..2]));
            assert!(removed.is_ok(), "{removed:?}, with the other before step {n}:\n{}", tape.trace());
            if tape.steps() < n {
                break;
            }
        }
    }
}

/// A bit flipped, or the end cut off, anywhere in a pack: what is whole is delivered, and the rest is set aside.
#[test]
fn what_is_damaged_in_a_pack_costs_no_other_message() {
    let world = world();
    let path = format!("{Q}/{}", pack(&world));
    let whole = world.machine.read(&path).unwrap();
    let table = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for at in 0..whole.len() {
        for cut in [false, true] {
            let world = world.fork();
            let mut bytes = whole.clone();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 1 << (at % 8),
            }
            world.machine.write(&path, &bytes);
            if at % 2 == 0 {
                mend(&world.machine.disk());
            }
            let queue = world.open();
            let mut scout = Scout::new();
            let mut came = Vec::new();
            // A header of another format is an error for as long as the file stands there.
            while let Ok(Found::Claim(claim)) = queue.claim(&mut scout, Lease::Live) {
                came.push(body_of(&claim).unwrap());
                claim.ack(&queue).unwrap();
            }
            came.retain(|body| body.starts_with(b"packed"));
            let sent: Vec<Vec<u8>> = (1..=COUNT).map(body).collect();
            assert!(came.iter().all(|body| sent.contains(body)), "byte {at}: what was never sent came out");
            if at >= table && !cut {
                assert_eq!(came.len(), sent.len() - 1, "byte {at}");
                let aside = Survey::of(&world.machine, Q).damaged;
                assert_eq!(aside.len(), 1, "byte {at}");
                assert_eq!(fsck(&queue, Repair::Report).unwrap().len(), 0);
            }
        }
    }
}

#[test]
fn a_name_with_another_count_than_the_header_brings_nothing_that_was_not_sent() {
    for (count, came) in [(3, 3), (7, 0)] {
        let world = world();
        let path = pack(&world);
        let bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
        world.machine.remove(format!("{Q}/{path}"));
        let (start, _) = path.rsplit_once("-n").unwrap();
        world.machine.write(format!("{Q}/{start}-n{count:06}"), &bytes);
        let queue = world.open();
        let bodies = in_order(&queue);
        assert_eq!(bodies.iter().filter(|body| body.starts_with(b"packed")).count(), came, "{count}");
        assert_eq!(Survey::of(&world.machine, Q).damaged.len(), usize::from(came == 0));
        assert!(claim_whole(&queue, 2).is_err());
    }
}

#[test]
fn a_pack_where_none_belongs_is_found_by_fsck_and_holds_up_nobody() {
    let world = world();
    let path = pack(&world);
    let bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
    let name = path.rsplit('/').next().unwrap();
    world.machine.remove(format!("{Q}/{path}"));
    world.machine.write(format!("{Q}/ready/7/{}/{name}", &name[..16]), &bytes);
    world.machine.write(format!("{Q}/dead/{}/{name}", &name[..16]), &bytes);
    let queue = world.open();
    assert_eq!(in_order(&queue), [b"plain 1".to_vec(), b"plain 2".to_vec()]);
    assert!(!fsck(&queue, Repair::Report).unwrap().is_empty());
}

/// Somebody looks, and before each of his steps in turn somebody else brings a pack home that was being opened.
fn home_before_each_step(world: &World, mut look: impl FnMut(&Queue, &dyn Fn() -> String)) {
    for n in 1.. {
        let world = world.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let other = world.open();
        let disk = Disk::new(steps.meanwhile(n, move || {
            other.recover().expect("a recovery");
        }));
        look(&open(&disk).unwrap(), &|| format!("home before step {n}:\n{}", tape.trace()));
        if tape.steps() < n {
            break;
        }
    }
}

/// How much of what is ready is seen at least.
fn least(world: &World, look: impl Fn(&Queue) -> usize) -> usize {
    let mut least = usize::MAX;
    home_before_each_step(world, |queue, _| least = least.min(look(queue)));
    least
}

fn listed(queue: &Queue) -> usize {
    let ids = ready(queue);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "twice: {ids:?}");
    ids.len()
}

fn counted(queue: &Queue) -> usize {
    usize::try_from(queue.stats().unwrap().ready).unwrap()
}

fn ready(queue: &Queue) -> Vec<Id> {
    let mut ids = Vec::new();
    queue
        .each_place(State::Ready, |place, _| {
            ids.push(place.id());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    ids
}

#[test]
fn whoever_lists_while_a_pack_comes_home_sees_all_of_it() {
    for (mut world, others) in [(World::empty(PLAIN, 1), 0), (World::new(PLAIN, 1), 2)] {
        half_opened(&mut world);
        assert_eq!(least(&world, listed), COUNT as usize + others);
        assert_eq!(least(&world, counted), COUNT as usize + others);
    }
}

/// Its bucket is there and was read before; then all is read again.
#[test]
fn whoever_lists_nothing_while_a_pack_comes_home_looks_again() {
    let mut world = World::empty(PLAIN, 1);
    half_opened(&mut world);
    let files = world.machine.files(Q);
    let spent = files.iter().find_map(|path| path.rsplit_once("/spent-")).expect("a pack that was opened").1;
    world.machine.mkdir(format!("{Q}/ready/7/{}", &spent[17..33]));
    assert_eq!(least(&world, listed), COUNT as usize);
    assert_eq!(least(&world, counted), COUNT as usize);
}

/// It was claimed when what is ready was read, and is ready when the claims are.
#[test]
fn whoever_lists_nothing_while_a_claim_is_recovered_looks_again() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"of a worker that is lost", Envelope::default()).unwrap();
    drop(claim_one(&world.open(), Lease::Live).unwrap());
    let listed = |queue: &Queue| {
        let mut seen = 0;
        let unread = queue.each_place_in(&[State::Ready, State::Delayed, State::Claimed], |_, _| {
            seen += 1;
            Ok(ControlFlow::Continue(()))
        });
        assert!(unread.is_empty(), "{unread:?}");
        seen
    };
    let counted = |queue: &Queue| {
        let stats = queue.stats().unwrap();
        assert_eq!((stats.sent_total, stats.acked_total), (1, 0));
        usize::try_from(stats.ready + stats.claimed).unwrap()
    };
    assert!(least(&world, listed) > 0);
    assert!(least(&world, counted) > 0);
}

#[test]
fn a_list_that_is_ended_is_not_begun_again_and_what_cannot_be_read_hides_nothing() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    for body in ["1", "2"] {
        world.send(&disk, Q, body.as_bytes(), Envelope::default()).unwrap();
    }
    drop(claim_one(&world.open(), Lease::Live).unwrap());
    for (ends, expected) in [(true, 1), (false, 2)] {
        let mut seen = 0;
        let unread = world.open().each_place_in(&[State::Ready, State::Claimed], |_, _| {
            seen += 1;
            Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!((seen, unread.len()), (expected, 0));
    }
    let broken = world.refusing(|step| (step == "open_dir ready").then_some(Errno::IO));
    let mut seen = 0;
    let unread = open(&broken).unwrap().each_place_in(&[State::Ready, State::Claimed], |_, _| {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!((seen, unread.len()), (1, 1));
}

#[test]
fn whoever_looks_while_a_pack_comes_home_finds_it() {
    let mut world = World::empty(PLAIN, 1);
    half_opened(&mut world);
    home_before_each_step(&world, |queue, told| {
        let found = queue.claim(&mut Scout::new(), Lease::Live).unwrap();
        assert!(matches!(found, Found::Claim(_)), "{found:?}, {}", told());
    });
}

/// A pack that is swapped for something else in the moment in which it is reached is left alone, and holds up nobody.
#[test]
fn what_is_no_file_where_a_pack_stood_is_left_alone() {
    let mut prepared = World::empty(PLAIN, 1);
    prepared.machine.stand_still();
    sent(&mut prepared);
    let files = prepared.machine.files(Q);
    let pack = format!("{Q}/{}", files.iter().find(|path| path.starts_with("ready/7/")).unwrap());
    let (disk, tape) = prepared.fork().injected(Plan::Healthy);
    claim_one(&open(&disk).unwrap(), Lease::Live).unwrap();
    let look = format!("stat_at {}", pack.rsplit('/').next().unwrap());
    let looks = tape.trace().lines().position(|step| step.ends_with(&look)).expect("a look") as u64 + 1;
    for n in 1..=looks {
        let world = prepared.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (machine, path) = (world.machine.clone(), pack.clone());
        let disk = Disk::new(steps.meanwhile(n, move || {
            machine.remove(&path);
            machine.symlink(&path, "/elsewhere");
        }));
        let found = open(&disk).unwrap().claim(&mut Scout::new(), Lease::Live);
        assert!(matches!(found, Ok(Found::Nothing(_))), "{found:?}, swapped before step {n}:\n{}", tape.trace());
    }
}
