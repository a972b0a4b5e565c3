//! From queue to queue: what a job prints is sent on once, and what was done before is not done again.

use super::{Beside, states, written};
use crate::support::rng::Rng;
use crate::support::sandbox::Sandbox;
use mq::fs::Disk;
use mq::queue::Queue;

fn bodies(sandbox: &Sandbox, queue: &str) -> Vec<String> {
    let rows = sandbox.mq(["ls", queue, "--json", "--full"]).code(0).json();
    rows.iter().map(|row| row["body"].as_str().unwrap_or_default().to_string()).collect()
}

#[test]
fn what_a_job_prints_becomes_a_message_with_the_headers_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "a", "x", "-H", "Trace=1", "-p", "7", "--content-type", "text/csv"]).ok();
    sandbox.mq(["work", "a", "--to", "b", "--drain", "--", "sh", "-c", "printf 1; printf 2"]).code(0).says("b");
    let row = &sandbox.mq(["ls", "b", "--json", "--full"]).code(0).json()[0];
    assert_eq!((&row["body"], &row["headers"]["Trace"], &row["priority"]), (&"12".into(), &"1".into(), &7.into()));
    assert_eq!(row["content_type"], "text/csv");
    sandbox.send("a", "x");
    let lines = "printf 'one\\ntwo\\n\\nthree'";
    sandbox.mq(["work", "a", "--to", "c", "--to-lines", "--drain", "--", "sh", "-c", lines]).code(0);
    assert_eq!(bodies(&sandbox, "c"), ["one\n", "two\n", "\n", "three\n"]);
    // Nothing printed, nothing sent; of a failure neither.
    sandbox.send("a", "x");
    sandbox.mq(["work", "a", "--to", "d", "--drain", "--", "true"]).code(0);
    sandbox.mq(["work", "c", "--to", "d", "--drain", "--", "sh", "-c", "echo no; exit 100"]).code(10);
    assert_eq!(bodies(&sandbox, "d"), [""; 0]);
    assert_eq!(states(&sandbox, "a"), [""; 0]);
}

#[test]
fn a_next_queue_that_is_not_there_is_told_before_anything_is_claimed() {
    let sandbox = Sandbox::new();
    sandbox.send("a", "x");
    let tree = sandbox.tree("a");
    sandbox.mq(["work", "a", "--to", "./b", "--drain", "--", "cat"]).code(3).says("b");
    for wrong in [&["--to", "b", "--ack-first"][..], &["--to-lines"], &["--to", "b", "--batch", "2"]] {
        sandbox.mq([&["work", "a"], wrong, &["--", "cat"]].concat()).code(2);
    }
    assert_eq!(sandbox.tree("a"), tree);
}

#[test]
fn what_was_sent_before_the_worker_was_lost_is_not_sent_again() {
    let sandbox = Sandbox::new();
    // The job puts its message back, as if it had never been acknowledged: its output is sent all the same.
    sandbox.send("a", "x");
    let script = "echo $MQ_ATTEMPT; echo more; [ $MQ_ATTEMPT -gt 1 ] || mq nack $MQ_RECEIPT";
    sandbox.mq(["work", "a", "--to", "whole", "--drain", "--", "sh", "-c", script]).code(0);
    assert_eq!(bodies(&sandbox, "whole"), ["1\nmore\n"]);
    sandbox.send("a", "x");
    sandbox.mq(["work", "a", "--to", "lines", "--to-lines", "--drain", "--", "sh", "-c", script]).code(0);
    assert_eq!(bodies(&sandbox, "lines"), ["1\n", "more\n"]);
}

#[test]
fn what_was_done_before_is_acknowledged_without_a_job() {
    let sandbox = Sandbox::new();
    let work = |queue: &str| {
        let script = "echo $MQ_ATTEMPT $MQ_QUEUE >>log; [ $MQ_ATTEMPT -gt 1 ] || mq nack $MQ_RECEIPT";
        sandbox.mq(["work", queue, "--skip-done", "-v", "--drain", "--", "sh", "-c", script]).code(0)
    };
    sandbox.send("a", "x");
    work("a").says("done before");
    assert_eq!(written(&sandbox, "log"), "1 a\n");
    assert_eq!(states(&sandbox, "a"), [""; 0]);
    // The same work under the same key.
    for _ in 0..2 {
        sandbox.mq(["send", "b", "x", "--unique", "invoice 7"]).ok();
        work("b");
    }
    assert_eq!(written(&sandbox, "log"), "1 a\n1 b\n");
}

/// Numbers go through three queues, each of which adds one, while workers are killed at random.
fn storm(numbers: u64, kills: usize, seed: u64) {
    let sandbox = Sandbox::new();
    let stages = [("a", "b"), ("b", "c"), ("c", "d")];
    for queue in ["a", "b", "c", "d"] {
        sandbox.mq(["create", queue, "--max-attempts", "10000"]).ok();
    }
    let lines: String = (1..=numbers).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "a", "--lines"], lines).ok();
    let open = |name: &str| Queue::open(&Disk::real(), &sandbox.queue(name)).unwrap();
    let (queues, last) = (["a", "b", "c"].map(open), open("d"));
    // More than one look: what comes out of a pack stands nowhere that a single one may not have passed already.
    let empty = |queue: &Queue| queue.is_idle().unwrap();
    let (mut rng, mut killed, mut looks) = (Rng::new(seed), 0, 0_usize);
    let mut workers: Vec<(usize, Beside)> = Vec::new();
    let script = "read n; echo $((n + 1))";
    super::until_within("all have gone through", std::time::Duration::from_secs(30 + numbers / 10), || {
        for stage in 0..6 {
            if !workers.iter().any(|(of, _)| *of == stage) {
                let (from, to) = stages[stage / 2];
                // Of the two workers of a stage, one sends line by line.
                let lines = if stage % 2 == 0 { "--to-lines" } else { "-q" };
                let args = ["work", from, "-q", "--skip-done", "--to", to, lines, "--", "sh", "-c", script];
                workers.push((stage, Beside::start(&sandbox, &args)));
            }
        }
        looks = looks.saturating_sub(1);
        if killed < kills && looks == 0 {
            // Dropping it kills it, whatever it does at this moment.
            drop(workers.swap_remove(rng.below(workers.len())));
            killed += 1;
            looks = rng.below(100);
        }
        queues.iter().all(&empty)
    });
    drop(workers);
    last.recover().unwrap();
    let mut out: Vec<u64> = bodies(&sandbox, "d").iter().map(|body| body.trim_end().parse().unwrap()).collect();
    out.sort_unstable();
    assert_eq!(out, (4..numbers + 4).collect::<Vec<_>>(), "lost or doubled, with {killed} kills, seed {seed}");
    for queue in ["a", "b", "c", "d"] {
        sandbox.mq(["fsck", queue, "--repair"]).code(0);
        sandbox.mq(["fsck", queue]).code(0).prints("");
    }
}

#[test]
fn a_chain_adds_up_once_whoever_is_killed() {
    storm(100, 60, 1);
}

#[test]
#[ignore = "minutes: thousands of messages and kills"]
fn a_long_chain_adds_up_once_whoever_is_killed() {
    for seed in 2..6 {
        storm(1500, 1000, seed);
    }
}
