//! The lines of `mq send --jsonl`, from bytes of a stranger's choice: see [`crate::fuzz`].

use super::{Args, jsonl as lines};
use crate::queue::{Envelope, HEADERS_MAX, check_key};
use crate::time::Time;
use clap::Parser;
use std::sync::LazyLock;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

static ARGS: LazyLock<Args> = LazyLock::new(|| Line::parse_from(["send", "--jsonl"]).args);

/// One line: refused in a clause, or what may be sent.
pub fn jsonl(data: &[u8]) {
    let mut given = Envelope::default();
    given.header("Given", "x").unwrap_or_default();
    let now = Time::from_micros(1_764_000_000_000_000);
    match lines::parse(data, &given, &ARGS, now) {
        Err(why) => assert!(!why.is_empty()),
        Ok((envelope, _)) => {
            assert!(envelope.headers.len() <= HEADERS_MAX + 1);
            let mut again = Envelope::default();
            for (name, value) in &envelope.headers {
                again.header(name, value).unwrap();
            }
            envelope.content_type.iter().for_each(|content_type| again.typed(content_type).unwrap());
            envelope.group.iter().for_each(|key| check_key(key).unwrap());
            envelope.unique.iter().for_each(|unique| check_key(&unique.key).unwrap());
            assert!(envelope.group.is_none() || envelope.due.is_none());
        }
    }
}
