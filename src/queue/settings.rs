//! A queue's settings: named alike in `queue.json`, in `mq config` and as flags of `mq create`. The keys stand in a table
//! (`settings/keys.rs`), what they can be in another file (`settings/value.rs`).

mod keys;
mod value;

pub use keys::{KEYS, Key, key};
#[cfg(any(test, fuzzing))]
pub(super) use value::format_size;
pub use value::{Backoff, Rate, Room, Sync, parse_size};

use serde_json::Map;
use std::collections::BTreeMap;
use std::time::Duration;
use value::Value;

/// What becomes of a group whose message was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDead {
    /// Its next message goes on.
    Continue,
    /// It waits until the dead one is redriven or purged.
    Hold,
}

/// What a send to a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    Reject,
    Block,
    Drop,
}

/// What becomes of an expired message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpire {
    Dead,
    Drop,
}

/// What was said; what was not has its built-in value by the method of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, Value>);

impl Settings {
    pub fn max_attempts(&self) -> u32 {
        self.count("max_attempts").and_then(|count| u32::try_from(count).ok()).unwrap_or(8)
    }
    pub fn backoff(&self) -> Backoff {
        match self.0.get("backoff") {
            Some(Value::Backoff(backoff)) => *backoff,
            _ => Backoff { first: Duration::from_secs(1), last: Duration::from_secs(3600) },
        }
    }
    pub fn lease(&self) -> Duration {
        self.duration("lease").unwrap_or(Duration::from_secs(600))
    }
    pub fn timeout(&self) -> Option<Duration> {
        self.duration("timeout")
    }
    pub fn sync(&self) -> Sync {
        match self.word("sync") {
            Some("all") => Sync::All,
            Some("none") => Sync::None,
            _ => Sync::Send,
        }
    }
    pub fn mode(&self) -> u32 {
        match self.0.get("mode") {
            Some(Value::Mode(mode)) => *mode,
            _ => 0o700,
        }
    }
    pub fn group_on_dead(&self) -> OnDead {
        if self.word("group_on_dead") == Some("hold") { OnDead::Hold } else { OnDead::Continue }
    }
    pub fn max_messages(&self) -> Option<u64> {
        self.count("max_messages")
    }
    pub fn max_bytes(&self) -> Option<u64> {
        self.size("max_bytes")
    }
    pub fn max_body(&self) -> Option<u64> {
        self.size("max_body")
    }
    pub fn min_free(&self) -> Option<Room> {
        match self.0.get("min_free") {
            Some(Value::Room(room)) => Some(*room),
            _ => None,
        }
    }
    pub fn on_full(&self) -> OnFull {
        match self.word("on_full") {
            Some("block") => OnFull::Block,
            Some("drop") => OnFull::Drop,
            _ => OnFull::Reject,
        }
    }
    pub fn rate(&self) -> Option<Rate> {
        match self.0.get("rate") {
            Some(Value::Rate(rate)) => Some(*rate),
            _ => None,
        }
    }
    pub fn burst(&self) -> u64 {
        self.count("burst").unwrap_or(1)
    }
    pub fn max_in_flight(&self) -> Option<u64> {
        self.count("max_in_flight")
    }
    pub fn ttl(&self) -> Option<Duration> {
        self.duration("ttl")
    }
    pub fn on_expire(&self) -> OnExpire {
        if self.word("on_expire") == Some("drop") { OnExpire::Drop } else { OnExpire::Dead }
    }
    pub fn retain(&self) -> Option<Duration> {
        self.duration("retain")
    }
    pub fn done_for(&self) -> Duration {
        self.duration("done_for").unwrap_or(Duration::from_secs(86_400))
    }

    fn count(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Value::Count(count)) => Some(*count),
            _ => None,
        }
    }

    fn size(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Value::Size(bytes)) => Some(*bytes),
            _ => None,
        }
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        match self.0.get(name) {
            Some(Value::Duration(length)) => Some(*length),
            _ => None,
        }
    }

    fn word(&self, name: &str) -> Option<&'static str> {
        match self.0.get(name) {
            Some(Value::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Sets one by name and text. The error is one clause that says what is allowed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let key = known(name)?;
        let value = match text {
            "none" if key.none => Value::None,
            text => key.kind.parse(text).map_err(|why| {
                let none = if key.none { ", or none" } else { "" };
                format!("{}: {why}{none}", key.name)
            })?,
        };
        self.0.insert(key.name, value);
        Ok(())
    }

    /// Back to the built-in value. The error names the settings there are.
    pub fn unset(&mut self, name: &str) -> Result<(), String> {
        self.0.remove(known(name)?.name);
        Ok(())
    }

    /// A setting's own value as text, `None` where the built-in one holds.
    pub fn said(&self, key: &Key) -> Option<String> {
        self.0.get(key.name).map(Value::to_string)
    }

    /// The value that holds, as text.
    pub fn value(&self, key: &Key) -> String {
        self.said(key).unwrap_or_else(|| key.builtin.to_string())
    }

    pub(super) fn to_json(&self) -> Map<String, serde_json::Value> {
        KEYS.iter().filter_map(|key| Some((key.name.to_string(), self.said(key)?.into()))).collect()
    }

    /// A setting may be written as a string or a number. One that is not known stops: it may promise what this mq can't keep.
    pub(super) fn from_json(map: &BTreeMap<String, serde_json::Value>) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, value) in map {
            match value {
                serde_json::Value::String(text) => settings.set(name, text)?,
                serde_json::Value::Number(number) => settings.set(name, &number.to_string())?,
                _ => return Err(format!("setting {name} is neither text nor a number")),
            }
        }
        Ok(settings)
    }
}

