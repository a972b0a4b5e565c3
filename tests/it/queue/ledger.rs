//! What must be in the queues, may be, and must not: kept by the test beside the queue, and held against it afterwards.
//! A message is known by its body, which no other has, since a send that was stopped tells nobody a uid.

use super::survey::Survey;
use std::collections::{BTreeMap, BTreeSet};

/// What the sender and the consumers have been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// A send has begun and not returned.
    Sending,
    /// Sent.
    Sent,
    /// An ack or a removal has begun and not returned.
    Leaving,
    /// Acknowledged or removed.
    Gone,
    /// Acknowledged in a queue that keeps such messages.
    Kept,
}

#[derive(Clone, Debug, Hash)]
struct Entry {
    told: Told,
    uid: Option<String>,
    /// Where somebody was told that it is now.
    states: Option<(&'static [&'static str], Lasting)>,
    /// It was sent again, so that one copy is kept and the other goes its way.
    again: bool,
}

/// What a word on a message's state outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lasting {
    Kill,
    Cut,
}

/// What came between the last word and the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Since {
    /// Nothing, or processes were killed.
    Kill,
    /// A power cut: what was acknowledged and not flushed may be back.
    Cut,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Ledger {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Acks and removals were flushed before they returned.
    durable_acks: bool,
    /// The queue keeps what was acknowledged.
    keeps: bool,
    /// Bodies that were sent as one: all of them come out, or none.
    together: Vec<Vec<Vec<u8>>>,
    /// What came out: to somebody in passing, or when the queue was emptied at the end.
    drained: BTreeSet<Vec<u8>>,
}

impl Ledger {
    pub fn new(durable_acks: bool) -> Ledger {
        Ledger { durable_acks, ..Ledger::default() }
    }

    pub fn sending(&mut self, body: &[u8]) {
        self.entries.insert(body.to_vec(), Entry { told: Told::Sending, uid: None, states: None, again: false });
    }

    pub fn sent(&mut self, body: &[u8], uid: Option<&str>) {
        let entry = Entry { told: Told::Sent, uid: uid.map(str::to_string), states: None, again: false };
        self.entries.insert(body.to_vec(), entry);
    }

    /// The send of a message that was begun has returned; others may have dealt with it before.
    pub fn published(&mut self, body: &[u8], uid: &str) {
        let entry = self.entries.get_mut(body).expect("a message of the ledger");
        entry.uid = Some(uid.to_string());
        if entry.told == Told::Sending {
            entry.told = Told::Sent;
        }
    }

    /// An ack or a removal was refused: the message is as it was.
    pub fn stays(&mut self, body: &[u8]) {
        if self.entries.get(body).is_some_and(|entry| entry.told == Told::Leaving) {
            self.tell(body, Told::Sent);
        }
    }

    pub fn knows(&self, body: &[u8]) -> bool {
        self.entries.contains_key(body)
    }

    /// A kept message is about to be sent again.
    pub fn sending_again(&mut self, body: &[u8]) {
        let entry = Entry { told: Told::Sending, uid: None, states: None, again: true };
        self.entries.insert(body.to_vec(), entry);
    }

    pub fn sent_again(&mut self, body: &[u8]) {
        self.tell(body, Told::Sent);
    }

    /// From here on acknowledged messages stay in `done/`.
    pub fn keep(&mut self) {
        self.keeps = true;
    }

    pub fn kept(&mut self, body: &[u8]) {
        self.tell(body, Told::Kept);
    }

    pub fn leaving(&mut self, body: &[u8]) {
        self.tell(body, Told::Leaving);
    }

    pub fn gone(&mut self, body: &[u8]) {
        self.tell(body, Told::Gone);
    }

    /// Acknowledged or removed, and nobody else was told so.
    pub fn gone_once(&mut self, body: &[u8]) {
        let told = self.entries.get(body).expect("a message of the ledger").told;
        assert_ne!(told, Told::Gone, "{} was settled twice", String::from_utf8_lossy(body));
        self.gone(body);
        self.drained.insert(body.to_vec());
    }

    fn tell(&mut self, body: &[u8], told: Told) {
        self.entries.get_mut(body).expect("a message of the ledger").told = told;
    }

    pub fn together(&mut self, bodies: Vec<Vec<u8>>) {
        self.together.push(bodies);
    }

    /// From here on what was sent as one goes each its way.
    pub fn let_part(&mut self) {
        self.together.clear();
    }

