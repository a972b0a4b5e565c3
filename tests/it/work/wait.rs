//! `mq wait`: what it returns with, and that it is woken and does not poll.

use super::{Beside, lease::waits, until, written};
use crate::support::sandbox::Sandbox;
use std::time::{Duration, Instant};

/// Under this it was a wake-up; the fallback of those who wait looks every two seconds.
const WOKEN: Duration = Duration::from_millis(1500);

fn claim(sandbox: &Sandbox) -> String {
    sandbox.mq(["claim", "jobs"]).ok().trim_end().to_string()
}

/// Waits beside, does something, and says how the wait ended. What is done must wake it.
#[track_caller]
fn woken(sandbox: &Sandbox, args: &[&str], act: impl FnOnce()) -> Option<i32> {
    let mut wait = Beside::start(sandbox, args);
    until("it watches", || waits(&wait));
    let began = Instant::now();
    act();
    let code = wait.end().code();
    assert!(began.elapsed() < WOKEN, "{:?}", began.elapsed());
    code
}

#[test]
fn it_is_woken_when_the_last_is_acknowledged() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> = (0..3).map(|n| sandbox.send("jobs", format!("{n}"))).collect();
    let receipts: Vec<String> = ids.iter().map(|_| claim(&sandbox)).collect();
    sandbox.mq(["wait", "jobs", &ids[0], "--wait", "0"]).code(4).says("1 message is not settled");
    sandbox.mq(["ack", &receipts[0]]).ok();
    sandbox.mq(["wait", "jobs", &ids[0]]).code(0).silent().prints("");
    sandbox.mq(["wait", "jobs", &ids[0], &ids[1], &ids[2], "--wait", "1ms"]).code(4).says("2 messages are not settled");
    let code = woken(&sandbox, &["wait", "jobs", &ids[1], &ids[2]], || {
        sandbox.mq(["ack", &receipts[1], &receipts[2]]).ok();
    });
    assert_eq!(code, Some(0));
}

#[test]
fn it_follows_a_message_through_a_worker() {
    let sandbox = Sandbox::new();
    let (id, other) = (sandbox.send("jobs", "x"), sandbox.send("jobs", "y"));
    // Fails once, and is delivered again.
    let script = "test -e failed || { : >failed; mq nack $MQ_RECEIPT --delay 0; }";
    let code = woken(&sandbox, &["wait", "jobs", &id], || {
        sandbox.mq(["work", "jobs", "-n", "3", "--", "sh", "-c", script]).ok();
    });
    assert_eq!(code, Some(0));
    sandbox.mq(["wait", "jobs", &id, &other, "--wait", "0"]).code(0);
    sandbox.mq(["wait", "jobs", "--wait", "0"]).code(0);
}

#[test]
fn a_dead_one_is_told() {
    let sandbox = Sandbox::new();
    let (dead, id) = (sandbox.send_dead("jobs", "d", "why"), sandbox.send("jobs", "x"));
    sandbox.mq(["wait", "jobs", &dead]).code(10).says(&dead).prints("");
    sandbox.mq(["wait", "jobs", &dead, "-q"]).code(10).silent();
    let receipt = claim(&sandbox);
    let code = woken(&sandbox, &["wait", "jobs", &id], || drop(sandbox.mq(["dead", &receipt]).ok()));
    assert_eq!(code, Some(10));
    // Without ids, only what died while it waited counts.
    sandbox.mq(["wait", "jobs"]).code(0).silent();
    sandbox.send("jobs", "y");
    let receipt = claim(&sandbox);
    let code = woken(&sandbox, &["wait", "jobs"], || drop(sandbox.mq(["dead", &receipt]).ok()));
    assert_eq!(code, Some(10));
    // Sent round again it is waited for again.
    sandbox.mq(["dlq", "redrive", "jobs", &dead]).ok();
    sandbox.mq(["wait", "jobs", &dead, "--wait", "0"]).code(4);
}

#[test]
fn without_ids_it_waits_until_nothing_is_to_be_done() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["wait", "jobs", "--wait", "0"]).code(0);
    sandbox.mq(["send", "jobs", "x", "--delay", "1h"]).ok();
    sandbox.mq(["wait", "jobs", "--wait", "0"]).code(4).says("not all is settled");
    sandbox.mq(["rm", "jobs", "--all"]).ok();
    sandbox.mq(["send", "jobs", "x"]).ok();
    sandbox.mq(["wait", "jobs", "--wait", "10ms"]).code(4);
    let receipt = claim(&sandbox);
    let code = woken(&sandbox, &["wait", "jobs"], || drop(sandbox.mq(["ack", &receipt]).ok()));
    assert_eq!(code, Some(0));
}

#[test]
fn a_pause_ends_the_wait() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let code = woken(&sandbox, &["wait", "jobs", &id], || drop(sandbox.mq(["pause", "jobs"]).ok()));
    assert_eq!(code, Some(7));
    sandbox.mq(["wait", "jobs"]).code(7).says("is paused");
    sandbox.mq(["rm", "jobs", &id]).ok();
    // What is settled is settled, paused or not; removed counts, too.
    sandbox.mq(["wait", "jobs", &id]).code(0);
    sandbox.mq(["wait", "jobs"]).code(0);
}

#[test]
fn an_id_that_was_never_given_out_is_told_at_once() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["wait", "jobs", "1000000000000000"]).code(3).says("never given out");
    let id = sandbox.send("jobs", "x");
    let next = format!("{:016}", id.parse::<u64>().unwrap() + 1);
    for wrong in [next.as_str(), "x", "9999999999999999"] {
        sandbox.mq(["wait", "jobs", &id, wrong]).code(3).says(&format!("'{wrong}' was never given out")).prints("");
    }
    sandbox.mq(["wait", "nowhere", &id]).code(3);
    sandbox.mq_stdin(["wait", "jobs", "-"], "").code(1).silent();
    sandbox.mq_stdin(["wait", "jobs", "-", "--wait", "0"], format!("{id}\tready\n")).code(4);
    // Where seq does not say what was given out, the names do.
    std::fs::write(sandbox.queue("jobs").join("seq"), "garbage").unwrap();
    sandbox.mq(["wait", "jobs", &id, "--wait", "0"]).code(4);
    sandbox.mq(["wait", "jobs", &next]).code(3);
}

#[test]
fn it_changes_nothing_and_holds_up_nobody() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let before = sandbox.tree("jobs");
    let script = "mq wait jobs $MQ_ID --wait 20ms 2>/dev/null; echo $? >code";
    sandbox.mq(["wait", "jobs", &id, "--wait", "10ms"]).code(4);
    assert_eq!(sandbox.tree("jobs"), before);
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", script]).code(0).silent();
    assert_eq!(written(&sandbox, "code"), "4\n");
    sandbox.mq(["wait", "jobs", &id]).code(0);
}
