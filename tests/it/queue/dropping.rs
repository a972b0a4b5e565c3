//! A full queue that drops its oldest for what is sent.

use super::bounds::step_of;
use super::limits::{queue, send};
use super::world::Q;
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::{Access, Disk};
use mq::queue::name::State;
use mq::queue::{Error, Queue};
use std::ops::ControlFlow;
use std::path::Path;

pub fn bodies(queue: &Queue) -> Vec<String> {
    let mut bodies = Vec::new();
    queue
        .each_place(State::Ready, |place, _| {
            bodies.extend(queue.read(&place)?.map(|message| message.start(100)).transpose()?);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    bodies.sort();
    bodies.into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn dropping(machine: &Machine) -> Queue {
    let queue = queue(machine, &[("max_messages", "2"), ("on_full", "drop")]);
    [b"1", b"2"].iter().for_each(|body| send(&queue, *body).unwrap());
    queue
}

/// Where the oldest message is.
fn oldest(machine: &Machine) -> String {
    format!("/q/ready/{}", machine.files("/q/ready").into_iter().min().unwrap())
}

#[test]
fn nothing_is_dropped_for_a_message_that_is_not_sent() {
    let prepared = Machine::new(1);
    drop(dropping(&prepared));
    let sent = |machine: &Machine, plan| {
        let (steps, tape) = Injected::new(machine.process(), plan);
        (Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|queue| send(&queue, b"3")), tape.trace())
    };
    let flush = step_of(&sent(&prepared.fork(), Plan::Healthy).1, "sync_file");
    let (failed, trace) = sent(&prepared, Plan::FailOnce(flush, rustix::io::Errno::IO));
    assert!(matches!(failed, Err(Error::Disk(_))), "{failed:?} after\n{trace}");
    assert_eq!(bodies(&Queue::open(&prepared.disk(), Path::new(Q)).unwrap()), ["1", "2"]);
}

#[test]
fn a_message_that_somebody_is_about_to_claim_is_not_dropped() {
    let machine = Machine::new(1);
    let (queue, disk, path) = (dropping(&machine), machine.disk(), oldest(&machine));
    let (dir, name) = path.rsplit_once('/').unwrap();
    let file = disk.open(&disk.open_queue(Path::new(dir)).unwrap(), name, Access::Write).unwrap();
    assert!(disk.try_lock(&file).unwrap());
    send(&queue, b"3").unwrap();
    assert_eq!(bodies(&queue), ["1", "3"]);
}

/// Between any two steps the message that would be dropped may go, or become something else.
#[test]
fn what_goes_while_it_is_dropped_stops_no_send() {
    for (what, becomes) in
        [("nothing", (|_, _| ()) as fn(&Machine, &str)), ("a link", |machine, path| machine.symlink(path, "/q/seq"))]
    {
        for n in 1.. {
            let machine = Machine::new(1);
            drop(dropping(&machine));
            let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
            let (others, path) = (machine.clone(), oldest(&machine));
            let steps = steps.meanwhile(n, move || {
                if others.read(&path).is_some() {
                    others.remove(&path);
                    becomes(&others, &path);
                }
            });
            let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
            let sent = send(&queue, b"3");
            assert!(sent.is_ok(), "{sent:?}, with {what} there from step {n} on:\n{}", tape.trace());
            let left = bodies(&queue);
            assert!(left.contains(&"3".into()) && left.len() <= 2, "{left:?}");
            if tape.steps() < n {
                break;
            }
        }
    }
}
