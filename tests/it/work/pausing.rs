//! `--on CODES=pause:D`: a job pauses the whole queue.

use super::{history, states};
use crate::support::sandbox::Sandbox;

/// What `mq stats` says of the pause.
fn paused_until(sandbox: &Sandbox) -> String {
    let rows = sandbox.mq(["stats", "jobs", "--json"]).code(0).json();
    rows[0]["paused_until"].as_str().unwrap_or_default().to_string()
}

#[test]
fn the_queue_is_paused_and_the_message_is_back_uncounted() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n").ok();
    let args = ["work", "jobs", "--drain", "--on", "75=pause:1h", "--", "sh", "-c", "exit 75"];
    let told = sandbox.mq(args).code(7).says("put back, not counted");
    assert_eq!(told.stderr.matches("is paused for").count(), 1, "{}", told.stderr);
    told.says("(job exited 75)");
    assert_eq!(states(&sandbox, "jobs"), ["ready", "ready"]);
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    assert_eq!(rows[0]["attempts"], 0);
    let record = &rows[0]["history"][0];
    assert_eq!((&record["uncounted"], &record["exit"]), (&true.into(), &75.into()));
    sandbox.mq(["claim", "jobs"]).code(7).says("job exited 75");
    assert!(!paused_until(&sandbox).is_empty());
}

#[test]
fn it_ends_by_itself_and_the_worker_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "[ -e tried ] && exit 0; touch tried; exit 75";
    let args = ["work", "jobs", "-n", "2", "--on", "75=pause:100ms", "--", "sh", "-c", script];
    let told = sandbox.mq(args).code(0);
    // It has said that the queue is paused, and does not say so again while it waits.
    assert_eq!(told.stderr.matches("is paused").count(), 1, "{}", told.stderr);
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn a_longer_pause_is_not_shortened() {
    let sandbox = Sandbox::new();
    let run = |length: &str| {
        sandbox.mq(["send", "jobs", "-q", "-p", "9", "x"]).ok();
        let script = format!("{}; exit 75", if length == "1s" { "mq pause jobs --reason mine" } else { "true" });
        let rule = format!("75=pause:{length}");
        sandbox.mq(["work", "jobs", "-n", "1", "--on", &rule, "--", "sh", "-c", &script]).code(0).says("is paused");
    };
    run("1s");
    sandbox.mq(["claim", "jobs"]).code(7).says("mine");
    sandbox.mq(["resume", "jobs"]).ok();
    run("1h");
    let long = paused_until(&sandbox);
    // Another worker that had claimed before: its shorter pause changes nothing, its longer one does.
    let queue = mq::queue::Queue::open(&mq::fs::Disk::real(), &sandbox.queue("jobs")).unwrap();
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    queue.pause_at_least("job exited 75", minutes(1)).unwrap();
    assert_eq!(paused_until(&sandbox), long);
    queue.pause_at_least("job exited 75", minutes(120)).unwrap();
    assert!(paused_until(&sandbox) > long);
}

#[test]
fn attempts_that_pause_are_never_used_up() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "1"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    for _ in 0..3 {
        let args = ["work", "jobs", "-n", "1", "-q", "--on", "75=pause:1h", "--", "sh", "-c", "exit 75"];
        sandbox.mq(args).code(0).silent();
        sandbox.mq(["resume", "jobs"]).ok();
    }
    assert_eq!(states(&sandbox, "jobs"), ["ready"]);
    assert_eq!(history(&sandbox, "jobs").len(), 3);
}
