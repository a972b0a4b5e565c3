//! Every verb of the queue, as something that can be stopped at any step: how the world is made ready for it, and what one
//! process does.

use super::judge::fsck;
use super::ledger::Lasting;
use super::mess;
use super::packs::{self, fronts, hand};
use super::unique;
use super::world::{
    MAX_ATTEMPTS, NEW, OTHER, Promise, Q, World, body_of, claim_one, due_at, lasting, unexpected, urgent,
};
use mq::fs::Disk;
use mq::queue::name::{Id, Lease, State};
use mq::queue::{
    Again, Attempt, Cancelled, Counting, Envelope, Error, Found, Moved, Outcome, Place, Queue, Removed, Repair, Result,
    Scout, Settled,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

pub struct Verb {
    pub name: &'static str,
    pub prepare: fn(&mut World),
    pub act: fn(&mut World, &Disk) -> Result<()>,
    /// Only fsck may come first afterwards: a worker would deliver what a person has doubled twice.
    pub fsck_first: bool,
}

/// How much of a test is done: by the quick suite a part of the steps of the verbs that delivery control has brought, beginning
/// elsewhere for each; by the ignored tests every step of every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Quick,
    /// Every step of every verb but those of packs, of which there are many.
    Most,
    All,
}

/// The quick suite takes one of so many steps.
const STRIDE: u64 = 5;
/// Words of their names.
const DELIVERY: [&str; 15] = [
    "pack", "group", "key", "move", "replay", "kept", "expire", "expiry", "cancel", "pause", "limit", "rate",
    "derived", "replace", "resume",
];

impl Share {
    /// The steps to try of a verb, until there are no more.
    pub fn steps(self, verb: &Verb) -> impl Iterator<Item = u64> {
        let part = match self {
            Share::Quick => DELIVERY.iter().any(|word| verb.name.contains(word)),
            Share::Most => verb.name.contains("pack"),
            Share::All => false,
        };
        // Of packs there are many verbs, and each has many steps.
        let stride = if verb.name.contains("pack") { 5 * STRIDE } else { STRIDE };
        let start = if part { 1 + verb.name.len() as u64 % stride } else { 1 };
        (start..).step_by(if part { stride as usize } else { 1 })
    }
}

const fn verb(name: &'static str, prepare: fn(&mut World), act: fn(&mut World, &Disk) -> Result<()>) -> Verb {
    Verb { name, prepare, act, fsck_first: false }
}

