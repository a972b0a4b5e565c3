//! Many messages alike, which are sent as a pack: nobody who types a command can tell.

use crate::support::sandbox::Sandbox;
use std::collections::BTreeSet;
use std::fs;

const COUNT: usize = 100;

fn send(sandbox: &Sandbox, flags: &[&str]) -> Vec<String> {
    let lines: String = (0..COUNT).map(|n| format!("{n}\n")).collect();
    let args = ["-q", "send", "jobs", "--lines", "--ids"].iter().chain(flags);
    let ids = sandbox.mq_stdin(args, lines).code(0).lines();
    assert_eq!(packs(sandbox), 1);
    ids
}

fn packs(sandbox: &Sandbox) -> usize {
    sandbox.tree("jobs").lines().filter(|path| path.contains("-n0")).count()
}

fn stat(sandbox: &Sandbox, name: &str) -> u64 {
    sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0][name].as_u64().unwrap()
}

fn whole(sandbox: &Sandbox) {
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    assert!(sandbox.tree("jobs").lines().all(|line| !line.starts_with("tmp/") || line == "tmp/"));
}

#[test]
fn one_of_a_pack_is_shown_and_read_where_it_stands() {
    let sandbox = Sandbox::new();
    let ids = send(&sandbox, &["-p", "6", "-H", "a=1", "--ttl", "1h"]);
    let shown = &sandbox.mq(["show", "jobs", &ids[41], "--json"]).code(0).json()[0];
    assert_eq!(
        (&shown["id"], &shown["state"], &shown["priority"]),
        (&ids[41].as_str().into(), &"ready".into(), &6.into())
    );
    assert_eq!((&shown["headers"]["a"], shown["expires_at"].is_null()), (&"1".into(), false));
    sandbox.mq(["cat", "jobs", &ids[41]]).code(0).prints("41\n");
    assert_eq!((stat(&sandbox, "ready"), stat(&sandbox, "sent_total"), packs(&sandbox)), (100, 100, 1));
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    let uids: BTreeSet<String> = rows.iter().map(|row| row["uid"].to_string()).collect();
    assert_eq!(uids.len(), COUNT);
    // It keeps both when the pack is opened.
    sandbox.mq(["work", "jobs", "-n", "1", "--", "cat"]).code(0).prints("0\n");
    assert_eq!(packs(&sandbox), 0);
    let after = &sandbox.mq(["show", "jobs", &ids[41], "--json"]).code(0).json()[0];
    assert_eq!((&after["uid"], &after["sent_at"]), (&shown["uid"], &shown["sent_at"]));
    whole(&sandbox);
}

#[test]
fn a_pack_for_later_comes_when_it_is_due_and_an_expired_one_does_not() {
    let sandbox = Sandbox::new();
    send(&sandbox, &["--delay", "1h"]);
    assert_eq!((stat(&sandbox, "delayed"), stat(&sandbox, "ready")), (100, 0));
    sandbox.mq(["claim", "jobs"]).code(1);
    let sandbox = Sandbox::new();
    send(&sandbox, &["--delay", "200ms"]);
    sandbox.mq(["work", "jobs", "-q", "-n", "100", "--batch", "100", "--", "wc", "-l"]).code(0).prints("100\n");
    let sandbox = Sandbox::new();
    send(&sandbox, &["--ttl", "1ms"]);
    sandbox.mq(["work", "jobs", "-q", "--drain", "--batch", "100", "--", "cat"]).one_of(&[0, 10]).prints("");
    assert_eq!(stat(&sandbox, "ready"), 0);
    whole(&sandbox);
}

#[test]
fn one_of_a_pack_is_moved_cancelled_or_waited_for() {
    let sandbox = Sandbox::new();
    let ids = send(&sandbox, &[]);
    sandbox.mq(["create", "other"]).ok();
    sandbox.mq(["move", "jobs", "--to", "other", &ids[50]]).code(0);
    sandbox.mq(["cancel", "jobs", &ids[60]]).code(0);
    assert_eq!((stat(&sandbox, "ready"), stat(&sandbox, "dead")), (98, 1));
    sandbox.mq(["work", "other", "--drain", "--", "cat"]).code(0).prints("50\n");
    let script = format!("mq wait jobs {} & mq work jobs -q --drain -- true; wait $!", ids[70]);
    sandbox.sh(&script).code(0);
    whole(&sandbox);
}

