//! Every verb, stopped at every one of its steps: by `kill -9`, by a power cut, and by every error that a system call can
//! come back with. Then the oracle of [`judge`]: nothing that was sent is lost, nothing comes out twice or unasked for.

use super::judge::{First, Judged, fsck, judge};
use super::ledger::Since;
use super::verbs::{Share, VERBS, Verb};
use super::world::{Bystander, Config, PLAIN, Q, World};
use crate::support::inject::{Plan, Tape};
use crate::support::memory::{Cut, Machine};
use crate::support::rng::Rng;
use mq::fs::Store;
use mq::queue::name::Lease;
use mq::queue::{Error, Queue, Repair, Result, Scout};
use rustix::io::Errno;
use std::path::Path;

/// What a system call may come back with, and mq must stand.
const ERRORS: [Errno; 17] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ACCESS,
    Errno::PERM,
    Errno::ROFS,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::INTR,
    Errno::AGAIN,
    Errno::STALE,
    Errno::NOLCK,
    Errno::XDEV,
    Errno::INVAL,
    Errno::NOSYS,
    Errno::FBIG,
];

/// Says, when a test fails, where it was.
struct Telling {
    what: String,
    tape: Tape,
    machine: Machine,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, after:\n{}and now:\n{}", self.what, self.tape.trace(), self.machine.listing("/"));
        }
    }
}

fn prepared(verb: &Verb, config: Config) -> World {
    let mut world = World::new(config, 1);
    (verb.prepare)(&mut world);
    world
}

/// Lets the verb run by this plan, in a process of its own that ends with it.
fn attempt(verb: &Verb, world: &mut World, plan: Plan) -> (Telling, Result<()>) {
    let (disk, tape) = world.injected(plan);
    let what = format!("{} with {plan:?} in {:?}", verb.name, world.config);
    let telling = Telling { what, tape, machine: world.machine.clone() };
    let outcome = (verb.act)(world, &disk);
    if !telling.tape.struck() {
        outcome.as_ref().unwrap_or_else(|error| panic!("it fails by itself: {error}"));
    }
    (telling, outcome)
}

/// Fsck first after every other step, if a worker may come first at all.
fn first(verb: &Verb, n: u64) -> First {
    if verb.fsck_first || n.is_multiple_of(2) { First::Fsck } else { First::Worker }
}

/// What is wrong without any accident is told first, and at once.
#[test]
fn without_an_accident_every_verb_does_what_it_says() {
    for verb in VERBS {
        let mut world = prepared(verb, PLAIN);
        let (_telling, _) = attempt(verb, &mut world, Plan::Healthy);
        judge(&mut world, None, Since::Kill, first(verb, 1));
    }
}

#[test]
fn a_kill_at_any_step_loses_and_doubles_nothing() {
    kill_everywhere(Share::Most);
}

fn kill_everywhere(share: Share) {
    for verb in VERBS {
        let (prepared, mut judged) = (prepared(verb, PLAIN), Judged::default());
        for n in share.steps(verb) {
            let mut done = false;
            // After a step is before the next one: so each moment is mended by both.
            for plan in [Plan::StopBefore(n), Plan::StopAfter(n)] {
                let mut world = prepared.fork();
                let queue = world.open();
                let bystander = Bystander::new(&queue);
                let (telling, _) = attempt(verb, &mut world, plan);
                done |= !telling.tape.struck();
                judged.judge(&mut world, Some(bystander), Since::Kill, first(verb, n));
            }
            if done {
                break;
            }
        }
    }
}

/// Cuts the power after each step of each verb.
fn cut_everywhere(config: Config, share: Share) {
    for verb in VERBS {
        let (prepared, mut judged) = (prepared(verb, config), Judged::default());
        for n in share.steps(verb) {
            let mut world = prepared.fork();
            let (mut telling, _) = attempt(verb, &mut world, Plan::StopBefore(n));
            for (at, cut) in cuts(n).into_iter().enumerate() {
                let mut after = world.cut(cut);
                telling.what = format!("{} stopped before step {n}, {cut:?} in {config:?}", verb.name);
                telling.machine = after.machine.clone();
                judged.judge(&mut after, None, Since::Cut, first(verb, n + at as u64));
            }
            if !telling.tape.struck() {
                break;
            }
        }
    }
}

