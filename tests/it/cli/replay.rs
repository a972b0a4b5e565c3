//! `retain` and `mq replay`: what is kept, for how long, and what is sent again.

use crate::support::sandbox::Sandbox;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// A queue that keeps, with these bodies acknowledged; their ids.
fn kept(sandbox: &Sandbox, bodies: &[&str]) -> Vec<String> {
    sandbox.mq(["create", "jobs", "--retain", "7d"]).ok();
    let ids = bodies.iter().map(|body| sandbox.send("jobs", body)).collect();
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).ok();
    ids
}

fn done(sandbox: &Sandbox) -> Vec<String> {
    sandbox.mq(["ls", "jobs", "--state", "done", "--ids"]).code(0).lines()
}

fn count(sandbox: &Sandbox, field: &str) -> u64 {
    sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0][field].as_u64().unwrap()
}

#[test]
fn what_is_acknowledged_is_kept_with_the_record_of_its_success() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--retain", "7d", "--backoff", "1ms"]).ok();
    sandbox.send("jobs", "x");
    let job = "test $MQ_ATTEMPT = 2 || exit 1; echo fine >&2";
    sandbox.mq(["work", "jobs", "--drain", "--", "sh", "-c", job]).code(0);
    let row = &sandbox.mq(["ls", "jobs", "--state", "done", "--full"]).code(0).json()[0];
    let history = row["history"].as_array().unwrap();
    assert_eq!((history.len(), &row["body"], &row["state"]), (2, &"x".into(), &"done".into()));
    assert_eq!((&history[0]["outcome"], &history[1]["outcome"]), (&"exit".into(), &"ok".into()));
    assert_eq!((&history[1]["exit"], &history[1]["stderr"]), (&0.into(), &"fine\n".into()));
    assert!(history[1]["duration_s"].is_number());
    assert_eq!(sandbox.mq(["ls", "jobs"]).code(0).text(), "", "what is done is no part of what waits");
}

#[test]
fn an_ack_by_hand_or_by_the_job_itself_keeps_as_well() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--retain", "7d"]).ok();
    sandbox.send("jobs", "by hand");
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    sandbox.mq(["ack", receipt.trim_end()]).code(6);
    sandbox.send("jobs", "by its job");
    sandbox.send("jobs", "by its job, without the lock");
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", "mq ack $MQ_RECEIPT; exit 3"]).ok();
    sandbox.mq(["work", "jobs", "-n", "1", "--", "sh", "-c", "MQ_LEASE_FD= mq ack $MQ_RECEIPT"]).ok();
    let rows = sandbox.mq(["ls", "jobs", "--state", "done", "--full"]).code(0).json();
    let outcomes: Vec<&str> = rows.iter().map(|row| row["history"][0]["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["ok", "ok", "ok"]);
    assert!(rows.iter().all(|row| row["history"].as_array().unwrap().len() == 1));
}

#[test]
fn a_job_that_has_put_its_message_back_leaves_no_success_in_its_history() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--retain", "7d"]).ok();
    sandbox.send("jobs", "x");
    let job = "MQ_LEASE_FD= mq nack $MQ_RECEIPT --delay 1h";
    sandbox.mq(["work", "jobs", "--drain", "-n", "1", "--", "sh", "-c", job]).ok();
    let row = &sandbox.mq(["ls", "jobs", "--full"]).code(0).json()[0];
    assert_eq!((&row["state"], row["history"].as_array().unwrap().len()), (&"delayed".into(), 0));
}

#[test]
fn counts_tell_the_acknowledged_whether_they_are_kept_expired_or_removed() {
    let sandbox = Sandbox::new();
    let ids = kept(&sandbox, &["1", "2", "3"]);
    let counts = |sandbox: &Sandbox| ["done", "acked_total", "sent_total"].map(|field| count(sandbox, field));
    assert_eq!(counts(&sandbox), [3, 3, 3]);
    sandbox.mq(["rm", "jobs", "--all"]).code(1);
    sandbox.mq(["rm", "jobs", "--state", "done", "-n", "1"]).code(0).prints(&format!("{}\n", ids[0]));
    assert_eq!(counts(&sandbox), [2, 3, 3]);
    sandbox.mq(["config", "jobs", "retain", "1ms"]).ok();
    // Whoever looks for a message removes what was kept for long enough.
    let began = Instant::now();
    while count(&sandbox, "done") > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing expires");
        sandbox.mq(["claim", "jobs"]).code(1);
    }
    assert_eq!(counts(&sandbox), [0, 3, 3]);
    let tree = sandbox.tree("jobs");
    assert!(!tree.contains("done/1"), "an empty bucket is left: {tree}");
}