pub const VERBS: &[Verb] = &[
    verb("send", nothing, |world, disk| world.send(disk, Q, b"new", Envelope::default())),
    verb("send a long body", nothing, send_long),
    verb("send of the first message of a priority", nothing, send_urgent),
    verb("send for later", nothing, send_later),
    verb("send on another boot", |world| world.machine.reboot(), send_later),
    verb("send without seq", |world| world.machine.remove("/q/seq"), send_urgent),
    verb("send a batch", nothing, send_batch),
    verb("claim", nothing, claim),
    verb("claim for a receipt", nothing, claim_timed),
    verb("claim of what became due", due, claim),
    verb("claim of an expired message", expired, claim_expired),
    verb("claim of an expired message that is dropped", dropping, claim_dropped),
    verb("claim at a rate", paced, claim),
    verb("send to a queue with a limit", bounded, |world, disk| world.send(disk, Q, b"new", Envelope::default())),
    verb("send a batch to a queue with a limit", bounded, send_batch),
    verb("redrive in a queue with a limit", |world| (bounded(world), buried(world)).1, redrive),
    verb("ack", nothing, ack),
    verb("ack by receipt", leased, ack_by_receipt),
    verb("ack by receipt after an extend", extended, ack_by_receipt),
    verb("ack of what is kept", keeping, ack_and_keep),
    verb(
        "ack by receipt of what is kept",
        |world| {
            leased(world);
            keeping(world)
        },
        ack_by_receipt,
    ),
    verb("expiry of what was kept", kept_long, |_, disk| expire(disk)),
    verb("claim with something to expire", kept_long, claim),
    verb("replay", kept, |world, disk| replay(world, disk, Q)),
    verb("replay to another queue", kept, |world, disk| replay(world, disk, OTHER)),
    verb("rm of what is kept", kept, remove_kept),
    verb("nack to ready", nothing, nack_now),
    verb("nack into an old bucket", two_buckets, nack_now),
    verb("ack of all in an old bucket", two_buckets, |world, disk| ack(world, disk).and_then(|()| ack(world, disk))),
    verb("nack for later", nothing, nack_later),
    verb("nack with backoff", nothing, nack_backoff),
    verb("nack uncounted", nothing, nack_uncounted),
    verb("nack of the last attempt", tried, nack_now),
    verb("nack by receipt", leased, nack_by_receipt),
    verb("dead", nothing, dead),
    verb("dead by receipt", leased, dead_by_receipt),
    verb("extend", leased, |world, disk| extend(world, disk, None)),
    verb("extend by another length", leased, extend_longer),
    verb("redrive", buried, redrive),
    verb("redrive to another queue", buried, redrive_elsewhere),
    verb("move", nothing, |world, disk| move_elsewhere(world, disk, State::Ready)),
    verb("move of what has failed", tried, |world, disk| move_elsewhere(world, disk, State::Ready)),
    verb("move of a scheduled message", scheduled, |world, disk| move_elsewhere(world, disk, State::Delayed)),
    verb("move of a dead message", buried, |world, disk| move_elsewhere(world, disk, State::Dead)),
    verb("rm", nothing, |world, disk| remove(world, disk, State::Ready)),
    verb("rm of a scheduled message", scheduled, |world, disk| remove(world, disk, State::Delayed)),
    verb("purge of the dead", buried, |world, disk| remove(world, disk, State::Dead)),
    verb("send to a group", nothing, |world, disk| world.send(disk, Q, b"first", in_group("a"))),
    verb("send to a group that has messages", grouped, |world, disk| world.send(disk, Q, b"third", in_group("a"))),
    verb("send to a group that is claimed", claimed_group, |world, disk| world.send(disk, Q, b"third", in_group("a"))),
    verb("send to a group on another boot", rebooted_group, |world, disk| world.send(disk, Q, b"third", in_group("a"))),
    verb("send a batch of groups", nothing, send_groups),
    verb("claim in a group", grouped, claim),
    verb("claim in a group for a receipt", grouped, claim_timed),
    verb("ack in a group", grouped, ack),
    verb("ack of all in a group", grouped, |world, disk| ack(world, disk).and_then(|()| ack(world, disk))),
    verb("ack in a group by receipt", claimed_group, ack_by_receipt),
    verb("ack in a group by the receipt of a live claim", live_group, ack_by_receipt),
    verb("dead in a group by the receipt of a live claim", live_group, dead_by_receipt),
    verb("nack in a group", grouped, nack_now),
    verb("nack in a group for later", grouped, nack_later),
    verb("nack in a group by receipt", claimed_group, nack_by_receipt),
    verb("dead in a group", grouped, dead),
    verb("dead in a group by receipt", claimed_group, dead_by_receipt),
    verb("dead in a group that is held", held_group, dead),
    verb("redrive into a group", buried_in_group, redrive),
    verb("redrive of a held group", held_dead, redrive),
    verb("redrive of a held group to another queue", held_dead, redrive_elsewhere),
    verb("purge of a held group's dead", held_dead, |world, disk| remove(world, disk, State::Dead)),
    verb("rm in a group", grouped, |world, disk| remove_named(world, disk, b"second")),
    verb("rm of a group's retry", delayed_group, |world, disk| remove(world, disk, State::Delayed)),
    verb("pause", nothing, |world, disk| pause(world, disk, None)),
    verb("pause for a while", nothing, |world, disk| pause(world, disk, Some(Duration::from_secs(100_000)))),
    verb("pause for a while what is paused", paused, |world, disk| {
        pause(world, disk, Some(Duration::from_secs(100_000)))
    }),
    verb("resume", paused, resume),
    verb("cancel", nothing, |world, disk| cancel(world, disk, State::Ready)),
    verb("cancel of a scheduled message", scheduled, |world, disk| cancel(world, disk, State::Delayed)),
    verb("cancel of a timed claim", leased, cancel_leased),
    verb("cancel of what a worker holds", nothing, cancel_held),
    verb("recover of a request to cancel", |world| requested(world, &world.machine.disk()).unwrap(), recover_requested),
    verb("pause for at least a while", nothing, pause_for),
    verb("send under a key", nothing, unique::send),
    verb("send under a key that is taken", unique::taken, unique::send_in_vain),
    verb("send a batch with keys", nothing, unique::send_batch),
    verb("send of what was derived, twice", nothing, unique::derive),
    verb("replace under a key", unique::taken, unique::replace),
    verb("replace under a key for later", unique::taken, unique::replace_for_later),
    verb("replace under a key of what was to come later", unique::taken_and_delayed, unique::replace),
    verb("replace under a key of what has failed", unique::taken_and_failed, unique::replace),
    verb("ack under a key", unique::taken, ack),
    verb("claim under a key until claimed", unique::taken_until_claimed, claim),
    verb("rm under a key until claimed", unique::taken_until_claimed, unique::rm),
    verb("dead under a key", unique::taken, unique::dead),
    verb("rm under a key", unique::taken, unique::rm),
    verb("redrive under a key", unique::taken_and_dead, redrive),
    verb("redrive under a key to another queue", unique::taken_and_dead, redrive_elsewhere),
    verb("send the first pack of a queue", nothing, |world, disk| packs::send(world, disk, &urgent(7))),
    verb("send a pack", packs::reserved, |world, disk| packs::send(world, disk, &urgent(7))),
    verb("send a pack for later", packs::reserved, packs::send_later),
    verb("claim out of a pack", packs::sent, claim),
    verb("claim out of a pack for a receipt", packs::sent, claim_timed),
    verb("claim out of a pack twice, and ack", packs::sent, |world, disk| {
        ack(world, disk).and_then(|()| ack(world, disk))
    }),
    verb("claim out of a pack that became due", packs::due, claim),
    verb("claim of a pack that became due", packs::due, packs::claim),
    verb("claim of a part of a pack", packs::sent, packs::claim_part),
    verb("claim out of a part of a pack", packs::divided, claim),
    verb("ack of a pack", packs::sent, packs::ack),
    verb("nack of a pack", packs::sent, |world, disk| packs::nack(world, disk, Again::Now)),
    verb("nack of a pack for later", packs::sent, |world, disk| {
        packs::nack(world, disk, Again::After(Duration::from_secs(30)))
    }),
    verb("nack of a pack, for the last time", packs::tried, |world, disk| packs::nack(world, disk, Again::Now)),
    verb("dead of a pack", packs::sent, packs::dead),
    verb("the messages of a pack end each in its way", packs::sent, packs::settle_each),
    verb("the messages of a pack end each in its way, and some are kept", packs::kept, packs::settle_each),
    verb("ack of the first of a pack", packs::sent, fronts::ack),
    verb("nack of the first of a pack for later", packs::sent, fronts::nack),
    verb("the first of a pack end each in its way", packs::sent, fronts::settle_each),
    verb("recover of the first of a pack", fronts::lost, fronts::recover),
    verb("recover of a pack", packs::lost, |world, disk| packs::recover(world, disk, None)),
    verb("recover of a pack, for the last time", packs::lost_at_last, |world, disk| {
        packs::recover(world, disk, Some("dead"))
    }),
    verb("recover of a pack of which one is cancelled", packs::lost_and_cancelled, packs::recover_cancelled),
    verb("recover of a pack that was being opened", packs::half_opened, recover),
    verb("claim after a pack was being opened", packs::half_opened, claim),
    verb("rm of the first of a pack", packs::sent, |world, disk| packs::remove(world, disk, &[1])),
    verb("rm within a pack", packs::sent, |world, disk| packs::remove(world, disk, &[3])),
    verb("rm of the last of a pack", packs::sent, |world, disk| packs::remove(world, disk, &[5])),
    verb("rm of some in a part of a pack", packs::divided, |world, disk| packs::remove_together(world, disk, &[4])),
    verb("rm of the first ones of a pack", packs::sent, |world, disk| packs::remove_together(world, disk, &[1, 2])),
    verb("rm of some within a pack", packs::sent, |world, disk| packs::remove_together(world, disk, &[2, 4])),
    verb("rm of the last ones of a pack", packs::sent, |world, disk| packs::remove_together(world, disk, &[4, 5])),
    verb("rm of all of a pack", packs::sent, |world, disk| packs::remove_together(world, disk, &[1, 2, 3, 4, 5])),
    verb("rm within a pack that comes later", packs::scheduled, |world, disk| {
        packs::remove_together(world, disk, &[3])
    }),
    verb("move out of a pack", packs::sent, packs::move_one),
    verb("move out of a pack that comes later", packs::scheduled, packs::move_one),
    verb("cancel within a pack", packs::sent, packs::cancel_one),
    verb("ack of all of a pack in hand", hand::ready, hand::ack_all),
    verb("ack of some of a pack in hand", hand::ready, hand::ack_and_go),
    verb("nack of one of a pack in hand", hand::ready, |world, disk| {
        hand::nack(world, disk, Again::After(Duration::from_secs(30)))
    }),
    verb("dead of one of a pack in hand", hand::ready, hand::dead),
    verb("put back of a pack in hand", hand::ready, hand::put_back),
    verb("put back of the rest of a pack in hand", hand::ready, hand::let_go),
    verb("recover of a pack in hand", hand::lost, hand::recover),
    verb("ack by receipt out of a pack in hand", hand::live, ack_by_receipt),
    verb("nack by receipt out of a pack in hand", hand::live, nack_by_receipt),
    verb("dead by receipt out of a pack in hand", hand::live, dead_by_receipt),
    Verb { fsck_first: true, ..verb("fsck of packs in pieces", packs::in_pieces, |_, disk| repair(disk)) },
    verb("create", nothing, create),
    verb("create what is there", |world| create(world, &world.machine.disk()).unwrap(), create),
    verb("config", nothing, configure),
    verb("recover", mess::crashed, recover),
    verb("recover of a batch without its second part", |world| mess::spoiled(world, 2), recover),
    verb("recover of a batch without its last part", |world| mess::spoiled(world, 4), recover),
    verb("claim after crashes", mess::crashed, claim),
    verb("fsck", mess::crashed, |_, disk| repair(disk)),
    Verb { fsck_first: true, ..verb("fsck of a meddled queue", mess::meddled, |_, disk| repair(disk)) },
];

