//! When a run ends, and with what.

use super::{history, states};
use crate::support::sandbox::{Sandbox, script};
use std::time::{Duration, Instant};

#[test]
fn drain_waits_for_retries_and_not_for_what_is_scheduled() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "100ms"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    sandbox.mq(["send", "jobs", "-q", "scheduled", "--delay", "1h"]).ok();
    sandbox.mq(["work", "jobs", "--drain", "-q", "--", "sh", "-c", "[ $MQ_ATTEMPT = 3 ]"]).code(0);
    assert_eq!(states(&sandbox, "jobs"), ["delayed"]);
    sandbox.mq(["send", "jobs", "-q", "y"]).ok();
    sandbox.mq(["work", "jobs", "--drain=ready", "-q", "--", "false"]).code(0);
    assert_eq!(states(&sandbox, "jobs"), ["delayed", "delayed"]);
}

#[test]
fn drain_leaves_alone_what_others_hold() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n").ok();
    sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("2\n");
}

#[test]
fn so_many_and_no_more() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n3\n4\n").ok();
    sandbox.mq(["work", "jobs", "-n", "2", "-j", "4", "--", "cat"]).ok();
    assert_eq!(states(&sandbox, "jobs").len(), 2);
    sandbox.mq(["work", "jobs", "-n", "9", "--drain", "--", "true"]).code(0);
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn for_so_long() {
    let sandbox = Sandbox::new();
    let began = Instant::now();
    sandbox.mq(["work", "jobs", "--for", "100ms", "--", "true"]).code(0).says("created queue 'jobs'");
    assert!(began.elapsed() >= Duration::from_millis(100));
    sandbox.mq(["pause", "jobs"]).ok();
    sandbox.mq(["work", "jobs", "--for", "50ms", "--", "true"]).code(0).says("paused");
}

#[test]
fn paused_a_drain_is_refused_and_nothing_is_claimed() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    sandbox.mq(["pause", "jobs", "--reason", "maintenance"]).ok();
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).code(7);
    assert_eq!(states(&sandbox, "jobs"), ["ready"]);
}

#[test]
fn a_command_that_cannot_run_is_told_before_anything_is_claimed() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let before = sandbox.tree("jobs");
    std::fs::write(sandbox.dir().join("plain"), "no bit set").unwrap();
    for (command, code) in [("no-such-command", 127), ("./no-such-file", 127), ("./plain", 126), ("/", 126), ("", 127)]
    {
        let told = sandbox.mq(["work", "jobs", "--drain", "--", command]).code(code);
        assert!(told.stderr.starts_with("mq: ") && told.stderr.contains(command), "{}", told.stderr);
    }
    assert_eq!(sandbox.tree("jobs"), before);
    assert!(history(&sandbox, "jobs").is_empty());
    sandbox.mq(["work", "jobs", "--drain"]).code(2);
}

#[test]
fn a_command_that_fails_to_start_after_the_claim_is_uncounted_and_stops_the_worker() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    script(&sandbox.dir().join("script"), "#!/no/such/interpreter\n");
    sandbox.mq(["work", "jobs", "--drain", "--", "./script"]).one_of(&[126, 127]).says("script");
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    assert_eq!((&rows[0]["state"], &rows[0]["attempts"]), (&"ready".into(), &0.into()));
    assert!(history(&sandbox, "jobs").iter().all(|record| record["uncounted"] == true));
}

#[test]
fn without_a_queue_it_is_the_default_one() {
    let sandbox = Sandbox::new();
    sandbox.sh("echo x | mq send -q && mq work --drain -- cat").code(0).prints("x\n");
    sandbox.mq(["work", "./nowhere", "--drain", "--", "true"]).code(3);
}

#[test]
fn a_queue_that_is_taken_away_ends_the_worker_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "mv root/jobs root/moved";
    sandbox.mq(["work", "jobs", "--", "sh", "-c", script]).code(3).says("moved or removed");
}

#[test]
fn settings_are_read_again_at_each_claim() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "1ms"]).ok();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "mq config jobs max_attempts 2; exit 1";
    sandbox.mq(["work", "jobs", "--drain", "-q", "--", "sh", "-c", script]).code(10);
    assert_eq!(history(&sandbox, "jobs").len(), 2);
}
