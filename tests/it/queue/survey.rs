//! What stands in a queue, read from the plain files by rules of its own: the names are taken apart and the checksums
//! computed here, not by the code under test.

use crate::support::memory::Machine;
use serde_json::Value;
use std::collections::BTreeMap;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

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
    /// Of these, messages that are not whole or not where they should be.
    pub torn: Vec<String>,
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
                        Ok(seen) => survey.messages.extend(seen),
                        Err(why) => survey.torn.push(format!("{path}: {why}")),
                    }
                }
                ["damaged", name] if !name.is_empty() && !name.ends_with(".why") => survey.damaged.push(path),
                ["tmp", "" | _, ..] if path != "tmp/" => survey.litter.push(path),
                [.., ""] | ["damaged", _] => (),
                _ => survey.wrong.push(format!("{path}: foreign")),
            }
        }
        survey.wrong.extend(survey.torn.iter().cloned());
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

/// Takes a message apart, or a pack of them; the error says what is wrong with it or with where it stands.
fn seen(state: &str, path: &str, bytes: &[u8]) -> Result<Vec<Seen>, String> {
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
    let (pack, lease) = match lease {
        [count, rest @ ..] if count.len() == 7 && count.starts_with('n') => (Some(number(&count[1..], 6)?), rest),
        lease => (None, lease),
    };
    let (id_number, bucket_number) = (number(id, 16)?, number(bucket, 16)?);
    if bucket_number > id_number {
        return Err("its bucket is younger than itself".into());
    }
    let home: Vec<String> = match state {
        "ready" if pack.is_some() => vec![priority.to_string()],
        "dead" | "done" if pack.is_some() => return Err("no pack stands there".into()),
        "ready" => vec![priority.to_string(), bucket.to_string()],
        "delayed" => vec![format!("{:016}", due.unwrap_or(0) / 60_000_000 * 60_000_000)],
        "claimed" => match lease {
            // In a worker's own directory, which the lease names.
            [lease, _] if lease.starts_with('f') && number(&lease[1..], 12)? > 0 => vec![lease[1..].to_string()],
            _ => vec![],
        },
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
    let whole = Seen {
        path: path.to_string(),
        state: state.to_string(),
        id: (*id).to_string(),
        priority: u8::try_from(number(priority, 1)?).unwrap_or(0),
        attempts: u32::try_from(number(attempts, 5)?).unwrap_or(0),
        due,
        uid: header["uid"].as_str().unwrap_or_default().to_string(),
        body: body.to_vec(),
        history: history.collect(),
    };
    let Some(count) = pack else {
        return if header["messages"].is_null() { Ok(vec![whole]) } else { Err("a pack without a count".into()) };
    };
    let from = id_number - bucket_number;
    let one = |index: u64| -> Result<Seen, String> {
        let body = packed(&header, body, index).map_err(|why| format!("message {index} of the pack: {why}"))?;
        let id = format!("{:016}", bucket_number + index);
        let uid = derived_uid(&whole.uid, header["first"].as_u64().unwrap_or(0) + index);
        Ok(Seen { id, uid, body: body.to_vec(), ..whole.clone() })
    };
    (from..from + count).map(one).collect()
}

/// The body of one message of a pack.
fn packed<'b>(header: &Value, rest: &'b [u8], index: u64) -> Result<&'b [u8], String> {
    let count = header["messages"].as_u64().ok_or("the header has no count")?;
    if index >= count {
        return Err("the header says that there are fewer".into());
    }
    let at = |count: u64| usize::try_from(count * 23).unwrap_or(usize::MAX);
    let entry = rest.get(at(index)..at(index + 1)).and_then(|entry| std::str::from_utf8(entry).ok());
    let entry = entry.ok_or("no entry")?;
    let [start, length, sum]: [&str; 3] =
        entry.trim_end().split(' ').collect::<Vec<_>>().try_into().map_err(|_| "no three words")?;
    let place = |text, width| number(text, width).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let (start, length) = (at(count) + place(start, 7)?, place(length, 5)?);
    let body = rest.get(start..start + length).ok_or("the body ends early")?;
    match sum == format!("{:08x}", crc32fast::hash(&[&entry.as_bytes()[..14], body].concat())) {
        true => Ok(body),
        false => Err("the checksum is wrong".into()),
    }
}

/// The uid of one message of a pack: FNV-1a of 128 bits over the pack's, a slash and the number, in base32.
fn derived_uid(uid: &str, number: u64) -> String {
    let hash = format!("{uid}/{number}").bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    // 26 digits of five bits each, the two bits that are too many at the end.
    let digit = |at: u32| {
        let bits = if at < 25 { hash >> (123 - 5 * at) } else { hash << 2 };
        char::from(ALPHABET[usize::try_from(bits & 31).unwrap_or(0)])
    };
    (0..26).map(digit).collect()
}

/// The header, the body and what follows, of a whole message.
pub fn open(bytes: &[u8]) -> Result<(Value, &[u8], &[u8]), String> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("has no header")? + 1;
    let header: Value = serde_json::from_slice(&bytes[..end]).map_err(|error| format!("header: {error}"))?;
    let size = header["size_bytes"].as_u64().and_then(|size| usize::try_from(size).ok()).ok_or("has no length")?;
    let body = bytes.get(end..end + size).ok_or("its body ends early")?;
    let mut summed = bytes[..end + size].to_vec();
    summed[17..25].fill(b'0');
    if !header["messages"].is_null() {
        // Of a pack each message has a checksum of its own.
        summed.truncate(end);
    }
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
