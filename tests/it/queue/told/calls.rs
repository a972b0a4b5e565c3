//! The calls.

use super::super::packs;
use super::super::unique::{self, keyed};
use super::super::verbs::VERBS;
use super::super::world::{OTHER, World};
use mq::queue::name::{Lease, State};
use mq::queue::{OnDuplicate, Place, Published, Queue, Result, Until};
use std::ops::ControlFlow;
use std::path::Path;

pub struct Call {
    pub name: &'static str,
    pub prepare: fn(&mut World),
    /// The message that it is about.
    pub place: fn(&Queue) -> Place,
    /// What came of it.
    pub call: fn(&Queue, &Place) -> Result<String>,
    /// It takes a message out of where it is, for which no room is needed.
    pub ends: bool,
    /// It ends a claim, which goes on without a record whatever is wrong with that.
    pub settles: bool,
}

const fn call(
    name: &'static str,
    prepare: fn(&mut World),
    place: fn(&Queue) -> Place,
    call: fn(&Queue, &Place) -> Result<String>,
) -> Call {
    Call { name, prepare, place, call, ends: false, settles: false }
}

const fn ends(call: Call) -> Call {
    Call { ends: true, ..call }
}

const fn settles(call: Call) -> Call {
    Call { settles: true, ..ends(call) }
}

pub const CALLS: &[Call] = &[
    ends(call("cancel", nothing, ready, cancel)),
    ends(call("cancel of what comes later", |world| like("rm of a scheduled message", world), delayed, cancel)),
    settles(call("cancel of a timed claim", |world| like("ack by receipt", world), timed, cancel)),
    call("cancel of what somebody holds", nothing, live, cancel),
    ends(call("cancel of a group's retry", |world| like("rm of a group's retry", world), delayed, cancel)),
    Call { settles: true, ..call("cancel in a claimed pack", packs::lost, in_pack, cancel) },
    ends(call("cancel under a key", unique::taken, ready, cancel)),
    call("a look for a request", requested, live, |queue, place| {
        Ok(format!("{:?} {:?}", queue.cancellations()?, queue.cancellation(place.id())?))
    }),
    call("rm", nothing, ready, remove),
    call("rm of what comes later", |world| like("rm of a scheduled message", world), delayed, remove),
    call("rm of a dead letter", |world| like("redrive", world), dead, remove),
    call("rm under a key", unique::taken, ready, remove),
    ends(call(
        "redrive",
        |world| like("redrive", world),
        dead,
        |queue, place| Ok(format!("{:?}", queue.redrive(place, None)?)),
    )),
    ends(call(
        "move",
        |world| like("move of what has failed", world),
        ready,
        |queue, place| {
            Ok(format!("{:?}", queue.move_to(place, &Queue::open(queue.disk(), Path::new(OTHER))?)?)
                .replace(DIGITS, "0"))
        },
    )),
    call("a list", several, ready, |queue, _| list(queue)),
    call("a list of what comes out of a pack", packs::half_opened, ready, |queue, _| list(queue)),
    call("counts", several, ready, |queue, _| Ok(format!("{:?}", queue.stats()?))),
    call("a look at one that waits", nothing, ready, look),
    call("a look at one that somebody holds", nothing, live, look),
    call("send under a key that is taken", unique::taken, ready, |queue, _| send(queue, OnDuplicate::Skip)),
    call("send under a key that may be taken", in_doubt, ready, |queue, _| send(queue, OnDuplicate::Skip)),
    call("replace under a key", unique::taken, ready, |queue, _| send(queue, REPLACE)),
    call("replace under a key of what comes later", unique::taken_and_delayed, delayed, |queue, _| {
        send(queue, REPLACE)
    }),
    call("replace under a key, begun by another", half_replaced, ready, |queue, _| send(queue, OnDuplicate::Skip)),
];

