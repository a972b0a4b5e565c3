//! `mq config`: shows and changes a queue's settings.

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Out, on_terminal};
use crate::queue::{KEYS, Queue, key};
use crate::time::format_duration;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq config jobs                       every setting, its value, and where it comes from
  mq config jobs max_attempts          one value
  mq config jobs backoff 10s..30m      change it; workers see it at their next claim
  mq config jobs --unset backoff       back to the built-in value
";

/// The arguments of `mq config`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// A setting, written with _ or -
    key: Option<String>,
    /// Its new value
    value: Option<String>,
    /// Back to the built-in value
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key", "value"])]
    unset: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (mut queue, _) = globals.open(&args.queue)?;
    let refused = |why: String| Failure::usage(why);
    if let Some(name) = &args.unset {
        queue.settings().clone().unset(name).map_err(refused)?;
        queue.configure(|settings| settings.unset(name))?;
        return Ok(Exit::Done);
    }
    match (&args.key, &args.value) {
        (Some(name), Some(value)) => {
            queue.settings().clone().set(name, value).map_err(refused)?;
            queue.configure(|settings| settings.set(name, value))?;
        }
        (Some(name), None) => {
            let Some(key) = key(name) else {
                let why = queue.settings().clone().unset(name).err().unwrap_or_default();
                return Err(refused(why).into());
            };
            let mut out = Out::new();
            out.line(&queue.settings().value(key))?;
            out.flush()?;
        }
        (None, _) => print(&queue, args)?,
    }
    Ok(Exit::Done)
}

fn print(queue: &Queue, args: &Args) -> Result<()> {
    let mut out = Out::new();
    let settings = queue.settings();
    if args.json {
        let map: serde_json::Map<String, serde_json::Value> =
            KEYS.iter().map(|key| (key.name.to_string(), settings.value(key).into())).collect();
        out.line(&serde_json::to_string(&map)?)?;
        return out.flush();
    }
    for key in &KEYS {
        let from = if settings.said(key).is_some() { "queue.json" } else { "built-in" };
        let value = settings.value(key);
        let mut line = match on_terminal() {
            true => format!("{:<14} {value:<14} {from}", key.name),
            false => format!("{}\t{value}\t{from}", key.name),
        };
        if key.name == "backoff" && on_terminal() {
            let total = settings.backoff().total(settings.max_attempts());
            let attempts = settings.max_attempts();
            line.push_str(&format!("; {attempts} attempts take up to {} of waiting", format_duration(total)));
        }
        out.line(&line)?;
    }
    out.flush()
}
