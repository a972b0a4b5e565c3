//! What a person sees: tables that fit, and nothing that the terminal would obey.

use super::select::zoo;
use crate::support::pty::{SMALL, Size};
use crate::support::sandbox::Sandbox;

const WIDE: Size = Size { columns: 200, rows: 50 };

/// Without mq's own colours.
fn plain(text: &str) -> String {
    let mut plain = text.to_string();
    for code in ["0", "1", "2", "31", "32", "33", "36"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    plain
}

#[test]
fn tables_fit_the_screen() {
    let zoo = zoo();
    zoo.sandbox.send("zoo", "漢字 and a long line ".repeat(30));
    for size in [SMALL, WIDE] {
        for command in ["ls", "ls zoo", "dlq ls zoo", "show zoo", "stats", "stats zoo", "fsck zoo"] {
            let seen = plain(&zoo.sandbox.on_terminal(size, command.split(' ')).code(0).text());
            assert!(!seen.is_empty() && !seen.contains('\x1b'), "{command}: {seen}");
            for line in seen.lines() {
                assert!(line.chars().count() <= usize::from(size.columns), "{command}: {line}");
            }
        }
    }
    let seen = plain(&zoo.sandbox.on_terminal(WIDE, ["ls", "zoo"]).ok());
    let titles: Vec<&str> = seen.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles, ["ID", "STATE", "PRI", "TRIES", "SENT", "SIZE", "WHY", "BODY"]);
    assert!(seen.contains("passed on") && seen.contains("its checksum does not match"), "{seen}");
}

#[test]
fn hostile_bytes_never_reach_it() {
    let sandbox = Sandbox::new();
    let hostile = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}gpj.exe\u{200b}\r\x08";
    sandbox.mq(["create", "jobs", "--max-attempts", "1"]).ok();
    sandbox.send("jobs", format!("{hostile}\n{hostile}"));
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    sandbox.mq(["dead", receipt.trim(), "--reason", hostile]).ok();
    sandbox.mq(["send", "jobs", "-H", "Name=\u{202e}gpj.exe", "--content-type", "\u{202e}x", "x"]).ok();
    std::fs::write(sandbox.queue("jobs").join(format!("tmp/{}", &hostile.replace('/', "_"))), "").unwrap();
    sandbox.mq(["pause", "jobs", "--reason", hostile]).ok();
    let id = sandbox.mq(["dlq", "ls", "jobs", "--ids"]).ok();
    let id = id.trim();
    for command in [
        "ls",
        "ls --json",
        "ls jobs",
        "ls jobs --full",
        "show jobs",
        &format!("show jobs {id}"),
        &format!("show jobs {id} --json"),
        "stats jobs",
        "stats jobs --json",
        "dlq ls jobs",
        "dlq show jobs",
        "fsck jobs",
        "fsck jobs --json",
        "ls \u{1b}[31m\u{202e}",
        "ls jobs \u{1b}[31m\u{202e}",
    ] {
        let ran = sandbox.on_terminal(SMALL, command.split(' ')).one_of(&[0, 2, 65]);
        for seen in [plain(&ran.text()), ran.stderr.clone()] {
            let obeyed = |c: char| {
                (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            };
            assert!(!seen.contains(obeyed), "mq {command} shows {seen:?}");
        }
    }
    let seen = sandbox.on_terminal(WIDE, ["dlq", "ls", "jobs"]).ok();
    assert!(seen.contains("\\x1b]0;owned\\x07") && seen.contains("\\u{202e}"), "{seen:?}");
}

#[test]
fn json_is_the_same_value_for_everybody() {
    let sandbox = Sandbox::new();
    let body = "\u{9b}31m\u{202e}\u{7f}\u{e0041}";
    sandbox.send("jobs", body);
    let ran = sandbox.mq(["show", "jobs", "--json"]).code(0);
    assert!(ran.stdout.is_ascii());
    assert_eq!(ran.json()[0]["body"], body);
}

