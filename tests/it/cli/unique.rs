//! `mq send --unique`.

use crate::support::sandbox::Sandbox;

fn bodies(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    rows.iter().map(|row| row["body"].as_str().unwrap_or_default().to_string()).collect()
}

#[test]
fn skip_prints_the_one_that_stands_fail_says_so_and_replace_takes_its_place() {
    let sandbox = Sandbox::new();
    let id = sandbox.mq(["send", "jobs", "a", "--unique", "k"]).ok();
    sandbox.mq(["send", "jobs", "b", "--unique", "k"]).code(0).prints(&id).says("\"k\" is there already");
    sandbox.mq(["send", "jobs", "b", "--unique", "k", "-q"]).code(0).silent();
    sandbox.mq(["send", "jobs", "b", "--unique", "k", "--on-duplicate", "fail"]).code(8).prints("").says("\"k\"");
    assert_eq!(bodies(&sandbox), ["a\n"]);
    sandbox.mq(["send", "jobs", "c", "--unique", "k", "--on-duplicate", "replace"]).code(0).prints(&id);
    sandbox.mq(["send", "jobs", "d", "--unique", "other"]).ok();
    assert_eq!(bodies(&sandbox), ["c\n", "d\n"]);
    let row = &sandbox.mq(["ls", "jobs", "--json", id.trim_end()]).code(0).json()[0];
    assert_eq!((&row["unique"], &row["unique_until"]), (&"k".into(), &"settled".into()));
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn a_key_is_free_again_however_its_message_ends() {
    let sandbox = Sandbox::new();
    let send = || sandbox.mq(["send", "jobs", "x", "--unique", "k", "--on-duplicate", "fail"]);
    send().code(0);
    for end in ["work jobs --drain -- true", "work jobs --drain -- sh -c 'exit 100'", "rm jobs --all --state ready"] {
        send().code(8);
        sandbox.sh(&format!("mq {end}")).one_of(&[0, 10]);
        send().code(0);
    }
    sandbox.sh("r=$(mq claim jobs) && mq nack --delay 1h $r").code(0);
    send().code(8);
    sandbox.sh("mq rm jobs --all --state delayed").code(0);
    send().code(0);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn a_claimed_one_is_not_replaced() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "x", "--unique", "k"]).ok();
    sandbox.mq(["claim", "jobs"]).ok();
    let replace = ["send", "jobs", "y", "--unique", "k", "--on-duplicate", "replace"];
    sandbox.mq(replace).code(75).says("--unique-until claimed");
    sandbox.mq(["send", "jobs", "y", "--unique", "j", "--unique-until", "claimed"]).ok();
    sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["send", "jobs", "z", "--unique", "j", "--unique-until", "claimed", "--on-duplicate", "fail"]).ok();
}

#[test]
fn records_have_keys_of_their_own() {
    let sandbox = Sandbox::new();
    let lines = r#"{"body":"1","unique":"a"}
{"body":"2","unique":"b","unique_until":"claimed"}
{"body":"3","unique":"a"}
{"body":"4"}
"#;
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], lines).code(0).says("1 message was not sent");
    sandbox.mq_stdin(["send", "jobs", "--jsonl", "--ids"], lines).code(0).says("3 messages were not sent");
    assert_eq!(bodies(&sandbox), ["1", "2", "4", "4"]);
    for bad in [r#"{"body":"1","unique":""}"#, r#"{"body":"1","unique_until":"claimed"}"#] {
        sandbox.mq_stdin(["send", "jobs", "--jsonl"], bad).code(65).says("unique");
    }
    for bad in [
        &["--lines", "--unique", "k"][..],
        &["a", "b", "--unique", "k"],
        &["a", "--unique", ""],
        &["a", "--unique", &"x".repeat(129)],
        &["a", "--unique", "k", "--max-delay", "1s"],
        &["a", "--unique", "k", "--unique-until", "never"],
        &["a", "--unique-until", "claimed"],
    ] {
        sandbox.mq([&["send", "jobs"], bad].concat()).code(2).prints("");
    }
}

#[test]
fn forty_processes_publish_one() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let script = "for n in $(seq 40); do mq send jobs --unique k -- $n & done; wait";
    let ids = sandbox.sh(script).code(0).lines();
    assert_eq!(ids.len(), 40);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(bodies(&sandbox).len(), 1);
}
