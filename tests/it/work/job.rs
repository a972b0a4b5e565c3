//! What a job is given: its stdin, its arguments, its environment, its descriptors.

use super::{history, states};
use crate::support::sandbox::Sandbox;
use std::fs;

/// A queue whose retries come at once.
fn impatient(sandbox: &Sandbox) {
    sandbox.mq(["create", "jobs", "--backoff", "1ms"]).ok();
}

#[test]
fn stdin_is_the_body_alone_on_every_attempt() {
    let sandbox = Sandbox::new();
    impatient(&sandbox);
    for size in [0, 1, 5000, 65_536, 65_537, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
        sandbox.send("jobs", &body);
        // The first attempt reads a part and fails; the second opens it anew by name; the third reads what it was given.
        let script = "case $MQ_ATTEMPT in 1) head -c 3 >/dev/null; exit 1;; 2) cat /dev/stdin >second; exit 1;; 3) cat >third;; esac";
        sandbox.mq(["work", "jobs", "--drain", "-q", "--", "sh", "-c", script]).ok();
        for copy in ["second", "third"] {
            assert!(fs::read(sandbox.dir().join(copy)).unwrap() == body, "{size} bytes, the {copy} attempt");
        }
    }
}

#[test]
fn a_job_that_reads_nothing_is_no_trouble() {
    let sandbox = Sandbox::new();
    for size in [10, 60_000, 1_000_000] {
        sandbox.send("jobs", vec![b'x'; size]);
    }
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).code(0).silent();
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn cat_prints_what_was_sent() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n3\n").ok();
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("1\n2\n3\n").silent();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    sandbox.mq(["work", "jobs", "--drain", "--", "sh", "-ec", "read -r x; echo \"<$x>\""]).code(0).prints("<x>\n");
}

#[test]
fn the_environment_tells_of_the_message_and_of_nothing_else() {
    let sandbox = Sandbox::new();
    let id = sandbox.mq(["send", "jobs", "x", "-H", "Trace-Id=a b", "-H", "PATH=/evil"]).ok();
    let id = id.trim_end();
    let script = "MQ_EVIL=1 MQ_H_OTHER=1 MQ_ID=1 LEFT=alone mq work jobs --drain -- sh -c 'env | grep -E \"^(MQ_|LEFT)\" | sort'";
    let text = sandbox.sh(script).ok();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_string()
    };
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    let expected = "LEFT MQ_ATTEMPT MQ_H_PATH MQ_H_TRACE_ID MQ_ID MQ_LEASE_FD MQ_MAX_ATTEMPTS MQ_QUEUE MQ_RECEIPT MQ_ROOT \
                    MQ_SENT_AT MQ_UID";
    assert_eq!(names.join(" "), expected);
    assert_eq!((value("MQ_ID"), value("MQ_QUEUE"), value("MQ_ATTEMPT")), (id.into(), "jobs".into(), "1".into()));
    assert_eq!((value("MQ_H_TRACE_ID"), value("MQ_H_PATH")), ("a b".into(), "/evil".into()));
    assert!(value("MQ_ROOT").starts_with('/') && value("MQ_RECEIPT").starts_with("jobs:"));
    assert_eq!(value("MQ_UID").len(), 26);
}

#[test]
fn no_descriptor_but_the_three_and_the_lease() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    // ls has the directory open itself, as 3.
    sandbox.sh("exec 7<. 8<.; mq work jobs --drain -- ls /proc/self/fd").code(0).prints("0\n1\n10\n2\n3\n");
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let held = sandbox.sh("mq work jobs --drain -- readlink /proc/self/fd/10").ok();
    assert!(held.contains("/jobs/claimed/"), "{held}");
}

#[test]
fn an_mq_in_a_job_hands_the_lease_to_nobody() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "outer", "-q", "x"]).ok();
    sandbox.mq(["send", "inner", "-q", "x"]).ok();
    let inner = "mq work inner --drain -- readlink /proc/self/fd/10";
    let held = sandbox.mq(["work", "outer", "--drain", "--", "sh", "-c", inner]).ok();
    assert!(held.contains("/inner/claimed/"), "{held}");
}

