//! A queue as the first release left it, in every state and after every accident: it must be read for ever. The files under
//! `tests/fixtures/v1` are never edited; a new format adds a directory beside them.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn sample() -> Sandbox {
    let sandbox = Sandbox::new();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/sample"), &sandbox.queue("sample"));
    sandbox
}

/// State, id, attempts and body of every message.
fn rows(sandbox: &Sandbox) -> Vec<[String; 4]> {
    let rows = sandbox.mq(["ls", "sample", "--json", "--full"]).one_of(&[0, 65]).json();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let body = |row: &serde_json::Value| match row["body"].is_null() {
        true => text(&row["body_base64"]),
        false => text(&row["body"]),
    };
    rows.iter().map(|row| [text(&row["state"]), text(&row["id"]), text(&row["attempts"]), body(row)]).collect()
}

#[test]
fn everything_in_it_is_seen_as_it_was_left() {
    let sandbox = sample();
    let found: Vec<String> = rows(&sandbox).iter().map(|row| format!("{} {} {:?}", row[0], row[2], row[3])).collect();
    let expected = [
        r#"ready 1 "first\n""#,
        r#"delayed 0 "scheduled\n""#,
        r#"claimed 1 "held by a receipt\n""#,
        r#"claimed 1 "held by a worker that was killed\n""#,
        r#"dead 1 "YmluYXJ5AP8K""#,
        r#"dead 2 "fails\n""#,
        r#"damaged 0 "null""#,
    ];
    assert_eq!(found, expected);
    sandbox.mq(["config", "sample", "max_attempts"]).code(0).prints("2\n");
    let dead = sandbox.mq(["dlq", "ls", "sample", "--json", "--full"]).code(0).json();
    assert_eq!((&dead[0]["reason"], &dead[0]["redrives"]), (&"still no good".into(), &1.into()));
    assert_eq!(dead[0]["history"].as_array().unwrap().len(), 4);
    assert_eq!(dead[1]["history"][1]["stderr"], "what went wrong\n");
    assert_eq!(dead[1]["history"][1]["exit"], 3);
    let ready = sandbox.mq(["ls", "sample", "--state", "ready", "--json"]).code(0).json();
    assert_eq!(ready[0]["headers"], serde_json::json!({"Trace-Id": "a \"b\" ü", "From": "cron"}));
    assert_eq!(ready[0]["content_type"], "text/plain");
}

#[test]
fn what_the_crashes_left_is_mended_and_all_of_it_can_be_worked_off() {
    let sandbox = sample();
    let before = rows(&sandbox).len();
    sandbox.mq(["fsck", "sample"]).code(65);
    sandbox.mq(["fsck", "sample", "--repair"]).code(0);
    sandbox.mq(["fsck", "sample"]).code(0).prints("");
    // One whole draft and a batch of two were published, a placeholder was removed.
    assert_eq!(rows(&sandbox).len(), before + 3);
    let printed = sandbox.mq(["work", "sample", "--drain", "--", "cat"]).ok();
    let expected =
        "held by a worker that was killed\nfirst\nwhole in tmp, never published\nfirst of a batch\nsecond of a batch\n";
    assert_eq!(printed, expected);
    let states: Vec<String> = rows(&sandbox).into_iter().map(|[state, ..]| state).collect();
    assert_eq!(states, ["delayed", "claimed", "dead", "dead", "damaged"]);
}
