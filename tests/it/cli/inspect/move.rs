//! `mq move`.

use super::select::zoo;
use crate::support::sandbox::Sandbox;
use serde_json::Value;

fn object(sandbox: &Sandbox, queue: &str, at: usize) -> Value {
    sandbox.mq(["ls", queue, "--full"]).code(0).json().remove(at)
}

#[test]
fn all_is_what_is_ready_or_delayed_in_the_order_of_delivery() {
    let zoo = zoo();
    let urgent = zoo.sandbox.mq(["send", "zoo", "-p", "9", "urgent"]).ok().trim().to_string();
    let before = zoo.sandbox.mq(["ls", "zoo", "--full"]).one_of(&[0, 65]).json();
    let dry = zoo.sandbox.mq(["move", "zoo", "--all", "--to", "farm", "--dry-run"]).code(0);
    assert!(!zoo.sandbox.queue("farm").exists());
    let real = zoo.sandbox.mq(["move", "zoo", "--all", "--to", "farm"]).code(0).says("created queue 'farm'");
    assert_eq!(dry.stdout, real.stdout);
    assert_eq!(real.lines(), [&urgent, &zoo.ready, &zoo.delayed].map(String::as_str));
    let after = zoo.sandbox.mq(["ls", "farm", "--full"]).code(0).json();
    for (at, id) in [&urgent, &zoo.ready, &zoo.delayed].into_iter().enumerate() {
        let old = before.iter().find(|old| old["id"] == **id).unwrap();
        for same in ["uid", "state", "priority", "due_at", "headers", "body", "attempts", "sent_at"] {
            assert_eq!(after[at][same], old[same], "{same}");
        }
        assert!(after[at]["id"].as_str().unwrap() > id.as_str());
    }
    zoo.sandbox.mq(["move", "zoo", "--all", "--to", "farm"]).code(1).silent().prints("");
    zoo.sandbox.mq(["ack", &zoo.receipt]).ok();
    zoo.sandbox.mq(["fsck", "farm"]).code(0).prints("");
    let stats = zoo.sandbox.mq(["stats", "zoo", "farm", "--json"]).code(0).json();
    assert_eq!((&stats[0]["acked_total"], &stats[1]["sent_total"]), (&1.into(), &3.into()));
}

#[test]
fn what_has_failed_begins_anew_and_keeps_its_story() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x"]).ok();
    let fail = |queue: &str, delay: &str| {
        let receipt = sandbox.mq(["claim", queue]).ok();
        sandbox.mq(["nack", receipt.trim(), "--delay", delay, "--reason", queue]).ok();
    };
    fail("jobs", "1h");
    let due = object(&sandbox, "jobs", 0)["due_at"].clone();
    sandbox.mq(["move", "jobs", "--all", "--to", "slow"]).code(0);
    let moved = object(&sandbox, "slow", 0);
    assert_eq!((&moved["attempts"], &moved["due_at"], &moved["state"]), (&0.into(), &due, &"delayed".into()));
    assert_eq!((&moved["reason"], &moved["redrives"]), (&"jobs".into(), &Value::Null));
    sandbox.mq(["send", "slow", "y"]).ok();
    let id = sandbox.send_dead("slow", "z", "slow");
    // A dead one is ready there, and its redrive is counted.
    sandbox.mq(["move", "slow", &id, "--to", "jobs"]).code(0);
    let moved = object(&sandbox, "jobs", 0);
    assert_eq!((&moved["state"], &moved["attempts"], &moved["redrives"]), (&"ready".into(), &0.into(), &1.into()));
    // A first attempt here is told beside the first attempt there.
    sandbox.mq(["send", "one", "x"]).ok();
    fail("one", "0");
    sandbox.mq(["move", "one", "--all", "--to", "two"]).code(0);
    fail("two", "0");
    let moved = object(&sandbox, "two", 0);
    let told: Vec<_> = moved["history"].as_array().unwrap().iter().map(|it| (&it["attempt"], &it["from"])).collect();
    let nothing = Value::Null;
    assert_eq!(told, [(&1.into(), &nothing), (&nothing, &"one".into()), (&1.into(), &nothing)]);
}

