//! The body as an argument: put where `{}` stands, or after the last word. It is one argument whatever it contains, since no
//! shell sees it; only the word after a shell's own `-c` would be read as a program, and there it is refused.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One argument is no longer than this on Linux, its NUL included (execve(2), `MAX_ARG_STRLEN`).
const ARGUMENT_MAX: usize = 128 << 10;
const PLACE: &[u8] = b"{}";
const SHELLS: [&str; 10] = ["sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "mksh", "fish", "tcsh"];

/// Refuses a command in which a shell would run the body as its script.
///
/// # Errors
/// One clause that says so.
pub fn refuse_shell_word(words: &[OsString]) -> Result<(), String> {
    let appended = !words.iter().skip(1).any(|word| contains(word.as_bytes(), PLACE));
    let mut shell = None;
    let mut words = words.iter().map(|word| word.as_bytes()).peekable();
    while let Some(word) = words.next() {
        let Some(name) = shell else {
            shell = shell_name(word);
            continue;
        };
        match shell_option(word) {
            // Its script, or `--`: what follows are the script's own arguments. Another shell may be among them.
            ShellOption::None => shell = shell_name(word),
            ShellOption::Other => (),
            ShellOption::WithWord => drop(words.next()),
            ShellOption::Command => {
                let script = words.peek().map_or(appended, |script| contains(script, PLACE));
                if script {
                    return Err(format!(
                        "--arg: {name} {} would run the body as a script",
                        String::from_utf8_lossy(word)
                    ));
                }
            }
        }
    }
    Ok(())
}

fn shell_name(word: &[u8]) -> Option<&'static str> {
    let name = Path::new(OsStr::from_bytes(word)).file_name()?.to_str()?;
    SHELLS.into_iter().find(|shell| *shell == name)
}

/// What a shell makes of one word after its name.
enum ShellOption {
    None,
    Other,
    /// `-o`, `-O`: the next word is its value.
    WithWord,
    /// `-c`, `-ec`, `-lc`: the next word is a script.
    Command,
}

fn shell_option(word: &[u8]) -> ShellOption {
    match word {
        [b'-', b'-', _, ..] => ShellOption::Other,
        [b'-' | b'+', cluster @ ..] if !cluster.is_empty() && cluster != b"-" => match cluster {
            cluster if cluster.contains(&b'c') => ShellOption::Command,
            cluster if cluster.iter().any(|letter| matches!(letter, b'o' | b'O')) => ShellOption::WithWord,
            _ => ShellOption::Other,
        },
        _ => ShellOption::None,
    }
}

/// The command's words with the body in them, one trailing newline dropped.
///
/// # Errors
/// Why no command line can hold this body.
pub(super) fn with_body(words: &[CString], body: &[u8]) -> Result<Vec<CString>, String> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    if body.contains(&0) {
        return Err("the body has a NUL byte, which no argument can hold".into());
    }
    let mut placed = false;
    let mut filled = Vec::with_capacity(words.len() + 1);
    for (at, word) in words.iter().enumerate() {
        let mut word = word.as_bytes().to_vec();
        if at > 0 && contains(&word, PLACE) {
            placed = true;
            word = replace(&word, body);
        }
        filled.push(word);
    }
    if !placed {
        filled.push(body.to_vec());
    }
    let argument = |word: Vec<u8>| match CString::new(word) {
        Ok(word) if word.as_bytes_with_nul().len() <= ARGUMENT_MAX => Ok(word),
        _ => Err(too_long(body.len() as u64)),
    };
    filled.into_iter().map(argument).collect()
}

/// What is said of a body that is too long for one argument.
pub(super) fn too_long(size: u64) -> String {
    format!("the body of {size} bytes is too long for an argument, which holds 128 KiB")
}

fn contains(word: &[u8], part: &[u8]) -> bool {
    word.windows(part.len()).any(|window| window == part)
}

fn replace(mut word: &[u8], body: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(word.len() + body.len());
    while let Some(at) = word.windows(PLACE.len()).position(|window| window == PLACE) {
        filled.extend_from_slice(&word[..at]);
        filled.extend_from_slice(body);
        word = &word[at + PLACE.len()..];
    }
    filled.extend_from_slice(word);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(words: &[&str], body: &[u8]) -> Result<Vec<String>, String> {
        let words: Vec<CString> = words.iter().map(|word| CString::new(*word).unwrap()).collect();
        Ok(with_body(&words, body)?.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn the_body_is_one_argument_whatever_it_contains() {
        for body in ["; rm -rf x", "$(touch x)", "`x`", "a\nb", "'\"\\", "{}", "-rf", ""] {
            assert_eq!(fill(&["cmd", "a"], body.as_bytes()).unwrap(), ["cmd", "a", body]);
            assert_eq!(fill(&["cmd", "{}", "b"], format!("{body}\n").as_bytes()).unwrap(), ["cmd", body, "b"]);
            assert_eq!(fill(&["cmd", "x{}y{}"], body.as_bytes()).unwrap(), ["cmd", &format!("x{body}y{body}")]);
        }
        assert_eq!(fill(&["cmd"], b"two\n\n").unwrap(), ["cmd", "two\n"]);
        assert_eq!(fill(&["{}"], b"x").unwrap(), ["{}", "x"]);
    }

    #[test]
    fn what_no_argument_can_hold_is_said() {
        assert!(fill(&["cmd"], b"a\0b").unwrap_err().contains("NUL"));
        assert!(fill(&["cmd"], &vec![b'x'; ARGUMENT_MAX - 1]).is_ok());
        assert!(fill(&["cmd"], &vec![b'x'; ARGUMENT_MAX]).unwrap_err().contains("too long"));
        assert!(fill(&["cmd", "x{}"], &vec![b'x'; ARGUMENT_MAX - 1]).is_err());
    }

    #[test]
    fn a_body_never_becomes_a_script() {
        let check = |words: &[&str]| refuse_shell_word(&words.iter().map(OsString::from).collect::<Vec<_>>());
        for bad in [
            &["sh", "-c", "echo {}"][..],
            &["bash", "-ec", "{}"],
            &["/usr/bin/env", "X=1", "/bin/bash", "-c", "x {}"],
            &["sudo", "sh", "-c", "{}"],
            &["sh", "-c"],
            &["ssh", "host", "sh", "-c", "{}"],
            &["bash", "-o", "pipefail", "--norc", "-c", "{}"],
            &["busybox", "sh", "-c", "{}"],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for good in [
            &["sh", "-c", "echo \"$1\"", "x", "{}"][..],
            &["sh", "-c", "echo \"$1\"", "x"],
            &["sh", "script.sh", "{}"],
            &["sh", "script.sh", "-c", "{}"],
            &["sh", "-e", "script.sh", "-c"],
            &["curl", "-c", "{}"],
            &["echo"],
            &[],
        ] {
            assert!(check(good).is_ok(), "{good:?}");
        }
    }
}