    /// Somebody was told that the message is in one of these states, where it stays until it is moved.
    pub fn is_in(&mut self, body: &[u8], states: &'static [&'static str], lasting: Lasting) {
        self.entries.get_mut(body).expect("a message of the ledger").states = Some((states, lasting));
    }

    /// From here on messages move.
    pub fn let_move(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.states = None);
    }

    /// A message came out when the queue was emptied. The error says why it must not.
    pub fn drained(&mut self, body: &[u8], since: Since) -> Result<(), String> {
        let text = String::from_utf8_lossy(body).into_owned();
        let Some(entry) = self.entries.get_mut(body) else { return Err(format!("{text} was never sent")) };
        if !self.drained.insert(body.to_vec()) {
            return Err(format!("{text} came out twice"));
        }
        if matches!(entry.told, Told::Gone | Told::Kept) && (since == Since::Kill || self.durable_acks) {
            return Err(format!("{text} came out after it was acknowledged or removed"));
        }
        entry.told = Told::Gone;
        Ok(())
    }

    /// What is wrong with the queues together, one clause each. While somebody is `sending`, `tmp/` is not empty.
    pub fn check(&self, queues: &[Survey], since: Since, sending: bool) -> Vec<String> {
        let mut wrong: Vec<String> = queues.iter().flat_map(|queue| queue.wrong.iter().cloned()).collect();
        let idle = queues.iter().filter(|_| !sending);
        wrong.extend(idle.flat_map(|queue| &queue.litter).map(|path| format!("{path}: litter")));
        let mut bodies: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut uids = BTreeSet::new();
        let mut kept = BTreeSet::new();
        for seen in queues.iter().flat_map(|queue| &queue.messages) {
            let (path, body) = (&seen.path, String::from_utf8_lossy(&seen.body));
            if !uids.insert(&seen.uid) {
                wrong.push(format!("{path}: {body} has a twin"));
            }
            let Some(entry) = self.entries.get(&seen.body) else {
                wrong.push(format!("{path}: {body} was never sent"));
                continue;
            };
            if seen.state == "done" {
                kept.insert(seen.body.as_slice());
                let over = matches!(entry.told, Told::Leaving | Told::Gone | Told::Kept) || entry.again;
                if !(over && self.keeps) {
                    wrong.push(format!("{path}: {body} was not acknowledged, or is not to be kept"));
                }
                continue;
            }
            *bodies.entry(&seen.body).or_default() += 1;
            if entry.uid.as_ref().is_some_and(|uid| *uid != seen.uid) {
                wrong.push(format!("{path}: {body} has another uid than it was sent with"));
            }
            let for_good = since == Since::Kill || self.durable_acks || self.drained.contains(&seen.body);
            if matches!(entry.told, Told::Gone | Told::Kept) && for_good {
                wrong.push(format!("{path}: {body} was acknowledged or removed"));
            }
            if let Some((states, lasting)) = entry.states
                && entry.told == Told::Sent
                && (since == Since::Kill || lasting == Lasting::Cut)
                && !states.contains(&seen.state.as_str())
            {
                wrong.push(format!("{path}: {body} should be in {states:?}"));
            }
        }
        for (body, entry) in &self.entries {
            let found = bodies.get(body.as_slice()).copied().unwrap_or(0);
            let is_kept = kept.contains(body.as_slice());
            let body = String::from_utf8_lossy(body);
            if entry.told == Told::Sent && found == 0 {
                wrong.push(format!("{body} is lost"));
            }
            // After a power cut its acknowledgement may be undone, or done again by those who empty the queue.
            if entry.told == Told::Kept && !is_kept && found == 0 {
                wrong.push(format!("{body} was to be kept, and is not"));
            }
            if is_kept && found > 0 && !entry.again {
                wrong.push(format!("{body} is kept and is there as well"));
            }
            if found > 1 {
                wrong.push(format!("{body} is there {found} times"));
            }
        }
        for batch in &self.together {
            let there = |body: &&Vec<u8>| bodies.contains_key(body.as_slice()) || self.drained.contains(*body);
            let count = batch.iter().filter(there).count();
            if count != 0 && count != batch.len() {
                wrong.push(format!("{count} of a batch of {} came out", batch.len()));
            }
        }
        wrong
    }

    /// How many messages there may be that nobody was told of as sent: all that may be found damaged.
    pub fn unsure(&self) -> usize {
        self.entries.values().filter(|entry| entry.told == Told::Sending).count()
    }
}
