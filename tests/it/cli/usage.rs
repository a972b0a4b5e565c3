//! Help, exit codes and errors of the command line.

use crate::support::sandbox::Sandbox;
use mq::cli::exit::Exit;

#[test]
fn help_is_there_for_every_command_and_topic() {
    let sandbox = Sandbox::new();
    let text = sandbox.mq(["help"]).ok();
    let commands: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        assert!(sandbox.mq(["help", command]).ok().contains("Usage: mq "), "{command}");
        // A terminal has 24 lines, of which the prompt takes one.
        let short = sandbox.sh(&format!("COLUMNS=80 mq {command} -h")).ok();
        assert!(short.lines().count() < 24, "{command} -h has {} lines", short.lines().count());
        if !["help", "complete"].contains(&command) {
            let long = sandbox.mq([command, "--help"]).ok();
            assert!(long.starts_with("Examples:\n"), "{command} --help begins with {:?}", long.lines().next());
        }
    }
    for topic in ["cron", "systemd", "exit-codes", "json", "receipts", "idempotency"] {
        assert!(sandbox.mq(["help", topic]).ok().starts_with(topic));
        assert!(text.contains(topic));
    }
    sandbox.mq(["help", "nothing"]).code(2).says("topics are cron");
}

#[test]
fn the_exit_codes_are_one_table() {
    let sandbox = Sandbox::new();
    let text = sandbox.mq(["help", "exit-codes"]).ok();
    for (exit, code, meaning) in Exit::TABLE {
        assert_eq!(exit.code(), code);
        assert!(text.contains(&format!("{code:>3}  {meaning}")), "{code}");
    }
    let codes: Vec<u8> = Exit::TABLE.iter().map(|(_, code, _)| *code).collect();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 65, 70, 74, 75, 126, 127]);
}

#[test]
fn a_typo_gets_a_line_and_a_hint() {
    let sandbox = Sandbox::new();
    sandbox.mq(["sned", "jobs"]).code(2).says("sned").says("hint: ");
    sandbox.mq::<[&str; 0]>([]).code(2).says("Usage: mq");
    sandbox.mq(["claim"]).code(2).says("claim: ").says("<QUEUE>");
    sandbox.mq(["claim", "jobs", "--leas", "3"]).code(2).says("hint: a similar argument exists: '--lease'");
    // Beside the other thing that it may be.
    sandbox
        .mq(["send", "jobs", "--line"])
        .code(2)
        .says("hint: a similar argument exists: '--lines'")
        .says("comes after --");
    sandbox.mq(["--version"]).code(0).prints(&format!("mq {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_closed_pipe_ends_a_reading_command_in_silence() {
    let sandbox = Sandbox::new();
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], lines).ok();
    for command in ["ls jobs", "ls jobs --json", "help", "show jobs --json", "config jobs"] {
        let script = format!("set -o pipefail; mq {command} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}");
        sandbox.sh(&script).code(0).silent().prints("0\n");
    }
    sandbox.sh("mq ls jobs >/dev/full").code(74).says("cannot write to stdout");
}
