//! `mq send --unique`: one message of a key at a time.

use super::{Args, Ids};
use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::queue::{Draft, Error, OnDuplicate, Published, Unique, Until, check_key};
use anyhow::Result;

/// What to do when the unique key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duplicate {
    Skip,
    Replace,
    Fail,
}

/// What the options say of a key.
pub(super) fn of(args: &Args) -> Option<Unique> {
    let until = args.unique_until.unwrap_or(Until::Settled);
    args.unique.clone().map(|key| Unique { key, until })
}

fn on_duplicate(args: &Args) -> Duplicate {
    match args.on_duplicate.as_deref() {
        Some("replace") => Duplicate::Replace,
        Some("fail") => Duplicate::Fail,
        _ => Duplicate::Skip,
    }
}

/// Refuses what makes no sense together.
pub(super) fn check(args: &Args) -> Result<()> {
    if args.unique.is_some() && args.body.len().max(args.file.len()) > 1 {
        let failure = Failure::usage("send: --unique is for one message, and there are several");
        return Err(failure.hint("send one by one, or with --jsonl, each with its own \"unique\"").into());
    }
    if args.max_delay.is_some() && on_duplicate(args) != Duplicate::Replace {
        return Err(Failure::usage("send: --max-delay is for --on-duplicate replace").into());
    }
    Ok(())
}

/// Publishes one message, under its key if it has one.
pub(super) fn publish(globals: &Globals, args: &Args, draft: Draft<'_>, mut ids: Ids) -> Result<Exit> {
    let on = match on_duplicate(args) {
        Duplicate::Replace => OnDuplicate::Replace { max_delay: args.max_delay },
        Duplicate::Skip | Duplicate::Fail => OnDuplicate::Skip,
    };
    let published = draft.publish_unless(on).map_err(|error| held(args, error))?;
    let key = args.unique.clone().unwrap_or_default();
    match published {
        Published::Sent(sent) | Published::Replaced(sent) => ids.sent(sent.id),
        Published::Stands(id) if on_duplicate(args) == Duplicate::Fail => {
            return Err(Error::Duplicate { key, id }.into());
        }
        Published::Stands(id) => {
            ids.sent(id);
            globals.talk(&format!("a message of the unique key {key:?} is there already: not sent"));
        }
    }
    ids.end()
}

/// Only what waits can be replaced.
fn held(args: &Args, error: Error) -> anyhow::Error {
    match error {
        Error::Held { .. } if args.unique.is_some() => Failure::new(Exit::from(&error), error.to_string())
            .hint("--unique-until claimed lets one more wait while one is worked on")
            .into(),
        error => error.into(),
    }
}

/// A key as it may be said.
pub(super) fn key(text: &str) -> Result<String, String> {
    check_key(text).map(|()| text.to_string())
}
