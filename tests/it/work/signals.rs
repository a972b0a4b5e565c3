//! How a worker is asked to stop.

use super::{Beside, history, states, until, written};
use crate::support::sandbox::Sandbox;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;

fn busy(sandbox: &Sandbox, flags: &[&str], script: &str) -> Beside {
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n").ok();
    let args: Vec<&str> = ["work", "jobs"].iter().chain(flags).chain(&["--", "sh", "-c", script]).copied().collect();
    let worker = Beside::start(sandbox, &args);
    until("the job starts", || written(sandbox, "started").ends_with('\n'));
    worker
}

const WAITS: &str = "echo $$ >>started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done; echo done >>done";

#[test]
fn the_first_lets_jobs_finish_and_claims_no_more() {
    for signal in [Signal::TERM, Signal::HUP] {
        let sandbox = Sandbox::new();
        let mut worker = busy(&sandbox, &[], WAITS);
        worker.signal(signal);
        // It has understood when it says so; the job is still at work.
        assert!(!worker.is_over());
        std::fs::write(sandbox.dir().join("go"), "").unwrap();
        assert_eq!(worker.end().code(), Some(0), "{signal:?}");
        assert!(worker.said().contains("claiming no more, 1 job still running"));
        assert_eq!(written(&sandbox, "done"), "done\n");
        assert_eq!(states(&sandbox, "jobs"), ["ready"]);
    }
}

#[test]
fn an_interrupt_is_raised_again_so_that_a_loop_around_it_stops() {
    let sandbox = Sandbox::new();
    let mut worker = busy(&sandbox, &[], WAITS);
    worker.signal(Signal::INT);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert_eq!(worker.end().signal(), Some(2));
    assert_eq!(written(&sandbox, "done"), "done\n");
}

#[test]
fn the_second_stops_the_jobs_and_their_messages_are_put_back_uncounted() {
    let sandbox = Sandbox::new();
    let mut worker = busy(&sandbox, &[], "echo $$ >>started; sleep 1000");
    worker.signal(Signal::TERM);
    let mut sent = 1;
    until("the worker ends", || {
        // The first is taken note of when the worker comes around; a second that comes with it counts as well.
        if sent < 2 || !worker.is_over() {
            worker.signal(Signal::TERM);
            sent += 1;
        }
        worker.is_over()
    });
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(states(&sandbox, "jobs"), ["ready", "ready"]);
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    assert!(rows.iter().all(|row| row["attempts"] == 0), "{rows:?}");
}

#[test]
fn a_stop_timeout_is_as_good_as_the_second() {
    let sandbox = Sandbox::new();
    let mut worker = busy(&sandbox, &["--stop-timeout", "20ms"], "echo $$ >>started; sleep 1000");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(states(&sandbox, "jobs"), ["ready", "ready"]);
    sandbox.mq(["rm", "jobs", "-n", "1", "--all"]).ok();
    let left = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    assert_eq!(left[0]["attempts"], 0);
}

#[test]
fn a_job_that_ends_by_itself_after_the_first_counts() {
    let sandbox = Sandbox::new();
    let script = "echo $$ >>started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done; exit 3";
    let mut worker = busy(&sandbox, &["-j", "1"], script);
    worker.signal(Signal::TERM);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert_eq!(worker.end().code(), Some(0));
    sandbox.mq(["rm", "jobs", "--all", "--state", "ready"]).ok();
    assert_eq!(history(&sandbox, "jobs")[0]["reason"], "exit 3");
}

#[test]
fn usr1_tells_where_it_stands() {
    let sandbox = Sandbox::new();
    let mut worker = busy(&sandbox, &[], WAITS);
    worker.signal(Signal::USR1);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("both are done", || states(&sandbox, "jobs").is_empty());
    worker.signal(Signal::TERM);
    worker.end();
    let said = worker.said();
    assert!(said.contains("0 done, 0 failed, 0 dead-lettered; 1 running"), "{said}");
}

#[test]
fn verbose_says_every_job_and_otherwise_success_is_silent() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n").ok();
    let told = sandbox.mq(["work", "jobs", "--drain", "-v", "--", "true"]).code(0);
    assert_eq!(told.stderr.matches("acknowledged").count(), 2, "{}", told.stderr);
    assert_eq!(told.stderr.matches("started as process").count(), 2);
}