fn cuts(n: u64) -> [Cut; 4] {
    [Cut::Nothing, Cut::Everything, Cut::Some(n * 2), Cut::Some(n * 2 + 1)]
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_sent() {
    cut_everywhere(PLAIN, Share::Most);
}

#[test]
fn with_sync_all_a_power_cut_undoes_no_ack_either() {
    cut_everywhere(Config { store: Store::Trusted, sync: "all" }, Share::Quick);
}

#[test]
fn where_only_a_directorys_flush_keeps_names_a_power_cut_loses_nothing() {
    cut_everywhere(Config { store: Store::Other, sync: "send" }, Share::Quick);
}

#[test]
fn what_mends_after_an_accident_may_have_one_itself() {
    mend_in_two(Share::Quick);
}

fn mend_in_two(share: Share) {
    for verb in VERBS {
        let (prepared, mut judged) = (prepared(verb, PLAIN), Judged::default());
        for n in share.steps(verb) {
            let mut world = prepared.fork();
            let (mut telling, _) = attempt(verb, &mut world, Plan::StopBefore(n));
            let done = !telling.tape.struck();
            for seed in 0..3 {
                let mut rng = Rng::new(n * 3 + seed);
                let mut world = world.fork();
                let mut since = Since::Kill;
                let mut story = Vec::new();
                let mut cut = |world: &mut World, rng: &mut Rng| {
                    let cut = cuts(rng.next() % 1000)[rng.below(4)];
                    *world = world.cut(cut);
                    since = Since::Cut;
                    format!("{cut:?}")
                };
                if !rng.one_in(3) {
                    story.push(cut(&mut world, &mut rng));
                }
                let plan = Plan::StopBefore(1 + rng.below(150) as u64);
                let (disk, tape) = world.injected(plan);
                let fsck_first = verb.fsck_first || rng.one_in(2);
                story.push(format!("{plan:?} of {}", if fsck_first { "fsck" } else { "a claim" }));
                telling.what = format!("{} stopped before step {n}, then {story:?}", verb.name);
                (telling.tape, telling.machine) = (tape, world.machine.clone());
                let _ = Queue::open(&disk, Path::new(Q)).and_then(|queue| {
                    if fsck_first {
                        return fsck(&queue, Repair::Mend).map(drop);
                    }
                    queue.claim(&mut Scout::new(), Lease::Live).map(drop)
                });
                drop(disk);
                if rng.one_in(3) {
                    story.push(cut(&mut world, &mut rng));
                }
                telling.what = format!("{} stopped before step {n}, then {story:?}", verb.name);
                telling.machine = world.machine.clone();
                judged.judge(&mut world, None, since, first(verb, seed));
            }
            if done {
                break;
            }
        }
    }
}

/// An error that came from the disk is told as one: what cannot be read is never "not there", nor settled by others.
fn honest(outcome: &Result<()>) {
    use Error::{Lost, Moved, NoMessage, NoQueue, Raced, Refused};
    let lie = matches!(
        outcome,
        Err(NoQueue { .. } | Moved { .. } | Lost { .. } | NoMessage { .. } | Raced { .. } | Refused { .. })
    );
    assert!(!lie, "an error of the disk was told as {outcome:?}");
}

/// Makes step after step fail, in ways that `plans` gives for each.
fn fail_everywhere(share: Share, plans: impl Fn(u64) -> Vec<Plan>) {
    for verb in VERBS {
        let (prepared, mut judged) = (prepared(verb, PLAIN), Judged::default());
        for n in share.steps(verb) {
            let mut done = true;
            for plan in plans(n) {
                let mut world = prepared.fork();
                let queue = world.open();
                let bystander = Bystander::new(&queue);
                let (telling, outcome) = attempt(verb, &mut world, plan);
                done &= !telling.tape.struck();
                honest(&outcome);
                judged.judge(&mut world, Some(bystander), Since::Kill, first(verb, n));
            }
            if done {
                break;
            }
        }
    }
}

/// Two that the queue treats each in its way, and another, which is each of them in its turn.
fn some(n: u64) -> [Errno; 3] {
    [Errno::IO, Errno::NOSPC, ERRORS[2 + usize::try_from(n).unwrap_or(0) % (ERRORS.len() - 2)]]
}

#[test]
fn an_error_of_any_step_is_an_error_and_loses_nothing() {
    fail_everywhere(Share::Quick, |n| some(n).into_iter().map(|errno| Plan::FailOnce(n, errno)).collect());
}

#[test]
fn errors_from_any_step_on_are_errors_and_lose_nothing() {
    fail_everywhere(Share::Quick, |n| some(n).into_iter().map(|errno| Plan::FailFrom(n, errno)).collect());
}

/// As a disk has no room for what is new and still lets go of what is old, or a directory can be read and not changed.
#[test]
fn errors_of_one_kind_from_any_step_on_are_errors_and_lose_nothing() {
    fail_everywhere(Share::Quick, |n| vec![Plan::FailAlikeFrom(n, [Errno::IO, Errno::NOSPC][usize::from(n % 2 == 0)])]);
}

#[test]
#[ignore = "a minute: every step of every verb, of which the test above takes a part"]
fn errors_of_one_kind_from_every_step_on_are_errors_and_lose_nothing() {
    fail_everywhere(Share::All, |n| [Errno::IO, Errno::NOSPC].map(|errno| Plan::FailAlikeFrom(n, errno)).into());
}

#[test]
#[ignore = "minutes: every error at every step of every verb, of which the tests above take a part"]
fn every_error_of_every_step_is_an_error_and_loses_nothing() {
    fail_everywhere(Share::All, |n| {
        ERRORS.into_iter().flat_map(|e| [Plan::FailOnce(n, e), Plan::FailFrom(n, e)]).collect()
    });
}

#[test]
#[ignore = "a minute: every step of every verb, of which the tests of the same accidents take a part"]
fn every_step_of_every_verb_stands_every_accident() {
    kill_everywhere(Share::All);
    cut_everywhere(PLAIN, Share::All);
    cut_everywhere(Config { store: Store::Trusted, sync: "all" }, Share::All);
    cut_everywhere(Config { store: Store::Other, sync: "send" }, Share::All);
    mend_in_two(Share::All);
    cut_after_a_failure(Share::All);
}

#[test]
fn after_a_failed_step_a_power_cut_loses_nothing_that_was_sent() {
    cut_after_a_failure(Share::Quick);
}

fn cut_after_a_failure(share: Share) {
    for verb in VERBS {
        let (prepared, mut judged) = (prepared(verb, PLAIN), Judged::default());
        for n in share.steps(verb) {
            let mut world = prepared.fork();
            let (mut telling, _) = attempt(verb, &mut world, Plan::FailOnce(n, Errno::IO));
            for (at, cut) in cuts(n).into_iter().enumerate() {
                let mut after = world.cut(cut);
                telling.what = format!("{} with step {n} failed, then {cut:?}", verb.name);
                telling.machine = after.machine.clone();
                judged.judge(&mut after, None, Since::Cut, first(verb, n + at as u64));
            }
            if !telling.tape.struck() {
                break;
            }
        }
    }
}