fn nothing(_: &mut World) {}

fn send_long(world: &mut World, disk: &Disk) -> Result<()> {
    let body: Vec<u8> = (0..300_000_u32).map(|at| b"0123456789abcdef"[at as usize * 7 % 16]).collect();
    world.send(disk, Q, &body, Envelope::default())
}

fn send_urgent(world: &mut World, disk: &Disk) -> Result<()> {
    world.send(disk, Q, b"urgent", urgent(7))
}

pub fn in_an_hour(world: &World) -> Envelope {
    due_at(world.machine.now().plus(Duration::from_secs(3600)))
}

fn send_later(world: &mut World, disk: &Disk) -> Result<()> {
    let envelope = in_an_hour(world);
    world.send(disk, Q, b"later", envelope)?;
    world.ledger.is_in(b"later", &["delayed", "ready"], Lasting::Cut);
    Ok(())
}

fn send_batch(world: &mut World, disk: &Disk) -> Result<()> {
    let later = in_an_hour(world);
    world.send_batch(
        disk,
        &[
            (b"batch 1", Envelope::default()),
            (b"batch 2", urgent(7)),
            (b"batch 3", later),
            (b"batch 4", Envelope::default()),
        ],
    )
}

fn due(world: &mut World) {
    let due = world.machine.now().plus(Duration::from_secs(300));
    let disk = world.machine.disk();
    world.send(&disk, Q, b"due", Envelope { due: Some(due), ..urgent(7) }).unwrap();
    world.machine.set_clock(due);
}

