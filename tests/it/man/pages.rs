//! Section 1 of the manual, from the clap definitions: `mq.1`, and a page for each command.

use super::{repository, same_as_committed};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use mq::cli::Cli;
use mq::cli::exit::Exit;
use std::collections::BTreeSet;

/// No wider than a page of 80 columns has room for, beside its margin.
const WIDTH: usize = 72;
/// When section 1 last changed in more than its options.
const DATE: &str = "2026-11-25";
const MADE: &str = ".\\\" Made from the clap definitions by tests/it/man/pages.rs: MQ_BLESS=1 cargo test\n";
/// An apostrophe that troff leaves straight, as the renderers define it.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

#[test]
fn section_1_is_as_the_commands_say() {
    let mut cli = Cli::command();
    cli.build();
    let mut pages = Vec::new();
    pages.push(("mq.1".to_string(), overview(&cli)));
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        each(command, "mq", &mut pages);
    }
    for (name, text) in &pages {
        same_as_committed(&format!("man/{name}"), &tidy(name, text));
    }
    let wanted: BTreeSet<String> = pages.into_iter().map(|(name, _)| name).collect();
    let found: BTreeSet<String> = std::fs::read_dir(repository("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".1"))
        .collect();
    assert_eq!(found, wanted, "a page without a command, or a command without a page");
}

/// A command's page, then those of its own commands.
fn each(command: &Command, parent: &str, pages: &mut Vec<(String, String)>) {
    let name = format!("{parent}-{}", command.get_name());
    pages.push((format!("{name}.1"), page(command, &name)));
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        each(command, &name, pages);
    }
}

fn overview(cli: &Command) -> String {
    let man = man(cli, "mq");
    let mut text = start(&man);
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut roff,
        "A queue is a directory, and a message is a file in it. Any number of unrelated processes may send to it and work \
         it off at once, with no server between them, and any of them may be killed at any moment, and so may the machine.",
    );
    paragraph(
        &mut roff,
        "When mq send exits 0, the message survives kill -9 and a power cut. It is delivered until somebody \
         acknowledges it, dead-letters it or deletes it; after a crash it may be delivered again, but never to two live \
         holders at once. A message that fails too often goes to the dead-letter queue, with the reason.",
    );
    paragraph(&mut roff, "mq(7) is a tutorial; mq(5) describes the files.");
    roff.control("SH", ["COMMANDS"]);
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        roff.control("TP", []);
        roff.text([bold(format!("mq-{}", command.get_name())), roman("(1)")]);
        roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    examples(&mut roff, cli);
    text.push_str(&roff.render());
    text.push_str(&options(&man));
    let mut roff = Roff::new();
    roff.control("SH", ["QUEUES"]);
    paragraph(
        &mut roff,
        "A queue is said by its name, up to 64 letters, digits, '.', '_' and '-' of which the first is a letter or a digit, \
         or, with a slash in it, by its path. Names are found under the root: --root, else $MQ_ROOT, else the user's data \
         directory. mq send and mq work without any argument mean the queue 'default'. They make a queue that is missing if \
         it was said by its name; one at a path is made by mq create alone.",
    );
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, what) in [
        ("MQ_ROOT", "The directory that holds the queues, unless --root says another."),
        ("XDG_DATA_HOME, HOME", "Else they are in mq below the first, or in .local/share/mq below the second."),
        ("TZ", "The time zone of local times, read and shown."),
        ("NO_COLOR, TERM", "No colour if the first is set, or the second is dumb."),
    ] {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(what)]);
    }
    paragraph(&mut roff, "What a job of mq work finds in its environment is in mq-work(1).");
    roff.control("SH", ["FILES"]);
    for (name, what) in [
        ("$MQ_ROOT/QUEUE/", "A queue; mq(5) names everything in it."),
        ("~/.local/share/mq/", "The root where nothing else is said."),
    ] {
        roff.control("TP", []);
        roff.text([italic(name)]);
        roff.text([roman(what)]);
    }
    exit_status(&mut roff);
    roff.control("SH", ["NOTES"]);
    paragraph(&mut roff, "Another program called mq, for Markdown, exists; this one has nothing to do with it.");
    see_also(&mut roff, cli, "mq", &["mq(5)", "mq(7)", "flock(2)", "crontab(5)", "systemd.service(5)"]);
    text.push_str(&roff.render());
    text
}

fn page(command: &Command, name: &str) -> String {
    let man = man(command, name);
    let mut text = start(&man);
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    paragraph(&mut roff, &format!("{about}."));
    notes(&mut roff, command);
    examples(&mut roff, command);
    text.push_str(&roff.render());
    let mut roff = Roff::new();
    if command.has_subcommands() {
        roff.control("SH", ["COMMANDS"]);
        for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            roff.control("TP", []);
            roff.text([bold(format!("{name}-{}", below.get_name())), roman("(1)")]);
            roff.text([roman(below.get_about().map(ToString::to_string).unwrap_or_default())]);
        }
    } else {
        text.push_str(&options(&man));
    }
    roff.control("SH", ["GLOBAL OPTIONS"]);
    paragraph(
        &mut roff,
        "--root, --quiet, --color and --help are the same for every command: see mq(1), which lists the exit codes too.",
    );
    let parent = name.rsplit_once('-').map_or("mq", |(parent, _)| parent);
    let mut also = vec!["mq(1)", "mq(5)", "mq(7)"];
    let above = format!("{parent}(1)");
    if parent != "mq" {
        also.insert(0, &above);
    }
    see_also(&mut roff, command, name, &also);
    text.push_str(&roff.render());
    text
}

