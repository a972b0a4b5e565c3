//! Workers and jobs that are stopped, close what they were given, or never end; and a queue that goes away under them.

use super::{Beside, states, until, written};
use crate::support::sandbox::Sandbox;
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn stopped_past_every_deadline_a_worker_settles_what_its_job_has_done() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--lease", "1ms", "--timeout", "200ms", "--backoff", "1ms"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    // The job stops its worker at once, so that it is the worker who is late and not the job.
    let script = "kill -STOP $PPID; echo $$ $MQ_ATTEMPT >>started
        while [ ! -e go ] && [ -e started ]; do sleep 0.01; done; echo $$ $MQ_ATTEMPT >>done";
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--drain", "--", "sh", "-c", script]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(250) {
        sandbox.mq(["claim", "jobs"]).code(1);
        sandbox.mq(["fsck", "jobs", "--repair"]).code(0);
    }
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    let started = written(&sandbox, "started");
    let stat = format!("/proc/{}/stat", started.split(' ').next().unwrap());
    until("the job has ended", || std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    worker.signal(Signal::CONT);
    assert_eq!(worker.end().code(), Some(0));
    // Slow is not dead, and what is done is done.
    assert_eq!(written(&sandbox, "done"), started, "{}", worker.said());
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn a_job_that_closes_all_it_was_given_is_held_by_its_worker() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "
        exec 0<&- 1>&- 2>&- 10>&-
        ls /proc/$$/fd >fds
        mq claim jobs >out 2>&1; echo $? >>out
        mq work jobs --drain -- echo doubled >>out 2>&1
        exit 0";
    sandbox.mq(["work", "jobs", "--drain", "--", "bash", "-c", script]).code(0).silent();
    assert_eq!(written(&sandbox, "out"), "1\n");
    let fds = written(&sandbox, "fds");
    assert!(fds.lines().all(|fd| !["0", "1", "2", "10"].contains(&fd)), "it has {fds}");
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn a_queue_that_is_removed_under_a_worker_is_told() {
    // While a job runs, and while there is nothing to do.
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    sandbox.mq(["work", "jobs", "--", "rm", "-r", "root/jobs"]).code(3).says("moved or removed");
    sandbox.mq(["create", "jobs"]).ok();
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--", "true"]);
    until("it waits", || super::lease::waits(&worker));
    // What it makes anew meanwhile is removed as well.
    until("it is removed", || {
        let removed = std::fs::remove_dir_all(sandbox.queue("jobs"));
        removed.is_ok() || removed.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    });
    assert_eq!(worker.end().code(), Some(3));
    assert!(worker.said().contains("moved or removed"));
}

#[test]
fn a_file_size_limit_of_nothing_stops_no_settling() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "1ms", "--max-attempts", "3"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x", "y"]).ok();
    let script = "ulimit -f 0
        mq nack $(mq claim jobs) --delay 0 2>/dev/null; mq work jobs -q -n 1 -- true; mq dead $(mq claim jobs) 2>/dev/null
        mq send jobs z 2>/dev/null; echo $?";
    sandbox.sh(script).code(0).prints("75\n");
    assert_eq!(states(&sandbox, "jobs"), ["dead"]);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
#[ignore = "a gigabyte on stderr: run by .ci/run"]
fn a_gigabyte_on_stderr_is_relayed_and_its_end_kept() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script =
        "(mq work jobs -n 1 -- sh -c 'head -c 1G /dev/zero | tr \"\\\\0\" x >&2; echo end >&2; exit 1' 2>&1) | wc -c";
    let script = format!("set -o pipefail; ulimit -v 1000000; {script}");
    let relayed: u64 = sandbox.sh(&script).ok().trim_end().parse().unwrap();
    assert!(relayed > 1 << 30, "{relayed} bytes");
    let tail = super::history(&sandbox, "jobs")[0]["stderr"].as_str().unwrap().to_string();
    assert!(tail.len() <= mq::queue::STDERR_MAX && tail.ends_with("xend\n"), "{} bytes", tail.len());
}
