//! What `mq send` prints: the ids of what is sent.

use super::Args;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, say, told};
use crate::cli::output::Out;
use crate::cli::{Globals, Talk};
use crate::queue::name::Id;
use anyhow::Result;

/// The printing of ids: what is sent is sent, so an id that can't be printed is told about and remembered for the exit.
pub(super) struct Ids {
    out: Option<Out>,
    pub count: u64,
    failed: Option<anyhow::Error>,
    level: Talk,
}

impl Ids {
    pub fn new(globals: &Globals, args: &Args, records: bool) -> Ids {
        let wanted = args.ids || (!records && globals.talk_level() == Talk::Normal);
        Ids { out: wanted.then(Out::new), count: 0, failed: None, level: globals.talk_level() }
    }

    pub fn talk(&self, text: &str) {
        if self.level == Talk::Normal {
            say(text);
        }
    }

    pub fn sent(&mut self, id: Id) {
        self.count += 1;
        if let (Some(out), None) = (&mut self.out, &self.failed) {
            self.failed = out.line(&id.to_string()).err();
        }
    }

    /// The ids so far are with the reader: of a send that goes on, a reader may wait for them.
    pub fn flush(&mut self) {
        if let (Some(out), None) = (&mut self.out, &self.failed) {
            self.failed = out.flush().err();
        }
    }

    pub fn end(&mut self) -> Result<Exit> {
        self.flush();
        if let Some(error) = self.failed.take() {
            let count = self.count;
            let what = if count == 1 { "the message is sent".into() } else { format!("all {count} messages are sent") };
            return Err(Failure::new(Exit::Io, format!("{what}, but its id can't be printed: {}", told(&error))).into());
        }
        Ok(Exit::Done)
    }
}
