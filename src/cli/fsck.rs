//! `mq fsck`: goes through a queue, and mends what a crash or a person left.

use super::Globals;
use super::exit::Exit;
use super::json;
use super::output::{Out, field, on_terminal};
use super::progress::Bytes;
use super::table::Tint;
use crate::queue::{Finding, Mended, Repair, Trouble};
use anyhow::Result;
use serde_json::{Map, Value};

pub const EXAMPLES: &str = "\
Examples:
  mq fsck jobs                 says nothing, or what is wrong, one line each; changes nothing
  mq fsck jobs --repair        mends it; deletes nothing that was ever sent
  mq ls | cut -f1 | while read -r q; do mq fsck \"$q\"; done

Piped: a line a finding, tab-separated: trouble path detail mended ('-' when it is left). Troubles:
  foreign     not mq's: a name, a kind of file, or a second link to a message; a person decides
  damaged     a message that fails its check; set aside in damaged/
  twin        one message under two names: one name goes; or one id for two messages: one gets a new id
  orphaned    left by a process that is gone: finished, or taken back
  misplaced   in a directory that is not the one its name says; moved there
  unreadable  it can't be read, or is of a format that this mq does not know; left
  litter      what nobody will use again; removed
  seq         the file of the last id is behind, or does not check; made anew

Exit 65: something is wrong, and with --repair still is. 0: all is well, or was mended.
";

/// The arguments of `mq fsck`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    /// A name, or a path with a slash in it
    queue: String,
    /// Mend what can be mended
    #[arg(long)]
    repair: bool,
    /// One JSON object a finding
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> Result<Exit> {
    let (queue, spot) = globals.open(&args.queue)?;
    let mut out = Out::new();
    let mut progress = Bytes::new(globals, None, "findings");
    let mut left = 0_u64;
    let mut found = 0_u64;
    let mut told = Ok(());
    let repair = if args.repair { Repair::Mend } else { Repair::Report };
    let checked = queue.fsck(repair, &mut |finding| {
        found += 1;
        left += u64::from(finding.mended == Mended::Left);
        progress.add(1);
        if told.is_ok() {
            told = line(&finding, args).and_then(|line| out.line(&line));
        }
    });
    progress.finish();
    told?;
    if checked.is_ok() && on_terminal() && !args.json {
        let mended = found - left;
        let word = match (found, left) {
            (0, _) => Tint::Good.paint("ok"),
            (_, 0) => Tint::Good.paint(&format!("ok: {mended} mended")),
            _ if args.repair => Tint::Bad.paint(&format!("{left} left, {mended} mended")),
            _ => Tint::Bad.paint(&format!("{left} found; mq fsck {} --repair mends what can be mended", spot.label)),
        };
        out.line(&word)?;
    }
    out.flush()?;
    checked?;
    Ok(if left > 0 { Exit::Data } else { Exit::Done })
}

fn line(finding: &Finding, args: &Args) -> Result<String> {
    let Finding { trouble, path, detail, mended } = finding;
    let path = path.to_string_lossy();
    let mended = match mended {
        Mended::Left => None,
        Mended::Done(done) => Some(done.as_str()),
    };
    if args.json {
        let map: Map<String, Value> = [
            ("trouble", trouble.word().into()),
            ("path", path.as_ref().into()),
            ("detail", detail.as_str().into()),
            ("mended", mended.into()),
        ]
        .map(|(name, value): (&str, Value)| (name.to_string(), value))
        .into_iter()
        .collect();
        return json::text(&map);
    }
    if !on_terminal() {
        let columns = [trouble.word(), path.as_ref(), detail, mended.unwrap_or("-")];
        return Ok(columns.map(field).join("\t"));
    }
    let shown = |text: &str| super::output::shown(text, super::output::Screen::Line);
    let tint = if mended.is_some() { Tint::Good } else { tint(*trouble) };
    let done = mended.map(|done| format!(" → {}", shown(done))).unwrap_or_default();
    Ok(format!(
        "{}  {}\n            {}{done}",
        tint.paint(&format!("{:<10}", trouble.word())),
        shown(&path),
        shown(detail)
    ))
}

fn tint(trouble: Trouble) -> Tint {
    match trouble {
        Trouble::Damaged | Trouble::Unreadable => Tint::Bad,
        _ => Tint::Busy,
    }
}
