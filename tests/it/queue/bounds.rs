//! What a limit counts, and when; how often the disk is looked at; and how a send waits.

use super::limits::{held, queue, refused, send, set};
use super::world::{Q, claim_one, places};
use crate::support::inject::{Injected, Plan};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::name::{Lease, State};
use mq::queue::{Envelope, Queue};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A batch of four whose sender was killed right after the commit was flushed.
pub fn committed(machine: &Machine, packed: bool) {
    let batch = |machine: &Machine, plan| {
        let (steps, tape) = Injected::new(machine.process(), plan);
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        let mut batch = queue.batch().unwrap().packing(if packed { 2 } else { 9 }, 9);
        for _ in 0..4 {
            batch.begin(&Envelope::default()).unwrap();
            batch.write(b"committed").unwrap();
        }
        let _ = batch.publish(|_| ());
        tape.trace()
    };
    (0..8).for_each(|number| machine.write(format!("{Q}/reserve/{number}"), b""));
    let flushed = step_of(&batch(&machine.fork(), Plan::Healthy), "sync_all");
    batch(machine, Plan::StopBefore(flushed + 1));
}

/// The number of the first step of this kind.
pub fn step_of(trace: &str, kind: &str) -> u64 {
    let step = trace.lines().map(str::trim_start).find(|line| line.split(' ').nth(1) == Some(kind));
    step.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {kind} in\n{trace}"))
}

#[test]
fn a_batch_that_its_sender_left_committed_counts_until_recovery_publishes_it() {
    for packed in [false, true] {
        for (key, most) in [("max_messages", 10), ("max_bytes", 4000)] {
            let machine = Machine::new(1);
            let queue = queue(&machine, &[(key, &most.to_string())]);
            committed(&machine, packed);
            let mut singles = 0;
            while send(&queue, b"single").is_ok() {
                singles += 1;
            }
            assert_eq!(held(&queue, State::Ready), singles);
            refused(key, send(&queue, b"single"));
            queue.recover().unwrap();
            let sizes: Vec<usize> = machine
                .files("/q/ready")
                .iter()
                .filter_map(|file| Some(machine.read(format!("/q/ready/{file}"))?.len()))
                .collect();
            let (messages, bytes) = (singles + 4, sizes.iter().sum::<usize>());
            let (full, one) = if key == "max_bytes" { (bytes, *sizes.iter().min().unwrap()) } else { (messages, 1) };
            assert!(full <= most && full + one > most, "{key}: {messages} messages, {bytes} bytes of {sizes:?}");
        }
    }
}

#[test]
fn what_is_not_full_is_not_counted() {
    for said in
        [&[("max_messages", "100")][..], &[("max_bytes", "1M")], &[("max_messages", "100"), ("max_bytes", "1M")]]
    {
        let machine = Machine::new(1);
        machine.set_short(false);
        let queue = queue(&machine, said);
        (0..20).for_each(|_| send(&queue, b"there").unwrap());
        let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
        send(&Queue::open(&Disk::new(steps), Path::new(Q)).unwrap(), b"one more").unwrap();
        assert_eq!(tape.names(), 0, "{said:?}:\n{}", tape.trace());
    }
}

#[test]
fn the_room_is_not_looked_at_more_often_than_that() {
    let machine = Machine::new(1);
    drop(queue(&machine, &[("min_free", "1M")]));
    let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
    let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
    let looks = || tape.trace().lines().filter(|line| line.ends_with(" free")).count();
    let mut batch = queue.batch().unwrap();
    (0..640).for_each(|_| batch.begin(&Envelope::default()).unwrap());
    assert!((9..=11).contains(&looks()), "{}", tape.trace());
    drop(batch);
    let mut draft = queue.draft(Envelope::default()).unwrap();
    let before = looks();
    (0..50).for_each(|_| draft.write(&[b'x'; 4096]).unwrap());
    assert_eq!(looks(), before);
    machine.set_free(2 << 20, None);
    refused("min_free", draft.write(&[b'x'; 2 << 20]));
}

