//! `--ack-first`: at most once, by name.

use super::{Beside, states, until, written};
use crate::support::sandbox::{Sandbox, script};

#[test]
fn the_message_is_gone_before_its_job_starts() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "cat; mq ls jobs --ids; find root/jobs -name '*-4-0000*'; env | grep -E '^MQ_(RECEIPT|LEASE_FD|ID)=' | cut -d = -f 1; ls /proc/self/fd";
    let told = sandbox.mq(["work", "jobs", "--drain", "--ack-first", "--", "sh", "-c", script]).code(0).silent();
    // The fourth descriptor is the directory that ls itself has open.
    assert_eq!(told.text(), "x\nMQ_ID\n0\n1\n2\n3\n");
}

#[test]
fn a_failure_is_told_and_nothing_more() {
    let sandbox = Sandbox::new();
    for code in ["1", "65", "100"] {
        sandbox.mq(["send", "jobs", "-q", "x"]).ok();
        let script = format!("exit {code}");
        let told = sandbox.mq(["work", "jobs", "--drain", "--ack-first", "--", "sh", "-c", &script]).code(0);
        assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
        told.says(&format!("exit {code}")).says("not tried again");
        assert!(states(&sandbox, "jobs").is_empty());
    }
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let told = sandbox.mq(["work", "jobs", "--drain", "--ack-first", "--timeout", "50ms", "--", "sleep", "1000"]);
    told.code(0).says("timed out");
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn killed_with_its_worker_it_is_not_done_again() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "echo begun >>log; kill -9 $PPID $$";
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--ack-first", "--", "sh", "-c", script]);
    until("the worker is gone", || worker.is_over());
    sandbox.mq(["work", "jobs", "--drain", "--", "sh", "-c", "echo again >>log"]).code(0);
    assert_eq!(written(&sandbox, "log"), "begun\n");
}

#[test]
fn a_damaged_body_is_not_acknowledged() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", vec![b'x'; 3_000_000]);
    let file = sandbox.file_of("jobs", &id);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    sandbox.mq(["work", "jobs", "-n", "1", "--ack-first", "--", "true"]).code(0).says("damaged");
    assert_eq!(states(&sandbox, "jobs"), ["damaged"]);
}

#[test]
fn rules_for_what_is_gone_are_refused() {
    let sandbox = Sandbox::new();
    for rule in ["3=dead", "3=retry"] {
        sandbox.mq(["work", "jobs", "--ack-first", "--on", rule, "--", "true"]).code(2).says("--ack-first");
    }
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let args = ["work", "jobs", "--drain", "--ack-first", "--on", "3=ack", "--", "sh", "-c", "exit 3"];
    sandbox.mq(args).code(0).silent();
}

#[test]
fn a_command_that_fails_to_start_is_told_as_a_failure() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    script(&sandbox.dir().join("script"), "#!/no/such/interpreter\n");
    let told = sandbox.mq(["work", "jobs", "--drain", "--ack-first", "--", "./script"]).one_of(&[126, 127]);
    told.says("not tried again");
    assert!(states(&sandbox, "jobs").is_empty());
}