/// The command as its page shows it: global options in `mq.1` alone.
fn man(command: &Command, name: &str) -> Man {
    let whole = name == "mq";
    let mut shown = command
        .clone()
        .mut_args(|arg| {
            let hide = arg.is_hide_set() || (!whole && (arg.is_global_set() || arg.get_id() == "help"));
            arg.hide(hide).hide_short_help(false)
        })
        .display_name(name.to_string());
    let usage = shown.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).trim().to_string();
    Man::new(shown.override_usage(usage))
}

fn start(man: &Man) -> String {
    let mut bytes = Vec::new();
    man.render_name_section(&mut bytes).unwrap();
    man.render_synopsis_section(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What the renderers say once for each section is said once, and nothing that a lint of manual pages minds.
fn tidy(name: &str, text: &str) -> String {
    let title = name.trim_end_matches(".1").to_uppercase();
    let mut tidy = format!(
        "{MADE}{APOSTROPHE}.TH \"{title}\" \"1\" \"{DATE}\" \"mq {}\" \"mq manual\"\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut after_heading = false;
    for line in text.lines() {
        if APOSTROPHE.lines().any(|prelude| prelude == line)
            || line.starts_with(".TH ")
            || (after_heading && line == ".PP")
            || line.is_empty()
        {
            continue;
        }
        after_heading = line.starts_with(".SH ");
        tidy.push_str(&line.replace('…', "..."));
        tidy.push('\n');
    }
    tidy
}

fn options(man: &Man) -> String {
    let mut bytes = Vec::new();
    man.render_options_section(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn paragraph(roff: &mut Roff, text: &str) {
    roff.control("PP", []);
    roff.text([roman(text)]);
}

/// What stands before the help: "Examples:" and their lines, then paragraphs.
fn before_help(command: &Command) -> (Vec<String>, Vec<String>) {
    let text = command.get_before_long_help().map(ToString::to_string).unwrap_or_default();
    let mut blocks = text.trim_end().split("\n\n").map(str::to_string);
    let examples = blocks.next().unwrap_or_default();
    let examples = examples.strip_prefix("Examples:\n").map(|lines| lines.lines().map(str::to_string).collect());
    let blocks = blocks.collect();
    (examples.unwrap_or_default(), blocks)
}

fn examples(roff: &mut Roff, command: &Command) {
    let (examples, _) = before_help(command);
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    literal(roff, &examples);
}

/// Lines that begin with spaces are shown as they are, others run together.
fn notes(roff: &mut Roff, command: &Command) {
    let (_, blocks) = before_help(command);
    for block in blocks {
        let mut shown: Vec<String> = Vec::new();
        let mut prose = String::new();
        for line in block.lines() {
            if line.starts_with(' ') {
                if !prose.is_empty() {
                    paragraph(roff, &std::mem::take(&mut prose));
                }
                shown.push(line.to_string());
            } else {
                if !shown.is_empty() {
                    listed(roff, &std::mem::take(&mut shown));
                }
                if !prose.is_empty() {
                    prose.push(' ');
                }
                prose.push_str(line);
            }
        }
        if !prose.is_empty() {
            paragraph(roff, &prose);
        }
        if !shown.is_empty() {
            listed(roff, &shown);
        }
    }
}

/// What stands apart from the prose: words with their meanings, names in a row, or lines as they are.
fn listed(roff: &mut Roff, lines: &[String]) {
    let meanings: Option<Vec<(&str, &str)>> = lines.iter().map(|line| line.trim().split_once("  ")).collect();
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ' ' | '…');
    if let Some(meanings) = meanings {
        for (word, meaning) in meanings {
            roff.control("TP", []);
            roff.text([bold(word)]);
            roff.text([roman(meaning.trim())]);
        }
    } else if lines.iter().all(|line| line.chars().all(name)) {
        roff.control("RS", ["4"]);
        paragraph(roff, &lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "));
        roff.control("RE", []);
    } else {
        literal(roff, lines);
    }
}

/// Lines as they are; where comments beside commands would stick out, they are put below them.
fn literal(roff: &mut Roff, lines: &[String]) {
    let indent = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| &line[indent..]).collect();
    let wide = lines.iter().any(|line| comment_at(line).is_some() && line.chars().count() > WIDTH);
    roff.control("PP", []);
    roff.control("nf", []);
    for line in lines {
        match comment_at(line).filter(|_| wide) {
            Some(at) => {
                roff.text([roman(line[..at].trim_end())]);
                roff.text([roman(format!("    {}", line[at..].trim_start()))]);
            }
            None => {
                roff.text([roman(line)]);
            }
        }
    }
    roff.control("fi", []);
}

/// Where the comment beside a command begins: after a gap.
fn comment_at(line: &str) -> Option<usize> {
    let start = line.len() - line.trim_start().len();
    line[start..].find("   ").map(|at| start + at)
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (_, code, meaning) in Exit::TABLE {
        roff.control("TP", []);
        roff.text([bold(code.to_string())]);
        roff.text([roman(meaning)]);
    }
    paragraph(
        roff,
        "A command for several messages tries all of them; its exit code is that of the first failure. A reading command \
         whose output nobody reads any more ends with 0. The codes are stable.",
    );
}

fn see_also(roff: &mut Roff, command: &Command, name: &str, also: &[&str]) {
    roff.control("SH", ["SEE ALSO"]);
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut pages: Vec<String> = below.map(|command| format!("{name}-{}(1)", command.get_name())).collect();
    pages.extend(also.iter().map(ToString::to_string));
    let mut line: Vec<Inline> = Vec::new();
    for (at, page) in pages.iter().enumerate() {
        let (page, section) = page.split_once('(').unwrap();
        line.push(bold(page));
        line.push(roman(format!("({section}{}", if at + 1 < pages.len() { ", " } else { "" })));
    }
    roff.text(line);
}
