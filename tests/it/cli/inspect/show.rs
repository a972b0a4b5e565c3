//! `mq show`, and `mq dlq show`, which is the same of dead messages.

use super::select::zoo;
use crate::support::sandbox::Sandbox;
use serde_json::json;

#[test]
fn the_next_one_by_priority_then_age_and_what_is_due_counts() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["show", "jobs"]).code(1).says("nothing is ready in jobs");
    sandbox.mq(["-q", "send", "jobs", "--delay", "1h", "much later"]).ok();
    sandbox.mq(["show", "jobs"]).code(1);
    let next = |sandbox: &Sandbox| sandbox.mq(["show", "jobs", "--json"]).code(0).json()[0]["body"].to_string();
    sandbox.send("jobs", "second");
    assert_eq!(next(&sandbox), "\"second\"");
    sandbox.mq(["send", "jobs", "-p", "5", "--delay", "1ms", "--", "soon"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(next(&sandbox), "\"soon\\n\"");
    sandbox.mq(["send", "jobs", "-p", "9", "--", "first"]).ok();
    assert_eq!(next(&sandbox), "\"first\\n\"");
    // As the claim has it.
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let receipt = sandbox.mq(["claim", "jobs"]).ok();
        claimed.push(sandbox.mq(["cat", receipt.trim()]).ok());
    }
    assert_eq!(claimed, ["first\n", "soon\n", "second"]);
}

#[test]
fn json_is_the_whole_message() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "2"]).ok();
    let id = sandbox.mq(["send", "jobs", "-H", "Trace-Id=7", "--content-type", "text/plain", "body"]).ok();
    for delay in ["0", "0"] {
        let receipt = sandbox.mq(["claim", "jobs"]).ok();
        sandbox.mq(["nack", receipt.trim(), "--delay", delay, "--reason", "not yet"]).ok();
    }
    let object = sandbox.mq(["show", "jobs", id.trim(), "--json"]).code(0).json().remove(0);
    assert_eq!(object["state"], "dead");
    assert_eq!(object["attempts"], 2);
    assert_eq!(object["max_attempts"], 2);
    assert_eq!(object["headers"], json!({ "Trace-Id": "7" }));
    assert_eq!(object["content_type"], "text/plain");
    assert_eq!(object["reason"], "not yet");
    assert_eq!(object["body"], "body\n");
    let history = object["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    for (at, attempt) in history.iter().enumerate() {
        assert_eq!(
            (&attempt["attempt"], &attempt["outcome"], &attempt["reason"]),
            (&json!(at + 1), &json!("nack"), &json!("not yet"))
        );
        assert_eq!(attempt["started_at"].as_str().unwrap().len(), 20);
    }
}

#[test]
fn piped_it_is_a_line_a_field() {
    let sandbox = Sandbox::new();
    let id = sandbox.send_dead("jobs", "one\ttwo", "bad\nluck");
    let ran = sandbox.mq(["show", "jobs", &id]).code(0).silent();
    let rows = ran.columns();
    assert!(rows.iter().all(|row| row.len() == 2), "{rows:?}");
    let value = |name: &str| rows.iter().find(|row| row[0] == name).map(|row| row[1].as_str());
    assert_eq!(rows[0], ["id", &id]);
    assert_eq!(value("state"), Some("dead"));
    assert_eq!(value("body"), Some("one\\ttwo\\n"));
    assert_eq!(value("reason"), Some("bad\\nluck"));
    assert_eq!(value("history.1.attempt"), Some("1"));
    assert_eq!(value("history.1.outcome"), Some("dead"));
}

#[test]
fn several_in_the_order_given_and_every_state() {
    let zoo = zoo();
    let ids = [&zoo.damaged, &zoo.claimed, &zoo.dead, &zoo.delayed, &zoo.ready];
    let args: Vec<&str> = ["show", "zoo", "--json"].into_iter().chain(ids.map(String::as_str)).collect();
    let objects = zoo.sandbox.mq(&args).code(0).silent().json();
    let states: Vec<&str> = objects.iter().map(|object| object["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["damaged", "claimed", "dead", "delayed", "ready"]);
    assert_eq!(objects[0]["reason"], "its checksum does not match");
    let stdin = ids.map(String::as_str).join("\n");
    assert_eq!(zoo.sandbox.mq_stdin(["show", "zoo", "-", "--json"], stdin).code(0).json(), objects);
    zoo.sandbox.mq(["show", "zoo", "1000000000000000", &zoo.ready]).code(3).says("no message 1000000000000000");
    zoo.sandbox.mq(["show", "zoo", "x"]).code(2);
}

#[test]
fn of_dead_ones_only() {
    let zoo = zoo();
    assert_eq!(zoo.sandbox.mq(["dlq", "show", "zoo", "--json"]).code(0).json()[0]["id"], zoo.dead.as_str());
    let ran = zoo.sandbox.mq(["dlq", "show", "zoo", &zoo.ready]).code(3);
    ran.says(&format!("{} in zoo is ready, not dead", zoo.ready)).prints("");
    zoo.sandbox.mq(["dlq", "purge", "zoo", "--all"]).ok();
    zoo.sandbox.mq(["dlq", "show", "zoo"]).code(1).says("nothing is dead in zoo");
}

#[test]
fn a_job_that_failed_tells_its_story() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "1"]).ok();
    let id = sandbox.send("jobs", "x");
    sandbox.mq(["work", "jobs", "--drain", "--", "sh", "-c", "echo what went wrong >&2; exit 3"]).code(10);
    let object = sandbox.mq(["show", "jobs", &id, "--json"]).code(0).json().remove(0);
    let attempt = &object["history"][0];
    assert_eq!(attempt["outcome"], "exit");
    assert_eq!(attempt["exit"], 3);
    assert_eq!(attempt["stderr"], "what went wrong\n");
    assert!(attempt["duration_s"].is_number());
    assert_eq!(object["reason"], "exit 3");
}
