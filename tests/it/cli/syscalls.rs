//! What a send costs, counted by strace(1): one flush, and few other system calls.

use crate::support::sandbox::Sandbox;
use std::process::Command;

/// The names of the calls that a durable send makes once its queue is open, in order.
fn calls_of_a_send(sandbox: &Sandbox) -> Option<Vec<String>> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace here to count system calls with");
        return None;
    }
    let traced = sandbox.sh("strace -f -o trace mq send jobs x");
    if traced.0.code != Some(0) {
        println!("skipped: strace may not trace here: {}", traced.0.stderr);
        return None;
    }
    let trace = std::fs::read_to_string(sandbox.dir().join("trace")).unwrap();
    let calls = trace.lines().filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let call = call.trim_start();
        Some(call.split_once('(')?.0.to_string())
    });
    let of_memory = ["brk", "mmap", "munmap", "mprotect", "mremap", "madvise"];
    let mut all: Vec<String> = calls.filter(|call| !of_memory.contains(&call.as_str())).collect();
    if cfg!(debug_assertions) {
        // Rust's library asks fcntl(2) before each close(2) whether the descriptor is open; a release does not.
        let checks: Vec<bool> = all.windows(2).map(|pair| pair[0] == "fcntl" && pair[1] == "close").collect();
        let mut check = checks.into_iter();
        all.retain(|_| !check.next().unwrap_or(false));
    }
    // Start-up is over with the settings: the last pread64 before the temporary file, and the close after it.
    let begins = all.iter().position(|call| call == "umask").unwrap();
    let opened = begins + all[begins..].iter().position(|call| call == "close").unwrap() + 1;
    let printed = all.iter().rposition(|call| call == "write").unwrap();
    Some(all[opened..=printed].to_vec())
}

#[test]
fn a_durable_send_is_one_flush_and_at_most_twenty_five_calls() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "the bucket is there");
    let Some(calls) = calls_of_a_send(&sandbox) else { return };
    let flushes: Vec<&String> = calls.iter().filter(|call| call.contains("sync")).collect();
    assert_eq!(flushes, ["fsync"], "{calls:?}");
    assert!(calls.len() <= 25, "{} calls: {calls:?}", calls.len());
    let at = |name: &str| calls.iter().position(|call| call == name).unwrap();
    assert!(at("fsync") < at("renameat2"), "published before it was durable: {calls:?}");
    assert!(at("renameat2") < at("utimensat"), "the wake-up came before there was anything: {calls:?}");
}
