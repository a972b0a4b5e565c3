//! What deletes and moves prints: the id of each message, the same lines with and without `--dry-run`.

use super::exit::Exit;
use super::failure::{Failure, told};
use super::output::Out;
use super::progress::Bytes;
use super::{Globals, Talk};
use crate::queue::name::Id;
use anyhow::Result;

/// Whether to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    /// Only say what would be done.
    Dry,
}

impl Mode {
    pub fn of(dry_run: bool) -> Mode {
        if dry_run { Mode::Dry } else { Mode::Real }
    }
}

/// The ids so far. Once something is gone, a stdout that can't be written to stops nothing: what was begun is done to its
/// end, and said to be done.
#[derive(Debug)]
pub struct Taken {
    mode: Mode,
    out: Out,
    progress: Option<Bytes>,
    count: u64,
    unprinted: Option<anyhow::Error>,
}

impl Taken {
    /// Lines on a terminal are progress enough; elsewhere a long run shows a count on stderr.
    pub fn new(globals: &Globals, mode: Mode) -> Taken {
        let silent = super::output::on_terminal() || globals.talk_level() == Talk::Quiet;
        let progress = (!silent).then(|| Bytes::new(globals, None, "messages"));
        Taken { mode, out: Out::new(), progress, count: 0, unprinted: None }
    }

    pub fn line(&mut self, id: Id) -> Result<()> {
        self.text(&id.to_string())
    }

    /// A line that says more than the id.
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.count += 1;
        if let Some(progress) = &mut self.progress {
            progress.add(1);
        }
        if self.unprinted.is_none() {
            let printed = self.out.line(text);
            self.keep(printed)?;
        }
        Ok(())
    }

    /// Everything is printed, or this says what was done all the same. `done` is as in "12 messages {done}".
    pub fn finish(mut self, done: &str) -> Result<()> {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
        if self.unprinted.is_none() {
            let printed = self.out.flush();
            self.keep(printed)?;
        }
        match self.unprinted {
            None => Ok(()),
            Some(error) => {
                let plural = if self.count == 1 { "" } else { "s" };
                let text =
                    format!("{} message{plural} {done}, but not all ids were printed: {}", self.count, told(&error));
                Err(Failure::new(Exit::Io, text).into())
            }
        }
    }

    fn keep(&mut self, printed: Result<()>) -> Result<()> {
        match (printed, self.mode) {
            (Err(error), Mode::Real) => {
                self.unprinted = Some(error);
                Ok(())
            }
            (printed, _) => printed,
        }
    }
}
