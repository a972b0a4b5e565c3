//! A queue's settings: named alike in `queue.json`, in `mq config` and as flags of `mq create`.

use super::name::{Attempts, Lease};
use crate::time::{format_duration, parse_duration};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// When what was done must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Sends, dead-letterings, redrives.
    Send,
    /// Claims and acknowledgements too.
    All,
    /// Nothing: kill -9 is survived, a power cut is not.
    None,
}

/// How long to wait before the next attempt: doubling from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub last: Duration,
}

impl Backoff {
    /// The longest delay after so many attempts.
    pub fn ceiling(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(63);
        let factor = u32::try_from(1_u64 << doublings.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.last)
    }

    /// The delay itself: between half of the ceiling and the ceiling, by 64 random bits, so that messages which failed
    /// together do not return together ("equal jitter", Brooker, AWS Architecture Blog 2015).
    pub fn delay(self, attempts: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(attempts);
        let half = ceiling / 2;
        #[allow(clippy::cast_precision_loss)] // jitter needs no 64 bits
        let share = random as f64 / u64::MAX as f64;
        half + (ceiling - half).mul_f64(share)
    }

    /// What all the delays of a message that always fails add up to, at most.
    pub fn total(self, max_attempts: u32) -> Duration {
        let mut total = Duration::ZERO;
        for attempts in 1..max_attempts {
            let next = self.ceiling(attempts);
            if next == self.last {
                return total.saturating_add(next.saturating_mul(max_attempts - attempts));
            }
            total = total.saturating_add(next);
        }
        total
    }
}

/// What was said; what was not has its built-in value by the method of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    max_attempts: Option<u32>,
    backoff: Option<Backoff>,
    lease: Option<Duration>,
    timeout: Option<Duration>,
    sync: Option<Sync>,
    mode: Option<u32>,
}

/// One setting: its name, what it allows, and what it means.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// The name as a flag.
    pub flag: &'static str,
    pub value_name: &'static str,
    pub builtin: &'static str,
    /// In a few words.
    pub help: &'static str,
    /// In a sentence.
    pub more: &'static str,
}

/// Every setting there is.
pub const KEYS: [Key; 6] = [
    Key {
        name: "max_attempts",
        flag: "max-attempts",
        value_name: "N",
        builtin: "8",
        help: "Deliveries before it is dead-lettered",
        more: "How often a message is delivered before it is dead-lettered; a lost worker counts, a shutdown does not.",
    },
    Key {
        name: "backoff",
        flag: "backoff",
        value_name: "FROM..TO",
        builtin: "1s..1h",
        help: "Delay before a retry, doubling",
        more: "It doubles from FROM to TO, with jitter; one duration is a fixed delay.",
    },
    Key {
        name: "lease",
        flag: "lease",
        value_name: "DURATION",
        builtin: "10m",
        help: "How long mq claim holds",
        more: "Unless it is extended. The jobs of mq work hold their messages as long as they take.",
    },
    Key {
        name: "timeout",
        flag: "timeout",
        value_name: "DURATION",
        builtin: "none",
        help: "After how long a job is stopped",
        more: "By mq work; a failed attempt.",
    },
    Key {
        name: "sync",
        flag: "sync",
        value_name: "send|all|none",
        builtin: "send",
        help: "What is flushed",
        more: "What survives a power cut: send, what was sent or dead-lettered; all, what was claimed or acknowledged too; none, nothing.",
    },
    Key {
        name: "mode",
        flag: "mode",
        value_name: "OCTAL",
        builtin: "0700",
        help: "Permissions of directories",
        more: "Of the queue's; its files have the same without the x bits.",
    },
];

/// The setting of this name, written with `_` or `-`.
pub fn key(name: &str) -> Option<&'static Key> {
    let name = name.replace('-', "_");
    KEYS.iter().find(|key| key.name == name)
}

