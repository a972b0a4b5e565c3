//! SELECT: which messages a command means. Ids, ids from stdin, or all, narrowed by what is known of each.
//!
//! Several ids: all are tried, each failure is a line on stderr, and the exit is the first one's. Nothing here collects:
//! ids are looked up some thousands at a time, all others are met in one walk over the names.

mod narrow;
mod run;

use super::exit::Exit;
use super::failure::{Failure, exit_of, report};
use super::look::Look;
use super::queues::Spot;
use crate::queue::name::State;
use crate::queue::{Outcome, Place, Queue};
use crate::time::parse_duration;
use anyhow::Result;
use std::time::Duration;

/// ID… | - | --all, narrowed.
#[derive(Debug, clap::Args)]
pub struct Select {
    /// Only these messages; - reads ids from stdin, one a line
    #[arg(value_name = "ID")]
    id: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "id", help_heading = "Selecting")]
    all: bool,
    /// Only of this group
    #[arg(long, value_name = "KEY", help_heading = "Selecting")]
    group: Option<String>,
    /// Only with TEXT in body, header or reason
    #[arg(long = "match", value_name = "TEXT", value_parser = text, help_heading = "Selecting")]
    matching: Option<String>,
    /// Only whose last attempt ended so, like timeout
    ///
    /// exit, signal, timeout, lost, cancelled, nack, dead, expired or damaged.
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome, help_heading = "Selecting")]
    outcome: Vec<Outcome>,
    /// Only sent, or dead, for longer than this
    ///
    /// Sent longer ago than this; of dead ones, dead for longer.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Selecting")]
    older_than: Option<Duration>,
    /// At most N, the first in delivery order
    #[arg(short = 'n', value_name = "N", help_heading = "Selecting")]
    count: Option<u64>,
}

/// `--state`, for commands that act on more than one.
#[derive(Debug, clap::Args)]
pub struct States {
    /// Only in these states, like ready,dead
    ///
    /// ready, delayed, claimed, dead, done, damaged.
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = state, help_heading = "Selecting")]
    state: Vec<State>,
}

/// Where a command looks.
#[derive(Clone, Debug)]
pub struct Scope {
    /// For all: in this order.
    pub walk: Vec<State>,
    pub by_id: ById,
}

/// Where a message may be that is named by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ById {
    Anywhere,
    /// Elsewhere it is not selected.
    Walked,
    /// Elsewhere it is not what the command is for: an error.
    Strictly,
}

/// What became of one selected message.
#[derive(Debug)]
pub enum Act {
    Taken,
    /// It is not meant after all, by what the command itself is told.
    Passed,
    /// Somebody else has moved or removed it meanwhile.
    Gone,
    /// It failed, and the others are tried all the same.
    Failed(anyhow::Error),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub taken: u64,
    /// The first failure's.
    pub exit: Exit,
}

impl Tally {
    fn failed(&mut self, error: &anyhow::Error) {
        self.exit = self.exit.or(exit_of(error));
        report(error);
    }

    /// Nothing selected is exit 1.
    pub fn end(self) -> Exit {
        self.exit.or(if self.taken == 0 { Exit::Nothing } else { Exit::Done })
    }
}

impl States {
    pub fn said(&self) -> bool {
        !self.state.is_empty()
    }

    /// The states that were asked for, else these; in the order of delivery.
    pub fn scope(&self, otherwise: &[State]) -> Scope {
        match self.said() {
            false => Scope { walk: otherwise.to_vec(), by_id: ById::Anywhere },
            true => {
                let walk = State::ALL.into_iter().filter(|state| self.state.contains(state)).collect();
                Scope { walk, by_id: ById::Walked }
            }
        }
    }
}

impl Select {
    /// Exactly these.
    pub fn of(ids: &[String]) -> Select {
        let (matching, older_than, count) = (None, None, None);
        Select { id: ids.to_vec(), all: false, matching, outcome: Vec::new(), older_than, count, group: None }
    }

    /// Whether anything at all was said about which messages.
    pub fn said(&self) -> bool {
        self.narrowed() || self.all || self.count.is_some()
    }

    /// Whether some are meant and others not, however many there are.
    pub fn narrowed(&self) -> bool {
        !self.id.is_empty() || self.matching.is_some() || !self.outcome.is_empty() || self.older_than.is_some()
    }

    pub fn all(&self) -> bool {
        self.all
    }

    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// Who deletes or moves says which.
    pub fn demand(&self, command: &str, said: bool) -> Result<()> {
        if said || self.said() {
            return Ok(());
        }
        let hint = "ids, - for ids from stdin, --match, --older-than, … or --all";
        Err(Failure::usage(format!("{command}: which messages?")).hint(hint).into())
    }

    /// Calls `act` with every selected message, in delivery order or, for ids, in the order they were given. What was read
    /// of it for narrowing comes along. An error of `act` itself ends it all.
    pub fn each(
        &self,
        queue: &Queue,
        spot: &Spot,
        scope: &Scope,
        act: &mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    ) -> Result<Tally> {
        let (tally, ended) = self.each_until(queue, spot, scope, act);
        ended.map(|()| tally)
    }

    /// [`Select::each`], with the tally also where an error has ended it.
    pub fn each_until(
        &self,
        queue: &Queue,
        spot: &Spot,
        scope: &Scope,
        act: &mut dyn FnMut(&Place, Option<Look>) -> Result<Act>,
    ) -> (Tally, Result<()>) {
        run::Run::new(self, queue, spot, scope, act).go()
    }
}

/// An empty text is in everything: a variable that was never set must not select all.
fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("an empty text would match everything".into()) } else { Ok(text.into()) }
}

fn state(word: &str) -> Result<State, String> {
    State::parse(word).ok_or_else(|| format!("the states are {}", State::ALL.map(State::word).join(", ")))
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| format!("the outcomes are {}", Outcome::ALL.map(Outcome::word).join(", ")))
}
