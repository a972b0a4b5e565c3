//! Real workers that share a rate, or a number in flight.

use super::{Beside, until, written};
use crate::support::sandbox::Sandbox;
use std::time::{Duration, Instant};

/// A job that counts itself in and out under a lock, and says how many it met.
const JOB: &str = r#"
count() { flock 9; n=$(( $(cat n 2>/dev/null || echo 0) $1 )); echo $n > n; [ "$1" = "+ 1" ] && echo $n >> met; }
count "+ 1" 9>>lock
sleep 0.0$((RANDOM % 5))
count "- 1" 9>>lock
exit 0"#;

fn storm(messages: u32, workers: u32, limit: u32) {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-in-flight", &limit.to_string(), "--sync", "none"]).ok();
    let lines: String = (0..messages).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines"], lines).ok();
    let began = Instant::now();
    let mut running: Vec<Beside> =
        (0..workers).map(|_| Beside::start(&sandbox, &["work", "jobs", "--drain", "--", "bash", "-c", JOB])).collect();
    for worker in &mut running {
        assert!(worker.0.wait().unwrap().success(), "{}", worker.said());
    }
    let took = began.elapsed();
    let met: Vec<u32> = written(&sandbox, "met").lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(met.len(), messages as usize);
    let most = met.iter().max().copied();
    println!("{workers} workers, {messages} messages in {took:?}: at most {most:?} of {limit} in flight");
    assert!(most.is_some_and(|most| most <= limit), "exceeded");
}

#[test]
fn so_many_are_in_flight_and_no_more() {
    storm(60, 6, 3);
}

#[test]
#[ignore = "a storm of 16 workers; .ci/run runs it"]
fn so_many_are_in_flight_in_a_storm() {
    storm(600, 16, 3);
}

/// How many jobs run in so long.
fn rate(rate: &str, workers: u32, time: Duration) -> usize {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--rate", rate, "--sync", "none"]).ok();
    let lines: String = (0..2000).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines"], lines).ok();
    let length = format!("{}ms", time.as_millis());
    let work = ["work", "jobs", "--for", &length, "--", "sh", "-c", "echo x >> ran"];
    let mut running: Vec<Beside> = (0..workers).map(|_| Beside::start(&sandbox, &work)).collect();
    running.iter_mut().for_each(|worker| assert!(worker.0.wait().unwrap().success()));
    written(&sandbox, "ran").lines().count()
}

#[test]
#[ignore = "thirty seconds by the clock; .ci/run runs it"]
fn four_workers_keep_a_rate() {
    let ran = rate("20/s", 4, Duration::from_secs(30));
    println!("4 workers, 20/s, 30 s: {ran} jobs, where 600 are wanted");
    assert!((570..=630).contains(&ran), "{ran}");
}

/// A worker that drains waits for the rate: there is something left.
#[test]
fn a_drain_goes_to_the_end_at_the_rate() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--rate", "50/s"]).ok();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n4\n5\n6\n").ok();
    let began = Instant::now();
    sandbox.mq(["work", "jobs", "--drain", "-j", "3", "--", "cat"]).code(0).prints("1\n2\n3\n4\n5\n6\n");
    // Never faster, whatever the machine.
    assert!(began.elapsed() >= Duration::from_millis(95), "{:?}", began.elapsed());
}

#[test]
fn a_claim_says_why_it_got_nothing() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--rate", "1/h", "--max-in-flight", "1"]).ok();
    sandbox.mq(["send", "jobs", "a", "b", "c"]).ok();
    let receipt = sandbox.mq(["claim", "jobs", "-n", "2"]).ok();
    assert_eq!(receipt.lines().count(), 1);
    sandbox.mq(["claim", "jobs"]).code(1).says("max_in_flight");
    sandbox.mq(["claim", "jobs", "-q"]).code(1).silent();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    sandbox.mq(["claim", "jobs"]).code(1).says("1/h");
    sandbox.mq(["config", "jobs", "--unset", "rate"]).ok();
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    // The end of one is the beginning of the next, at once.
    let mut waiting = Beside::start(&sandbox, &["claim", "jobs", "--wait", "25s"]);
    let began = Instant::now();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    until("the claim is there", || waiting.is_over());
    assert!(waiting.end().success());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    sandbox.mq(["fsck", "jobs"]).code(0);
}
