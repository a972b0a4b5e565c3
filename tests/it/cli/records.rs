//! `mq send` of many: lines, NUL records, JSON objects, whole or not at all.

use crate::support::sandbox::Sandbox;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// The bodies in a queue, in order.
fn bodies(sandbox: &Sandbox, queue: &str) -> Vec<String> {
    let rows = sandbox.mq(["ls", queue, "--json", "--full"]).code(0).json();
    rows.iter().map(|row| row["body"].as_str().unwrap_or("(binary)").to_string()).collect()
}

#[test]
fn a_line_is_a_body_with_its_newline() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "a", "--lines"], "1\n\n3\r\nlast").code(0).prints("");
    assert_eq!(bodies(&sandbox, "a"), ["1\n", "\n", "3\r\n", "last\n"]);
    sandbox.mq_stdin(["send", "b", "--lines", "--no-newline"], "1\n\nlast").ok();
    assert_eq!(bodies(&sandbox, "b"), ["1", "", "last"]);
    sandbox.mq_stdin(["send", "c", "-0"], "1\0a\nb\0\0last").ok();
    assert_eq!(bodies(&sandbox, "c"), ["1", "a\nb", "", "last"]);
    sandbox.mq_stdin(["send", "d", "--lines"], "").code(1).says("nothing sent");
}

#[test]
fn ids_are_printed_when_asked_for_and_rise_in_order() {
    let sandbox = Sandbox::new();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], "1\n2\n3\n").code(0).lines();
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted());
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines(), ids);
}

#[test]
fn more_than_a_bucket_keeps_its_order_and_no_bucket_is_too_full() {
    let sandbox = Sandbox::new();
    // Each with a header of its own, so that they are no pack.
    let input: String = (0..2500).map(|n| format!("{{\"body\":\"{n}\\n\",\"headers\":{{\"n\":\"{n}\"}}}}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], &input).ok();
    let wanted: String = (0..2500).map(|n| format!("{n}\n")).collect();
    assert_eq!(bodies(&sandbox, "jobs").concat(), wanted);
    assert_eq!(bucket_sizes(&sandbox), [1024, 1024, 452]);
    assert!(sandbox.tree("jobs").lines().all(|line| !line.starts_with("tmp/") || line == "tmp/"));
}

#[test]
fn many_alike_are_a_pack_which_is_opened_a_bucket_at_a_time() {
    let sandbox = Sandbox::new();
    let input: String = (0..2500).map(|n| format!("{n}\n")).collect();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], &input).ok();
    assert_eq!(bodies(&sandbox, "jobs").concat(), input);
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).ok(), ids);
    let entries = || std::fs::read_dir(sandbox.queue("jobs").join("ready/4")).unwrap().count();
    assert_eq!((entries(), bucket_sizes(&sandbox)), (1, vec![]));
    sandbox.mq(["claim", "jobs"]).ok();
    assert_eq!((entries(), bucket_sizes(&sandbox)), (2, vec![249]), "a bucket, and what is left of the pack");
    assert_eq!(sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).ok(), input.split_once('\n').unwrap().1);
    assert!(sandbox.tree("jobs").lines().all(|line| !line.starts_with("tmp/") || line == "tmp/"));
}

/// How many messages the buckets of ordinary priority have.
fn bucket_sizes(sandbox: &Sandbox) -> Vec<usize> {
    let ready = std::fs::read_dir(sandbox.queue("jobs").join("ready/4")).unwrap();
    let mut buckets: Vec<_> = ready.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    buckets.sort();
    buckets.iter().map(|bucket| std::fs::read_dir(bucket).unwrap().count()).collect()
}

