//! What many crashes, and people, leave in one queue.

use super::survey::{Survey, open};
use super::world::{Q, World, due_at, urgent};
use crate::support::memory::Cut;
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Again, Attempt, Counting, Envelope, Found, Outcome, Queue, Receipt, Result, Scout};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A queue after many crashes: of workers, of senders at every stage, of somebody who changed its settings.
pub fn crashed(world: &mut World) {
    let disk = world.machine.disk();
    let queue = Queue::open(&disk, Path::new(Q)).unwrap();
    // One process claims all three: the next one would mend what the last has left.
    let mut scout = Scout::new();
    let short = Lease::Timed(Duration::from_secs(1));
    let [_, _, half] =
        [("worker killed", Lease::Live), ("lease run out", short), ("half put back", short)].map(|(body, lease)| {
            world.send(&disk, Q, body.as_bytes(), urgent(7)).unwrap();
            let Found::Claim(claim) = queue.claim(&mut scout, lease).unwrap() else { panic!("nothing to claim") };
            claim.receipt(Q)
        });
    let claimed = |path: &str| path.starts_with("claimed/");
    stop_at(
        world,
        |_, disk| put_back(disk, &half),
        |path, bytes| claimed(path) && bytes.ends_with(b"not work\\n\"}\n"),
    );
    world.machine.advance(Duration::from_secs(2));

    let begins = |with: &'static [u8]| move |path: &str, bytes: &[u8]| path.contains("tmp/") && bytes.starts_with(with);
    stop_at(world, |world, disk| world.send(disk, Q, b"whole", Envelope::default()), begins(b"{"));
    stop_at(world, |world, disk| world.send(disk, Q, b"placeholder", Envelope::default()), begins(b"   "));
    stop_at(world, |world, disk| world.send(disk, Q, b"empty", Envelope::default()), begins(b""));
    stop_at(
        world,
        |world, disk| batch(world, disk, "unfinished"),
        |path, bytes| path.contains("/000002-") && !bytes.is_empty(),
    );
    stop_at(
        world,
        |world, disk| batch(world, disk, "committed"),
        |path, bytes| path.ends_with("commit") && bytes == b"4\n",
    );
    stop_at(
        world,
        |world, disk| batch(world, disk, "half rolled"),
        |path, bytes| path.contains("ready/") && bytes.ends_with(b"half rolled 2"),
    );
    stop_at(world, configured, |path, _| path.starts_with("control-"));
}

/// A batch that a power cut met just before its flush: it says that it is committed, and this one of its parts is not whole.
pub fn spoiled(world: &mut World, part: u32) {
    stop_at(
        world,
        |world, disk| batch(world, disk, "spoiled"),
        |path, bytes| path.ends_with("commit") && bytes == b"4\n",
    );
    let spoiled = |seed: &u64| {
        let machine = world.machine.crash(Cut::Some(*seed));
        let paths = machine.files(format!("{Q}/tmp"));
        let parts: Vec<Vec<u8>> = paths.iter().filter_map(|path| machine.read(format!("{Q}/tmp/{path}"))).collect();
        let bodies: Vec<&[u8]> = parts.iter().filter_map(|part| Some(open(part).ok()?.1)).collect();
        let whole = |n: u32| bodies.contains(&format!("spoiled {n}").as_bytes());
        parts.contains(&b"4\n".to_vec()) && (1..=4).all(|n| whole(n) == (n != part))
    };
    // One in thousands is such: what was found for a test before is tried first.
    static FOUND: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = found.iter().copied().chain(0..100_000).find(spoiled).expect("such a cut");
    if !found.contains(&seed) {
        found.push(seed);
    }
    *world = world.cut(Cut::Some(seed));
}

/// Stops `act` when a file is there that satisfies `there`, which none did before.
fn stop_at(world: &mut World, act: impl Fn(&mut World, &Disk) -> Result<()>, there: impl Fn(&str, &[u8]) -> bool) {
    let found = |world: &World| -> BTreeSet<String> {
        let contents = |path: &String| world.machine.read(format!("{Q}/{path}")).unwrap_or_default();
        world.machine.files(Q).into_iter().filter(|path| there(path, &contents(path))).collect()
    };
    let before = found(world);
    world.stop_when(act, |world| !found(world).is_subset(&before));
}

fn batch(world: &mut World, disk: &Disk, name: &str) -> Result<()> {
    let later = due_at(world.machine.now().plus(Duration::from_secs(3600)));
    let bodies: Vec<String> = (1..=4).map(|n| format!("{name} {n}")).collect();
    let envelopes = [Envelope::default(), urgent(7), later, Envelope::default()];
    let parts: Vec<(&[u8], Envelope)> = bodies.iter().map(String::as_bytes).zip(envelopes).collect();
    world.send_batch(disk, &parts)
}

fn put_back(disk: &Disk, receipt: &Receipt) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = queue.redeem(receipt, None)?;
    let mut record = Attempt::new(claim.attempt(), disk.now(), Outcome::Exit);
    record.stderr = Some("it did not work\n".repeat(50));
    claim.nack(&queue, Again::Now, Counting::Counted, Some(record)).map(drop)
}

fn configured(_: &mut World, disk: &Disk) -> Result<()> {
    Queue::open(disk, Path::new(Q))?.configure(|settings| settings.set("lease", "33s"))
}

/// What a person with `cp` and an old backup makes of a queue.
pub fn meddled(world: &mut World) {
    let disk = world.machine.disk();
    let bodies: [&[u8]; 5] = [b"one id", b"the same id", b"misplaced", b"doubled", b"doubled elsewhere"];
    for body in bodies {
        world.send(&disk, Q, body, urgent(6)).unwrap();
    }
    let survey = Survey::of(&world.machine, Q);
    let path = |body: &[u8]| survey.messages.iter().find(|seen| seen.body == body).expect("it was sent").path.clone();
    let machine = &world.machine;
    let copy = |from: &str, to: &str| machine.write(format!("{Q}/{to}"), &machine.read(format!("{Q}/{from}")).unwrap());
    let (one, same) = (path(b"one id"), path(b"the same id"));
    copy(&same, &one.replace("ready/6/", "dead/"));
    machine.remove(format!("{Q}/{same}"));
    let misplaced = path(b"misplaced");
    let file_name = misplaced.rsplit('/').next().unwrap();
    copy(&misplaced, &format!("ready/6/0000000000000005/{file_name}"));
    machine.remove(format!("{Q}/{misplaced}"));
    let doubled = path(b"doubled");
    copy(&doubled, &format!("{}1", &doubled[..doubled.len() - 1]));
    let elsewhere = path(b"doubled elsewhere");
    copy(&elsewhere, &elsewhere.replace("ready/6/", "dead/"));

    machine.write(format!("{Q}/ready/6/0000000000000007/0000000000000008-0000000000000007-6-00000"), b"no message");
    world.rubbish = 1;
    machine.write(format!("{Q}/damaged/0000000000000009-0000000000000009-4-00000.why"), b"{}\n");
    machine.write(format!("{Q}/control-abc"), b"{");
    machine.write(format!("{Q}/seq"), b"what was that?");
    machine.remove(format!("{Q}/tmp"));
    machine.remove(format!("{Q}/delayed"));
}
