//! Groups under `mq work`: in order and one at a time, whatever the number of workers, through retries, deaths and kills.

use super::{Beside, states, until, written};
use crate::support::sandbox::Sandbox;
use std::collections::{BTreeMap, BTreeSet};

/// Says in `log` when it starts and ends, with the key and the number of its message. One write a line, so none is torn.
const LOGS: &str = "read key number; echo \"start $key $number\" >>log; echo \"end $key $number\" >>log";
/// A job that says who it is and then waits for the file `go`, or for the end of the sandbox.
const WAITS: &str = "echo $$ >>started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done; cat >>done";

/// Sends bodies `KEY NUMBER`, each to the group of its key.
fn send(sandbox: &Sandbox, keys: usize, each: usize) {
    let mut lines = String::new();
    for number in 1..=each {
        for key in 0..keys {
            lines.push_str(&format!("{{\"body\":\"{key} {number}\\n\",\"group\":\"{key}\"}}\n"));
        }
    }
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], lines).ok();
}

fn send_all(sandbox: &Sandbox, group: &str, bodies: &[&str]) -> Vec<String> {
    bodies
        .iter()
        .map(|body| sandbox.mq(["send", "jobs", "--group", group, "--", body]).ok().trim_end().into())
        .collect()
}

/// The numbers that were started, key by key, after looking that no two of a key ran at once.
fn judged(log: &str) -> BTreeMap<String, Vec<usize>> {
    let mut running: BTreeSet<&str> = BTreeSet::new();
    let mut started: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[what, key, number] = words.as_slice() else { panic!("{line:?}") };
        match what {
            "start" => {
                assert!(running.insert(key), "two of key {key} at once: {log}");
                started.entry(key.to_string()).or_default().push(number.parse().unwrap());
            }
            _ => assert!(running.remove(key), "{line}: {log}"),
        }
    }
    assert!(running.is_empty(), "{running:?}");
    started
}

#[test]
fn each_key_in_order_and_one_at_a_time() {
    let sandbox = Sandbox::new();
    let (keys, each) = (5, 12);
    send(&sandbox, keys, each);
    let mut second = Beside::start(&sandbox, &["work", "jobs", "--drain", "-j4", "--", "sh", "-c", LOGS]);
    sandbox.mq(["work", "jobs", "--drain", "-j4", "--", "sh", "-c", LOGS]).code(0).silent();
    assert_eq!(second.end().code(), Some(0));
    let started = judged(&written(&sandbox, "log"));
    assert_eq!(started.len(), keys);
    for numbers in started.values() {
        assert!(numbers.iter().copied().eq(1..=each), "{started:?}");
    }
    assert!(states(&sandbox, "jobs").is_empty());
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn different_keys_run_side_by_side() {
    let sandbox = Sandbox::new();
    send(&sandbox, 3, 2);
    // Each waits until all three have come as far: one at a time they would wait for ever.
    let script = "read key number; : >at.$key.$number
        until [ -e at.0.$number ] && [ -e at.1.$number ] && [ -e at.2.$number ]; do sleep 0.01; done";
    let args = ["work", "jobs", "--drain", "-j3", "--timeout", "30s", "--", "sh", "-c", script];
    sandbox.mq(args).code(0).silent();
}

#[test]
fn a_failed_message_holds_its_group_until_it_succeeds() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "100ms"]).ok();
    send(&sandbox, 2, 3);
    let script = "read key number; echo \"start $key $number\" >>log; echo \"end $key $number\" >>log
        [ \"$key $number $MQ_ATTEMPT\" != '0 1 1' ]";
    sandbox.mq(["work", "jobs", "-q", "--drain", "-j4", "--", "sh", "-c", script]).code(0);
    let started = judged(&written(&sandbox, "log"));
    assert_eq!((&started["0"], &started["1"]), (&vec![1, 1, 2, 3], &vec![1, 2, 3]));
}

#[test]
fn a_dead_message_lets_its_group_go_on() {
    let sandbox = Sandbox::new();
    send_all(&sandbox, "a", &["1", "2", "3"]);
    let script = "read number; echo $number >>log; [ $number != 1 ] || exit 65";
    sandbox.mq(["work", "jobs", "-q", "--drain", "-j2", "--", "sh", "-c", script]).code(10);
    assert_eq!(written(&sandbox, "log"), "1\n2\n3\n");
    assert_eq!(states(&sandbox, "jobs"), ["dead"]);
    // It comes back with its group and its key, when nobody of the group is left.
    sandbox.mq(["dlq", "redrive", "jobs", "--all", "-q"]).ok();
    assert_eq!(sandbox.mq(["stats", "jobs", "--groups"]).code(0).columns()[0][1..4], ["a", "1", "ready"]);
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("1\n");
}

