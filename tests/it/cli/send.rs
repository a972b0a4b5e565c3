//! `mq send`: one message, from an argument, a file or stdin.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_argument_becomes_a_line_and_stdin_stays_as_it_is() {
    let sandbox = Sandbox::new();
    for (args, stdin, body) in [
        (&["send", "jobs", "x"][..], "", "x\n"),
        (&["send", "jobs", "--", "-x"], "", "-x\n"),
        (&["send", "jobs", "--no-newline", "x"], "", "x"),
        (&["send", "jobs", "x\n"], "", "x\n"),
        (&["send", "jobs", ""], "", ""),
        (&["send", "jobs"], "a\0b", "a\0b"),
        (&["send", "jobs"], "no newline", "no newline"),
        (&["send", "jobs", "--allow-empty"], "", ""),
    ] {
        let id = sandbox.mq_stdin(args, stdin).ok();
        assert_eq!(sandbox.mq(["cat", "jobs", id.trim_end()]).ok(), body, "{args:?}");
    }
}

#[test]
fn nothing_is_sent_of_an_empty_stdin() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let before = sandbox.tree("jobs");
    sandbox.mq(["send", "jobs"]).code(1).says("stdin was empty").prints("");
    sandbox.sh("false | mq send jobs").code(1).prints("");
    sandbox.sh("mq send jobs <&-").code(1).prints("");
    assert_eq!(sandbox.tree("jobs"), before);
}

#[test]
fn several_bodies_and_files_are_a_message_each_in_order() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.dir().join("a"), "file a").unwrap();
    fs::write(sandbox.dir().join("b"), "").unwrap();
    let ids = sandbox.mq(["send", "jobs", "1", "2", "3"]).code(0).lines();
    let files = sandbox.mq(["send", "jobs", "--file", "a", "--file", "b"]).code(0).lines();
    let bodies: Vec<String> = ids.iter().chain(&files).map(|id| sandbox.mq(["cat", "jobs", id]).ok()).collect();
    assert_eq!(bodies, ["1\n", "2\n", "3\n", "file a", ""]);
    assert!(ids.iter().chain(&files).is_sorted());
}

#[test]
fn one_bad_file_and_none_is_sent() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.dir().join("a"), "file a").unwrap();
    for bad in ["missing", "."] {
        sandbox.mq(["send", "jobs", "--file", "a", "--file", bad]).code(74).says(bad).prints("");
    }
    assert!(!sandbox.queue("jobs").exists(), "a queue was made for nothing");
}

#[test]
fn what_excludes_each_other_is_refused_in_a_line() {
    let sandbox = Sandbox::new();
    for args in [
        &["send", "jobs", "x", "--file", "f"][..],
        &["send", "jobs", "x", "--lines"],
        &["send", "jobs", "--lines", "--null"],
        &["send", "jobs", "--delay", "1s", "--at", "08:00", "x"],
        &["send", "jobs", "--flush", "1s", "x"],
        &["send", "jobs", "-p", "10", "x"],
        &["send", "jobs", "-p", "-1", "x"],
        &["send", "jobs", "--delay", "soon", "x"],
        &["send", "jobs", "--at", "yesterday", "x"],
        &["send", "jobs", "-H", "novalue", "x"],
        &["send", "jobs", "-H", "=x", "x"],
        &["send", "jobs", "-H", "a=1", "-H", "A=2", "x"],
        &["send", "jobs", "-H", "BASH_FUNC_x%%=1", "x"],
        &["send", "jobs", "--size", "1X", "x"],
        &["send", "../jobs/x", "--bogus"],
        &["send", "a b", "x"],
        &["send", "1764000000000000", "x"],
        &["send", "", "x"],
    ] {
        let told = sandbox.mq(args).code(2);
        assert!(told.stderr.starts_with("mq: "), "{args:?}: {}", told.stderr);
        assert_eq!(
            told.stderr.lines().filter(|line| !line.starts_with("hint: ")).count(),
            1,
            "{args:?}: {}",
            told.stderr
        );
        assert!(!sandbox.queue("jobs").exists(), "{args:?} made a queue");
    }
}

#[test]
fn an_unknown_option_gets_the_hint_about_two_dashes() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-x"]).code(2).says("mq send QUEUE -- \"$x\"");
    sandbox.mq(["send", "jobs", "--wat"]).code(2).says("mq send QUEUE -- \"$x\"");
}

#[test]
fn size_publishes_exactly_that_or_nothing() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--size", "4"], "four").ok();
    sandbox.mq_stdin(["send", "jobs", "--size", "1K"], vec![0; 1024]).ok();
    sandbox.mq_stdin(["send", "jobs", "--size", "5"], "four").code(65).says("4 bytes, not 5").prints("");
    sandbox.mq_stdin(["send", "jobs", "--size", "3"], "four").code(65).says("4 bytes, not 3").prints("");
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines().len(), 2);
    assert!(fs::read_dir(sandbox.queue("jobs").join("tmp")).unwrap().next().is_none(), "litter in tmp/");
}

#[test]
fn headers_type_and_priority_are_what_was_said() {
    let sandbox = Sandbox::new();
    let sent = [
        "send",
        "jobs",
        "x",
        "-H",
        "From=cron",
        "-H",
        "trace-id=a=b \"c\" ü",
        "--content-type",
        "text/plain",
        "-p",
        "9",
    ];
    let id = sandbox.mq(sent).ok();
    let found = sandbox.mq(["show", "jobs", id.trim_end(), "--json"]).code(0).json();
    assert_eq!(found[0]["headers"]["From"], "cron");
    assert_eq!(found[0]["headers"]["trace-id"], "a=b \"c\" ü");
    assert_eq!(found[0]["content_type"], "text/plain");
    assert_eq!(found[0]["priority"], 9);
    assert_eq!(found[0]["size_bytes"], 2);
}

