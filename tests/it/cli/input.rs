//! Hostile input, as bytes: whatever comes in comes out, and nothing of it is obeyed.

use crate::support::sandbox::Sandbox;

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