#[test]
fn without_the_setting_nothing_is_kept_and_what_is_there_stays() {
    let sandbox = Sandbox::new();
    let ids = kept(&sandbox, &["1"]);
    sandbox.mq(["config", "jobs", "--unset", "retain"]).ok();
    sandbox.send("jobs", "2");
    sandbox.mq(["work", "jobs", "--drain", "--", "true"]).ok();
    sandbox.mq(["fsck", "jobs", "--repair"]).ok();
    assert_eq!(done(&sandbox), ids);
    sandbox.mq(["replay", "jobs", "--all"]).ok();
}

#[test]
fn fsck_removes_what_was_kept_for_long_enough() {
    let sandbox = Sandbox::new();
    kept(&sandbox, &["1", "2"]);
    sandbox.mq(["config", "jobs", "retain", "1ms"]).ok();
    let began = Instant::now();
    while count(&sandbox, "done") > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing expires");
        sandbox.mq(["fsck", "jobs", "--repair"]).ok();
    }
}

#[test]
fn a_replay_is_a_new_message_that_names_its_source() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--retain", "7d"]).ok();
    let large = "0123456789abcdef".repeat(100_000);
    sandbox.mq_stdin(["send", "jobs", "-p", "7", "-H", "K=v", "--content-type", "text/x"], &large).ok();
    sandbox.mq_stdin(["send", "jobs", "--delay", "1ms"], [0_u8, 255, 10]).ok();
    sandbox.mq(["work", "jobs", "-n", "2", "--for", "30s", "--", "cat"]).code(0);
    let old = sandbox.mq(["ls", "jobs", "--state", "done", "--full"]).code(0).json();
    assert_eq!(old.len(), 2);
    let printed = sandbox.mq(["replay", "jobs", "--all"]).code(0).lines();
    let ids: Vec<&str> = old.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(printed, ids);
    let new = sandbox.mq(["ls", "jobs", "--full"]).code(0).json();
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(new["headers"]["Replay-Of"], old["uid"]);
        assert_ne!((&new["id"], &new["uid"]), (&old["id"], &old["uid"]));
        for same in ["body", "body_base64", "priority", "content_type", "size_bytes"] {
            assert_eq!(new[same], old[same], "{same}");
        }
        assert_eq!((&new["state"], &new["attempts"]), (&"ready".into(), &0.into()));
    }
    assert_eq!((&new[0]["headers"]["K"], new.len()), (&"v".into(), 2));
    assert_eq!(count(&sandbox, "done"), 2, "what is kept stays");
    // A replay of a replay names its own source, and has one such header.
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0);
    let of = |uid: &str| sandbox.mq(["ls", "jobs", "--state", "done", "--match", uid, "--ids"]).code(0).lines();
    let again = of(old[0]["uid"].as_str().unwrap());
    sandbox.mq(["replay", "jobs", &again[0], "--to", "other"]).ok();
    let row = &sandbox.mq(["ls", "other", "--json"]).code(0).json()[0];
    assert_eq!(row["headers"], serde_json::json!({"K": "v", "Replay-Of": new[0]["uid"]}));
}

