//! Protections of a worker that show only at one moment, or to a bystander: `tests/mutants` takes them out, one at a time.

use super::{Beside, states, until, written};
use crate::support::sandbox::Sandbox;
use rustix::fs::inotify;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::process::Command;

#[test]
fn a_large_body_that_is_damaged_reaches_no_job() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", vec![b'x'; 3_000_000]);
    let file = sandbox.file_of("jobs", &id);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", "cat >seen"]).code(0).says("damaged");
    assert!(!sandbox.dir().join("seen").exists());
    assert_eq!(states(&sandbox, "jobs"), ["damaged"]);
}

#[test]
fn the_watch_begins_before_the_look() {
    let sandbox = Sandbox::new();
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace here to see the order of system calls with");
        return;
    }
    sandbox.mq(["create", "jobs"]).ok();
    for command in ["work jobs --for 50ms -- true", "claim jobs --wait 50ms", "wait jobs", "pause jobs --wait 0"] {
        let traced = sandbox.sh(&format!("strace -f -o trace -e trace=inotify_add_watch,getdents64 mq {command}"));
        let trace = written(&sandbox, "trace");
        if trace.is_empty() {
            println!("skipped: strace may not trace here: {}", traced.0.stderr);
            return;
        }
        let calls: Vec<&str> =
            trace.lines().filter_map(|line| line.split_once(' ')?.1.split_once('(')).map(|it| it.0).collect();
        let calls: Vec<&str> = calls.into_iter().map(str::trim_start).collect();
        let looks = calls.iter().position(|call| *call == "getdents64").expect("a look");
        assert_eq!(calls[..looks], ["inotify_add_watch", "inotify_add_watch"], "{command}: {calls:?}");
    }
}

#[test]
fn a_look_at_what_others_hold_wakes_nobody() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let script = "echo started >started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done";
    let _worker = Beside::start(&sandbox, &["work", "jobs", "--", "sh", "-c", script]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, sandbox.queue("jobs").join("claimed"), inotify::WatchFlags::CLOSE_WRITE).unwrap();
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["fsck", "jobs", "--repair"]).code(0);
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).code(0);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let event = events.next().map(|event| event.file_name().map(std::ffi::CStr::to_owned));
    assert_eq!(event, Err(Errno::AGAIN));
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("the message is acknowledged", || states(&sandbox, "jobs").is_empty());
}