fn scheduled(world: &mut World) {
    let disk = world.machine.disk();
    send_later(world, &disk).unwrap();
    world.ledger.let_move();
}

fn leased(world: &mut World) {
    let disk = world.machine.disk();
    world.claim_timed(&disk, Duration::from_secs(60)).unwrap();
}

fn extended(world: &mut World) {
    leased(world);
    extend(world, &world.machine.disk(), Some(Duration::from_secs(90))).unwrap();
}

/// A message that has failed all its attempts but one, and is urgent, so that it is claimed next.
fn tried(world: &mut World) {
    let disk = world.machine.disk();
    world.send(&disk, Q, b"tried", urgent(7)).unwrap();
    for _ in 1..MAX_ATTEMPTS {
        nack_now(world, &disk).unwrap();
    }
    world.ledger.let_move();
}

/// One dead message in each of two buckets.
fn buried(world: &mut World) {
    let disk = world.machine.disk();
    for body in [b"dead 1", b"dead 2"] {
        world.send(&disk, Q, body, urgent(7)).unwrap();
        dead(world, &disk).unwrap();
    }
    world.ledger.let_move();
}

/// The last message of a bucket, and a younger bucket of the same priority: another boot opens a new one.
fn two_buckets(world: &mut World) {
    let disk = world.machine.disk();
    world.send(&disk, Q, b"in the old bucket", urgent(7)).unwrap();
    world.machine.reboot();
    world.send(&disk, Q, b"in the new bucket", urgent(7)).unwrap();
}

fn in_group(key: &str) -> Envelope {
    Envelope { group: Some(key.to_string()), ..urgent(7) }
}

/// Two messages of one group, which are claimed before all others.
fn grouped(world: &mut World) {
    let disk = world.machine.disk();
    for body in [b"first ", b"second"] {
        world.send(&disk, Q, body.trim_ascii(), in_group("a")).unwrap();
    }
}

fn rebooted_group(world: &mut World) {
    grouped(world);
    world.machine.reboot();
}

fn claimed_group(world: &mut World) {
    grouped(world);
    leased(world);
}

/// The first message of a group claimed by a worker that is gone for the machine, but for whoever has its receipt.
fn live_group(world: &mut World) {
    grouped(world);
    let disk = world.machine.disk();
    let queue = Queue::open(&disk, Path::new(Q)).unwrap();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let body = body_of(&claim).unwrap();
    world.receipts.push((claim.receipt(Q), body));
}

