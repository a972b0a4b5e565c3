//! What a queue is, without files: a map of messages and the few rules by which they move. The model test does everything
//! to this and to a real queue, and compares.

use super::survey::{Seen, Survey};
use mq::queue::name::Id;
use mq::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

pub const MAX_ATTEMPTS: u32 = 3;
/// How long acknowledged messages are kept, where they are.
pub const RETAIN: Duration = Duration::from_secs(1800);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Delayed {
        due: Time,
    },
    /// Held by the lock of the worker with this number.
    Live {
        worker: usize,
    },
    /// Held by a receipt since the last touch.
    Timed {
        touched: Time,
        lease: Duration,
    },
    /// Its worker was killed. Whoever passes by takes it back.
    Orphaned,
    Dead,
    /// Kept, not for longer than [`RETAIN`] from then on.
    Done {
        since: Time,
    },
}

#[derive(Clone, Debug)]
pub struct Message {
    pub queue: usize,
    pub state: State,
    pub priority: u8,
    pub attempts: u32,
    pub id: Id,
    pub uid: Option<String>,
    pub group: Option<String>,
    pub expires: Option<Time>,
    /// What its history says, an outcome an attempt; a redrive is one, too.
    pub history: Vec<Past>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub attempt: u32,
    pub outcome: String,
    pub uncounted: bool,
}

/// By body.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub messages: BTreeMap<String, Message>,
    /// Whether what was acknowledged is kept.
    pub keeps: bool,
}

impl Message {
    /// Records an attempt's end, unless this attempt has one since the last redrive.
    pub fn record(&mut self, attempt: u32, outcome: &str, uncounted: bool) {
        let since = self.history.iter().rev().take_while(|past| past.outcome != "redrive");
        let mut same = since.filter(|past| !past.uncounted && past.attempt == attempt);
        if uncounted || same.next().is_none() {
            self.history.push(Past { attempt, outcome: outcome.to_string(), uncounted });
        }
    }

    /// Records a redrive, unless the last record is one: that of a redrive that was killed before its rename.
    pub fn redriven(&mut self) {
        if self.history.last().is_none_or(|past| past.outcome != "redrive") {
            self.history.push(Past { attempt: 0, outcome: "redrive".to_string(), uncounted: false });
        }
    }

    /// Where a failed message goes: for ever, or back.
    pub fn fail(&mut self, otherwise: State) {
        self.state = if self.attempts >= MAX_ATTEMPTS { State::Dead } else { otherwise };
    }

    /// Whether the next to pass by may take it back from whoever had it.
    fn may_come_back(&self, now: Time) -> bool {
        match self.state {
            State::Orphaned => true,
            State::Timed { touched, lease } => now >= touched.plus(lease),
            _ => false,
        }
    }

    /// Whether it is too old: so much that nobody may still have thought otherwise, or just so.
    fn expired(&self, now: Time) -> bool {
        let redriven = self.history.iter().any(|past| past.outcome == "redrive");
        !redriven && self.expires.is_some_and(|expires| expires <= now)
    }

    fn expire(&mut self) {
        self.record(self.attempts, "expired", true);
        self.state = State::Dead;
    }

    fn come_back(&mut self) {
        self.record(self.attempts, "lost", false);
        self.fail(State::Ready);
    }
}

impl Reference {
    /// A message is acknowledged: gone, or kept with the record of its success, if there is one.
    pub fn acked(&mut self, body: &str, since: Time, recorded: bool) {
        if !self.keeps {
            self.messages.remove(body);
        } else if let Some(message) = self.messages.get_mut(body) {
            message.state = State::Done { since };
            if recorded {
                message.record(message.attempts, "ok", false);
            }
        }
    }

    pub fn of(&self, queue: usize) -> impl Iterator<Item = (&String, &Message)> {
        self.messages.iter().filter(move |(_, message)| message.queue == queue)
    }

