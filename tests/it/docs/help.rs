//! The examples before the help of each command are command lines that mq takes.

use super::shell::{Place, installed, skipped};
use clap::{Command, CommandFactory};
use mq::cli::Cli;

#[test]
fn the_examples_of_the_help_are_understood() {
    let mut cli = Cli::command();
    cli.build();
    let mut tried = 0;
    each(&cli, &mut |text| {
        for line in commands(text) {
            let found = Cli::command().try_get_matches_from(&line);
            let good = match &found {
                Ok(_) => true,
                // A command of its own that is to print help.
                Err(error) => !error.use_stderr(),
            };
            assert!(good, "{line:?}: {}", found.unwrap_err());
            tried += 1;
        }
    });
    assert!(tried > 40, "{tried}");
}

#[test]
fn the_topics_of_the_help_are_understood() {
    let place = Place::new();
    let list = place.bash("mq complete topics");
    let topics = String::from_utf8(list.stdout).unwrap();
    assert!(topics.lines().count() >= 6, "{topics}");
    for topic in topics.lines() {
        let text = place.bash(&format!("mq help {topic}"));
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.starts_with(&format!("{topic}: ")), "{text}");
        for line in text.lines().filter(|line| line.starts_with("  ")).flat_map(commands_of) {
            // `mq` by its path in a unit is a command, too; what is no command is prose.
            let known = Cli::command()
                .get_subcommands()
                .any(|command| Some(command.get_name()) == line.get(1).map(String::as_str));
            if known {
                let found = Cli::command().try_get_matches_from(&line);
                assert!(found.is_ok(), "mq help {topic}: {line:?}: {}", found.unwrap_err());
            }
        }
    }
    if !installed("systemd-analyze") {
        return skipped("mq help systemd", "no systemd-analyze here to verify the unit");
    }
    let unit = String::from_utf8(place.bash("mq help systemd").stdout).unwrap();
    let unit: String = unit.lines().filter_map(|line| Some(format!("{}\n", line.strip_prefix("  ")?))).collect();
    place.write("mq-jobs.service", &unit.replace("/usr/local/bin/mq", crate::support::program()));
    let told = place.command("systemd-analyze").args(["verify", "./mq-jobs.service"]).output().unwrap();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(!told.lines().any(|line| line.contains("mq-jobs.service")), "{told}");
}

fn each(command: &Command, then: &mut impl FnMut(&str)) {
    if let Some(text) = command.get_before_long_help() {
        then(&text.to_string());
    }
    for command in command.get_subcommands() {
        each(command, then);
    }
}

/// The words of every `mq` command in a text: up to a gap before a comment, or what a shell would end it at.
fn commands(text: &str) -> Vec<Vec<String>> {
    let Some((_, examples)) = text.split_once("Examples:\n") else { return Vec::new() };
    let lines = examples.lines().take_while(|line| line.starts_with(' '));
    lines.flat_map(commands_of).collect()
}

fn commands_of(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start();
    let mut rest = line.find("   ").map_or(line, |gap| &line[..gap]);
    let mut found = Vec::new();
    while let Some(at) = rest.find("mq ") {
        let starts = at == 0 || rest[..at].ends_with([' ', '(', '/']);
        rest = &rest[at..];
        if starts {
            found.push(words(rest));
        }
        rest = &rest[3..];
    }
    found
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => (quote, begun) = (Some(c), true),
            (' ', None) if begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            (' ', None) => (),
            ('|' | ';' | ')' | '<' | '>' | '&', None) => break,
            (c, _) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    // The end of what find(1) executes.
    let end = words.iter().position(|word| word == ";").unwrap_or(words.len());
    words.truncate(end);
    words
}
