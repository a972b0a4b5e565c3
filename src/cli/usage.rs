//! Errors of the command line in mq's own form: one clear line and a hint, where clap would print a page.

use super::exit::Exit;
use super::failure::say;
use super::output::{Screen, shown};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::io::Write;

/// Tells what is wrong, or prints the help or version that was asked for.
pub fn report(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe has read enough.
            let _ = error.print();
            return Exit::Done;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return Exit::Usage;
        }
        _ => (),
    }
    if error.kind() == ErrorKind::ValueValidation
        && let Some(why) = std::error::Error::source(error)
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
    {
        let flag = argument.split(' ').next().unwrap_or(argument);
        say(&format!("{}{flag}: {why}", subject_of_arguments()));
        return Exit::Usage;
    }
    let text = error.render().to_string();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut what = first.strip_prefix("error: ").unwrap_or(first).to_string();
    let mut hints = Vec::new();
    let mut command = String::from("mq");
    for line in lines {
        if let Some(tip) = line.trim().strip_prefix("tip: ") {
            // A misspelt option is no value.
            if !tip.starts_with("to pass ") {
                hints.push(tip.to_string());
            }
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            command = command_of(usage);
        } else if line.starts_with("  ") && hints.is_empty() && !line.trim_start().starts_with('[') {
            what = format!("{what} {}", line.trim());
        }
    }
    if command == "mq send" && error.kind() == ErrorKind::UnknownArgument {
        hints.push("a body that may begin with '-' comes after --, as in: mq send QUEUE -- \"$x\"".to_string());
    }
    let subject = command.strip_prefix("mq ").map(|name| format!("{name}: ")).unwrap_or_default();
    say(&format!("{subject}{what}"));
    hints.push(format!("{command} -h"));
    let mut stderr = std::io::stderr().lock();
    for hint in hints {
        let _ = stderr.write_all(format!("hint: {}\n", shown(&hint, Screen::Line)).as_bytes());
    }
    Exit::Usage
}

/// `mq send` of `mq send [OPTIONS] [QUEUE] [BODY]...`.
fn command_of(usage: &str) -> String {
    let words = usage.split_ascii_whitespace().take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
    words.collect::<Vec<_>>().join(" ")
}

/// `send: ` when the first argument that names a command is `send`.
fn subject_of_arguments() -> String {
    let cli = super::Cli::command();
    let found = std::env::args_os().skip(1).find_map(|word| {
        let word = word.to_str()?;
        cli.find_subcommand(word).map(|command| format!("{}: ", command.get_name()))
    });
    found.unwrap_or_default()
}