    pub fn bodies(&self, queue: usize, wanted: impl Fn(&State) -> bool) -> Vec<String> {
        self.of(queue).filter(|(_, message)| wanted(&message.state)).map(|(body, _)| body.clone()).collect()
    }

    /// Whether a claim may bring this message now. A worker that remembers what it saw goes through the rest of a bucket
    /// before it lists it again, so for it only the priority is sure.
    pub fn may_be_claimed(&self, queue: usize, body: &str, now: Time, fresh: bool, woken: bool) -> Result<(), String> {
        let message =
            self.messages.get(body).filter(|message| message.queue == queue).ok_or("it was never sent there")?;
        match message.state {
            State::Ready => (),
            State::Delayed { due } if due <= now => (),
            _ if message.may_come_back(now) && message.attempts < MAX_ATTEMPTS => (),
            _ => return Err(format!("it is {:?}", message.state)),
        }
        self.has_its_turn(message)?;
        // It may have expired since the look, in the microseconds that a claim takes here.
        if message.expired(Time::from_micros(now.micros() - 1000)) {
            return Err("it has expired".to_string());
        }
        for (other, before) in self.of(queue) {
            // Which message of a group is the next one is the group's affair, and its ticket may still have the place of one
            // that was removed.
            let sure = before.group.is_none()
                && message.group.is_none()
                && match before.state {
                    State::Ready => true,
                    State::Delayed { due } => due <= now && woken,
                    _ => false,
                };
            let first = before.priority > message.priority
                || fresh && before.priority == message.priority && before.id < message.id;
            if sure && first && !before.expired(now) {
                return Err(format!("{other} comes before it"));
            }
        }
        Ok(())
    }

