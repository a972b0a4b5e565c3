//! `mq dlq`.

use super::select::zoo;
use crate::support::sandbox::Sandbox;
use serde_json::Value;

fn object(sandbox: &Sandbox, queue: &str, id: &str) -> Value {
    sandbox.mq(["show", queue, id, "--json"]).code(0).json().remove(0)
}

#[test]
fn ls_has_age_attempts_and_reason() {
    let sandbox = Sandbox::new();
    let first = sandbox.send_dead("jobs", "one", "timed out");
    let second = sandbox.send_dead("jobs", "two", "bad input");
    let rows = sandbox.mq(["dlq", "ls", "jobs"]).code(0).silent().columns();
    assert_eq!(rows.len(), 2);
    assert!(rows[0][1].parse::<u64>().unwrap() < 60);
    assert_eq!((&rows[0][0], &rows[0][2..]), (&first, &["1", "timed out", "one"].map(String::from)[..]));
    assert_eq!((&rows[1][0], &rows[1][2..]), (&second, &["1", "bad input", "two"].map(String::from)[..]));
    assert_eq!(sandbox.mq(["dlq", "ls", "jobs", "--ids", "--match", "bad"]).code(0).lines(), [second.as_str()]);
    let objects = sandbox.mq(["dlq", "ls", "jobs", "--json"]).code(0).json();
    assert_eq!(objects, sandbox.mq(["ls", "jobs", "--state", "dead", "--json"]).code(0).json());
    assert_eq!(sandbox.mq(["dlq", "ls", "jobs", "--full"]).code(0).json()[1]["body"], "two\n");
    sandbox.mq(["dlq", "ls", "jobs", "--match", "nothing"]).code(1).silent().prints("");
    sandbox.mq(["dlq", "purge", "jobs", "--all"]).ok();
    sandbox.mq(["dlq", "ls", "jobs"]).code(0).prints("");
}

#[test]
fn a_redrive_keeps_uid_and_history_and_begins_anew() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "2"]).ok();
    let id = sandbox.mq(["send", "jobs", "-p", "7", "-H", "A=b", "body"]).ok().trim().to_string();
    let fail = |reason: &str| {
        let receipt = sandbox.mq(["claim", "jobs"]).ok();
        sandbox.mq(["nack", receipt.trim(), "--delay", "0", "--reason", reason]).ok();
    };
    fail("first");
    fail("second");
    let dead = object(&sandbox, "jobs", &id);
    assert_eq!((&dead["state"], &dead["attempts"]), (&"dead".into(), &2.into()));
    for round in 1..=2 {
        let dry = sandbox.mq(["dlq", "redrive", "jobs", &id, "--dry-run"]).code(0);
        assert_eq!(object(&sandbox, "jobs", &id)["state"], "dead");
        let real = sandbox.mq(["dlq", "redrive", "jobs", &id]).code(0);
        assert_eq!((dry.stdout, dry.stderr), (real.stdout, real.stderr));
        let ready = object(&sandbox, "jobs", &id);
        for same in ["id", "uid", "priority", "sent_at", "size_bytes", "headers", "body"] {
            assert_eq!(ready[same], dead[same], "{same}");
        }
        assert_eq!(
            (&ready["state"], &ready["attempts"], &ready["redrives"]),
            (&"ready".into(), &0.into(), &round.into())
        );
        let history = ready["history"].as_array().unwrap();
        assert_eq!(history.len(), 3 * round);
        assert_eq!((&history[0]["reason"], &history[1]["reason"]), (&"first".into(), &"second".into()));
        assert_eq!((&history[2]["redrives"], &history[2]["from"]), (&1.into(), &"jobs".into()));
        fail("again");
        assert_eq!(object(&sandbox, "jobs", &id)["history"].as_array().unwrap().last().unwrap()["attempt"], 1);
        fail("and again");
    }
}

#[test]
fn a_redrive_to_another_queue_makes_it_and_keeps_the_uid() {
    let sandbox = Sandbox::new();
    let ids = [sandbox.send_dead("jobs", "one", "x"), sandbox.send_dead("jobs", "two", "y")];
    let uids = ids.each_ref().map(|id| object(&sandbox, "jobs", id)["uid"].clone());
    let dry = sandbox.mq(["dlq", "redrive", "jobs", "--all", "--to", "slow", "--dry-run"]).code(0);
    assert!(!sandbox.queue("slow").exists());
    let real = sandbox.mq(["dlq", "redrive", "jobs", "--all", "--to", "slow"]).code(0).says("created queue 'slow'");
    assert_eq!(dry.stdout, real.stdout);
    assert_eq!(real.lines(), ids);
    let moved = sandbox.mq(["ls", "slow", "--full"]).code(0).json();
    for (at, object) in moved.iter().enumerate() {
        assert_eq!((&object["uid"], &object["attempts"], &object["redrives"]), (&uids[at], &0.into(), &1.into()));
        assert_eq!(object["history"][1]["from"], "jobs");
        assert!(object["id"].as_str().unwrap() > ids[at].as_str());
    }
    assert_eq!(moved[1]["body"], "two\n");
    sandbox.mq(["ls", "jobs"]).code(0).prints("");
    for queue in ["jobs", "slow"] {
        sandbox.mq(["fsck", queue]).code(0).prints("");
    }
}