#[test]
fn of_a_pack_that_a_batch_had_those_named_fail_and_the_others_are_done() {
    let sandbox = Sandbox::new();
    let ids = send(&sandbox, &[]);
    let script = format!("cat >/dev/null; echo {} >&3; echo {} >&3", ids[3], ids[97]);
    let args = ["work", "jobs", "-q", "-n", "100", "--batch", "100", "--frame", "jsonl", "--", "sh", "-c", &script];
    sandbox.mq(args).one_of(&[0, 10]);
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let left: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(left, BTreeSet::from([ids[3].as_str(), ids[97].as_str()]));
    for row in &rows {
        assert_eq!((&row["attempts"], row["history"].as_array().unwrap().len()), (&1.into(), 1));
    }
    assert_eq!(stat(&sandbox, "acked_total"), 98);
    whole(&sandbox);
}

#[test]
fn a_pack_whose_worker_was_killed_comes_back_whole_with_its_attempt_counted() {
    let sandbox = Sandbox::new();
    let ids = send(&sandbox, &[]);
    sandbox.sh("mq work jobs --batch 100 -- sh -c 'kill -9 $PPID' 2>/dev/null; mq fsck jobs --repair").code(0);
    assert_eq!((packs(&sandbox), stat(&sandbox, "ready")), (1, 100));
    let row = &sandbox.mq(["show", "jobs", &ids[99], "--json"]).code(0).json()[0];
    assert_eq!((&row["attempts"], &row["history"][0]["outcome"]), (&1.into(), &"lost".into()));
    sandbox.mq(["work", "jobs", "-q", "--drain", "--batch", "100", "--", "wc", "-l"]).code(0).prints("100\n");
    whole(&sandbox);
}

#[test]
fn a_queue_that_counts_or_keeps_its_messages_takes_each_out_of_its_pack() {
    for (key, value) in [("max_in_flight", "10"), ("rate", "10000/s"), ("retain", "1h")] {
        let sandbox = Sandbox::new();
        send(&sandbox, &[]);
        sandbox.mq(["config", "jobs", key, value]).ok();
        let script = "mq work jobs -q --drain --batch 50 -- cat";
        let printed = sandbox.sh(script).ok();
        assert_eq!(printed.lines().count(), COUNT, "{key}");
        assert_eq!((stat(&sandbox, "ready"), packs(&sandbox)), (0, 0));
        if key == "retain" {
            assert_eq!(stat(&sandbox, "done"), 100);
            sandbox.mq(["replay", "jobs", "--all"]).code(0);
            assert_eq!(stat(&sandbox, "ready"), 100);
        }
        whole(&sandbox);
    }
}

#[test]
fn a_queue_that_gets_a_limit_drops_the_oldest_out_of_its_packs() {
    let sandbox = Sandbox::new();
    let lines: String = (0..2500).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], lines).code(0);
    sandbox.mq(["config", "jobs", "max_messages", "3", "on_full", "drop"]).one_of(&[0, 2]);
    sandbox.mq(["config", "jobs", "max_messages", "3"]).ok();
    sandbox.mq(["config", "jobs", "on_full", "drop"]).ok();
    sandbox.mq(["send", "jobs", "new"]).ok();
    let bodies = sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).ok();
    assert_eq!(bodies, "2498\n2499\nnew\n");
    whole(&sandbox);
}

#[test]
fn what_only_has_the_name_of_a_pack_is_left_alone() {
    let sandbox = Sandbox::new();
    send(&sandbox, &[]);
    let top = sandbox.queue("jobs").join("ready/4");
    let name = |n: u32| format!("000000000000000{n}-000000000000000{n}-4-00000-n000002");
    fs::create_dir(top.join(name(1))).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", top.join(name(2))).unwrap();
    sandbox.sh(&format!("mkfifo {}", top.join(name(3)).display())).ok();
    let printed = sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).ok();
    assert_eq!(printed.lines().count(), COUNT);
    sandbox.mq(["fsck", "jobs"]).code(65);
    assert!((1..4).all(|n| top.join(name(n)).symlink_metadata().is_ok()));
}

#[test]
fn a_pack_with_a_second_name_is_left_alone() {
    let sandbox = Sandbox::new();
    let ids = send(&sandbox, &[]);
    sandbox.send("jobs", "after");
    let pack = sandbox.tree("jobs").lines().find(|path| path.contains("-n0")).unwrap().to_string();
    fs::hard_link(sandbox.queue("jobs").join(&pack), sandbox.dir().join("backup")).unwrap();
    sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).code(0).prints("after");
    sandbox.mq(["work", "jobs", "-q", "--drain", "--batch", "100", "--", "cat"]).code(0).prints("");
    sandbox.mq(["rm", "jobs", &ids[3]]).one_of(&[65, 74]).says("one name");
    sandbox.mq(["fsck", "jobs"]).code(65);
    fs::remove_file(sandbox.dir().join("backup")).unwrap();
    assert_eq!(sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).ok().lines().count(), COUNT);
}
