//! Limits, where the disk and the clock are the test's.

use super::world::{Q, claim_one};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{Again, Counting, Envelope, Error, Queue, Settings};
use std::path::Path;
use std::time::Duration;

pub fn queue(machine: &Machine, said: &[(&str, &str)]) -> Queue {
    let disk: Disk = machine.disk();
    let mut queue = Queue::create(&disk, Path::new(Q), &Settings::default()).unwrap().0;
    set(&mut queue, said);
    queue
}

pub fn set(queue: &mut Queue, said: &[(&str, &str)]) {
    queue.configure(|settings| said.iter().try_for_each(|(key, value)| settings.set(key, value))).unwrap();
}

pub fn send(queue: &Queue, body: &[u8]) -> Result<(), Error> {
    let mut draft = queue.draft(Envelope::default())?;
    draft.write(body)?;
    draft.publish().map(drop)
}

#[track_caller]
pub fn refused<T>(by: &str, sent: Result<T, Error>) {
    match sent {
        Err(Error::Limit { key, .. }) => assert_eq!(key, by),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

pub fn held(queue: &Queue, state: State) -> usize {
    let mut count = 0;
    queue
        .each_place(state, |_, _| {
            count += 1;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    count
}

#[test]
fn a_send_leaves_the_room_that_settling_needs() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("min_free", "1M,10"), ("backoff", "1s")]);
    send(&queue, b"a").unwrap();
    send(&queue, b"b").unwrap();
    machine.set_free((1 << 20) - 1, Some(100));
    refused("min_free", send(&queue, b"c"));
    refused("min_free", queue.batch().unwrap().begin(&Envelope::default()));
    machine.set_free(1 << 20, Some(10));
    refused("min_free", send(&queue, b"c"));
    // What is there can be settled all the same.
    claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
    claim_one(&queue, Lease::Live).unwrap().nack(&queue, Again::Backoff, Counting::Counted, None).unwrap();
    machine.set_free(1 << 20, Some(11));
    send(&queue, b"c").unwrap();
    machine.set_free(1 << 20, None);
    send(&queue, b"d").unwrap();
    assert!(machine.files("/q/tmp").is_empty(), "{}", machine.listing(Q));
}

#[test]
fn the_room_is_looked_at_again_while_much_is_written() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("min_free", "1M")]);
    let mut draft = queue.draft(Envelope::default()).unwrap();
    draft.write(&[b'x'; 1000]).unwrap();
    machine.set_free(1 << 20, Some(1 << 20));
    let piece = vec![b'x'; 256 << 10];
    refused("min_free", (0..8).try_for_each(|_| draft.write(&piece)));
    drop(draft);
    machine.set_free(1 << 30, Some(1 << 20));
    let mut batch = queue.batch().unwrap();
    batch.begin(&Envelope::default()).unwrap();
    machine.set_free(1 << 30, Some(1000));
    refused("min_free", (0..100).try_for_each(|_| batch.begin(&Envelope::default())));
    drop(batch);
    assert!(machine.files("/q/tmp").is_empty(), "{}", machine.listing(Q));
}

/// Between the commit of a batch and its last rename others may count the queue: it is full for them already.
#[test]
fn a_batch_that_is_committed_counts() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_messages", "5")]);
    send(&queue, b"one").unwrap();
    let other = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
    let mut batch = queue.batch().unwrap();
    for _ in 0..4 {
        batch.begin(&Envelope::default()).unwrap();
    }
    // Written, and not committed: nobody knows whether it ever will be.
    send(&other, b"two").unwrap();
    refused("max_messages", batch.publish(|_| ()));
    let mut batch = queue.batch().unwrap();
    for _ in 0..3 {
        batch.begin(&Envelope::default()).unwrap();
    }
    let mut first = true;
    let published = batch.publish(|_| {
        if std::mem::take(&mut first) {
            // The lock of seq is not ours here, so this one finds it locked, or the queue full.
            assert!(matches!(send(&other, b"too many"), Err(Error::Limit { .. } | Error::Busy { .. })));
        }
    });
    assert!(published.unwrap().is_none());
    assert_eq!(held(&queue, State::Ready), 5);
    refused("max_messages", send(&other, b"too many"));
}

/// A bound that is too high, after kills and acknowledgements, is found out and refuses nothing.
#[test]
fn a_bound_is_counted_anew_before_it_refuses() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_messages", "3")]);
    for round in 0..20_u8 {
        send(&queue, &[round]).unwrap();
        claim_one(&queue, Lease::Live).unwrap().ack(&queue).unwrap();
        // No count stands for so long, also one that took long by a loaded machine.
        machine.advance(Duration::from_secs(61));
    }
    for _ in 0..3 {
        send(&queue, b"stays").unwrap();
    }
    refused("max_messages", send(&queue, b"too many"));
    // Another boot, on which nobody has counted yet.
    machine.reboot();
    refused("max_messages", send(&queue, b"too many"));
}

