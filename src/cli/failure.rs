//! What went wrong, for a person: `mq: what path: why`, a `hint:` line where there is something to do, and the exit code.

use super::exit::Exit;
use super::output::{Screen, shown};
use crate::queue::Error;
use std::fmt;

/// A failure whose words and code are decided at the edge.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error from anywhere below.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    if let Some(error) = error.downcast_ref::<Error>() {
        return Exit::from(error);
    }
    if error.downcast_ref::<std::io::Error>().is_some() {
        return Exit::Io;
    }
    Exit::Bug
}

/// What to do about it, where mq knows something.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.hint.clone();
    }
    match error.downcast_ref::<Error>()? {
        Error::Disk(error) if error.no_room() => {
            Some("there is no space: mq rm, mq dlq purge or a larger disk make room".into())
        }
        Error::Disk(error) if error.source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Some("raise the limit of open files: ulimit -n".into())
        }
        Error::BadQueue { .. } => Some("restore queue.json from a backup, or write {\"mq\":1} into it by hand".into()),
        Error::Differs { .. } => Some("mq config QUEUE KEY VALUE changes a setting".into()),
        Error::Limit { path, key, .. } => Some(format!("mq config {} {key} VALUE changes the limit", path.display())),
        Error::Held { .. } => Some("mq ls QUEUE --state claimed shows who holds what".into()),
        Error::Damaged { .. } => Some("mq fsck QUEUE tells more; nothing damaged is ever deleted".into()),
        Error::Elsewhere { .. } => Some(
            "one rename can't cross file systems: mq ls QUEUE … --full --json | mq send OTHER --jsonl, then mq rm"
                .into(),
        ),
        _ => None,
    }
}

/// What went wrong, each thing once: what was being done, then why.
pub fn told(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            parts.push(crate::fs::plain(error));
            break;
        }
        parts.push(cause.to_string());
        // These have told their own causes.
        if cause.is::<Error>() || cause.is::<crate::fs::Error>() || cause.is::<Failure>() {
            break;
        }
    }
    parts.join(": ")
}

/// Tells it on stderr. Closed or full, there is nobody left to tell.
pub fn report(error: &anyhow::Error) {
    say(&told(error));
    if let Some(hint) = hint_of(error) {
        say_raw(&format!("hint: {}", shown(&hint, Screen::Line)));
    }
}

/// One line on stderr, `mq: …`, whatever the text contains.
pub fn say(text: &str) {
    say_raw(&format!("mq: {}", shown(text, Screen::Line)));
}

fn say_raw(line: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