#[test]
fn a_json_object_says_what_a_sender_may_say() {
    let sandbox = Sandbox::new();
    let lines = r#"{"body":"text","headers":{"a":"1"},"priority":9,"content_type":"text/x"}
{"body_base64":"AAH/","delay":"1h"}

{"json":{"b":[1,2]},"due_at":"2099-01-01T00:00:00Z"}
{"body":"as it was","id":"1","uid":"x","state":"dead","history":[],"reason":null,"attempts":3,"queue":"q"}
"#;
    sandbox.mq_stdin(["send", "jobs", "--jsonl", "-H", "a=0", "-H", "b=2"], lines).ok();
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let by_body = |body: &str| rows.iter().find(|row| row["body"] == body).unwrap();
    assert_eq!(by_body("text")["headers"], serde_json::json!({"b": "2", "a": "1"}));
    assert_eq!(by_body("text")["priority"], 9);
    assert_eq!(by_body("text")["content_type"], "text/x");
    assert_eq!(by_body("as it was")["attempts"], 0);
    assert_eq!(by_body("{\"b\":[1,2]}\n")["due_at"], "2099-01-01T00:00:00Z");
    let binary = rows.iter().find(|row| row["body_base64"] == "AAH/").unwrap();
    assert_eq!(binary["state"], "delayed");
}

#[test]
fn one_bad_line_and_nothing_is_sent() {
    let sandbox = Sandbox::new();
    for (bad, why) in [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no body"),
        (r#"{"body":"a","json":1}"#, "exclude"),
        (r#"{"body":1}"#, "body is not text"),
        (r#"{"body":"a","priorty":1}"#, "unknown field 'priorty'"),
        (r#"{"body":"a","priority":10}"#, "0 to 9"),
        (r#"{"body":"a","delay":"soon"}"#, "soon"),
        (r#"{"body":"a","delay":"1s","due_at":"@1"}"#, "exclude"),
        (r#"{"body":"a","headers":{"=":"x"}}"#, "header name"),
        (r#"{"body":"a","headers":{"a-b":"x","A_B":"y"}}"#, "MQ_H_A_B"),
        (r#"{"body":"a","headers":{"a":"x\ny"}}"#, "control"),
        (r#"{"body_base64":"?"}"#, "body_base64"),
    ] {
        let input = format!("{{\"body\":\"1\"}}\n{bad}\n{{\"body\":\"3\"}}\n");
        let told = sandbox.mq_stdin(["send", "jobs", "--jsonl"], input).code(65).says("line 2: ").says(why);
        assert!(told.says("--lines").text().is_empty());
    }
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).text(), "");
    assert!(sandbox.tree("jobs").lines().all(|line| !line.starts_with("tmp/") || line == "tmp/"));
}

#[test]
fn what_ls_prints_send_takes_again() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "a", "text", "-H", "k=v", "-p", "7"]).ok();
    sandbox.mq_stdin(["send", "a"], [0_u8, 255, 10]).ok();
    sandbox.sh("mq ls a --full --json | mq send b --jsonl").ok();
    let comparable = |queue: &str| {
        let mut rows = sandbox.mq(["ls", queue, "--json", "--full"]).code(0).json();
        for row in &mut rows {
            for own in ["id", "uid", "queue", "sent_at"] {
                row.as_object_mut().unwrap().remove(own);
            }
        }
        rows
    };
    assert_eq!(comparable("a"), comparable("b"));
}

#[test]
fn a_batch_that_is_committed_is_sent_even_if_nobody_can_see_it_yet() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    // Something stands where the first rename has to go: all is durable by then.
    let way = sandbox.queue("jobs").join("ready/4");
    std::fs::write(&way, "").unwrap();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n").code(0).says("sent, but not all of it can be seen yet");
    std::fs::remove_file(&way).unwrap();
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("1\n2\n");
}

#[test]
fn with_flush_what_has_come_is_there_before_the_input_ends() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(["send", "jobs", "--lines", "--flush", "10ms", "--ids"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in ["1", "2", "3"] {
        writeln!(stdin, "{line}").unwrap();
        // The id comes when the message is published, and not before: this would wait for ever.
        let id = ids.next().unwrap().unwrap();
        assert_eq!(sandbox.mq(["cat", "jobs", &id]).ok(), format!("{line}\n"));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn with_flush_a_thousand_records_are_published_at_once() {
    let sandbox = Sandbox::new();
    let input: String = (0..2100).map(|n| format!("{n}\n")).collect();
    let ids = sandbox.mq_stdin(["send", "jobs", "--lines", "--flush", "1h", "--ids"], &input).code(0).lines();
    assert_eq!(ids.len(), 2100);
    assert_eq!(bodies(&sandbox, "jobs").concat(), input);
}
