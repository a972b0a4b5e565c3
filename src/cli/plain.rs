//! The plainest command lines, words and `-q`, read without clap. A shell script starts mq thousands of times, and to make
//! clap's idea of a command and ask it takes 0.19 ms: of a send, without the disk's part, 0.49 (perf, callgrind: 290,000 of its
//! 400,000 instructions, and 15 of its 63 page faults).
//!
//! Nothing is decided here. What has an option, or is not as it should be, is left to clap, which knows what to say; and what
//! is read here clap reads as the same: the test below holds every line of a few words against it.

use super::commands::Command;
use super::{Cli, Globals, ack, claim, extend, nack, output, pop, send};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// A command line without the program's name, if it is a plain one.
pub(super) fn parse(mut line: impl Iterator<Item = OsString>) -> Option<Cli> {
    let name = line.next()?;
    let (words, quiet) = split(line)?;
    let command = match name.to_str()? {
        "send" => Command::Send(send::Args::plain(words)?),
        "claim" => Command::Claim(claim::Args::plain(words)?),
        "ack" => Command::Ack(ack::Args::plain(words)?),
        "nack" => Command::Nack(nack::Args::plain(words)?),
        "extend" => Command::Extend(extend::Args::plain(words)?),
        "pop" => Command::Pop(pop::Args::plain(words)?),
        _ => return None,
    };
    Some(Cli { globals: Globals { root: None, quiet, color: output::Color::default() }, command })
}

/// The words that are no options, and whether `-q` was among the others; `None` where another option is.
fn split(line: impl Iterator<Item = OsString>) -> Option<(Vec<OsString>, bool)> {
    let (mut words, mut quiet, mut ended) = (Vec::new(), false, false);
    for word in line {
        match word.as_bytes() {
            _ if ended => words.push(word),
            b"--" => ended = true,
            b"-q" | b"--quiet" if !quiet => quiet = true,
            [b'-', ..] => return None,
            _ => words.push(word),
        }
    }
    Some((words, quiet))
}

/// Words that have to be text.
pub(super) fn text(words: Vec<OsString>) -> Option<Vec<String>> {
    words.into_iter().map(|word| word.into_string().ok()).collect()
}

/// The one word that there is, as text.
pub(super) fn one(words: Vec<OsString>) -> Option<String> {
    text(words)?.try_into().ok().map(|[word]: [String; 1]| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::ffi::OsStr;

    const COMMANDS: [&str; 6] = ["send", "claim", "ack", "nack", "extend", "pop"];

    fn line(words: &[&OsStr]) -> Vec<OsString> {
        words.iter().map(|word| word.to_os_string()).collect()
    }

    #[test]
    fn what_is_read_without_clap_clap_reads_as_the_same() {
        let words = ["jobs", "", "é=1", "-q", "--quiet", "--", "-", "-n", "--json", "help"].map(OsStr::new);
        let words = [&words[..], &[OsStr::from_bytes(b"\xff")]].concat();
        let one = words.iter().map(|word| vec![*word]);
        let two = words.iter().flat_map(|first| words.iter().map(|second| vec![*first, *second]));
        let three = two.clone().flat_map(|two| words.iter().map(move |third| [&two[..], &[*third]].concat()));
        let lines: Vec<_> = std::iter::once(Vec::new()).chain(one).chain(two).chain(three).collect();
        let mut read = 0;
        for command in COMMANDS {
            for words in &lines {
                let line = line(&[&[OsStr::new(command)], &words[..]].concat());
                let Some(plain) = parse(line.iter().cloned()) else { continue };
                let clap = Cli::try_parse_from(std::iter::once("mq".into()).chain(line.clone()));
                let clap = clap.unwrap_or_else(|error| panic!("{line:?}: {error}"));
                assert_eq!(format!("{plain:?}"), format!("{clap:?}"), "{line:?}");
                read += 1;
            }
        }
        assert!(read > 1000, "only {read} were plain");
    }

    #[test]
    fn what_scripts_say_is_plain() {
        let lines: [&[&str]; 8] = [
            &["send"],
            &["send", "jobs"],
            &["send", "jobs", "one", "two"],
            &["send", "-q", "jobs", "--", "-x"],
            &["claim", "jobs"],
            &["ack", "jobs:1795600800123456:mfzwi"],
            &["nack", "--quiet", "jobs:1795600800123456:mfzwi"],
            &["pop", "jobs"],
        ];
        for words in lines {
            assert!(parse(words.iter().map(OsString::from)).is_some(), "{words:?}");
        }
        let others: [&[&str]; 7] = [
            &[],
            &["sned", "jobs"],
            &["stats"],
            &["claim"],
            &["claim", "jobs", "more"],
            &["send", "jobs", "-p", "9"],
            &["send", "-q", "-q"],
        ];
        for words in others {
            assert!(parse(words.iter().map(OsString::from)).is_none(), "{words:?}");
        }
    }
}