fn holding(world: &mut World) {
    let disk = world.machine.disk();
    let mut queue = Queue::open(&disk, Path::new(Q)).unwrap();
    queue.configure(|settings| settings.set("group_on_dead", "hold")).unwrap();
}

fn held_group(world: &mut World) {
    holding(world);
    grouped(world);
}

fn held_dead(world: &mut World) {
    held_group(world);
    let disk = world.machine.disk();
    dead(world, &disk).unwrap();
    world.ledger.let_move();
}

fn buried_in_group(world: &mut World) {
    grouped(world);
    let disk = world.machine.disk();
    dead(world, &disk).unwrap();
    world.ledger.let_move();
}

fn delayed_group(world: &mut World) {
    grouped(world);
    let disk = world.machine.disk();
    nack_later(world, &disk).unwrap();
    world.ledger.let_move();
}

fn send_groups(world: &mut World, disk: &Disk) -> Result<()> {
    world.send_batch(
        disk,
        &[
            (b"batch 1", in_group("a")),
            (b"batch 2", in_group("b")),
            (b"batch 3", in_group("a")),
            (b"batch 4", Envelope::default()),
        ],
    )
}

fn remove_named(world: &mut World, disk: &Disk, body: &[u8]) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let mut places = Vec::new();
    queue.each_place(State::Ready, |place, _| {
        places.push(place);
        Ok(ControlFlow::Continue(()))
    })?;
    for place in places {
        let Some(message) = queue.read(&place)? else { continue };
        if message.start(100)? == body {
            world.ledger.leaving(body);
            only(queue.remove(&place)? == Removed::Removed, "gone")?;
            queue.flush_all()?;
            world.ledger.gone(body);
            return queue.count_removed(1);
        }
    }
    only(false, "not found")
}

pub fn claim(world: &mut World, disk: &Disk) -> Result<()> {
    let _ = world;
    let queue = Queue::open(disk, Path::new(Q))?;
    claim_one(&queue, Lease::Live).map(drop)
}

fn claim_timed(world: &mut World, disk: &Disk) -> Result<()> {
    world.claim_timed(disk, Duration::from_secs(60)).map(drop)
}

/// A queue whose claims pass through the file `pace`.
fn paced(world: &mut World) {
    let set = |key: &str, value: &str| world.open().configure(|settings| settings.set(key, value)).unwrap();
    set("rate", "1000/s");
    set("burst", "1000");
    set("max_in_flight", "1000");
}

/// A queue that counts what it holds.
fn bounded(world: &mut World) {
    let set = |key: &str, value: &str| world.open().configure(|settings| settings.set(key, value)).unwrap();
    set("max_messages", "1000");
    set("max_bytes", "100M");
    set("min_free", "1M");
}

/// A message whose time is over, and no other to claim, so that an error of its end can't be passed over.
fn expired(world: &mut World) {
    let disk = world.machine.disk();
    for _ in 0..2 {
        ack(world, &disk).unwrap();
    }
    let expires = world.machine.now().plus(Duration::from_secs(30));
    world.send(&disk, Q, b"expired", Envelope { expires: Some(expires), ..urgent(7) }).unwrap();
    world.ledger.let_move();
    world.machine.set_clock(expires);
}

fn dropping(world: &mut World) {
    world.open().configure(|settings| settings.set("on_expire", "drop")).unwrap();
    expired(world);
}

fn claim_expired(world: &mut World, disk: &Disk) -> Result<()> {
    claim_nothing(disk)?;
    world.ledger.is_in(b"expired", &["dead"], lasting(world.config));
    Ok(())
}

fn claim_nothing(disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    only(matches!(queue.claim(&mut Scout::new(), Lease::Live)?, Found::Nothing(_)), "claimed")
}

fn claim_dropped(world: &mut World, disk: &Disk) -> Result<()> {
    // Others may be told that they took it out.
    world.ledger.leaving(b"expired");
    claim_nothing(disk)
}

pub fn ack(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let body = body_of(&claim)?;
    world.ledger.leaving(&body);
    only(claim.ack(&queue)? == Settled::Acked, "settled already")?;
    world.ledger.gone(&body);
    Ok(())
}

fn ack_by_receipt(world: &mut World, disk: &Disk) -> Result<()> {
    let (receipt, body) = world.last_receipt();
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = queue.redeem(&receipt, None)?;
    world.ledger.leaving(&body);
    only(matches!(claim.ack(&queue)?, Settled::Acked | Settled::Unkept), "settled already")?;
    world.ledger.gone(&body);
    Ok(())
}

pub fn record(disk: &Disk, attempt: u32, outcome: Outcome) -> Option<Attempt> {
    let mut record = Attempt::new(attempt, disk.now(), outcome);
    record.exit = Some(1);
    record.stderr = Some("what the job said\n".repeat(20));
    Some(record)
}

