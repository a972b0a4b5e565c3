//! What a queue does not take, and how it says so.

use crate::support::sandbox::Sandbox;
use std::process::Stdio;

fn limited(settings: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.mq([&["create", "jobs"], settings].concat()).ok();
    sandbox
}

fn bodies(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    rows.iter().map(|row| row["body"].as_str().unwrap().trim_end().to_string()).collect()
}

fn stats(sandbox: &Sandbox, field: &str) -> u64 {
    sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0][field].as_u64().unwrap()
}

fn nothing_is_left_behind(sandbox: &Sandbox) {
    let tree = sandbox.tree("jobs");
    assert!(tree.lines().all(|line| !line.starts_with("tmp/") || line == "tmp/"), "{tree}");
    sandbox.mq(["fsck", "jobs"]).code(0);
}

#[test]
fn a_body_that_is_too_large_is_refused_whole() {
    let sandbox = limited(&["--max-body", "1K"]);
    let large = vec![b'x'; 1025];
    sandbox.mq_stdin(["send", "jobs"], &large).code(5).says("max_body").says("1024").says("hint: mq config");
    sandbox.mq_stdin(["send", "jobs"], &large[1..]).ok();
    for end in [&b""[..], b"\n", b"\nsmall\n"] {
        let lines = [b"small\n", &large[..], end].concat();
        sandbox.mq_stdin(["send", "jobs", "--lines"], lines).code(5).says("max_body");
    }
    sandbox.mq(["send", "jobs", "a", std::str::from_utf8(&large).unwrap()]).code(5);
    assert_eq!(stats(&sandbox, "ready"), 1);
    nothing_is_left_behind(&sandbox);
}

#[test]
fn a_full_queue_refuses_until_there_is_room() {
    let sandbox = limited(&["--max-messages", "2"]);
    sandbox.send("jobs", "1");
    sandbox.mq(["send", "jobs", "later", "--delay", "1h"]).ok();
    sandbox.mq(["send", "jobs", "3"]).code(5).says("full").says("max_messages is 2").says("hint: mq config");
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    // In hand is not gone.
    sandbox.mq(["send", "jobs", "3"]).code(5);
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    // Where counting took long, by a loaded machine, the count stands for a while: so it may wait.
    sandbox.mq(["send", "jobs", "3", "--block", "1m"]).ok();
    sandbox.mq(["send", "jobs", "4"]).code(5);
    sandbox.mq(["config", "jobs", "max_messages", "3"]).ok();
    sandbox.mq(["send", "jobs", "4"]).ok();
    sandbox.mq(["config", "jobs", "--unset", "max_messages"]).ok();
    sandbox.mq(["send", "jobs", "5"]).ok();
    nothing_is_left_behind(&sandbox);
}

#[test]
fn a_batch_counts_whole() {
    let sandbox = limited(&["--max-messages", "3"]);
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n4\n").code(5).says("4 at once").says("never fit");
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n").ok();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "3\n4\n").code(5).says("full");
    assert_eq!(bodies(&sandbox), ["1", "2"]);
    sandbox.mq_stdin(["send", "jobs", "--lines"], "3\n").ok();
    nothing_is_left_behind(&sandbox);
}

#[test]
fn bytes_are_those_of_the_files() {
    let sandbox = limited(&["--max-bytes", "8K"]);
    let body = vec![b'x'; 3000];
    sandbox.mq_stdin(["send", "jobs"], &body).ok();
    sandbox.mq_stdin(["send", "jobs"], &body).ok();
    sandbox.mq_stdin(["send", "jobs"], &body).code(5).says("max_bytes is 8192");
    sandbox.mq_stdin(["send", "jobs"], vec![b'x'; 8192]).code(5).says("never fit");
    sandbox.mq_stdin(["send", "jobs"], &body[..500]).ok();
    sandbox.mq(["rm", "jobs", "--all", "-n", "1"]).ok();
    sandbox.mq_stdin(["send", "jobs", "--block", "1m"], &body).ok();
    // Another limit, under which bytes were not counted.
    sandbox.mq(["config", "jobs", "max_messages", "100"]).ok();
    sandbox.mq(["config", "jobs", "max_bytes", "none"]).ok();
    sandbox.mq_stdin(["send", "jobs"], &body).ok();
    sandbox.mq(["config", "jobs", "max_bytes", "10K"]).ok();
    sandbox.mq_stdin(["send", "jobs"], &body).code(5).says("max_bytes");
}