#[test]
fn a_dry_run_prints_what_the_real_one_prints_and_sends_nothing() {
    let sandbox = Sandbox::new();
    let ids = kept(&sandbox, &["a", "b", "ab"]);
    for args in [&["--all"][..], &["--match", "b"], &["--all", "-n", "2"], &["--all", "--json"], &[ids[1].as_str()]] {
        let command = |last: &[&'static str]| [&["replay", "jobs"], args, last].concat();
        let dry = sandbox.mq(command(&["--dry-run", "--to", "other"])).code(0).text();
        sandbox.mq(["stats", "other"]).code(3);
        assert_eq!(sandbox.mq(command(&["--to", "other"])).code(0).text(), dry);
        assert_eq!(sandbox.mq(["ls", "other", "--ids"]).code(0).lines().len(), dry.lines().count());
        std::fs::remove_dir_all(sandbox.queue("other")).unwrap();
    }
}

#[test]
fn a_span_of_time_or_of_ids_is_what_was_acknowledged_or_sent_in_it() {
    let sandbox = Sandbox::new();
    let mut ids = kept(&sandbox, &["first"]);
    let when = |id: &str| {
        let meta = std::fs::metadata(sandbox.file_of("jobs", id)).unwrap();
        format!("@{}.{:06}", meta.ctime(), meta.ctime_nsec() / 1000)
    };
    // The clock of a file system ticks every few milliseconds.
    while ids.len() == 1 || when(&ids[0]) == when(&ids[ids.len() - 1]) {
        ids.push(sandbox.send("jobs", "later"));
        sandbox.mq(["work", "jobs", "--drain", "--", "true"]).ok();
    }
    let (first, last) = (&ids[0], &ids[ids.len() - 1]);
    let replay = |args: &[&str]| sandbox.mq([&["replay", "jobs", "--dry-run"], args].concat()).code(0).lines();
    assert_eq!(replay(&["--since", &when(last)]), [last.as_str()]);
    assert_eq!(replay(&["--until", &when(last)]), ids[..ids.len() - 1]);
    assert_eq!(replay(&["--since", &when(first), "--until", &when(last), "-n", "1"]), [first.as_str()]);
    assert_eq!(replay(&["--from", last]), [last.as_str()]);
    assert_eq!(replay(&["--from", first]), ids);
    assert_eq!(replay(&["--from", last, first, last]), [last.as_str()]);
    sandbox.mq(["replay", "jobs", "--until", "@1"]).code(1).silent();
    sandbox.mq(["replay", "jobs", "--from", "9999999999999999"]).code(1).silent();
    sandbox.mq(["replay", "jobs", "--from", last, "--since", "@1"]).code(2);
    sandbox.mq(["replay", "jobs", "--since", "yesterday"]).code(2).says("is not a time like");
    sandbox.mq(["replay", "jobs", "--from", "1"]).code(2);
    sandbox.mq(["replay", "jobs"]).code(2).says("which messages?");
}

#[test]
fn what_cannot_be_sent_again_is_told_and_the_rest_goes() {
    let sandbox = Sandbox::new();
    let ids = kept(&sandbox, &["1", "2", "3"]);
    let ready = sandbox.send("jobs", "4");
    let file = sandbox.file_of("jobs", &ids[1]);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = sandbox.mq(["replay", "jobs", "--all", "--to", "other"]).code(65);
    let told = told.says("checksum does not match");
    assert_eq!(told.lines(), [ids[0].as_str(), ids[2].as_str()]);
    assert_eq!(sandbox.mq(["ls", "other", "--ids"]).code(0).lines().len(), 2);
    let unknown = ["replay", "jobs", "1764000000000000", &ready, &ids[2]];
    let told = sandbox.mq(unknown).code(3).says("no message 1764000000000000").says("is ready, not done");
    assert_eq!(told.lines(), [ids[2].as_str()]);
    sandbox.mq(["replay", "nowhere", "--all"]).code(3);
    sandbox.mq(["replay", "jobs", "--all", "--to", "./nowhere"]).code(3);
    sandbox.mq(["replay", "other", "--all"]).code(1).silent();
}

#[test]
fn more_than_a_bucket_goes_again_in_its_order() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--retain", "7d"]).ok();
    let input: String = (0..1100).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines"], &input).ok();
    sandbox.sh("mq claim jobs -n 1100 | mq ack -").ok();
    sandbox.mq(["replay", "jobs", "--all", "-q"]).code(0);
    let rows = sandbox.mq(["ls", "jobs", "--full"]).code(0).json();
    assert_eq!(rows.iter().map(|row| row["body"].as_str().unwrap()).collect::<String>(), input);
}
