//! `mq complete`: the words that the shell completions ask for. Hidden: nobody types it.

use super::exit::Exit;
use super::help::TOPICS;
use super::output::Out;
use super::{Cli, Globals};
use crate::queue::name::{Id, State};
use crate::queue::{KEYS, Outcome};
use anyhow::Result;
use clap::CommandFactory;
use std::ops::ControlFlow;

/// The arguments of `mq complete`.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
    /// For ids: in which queue
    queue: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Queues,
    Ids,
    States,
    Settings,
    Outcomes,
    Topics,
    Commands,
}

/// So many ids are enough to choose from.
const IDS: usize = 100;

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let mut out = Out::new();
    for word in words(globals, args) {
        out.line(&word)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// What can't be found out is no word: a completion says nothing of errors.
fn words(globals: &Globals, args: &Args) -> Vec<String> {
    let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match args.what {
        What::Queues => globals.all().unwrap_or_default(),
        What::Ids => args.queue.as_deref().map(|queue| ids(globals, queue)).unwrap_or_default(),
        What::States => texts(&State::ALL.map(State::word)),
        What::Settings => texts(&KEYS.each_ref().map(|key| key.name)),
        What::Outcomes => texts(&Outcome::ALL.map(Outcome::word)),
        What::Topics => texts(&TOPICS.map(|(name, ..)| name)),
        What::Commands => {
            let cli = Cli::command();
            cli.get_subcommands().filter(|command| !command.is_hide_set()).map(|c| c.get_name().to_string()).collect()
        }
    }
}

fn ids(globals: &Globals, queue: &str) -> Vec<String> {
    let mut ids: Vec<Id> = Vec::new();
    let Ok((queue, _)) = globals.open(queue) else { return Vec::new() };
    for state in State::ALL {
        let _ = queue.each_place(state, |place, _| {
            ids.push(place.id());
            Ok(if ids.len() < IDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        if ids.len() >= IDS {
            break;
        }
    }
    ids.iter().map(Id::to_string).collect()
}
