//! A pause that ends by itself, and one that waits until nobody holds anything.

use super::{Beside, states, until, written};
use crate::support::sandbox::Sandbox;
use std::time::{Duration, Instant};

/// Under this it was a wake-up; the fallback of those who wait looks every two seconds.
const WOKEN: Duration = Duration::from_millis(1500);

#[test]
fn a_pause_for_a_while_ends_by_itself() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n").ok();
    let began = Instant::now();
    sandbox.mq(["pause", "jobs", "--for", "1s", "--reason", "rate limit"]).code(0).silent();
    let until_text = sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["paused_until"].clone();
    assert!(until_text.as_str().unwrap().ends_with('Z'), "{until_text}");
    sandbox.mq(["claim", "jobs"]).code(7).says("is paused until").says("rate limit");
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).code(7);
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "-n", "1", "--", "true"]);
    sandbox.mq(["claim", "jobs", "--wait", "30s"]).code(0);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(worker.end().success());
    sandbox.mq(["pop", "jobs"]).code(0).prints("3\n");
    assert!(sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["paused_until"].is_null());
}

#[test]
fn a_pause_takes_the_place_of_the_one_before() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x"]).ok();
    sandbox.mq(["pause", "jobs", "--for", "1h"]).ok();
    sandbox.mq(["pause", "jobs", "--reason", "for good"]).ok();
    assert_eq!(sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["paused_until"], "resume");
    sandbox.mq(["pause", "jobs", "--for", "soon"]).code(2).says("not a duration");
}

#[test]
fn it_waits_until_nothing_is_claimed() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["pause", "jobs", "--wait", "0"]).code(0).silent();
    sandbox.mq(["resume", "jobs"]).ok();
    sandbox.mq(["send", "jobs", "x"]).ok();
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["pause", "jobs", "--wait", "30ms"]).code(4).says("1 message is still claimed").says("stays paused");
    sandbox.mq(["claim", "jobs"]).code(7);
    let mut pause = Beside::start(&sandbox, &["pause", "jobs", "--wait", "30s"]);
    until("it watches", || super::lease::waits(&pause));
    let began = Instant::now();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    assert!(pause.end().success());
    assert!(began.elapsed() < WOKEN, "{:?}", began.elapsed());
}

#[test]
fn what_a_lost_worker_held_is_taken_back_by_the_pause_itself() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x"]).ok();
    let script = "echo started >started; kill -9 $PPID; while [ -e started ]; do sleep 0.01; done";
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--", "sh", "-c", script]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    worker.end();
    let mut pause = Beside::start(&sandbox, &["pause", "jobs", "--wait", "30s"]);
    until("it watches", || super::lease::waits(&pause));
    assert_eq!(states(&sandbox, "jobs"), ["claimed"]);
    let began = Instant::now();
    std::fs::remove_file(sandbox.dir().join("started")).unwrap();
    assert!(pause.end().success());
    assert!(began.elapsed() < WOKEN, "{:?}", began.elapsed());
    assert_eq!(states(&sandbox, "jobs"), ["ready"]);
}
