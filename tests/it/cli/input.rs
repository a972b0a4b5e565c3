//! Hostile input, as bytes: whatever comes in comes out, and nothing of it is obeyed.

use crate::support::sandbox::Sandbox;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_body_is_never_more_than_a_body() {
    let sandbox = Sandbox::new();
    for body in [
        "; rm -rf /",
        "$(touch pwned)",
        "`touch pwned`",
        "'\"\\",
        "a\nb",
        "-rf",
        "--help",
        "{}",
        "\u{1b}]52;c;x\u{7}",
        "\u{202e}",
    ] {
        let id = sandbox.mq(["send", "jobs", "--no-newline", "--", body]).ok();
        assert_eq!(sandbox.mq(["cat", "jobs", id.trim_end()]).ok(), body);
    }
    assert!(!sandbox.dir().join("pwned").exists());
}

#[test]
fn names_that_reach_outside_are_refused() {
    let sandbox = Sandbox::new();
    let long = "a".repeat(65);
    for name in ["..", ".", "-q", "a\nb", "a\u{1b}b", "ü", " ", long.as_str()] {
        let told = sandbox.mq(["create", "--", name]).code(2);
        assert!(told.stderr.is_ascii() || name == "ü", "{:?}", told.stderr);
        assert!(!told.stderr.contains('\u{1b}'));
    }
    assert_eq!(std::fs::read_dir(sandbox.dir().join("root")).unwrap().count(), 0);
}

#[test]
fn headers_too_large_or_too_many_are_refused_and_nothing_is_sent() {
    let sandbox = Sandbox::new();
    let long = format!("a={}", "x".repeat(70_000));
    sandbox.mq(["send", "jobs", "x", "-H", &long]).code(65).says("65536");
    let mut line = String::from("{\"body\":\"x\",\"headers\":{");
    for n in 0..20_000 {
        line.push_str(&format!("\"h{n}\":\"v\","));
    }
    line.push_str("\"z\":\"v\"}}\n");
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], &line).code(65).says("more than 1000 headers");
    assert_eq!(sandbox.mq(["ls", "jobs", "--ids"]).code(0).text(), "");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    for args in [
        &["claim", "jobs", "-n", "0"][..],
        &["claim", "jobs", "-n", "-1"],
        &["claim", "jobs", "-n", "x"],
        &["claim", "jobs", "-n", "99999999999999999999"],
        &["claim", "jobs", "--lease", "0"],
        &["claim", "jobs", "--lease", "40w40w"],
        &["claim", "jobs", "--wait", "-1s"],
        &["send", "jobs", "--delay", "999999999w", "x"],
        &["send", "jobs", "--size", "99999999999T", "x"],
    ] {
        let told = sandbox.mq(args).code(2);
        assert!(told.stderr.starts_with("mq: "), "{}", told.stderr);
    }
}

/// What somebody might take for an id, a receipt, a key or the name of a header.
fn odd_words() -> Vec<OsString> {
    let mut words: Vec<OsString> =
        ["..", "../../etc/passwd", "/", "", "a\nb", "\u{1b}[31m", "-rf", "--", "a:b:c", "%2e%2e:1:2", "jobs:..:.."]
            .map(OsString::from)
            .into();
    words.push(OsString::from("1".repeat(255)));
    words.push(OsString::from(format!("jobs:{}:{}", "1".repeat(16), "/".repeat(255))));
    words.push(OsStr::from_bytes(b"\xff\xfe").to_os_string());
    words
}

#[test]
fn odd_words_are_no_ids_receipts_headers_or_groups() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let before = (sandbox.tree("jobs"), std::fs::read_dir(sandbox.dir()).unwrap().count());
    for word in odd_words() {
        let equals = |name: &str| [OsStr::new(name), &word].join(OsStr::new(""));
        let header = [&word, OsStr::new("=x")].join(OsStr::new(""));
        let commands: [Vec<OsString>; 13] = [
            words(&["show", "jobs", "--"], &word),
            words(&["cat", "jobs", "--"], &word),
            words(&["rm", "jobs", "--"], &word),
            words(&["cancel", "jobs", "--"], &word),
            words(&["move", "jobs", "--to", "jobs", "--"], &word),
            words(&["replay", "jobs", "--"], &word),
            words(&["cat", "--"], &word),
            words(&["ack", "--"], &word),
            words(&["nack", "--"], &word),
            words(&["extend", "--"], &word),
            words(&["send", "jobs", "x", "-H"], &header),
            words(&["send", "jobs", "x", "--delay", "1w"], &equals("--group=")),
            words(&["claim", "--lease", "1s", "--"], &word),
        ];
        for command in commands {
            let told = sandbox.mq(&command).one_of(&[1, 2, 3, 6, 65]);
            assert!(told.stdout.is_empty(), "{command:?}: {}", told.text());
            let obeyed = told.stderr.contains(crate::support::things::obeyed);
            assert!(told.stderr.starts_with("mq: ") && !obeyed, "{command:?}: {:?}", told.stderr);
        }
    }
    assert_eq!((sandbox.tree("jobs"), std::fs::read_dir(sandbox.dir()).unwrap().count()), before);
    sandbox.mq(["show", "jobs", &id]).ok();
}

fn words(first: &[&str], last: &OsStr) -> Vec<OsString> {
    first.iter().map(OsString::from).chain([last.to_os_string()]).collect()
}

#[test]
fn a_workers_numbers_out_of_range_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    for option in [
        "-j=0",
        "-j=-1",
        "-j=x",
        "-n=0",
        "-n=-1",
        "--batch=0",
        "--batch=1e9",
        "--for=-1s",
        "--for=soon",
        "--timeout=1y",
        "--stop-timeout=-1",
        "--linger=x",
    ] {
        let told = sandbox.mq(["work", "jobs", option, "--", "true"]).code(2);
        assert!(told.stderr.starts_with("mq: "), "{option}: {}", told.stderr);
    }
    for option in
        ["-p=10", "-p=-1", "--ttl=-1s", "--ttl=x", "--at=yesterday", "--at=@x", "--at=9999-99-99", "--flush=x"]
    {
        let told = sandbox.mq(["send", "jobs", option, "x"]).code(2);
        assert!(told.stderr.starts_with("mq: "), "{option}: {}", told.stderr);
    }
    for (key, value) in [
        ("max_attempts", "99999999999999999999"),
        ("max_attempts", "-1"),
        ("lease", "-1s"),
        ("rate", "-1/s"),
        ("rate", "1e300/s"),
        ("max_bytes", "99999999999999999999T"),
        ("max_messages", "0x10"),
        ("retain", "99999999999w"),
    ] {
        sandbox.mq(["config", "jobs", key, "--", value]).code(2).says(key);
    }
    sandbox.mq(["ls", "jobs"]).one_of(&[0, 1]).prints("");
}