impl Settings {
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts.unwrap_or(8)
    }
    pub fn backoff(&self) -> Backoff {
        self.backoff.unwrap_or(Backoff { first: Duration::from_secs(1), last: Duration::from_secs(3600) })
    }
    pub fn lease(&self) -> Duration {
        self.lease.unwrap_or(Duration::from_secs(600))
    }
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
    pub fn sync(&self) -> Sync {
        self.sync.unwrap_or(Sync::Send)
    }
    pub fn mode(&self) -> u32 {
        self.mode.unwrap_or(0o700)
    }

    /// Sets one by name and text. The error is one clause that says what is allowed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let Some(key) = key(name) else {
            let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            return Err(format!("unknown setting '{name}'; there are {}", names.join(", ")));
        };
        let wrong = |why: &str| format!("{}: '{text}' {why}", key.name);
        match key.name {
            "max_attempts" => match text.parse() {
                Ok(count @ 1..=Attempts::MAX) => self.max_attempts = Some(count),
                _ => return Err(wrong("is not a whole number from 1 to 99999")),
            },
            "backoff" => {
                let (first, last) = text.split_once("..").unwrap_or((text, text));
                let first = parse_duration(first).map_err(|why| format!("backoff: {why}"))?;
                let last = parse_duration(last).map_err(|why| format!("backoff: {why}"))?;
                if first > last {
                    return Err(wrong("goes down; write the shorter delay first, like 1s..1h"));
                }
                self.backoff = Some(Backoff { first, last });
            }
            "lease" => {
                let lease = parse_duration(text).map_err(|why| format!("lease: {why}"))?;
                if lease.as_millis() == 0 || lease > Lease::LONGEST {
                    return Err(wrong("is not between 1ms and 31 years"));
                }
                self.lease = Some(lease);
            }
            "timeout" if text == "none" => self.timeout = None,
            "timeout" => {
                let timeout = parse_duration(text).map_err(|why| format!("timeout: {why}, or none"))?;
                if timeout.is_zero() {
                    return Err(wrong("would stop every job at once; write none for no limit"));
                }
                self.timeout = Some(timeout);
            }
            "sync" => {
                self.sync = Some(match text {
                    "send" => Sync::Send,
                    "all" => Sync::All,
                    "none" => Sync::None,
                    _ => return Err(wrong("is not send, all or none")),
                });
            }
            _ => match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 && mode & 0o700 == 0o700 && text.bytes().all(|b| b.is_ascii_digit()) => {
                    self.mode = Some(mode);
                }
                _ => {
                    return Err(wrong(
                        "is not an octal mode like 0700 or 2770 that lets the owner read, write and enter",
                    ));
                }
            },
        }
        Ok(())
    }

    /// Back to the built-in value. The error names the settings there are.
    pub fn unset(&mut self, name: &str) -> Result<(), String> {
        match key(name).map(|key| key.name) {
            Some("max_attempts") => self.max_attempts = None,
            Some("backoff") => self.backoff = None,
            Some("lease") => self.lease = None,
            Some("timeout") => self.timeout = None,
            Some("sync") => self.sync = None,
            Some(_) => self.mode = None,
            None => return self.clone().set(name, ""),
        }
        Ok(())
    }

    /// A setting's own value as text, `None` where the built-in one holds.
    pub fn said(&self, key: &Key) -> Option<String> {
        match key.name {
            "max_attempts" => self.max_attempts.map(|count| count.to_string()),
            "backoff" => self.backoff.map(|Backoff { first, last }| {
                if first == last {
                    format_duration(first)
                } else {
                    format!("{}..{}", format_duration(first), format_duration(last))
                }
            }),
            "lease" => self.lease.map(format_duration),
            "timeout" => self.timeout.map(format_duration),
            "sync" => self.sync.map(|sync| {
                match sync {
                    Sync::Send => "send",
                    Sync::All => "all",
                    Sync::None => "none",
                }
                .to_string()
            }),
            _ => self.mode.map(|mode| format!("{mode:04o}")),
        }
    }

    /// The value that holds, as text.
    pub fn value(&self, key: &Key) -> String {
        self.said(key).unwrap_or_else(|| key.builtin.to_string())
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        KEYS.iter().filter_map(|key| Some((key.name.to_string(), Value::String(self.said(key)?)))).collect()
    }

    /// A setting may be written as a string or a number. One that is not known stops: it may promise what this mq can't keep.
    pub(super) fn from_json(map: &BTreeMap<String, Value>) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, value) in map {
            match value {
                Value::String(text) => settings.set(name, text)?,
                Value::Number(number) => settings.set(name, &number.to_string())?,
                _ => return Err(format!("setting {name} is neither text nor a number")),
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_what_the_table_says() {
        let mut said = Settings::default();
        for key in &KEYS {
            said.set(key.name, key.builtin).unwrap();
            assert_eq!(Settings::default().value(key), key.builtin);
        }
        let none = Settings::default();
        assert_eq!(
            (said.max_attempts(), said.backoff(), said.lease(), said.timeout(), said.sync(), said.mode()),
            (none.max_attempts(), none.backoff(), none.lease(), none.timeout(), none.sync(), none.mode())
        );
        assert_eq!(Settings::from_json(&said.to_json().into_iter().collect()), Ok(said));
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for (key, text) in [
            ("max_attempts", "0"),
            ("max_attempts", "-1"),
            ("max_attempts", "99999999999"),
            ("backoff", "1h..1s"),
            ("backoff", ".."),
            ("lease", "0"),
            ("timeout", "0s"),
            ("sync", "yes"),
            ("mode", "0"),
            ("mode", "+700"),
            ("mode", "0999"),
            ("nonsense", "1"),
        ] {
            let error = Settings::default().set(key, text).unwrap_err();
            assert!(!error.contains('\n') && error.len() < 160, "{error}");
        }
    }

    #[test]
    fn backoff_doubles_between_its_ends() {
        let backoff = Settings::default().backoff();
        assert_eq!([1, 2, 3, 13, 99_999].map(|n| backoff.ceiling(n).as_secs()), [1, 2, 4, 3600, 3600]);
        assert_eq!(backoff.total(8).as_secs(), 127);
        for random in [0, u64::MAX / 2, u64::MAX] {
            let delay = backoff.delay(3, random);
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&delay));
        }
    }
}
