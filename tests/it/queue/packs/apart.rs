//! Packs that come apart: opened as far as there is room, without the messages that were removed or are damaged, and brought
//! home by a few renames.

use super::{COUNT, body, claim_whole, open, sent};
use crate::queue::survey::{Seen, Survey};
use crate::queue::world::{Config, PLAIN, Q, World, body_of, claim_one};
use crate::support::inject::Plan;
use mq::fs::{Disk, Store};
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Ending, Envelope, Found, Place, Queue, Scout};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A queue with one pack of so many.
fn pack_of(many: u32, config: Config, envelope: &Envelope) -> World {
    let world = World::empty(config, 1);
    world.machine.stand_still();
    publish(&world, many, envelope);
    world.fork()
}

fn publish(world: &World, many: u32, envelope: &Envelope) {
    let queue = world.open();
    let mut batch = queue.batch().unwrap().packing(2, many);
    for number in 1..=many {
        batch.begin(envelope).unwrap();
        batch.write(&body(number)).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
}

/// A process that writes down its steps.
fn told(world: &World) -> (Disk, Arc<Mutex<Vec<String>>>) {
    let steps: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = steps.clone();
    let disk = world.refusing(move |step| {
        tell.lock().unwrap().push(step.to_string());
        None
    });
    (disk, steps)
}

/// The messages in the pack, by these indexes.
fn places(queue: &Queue, wanted: impl Fn(u32) -> bool) -> Vec<Place> {
    let mut places = Vec::new();
    queue
        .each_place(State::Ready, |place, _| {
            places.extend(Some(place).filter(|place| place.in_pack.is_some_and(&wanted)));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    places
}

/// Of each message that is there: its id, its uid and its body.
fn there(world: &World) -> Vec<(String, String, Vec<u8>)> {
    let survey = Survey::of(&world.machine, Q);
    let mut there: Vec<_> = survey.messages.into_iter().map(|Seen { id, uid, body, .. }| (id, uid, body)).collect();
    there.sort();
    there
}

/// How many files there are in each bucket, and how many messages in each pack, in the order of their names.
fn ready(world: &World) -> (Vec<usize>, Vec<u32>) {
    let (mut buckets, mut packs) = (BTreeMap::new(), Vec::new());
    for path in world.machine.files(Q).iter().filter(|path| path.starts_with("ready/") && !path.ends_with('/')) {
        match path.split('/').collect::<Vec<_>>()[..] {
            [_, _, pack] => packs.push(pack.rsplit_once("-n").unwrap().1.parse().unwrap()),
            _ => *buckets.entry(path.rsplit_once('/').unwrap().0.to_string()).or_insert(0) += 1,
        }
    }
    (buckets.into_values().collect(), packs)
}

/// Spoils the bodies of these messages in the file of the pack, by their numbers.
fn spoil(world: &World, numbers: impl IntoIterator<Item = u32>) {
    let path = world.machine.files(Q).into_iter().find(|path| path.contains("-n0")).expect("a pack");
    let count: usize = path.rsplit_once("-n").unwrap().1.parse().unwrap();
    let path = format!("{Q}/{path}");
    let mut bytes = world.machine.read(&path).unwrap();
    let table = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for number in numbers {
        let before: usize = (1..number).map(|number| body(number).len()).sum();
        bytes[table + count * 23 + before] ^= 1;
    }
    world.machine.write(path, &bytes);
}

#[test]
fn whichever_are_removed_the_others_are_left_as_they_were() {
    let world = pack_of(COUNT, PLAIN, &Envelope::default());
    let before = there(&world);
    let all = (1_u32 << COUNT) - 1;
    for gone in 1..=all {
        let world = world.fork();
        let (disk, steps) = told(&world);
        let queue = open(&disk).unwrap();
        let places = places(&queue, |index| gone >> index & 1 == 1);
        steps.lock().unwrap().clear();
        assert!(queue.remove_packed(&places).unwrap());
        let left: Vec<_> =
            before.iter().zip(0..).filter(|(_, at)| gone >> at & 1 == 0).map(|(seen, _)| seen.clone()).collect();
        assert_eq!(there(&world), left, "{gone:05b}");
        // At one end of the pack it is done by the name alone, on a full disk as well.
        let end = |set: u32| set & (set + 1) == 0;
        let made =
            steps.lock().unwrap().iter().any(|step| ["create", "make_dir"].iter().any(|it| step.starts_with(it)));
        assert_eq!(made, !end(gone) && !end(all & !gone), "{gone:05b}");
        assert!(!queue.remove_packed(&places).unwrap(), "{gone:05b}: once more");
        assert_eq!(there(&world), left, "{gone:05b}");
    }
}

#[test]
fn what_stays_together_stays_a_pack_where_there_is_enough_of_it() {
    let world = pack_of(200, PLAIN, &Envelope::default());
    let queue = world.open();
    // Of the rest, 64 stand together, 63, and 71.
    assert!(queue.remove_packed(&places(&queue, |index| [64, 128].contains(&index))).unwrap());
    assert_eq!(ready(&world), (vec![63], vec![64, 71]));
    // And where one is damaged: 64 and 135, of which the first are opened.
    let world = pack_of(200, PLAIN, &Envelope::default());
    spoil(&world, [65]);
    assert_eq!(body_of(&claim_one(&world.open(), Lease::Live).unwrap()).unwrap(), body(1));
    assert_eq!(ready(&world), (vec![63], vec![135]));
    // Divided into such of two, what is left over is a file.
    let world = pack_of(COUNT, PLAIN, &Envelope::default());
    assert_eq!(claim_whole(&world.open(), 2).unwrap().messages(), 2);
    assert_eq!(ready(&world), (vec![1], vec![2]));
}

/// As many as share a bucket: what is opened next begins with one again.
#[test]
fn a_pack_is_opened_to_the_end_of_a_bucket_and_comes_home_by_one_rename() {
    type Open = fn(&Queue);
    let ways: [(Open, usize); 2] =
        [(|queue| drop(claim_one(queue, Lease::Live).unwrap()), 239), (|queue| queue.open_ahead().unwrap(), 240)];
    for (way, opened) in ways {
        let mut world = World::empty(PLAIN, 1);
        world.machine.stand_still();
        let ahead = opened == 240;
        if ahead {
            let disk = world.machine.disk();
            world.send(&disk, Q, b"first", Envelope::default()).unwrap();
        }
        publish(&world, 300, &Envelope::default());
        let queue = world.open();
        assert!(queue.remove_packed(&places(&queue, |index| index < 10)).unwrap());
        let (disk, steps) = told(&world);
        way(&open(&disk).unwrap());
        let buckets = if ahead { vec![1, opened] } else { vec![opened] };
        assert_eq!(ready(&world), (buckets, vec![50]));
        let renames = steps.lock().unwrap().iter().filter(|step| step.starts_with("rename")).count();
        assert!(renames <= 4, "{renames} renames");
    }
}

/// It is a bucket's worth that is opened, a part of that, or one: whatever there is room for.
#[test]
fn a_pack_is_opened_as_far_as_there_is_room() {
    let world = pack_of(300, PLAIN, &Envelope::default());
    let made = AtomicU32::new(0);
    let disk = world.refusing(move |step| {
        if step.starts_with("make_dir") {
            made.store(0, Ordering::Relaxed);
        }
        let full = step.starts_with("create") && made.fetch_add(1, Ordering::Relaxed) >= 8;
        full.then_some(Errno::NOSPC)
    });
    let claim = claim_one(&open(&disk).unwrap(), Lease::Live).unwrap();
    assert_eq!((claim.messages(), body_of(&claim).unwrap()), (1, body(1)));
    assert_eq!(ready(&world), (vec![3], vec![296]));
}

#[test]
fn a_full_disk_gives_its_reserve_for_a_message_of_a_pack() {
    let mut world = World::empty(PLAIN, 1);
    sent(&mut world);
    let given = AtomicBool::new(false);
    let disk = world.refusing(move |step| {
        given.fetch_or(step.starts_with("unlink 0"), Ordering::Relaxed);
        (step.starts_with("create") && !given.load(Ordering::Relaxed)).then_some(Errno::NOSPC)
    });
    let claim = claim_one(&open(&disk).unwrap(), Lease::Live).unwrap();
    assert_eq!((claim.messages(), body_of(&claim).unwrap()), (1, body(1)));
    assert_eq!(ready(&world), (vec![], vec![COUNT - 1]));
}

/// On a full disk the message in front of a pack is claimed where it stands: if it may be delivered, and the pack is whole.
#[test]
fn a_full_disk_delivers_nothing_that_is_expired_or_damaged() {
    let expires = |world: &World| world.machine.now().plus(Duration::from_secs(60));
    let empty = World::empty(PLAIN, 1);
    let envelope = Envelope { expires: Some(expires(&empty)), ..Envelope::default() };
    let world = pack_of(COUNT, PLAIN, &envelope);
    let refused = |world: &World| {
        let found = open(&world.without_room()).unwrap().claim(&mut Scout::new(), Lease::Live);
        assert!(matches!(&found, Err(error) if error.no_room()), "{found:?}");
    };
    let late = world.fork();
    late.machine.advance(Duration::from_secs(3600));
    refused(&late);
    for damaged in 1..=COUNT {
        let world = world.fork();
        spoil(&world, [damaged]);
        refused(&world);
    }
    // It is the disk that has no room: any other error is one.
    let broken = world.refusing(|step| step.starts_with("make_dir").then_some(Errno::IO));
    assert!(open(&broken).unwrap().claim(&mut Scout::new(), Lease::Live).is_err());
    assert!(matches!(open(&world.without_room()).unwrap().claim(&mut Scout::new(), Lease::Live), Ok(Found::Claim(_))));
}

#[test]
fn next_to_a_damaged_message_each_keeps_its_id_and_its_uid() {
    let whole = pack_of(COUNT, PLAIN, &Envelope::default());
    for damaged in 1..=COUNT {
        let world = whole.fork();
        spoil(&world, [damaged]);
        let queue = world.open();
        let (mut before, first) = (there(&whole), if damaged == 1 { 2 } else { 1 });
        before.remove(damaged as usize - 1);
        let claim = claim_one(&queue, Lease::Live).unwrap();
        assert_eq!(body_of(&claim).unwrap(), body(first));
        assert_eq!(there(&world), before, "{damaged} is damaged");
    }
}

#[test]
fn of_what_is_damaged_in_a_pack_ten_are_named_and_the_others_counted() {
    for (damaged, more) in [(9, None), (10, None), (11, Some(" and 1 more")), (12, Some(" and 2 more"))] {
        let world = pack_of(13, PLAIN, &Envelope::default());
        let uids: Vec<String> = there(&world).into_iter().map(|(_, uid, _)| uid).collect();
        spoil(&world, 1..=damaged);
        claim_one(&world.open(), Lease::Live).unwrap();
        let why = world.machine.files(Q).into_iter().find(|path| path.ends_with(".why")).expect("a reason");
        let why = String::from_utf8(world.machine.read(format!("{Q}/{why}")).unwrap()).unwrap();
        assert!(why.contains(&format!("{damaged} of the 13 messages")), "{why}");
        let named = uids.iter().filter(|uid| why.contains(*uid)).count();
        assert_eq!(named, damaged.min(10) as usize, "{why}");
        assert!(more.map_or(!why.contains("more"), |more| why.contains(more)), "{why}");
    }
}

/// Whoever finishes the opening has not seen it begin, and so does not know what is damaged.
#[test]
fn wherever_the_opener_of_a_damaged_pack_is_killed_what_is_damaged_is_kept() {
    let world = pack_of(COUNT, PLAIN, &Envelope::default());
    spoil(&world, [2]);
    let (disk, tape) = world.fork().injected(Plan::Healthy);
    claim_one(&open(&disk).unwrap(), Lease::Live).unwrap();
    let steps = tape.steps();
    assert!(steps > 10, "{steps} steps");
    for n in 1..=steps {
        let world = world.fork();
        let (disk, _) = world.injected(Plan::StopBefore(n));
        let _ = open(&disk).and_then(|queue| claim_one(&queue, Lease::Live));
        let world = world.fork();
        let queue = world.open();
        let mut scout = Scout::new();
        while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
            claim.ack(&queue).unwrap();
        }
        assert_eq!(Survey::of(&world.machine, Q).damaged.len(), 1, "killed before step {n}:\n{}", tape.trace());
    }
}

/// What was dead-lettered is durable; what is ready again need not be, but where a later unlink may outlive the rename.
#[test]
fn what_comes_out_of_a_pack_is_flushed_where_it_has_to_be() {
    let now = Ending::Again(Again::Now, Counting::Counted);
    let other = Config { store: Store::Other, ..PLAIN };
    let sync = |sync| Config { sync, ..PLAIN };
    let ways = [
        (PLAIN, now, false),
        (PLAIN, Ending::Dead, true),
        (other, now, true),
        (sync("all"), now, true),
        (sync("none"), Ending::Dead, false),
    ];
    for (config, ending, flushed) in ways {
        let world = pack_of(COUNT, config, &Envelope::default());
        let (disk, steps) = told(&world);
        let queue = open(&disk).unwrap();
        let claim = claim_whole(&queue, COUNT).unwrap();
        claim.settle_each(&queue, &mut |_| (ending, None)).unwrap();
        let steps = steps.lock().unwrap();
        let taken_in = steps.iter().position(|step| step.contains(" to spent-")).expect("a commit");
        let after = steps[taken_in..].iter().any(|step| step.starts_with("sync_all"));
        assert_eq!(after, flushed, "{config:?}, {ending:?}: {steps:#?}");
    }
}

#[test]
fn the_claim_of_a_pack_is_flushed_where_claims_are() {
    for (sync, flushed) in [("send", false), ("all", true)] {
        let world = pack_of(COUNT, Config { sync, ..PLAIN }, &Envelope::default());
        let (disk, steps) = told(&world);
        claim_whole(&open(&disk).unwrap(), COUNT).unwrap();
        let steps = steps.lock().unwrap();
        assert_eq!(steps.iter().any(|step| step.starts_with("sync_file")), flushed, "{sync}: {steps:#?}");
    }
}

#[test]
fn what_a_pack_is_settled_into_stands_in_the_buckets_of_its_messages() {
    let world = pack_of(600, PLAIN, &Envelope::default());
    let queue = world.open();
    let claim = claim_whole(&queue, 600).unwrap();
    claim.settle_each(&queue, &mut |_| (Ending::Again(Again::Now, Counting::Counted), None)).unwrap();
    assert_eq!(ready(&world), (vec![250, 250, 100], vec![]));
}

/// What nobody would get is not opened for nobody, and stays for whoever comes to it.
#[test]
fn only_a_pack_that_can_be_delivered_is_opened_ahead() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let expires = world.machine.now().plus(Duration::from_secs(60));
    world.send(&disk, Q, b"first", Envelope::default()).unwrap();
    publish(&world, COUNT, &Envelope { expires: Some(expires), ..Envelope::default() });
    let damaged = world.fork();
    spoil(&damaged, [3]);
    let expired = world.fork();
    expired.machine.set_clock(expires);
    for (world, opened) in [(damaged, false), (expired, false), (world, true)] {
        world.open().open_ahead().unwrap();
        let (buckets, packs) = if opened { (vec![1, COUNT as usize], vec![]) } else { (vec![1], vec![COUNT]) };
        assert_eq!(ready(&world), (buckets, packs));
    }
}

/// It came out of its pack, and there was no room to bring it to its place: its lease is not lost, it is on its way.
#[test]
fn a_failed_message_that_no_room_is_found_for_is_brought_home_later() {
    let world = pack_of(COUNT, PLAIN, &Envelope::default());
    let receipt = claim_one(&open(&world.without_room()).unwrap(), Lease::Timed(Duration::from_secs(60)));
    let receipt = receipt.unwrap().receipt(Q);
    let queue = open(&world.refusing(|step| step.starts_with("rename ready to").then_some(Errno::NOSPC))).unwrap();
    let nack = queue.redeem(&receipt, None).unwrap().nack(&queue, Again::Now, Counting::Counted, None);
    assert!(matches!(&nack, Err(error) if error.no_room()), "{nack:?}");
    world.open().recover().unwrap();
    assert_eq!(ready(&world), (vec![1], vec![COUNT - 1]));
    let mut attempts: Vec<u32> = Survey::of(&world.machine, Q).messages.iter().map(|seen| seen.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 0, 0, 0, 1]);
}

/// What a backup has brought back already is not brought home a second time, and stops nobody.
#[test]
fn what_is_at_home_already_is_not_brought_there_again() {
    let mut world = World::empty(PLAIN, 1);
    sent(&mut world);
    let opened = |world: &World| world.machine.files(Q).iter().any(|path| path.contains("/spent-"));
    let dead = |_: &mut World, disk: &Disk| {
        let queue = Queue::open(disk, Path::new(Q))?;
        claim_whole(&queue, COUNT)?.dead(&queue, None).map(drop)
    };
    world.stop_when(dead, opened);
    let files = world.machine.files(Q);
    let path = files.iter().find(|path| path.contains("/dead/")).expect("what came out");
    let name = path.rsplit('/').next().unwrap();
    let home = format!("{Q}/dead/{}/{name}", name.split('-').nth(1).unwrap());
    world.machine.write(home, &world.machine.read(format!("{Q}/{path}")).unwrap());
    world.open().recover().unwrap();
    let survey = Survey::of(&world.machine, Q);
    assert_eq!((survey.messages.len(), survey.litter, survey.wrong), (COUNT as usize, vec![], vec![]));
}
