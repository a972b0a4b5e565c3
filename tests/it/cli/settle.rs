//! ack, nack, dead, extend: what they do to a claimed message, and whom they refuse.

use crate::support::sandbox::Sandbox;

fn claim(sandbox: &Sandbox, args: &[&str]) -> String {
    let command = ["claim", "jobs"].iter().chain(args);
    sandbox.mq(command).ok().trim_end().to_string()
}

#[test]
fn nack_puts_back_with_its_reason_and_counts() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    sandbox.mq(["nack", &claim(&sandbox, &[]), "--reason", "out of paper", "--delay", "0"]).ok();
    sandbox.mq(["nack", &claim(&sandbox, &[]), "--uncounted", "--delay", "0"]).ok();
    sandbox.mq(["nack", &claim(&sandbox, &[])]).ok();
    let shown = sandbox.mq(["show", "jobs", &id, "--json"]).code(0).json();
    let history = shown[0]["history"].as_array().unwrap();
    assert_eq!((history.len(), &shown[0]["attempts"]), (3, &2.into()));
    assert_eq!(history[0]["reason"], "out of paper");
    assert_eq!(history[1]["uncounted"], true);
    assert_eq!(shown[0]["state"], "delayed", "the backoff of a second attempt is not over yet");
}

#[test]
fn attempts_used_up_make_it_dead_with_the_last_reason() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "2"]).ok();
    let id = sandbox.send("jobs", "x");
    sandbox.mq(["nack", &claim(&sandbox, &[]), "--delay", "0", "--reason", "first"]).ok();
    sandbox.mq(["nack", &claim(&sandbox, &[]), "--delay", "0", "--reason", "second"]).ok();
    let dead = sandbox.mq(["ls", "jobs", "--state", "dead", "--json"]).code(0).json();
    assert_eq!((&dead[0]["id"], &dead[0]["reason"]), (&id.as_str().into(), &"second".into()));
    sandbox.mq(["claim", "jobs"]).code(1);
}

#[test]
fn dead_is_dead_at_once() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    sandbox.mq(["dead", &claim(&sandbox, &[]), "--reason", "no such customer"]).ok();
    let row = &sandbox.mq(["dlq", "ls", "jobs", "--json"]).code(0).json()[0];
    assert_eq!((&row["attempts"], &row["reason"]), (&1.into(), &"no such customer".into()));
}

#[test]
fn a_receipt_stays_the_same_when_it_is_extended() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    let receipt = claim(&sandbox, &["--lease", "1h"]);
    let until = |sandbox: &Sandbox| {
        let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
        rows[0]["lease_until"].as_str().unwrap().to_string()
    };
    let first = until(&sandbox);
    sandbox.mq(["extend", &receipt, "--lease", "5h"]).ok();
    let second = until(&sandbox);
    assert!(second > first, "{first} {second}");
    sandbox.mq(["extend", &receipt]).ok();
    sandbox.mq(["extend", &receipt, "--lease", "10s"]).ok();
    assert!(until(&sandbox) < first);
    sandbox.mq(["cat", &receipt]).code(0).prints("x");
    sandbox.mq(["ack", &receipt]).ok();
}

#[test]
fn all_receipts_are_tried_and_the_first_failure_is_the_exit() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n").ok();
    let receipts = sandbox.mq(["claim", "jobs", "-n", "3"]).code(0).lines();
    sandbox.mq(["ack", &receipts[0]]).ok();
    let told = sandbox.mq(["ack", &receipts[0], "garbage", &receipts[1]]).code(6).says("lease is lost");
    assert!(told.says("'garbage' is not a receipt").text().is_empty());
    sandbox.mq_stdin(["ack", "-"], &receipts[2]).ok();
    sandbox.mq_stdin(["ack", "-"], "").code(1);
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).text(), "");
    sandbox.mq(["ack"]).code(2);
    sandbox.mq(["ack", "nowhere:1764000000000000:x"]).code(2);
}

#[test]
fn a_receipt_of_a_path_or_another_root_finds_its_queue_from_anywhere() {
    let sandbox = Sandbox::new();
    sandbox.sh("mkdir 'a b:%'; mq create './a b:%/q' && mq send './a b:%/q' x -q").ok();
    let receipt = sandbox.mq(["claim", "./a b:%/q"]).ok();
    assert!(!receipt.trim_end().contains(' '));
    sandbox.sh(&format!("cd /; mq ack {receipt}")).ok();
    sandbox.sh("mq send --root other jobs x -q; r=$(mq claim --root other jobs) && mq ack \"$r\"").ok();
}

#[test]
fn the_backoff_doubles_up_to_its_end() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "10s..40s"]).ok();
    sandbox.send("jobs", "x");
    for (least, most) in [(5, 10), (10, 20), (20, 40), (20, 40)] {
        sandbox.mq(["nack", &claim(&sandbox, &[])]).ok();
        let tree = sandbox.tree("jobs");
        let name = tree.lines().find(|line| line.starts_with("delayed/") && line.len() > 30).unwrap().to_string();
        let due: u64 = name.split('/').nth(2).unwrap()[..16].parse().unwrap();
        let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        let delay = due.saturating_sub(now) / 1_000_000;
        assert!((least - 1..=most).contains(&delay), "{delay}s is not within {least}..{most}");
        // Nobody waits for it here: the name is all that says when it is due.
        let file = name.split('/').nth(2).unwrap();
        let past = format!("{:016}{}", 1_000_000, &file[16..]);
        std::fs::create_dir_all(sandbox.queue("jobs").join("delayed/0000000000000000")).unwrap();
        let to = sandbox.queue("jobs").join("delayed/0000000000000000").join(past);
        std::fs::rename(sandbox.queue("jobs").join(&name), to).unwrap();
    }
}
