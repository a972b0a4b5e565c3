//! `mq stats`.

use super::select::zoo;
use crate::support::sandbox::Sandbox;

const FIELDS: [&str; 16] = [
    "queue",
    "ready",
    "delayed",
    "claimed",
    "dead",
    "done",
    "damaged",
    "oldest_ready_age_s",
    "oldest_claimed_age_s",
    "oldest_dead_age_s",
    "sent_total",
    "acked_total",
    "dead_total",
    "paused_until",
    "expired_total",
    "dropped_total",
];

#[test]
fn the_fields_in_their_order() {
    let zoo = zoo();
    let object = zoo.sandbox.mq(["stats", "zoo", "--json"]).code(0).silent().json().remove(0);
    assert_eq!(object.as_object().unwrap().keys().collect::<Vec<_>>(), FIELDS);
    let counts: Vec<u64> = FIELDS[1..7].iter().map(|name| object[name].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 1, 1, 1, 0, 1]);
    assert_eq!(
        (&object["queue"], &object["sent_total"], &object["acked_total"]),
        (&"zoo".into(), &5.into(), &0.into())
    );
    assert!(object["oldest_ready_age_s"].as_u64().unwrap() < 60);
    assert!(object["paused_until"].is_null());
    zoo.sandbox.mq(["ack", &zoo.receipt]).ok();
    let object = zoo.sandbox.mq(["stats", "zoo", "--json"]).code(0).json().remove(0);
    assert_eq!((&object["claimed"], &object["acked_total"]), (&0.into(), &1.into()));
    assert!(object["oldest_claimed_age_s"].is_null());
}

#[test]
fn a_row_a_queue_in_the_same_order() {
    let zoo = zoo();
    zoo.sandbox.mq(["create", "empty"]).ok();
    let empty: Vec<&str> = "empty 0 0 0 0 0 0 - - - 0 0 0 - 0 0".split(' ').collect();
    for args in [&["stats"][..], &["stats", "empty", "zoo"]] {
        let rows = zoo.sandbox.mq(args).code(0).silent().columns();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], empty);
        assert_eq!(rows[1][..7], ["zoo", "1", "1", "1", "1", "0", "1"]);
        assert_eq!(rows[1].len(), FIELDS.len());
    }
    // The form is that of the command, not of the count.
    assert_eq!(zoo.sandbox.mq(["stats", "empty"]).code(0).columns(), [empty]);
    let ran = zoo.sandbox.mq(["stats", "nowhere", "empty"]).code(3).says("no queue 'nowhere'");
    assert_eq!(ran.columns().len(), 1);
}

#[test]
fn a_pause_shows() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["pause", "jobs", "--reason", "lunch"]).ok();
    assert_eq!(sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["paused_until"], "resume");
    std::fs::write(
        sandbox.queue("jobs").join("paused"),
        r#"{"paused_at":"2026-01-01T00:00:00Z","paused_until":"2200-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    assert_eq!(sandbox.mq(["stats", "jobs"]).code(0).columns()[0][13], "2200-01-01T00:00:00Z");
    sandbox.mq(["resume", "jobs"]).ok();
    assert_eq!(sandbox.mq(["stats", "jobs"]).code(0).columns()[0][13], "-");
}

#[test]
fn what_is_taken_out_is_not_what_was_acknowledged() {
    let sandbox = Sandbox::new();
    let total =
        |name: &str, queue: &str| sandbox.mq(["stats", queue, "--json"]).code(0).json()[0][name].as_u64().unwrap();
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], "1\n2\n3\n4\n5\n6\n").ok();
    sandbox.send_dead("jobs", "x", "y");
    sandbox.send_dead("jobs", "x", "y");
    sandbox.mq(["rm", "jobs", "-n", "2", "--state", "ready"]).ok();
    assert_eq!((total("sent_total", "jobs"), total("acked_total", "jobs")), (8, 0));
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["ack", receipt.trim()]).ok();
    assert_eq!(total("acked_total", "jobs"), 1);
    sandbox.mq(["-q", "dlq", "redrive", "jobs", "--all", "--to", "other"]).ok();
    assert_eq!((total("acked_total", "jobs"), total("dead_total", "jobs")), (1, 2));
    assert_eq!((total("sent_total", "other"), total("acked_total", "other")), (2, 0));
}
