//! Too few descriptors, or the usual three closed: no file of a queue takes their place, and no error is "nothing there".

use crate::support::program;
use crate::support::sandbox::{Ran, Sandbox, explains};
use rustix::io::Errno;
use std::process::Command;

/// What each of these leaves in the queue is the same in the end.
const COMMANDS: &str = "
    send jobs --delay 1w later
    claim jobs --lease 1ms
    ls jobs --full
    show jobs
    stats jobs
    config jobs lease 5m
    pause jobs
    resume jobs
    work jobs -n 1 -- sh -c 'cat;echo${IFS}noise>&2;exit${IFS}1'
    fsck jobs --repair";

#[test]
fn a_closed_standard_descriptor_is_never_a_file_of_the_queue() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let sandbox = Sandbox::new();
        sandbox.mq(["create", "jobs", "--backoff", "1ms"]).ok();
        sandbox.mq(["send", "jobs", "-q", "one", "two"]).ok();
        for words in COMMANDS.trim().lines() {
            sandbox.sh(&format!("mq {} {closed}", words.trim())).one_of(&[0, 1, 74]);
        }
        sandbox.mq(["rm", "jobs", "--all", "--state", "delayed", "--match", "later"]).one_of(&[0, 1]);
        // What a worker has in their places is nothing of the queue's.
        if cfg!(target_os = "linux") {
            let places = "readlink /proc/$PPID/fd/0 /proc/$PPID/fd/1 /proc/$PPID/fd/2 > places; exit 1";
            sandbox.sh(&format!("mq work jobs -n 1 -- sh -c '{places}' {closed}")).one_of(&[0, 1, 74]);
            let places = std::fs::read_to_string(sandbox.dir().join("places")).unwrap();
            assert_eq!(places.lines().count(), 3, "{closed}: {places}");
            assert!(!places.contains("jobs"), "{closed}: {places}");
        }
        // Whatever a command had to say, or its job, nothing of it stands in a message, or in a control file.
        sandbox.mq(["fsck", "jobs"]).code(0).prints("");
        let mut came = sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).code(0).lines();
        came.sort();
        assert_eq!(came, ["one", "two"], "with {closed}");
    }
}

#[test]
fn with_few_descriptors_a_command_works_or_says_so() {
    let sandbox = Sandbox::new();
    for few in 4..=16 {
        sandbox.mq(["send", "jobs", "-q", "x"]).ok();
        let limited = |words: &str| {
            let told = sandbox.sh(&format!("ulimit -n {few}; exec mq {words}")).one_of(&[0, 74]);
            let failed = told.code == Some(74);
            assert!(!failed || explains(&told.stderr, Errno::MFILE), "{few}, mq {words}: {}", told.stderr);
            (!failed).then(|| told.text().trim_end().to_string())
        };
        let receipt = limited("claim jobs").unwrap_or_else(|| sandbox.mq(["claim", "jobs"]).ok().trim_end().into());
        if limited(&format!("nack {receipt} --delay 0")).is_none() {
            sandbox.mq(["nack", &receipt, "--delay", "0"]).ok();
        }
        limited("ls jobs");
        limited("send jobs -q --delay 1w later");
        if limited("work jobs -q --drain=ready -- grep x").is_none() {
            sandbox.mq(["work", "jobs", "-q", "--drain=ready", "--", "grep", "x"]).code(0).prints("x\n");
        }
        sandbox.mq(["ls", "jobs", "--state", "ready,claimed"]).code(1).prints("");
    }
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn where_nothing_can_be_watched_a_wait_ends_all_the_same() {
    let sandbox = Sandbox::new();
    let traced = |inject: &str, words: &str| {
        let mut strace = sandbox.another("strace");
        strace.args(["-qqq", "-o", "/dev/null", "-e", inject, program()]).args(words.split(' '));
        Ran::from(strace.output().unwrap())
    };
    if Command::new("strace").arg("-V").output().is_err() || traced("trace=none", "--version").0.code != Some(0) {
        println!("skipped: strace is not here, or may not trace, to fail a watch with");
        return;
    }
    for inject in ["inotify_init1:error=EMFILE", "inotify_init1:error=ENFILE", "inotify_add_watch:error=ENOSPC"] {
        sandbox.mq(["send", "jobs", "-q", "--delay", "50ms", "x"]).ok();
        traced(&format!("inject={inject}"), "claim jobs --wait 20s").code(0).silent();
    }
}