#[test]
fn signals_are_as_at_login_and_the_umask_is_the_users() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "umask 027; trap '' INT TERM PIPE; mq work jobs --drain -- sh -c 'umask; grep -E \"Sig(Blk|Ign)\" /proc/self/status'";
    let text = sandbox.sh(script).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0027");
    for line in &lines[1..] {
        let mask = u64::from_str_radix(line.split_whitespace().next_back().unwrap(), 16).unwrap();
        // 32 and 33 are the C library's own, which its posix_spawn(3) leaves ignored.
        assert_eq!(mask & !0x1_8000_0000, 0, "{text}");
    }
}

#[test]
fn with_arg_a_hostile_body_is_one_argument() {
    let sandbox = Sandbox::new();
    let hostile = ["; touch pwned", "$(touch pwned)", "`touch pwned`", "'\"\\", "a\nb", "-rf", "{}", "* ?", ""];
    for body in hostile {
        sandbox.mq(["send", "jobs", "-q", "--", body]).ok();
        sandbox.mq(["work", "jobs", "--arg", "--drain", "--", "printf", "<%s>"]).code(0).prints(&format!("<{body}>"));
        sandbox.mq(["send", "jobs", "-q", "--", body]).ok();
        let middle = ["work", "jobs", "--arg", "--drain", "--", "printf", "[%s][%s]", "a{}b{}", "c"];
        sandbox.mq(middle).code(0).prints(&format!("[a{body}b{body}][c]"));
    }
    assert!(!sandbox.dir().join("pwned").exists());
    sandbox.mq(["send", "jobs", "-q", "/proc/self/fd/0"]).ok();
    sandbox.mq(["work", "jobs", "--arg", "-n", "1", "--", "readlink"]).code(0).prints("/dev/null\n");
}

#[test]
fn with_arg_a_shells_script_is_no_place_for_a_body() {
    let sandbox = Sandbox::new();
    for words in [&["sh", "-c", "echo {}"][..], &["bash", "-ec", "{}"], &["/bin/sh", "-c"]] {
        let args = ["work", "jobs", "--drain", "--arg", "--"].iter().chain(words);
        sandbox.mq(args).code(2).says("hint: ");
    }
    assert!(!sandbox.queue("jobs").exists());
}

#[test]
fn with_arg_a_body_that_fits_no_argument_is_dead_with_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.send("nul", "a\0b");
    sandbox.mq(["work", "nul", "--arg", "--drain", "--", "true"]).code(10).says("NUL");
    sandbox.send("long", vec![b'x'; (128 << 10) + 1]);
    sandbox.mq(["work", "long", "--arg", "--drain", "--", "true"]).code(10).says("128 KiB");
    for queue in ["nul", "long"] {
        assert_eq!(states(&sandbox, queue), ["dead"]);
        assert_eq!(history(&sandbox, queue)[0]["outcome"], "dead");
    }
}

#[test]
fn stderr_passes_through_and_its_end_stays() {
    let sandbox = Sandbox::new();
    impatient(&sandbox);
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "seq 100000 >&2; echo out; exit 1";
    let told = sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", script]).code(0);
    assert_eq!(told.text(), "out\n");
    assert_eq!(told.stderr.lines().filter(|line| !line.starts_with("mq: ")).count(), 100_000);
    let tail = history(&sandbox, "jobs")[0]["stderr"].as_str().unwrap().to_string();
    assert!(tail.len() <= mq::queue::STDERR_MAX && tail.ends_with("99999\n100000\n"), "{} bytes", tail.len());
}

#[test]
fn with_stderr_inherit_nothing_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let args = ["work", "jobs", "-n", "1", "--stderr", "inherit", "--", "sh", "-c", "echo direct >&2; exit 1"];
    sandbox.mq(args).code(0).says("direct");
    assert!(history(&sandbox, "jobs")[0]["stderr"].is_null());
}

#[test]
fn megabytes_on_stderr_and_a_child_that_never_stops_hold_nobody_up() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], "1\n2\n").ok();
    let script = "head -c 30000000 /dev/zero >&2; (while echo still here; do :; done) >&2 & echo $! >>children";
    let mut command = sandbox.command(["work", "jobs", "--drain", "--", "sh", "-c", script]);
    let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().unwrap();
    for child in super::written(&sandbox, "children").lines() {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap(),
            rustix::process::Signal::KILL,
        );
    }
    assert_eq!(status.code(), Some(0));
    assert!(states(&sandbox, "jobs").is_empty());
}