    /// Whether a message is the next one of its group: nobody has another one of it, none waits for a retry, and of those
    /// that were never redriven none is older.
    fn has_its_turn(&self, message: &Message) -> Result<(), String> {
        let Some(group) = &message.group else { return Ok(()) };
        let others = self.of(message.queue).filter(|(_, other)| other.group.as_ref() == Some(group));
        for (body, other) in others.filter(|(_, other)| other.id != message.id) {
            let redriven = other.history.iter().any(|past| past.outcome == "redrive");
            match other.state {
                // What comes back for the last time dies, and lets its group go on.
                State::Orphaned | State::Timed { .. } if other.attempts >= MAX_ATTEMPTS => (),
                State::Live { .. } | State::Timed { .. } | State::Orphaned | State::Delayed { .. } => {
                    return Err(format!("{body} of its group is {:?}", other.state));
                }
                State::Ready if message.state == State::Ready && other.id < message.id && !redriven => {
                    return Err(format!("{body} of its group comes before it"));
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// Whether a claim may bring nothing. It has looked at everything, also at what a crash left.
    pub fn may_be_empty(&mut self, queue: usize, now: Time) -> Result<(), String> {
        self.recovered(queue, now);
        let before = Time::from_micros(now.micros() - 1000);
        for message in self.messages.values_mut().filter(|message| message.queue == queue) {
            if message.state == State::Ready && message.expired(before) {
                message.expire();
            }
        }
        let ready = self.bodies(queue, |state| matches!(state, State::Ready));
        match ready.iter().find(|body| {
            let message = &self.messages[*body];
            !message.expired(now) && !self.waits_for_another(message)
        }) {
            Some(body) => Err(format!("{body} is ready")),
            None => Ok(()),
        }
    }

    fn waits_for_another(&self, message: &Message) -> bool {
        message.group.is_some()
            && self.of(message.queue).any(|(_, other)| {
                let out = matches!(other.state, State::Live { .. } | State::Timed { .. } | State::Delayed { .. });
                other.group == message.group && out
            })
    }

    /// How many wait in a queue or are in somebody's hands.
    pub fn held(&self, queue: usize) -> usize {
        self.bodies(queue, |state| !matches!(state, State::Dead | State::Done { .. })).len()
    }

    /// Everything that may come back has come back, and what was due is ready.
    pub fn recovered(&mut self, queue: usize, now: Time) {
        for message in self.messages.values_mut().filter(|message| message.queue == queue) {
            if message.may_come_back(now) {
                message.come_back();
            }
        }
    }

    /// A clock that went back: nobody holds a message for longer than its lease from now.
    pub fn rewound(&mut self, now: Time) {
        for message in self.messages.values_mut() {
            if let State::Timed { touched, .. } = &mut message.state {
                *touched = now.min(*touched);
            }
        }
    }

    /// Compares with what stands on the disk. What may or may not have happened in passing is taken over from there.
    pub fn compare(&mut self, surveys: &[Survey], now: Time) -> Vec<String> {
        let mut wrong: Vec<String> = surveys.iter().flat_map(|survey| survey.wrong.iter().cloned()).collect();
        wrong.extend(surveys.iter().flat_map(|survey| &survey.litter).map(|path| format!("{path}: litter")));
        wrong.extend(surveys.iter().flat_map(|survey| &survey.damaged).map(|path| format!("{path}: set aside")));
        let mut found = BTreeMap::new();
        for (queue, survey) in surveys.iter().enumerate() {
            for seen in &survey.messages {
                let body = String::from_utf8_lossy(&seen.body).into_owned();
                if found.insert(body.clone(), (queue, seen)).is_some() {
                    wrong.push(format!("{}: {body} is there twice", seen.path));
                }
            }
        }
        // Whoever passes by may have removed what was kept for long enough.
        let over = |state: &State| matches!(state, State::Done { since } if now.since(*since) > RETAIN);
        self.messages.retain(|body, message| found.contains_key(body) || !over(&message.state));
        for (body, message) in &mut self.messages {
            match found.remove(body) {
                None => wrong.push(format!("{body} is lost: {message:?}")),
                Some((queue, seen)) => {
                    if message.may_come_back(now) && seen.state != "claimed" {
                        message.come_back();
                    }
                    if let State::Delayed { due } = message.state
                        && due <= now
                        && matches!(seen.state.as_str(), "ready" | "dead")
                    {
                        message.state = State::Ready;
                    }
                    if message.state == State::Ready && seen.state == "dead" && message.expired(now) {
                        message.expire();
                    }
                    message.uid.get_or_insert_with(|| seen.uid.clone());
                    if let Some(what) = message.differs(queue, seen) {
                        wrong.push(format!("{}: {body}: {what}, not as in {message:?}", seen.path));
                    }
                }
            }
        }
        wrong.extend(found.into_values().map(|(_, seen)| format!("{}: should not be there", seen.path)));
        wrong
    }
}

impl Message {
    fn differs(&self, queue: usize, seen: &Seen) -> Option<String> {
        let (state, due) = match self.state {
            State::Ready => ("ready", None),
            State::Delayed { due } => ("delayed", Some(due.micros())),
            State::Live { .. } | State::Timed { .. } | State::Orphaned => ("claimed", None),
            State::Dead => ("dead", None),
            State::Done { .. } => ("done", None),
        };
        let history: Vec<Past> = seen
            .history
            .iter()
            .map(|record| Past {
                attempt: record["attempt"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
                outcome: record["outcome"].as_str().unwrap_or("redrive").to_string(),
                uncounted: record["uncounted"] == true,
            })
            .collect();
        if queue != self.queue {
            Some(format!("is in queue {queue}"))
        } else if state != seen.state || due != seen.due {
            Some("its state".to_string())
        } else if self.attempts != seen.attempts {
            Some(format!("{} attempts", seen.attempts))
        } else if (self.id.to_string(), self.priority) != (seen.id.clone(), seen.priority) {
            Some("its id or priority".to_string())
        } else if self.uid.as_ref() != Some(&seen.uid) {
            Some("its uid".to_string())
        } else if self.history != history {
            Some(format!("its history {history:?}"))
        } else {
            None
        }
    }
}