/// Longer than anything else here takes.
const RETAIN: &str = "300d";

/// The queue keeps what is acknowledged from here on.
pub fn keeping(world: &mut World) {
    world.open().configure(|settings| settings.set("retain", RETAIN)).unwrap();
    world.machine.settle();
    world.ledger.keep();
}

/// Three messages were acknowledged, in two buckets, and are kept.
fn kept(world: &mut World) {
    keeping(world);
    let disk = world.machine.disk();
    for (body, boot) in [(b"kept 1", false), (b"kept 2", false), (b"kept 3", true)] {
        if boot {
            world.machine.reboot();
        }
        world.send(&disk, Q, body, urgent(7)).unwrap();
        ack_and_keep(world, &disk).unwrap();
    }
    world.machine.settle();
}

/// They have been kept for long enough, and one that was acknowledged just now has not.
fn kept_long(world: &mut World) {
    kept(world);
    let disk = world.machine.disk();
    ack_by_receipt(world, &disk).unwrap();
    for body in [b"kept 1", b"kept 2", b"kept 3"] {
        world.ledger.gone(body);
    }
    world.send(&disk, Q, b"kept 4", urgent(7)).unwrap();
    // Claimed before: whoever claims removes some of them in passing.
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    world.machine.set_clock(world.machine.now().plus(Duration::from_secs(300 * 24 * 3600 + 1)));
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    world.ledger.kept(b"kept 4");
    world.machine.settle();
}

fn ack_and_keep(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let body = body_of(&claim)?;
    let record = record(disk, claim.attempt(), Outcome::Ok);
    world.ledger.leaving(&body);
    match claim.ack_recorded(&queue, record)? {
        Settled::Acked => world.ledger.kept(&body),
        Settled::Unkept => world.ledger.gone(&body),
        _ => only(false, "settled already")?,
    }
    Ok(())
}

fn expire(disk: &Disk) -> Result<()> {
    let removed = Queue::open(disk, Path::new(Q))?.expire_done()?;
    only(removed == 4, "those that were kept for long enough")
}

