//! What a send costs, counted by strace(1): one flush, and few other system calls.

use crate::docs::mdoc::Page;
use crate::support::sandbox::Sandbox;
use std::process::Command;

/// The names of the calls that a command makes once its queue is open, in order.
fn calls_of(sandbox: &Sandbox, command: &str) -> Option<Vec<String>> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace here to count system calls with");
        return None;
    }
    let traced = sandbox.sh(&format!("strace -f -o trace {command}"));
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
    let not_ours = ["brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "sigaltstack", "exit_group"];
    let mut all: Vec<String> = calls.filter(|call| !not_ours.contains(&call.as_str())).collect();
    if cfg!(debug_assertions) {
        // Rust's library asks fcntl(2) before each close(2) whether the descriptor is open; a release does not.
        let checks: Vec<bool> = all.windows(2).map(|pair| pair[0] == "fcntl" && pair[1] == "close").collect();
        let mut check = checks.into_iter();
        all.retain(|_| !check.next().unwrap_or(false));
    }
    // Start-up is over with the settings: the first close after the umask was cleared.
    let begins = all.iter().position(|call| call == "umask").unwrap();
    let opened = begins + all[begins..].iter().position(|call| call == "close").unwrap() + 1;
    Some(all[opened..].to_vec())
}

fn calls_of_a_send(sandbox: &Sandbox) -> Option<Vec<String>> {
    let calls = calls_of(sandbox, "mq send jobs x")?;
    let printed = calls.iter().rposition(|call| call == "write").unwrap();
    Some(calls[..=printed].to_vec())
}

/// `man/mq.5` lists them, so that nobody adds one without saying so.
#[test]
fn the_manual_lists_the_calls_of_a_command() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "first");
    let table = Page::read("mq.5").table("command");
    let listed = |command: &str| {
        let row = table.iter().find(|row| row[0] == command).unwrap_or_else(|| panic!("no {command}"));
        // `getdents64 x2` is one line for two calls.
        let mut calls: Vec<String> = Vec::new();
        for word in row[1].replace(',', "").split_whitespace() {
            match word.strip_prefix('x').and_then(|times| times.parse::<usize>().ok()) {
                Some(times) => calls.extend(vec![calls.last().unwrap().clone(); times - 1]),
                None => calls.push(word.to_string()),
            }
        }
        calls
    };
    let Some(send) = calls_of(&sandbox, "mq send jobs second") else { return };
    assert_eq!(send, listed("send"), "send: {}", send.join(" "));
    let claim = calls_of(&sandbox, "mq claim jobs > receipt").unwrap();
    assert_eq!(claim, listed("claim"), "claim: {}", claim.join(" "));
    let ack = calls_of(&sandbox, "mq ack $(cat receipt)").unwrap();
    assert_eq!(ack, listed("ack"), "ack: {}", ack.join(" "));
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