const REPLACE: OnDuplicate = OnDuplicate::Replace { max_delay: None };
const DIGITS: fn(char) -> bool = |c: char| c.is_ascii_digit();

fn nothing(_: &mut World) {}

/// As for this verb.
fn like(verb: &str, world: &mut World) {
    let verb = VERBS.iter().find(|other| other.name == verb).expect("the verb");
    (verb.prepare)(world);
}

fn requested(world: &mut World) {
    let queue = world.open();
    let held = live(&queue);
    queue.cancel(&held, "not needed").unwrap();
}

/// Messages in several states and buckets, and some of a group.
fn several(world: &mut World) {
    like("ack by receipt", world);
    like("redrive", world);
    like("rm of a scheduled message", world);
    like("rm of a group's retry", world);
}

/// A sender was killed after its record, before its message.
fn in_doubt(world: &mut World) {
    left_in_doubt(world, unique::send);
}

/// A sender was killed before it could take the place of another's message.
fn half_replaced(world: &mut World) {
    unique::taken(world);
    left_in_doubt(world, unique::replace);
}

fn left_in_doubt(world: &mut World, act: fn(&mut World, &mq::fs::Disk) -> Result<()>) {
    let whole = |world: &World| {
        let files = world.machine.files("/q/unique");
        let [file] = files.as_slice() else { return false };
        file.ends_with('~') && world.machine.read(format!("/q/unique/{file}")).is_some_and(|line| line.ends_with(b"\n"))
    };
    world.stop_when(act, whole);
}

fn of(queue: &Queue, state: State, wanted: impl Fn(&Place) -> bool) -> Place {
    let mut found = None;
    let each = |place: Place, _: &_| {
        if found.is_none() && wanted(&place) {
            found = Some(place);
        }
        Ok(ControlFlow::Continue(()))
    };
    queue.each_place(state, each).unwrap();
    found.expect("a message")
}

fn ready(queue: &Queue) -> Place {
    of(queue, State::Ready, |_| true)
}

fn delayed(queue: &Queue) -> Place {
    of(queue, State::Delayed, |_| true)
}

fn dead(queue: &Queue) -> Place {
    of(queue, State::Dead, |_| true)
}

fn timed(queue: &Queue) -> Place {
    of(queue, State::Claimed, |place| place.claimed.as_ref().is_some_and(|claimed| claimed.lease != Lease::Live))
}

fn live(queue: &Queue) -> Place {
    of(queue, State::Claimed, |place| place.claimed.as_ref().is_some_and(|claimed| claimed.lease == Lease::Live))
}

fn in_pack(queue: &Queue) -> Place {
    of(queue, State::Claimed, |place| place.in_pack == Some(2))
}

fn cancel(queue: &Queue, place: &Place) -> Result<String> {
    Ok(format!("{:?}", queue.cancel(place, "not needed")?))
}

fn remove(queue: &Queue, place: &Place) -> Result<String> {
    Ok(format!("{:?}", queue.remove(place)?))
}

fn list(queue: &Queue) -> Result<String> {
    let mut all = Vec::new();
    for state in State::ALL {
        queue.each_place(state, |place, _| {
            all.push(format!("{} {}", state.word(), place.id()));
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(format!("{all:?}"))
}

fn look(queue: &Queue, place: &Place) -> Result<String> {
    let message = queue.read(place)?.map(|message| message.start(100)).transpose()?;
    Ok(format!("{message:?} {:?} {:?}", queue.holder(place)?.is_some(), queue.times(place)?))
}

fn send(queue: &Queue, on: OnDuplicate) -> Result<String> {
    let mut draft = queue.draft(keyed(Until::Settled))?;
    draft.write(b"the one that is sent")?;
    Ok(match draft.publish_unless(on)? {
        Published::Sent(_) => "sent".into(),
        Published::Replaced(sent) => format!("replaced {}", sent.id),
        Published::Stands(id) => format!("{id} stands"),
    })
}