/// Those of [`kept`], whoever has acknowledged others meanwhile.
fn places_kept(queue: &Queue) -> Result<Vec<(Place, Vec<u8>)>> {
    let mut places = Vec::new();
    queue.each_place(State::Done, |place, _| {
        let body = queue.read(&place)?.ok_or_else(|| unexpected("gone"))?.start(100)?;
        if body.starts_with(b"kept") {
            places.push((place, body));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(places)
}

fn remove_kept(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let places = places_kept(&queue)?;
    let (place, body) = places.first().ok_or_else(|| unexpected("nothing is kept"))?;
    world.ledger.leaving(body);
    only(queue.remove(place)? == Removed::Removed, "gone")?;
    queue.flush_all()?;
    world.ledger.gone(body);
    Ok(())
}

/// Sends all that is kept again, whole or not at all.
fn replay(world: &mut World, disk: &Disk, to: &str) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let to = Queue::open(disk, Path::new(to))?;
    let mut batch = to.batch()?;
    let mut bodies = Vec::new();
    for (place, body) in places_kept(&queue)? {
        queue.replayable(&place)?.ok_or_else(|| unexpected("gone"))?.send(&mut batch)?;
        bodies.push(body);
    }
    only(bodies.len() == 3, "all that is kept")?;
    bodies.iter().for_each(|body| world.ledger.sending_again(body));
    world.ledger.together(bodies.clone());
    // What is wrong after the commit does not unsend.
    let _ = batch.publish(|_| ())?;
    bodies.iter().for_each(|body| world.ledger.sent_again(body));
    Ok(())
}

/// What a settled message must be in.
pub fn settled(world: &mut World, body: &[u8], settled: Settled) -> Result<()> {
    let durable = if world.config.sync == "all" { Lasting::Cut } else { Lasting::Kill };
    match settled {
        Settled::Ready => world.ledger.is_in(body, &["ready"], durable),
        Settled::Delayed { .. } => world.ledger.is_in(body, &["delayed"], durable),
        Settled::Dead => world.ledger.is_in(body, &["dead"], lasting(world.config)),
        Settled::Acked | Settled::Unkept | Settled::Already => return only(false, "settled already"),
    }
    Ok(())
}

fn nack(world: &mut World, disk: &Disk, again: Again, counting: Counting) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let body = body_of(&claim)?;
    let used_up = counting == Counting::Counted && claim.attempt() >= MAX_ATTEMPTS;
    let record = record(disk, claim.attempt(), Outcome::Exit);
    let how = claim.nack(&queue, again, counting, record)?;
    only((how == Settled::Dead) == used_up, "dead or not")?;
    settled(world, &body, how)
}

fn nack_later(world: &mut World, disk: &Disk) -> Result<()> {
    nack(world, disk, Again::After(Duration::from_secs(30)), Counting::Counted)
}

fn nack_backoff(world: &mut World, disk: &Disk) -> Result<()> {
    nack(world, disk, Again::Backoff, Counting::Counted)
}

fn nack_uncounted(world: &mut World, disk: &Disk) -> Result<()> {
    nack(world, disk, Again::Now, Counting::Uncounted)
}

fn nack_now(world: &mut World, disk: &Disk) -> Result<()> {
    nack(world, disk, Again::Now, Counting::Counted)
}

fn nack_by_receipt(world: &mut World, disk: &Disk) -> Result<()> {
    let (receipt, body) = world.last_receipt();
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = queue.redeem(&receipt, None)?;
    let record = record(disk, claim.attempt(), Outcome::Nack);
    let how = claim.nack(&queue, Again::Backoff, Counting::Counted, record)?;
    settled(world, &body, how)
}

pub fn dead(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let body = body_of(&claim)?;
    let record = record(disk, claim.attempt(), Outcome::Dead);
    let how = claim.dead(&queue, record)?;
    settled(world, &body, how)
}

fn dead_by_receipt(world: &mut World, disk: &Disk) -> Result<()> {
    let (receipt, body) = world.last_receipt();
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = queue.redeem(&receipt, None)?;
    let record = record(disk, claim.attempt(), Outcome::Dead);
    let how = claim.dead(&queue, record)?;
    settled(world, &body, how)
}

fn extend(world: &mut World, disk: &Disk, by: Option<Duration>) -> Result<()> {
    let (receipt, body) = world.receipts.last().cloned().expect("a receipt");
    // Shorter or longer, and the old one or the new: nobody was promised anything until it returns.
    let until = world.leased.remove(&body);
    let queue = Queue::open(disk, Path::new(Q))?;
    queue.redeem(&receipt, None)?.extend(&queue, by)?;
    let until = until.unwrap_or_default().max(disk.now().plus(by.unwrap_or(Duration::from_secs(60))));
    world.leased.insert(body, until);
    Ok(())
}

fn extend_longer(world: &mut World, disk: &Disk) -> Result<()> {
    extend(world, disk, Some(Duration::from_secs(1200)))
}

/// An outcome that only others can bring about.
pub fn only(as_it_should_be: bool, what: &str) -> Result<()> {
    if as_it_should_be { Ok(()) } else { Err(unexpected(what)) }
}

/// The first message of a state, and its body.
pub fn first(queue: &Queue, state: State) -> Result<(Place, Vec<u8>)> {
    let mut found = None;
    queue.each_place(state, |place, _| {
        found = Some(place);
        Ok(ControlFlow::Break(()))
    })?;
    let place = found.ok_or_else(|| unexpected("none there"))?;
    let body = queue.read(&place)?.ok_or_else(|| unexpected("gone"))?.start(100)?;
    Ok((place, body))
}

fn redrive(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let (place, body) = first(&queue, State::Dead)?;
    let moved = queue.redrive(&place, None)?;
    only(matches!(moved, Moved::To(_)), "gone")?;
    queue.flush_all()?;
    world.ledger.is_in(&body, &["ready"], lasting(world.config));
    Ok(())
}

fn redrive_elsewhere(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let other = Queue::open(disk, Path::new(OTHER))?;
    let (place, body) = first(&queue, State::Dead)?;
    let moved = queue.redrive(&place, Some(&other))?;
    only(matches!(moved, Moved::To(_)), "gone")?;
    other.flush_all()?;
    world.ledger.is_in(&body, &["ready"], lasting(world.config));
    Ok(())
}

fn move_elsewhere(world: &mut World, disk: &Disk, state: State) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let other = Queue::open(disk, Path::new(OTHER))?;
    let (place, body) = first(&queue, state)?;
    let moved = queue.move_to(&place, &other)?;
    only(matches!(moved, Moved::To(_)), "gone")?;
    other.flush_all()?;
    let there: &[_] = if state == State::Delayed { &["delayed"] } else { &["ready"] };
    world.ledger.is_in(&body, there, lasting(world.config));
    Ok(())
}

pub fn remove(world: &mut World, disk: &Disk, state: State) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let (place, body) = first(&queue, state)?;
    world.ledger.leaving(&body);
    only(queue.remove(&place)? == Removed::Removed, "gone")?;
    queue.flush_all()?;
    world.ledger.gone(&body);
    queue.count_removed(1)
}

fn paused(world: &mut World) {
    pause(world, &world.machine.disk(), None).unwrap();
}