#[test]
fn what_is_not_due_is_delayed_and_the_past_means_now() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "later", "--delay", "1h"]).ok();
    sandbox.mq(["send", "jobs", "tomorrow", "--at", "tomorrow 08:00"]).ok();
    sandbox.mq(["send", "jobs", "now", "--at", "@0"]).ok();
    let states: Vec<String> = sandbox.mq(["ls", "jobs"]).code(0).columns().iter().map(|row| row[1].clone()).collect();
    assert_eq!(states, ["ready", "delayed", "delayed"]);
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    assert_eq!(sandbox.mq(["cat", receipt.trim_end()]).ok(), "now\n");
    sandbox.mq(["claim", "jobs"]).code(1);
}

#[test]
fn a_name_makes_its_queue_and_says_so_a_path_does_not() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x"]).code(0).says("created queue 'jobs'");
    sandbox.mq(["send", "jobs", "x"]).code(0).silent();
    sandbox.mq(["send", "jbos", "x"]).code(0).says("did you mean 'jobs'?");
    sandbox.mq(["send", "./spool", "x"]).code(3).says("mq create ./spool");
    sandbox.mq(["create", "./spool"]).code(0).silent();
    sandbox.mq(["send", "./spool", "x"]).ok();
    sandbox.mq_stdin(["send"], "to the default queue").code(0).says("created queue 'default'");
}

#[test]
fn an_id_that_cannot_be_printed_is_told_and_the_message_is_sent() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    for (number, script) in [
        "mq send jobs x >/dev/full",
        "mq send jobs x >&-",
        "mq send jobs x y >/dev/full",
        "seq 3 | mq send jobs --lines --ids >&-",
    ]
    .iter()
    .enumerate()
    {
        sandbox.sh(script).code(74).says("sent, but its id can't be printed");
        let expected = [1, 2, 4, 7][number];
        assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines().len(), expected, "{script}");
    }
}

#[test]
fn the_modes_are_final_whatever_the_umask() {
    let sandbox = Sandbox::new();
    for (umask, mode, dir, file) in
        [("0777", "0700", 0o700, 0o600), ("0000", "0700", 0o700, 0o600), ("0077", "2770", 0o2770, 0o660)]
    {
        sandbox.sh(&format!("umask {umask}; mq create q{umask}{mode} --mode {mode} && mq send q{umask}{mode} x")).ok();
        let queue = sandbox.queue(&format!("q{umask}{mode}"));
        for line in sandbox.tree(&format!("q{umask}{mode}")).lines() {
            let found = fs::metadata(queue.join(line)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, if line.ends_with('/') { dir } else { file }, "{umask} {mode} {line}");
        }
    }
}

#[test]
fn a_sender_that_is_killed_leaves_nothing_that_stays() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    // The body is in the file when the writer says so, and never ends; so the sender is in the middle of it when it is killed.
    let script = "
        mkfifo pipe
        mq send jobs < pipe & sender=$!
        exec 3> pipe
        head -c 300000 /dev/zero >&3
        until [ -n \"$(find root/jobs/tmp -type f -size +100k)\" ]; do :; done
        kill -9 $sender; wait $sender
        find root/jobs/tmp -type f | wc -l
        exec 3>&-
        mq claim jobs
        echo $?
        find root/jobs/tmp root/jobs/damaged -type f | wc -l";
    sandbox.sh(script).code(0).prints("1\n1\n0\n");
    // The same for a batch.
    let script = "
        mq send jobs --lines < pipe & sender=$!
        exec 3> pipe
        seq 100000 >&3 & seq=$!
        until [ -n \"$(find root/jobs/tmp -type f -name '*-4-*' | head -n 1)\" ]; do :; done
        kill -9 $sender $seq; wait $sender
        exec 3>&-
        mq claim jobs
        echo $?
        find root/jobs/tmp root/jobs/damaged -mindepth 1 | wc -l";
    sandbox.sh(script).code(0).prints("1\n0\n");
}

#[test]
fn a_file_size_limit_is_an_error_and_nothing_is_sent() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.sh("ulimit -f 100; head -c 1000000 /dev/zero | mq send jobs").code(75).says("cannot write").prints("");
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).text(), "");
    assert!(fs::read_dir(sandbox.queue("jobs").join("tmp")).unwrap().next().is_none(), "litter in tmp/");
}

#[test]
fn a_large_body_comes_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let mut state = 7_u64;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(5 << 20)
    .collect();
    let id = sandbox.send("jobs", &body);
    assert!(sandbox.mq(["cat", "jobs", &id]).code(0).stdout == body);
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    assert!(sandbox.mq(["cat", receipt.trim_end()]).code(0).stdout == body);
}

#[test]
fn without_a_root_a_path_still_works() {
    let sandbox = Sandbox::new();
    sandbox.sh("unset MQ_ROOT HOME; mq send jobs x").code(2).says("set MQ_ROOT");
    sandbox.sh("unset MQ_ROOT HOME; mq create ./here && mq send ./here x -q").ok();
    sandbox.sh("unset MQ_ROOT; HOME=$PWD/home; mkdir home; mq send jobs x").ok();
    assert!(sandbox.dir().join("home/.local/share/mq/jobs/queue.json").exists());
}
