//! What stands in a queue, read from the plain files by rules of its own: the names are taken apart and the checksums
//! computed here, not by the code under test.

use crate::support::memory::Machine;
use serde_json::Value;
use std::collections::BTreeMap;

/// One whole message.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    /// The directory of its state.
    pub state: String,
    pub id: String,
    pub priority: u8,
    pub attempts: u32,
    pub due: Option<u64>,
    pub uid: String,
    pub body: Vec<u8>,
    /// Its whole history records, and how many bytes stand behind them.
    pub history: Vec<Value>,
}

/// Everything below a queue's directory.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub messages: Vec<Seen>,
    /// Files in `damaged/`, reasons aside.
    pub damaged: Vec<String>,
    /// In `tmp/`, and control files that were never renamed.
    pub litter: Vec<String>,
    /// What stands where it should not, with the reason.
    pub wrong: Vec<String>,
    /// What stands in for the first message of a group.
    tickets: Vec<Ticket>,
}

#[derive(Clone, Debug)]
struct Ticket {
    mark: String,
    /// `parked` in the directory of a group without messages.
    state: String,
    id: String,
    attempts: u32,
    due: Option<u64>,
}

impl Survey {
    pub fn of(machine: &Machine, queue: &str) -> Survey {
        let mut survey = Survey::default();
        for path in machine.files(queue) {
            let parts: Vec<&str> = path.split('/').collect();
            match parts.as_slice() {
                ["queue.json" | "seq" | "wake" | "paused" | "pace"] => (),
                ["cancel", name] if !name.is_empty() => survey.litter.push(path),
                ["unique", _, name] if name.ends_with('~') => survey.litter.push(path),
                ["unique", ..] | ["memory", ..] | ["reserve", ..] => (),
                [name] if name.starts_with("control-") => survey.litter.push(path),
                ["groups", mark, "ticket"] => survey.tickets.push(Ticket {
                    mark: (*mark).to_string(),
                    state: "parked".to_string(),
                    id: String::new(),
                    attempts: 0,
                    due: None,
                }),
                [state @ ("ready" | "delayed" | "claimed" | "dead"), .., name] if is_ticket(name) => {
                    match ticket(state, &path) {
                        Ok(ticket) => survey.tickets.push(ticket),
                        Err(why) => survey.wrong.push(format!("{path}: {why}")),
                    }
                }
                [state @ ("groups" | "ready" | "delayed" | "claimed" | "dead" | "done"), .., name]
                    if !name.is_empty() =>
                {
                    let bytes = machine.read(format!("{queue}/{path}")).unwrap_or_default();
                    match seen(state, &path, &bytes) {
                        Ok(seen) => survey.messages.push(seen),
                        Err(why) => survey.wrong.push(format!("{path}: {why}")),
                    }
                }
                ["damaged", name] if !name.is_empty() && !name.ends_with(".why") => survey.damaged.push(path),
                ["tmp", "" | _, ..] if path != "tmp/" => survey.litter.push(path),
                [.., ""] | ["damaged", _] => (),
                _ => survey.wrong.push(format!("{path}: foreign")),
            }
        }
        survey.turns();
        let mut ids = BTreeMap::new();
        for seen in &survey.messages {
            if let Some(other) = ids.insert(&seen.id, &seen.path) {
                survey.wrong.push(format!("{}: has the id of {other}", seen.path));
            }
        }
        survey
    }

    /// Each group has one ticket, which says where its first message is; a group with messages has it where somebody looks.
    fn turns(&mut self) {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, seen) in self.messages.iter().enumerate().filter(|(_, seen)| seen.state == "groups") {
            let mark = seen.path.split('/').nth(1).unwrap_or_default();
            groups.entry(mark.to_string()).or_default().push(at);
        }
        for (mark, messages) in &groups {
            let tickets: Vec<&Ticket> = self.tickets.iter().filter(|ticket| ticket.mark == *mark).collect();
            match tickets.as_slice() {
                [ticket] if ticket.state != "parked" => (),
                tickets => self.wrong.push(format!("group {mark} with messages has the tickets {tickets:?}")),
            }
            for &at in messages {
                let seen = &mut self.messages[at];
                let own = self.tickets.iter().find(|ticket| ticket.mark == *mark && ticket.id == seen.id);
                seen.state = own.map_or("ready", |ticket| &ticket.state).to_string();
                (seen.attempts, seen.due) = own.map_or((0, None), |ticket| (ticket.attempts, ticket.due));
            }
        }
    }
}