#[test]
fn what_comes_back_is_not_refused_and_counts() {
    let sandbox = limited(&["--max-messages", "1"]);
    sandbox.send_dead("jobs", "dead", "why");
    sandbox.mq(["send", "jobs", "1", "--block", "1m"]).ok();
    sandbox.mq(["dlq", "redrive", "jobs", "--all"]).ok();
    sandbox.mq(["send", "jobs", "2"]).code(5);
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    sandbox.mq(["send", "jobs", "2"]).code(5);
}

#[test]
fn a_blocked_send_waits_for_room() {
    let sandbox = limited(&["--max-messages", "1", "--on-full", "block"]);
    sandbox.send("jobs", "1");
    sandbox.mq(["send", "jobs", "2", "--block", "50ms"]).code(5).says("--block");
    let mut blocked = sandbox.command(["send", "jobs", "2"]);
    let mut blocked = blocked.stdout(Stdio::piped()).spawn().unwrap();
    assert!(blocked.try_wait().unwrap().is_none());
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    assert!(blocked.wait().unwrap().success());
    assert_eq!(bodies(&sandbox), ["2"]);
}

#[test]
fn a_send_that_is_killed_while_it_waits_was_never_sent() {
    let sandbox = limited(&["--max-messages", "1", "--on-full", "block"]);
    sandbox.send("jobs", "1");
    let mut blocked = sandbox.command(["send", "jobs", "2"]).stdout(Stdio::null()).spawn().unwrap();
    while !sandbox.tree("jobs").lines().any(|line| line.starts_with("tmp/") && line != "tmp/") {
        std::thread::yield_now();
    }
    blocked.kill().unwrap();
    blocked.wait().unwrap();
    sandbox.mq(["fsck", "jobs", "--repair"]).one_of(&[0, 65]);
    assert_eq!(bodies(&sandbox), ["1"]);
    nothing_is_left_behind(&sandbox);
}

#[test]
fn a_blocked_send_sees_a_limit_that_is_raised() {
    let sandbox = limited(&["--max-messages", "1"]);
    sandbox.send("jobs", "1");
    let mut blocked = sandbox.command(["send", "jobs", "2", "--block", "1m"]).stdout(Stdio::null()).spawn().unwrap();
    sandbox.mq(["config", "jobs", "max_messages", "2"]).ok();
    assert!(blocked.wait().unwrap().success());
}

#[test]
fn a_queue_may_drop_its_oldest_of_the_lowest_priority() {
    let sandbox = limited(&["--max-messages", "3", "--on-full", "drop"]);
    sandbox.mq(["send", "jobs", "-p", "9", "urgent"]).ok();
    for body in ["1", "2", "3", "4"] {
        sandbox.mq(["send", "jobs", body]).ok();
    }
    assert_eq!(bodies(&sandbox), ["urgent", "3", "4"]);
    sandbox.mq_stdin(["send", "jobs", "--lines"], "5\n6\n").ok();
    assert_eq!(bodies(&sandbox), ["urgent", "5", "6"]);
    assert_eq!(["dropped_total", "acked_total", "sent_total"].map(|name| stats(&sandbox, name)), [4, 0, 7]);
    // What is in hand is not dropped, and where nothing can be, nothing is taken.
    sandbox.mq(["claim", "jobs", "-n", "3"]).ok();
    sandbox.mq(["send", "jobs", "7"]).code(5);
    sandbox.mq_stdin(["send", "jobs", "--lines"], "5\n6\n7\n8\n").code(5).says("never fit");
}

