//! What is listed and counted: the messages, in whatever state, and nothing that is called like one.

use super::packs;
use super::world::{PLAIN, Q, World};
use mq::queue::name::{Id, State};
use mq::queue::{Envelope, Place, Queue};
use std::ops::ControlFlow;

fn listed(queue: &Queue) -> Vec<(State, Id)> {
    let mut all = Vec::new();
    for state in State::ALL {
        let each = |place: Place, _: &_| {
            all.push((state, place.id()));
            assert_eq!(place.state, state);
            Ok(ControlFlow::Continue(()))
        };
        queue.each_place(state, each).unwrap();
    }
    all
}

/// How many are counted in each state.
fn counted(queue: &Queue) -> [u64; 6] {
    let stats = queue.stats().unwrap();
    [stats.ready, stats.delayed, stats.claimed, stats.dead, stats.done, stats.damaged]
}

fn path_of(world: &World, below: &str) -> String {
    let files = world.machine.files(Q);
    files.into_iter().find(|path| path.starts_with(below) && !path.ends_with('/')).unwrap()
}

#[test]
fn what_is_only_called_like_a_message_or_stands_elsewhere_is_not_listed() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    packs::send(&mut world, &disk, &Envelope::default()).unwrap();
    world.send(&disk, Q, b"1", super::world::urgent(2)).unwrap();
    let queue = world.open();
    let (before, counts) = (listed(&queue), counted(&queue));
    assert_eq!((before.len(), counts[0]), (6, 6));
    let (pack, message) = (path_of(&world, "ready/4/"), path_of(&world, "ready/2/"));
    let (pack_name, name) = (pack.rsplit_once('/').unwrap().1, message.rsplit_once('/').unwrap().1);
    let bytes = world.machine.read(format!("{Q}/{pack}")).unwrap();
    let bucket = message.rsplit('/').nth(1).unwrap().to_string();
    // A directory that is called like a message, in its bucket; packs where none stands; and buckets that are none.
    world.machine.mkdir(format!("{Q}/{}", message.replace("-2-00000", "-2-00001")));
    for state in ["dead", "delayed", "done"] {
        world.machine.write(format!("{Q}/{state}/{pack_name}"), &bytes);
        world.machine.write(format!("{Q}/{state}/{bucket}/{pack_name}"), &bytes);
        world.machine.write(format!("{Q}/{state}/a-bucket/{name}"), b"");
    }
    world.machine.write(format!("{Q}/ready/2/a-bucket/{name}"), b"");
    assert_eq!((listed(&queue), counted(&queue)), (before, counts));
}

#[test]
fn a_pack_that_was_set_aside_is_one_thing() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    packs::send(&mut world, &disk, &Envelope::default()).unwrap();
    let pack = path_of(&world, "ready/4/");
    let bytes = world.machine.read(format!("{Q}/{pack}")).unwrap();
    world.machine.remove(format!("{Q}/{pack}"));
    world.machine.write(format!("{Q}/damaged/{}", pack.rsplit_once('/').unwrap().1), &bytes);
    let queue = world.open();
    assert_eq!(listed(&queue).len(), 1);
    assert_eq!(counted(&queue), [0, 0, 0, 0, 0, 1]);
}

/// At each moment of the opening of a pack its messages are there once each, and only messages are told.
#[test]
fn what_comes_out_of_a_pack_is_listed_on_its_way() {
    let mut prepared = World::empty(PLAIN, 1);
    let disk = prepared.machine.disk();
    packs::send(&mut prepared, &disk, &Envelope::default()).unwrap();
    packs::reserved(&mut prepared);
    let mut shelves = 0;
    for n in 1.. {
        let world = prepared.fork();
        let (disk, tape) = world.injected(crate::support::inject::Plan::StopBefore(n));
        let _ = Queue::open(&disk, std::path::Path::new(Q)).and_then(|queue| {
            let mut places = Vec::new();
            queue.each_place(State::Ready, |place, _| {
                places.push(place);
                Ok(ControlFlow::Continue(()))
            })?;
            // The one in the middle, so that something is left of the pack.
            queue.remove(&places[2])
        });
        drop(disk);
        let queue = world.open();
        let shelf =
            world.machine.files(Q).into_iter().find(|path| path.starts_with("tmp/") && path.contains("/ready/"));
        if let Some(shelf) = shelf {
            shelves += 1;
            let (dir, _) = shelf.rsplit_once('/').unwrap();
            world.machine.mkdir(format!("{Q}/{dir}/1000000000000000-1000000000000000-4-00000"));
        }
        let all = listed(&queue);
        assert!((4..=5).contains(&all.len()), "{all:?} before step {n}\n{}", world.machine.listing(Q));
        assert!(all.iter().all(|(state, _)| *state == State::Ready), "{all:?}");
        assert_eq!(counted(&queue)[0], all.len() as u64, "before step {n}\n{}", world.machine.listing(Q));
        if !tape.struck() {
            break;
        }
    }
    assert!(shelves > 0);
}

/// What is left of a pack, and packs that came out of one, until they are brought home.
#[test]
fn a_pack_on_its_way_is_listed_as_its_messages() {
    for on_a_shelf in [false, true] {
        let mut world = World::empty(PLAIN, 1);
        let disk = world.machine.disk();
        packs::send(&mut world, &disk, &Envelope::default()).unwrap();
        let queue = world.open();
        let before = listed(&queue);
        let pack = path_of(&world, "ready/4/");
        let (name, bytes) = (pack.rsplit_once('/').unwrap().1, world.machine.read(format!("{Q}/{pack}")).unwrap());
        world.machine.remove(format!("{Q}/{pack}"));
        let opener = format!("{Q}/tmp/mfzwi3tbnrwwk3dpoz2gk2lomm");
        if on_a_shelf {
            world.machine.write(format!("{opener}/spent-{name}"), &bytes);
            world.machine.write(format!("{opener}/ready/{name}"), &bytes);
        } else {
            world.machine.write(format!("{opener}/left-{name}"), &bytes);
        }
        assert_eq!(listed(&queue), before, "on a shelf: {on_a_shelf}");
        queue.recover().unwrap();
        assert_eq!((listed(&queue), path_of(&world, "ready/4/")), (before, pack), "on a shelf: {on_a_shelf}");
    }
}