#[test]
fn a_hundred_rows_and_how_many_more() {
    let sandbox = Sandbox::new();
    let lines: String = (0..1_234).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], lines).ok();
    let seen = plain(&sandbox.on_terminal(SMALL, ["ls", "jobs"]).ok());
    assert_eq!(seen.lines().count(), 102);
    assert!(seen.lines().last().unwrap().contains("1134 more"), "{seen}");
    assert_eq!(
        sandbox.on_terminal(SMALL, ["ls", "jobs", "-n", "1000", "--color", "never"]).ok().matches("ready").count(),
        1_000
    );
    assert_eq!(sandbox.mq(["ls", "jobs"]).ok().lines().count(), 1_234);
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let zoo = zoo();
    assert!(zoo.sandbox.on_terminal(SMALL, ["ls", "zoo"]).ok().contains("\x1b[32m"));
    assert!(!zoo.sandbox.on_terminal(SMALL, ["ls", "zoo", "--color", "never"]).ok().contains('\x1b'));
    assert!(!zoo.sandbox.mq(["ls", "zoo"]).ok().contains('\x1b'));
}

#[test]
fn a_story_is_told() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-attempts", "1"]).ok();
    let id = sandbox.mq(["send", "jobs", "-H", "Trace=7", "first line\nsecond line"]).ok().trim().to_string();
    sandbox.mq(["work", "jobs", "--drain", "--", "sh", "-c", "echo out of luck >&2; kill -KILL $$"]).code(10);
    let seen = plain(&sandbox.on_terminal(SMALL, ["dlq", "show", "jobs"]).ok());
    for part in [
        &format!("{id} in jobs"),
        "dead since",
        "1 of 1",
        "Trace: 7",
        "  second line",
        "signal 9 (SIGKILL) after",
        "  | out of luck",
    ] {
        assert!(seen.contains(part), "{part:?} is not in {seen}");
    }
    sandbox.mq(["dlq", "redrive", "jobs", "--all"]).ok();
    let seen = plain(&sandbox.on_terminal(SMALL, ["show", "jobs"]).ok());
    assert!(seen.contains("from the dead of jobs"), "{seen}");
    sandbox.mq(["rm", "jobs", "--all"]).ok();
    sandbox.send("jobs", b"\x7fELF\0\x01\x02");
    let seen = plain(&sandbox.on_terminal(SMALL, ["show", "jobs"]).ok());
    assert!(seen.contains("binary; mq cat jobs") && seen.contains("7f 45 4c 46 00 01 02"), "{seen}");
}

#[test]
fn all_is_well_is_said() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    assert_eq!(plain(&sandbox.on_terminal(SMALL, ["fsck", "jobs"]).ok()), "ok\n");
    std::fs::write(sandbox.queue("jobs").join("seq"), "").unwrap();
    let seen = plain(&sandbox.on_terminal(SMALL, ["fsck", "jobs"]).code(65).text());
    assert!(seen.ends_with("1 found; mq fsck jobs --repair mends what can be mended\n"), "{seen}");
    let seen = plain(&sandbox.on_terminal(SMALL, ["fsck", "jobs", "--repair"]).ok());
    assert!(seen.ends_with("ok: 1 mended\n"), "{seen}");
}

#[test]
fn help_fits_and_begins_with_examples() {
    let sandbox = Sandbox::new();
    for command in ["ls", "show", "stats", "rm", "fsck", "dlq", "dlq ls", "dlq show", "dlq redrive", "dlq purge"] {
        let words: Vec<&str> = command.split(' ').collect();
        let short = sandbox.mq(words.iter().chain(&["-h"])).ok();
        assert!(short.lines().count() <= 24, "mq {command} -h has {} lines", short.lines().count());
        let long = sandbox.mq(words.iter().chain(&["--help"])).ok();
        assert!(long.starts_with("Examples:\n"), "{long}");
    }
}

#[test]
fn completions_get_their_words() {
    let zoo = zoo();
    zoo.sandbox.mq(["complete", "queues"]).code(0).prints("zoo\n");
    zoo.sandbox.mq(["complete", "states"]).code(0).prints("ready\ndelayed\nclaimed\ndead\ndone\ndamaged\n");
    assert!(zoo.sandbox.mq(["complete", "settings"]).ok().lines().any(|word| word == "max_attempts"));
    assert!(zoo.sandbox.mq(["complete", "outcomes"]).ok().lines().any(|word| word == "timeout"));
    assert!(zoo.sandbox.mq(["complete", "topics"]).ok().lines().any(|word| word == "exit-codes"));
    assert!(zoo.sandbox.mq(["complete", "commands"]).ok().lines().all(|word| word != "complete"));
    assert_eq!(zoo.sandbox.mq(["complete", "ids", "zoo"]).code(0).lines().len(), 5);
    zoo.sandbox.mq(["complete", "ids", "nowhere"]).code(0).silent().prints("");
}