/// What was sent while there was no limit counts when there is one again.
#[test]
fn a_bound_does_not_outlive_its_limit() {
    let machine = Machine::new(1);
    let mut queue = queue(&machine, &[("max_messages", "5")]);
    send(&queue, b"one").unwrap();
    queue.configure(|settings| settings.unset("max_messages")).unwrap();
    let mut batch = queue.batch().unwrap();
    for _ in 0..10 {
        batch.begin(&Envelope::default()).unwrap();
    }
    assert!(batch.publish(|_| ()).unwrap().is_none());
    queue.configure(|settings| settings.set("max_messages", "6")).unwrap();
    refused("max_messages", send(&queue, b"too many"));
}

/// A message takes as much as its file is long, headers too.
#[test]
fn what_a_queue_holds_is_no_more_than_its_limit_in_bytes() {
    let lengths = |said: &[(&str, &str)]| -> Vec<usize> {
        let machine = Machine::new(1);
        let queue = queue(&machine, said);
        let sent = (0..3).take_while(|_| send(&queue, &[b'x'; 200]).is_ok()).count();
        let paths = machine.files("/q/ready").into_iter();
        let lengths: Vec<usize> =
            paths.filter_map(|path| Some(machine.read(format!("/q/ready/{path}"))?.len())).collect();
        assert_eq!(lengths.len(), sent);
        lengths
    };
    let free = lengths(&[]);
    let all: usize = free.iter().sum();
    assert_eq!(lengths(&[("max_bytes", &all.to_string())]), free);
    assert_eq!(lengths(&[("max_bytes", &(all - 1).to_string())]), free[1..]);
}

/// Between any two steps of a send somebody else may take the last room. Whoever finds it taken was never sent, also where he
/// is killed while he waits for room.
#[test]
fn two_senders_do_not_share_the_last_room() {
    for n in 1..200 {
        let (machine, tape) = both(n, Plan::Healthy);
        assert!(machine.files("/q/tmp").is_empty(), "{}", machine.listing(Q));
        if tape.steps() < n {
            return;
        }
        // The last step of one that was refused takes away the draft.
        let (machine, _) = both(n, Plan::StopBefore(tape.steps()));
        let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
        queue.recover().unwrap();
        assert_eq!(held(&queue, State::Ready), 1, "after a kill, with somebody before step {n}:\n{}", tape.trace());
    }
    panic!("a send of so many steps");
}

/// A send by plan to a queue that holds one message, with somebody else's send just before one step.
fn both(n: u64, plan: Plan) -> (Machine, Tape) {
    let machine = Machine::new(1);
    drop(queue(&machine, &[("max_messages", "1")]));
    let others = machine.disk();
    let (steps, tape) = Injected::new(machine.process(), plan);
    let steps = steps.meanwhile(n, move || {
        let other = Queue::open(&others, Path::new(Q)).unwrap();
        match send(&other, b"theirs") {
            Ok(()) | Err(Error::Limit { .. } | Error::Busy { .. }) => (),
            Err(error) => panic!("{error}"),
        }
    });
    let sent = Queue::open(&Disk::new(steps), Path::new(Q)).and_then(|mine| send(&mine, b"mine"));
    match sent {
        Ok(()) | Err(Error::Limit { .. } | Error::Busy { .. }) => (),
        Err(error) => assert_ne!(plan, Plan::Healthy, "{error}"),
    }
    let queue = Queue::open(&machine.disk(), Path::new(Q)).unwrap();
    assert!(held(&queue, State::Ready) <= 1, "with somebody before step {n}:\n{}", tape.trace());
    (machine, tape)
}

/// What was counted is remembered: the next one who sends reads no list.
#[test]
fn a_queue_is_counted_once() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[]);
    for number in 0..50_u8 {
        send(&queue, &[number]).unwrap();
    }
    let mut queue = queue;
    queue.configure(|settings| settings.set("max_messages", "100")).unwrap();
    let listed = || {
        let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
        send(&Queue::open(&Disk::new(steps), Path::new(Q)).unwrap(), b"one more").unwrap();
        tape.names()
    };
    let (first, second) = (listed(), listed());
    assert!(first >= 50 && second < 10, "{first} names, then {second}");
}

/// No more goes than has to, for the room of messages as well as for that of bytes.
#[test]
fn a_full_queue_drops_as_many_as_it_takes() {
    let machine = Machine::new(1);
    machine.stand_still();
    let mut queue = queue(&machine, &[("on_full", "drop")]);
    send(&queue, b"0").unwrap();
    let path = machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let size = machine.read(format!("{Q}/{path}")).unwrap().len();
    for (key, value) in [("max_messages", "5".to_string()), ("max_bytes", (5 * size + size / 2).to_string())] {
        queue.configure(|settings| settings.set(key, &value)).unwrap();
        for number in 0..10_u8 {
            send(&queue, &[b'0' + number]).unwrap();
        }
        assert_eq!(held(&queue, State::Ready), 5, "{key}");
        queue.configure(|settings| settings.unset(key)).unwrap();
    }
    assert_eq!(queue.stats().unwrap().dropped_total, 16);
}