/// Nothing more takes no room, also where more has come back than fits.
#[test]
fn nothing_fits_into_a_queue_that_is_over_full() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_messages", "2")]);
    (0..2).for_each(|_| send(&queue, b"fits").unwrap());
    let mut queue = queue;
    set(&mut queue, &[("max_messages", "1")]);
    refused("max_messages", send(&queue, b"too many"));
    assert!(queue.batch().unwrap().publish(|_| ()).unwrap().is_none());
}

#[test]
fn what_is_redriven_counts_before_anybody_counts_it() {
    let machine = Machine::new(1);
    let mut queue = queue(&machine, &[]);
    send(&queue, b"dead").unwrap();
    claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
    set(&mut queue, &[("max_messages", "2")]);
    send(&queue, b"one").unwrap();
    queue.redrive(&places(&queue, State::Dead).unwrap()[0], None).unwrap();
    refused("max_messages", send(&queue, b"too many"));
}

/// A disk on which counting takes long: a full queue is full for a while after it, whoever settles, so that senders do more
/// than count; and not for longer, also where the clock has gone back.
#[test]
fn a_slow_count_stands_for_a_while() {
    for later in [
        |machine: &Machine| machine.advance(Duration::from_secs(61)),
        |machine: &Machine| {
            machine.set_clock(mq::time::Time::from_micros(machine.now().micros() - 3_600_000_000));
        },
    ] {
        let machine = Machine::new(1);
        machine.set_short(false);
        let healthy = queue(&machine, &[("max_messages", "2")]);
        (0..2).for_each(|_| send(&healthy, b"there").unwrap());
        let slow = Arc::new(AtomicBool::new(true));
        let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
        let (is_slow, clock) = (Arc::clone(&slow), machine.clone());
        let steps = steps.watched(move |_| {
            if is_slow.load(Ordering::Relaxed) {
                clock.advance(Duration::from_millis(1));
            }
        });
        let queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        refused("max_messages", send(&queue, b"too many"));
        slow.store(false, Ordering::Relaxed);
        claim_one(&healthy, Lease::Live).unwrap().ack(&healthy).unwrap();
        machine.advance(Duration::from_millis(30));
        let counted = tape.names();
        refused("max_messages", send(&queue, b"too many"));
        assert_eq!(tape.names(), counted, "{}", tape.trace());
        later(&machine);
        send(&queue, b"fits").unwrap();
    }
}

/// Who waits looks ever more seldom.
#[test]
fn a_blocked_send_does_not_spin() {
    let machine = Machine::new(1);
    machine.set_short(false);
    drop(queue(&machine, &[("max_messages", "1")]));
    let (steps, tape) = Injected::new(machine.process(), Plan::Healthy);
    let mut queue = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
    send(&queue, b"there").unwrap();
    let before = tape.names();
    refused("max_messages", send(&queue, b"too many"));
    let one_look = tape.names() - before;
    let before = tape.names();
    queue.block_for(Duration::from_millis(50));
    refused("max_messages", send(&queue, b"too many"));
    assert!(one_look > 0 && tape.names() - before <= 5 * one_look, "{}", tape.trace());
}

#[test]
fn a_body_is_held_to_its_limit_piece_by_piece() {
    let machine = Machine::new(1);
    let queue = queue(&machine, &[("max_body", "1K")]);
    let half = [b'x'; 512];
    let mut draft = queue.draft(Envelope::default()).unwrap();
    (0..2).for_each(|_| draft.write(&half).unwrap());
    refused("max_body", draft.write(b"x"));
    let mut batch = queue.batch().unwrap();
    for _ in 0..3 {
        batch.begin(&Envelope::default()).unwrap();
        (0..2).for_each(|_| batch.write(&half).unwrap());
    }
    refused("max_body", batch.write(b"x"));
}
