//! What the end of a job means.

use super::{history, states};
use crate::support::sandbox::Sandbox;

#[test]
fn exit_codes_mean_what_the_manual_says() {
    for (code, flags, state, exit) in [
        (0, &[][..], "", 0),
        (1, &[], "delayed", 0),
        (2, &[], "delayed", 0),
        (65, &[], "dead", 10),
        (100, &[], "dead", 10),
        (75, &[], "delayed", 0),
        (126, &[], "delayed", 0),
        (255, &[], "delayed", 0),
        (3, &["--on", "3,4=dead"], "dead", 10),
        (4, &["--on", "3,4=dead"], "dead", 10),
        (65, &["--on", "65=retry"], "delayed", 0),
        (2, &["--on", "2=ack"], "", 0),
        (0, &["--on", "0=dead"], "dead", 10),
    ] {
        let sandbox = Sandbox::new();
        sandbox.mq(["send", "jobs", "-q", "x"]).ok();
        let script = format!("exit {code}");
        let job = ["--", "sh", "-c", script.as_str()];
        sandbox.mq(["work", "jobs", "-n", "1", "-q"].iter().chain(flags).chain(&job)).code(exit).silent();
        assert_eq!(states(&sandbox, "jobs").join(" "), state, "exit {code} with {flags:?}");
        if !state.is_empty() {
            let record = &history(&sandbox, "jobs")[0];
            assert_eq!(
                (&record["outcome"], &record["exit"], &record["attempt"]),
                (&"exit".into(), &code.into(), &1.into())
            );
            assert!(record["duration_s"].as_f64().is_some_and(|seconds| (0.0..30.0).contains(&seconds)));
            assert_eq!(record["reason"], format!("exit {code}"));
        }
    }
}

#[test]
fn nonsense_in_on_is_refused() {
    let sandbox = Sandbox::new();
    for rule in ["", "3", "3=", "=dead", "x=dead", "256=dead", "-1=dead", "3=perhaps", "3,,4=dead"] {
        let told = sandbox.mq(["work", "jobs", "--on", rule, "--", "true"]).code(2);
        assert_eq!(told.stderr.lines().filter(|line| !line.starts_with("hint")).count(), 1, "{}", told.stderr);
    }
}

#[test]
fn every_signal_is_a_failure_that_is_told() {
    let sandbox = Sandbox::new();
    for signal in [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 29, 30, 31] {
        let queue = format!("s{signal}");
        sandbox.mq(["send", &queue, "-q", "x"]).ok();
        let script = format!("ulimit -c 0; kill -{signal} $$");
        sandbox.mq(["work", &queue, "-n", "1", "--", "sh", "-c", &script]).code(0).says(&format!("signal {signal}"));
        let record = &history(&sandbox, &queue)[0];
        assert_eq!((&record["outcome"], &record["signal"]), (&"signal".into(), &signal.into()));
    }
}

#[test]
fn attempts_used_up_are_the_end() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "3", "--backoff", "1ms"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let told = sandbox
        .mq(["work", "jobs", "--drain", "--", "sh", "-c", "echo \"try $MQ_ATTEMPT of $MQ_MAX_ATTEMPTS\"; exit 7"])
        .code(10);
    assert_eq!(told.text(), "try 1 of 3\ntry 2 of 3\ntry 3 of 3\n");
    assert!(
        told.stderr.contains("attempt 1/3: exit 7") && told.stderr.contains("attempt 3/3: exit 7"),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("dead-lettered"));
    assert_eq!(history(&sandbox, "jobs").len(), 3);
}

#[test]
fn a_job_that_takes_too_long_is_stopped_with_its_children_and_counted() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "sleep 1000 & echo $! >child; wait";
    sandbox
        .mq(["work", "jobs", "-n", "1", "--timeout", "50ms", "--", "sh", "-c", script])
        .code(0)
        .says("timed out after 50ms");
    let record = &history(&sandbox, "jobs")[0];
    assert_eq!((&record["outcome"], &record["signal"]), (&"timeout".into(), &15.into()));
    let child = super::written(&sandbox, "child");
    let gone = || !std::path::Path::new(&format!("/proc/{}", child.trim_end())).exists();
    super::until("the job's child is gone", || gone() || zombie(child.trim_end()));
}

fn zombie(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn the_queues_timeout_holds_unless_the_worker_says_otherwise() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--timeout", "50ms", "--backoff", "1ms"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sleep", "1000"]).code(0).says("timed out");
    sandbox.mq(["work", "jobs", "--drain", "--timeout", "none", "--", "sleep", "0.1"]).code(0).silent();
}

#[test]
fn a_job_may_settle_its_own_message() {
    let sandbox = Sandbox::new();
    for (settle, state) in [
        ("mq ack $MQ_RECEIPT", ""),
        ("mq nack $MQ_RECEIPT --reason mine --delay 0", "ready"),
        ("mq nack $MQ_RECEIPT --reason mine --delay 1h", "delayed"),
        ("mq dead $MQ_RECEIPT --reason mine", "dead"),
    ] {
        for code in [0, 1] {
            let sandbox_queue = "jobs";
            sandbox.mq(["send", sandbox_queue, "-q", "x"]).ok();
            let script = format!("mq extend $MQ_RECEIPT && mq cat $MQ_RECEIPT && {settle} || exit 99; exit {code}");
            let exit = if state == "dead" { 10 } else { 0 };
            sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", &script]).code(exit).silent().prints("x\n");
            assert_eq!(states(&sandbox, "jobs").join(" "), state, "{settle}; exit {code}");
            if !state.is_empty() {
                let records = history(&sandbox, "jobs");
                assert_eq!((records.len(), &records[0]["reason"]), (1, &"mine".into()), "{settle}");
                sandbox.mq(["rm", "jobs", "--all"]).ok();
            }
        }
    }
}

#[test]
fn a_message_its_job_put_back_waits_for_the_job() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    // Put back, it is ready; while the job that did so runs, nobody gets it.
    let script = "mq nack $MQ_RECEIPT --delay 0 && { mq claim jobs; echo $?; }";
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", script]).code(0).prints("1\n");
    sandbox.mq(["claim", "jobs"]).ok();
}