/// A message with a second name elsewhere is left to whoever made that.
#[test]
fn what_is_linked_elsewhere_is_not_dropped() {
    let sandbox = limited(&["--max-messages", "2", "--on-full", "drop"]);
    let first = sandbox.send("jobs", "1");
    sandbox.send("jobs", "2");
    std::fs::hard_link(sandbox.file_of("jobs", &first), sandbox.dir().join("elsewhere")).unwrap();
    sandbox.mq(["send", "jobs", "3"]).ok();
    assert!(sandbox.file_of("jobs", &first).exists());
    assert_eq!(stats(&sandbox, "ready"), 2);
}

/// However many send at once, the queue never holds more than it may.
#[test]
fn a_storm_of_senders_fills_a_queue_to_its_limit() {
    let sandbox = limited(&["--max-messages", "10", "--sync", "none"]);
    let script = "for i in $(seq 8); do (for n in $(seq 5); do mq send jobs $n -q; done) & done; wait";
    sandbox.sh(script).0.code.unwrap();
    assert_eq!(stats(&sandbox, "ready"), 10);
    assert_eq!(stats(&sandbox, "sent_total"), 10);
    nothing_is_left_behind(&sandbox);
}

#[test]
fn what_is_free_on_the_disk_is_not_all_for_sends() {
    let sandbox = limited(&["--min-free", "1000T"]);
    sandbox.mq(["send", "jobs", "x"]).code(5).says("min_free").says("hint: mq config");
    sandbox.mq(["send", "jobs", "x", "y"]).code(5);
    sandbox.mq(["config", "jobs", "min_free", "1,0"]).ok();
    sandbox.mq(["send", "jobs", "x"]).ok();
    nothing_is_left_behind(&sandbox);
}

/// A file system of 4 MiB and 200 files, as long as this lives.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(sandbox: &Sandbox) -> Option<Small> {
        let at = sandbox.dir().join("small");
        std::fs::create_dir(&at).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "none"];
        let mounted = std::process::Command::new("mount").args(mount).arg(&at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(at));
        }
        println!("skipped: no small file system can be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Sends until it is refused, by bytes or by files, and settles all that is there in every way.
#[test]
fn on_a_full_disk_all_that_was_sent_can_be_settled() {
    let sandbox = Sandbox::new();
    let Some(small) = Small::mount(&sandbox) else { return };
    for (queue, size) in [("few", 300_000), ("many", 10)] {
        let path = small.0.join(queue);
        let path = path.to_str().unwrap();
        sandbox.mq(["create", path, "--min-free", "1M,60"]).ok();
        let mut sent = 0;
        loop {
            let told = sandbox.mq_stdin(["send", path, "-q"], vec![b'x'; size]).one_of(&[0, 5]);
            if told.code == Some(5) {
                told.says("min_free");
                break;
            }
            sent += 1;
        }
        assert!(sent >= 6, "{sent}");
        // A batch of more than there is room for stops at the same place.
        let batch = "x".repeat(3000) + "\n";
        sandbox.mq_stdin(["send", path, "--lines"], batch.repeat(1000)).code(5).says("min_free");
        let ways = "
            n=0
            while receipt=$(mq claim $1); do
                n=$((n+1))
                case $((n % 3)) in
                    0) mq ack \"$receipt\" ;;
                    1) mq dead \"$receipt\" --reason why ;;
                    2) mq nack \"$receipt\" --delay 1h --reason later ;;
                esac || exit 1
            done
            echo $n";
        let settled = sandbox.sh(&format!("set -- '{path}'\n{ways}")).ok();
        assert_eq!(settled.trim_end(), sent.to_string());
        let outcomes = sandbox.mq(["ls", path, "--json", "--full"]).code(0).json();
        assert!(outcomes.iter().all(|row| row["history"].as_array().is_some_and(|history| history.len() == 1)));
        sandbox.mq(["fsck", path]).code(0);
        sandbox.mq(["rm", path, "--all", "-q"]).ok();
    }
}
