//! `mq cancel`: whatever is not to be done any more is dead-lettered, by whoever holds it.

use super::{Beside, history, states, until, written};
use crate::support::sandbox::Sandbox;
use std::time::Duration;

/// A job that says that it has begun, and waits for the end of the sandbox, or for `go`.
const WAITS: &str = "echo begun >>started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done";

fn begun(sandbox: &Sandbox, flags: &[&str], script: &str) -> Beside {
    let args: Vec<&str> = ["work", "jobs"].iter().chain(flags).chain(&["--", "sh", "-c", script]).copied().collect();
    let worker = Beside::start(sandbox, &args);
    until("the job starts", || written(sandbox, "started").ends_with('\n'));
    worker
}

fn request(sandbox: &Sandbox, id: &str) -> bool {
    sandbox.queue("jobs").join("cancel").join(id).exists()
}

#[test]
fn the_job_is_stopped_and_its_message_dead_lettered_with_the_reason() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    // All slots are taken; one more message waits for the worker.
    let mut worker = begun(&sandbox, &["-n", "2"], &format!("trap 'echo term >>term; exit 0' TERM; {WAITS}"));
    sandbox.send("jobs", "y");
    std::fs::write(sandbox.dir().join("begun"), "").unwrap();
    let told = sandbox.mq(["cancel", "jobs", &id, "--reason", "the customer has called"]).code(0);
    assert_eq!(told.text(), format!("{id}\n"));
    assert_eq!(written(&sandbox, "term"), "term\n");
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert_eq!(worker.end().code(), Some(10));
    assert!(worker.said().contains("the customer has called"));
    assert_eq!(states(&sandbox, "jobs"), ["dead"]);
    let records = history(&sandbox, "jobs");
    assert_eq!(records.len(), 1);
    let (outcome, reason) = (&records[0]["outcome"], &records[0]["reason"]);
    assert_eq!((outcome, reason), (&"cancelled".into(), &"the customer has called".into()));
    assert!(!sandbox.queue("jobs").join("cancel").exists());
    sandbox.mq(["fsck", "jobs"]).code(0).silent();
}

#[test]
fn what_waits_or_is_claimed_for_a_time_is_dead_at_once() {
    let sandbox = Sandbox::new();
    let claimed = sandbox.send("jobs", "claimed");
    let receipt = sandbox.mq(["claim", "jobs", "--lease", "1h"]).ok();
    let ready = sandbox.send("jobs", "ready");
    let delayed = sandbox.mq(["send", "jobs", "later", "--delay", "1h"]).ok();
    let ids = format!("{ready}\n{delayed}{claimed}\n");
    let told = sandbox.mq_stdin(["cancel", "jobs", "-", "--wait", "0"], &ids).code(0);
    assert_eq!(told.text(), ids);
    assert_eq!(states(&sandbox, "jobs"), ["dead"; 3]);
    for row in sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json() {
        assert_eq!((&row["history"][0]["outcome"], &row["reason"]), (&"cancelled".into(), &"cancelled".into()));
    }
    sandbox.mq(["ack", receipt.trim_end()]).code(6);
    let stats = sandbox.mq(["stats", "jobs", "--json"]).code(0).json();
    assert_eq!(stats[0]["dead_total"], 3);
    // It is dead already: nothing to do, and no failure.
    sandbox.mq(["cancel", "jobs", &ready]).code(0).prints("").says("dead-lettered already");
    sandbox.mq(["dlq", "redrive", "jobs", &ready]).ok();
    assert_eq!(sandbox.mq(["cancel", "jobs", &ready]).ok(), format!("{ready}\n"));
}

#[test]
fn a_retry_that_waits_keeps_the_record_of_its_attempt() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    sandbox.mq(["work", "jobs", "-q", "-n", "1", "--", "false"]).ok();
    sandbox.mq(["cancel", "jobs", &id]).ok();
    let records = history(&sandbox, "jobs");
    let outcomes: Vec<&str> = records.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["exit", "cancelled"]);
}