#[test]
fn a_dead_message_holds_its_group_where_the_queue_says_so() {
    for (end, then) in [("redrive", "1\n2\n3\n"), ("purge", "2\n3\n")] {
        let sandbox = Sandbox::new();
        sandbox.mq(["create", "jobs", "--group-on-dead", "hold"]).ok();
        send_all(&sandbox, "a", &["1", "2", "3"]);
        send_all(&sandbox, "b", &["4"]);
        let script = "read number; echo $number >>log; [ $number != 1 ] || exit 65";
        sandbox.mq(["work", "jobs", "-q", "--drain", "-j2", "--", "sh", "-c", script]).code(10);
        let mut log: Vec<String> = written(&sandbox, "log").lines().map(str::to_string).collect();
        log.sort();
        assert_eq!(log, ["1", "4"]);
        sandbox.mq(["claim", "jobs"]).code(1);
        assert_eq!(states(&sandbox, "jobs"), ["ready", "ready", "dead"]);
        assert_eq!(sandbox.mq(["stats", "jobs", "--groups"]).code(0).columns()[0][1..5], ["a", "2", "dead", "1"]);
        sandbox.mq(["fsck", "jobs"]).code(0).prints("");
        sandbox.mq(["dlq", end, "jobs", "--all", "-q"]).ok();
        sandbox.mq(["work", "jobs", "--drain", "-j4", "--", "cat"]).code(0).prints(then);
        sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    }
}

#[test]
fn a_job_that_outlives_its_killed_worker_still_holds_its_group() {
    let sandbox = Sandbox::new();
    let ids = send_all(&sandbox, "a", &["1", "2"]);
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "-j4", "--", "sh", "-c", WAITS]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["work", "jobs", "--drain", "-j4", "--", "sh", "-c", "echo doubled"]).code(0).prints("");
    sandbox.mq(["fsck", "jobs", "--repair"]).code(0);
    assert_eq!(states(&sandbox, "jobs"), ["ready", "claimed"]);
    assert_eq!(written(&sandbox, "started").lines().count(), 1);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("the job ends", || written(&sandbox, "done").ends_with('\n'));
    // Nobody heard that it ended well: it comes again, before the next one of its group.
    let receipt = sandbox.mq(["claim", "jobs", "--wait", "10s"]).ok();
    assert!(receipt.contains(&ids[0]), "{receipt} is not for {ids:?}");
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    sandbox.mq(["pop", "jobs"]).code(0).prints("2\n");
}

#[test]
fn killed_with_its_job_a_worker_leaves_the_first_message_first() {
    let sandbox = Sandbox::new();
    send_all(&sandbox, "a", &["1", "2"]);
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "-j4", "--", "sh", "-c", "kill -9 $PPID $$"]);
    until("the worker is gone", || worker.is_over());
    // It waits until the job is gone too.
    let args = ["work", "jobs", "-n2", "--for", "30s", "-j4", "--", "sh", "-c", "echo $MQ_ATTEMPT $(cat)"];
    sandbox.mq(args).code(0).prints("2 1\n1 2\n");
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn acknowledged_first_they_still_run_one_at_a_time() {
    let sandbox = Sandbox::new();
    send(&sandbox, 2, 8);
    sandbox.mq(["work", "jobs", "--drain", "--ack-first", "-j4", "--", "sh", "-c", LOGS]).code(0).silent();
    let started = judged(&written(&sandbox, "log"));
    assert!(started.values().all(|numbers| numbers.iter().copied().eq(1..=8)), "{started:?}");
    // The message is gone, and its group waits for the job all the same.
    send_all(&sandbox, "a", &["1", "2"]);
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "-n1", "--ack-first", "--", "sh", "-c", WAITS]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    sandbox.mq(["claim", "jobs"]).code(1);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert_eq!(worker.end().code(), Some(0));
    sandbox.mq(["pop", "jobs", "-n", "9"]).code(0).prints("2\n");
}

#[test]
fn acknowledged_first_and_killed_the_group_goes_on() {
    let sandbox = Sandbox::new();
    send_all(&sandbox, "a", &["1", "2"]);
    let mut worker =
        Beside::start(&sandbox, &["work", "jobs", "--ack-first", "--", "sh", "-c", "cat >>done; kill -9 $PPID $$"]);
    until("the worker is gone", || worker.is_over());
    // It waits until the job is gone too.
    sandbox.mq(["work", "jobs", "-n1", "--for", "30s", "--", "cat"]).code(0).prints("2\n");
    assert_eq!(written(&sandbox, "done"), "1\n");
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn a_batch_has_one_of_each_group() {
    let sandbox = Sandbox::new();
    send(&sandbox, 3, 2);
    let script = "cut -d ' ' -f 2 | xargs; exit 0";
    let told = sandbox.mq(["work", "jobs", "--drain", "--batch", "9", "--", "sh", "-c", script]).code(0).silent();
    told.prints("1 1 1\n2 2 2\n");
}
