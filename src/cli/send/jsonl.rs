//! One JSON object as a message: what a sender decides is taken, what mq writes about a message is ignored, and anything
//! else is refused, so that a misspelt field never goes unnoticed.

use super::{Args, Newline};
use crate::cli::json::FIELDS;
use crate::queue::name::Priority;
use crate::queue::{Envelope, Unique, Until, check_key, variable};
use crate::time::{Time, parse_duration, parse_time};
use serde_json::{Map, Value};
use std::time::Duration;

/// Fields that a sender may set.
const TAKEN: [&str; 13] = [
    "body",
    "body_base64",
    "json",
    "headers",
    "content_type",
    "priority",
    "group",
    "due_at",
    "delay",
    "expires_at",
    "ttl",
    "unique",
    "unique_until",
];

/// The envelope and the body of one line. The error is one clause.
pub fn parse(line: &[u8], given: &Envelope, args: &Args, now: Time) -> Result<(Envelope, Vec<u8>), String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(map) = value else { return Err("not a JSON object".to_string()) };
    for name in map.keys() {
        let known = TAKEN.contains(&name.as_str()) || FIELDS.contains(&name.as_str());
        if !known {
            return Err(format!("unknown field '{name}'"));
        }
    }
    let mut envelope = given.clone();
    if let Some(value) = present(&map, "headers") {
        let Value::Object(headers) = value else { return Err("headers is not an object".to_string()) };
        // The line's own headers stand over the command's.
        envelope.headers.retain(|(given, _)| !headers.keys().any(|own| variable(own) == variable(given)));
        for (name, value) in headers {
            let Value::String(value) = value else { return Err(format!("header {name} is not text")) };
            envelope.header(name, value)?;
        }
    }
    if let Some(value) = present(&map, "content_type") {
        envelope.typed(value.as_str().ok_or("content_type is not text")?)?;
    }
    if let Some(value) = present(&map, "priority") {
        let level = value.as_u64().and_then(|level| u8::try_from(level).ok());
        envelope.priority = Some(level.and_then(Priority::new).ok_or("priority is not a number from 0 to 9")?);
    }
    if let Some(value) = present(&map, "group") {
        let group = value.as_str().ok_or("group is not text")?;
        check_key(group)?;
        envelope.group = Some(group.to_string());
    }
    if let Some(value) = present(&map, "unique") {
        let key = value.as_str().ok_or("unique is not text")?.to_string();
        check_key(&key).map_err(|why| format!("unique: {why}"))?;
        let until = match present(&map, "unique_until") {
            Some(Value::Number(seconds)) => Until::parse(&seconds.to_string())?,
            Some(value) => Until::parse(value.as_str().ok_or("unique_until is not text")?)?,
            None => Until::Settled,
        };
        envelope.unique = Some(Unique { key, until });
    } else if present(&map, "unique_until").is_some() {
        return Err("unique_until without unique".to_string());
    }
    match (present(&map, "due_at"), present(&map, "delay")) {
        (Some(_), Some(_)) => return Err("due_at and delay exclude each other".to_string()),
        (Some(value), None) => {
            envelope.due = Some(parse_time(value.as_str().ok_or("due_at is not text")?, now)?);
        }
        (None, Some(value)) => {
            envelope.due = Some(now.plus(duration("delay", value)?));
        }
        (None, None) => (),
    }
    if envelope.group.is_some() {
        // What was scheduled by mq itself, for a retry, comes out of `mq ls` with a due time.
        if present(&map, "delay").is_some() {
            return Err("group and delay exclude each other".to_string());
        }
        envelope.due = None;
    }
    match (present(&map, "expires_at"), present(&map, "ttl")) {
        (Some(_), Some(_)) => return Err("expires_at and ttl exclude each other".to_string()),
        // What mq tells of a message is taken as its sender's word: sent again, it expires when the first one would have.
        (Some(value), None) => {
            envelope.expires = Some(parse_time(value.as_str().ok_or("expires_at is not text")?, now)?);
        }
        (None, Some(value)) => envelope.ttl = Some(duration("ttl", value)?),
        (None, None) => (),
    }
    Ok((envelope, body(&map, args)?))
}

fn duration(name: &str, value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text) => parse_duration(text),
        Value::Number(number) => parse_duration(&number.to_string()),
        _ => Err(format!("{name} is neither a duration nor a number of seconds")),
    }
}

/// Exactly one of the three ways to say a body, byte for byte.
fn body(map: &Map<String, Value>, args: &Args) -> Result<Vec<u8>, String> {
    let said: Vec<&str> = ["body", "body_base64", "json"].into_iter().filter(|name| map.contains_key(*name)).collect();
    let [name] = said.as_slice() else {
        return Err(match said.len() {
            0 => "no body: set body, body_base64 or json".to_string(),
            _ => format!("{} exclude each other", said.join(" and ")),
        });
    };
    let value = &map[*name];
    match *name {
        "json" => {
            let mut bytes = serde_json::to_vec(value).map_err(|error| error.to_string())?;
            if args.newline() == Newline::Added {
                bytes.push(b'\n');
            }
            Ok(bytes)
        }
        "body" => Ok(value.as_str().ok_or("body is not text; put JSON into json")?.as_bytes().to_vec()),
        _ => {
            let text = value.as_str().ok_or("body_base64 is not text")?;
            data_encoding::BASE64.decode(text.as_bytes()).map_err(|error| format!("body_base64: {error}"))
        }
    }
}

/// A field that is there and not null.
fn present<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    map.get(name).filter(|value| !value.is_null())
}
