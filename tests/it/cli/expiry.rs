//! What is too old is never delivered.

use crate::support::sandbox::Sandbox;
use serde_json::Value;

/// One that has expired already: no test waits for that.
const OLD: &str = r#"{"body":"old","expires_at":"2020-01-01T00:00:00Z","headers":{"a":"1"}}"#;

fn stats(sandbox: &Sandbox, field: &str) -> u64 {
    sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0][field].as_u64().unwrap()
}

fn show(sandbox: &Sandbox, id: &str) -> Value {
    sandbox.mq(["show", "jobs", id, "--json"]).code(0).json().remove(0)
}

fn send_old(sandbox: &Sandbox) -> String {
    sandbox.mq_stdin(["send", "jobs", "--jsonl", "--ids"], OLD).ok().trim_end().to_string()
}

#[test]
fn an_expired_message_is_dead_and_not_delivered() {
    let sandbox = Sandbox::new();
    let id = send_old(&sandbox);
    sandbox.mq(["send", "jobs", "new", "--ttl", "1h"]).ok();
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["cat", receipt.trim_end()]).code(0).prints("new\n");
    sandbox.mq(["claim", "jobs"]).code(1);
    let row = show(&sandbox, &id);
    assert_eq!((&row["state"], &row["attempts"]), (&"dead".into(), &0.into()));
    assert_eq!(row["reason"], "expired at 2020-01-01T00:00:00Z");
    let history = sandbox.mq(["ls", "jobs", "--state", "dead", "--json", "--full"]).code(0).json().remove(0);
    assert_eq!(history["history"][0]["outcome"], "expired");
    assert_eq!((stats(&sandbox, "dead_total"), stats(&sandbox, "expired_total")), (1, 0));
    sandbox.mq(["dlq", "ls", "jobs", "--outcome", "expired", "--ids"]).code(0).prints(&format!("{id}\n"));
}

#[test]
fn a_worker_passes_over_it() {
    let sandbox = Sandbox::new();
    send_old(&sandbox);
    sandbox.send("jobs", "new");
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("new");
}

#[test]
fn a_queue_may_drop_what_has_expired() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--on-expire", "drop"]).ok();
    send_old(&sandbox);
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["ls", "jobs"]).code(0).prints("");
    let counts = ["expired_total", "dead_total", "acked_total", "sent_total"].map(|field| stats(&sandbox, field));
    assert_eq!(counts, [1, 0, 0, 1]);
}

#[test]
fn a_redrive_lifts_it() {
    let sandbox = Sandbox::new();
    let id = send_old(&sandbox);
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["dlq", "redrive", "jobs", &id]).ok();
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["cat", receipt.trim_end()]).code(0).prints("old");
}

#[test]
fn the_time_to_live_of_the_queue_is_that_of_a_send_that_says_none() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--ttl", "1h"]).ok();
    let lines = r#"{"body":"plain"}
{"body":"own","ttl":"2h"}
{"body":"seconds","ttl":10800}
{"body":"at","expires_at":"2099-01-01T00:00:00Z"}
{"body":"later","delay":"1h"}
"#;
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], lines).ok();
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let seconds = |text: &Value| mq::time::Time::parse_rfc3339(text.as_str().unwrap()).unwrap().micros() / 1_000_000;
    let hours = |body: &str| {
        let row = rows.iter().find(|row| row["body"] == body).unwrap();
        let lasts = seconds(&row["expires_at"]) - seconds(&row["sent_at"]);
        // Whole seconds are cut off, and a slow machine may send late.
        (lasts + 60) / 3600
    };
    // A delayed message begins to wait when it is due.
    assert_eq!(["plain", "own", "seconds", "later"].map(hours), [1, 2, 3, 2]);
    let at = rows.iter().find(|row| row["body"] == "at").unwrap();
    assert_eq!(at["expires_at"], "2099-01-01T00:00:00Z");
}

#[test]
fn what_ls_tells_can_be_sent_again_with_its_end() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x", "--ttl", "1d"]).ok();
    sandbox.sh("mq ls jobs --full --json | mq send other --jsonl").ok();
    let end = |queue: &str| sandbox.mq(["ls", queue, "--json"]).code(0).json()[0]["expires_at"].clone();
    assert!(end("jobs").is_string());
    assert_eq!(end("jobs"), end("other"));
}

#[test]
fn nonsense_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x", "--ttl", "0"]).code(2).says("1ms");
    for line in [
        r#"{"body":"a","ttl":"soon"}"#,
        r#"{"body":"a","ttl":{}}"#,
        r#"{"body":"a","ttl":"1h","expires_at":"2099-01-01T00:00:00Z"}"#,
        r#"{"body":"a","expires_at":"never"}"#,
    ] {
        sandbox.mq_stdin(["send", "jobs", "--jsonl"], line).code(65).says("line 1");
    }
}