#[test]
fn a_target_that_cannot_be_is_refused_before_anything_moves() {
    let sandbox = Sandbox::new();
    let id = sandbox.send_dead("jobs", "one", "x");
    let before = sandbox.tree("jobs");
    sandbox.mq(["dlq", "redrive", "jobs", &id, "--to", "./nowhere"]).code(3).says("no queue './nowhere'");
    sandbox.mq(["dlq", "redrive", "jobs", &id, "--to", "a b"]).code(2);
    std::fs::create_dir(sandbox.queue("broken")).unwrap();
    std::fs::write(sandbox.queue("broken").join("queue.json"), "[]").unwrap();
    sandbox.mq(["dlq", "redrive", "jobs", &id, "--to", "broken"]).code(65).says("broken/queue.json");
    assert_eq!(sandbox.tree("jobs"), before);
    // Nothing selected makes nothing.
    sandbox.mq(["dlq", "redrive", "jobs", "--match", "none such", "--to", "fresh"]).code(1).silent().prints("");
    assert!(!sandbox.queue("fresh").exists());
    // The queue itself, under another name, is no other queue.
    std::os::unix::fs::symlink(sandbox.queue("jobs"), sandbox.dir().join("alias")).unwrap();
    sandbox.mq(["dlq", "redrive", "jobs", &id, "--to", "./alias"]).code(0).silent();
    assert_eq!(object(&sandbox, "jobs", &id)["state"], "ready");
}

#[test]
fn another_file_system_is_refused_once_and_leaves_no_trace() {
    let sandbox = Sandbox::new();
    let far = std::path::Path::new("/dev/shm").join(format!("mq-it-far-{}", std::process::id()));
    let device =
        |path: &std::path::Path| std::fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::dev(&meta)).ok();
    if device(std::path::Path::new("/dev/shm")).is_none_or(|shm| device(sandbox.dir()) == Some(shm)) {
        return;
    }
    let id = sandbox.send_dead("jobs", "one", "x");
    sandbox.send_dead("jobs", "two", "x");
    sandbox.mq(["-q", "create", far.to_str().unwrap()]).code(0);
    let ran = sandbox.mq(["dlq", "redrive", "jobs", "--all", "--to", far.to_str().unwrap()]);
    std::fs::remove_dir_all(&far).unwrap();
    let ran = ran.code(75).says("another file system").says("hint:");
    assert_eq!(ran.stderr.lines().count(), 2);
    let object = object(&sandbox, "jobs", &id);
    assert_eq!((&object["state"], object.get("redrives")), (&"dead".into(), None));
}

#[test]
fn only_dead_ones_are_taken() {
    let zoo = zoo();
    for command in ["redrive", "purge"] {
        let ran = zoo.sandbox.mq(["dlq", command, "zoo", &zoo.ready, &zoo.claimed]).code(3);
        ran.says("is ready, not dead").says("is claimed, not dead").prints("");
    }
    let dry = zoo.sandbox.mq(["dlq", "purge", "zoo", "--all", "--dry-run"]).code(0);
    assert_eq!(dry.lines(), [zoo.dead.as_str()]);
    zoo.sandbox.mq(["dlq", "purge", "zoo", "--all"]).code(0).prints(&dry.text()).silent();
    zoo.sandbox.mq(["dlq", "purge", "zoo", "--all"]).code(1).silent().prints("");
    assert_eq!(zoo.sandbox.mq(["ls", "zoo", "--ids"]).code(0).lines().len(), 4);
}

#[test]
fn one_that_is_damaged_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    let bad = sandbox.send_dead("jobs", "one", "x");
    let good = sandbox.send_dead("jobs", "two", "x");
    std::fs::write(sandbox.file_of("jobs", &bad), "garbage\n").unwrap();
    let ran = sandbox.mq(["dlq", "redrive", "jobs", "--all"]).code(65).says("set aside in damaged/");
    assert_eq!(ran.lines(), [good.as_str()]);
    assert_eq!(sandbox.mq(["ls", "jobs", "--state", "damaged", "--ids"]).code(0).lines(), [bad.as_str()]);
}

#[test]
fn a_dead_letter_morning_with_a_pipe() {
    let sandbox = Sandbox::new();
    sandbox.send_dead("jobs", "one", "timed out");
    sandbox.send_dead("jobs", "two", "bad input");
    let script = "set -euo pipefail
        mq dlq ls jobs --json | jq -r 'select(.reason == \"timed out\") | .id' | mq dlq redrive jobs -
        mq dlq ls jobs | cut -f4";
    let ran = sandbox.sh(script).code(0).silent();
    assert_eq!(ran.lines()[1..], ["bad input"]);
}