#[test]
fn what_is_held_damaged_or_done_stays() {
    let zoo = zoo();
    for mode in [&["--dry-run"][..], &[]] {
        let args = [&["move", "zoo", &zoo.claimed, &zoo.damaged, &zoo.ready, "--to", "farm"], mode].concat();
        let ran = zoo.sandbox.mq(args).code(75).says(&zoo.claimed).says("held").says("damaged message is not moved");
        assert_eq!(ran.lines(), [zoo.ready.as_str()]);
    }
    zoo.sandbox.mq(["move", "zoo", "--state", "claimed", "--to", "farm"]).code(75).says("held").prints("");
    zoo.sandbox.mq(["move", "zoo", "--state", "damaged", "--to", "farm"]).code(2).says("not moved");
    zoo.sandbox.mq(["move", "zoo", "--state", "dead", "--to", "farm"]).code(0).prints(&format!("{}\n", zoo.dead));
    zoo.sandbox.mq(["move", "zoo", "1000000000000000", "--to", "farm"]).code(3);
    zoo.sandbox.mq(["ack", &zoo.receipt]).ok();
}

#[test]
fn json_has_what_it_was_and_where_it_went() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let dry = sandbox.mq(["move", "jobs", &id, "--to", "other", "--json", "--dry-run"]).code(0).json().remove(0);
    let real = sandbox.mq(["move", "jobs", &id, "--to", "other", "--json"]).code(0).json().remove(0);
    let new = sandbox.mq(["ls", "other", "--ids"]).ok();
    assert_eq!((&real["id"], &real["queue"], &real["to"]), (&id.into(), &"jobs".into(), &"other".into()));
    assert_eq!(real["new_id"], new.trim());
    assert!(dry.get("new_id").is_none());
    assert_eq!((&dry["uid"], &dry["to"]), (&real["uid"], &real["to"]));
}

#[test]
fn a_target_that_cannot_be_is_refused_before_anything_moves() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let before = sandbox.tree("jobs");
    sandbox.mq(["move", "jobs", &id]).code(2).says("--to");
    sandbox.mq(["move", "jobs", "--to", "other"]).code(2).says("which messages?");
    sandbox.mq(["move", "jobs", &id, "--to", "./nowhere"]).code(3).says("no queue './nowhere'");
    std::os::unix::fs::symlink(sandbox.queue("jobs"), sandbox.dir().join("alias")).unwrap();
    for to in ["jobs", "./alias"] {
        sandbox.mq(["move", "jobs", &id, "--to", to]).code(2).says("is the queue they are in");
    }
    sandbox.mq(["move", "jobs", "--match", "none such", "--to", "fresh"]).code(1).silent().prints("");
    assert!(!sandbox.queue("fresh").exists());
    assert_eq!(sandbox.tree("jobs"), before);
}

#[test]
fn another_file_system_is_refused_once_with_the_way_around() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = Sandbox::new();
    let far = std::path::Path::new("/dev/shm").join(format!("mq-it-move-{}", std::process::id()));
    let device = |path: &std::path::Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    if device(std::path::Path::new("/dev/shm")).is_none_or(|shm| device(sandbox.dir()) == Some(shm)) {
        return println!("skipped: there is no other file system here");
    }
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n").ok();
    let before = sandbox.tree("jobs");
    sandbox.mq(["-q", "create", far.to_str().unwrap()]).code(0);
    let told = sandbox.mq(["move", "jobs", "--all", "--to", far.to_str().unwrap()]).code(75).prints("");
    assert_eq!(told.stderr.matches("is on another file system").count(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("mq send OTHER --jsonl"));
    assert_eq!(sandbox.tree("jobs"), before);
    std::fs::remove_dir_all(far).unwrap();
}

#[test]
fn beside_workers_each_message_is_done_once() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines"], (0..3_000).map(|n| format!("{n}\n")).collect::<String>()).ok();
    let script = "mq create slow; for i in 1 2; do while b=$(mq pop jobs -n 50); do echo \"$b\"; done >>out$i & done
        mq move jobs --all --to slow >ids; code=$?; wait; mq pop slow -n 9999 >out3; exit $code";
    // What a popper has in its hands at that moment is held: it is not moved, and not lost.
    sandbox.sh(script).one_of(&[0, 1, 75]);
    let mut seen: Vec<u32> = ["out1", "out2", "out3"]
        .iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(sandbox.dir().join(name)).unwrap();
            text.lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>()
        })
        .collect();
    seen.sort_unstable();
    assert!(seen == (0..3_000).collect::<Vec<u32>>(), "{} of 3000", seen.len());
}