pub fn place_of(queue: &Queue, id: Id) -> Result<Place> {
    queue.find(&BTreeSet::from([id]))?.pop().ok_or_else(|| unexpected("none there"))
}

fn cancel(world: &mut World, disk: &Disk, state: State) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let (place, body) = first(&queue, state)?;
    cancelled(queue.cancel(&place, "not needed any more")?, &place, false)?;
    world.ledger.is_in(&body, &["dead"], lasting(world.config));
    Ok(())
}

/// What a try to cancel came to; a lock that can't be had is somebody's.
pub fn cancelled(cancelled: Cancelled, place: &Place, held: bool) -> Result<()> {
    match cancelled {
        Cancelled::Dead => only(!held, "its holder was not asked"),
        Cancelled::Asked { .. } if held => Ok(()),
        Cancelled::Asked { by } | Cancelled::Busy { by } => Err(Error::Held { id: place.id(), by }),
        Cancelled::Gone => only(false, "gone"),
    }
}

fn cancel_leased(world: &mut World, disk: &Disk) -> Result<()> {
    let (receipt, body) = world.last_receipt();
    let queue = Queue::open(disk, Path::new(Q))?;
    let place = place_of(&queue, receipt.id())?;
    cancelled(queue.cancel(&place, "not needed")?, &place, false)?;
    world.ledger.is_in(&body, &["dead"], lasting(world.config));
    match queue.redeem(&receipt, None) {
        Err(Error::Lost { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => only(false, "its holder can still settle it"),
    }
}

/// A worker holds a message, and somebody else asks for its end.
fn requested(world: &mut World, disk: &Disk) -> Result<()> {
    let _ = world;
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let place = place_of(&queue, claim.id())?;
    cancelled(queue.cancel(&place, "not needed")?, &place, true)
}

fn cancel_held(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let claim = claim_one(&queue, Lease::Live)?;
    let (id, body) = (claim.id(), body_of(&claim)?);
    let place = place_of(&queue, id)?;
    cancelled(queue.cancel(&place, "not needed")?, &place, true)?;
    only(queue.cancellations()?.contains(&id) && queue.cancellation(id)?.is_some(), "no request")?;
    let record = record(disk, claim.attempt(), Outcome::Cancelled);
    let how = claim.dead(&queue, record)?;
    settled(world, &body, how)?;
    queue.cancellation_over(id);
    Ok(())
}

fn recover_requested(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let id = queue.cancellations()?.pop_first().ok_or_else(|| unexpected("no request"))?;
    let place = place_of(&queue, id)?;
    let body = queue.read(&place)?.ok_or_else(|| unexpected("gone"))?.start(100)?;
    queue.recover()?;
    if !queue.cancellations()?.is_empty() {
        // A lock that can't be had is somebody's, and the request stands until it can.
        return Err(Error::Held { id, by: None });
    }
    world.ledger.is_in(&body, &["dead"], lasting(world.config));
    Ok(())
}

fn pause_for(world: &mut World, disk: &Disk) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    let pause = queue.pause_at_least("job exited 75", Duration::from_secs(3600))?;
    world.promised = Some(Promise::Paused);
    only(queue.paused()?.as_ref() == Some(&pause), "paused otherwise")
}

fn pause(world: &mut World, disk: &Disk, length: Option<Duration>) -> Result<()> {
    let queue = Queue::open(disk, Path::new(Q))?;
    queue.pause_for(Some("to look into something".into()), length)?;
    world.promised = Some(Promise::Paused);
    assert_eq!(queue.paused()?.is_some_and(|pause| pause.until().is_some()), length.is_some());
    Ok(())
}

fn resume(world: &mut World, disk: &Disk) -> Result<()> {
    world.promised = None;
    let queue = Queue::open(disk, Path::new(Q))?;
    assert!(queue.resume()?);
    world.promised = Some(Promise::Resumed);
    Ok(())
}

fn create(world: &mut World, disk: &Disk) -> Result<()> {
    Queue::create(disk, Path::new(NEW), &world.settings())?;
    world.promised = Some(Promise::Created);
    Ok(())
}

fn configure(world: &mut World, disk: &Disk) -> Result<()> {
    let mut queue = Queue::open(disk, Path::new(Q))?;
    queue.configure(|settings| settings.set("lease", "77s"))?;
    assert_eq!(queue.settings().lease(), Duration::from_secs(77));
    world.promised = Some(Promise::Configured);
    Ok(())
}

fn recover(world: &mut World, disk: &Disk) -> Result<()> {
    let _ = world;
    Queue::open(disk, Path::new(Q))?.recover().map(drop)
}

fn repair(disk: &Disk) -> Result<()> {
    fsck(&Queue::open(disk, Path::new(Q))?, Repair::Mend).map(drop)
}