fn is_ticket(name: &str) -> bool {
    name.split('-').any(|word| word.len() == 17 && word.starts_with('t'))
}

fn ticket(state: &str, path: &str) -> Result<Ticket, String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let at = name.find("-t").ok_or("no ticket")?;
    let (words, mark) = (&name[..at], &name[at + 2..at + 18]);
    let mut words: Vec<&str> = words.split('-').collect();
    let due = if state == "delayed" { Some(number(words.remove(0), 16)?) } else { None };
    let [id, _, _, attempts] = words.as_slice() else { return Err("too few words".into()) };
    Ok(Ticket {
        mark: mark.to_string(),
        state: state.to_string(),
        id: (*id).to_string(),
        attempts: u32::try_from(number(attempts, 5)?).unwrap_or(0),
        due,
    })
}

/// Takes a message apart; the error says what is wrong with it or with where it stands.
fn seen(state: &str, path: &str, bytes: &[u8]) -> Result<Seen, String> {
    let mut dirs: Vec<&str> = path.split('/').skip(1).collect();
    let mut words: Vec<&str> = dirs.pop().unwrap_or_default().split('-').collect();
    let due = match state {
        "delayed" => Some(number(words.remove(0), 16)?),
        _ => None,
    };
    let [id, bucket, priority, attempts, lease @ ..] = words.as_slice() else { return Err("too few words".into()) };
    let (group, lease) = match lease {
        [group, rest @ ..] if group.len() == 17 && group.starts_with('g') => (Some(&group[1..]), rest),
        lease => (None, lease),
    };
    let (id_number, bucket_number) = (number(id, 16)?, number(bucket, 16)?);
    if bucket_number > id_number {
        return Err("its bucket is younger than itself".into());
    }
    let home: Vec<String> = match state {
        "ready" => vec![priority.to_string(), bucket.to_string()],
        "delayed" => vec![format!("{:016}", due.unwrap_or(0) / 60_000_000 * 60_000_000)],
        "claimed" => vec![],
        "groups" if dirs.len() > 1 => vec![group.unwrap_or("no group").to_string(), bucket.to_string()],
        "groups" => vec![group.unwrap_or("no group").to_string()],
        _ => vec![bucket.to_string()],
    };
    if dirs != home {
        return Err(format!("does not stand in {home:?}"));
    }
    match (state, lease) {
        ("claimed", [lease, token]) if lease.len() == 13 && token.len() == 26 => (),
        ("claimed", _) => return Err("has no lease".into()),
        (_, []) => (),
        _ => return Err("too many words".into()),
    }
    let (header, body, rest) = open(bytes)?;
    if header["priority"].as_u64() != Some(number(priority, 1)?) {
        return Err("its header has another priority".into());
    }
    let lines = rest.strip_prefix(b"\n").unwrap_or_default();
    let history = lines.split_inclusive(|&byte| byte == b'\n').map_while(|line| serde_json::from_slice(line).ok());
    Ok(Seen {
        path: path.to_string(),
        state: state.to_string(),
        id: (*id).to_string(),
        priority: u8::try_from(number(priority, 1)?).unwrap_or(0),
        attempts: u32::try_from(number(attempts, 5)?).unwrap_or(0),
        due,
        uid: header["uid"].as_str().unwrap_or_default().to_string(),
        body: body.to_vec(),
        history: history.collect(),
    })
}

/// The header, the body and what follows, of a whole message.
pub fn open(bytes: &[u8]) -> Result<(Value, &[u8], &[u8]), String> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("has no header")? + 1;
    let header: Value = serde_json::from_slice(&bytes[..end]).map_err(|error| format!("header: {error}"))?;
    let size = header["size_bytes"].as_u64().and_then(|size| usize::try_from(size).ok()).ok_or("has no length")?;
    let body = bytes.get(end..end + size).ok_or("its body ends early")?;
    let mut summed = bytes[..end + size].to_vec();
    summed[17..25].fill(b'0');
    if header["crc32"] != format!("{:08x}", crc32fast::hash(&summed)) {
        return Err("its checksum is wrong".into());
    }
    Ok((header, body, &bytes[end + size..]))
}

fn number(text: &str, width: usize) -> Result<u64, String> {
    if text.len() != width || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text} is not {width} digits"));
    }
    text.parse().map_err(|error| format!("{text}: {error}"))
}