#[test]
fn an_orphaned_job_is_waited_for_and_then_its_message_is_dead() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let mut worker = begun(&sandbox, &[], &format!("{WAITS}; echo over >>over"));
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    sandbox.mq(["cancel", "jobs", &id, "--wait", "50ms"]).code(4).says("still held").prints("");
    assert!(request(&sandbox, &id));
    sandbox.mq(["fsck", "jobs"]).code(0);
    assert_eq!(states(&sandbox, "jobs"), ["claimed"]);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("the job is over", || written(&sandbox, "over").ends_with('\n'));
    // Nobody waits any more: the request stands, and whoever takes the message back sees it.
    until("it is dead", || {
        sandbox.mq(["claim", "jobs"]).code(1).silent();
        states(&sandbox, "jobs") == ["dead"]
    });
    assert_eq!(history(&sandbox, "jobs")[0]["outcome"], "cancelled");
    assert!(!request(&sandbox, &id));
}

#[test]
fn a_message_that_was_done_first_is_told() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    // It acknowledges when it is asked to stop.
    let script = format!("trap 'mq ack $MQ_RECEIPT; exit 0' TERM; {WAITS}");
    let _worker = begun(&sandbox, &[], &script);
    sandbox.mq(["cancel", "jobs", &id]).code(3).says("before it could be cancelled").prints("");
    assert!(states(&sandbox, "jobs").is_empty() && !request(&sandbox, &id));
    sandbox.mq(["cancel", "jobs", &id]).code(3).says("no message");
    sandbox.mq(["cancel", "jobs", "nonsense"]).code(2);
    sandbox.mq_stdin(["cancel", "jobs", "-"], "").code(1);
    sandbox.mq(["cancel", "nowhere", &id]).code(3);
}

#[test]
fn one_of_a_batch_ends_its_job_and_the_others_come_back_uncounted() {
    let sandbox = Sandbox::new();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], "1\n2\n3\n").code(0).lines();
    let mut worker = begun(&sandbox, &["--batch", "3", "-n", "3"], WAITS);
    sandbox.mq(["cancel", "jobs", &ids[1]]).ok();
    assert_eq!(worker.end().code(), Some(10));
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    let told: Vec<String> =
        rows.iter().map(|row| format!("{} {} {}", row["id"], row["state"], row["attempts"])).collect();
    let expected = [(0, "ready", 0), (2, "ready", 0), (1, "dead", 1)];
    assert_eq!(told, expected.map(|(at, state, n)| format!("\"{}\" \"{state}\" {n}", ids[at])));
}

#[test]
fn a_request_that_was_left_is_done_by_fsck() {
    let sandbox = Sandbox::new();
    let (ready, gone) = (sandbox.send("jobs", "x"), "1764000000000001");
    let dir = sandbox.queue("jobs").join("cancel");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join(&ready), "{\"asked_at\":\"\",\"reason\":\"left behind\"}\n").unwrap();
    std::fs::write(dir.join(gone), "").unwrap();
    std::fs::write(dir.join("control-mfzwi3tbnrwwk3dpoz2gk2lomm"), "").unwrap();
    assert_eq!(sandbox.mq(["fsck", "jobs"]).code(65).lines().len(), 3);
    sandbox.mq(["fsck", "jobs", "--repair"]).code(0);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    assert!(!dir.exists());
    assert_eq!(states(&sandbox, "jobs"), ["dead"]);
    assert_eq!(history(&sandbox, "jobs")[0]["reason"], "left behind");
}

#[test]
fn a_request_that_was_left_holds_for_the_next_worker() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let dir = sandbox.queue("jobs").join("cancel");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join(&id), "{\"asked_at\":\"\",\"reason\":\"left behind\"}\n").unwrap();
    let began = std::time::Instant::now();
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sleep", "1000"]).code(10).says("left behind");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(states(&sandbox, "jobs"), ["dead"]);
    assert!(!dir.exists());
}
