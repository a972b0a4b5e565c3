//! Many workers on one queue.

use super::{Beside, states, written};
use crate::support::sandbox::Sandbox;
use rustix::process::{Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn sixteen_workers_execute_each_message_exactly_once() {
    let sandbox = Sandbox::new();
    let lines: String = (0..3000).map(|n| format!("{n}\n")).collect();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], lines).code(0).lines();
    // The log is opened for appending, and a line is one write: lines of different jobs never mix (open(2), O_APPEND).
    let script = "echo $MQ_ID >>log";
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                sandbox.mq(["work", "jobs", "-j", "2", "--drain", "--", "sh", "-c", script]).code(0).silent()
            });
        }
    });
    let log = written(&sandbox, "log");
    let mut seen: Vec<&str> = log.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ids);
}

#[test]
fn workers_that_are_killed_at_random_lose_nothing() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "1000"]).ok();
    let lines: String = (0..400).map(|n| format!("{n}\n")).collect();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], lines).code(0).lines();
    let mut kills = 0_usize;
    let mut random = 12345_u32;
    let mut workers: Vec<Beside> = Vec::new();
    let script = "echo $MQ_ID >>log";
    super::until("all are done", || {
        while workers.len() < 4 {
            workers.push(Beside::start(&sandbox, &["work", "jobs", "-q", "--", "sh", "-c", script]));
        }
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if kills < 60 && !random.is_multiple_of(3) {
            let worker = workers.swap_remove(random as usize / 7 % workers.len());
            let _ = kill_process(rustix::process::Pid::from_child(&worker.0), Signal::KILL);
            kills += 1;
        }
        // What comes back from a worker who was killed may be listed in neither state, if it does so between the two lists.
        let done: BTreeSet<String> = written(&sandbox, "log").lines().map(str::to_string).collect();
        done.len() >= ids.len() && states(&sandbox, "jobs").is_empty()
    });
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for id in written(&sandbox, "log").lines() {
        *times.entry(id.to_string()).or_default() += 1;
    }
    assert_eq!(times.keys().cloned().collect::<Vec<_>>(), ids, "lost or unexpected");
    let doubled: usize = times.values().map(|times| times - 1).sum();
    println!("{doubled} of {} doubled by {kills} kills", ids.len());
    assert!(doubled <= kills, "{doubled} doubled by {kills} kills");
}
