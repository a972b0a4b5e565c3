//! `mq rm`.

use super::select::zoo;
use crate::support::sandbox::Sandbox;

#[test]
fn it_needs_to_be_told_which() {
    let zoo = zoo();
    let before = zoo.sandbox.tree("zoo");
    for command in
        [&["rm", "zoo"][..], &["purge", "zoo", "--dry-run"], &["dlq", "purge", "zoo"], &["dlq", "redrive", "zoo"]]
    {
        zoo.sandbox.mq(command).code(2).says("which messages?").says("--all").prints("");
    }
    zoo.sandbox.mq(["rm"]).code(2);
    assert_eq!(zoo.sandbox.tree("zoo"), before);
}

#[test]
fn all_is_everything_that_nobody_holds() {
    let zoo = zoo();
    let dry = zoo.sandbox.mq(["rm", "zoo", "--all", "--dry-run"]).code(0);
    let before = zoo.sandbox.tree("zoo");
    let dry_again = zoo.sandbox.mq(["rm", "zoo", "--all", "--dry-run"]).code(0);
    assert_eq!(zoo.sandbox.tree("zoo"), before);
    let real = zoo.sandbox.mq(["rm", "zoo", "--all"]).code(0);
    assert_eq!((&dry.stdout, &dry.stderr), (&real.stdout, &real.stderr));
    assert_eq!(dry.stdout, dry_again.stdout);
    assert_eq!(real.lines(), [&zoo.ready, &zoo.delayed, &zoo.dead, &zoo.damaged].map(String::as_str));
    real.says("1 claimed message is left to its holder");
    assert_eq!(zoo.sandbox.mq(["ls", "zoo", "--ids"]).code(0).lines(), [zoo.claimed.as_str()]);
    zoo.sandbox.mq(["rm", "zoo", "--all"]).code(1);
    zoo.sandbox.mq(["ack", &zoo.receipt]).ok();
    zoo.sandbox.mq(["fsck", "zoo"]).code(0).prints("");
}

#[test]
fn a_claimed_message_is_refused_and_the_others_go() {
    let zoo = zoo();
    for mode in [&["--dry-run"][..], &[]] {
        let args = [&["rm", "zoo", zoo.claimed.as_str(), zoo.ready.as_str()], mode].concat();
        let ran = zoo.sandbox.mq(args).code(75).says(&zoo.claimed).says("held").says("--state claimed");
        assert_eq!(ran.lines(), [zoo.ready.as_str()]);
    }
    zoo.sandbox.mq(["rm", "zoo", "--state", "claimed"]).code(75).says("held").prints("");
    zoo.sandbox.mq(["ack", &zoo.receipt]).ok();
}

#[test]
fn the_holder_of_a_live_claim_is_named() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    // The job goes on until its stdin, a pipe that this test holds, ends.
    let mut work =
        sandbox.command(["work", "jobs", "--drain", "--arg", "--", "sh", "-c", "echo > started; read x < gate", "sh"]);
    sandbox.sh("mkfifo gate").ok();
    let mut worker = work.spawn().unwrap();
    while !sandbox.dir().join("started").exists() {
        assert!(worker.try_wait().unwrap().is_none(), "the worker has ended");
        std::thread::yield_now();
    }
    let pid = worker.id().to_string();
    let held = sandbox.mq(["ls", "jobs", "--json"]).code(0).json()[0]["held_by"].clone();
    assert_eq!(held["pid"].to_string(), pid);
    let host = held["host"].as_str().unwrap().to_string();
    assert_eq!(sandbox.mq(["ls", "jobs"]).code(0).columns()[0][8], format!("{pid}@{host}"));
    sandbox.mq(["rm", "jobs", &id]).code(75).says(&format!("held by process {pid}"));
    sandbox.mq(["rm", "jobs", &id, "--dry-run"]).code(75).says(&format!("held by process {pid}"));
    sandbox.sh("echo go > gate").ok();
    assert!(worker.wait().unwrap().success());
    sandbox.mq(["rm", "jobs", &id]).code(3);
}

#[test]
fn many_leave_no_empty_directories() {
    let sandbox = Sandbox::new();
    // With one header and another, so that they are no packs.
    let lines: String = (0..3_000).map(|n| format!("{{\"body\":\"\",\"headers\":{{\"n\":\"{n}\"}}}}\n")).collect();
    sandbox.mq_stdin(["-q", "send", "jobs", "--jsonl"], lines).ok();
    let buckets =
        || sandbox.tree("jobs").lines().filter(|path| path.starts_with("ready/4/1") && path.ends_with('/')).count();
    assert!(buckets() >= 3);
    assert_eq!(sandbox.mq(["rm", "jobs", "--all"]).code(0).silent().lines().len(), 3_000);
    assert_eq!(buckets(), 1, "the newest stays");
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn what_was_deleted_is_said_to_be_even_where_it_cannot_be_printed() {
    let sandbox = Sandbox::new();
    let lines: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], &lines).ok();
    let ran = sandbox.sh("mq rm jobs --all > /dev/full").code(74);
    ran.says("5000 messages deleted, but not all ids were printed").prints("").says("No space left");
    sandbox.mq(["ls", "jobs"]).code(0).prints("");
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], &lines).ok();
    sandbox.sh("mq rm jobs --all | true; exit ${PIPESTATUS[0]}").code(74).says("5000 messages deleted");
}

#[test]
fn damaged_messages_go_with_their_reasons() {
    let zoo = zoo();
    assert!(zoo.sandbox.tree("zoo").contains(".why"));
    zoo.sandbox.mq(["rm", "zoo", &zoo.damaged]).code(0).prints(&format!("{}\n", zoo.damaged));
    assert!(!zoo.sandbox.tree("zoo").contains(".why"));
}

#[test]
fn some_of_a_pack_go_together_and_the_others_stay_where_they_are_in_order() {
    let sandbox = Sandbox::new();
    let lines: String = (0..3_000).map(|n| format!("{n}\n")).collect();
    let ids = sandbox.mq_stdin(["-q", "send", "jobs", "--lines", "--ids"], lines).code(0).lines();
    let middle = ids[100..1_500].join("\n");
    assert_eq!(sandbox.mq_stdin(["rm", "jobs", "-"], middle).code(0).silent().lines(), ids[100..1_500]);
    assert_eq!(sandbox.mq(["rm", "jobs", &ids[2_999]]).code(0).lines(), ids[2_999..]);
    sandbox.mq(["rm", "jobs", &ids[200]]).code(3);
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines(), [&ids[..100], &ids[1_500..2_999]].concat());
    // One of those that stayed, every second, and the rest at once.
    let second: Vec<String> = ids[..100].iter().step_by(2).cloned().collect();
    sandbox.mq_stdin(["rm", "jobs", "-"], second.join("\n")).code(0).silent();
    let stats = &sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0];
    assert_eq!((&stats["ready"], &stats["acked_total"]), (&1_549.into(), &0.into()));
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    assert_eq!(sandbox.mq(["rm", "jobs", "--all"]).code(0).silent().lines().len(), 1_549);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    sandbox.mq(["rm", "jobs", "--all"]).code(1);
}