fn known(name: &str) -> Result<&'static Key, String> {
    key(name).ok_or_else(|| {
        let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        format!("unknown setting '{name}'; there are {}", names.join(", "))
    })
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
        assert_eq!((said.burst(), said.done_for()), (none.burst(), none.done_for()));
        assert_eq!(
            (said.max_attempts(), said.backoff(), said.lease(), said.timeout(), said.sync(), said.mode()),
            (none.max_attempts(), none.backoff(), none.lease(), none.timeout(), none.sync(), none.mode())
        );
        assert_eq!(Settings::from_json(&said.to_json().into_iter().collect()), Ok(said));
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for (key, text) in [
            ("rate", "10/s"),
            ("rate", "5/30s"),
            ("min_free", "64M,1000"),
            ("max_bytes", "2G"),
            ("max_body", "1000"),
            ("retain", "3d"),
            ("ttl", "none"),
            ("backoff", "10s"),
            ("rate", "1/52w"),
            ("lease", "1653w3d1h46m39.999s"),
        ] {
            let mut settings = Settings::default();
            settings.set(key, text).unwrap();
            assert_eq!(settings.said(super::key(key).unwrap()).as_deref(), Some(text));
        }
        let rate = Rate { count: 10, per: Duration::from_secs(1) };
        assert_eq!(rate.interval(), Duration::from_millis(100));
    }

    #[test]
    fn what_was_said_holds() {
        let mut said = Settings::default();
        for (key, text) in [
            ("timeout", "7s"),
            ("max_messages", "3"),
            ("max_bytes", "2K"),
            ("max_body", "1K"),
            ("min_free", "1M,5"),
            ("max_in_flight", "4"),
            ("ttl", "8s"),
            ("retain", "9s"),
        ] {
            said.set(key, text).unwrap();
        }
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((said.timeout(), said.ttl(), said.retain()), (seconds(7), seconds(8), seconds(9)));
        assert_eq!((said.max_bytes(), said.max_body()), (Some(2048), Some(1024)));
        assert_eq!((said.max_messages(), said.max_in_flight()), (Some(3), Some(4)));
        assert_eq!(said.min_free(), Some(Room { bytes: 1 << 20, inodes: 5 }));
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
            ("lease", "1.0005s"),
            ("rate", "5/0.0001s"),
            ("lease", "11575d"),
            ("rate", "1/367d"),
            ("timeout", "0s"),
            ("sync", "yes"),
            ("mode", "0"),
            ("mode", "+700"),
            ("mode", "0999"),
            ("max_messages", "0"),
            ("max_bytes", "1X"),
            ("max_bytes", "+5"),
            ("max_bytes", "K"),
            ("min_free", "1M,x"),
            ("on_full", "wait"),
            ("rate", "10"),
            ("rate", "0/s"),
            ("rate", "1/0s"),
            ("burst", "none"),
            ("ttl", "0"),
            ("retain", "soon"),
            ("nonsense", "1"),
        ] {
            let error = Settings::default().set(key, text).unwrap_err();
            assert!(!error.contains('\n') && error.len() < 400, "{error}");
        }
    }

    #[test]
    fn backoff_doubles_between_its_ends() {
        let backoff = Settings::default().backoff();
        assert_eq!([1, 2, 3, 13, 99_999].map(|n| backoff.ceiling(n).as_secs()), [1, 2, 4, 3600, 3600]);
        assert_eq!(backoff.total(8).as_secs(), 127);
        let short = Backoff { last: Duration::from_secs(4), ..backoff };
        assert_eq!([1, 2, 4, 8].map(|attempts| short.total(attempts).as_secs()), [0, 1, 7, 23]);
        for random in [0, u64::MAX / 2, u64::MAX] {
            let delay = backoff.delay(3, random);
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&delay));
        }
    }
}
