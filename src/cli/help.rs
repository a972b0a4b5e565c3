//! `mq help`: the pages of commands, and topics that no single command owns.

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Out;
use anyhow::Result;
use clap::CommandFactory;

pub const EXAMPLES: &str = "\
Examples:
  seq 9 | mq send jobs --lines              nine messages, durable when this returns
  mq work jobs --drain -- xargs -n1 echo    run a command for each, its body on stdin
  mq ls jobs; mq dlq ls jobs                what waits, and what failed for good
  mq dlq redrive jobs --all                 send what failed round again
";

/// The arguments of `mq help`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A command, or: cron, systemd, exit-codes, json, receipts, idempotency
    #[arg(value_name = "COMMAND|TOPIC")]
    about: Option<String>,
}

/// Every topic: its name, its title, its text.
pub const TOPICS: [(&str, &str, &str); 6] = [
    ("cron", "mq in a crontab", CRON),
    ("systemd", "mq as a service", SYSTEMD),
    ("exit-codes", "what each exit code means", ""),
    ("json", "messages as JSON", JSON),
    ("receipts", "claim in one command, acknowledge in the next", RECEIPTS),
    ("idempotency", "jobs that may run twice", IDEMPOTENCY),
];

pub fn run(_: &Globals, args: &Args) -> Result<Exit> {
    let mut out = Out::new();
    let mut cli = super::Cli::command();
    let Some(about) = &args.about else {
        out.line(&cli.render_long_help().to_string())?;
        out.line("Topics (mq help TOPIC):")?;
        for (name, title, _) in TOPICS {
            out.line(&format!("  {name:<12} {title}"))?;
        }
        out.flush()?;
        return Ok(Exit::Done);
    };
    if let Some((name, title, text)) = TOPICS.iter().find(|(name, ..)| name == about) {
        out.line(&format!("{name}: {title}\n"))?;
        match *name {
            "exit-codes" => out.bytes(exit_codes().as_bytes())?,
            _ => out.bytes(text.as_bytes())?,
        }
        out.flush()?;
        return Ok(Exit::Done);
    }
    cli.build();
    let Some(command) = cli.find_subcommand_mut(about.as_str()).filter(|command| !command.is_hide_set()) else {
        let topics: Vec<&str> = TOPICS.iter().map(|(name, ..)| *name).collect();
        return Err(Failure::usage(format!("there is no help on '{about}'"))
            .hint(format!("mq help lists the commands; topics are {}", topics.join(", ")))
            .into());
    };
    out.line(&command.render_long_help().to_string())?;
    out.flush()?;
    Ok(Exit::Done)
}

fn exit_codes() -> String {
    let mut text = String::new();
    for (_, code, meaning) in Exit::TABLE {
        text.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    text.push_str(
        "\nThe exit code of a command for several messages is that of the first failure; all are tried.\n\
         In a loop, stop at anything but 0 and 1:\n\n\
         \x20 while true; do\n\
         \x20     receipt=$(mq claim jobs) || { code=$?; [ $code -eq 1 ] && break; exit $code; }\n\
         \x20     echo \"$receipt\"\n\
         \x20     mq ack \"$receipt\"\n\
         \x20 done\n",
    );
    text
}

const CRON: &str = "\
Cron has no memory of what it ran: a queue gives it one. Let one line send, and another work off what is there.

  # every five minutes: a message for each file that is complete, which then goes; then work them off
  */5 * * * *  find /srv/in -name '*.csv' -mmin +1 -exec mq send files -q --file {} ';' -exec rm {} ';'
  */5 * * * *  mq work files --drain -q -- /usr/local/bin/import

Two of them at once do no harm: a message is never in two live hands. Set MQ_ROOT at the top of the crontab when the
queues are not in the home directory. In a crontab, write \\% for %.
";

const SYSTEMD: &str = "\
/etc/systemd/system/mq-jobs.service:

  [Unit]
  Description=Work off the queue jobs

  [Service]
  Environment=MQ_ROOT=/var/lib/mq
  ExecStart=/usr/local/bin/mq work jobs -j 4 -- /usr/local/bin/handle-job
  KillMode=mixed
  TimeoutStopSec=1h
  Restart=on-failure
  User=jobs

  [Install]
  WantedBy=multi-user.target

KillMode=mixed sends TERM to mq alone: it claims no more and lets its jobs finish. After TimeoutStopSec whatever is left is
killed, and those messages are delivered again at once by the next worker.
";

const JSON: &str = "\
ls, show, claim, stats, replay, dlq ls and fsck have --json: one object a line, parts that do not apply left out.

  id uid queue state priority attempts max_attempts sent_at due_at lease_until held_by size_bytes headers
  content_type group unique unique_until expires_at reason redrives      receipt in claim
  body or body_base64, history                                           with --full
  history: attempt started_at outcome exit|signal duration_s reason stderr

*_at is RFC 3339 in UTC, *_s is seconds, *_bytes is bytes. What ls writes, send reads, and json, delay and ttl beside it:

  mq ls jobs --state dead --full --json | mq send other --jsonl
  mq ls jobs --state dead --json | jq -r 'select(.reason | test(\"timeout\")) | .id' | mq dlq redrive jobs -
";

const RECEIPTS: &str = "\
mq claim prints a receipt, QUEUE:ID:TOKEN, one word to keep and hand back as it is. With it any later command, of any
process, may finish the claim:

  receipt=$(mq claim jobs --lease 1h)
  mq cat \"$receipt\"                    the body
  mq extend \"$receipt\" --lease 1h      another hour from now
  mq ack \"$receipt\"                    done
  mq nack \"$receipt\" --delay 5m        failed: again in five minutes
  mq dead \"$receipt\" --reason 'why'    failed for good

Exit 6 means that the lease ran out and the message was taken back: whatever you did may be done again by somebody else.
A job of mq work finds its receipt in $MQ_RECEIPT and may settle its own message; then its exit code does not matter.
";

const IDEMPOTENCY: &str = "\
A message is delivered at least once. After a crash it may come again, so a job should be safe to run twice. What stays
the same in every delivery, through retries, redrives and moves, is $MQ_UID:

  mq work payments -- sh -c '
      done=/srv/payments/done/$MQ_UID
      [ -e \"$done\" ] && exit 0
      pay-it --idempotency-key \"$MQ_UID\" && touch \"$done\"'

Services that charge or send usually take such a key; a database takes it as a unique column. And mq itself:

  mq send jobs x --unique KEY          sends nothing while a message of the key is in the queue
  mq work jobs --skip-done -- …        acknowledges without a job what such a worker has completed before
  mq work jobs --to next -- …          sends on what a job prints, once, also when it runs twice

mq(7) has a table of what gives which guarantee.
";
