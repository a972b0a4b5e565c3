//! `mq claim`: what is claimed, by whom, for how long, and what "nothing" means.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn the_oldest_of_the_highest_priority_comes_first() {
    let sandbox = Sandbox::new();
    for (body, priority) in [("low", "0"), ("old", "4"), ("new", "4"), ("high", "9")] {
        sandbox.mq(["send", "jobs", body, "-p", priority]).ok();
    }
    let order = sandbox.sh("while r=$(mq claim jobs); do mq cat $r; mq ack $r; done").ok();
    assert_eq!(order, "high\nold\nnew\nlow\n");
}

#[test]
fn a_receipt_is_one_word_and_claims_several() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n").ok();
    let receipts = sandbox.mq(["claim", "jobs", "-n", "5"]).code(0).lines();
    assert_eq!(receipts.len(), 3);
    for receipt in &receipts {
        assert!(receipt.starts_with("jobs:") && !receipt.contains(char::is_whitespace), "{receipt}");
    }
    sandbox.mq(["claim", "jobs"]).code(1).silent().prints("");
}

#[test]
fn json_has_the_receipt_and_all_that_is_known() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x", "-H", "a=b", "-p", "7"]).ok();
    let rows = sandbox.mq(["claim", "jobs", "--json", "--lease", "1h"]).code(0).json();
    let row = &rows[0];
    for field in ["id", "uid", "sent_at", "lease_until", "receipt"] {
        assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {row}");
    }
    assert_eq!((&row["queue"], &row["state"], &row["attempts"]), (&"jobs".into(), &"claimed".into(), &1.into()));
    assert_eq!((&row["priority"], &row["max_attempts"], &row["size_bytes"]), (&7.into(), &8.into(), &2.into()));
    assert_eq!(row["headers"]["a"], "b");
    sandbox.mq(["ack", row["receipt"].as_str().unwrap()]).ok();
}

#[test]
fn a_lease_that_runs_out_brings_the_message_back_and_its_holder_is_refused() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let stale = sandbox.mq(["claim", "jobs", "--lease", "1ms"]).ok();
    // --wait looks again when the lease ends, and not before.
    let fresh = sandbox.mq(["claim", "jobs", "--wait", "10s"]).ok();
    assert!(fresh.contains(&id) && fresh != stale);
    for command in ["ack", "nack", "dead", "extend"] {
        sandbox.mq([command, stale.trim_end()]).code(6).says("lease is lost");
    }
    sandbox.mq(["cat", stale.trim_end()]).code(6);
    let shown = sandbox.mq(["show", "jobs", &id, "--json"]).code(0).json();
    assert_eq!(shown[0]["attempts"], 2);
    assert_eq!(shown[0]["history"][0]["outcome"], "lost");
    assert!(shown[0]["history"][0]["reason"].as_str().unwrap().contains("1ms"));
    sandbox.mq(["ack", fresh.trim_end()]).ok();
    sandbox.mq(["ack", fresh.trim_end()]).code(6);
}

#[test]
fn past_its_deadline_a_holder_may_still_acknowledge_until_somebody_took_it() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    let receipt = sandbox.mq(["claim", "jobs", "--lease", "1ms"]).ok();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(5) {}
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    sandbox.mq(["claim", "jobs"]).code(1);
}

#[test]
fn a_wait_ends_with_a_message_a_due_time_or_the_time() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let began = Instant::now();
    sandbox.mq(["claim", "jobs", "--wait", "50ms"]).code(1);
    assert!(began.elapsed() >= Duration::from_millis(50));
    sandbox.mq(["send", "jobs", "due", "--delay", "100ms"]).ok();
    sandbox.mq(["claim", "jobs", "--wait", "20s"]).ok();
    assert!(began.elapsed() < Duration::from_secs(10), "it did not wake at the due time");
    let waiter = sandbox.command(["claim", "jobs", "--wait", "20s"]).stdout(Stdio::piped()).spawn().unwrap();
    sandbox.mq(["send", "jobs", "sent while it waits"]).ok();
    assert!(waiter.wait_with_output().unwrap().status.success());
    assert!(began.elapsed() < Duration::from_secs(15), "it did not wake at the send");
}

#[test]
fn what_cannot_be_printed_is_put_back_uncounted() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let before = sandbox.tree("jobs");
    for script in ["mq claim jobs >/dev/full", "mq claim jobs >&-", "mq claim jobs --json >/dev/full"] {
        sandbox.sh(script).code(74).says("put back").says(&id);
        assert_eq!(sandbox.tree("jobs"), before, "{script}");
    }
}

#[test]
fn a_paused_queue_gives_nothing_until_it_is_resumed() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    sandbox.mq(["pause", "jobs", "--reason", "maintenance"]).ok();
    sandbox.mq(["claim", "jobs"]).code(7).says("maintenance").says("mq resume jobs");
    sandbox.send("jobs", "sending goes on");
    let waiter = sandbox.command(["claim", "jobs", "--wait", "20s"]).stdout(Stdio::piped()).spawn().unwrap();
    sandbox.mq(["resume", "jobs"]).ok();
    sandbox.mq(["resume", "jobs"]).code(0).says("was not paused");
    assert!(waiter.wait_with_output().unwrap().status.success());
}

#[test]
fn an_error_is_never_nothing() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    let queue = sandbox.queue("jobs");
    sandbox.mq(["claim", "nowhere"]).code(3).says("no queue 'nowhere'");
    sandbox.sh("ulimit -n 4; mq claim jobs").code(74).says("cannot");
    sandbox.sh("ulimit -n 6; mq claim jobs").one_of(&[74]).says("cannot");
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    for dir in ["ready", "claimed", "tmp", "delayed"] {
        let (path, aside) = (queue.join(dir), queue.join("aside"));
        fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &path).unwrap();
        let told = sandbox.mq(["claim", "jobs"]).code(74).says(dir);
        assert_eq!(told.stderr.matches("cannot").count(), 1, "told twice: {}", told.stderr);
        assert!(!told.stderr.contains("os error"), "{}", told.stderr);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        sandbox.mq(["claim", "jobs"]).code(74).says(dir);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    sandbox.mq(["claim", "jobs"]).code(1);
}

#[test]
fn a_queue_that_is_taken_away_while_somebody_waits_is_told() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let script = "
        mq claim jobs --wait 30s & waiter=$!
        until grep -q inotify /proc/$waiter/fdinfo/* 2>/dev/null; do :; done
        mv root/jobs root/moved
        wait $waiter";
    sandbox.sh(script).code(3).says("moved or removed");
}
