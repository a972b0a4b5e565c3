//! What must hold of everything that is read from a queue's files and names, whatever the bytes: one function a target, which
//! panics where it does not. Run by `tests/fuzz/run`, and over the committed corpus by `cargo test`.

use super::batch::Part;
use super::checksum::{self, Sum};
use super::envelope::{Envelope, HEADERS_MAX};
use super::header::{self, Header, Line, Start, Uid};
use super::history::{self, Record};
use super::name::{Bucket, ClaimedName, GroupMark, Id, Name};
use super::pack::{self, Builder, Held, Packed};
use super::receipt::Receipt;
use super::settings::{KEYS, Settings, format_size, parse_size};
use super::{check_key, pace, parse_settings, seq, settings_json, unique};
use crate::fuzz::Target;
use crate::time::{Time, format_age, format_duration, parse_duration, parse_time};
use std::time::Duration;

pub(crate) const TARGETS: [Target; 9] = [
    ("header", header),
    ("name", name),
    ("settings", settings),
    ("receipt", receipt),
    ("time", time),
    ("pack", pack),
    ("history", history),
    ("seq", seq),
    ("record", record),
];

fn text(data: &[u8]) -> &str {
    let end = std::str::from_utf8(data).map_or_else(|error| error.valid_up_to(), str::len);
    std::str::from_utf8(&data[..end]).unwrap_or_default()
}

/// Whether these bytes are a whole message: what [`super::message::load`] says of a file.
fn whole(bytes: &[u8]) -> Option<(Header, usize)> {
    let Start::Header(header, end) = header::read(bytes) else { return None };
    let size = usize::try_from(header.size_bytes).ok()?;
    let body = bytes.get(end..end.checked_add(size)?)?;
    let mut sum = header::checksum(&bytes[..end]);
    sum.update(body);
    header.agrees(sum).then_some((*header, end))
}

/// A message: its header, then its body.
fn header(data: &[u8]) {
    let Start::Header(header, end) = header::read(data) else { return };
    assert!(end <= data.len() && header.headers.len() <= HEADERS_MAX);
    // As a sender may say it, in every part.
    let mut envelope = Envelope::default();
    for (name, value) in &header.headers {
        envelope.header(name, value.as_str().expect("a header is text")).unwrap();
    }
    header.content_type.iter().for_each(|content_type| envelope.typed(content_type).unwrap());
    header.group.iter().for_each(|key| check_key(key).unwrap());
    header.unique().iter().for_each(|unique| check_key(&unique.key).unwrap());

    // Written again, it is read as the same.
    if let Ok(line) = Line::with(&header.shared(), &header.uid, header.sent_at.clone(), None) {
        let bytes = line.seal(0, &Sum::new());
        let (again, _) = whole(&bytes).expect("what was sealed is whole");
        assert_eq!((&again.headers, &again.group), (&header.headers, &header.group));
        assert_eq!(
            (again.due(), again.expires(), again.priority()),
            (header.due(), header.expires(), header.priority())
        );
        assert_eq!((&again.content_type, &again.sent_at), (&header.content_type, &header.sent_at));
    }

    // With its checksum put right it may be whole; no bit of it may be another then, nor may it end early.
    let Some(body_end) = usize::try_from(header.size_bytes).ok().and_then(|size| end.checked_add(size)) else { return };
    let Some(message) = data.get(..body_end) else { return };
    let mut message = message.to_vec();
    let digits = header::sealed_as(&message[..end], &message[end..]);
    message[header::CRC_DIGITS].copy_from_slice(digits.as_bytes());
    if whole(&message).is_none() {
        return;
    }
    let at =
        data.iter().fold(7_usize, |at, &byte| at.wrapping_mul(31).wrapping_add(usize::from(byte))) % (body_end * 8);
    let mut flipped = message.clone();
    flipped[at / 8] ^= 1 << (at % 8);
    assert!(whole(&flipped).is_none(), "bit {} of byte {} is not noticed", at % 8, at / 8);
    assert!(whole(&message[..at / 8]).is_none(), "{} bytes of it are taken for the whole", at / 8);
}

/// The names of things on disk.
fn name(data: &[u8]) {
    let text = text(data);
    if let Some(name) = Name::parse(text) {
        assert_eq!(name.to_string(), text);
        assert!(name.last_id() >= name.id && name.count() > 0);
    }
    if let Some((due, name)) = Name::parse_delayed(text) {
        assert_eq!(name.delayed(due), text);
    }
    if let Some(claimed) = ClaimedName::parse(text) {
        assert_eq!(claimed.to_string(), text);
    }
    if let Some(part) = Part::parse(text) {
        assert_eq!(part.to_string(), text);
    }
    let one_kind =
        [Name::parse(text).is_some(), Name::parse_delayed(text).is_some(), ClaimedName::parse(text).is_some()];
    assert!(one_kind.iter().filter(|is| **is).count() < 2, "a name of two states");
    Id::parse(text).iter().for_each(|id| assert_eq!(id.to_string(), text));
    Bucket::parse(text).iter().for_each(|bucket| assert_eq!(bucket.to_string(), text));
    GroupMark::parse(text).iter().for_each(|mark| assert_eq!(mark.to_string(), text));
    if check_key(text).is_ok() {
        let name = unique::key_name(text);
        assert!(name.len() < 250 && !name.contains('/'), "{name}");
        assert_eq!(unique::record_name(&name), Some(name.as_str()));
    }
}

/// `queue.json`, and the value of each setting.
fn settings(data: &[u8]) {
    let printed = |settings: &Settings| settings_json(settings, serde_json::Map::new());
    if let Ok(settings) = parse_settings(data) {
        assert_eq!(parse_settings(&printed(&settings)).as_ref(), Ok(&settings));
    }
    let text = text(data);
    for key in &KEYS {
        let mut settings = Settings::default();
        if let Err(why) = settings.set(key.name, text) {
            assert!(!why.is_empty());
            continue;
        }
        // What is written down is what holds.
        assert_eq!(parse_settings(&printed(&settings)).as_ref(), Ok(&settings), "{} {text}", key.name);
        let limits = (1..=99_999).contains(&settings.max_attempts())
            && settings.mode() & 0o700 == 0o700
            && settings.mode() <= 0o7777
            && settings.lease() >= Duration::from_millis(1)
            && settings.backoff().first <= settings.backoff().last;
        assert!(limits, "{} {text}", key.name);
        let _ = (settings.backoff().total(settings.max_attempts()), settings.backoff().delay(u32::MAX, u64::MAX));
        let _ = settings.rate().map(super::Rate::interval);
    }
}

fn receipt(data: &[u8]) {
    if let Some(receipt) = Receipt::parse(text(data)) {
        let word = receipt.to_string();
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{word}");
        assert_eq!(Receipt::parse(&word), Some(receipt));
    }
}

/// Durations, sizes, moments.
fn time(data: &[u8]) {
    let text = text(data);
    let now = Time::from_micros(1_764_000_000_000_000);
    if let Ok(length) = parse_duration(text) {
        assert!(length <= Duration::from_secs(100 * 366 * 86400));
        let again = parse_duration(&format_duration(length)).unwrap();
        assert!(again.abs_diff(length) < Duration::from_millis(1), "{text} becomes {again:?}");
        assert_eq!(parse_duration(&format_duration(again)), Ok(again));
        let _ = (format_age(length), now.plus(length).rfc3339());
    }
    if let Ok(bytes) = parse_size(text) {
        assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }
    if let Ok(moment) = parse_time(text, now) {
        assert!(moment.micros() <= 9_999_999_999_999_999);
        let seconds = Time::parse_rfc3339(&moment.rfc3339()).unwrap();
        assert!(moment.since(seconds) < Duration::from_secs(1) && seconds <= moment, "{text} becomes {seconds:?}");
        assert!(!moment.local().is_empty());
    }
}

/// The header line of a pack with so many messages.
fn pack_header(count: u32) -> Header {
    let line = Line::with(&Envelope::default(), &Uid::new([3; 16]), "2026-11-25T09:00:00Z".into(), Some((count, 0)));
    let line = line.unwrap().seal(0, &Sum::new());
    let Start::Header(header, _) = header::read(&line) else { panic!("a pack of {count} has no header") };
    *header
}

/// What is whole in a pack is found again in the pack that is made of it.
fn repack(packed: &Packed<'_>, count: u32) {
    assert_eq!(packed.each().count(), count as usize);
    let whole: Vec<&[u8]> = packed
        .each()
        .filter_map(|(_, held)| match held {
            Held::Whole(body) => Some(body),
            Held::Bad(_) => None,
        })
        .collect();
    assert_eq!(whole.len() + packed.bad().len(), count as usize);
    if whole.is_empty() {
        return;
    }
    let mut again = Builder::default();
    for body in &whole {
        again.write(body);
        again.end();
    }
    let (header, bytes) = sealed(&again);
    let copy = Packed::split(&header, &bytes).unwrap();
    for (index, body) in (0..).zip(whole) {
        assert_eq!(copy.get(index), Held::Whole(body));
    }
}

/// The pack of what was put into a builder: its header, and what follows the line of that.
fn sealed(builder: &Builder) -> (Header, Vec<u8>) {
    let header = pack_header(builder.len());
    let start = builder.start(&header.shared(), &header.uid, header.sent_at.clone(), 0).unwrap();
    let table = start.len() - pack::table_length(builder.len());
    let bytes = [&start[table..], builder.rest()].concat();
    (header, bytes)
}

/// The table of a pack and its bodies, after a byte that says of how many messages; then the bytes as bodies, a line each.
fn pack(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return };
    let count = u32::from(count).max(1);
    let header = pack_header(count);
    if let Some(packed) = Packed::split(&header, rest) {
        repack(&packed, count);
    }

    let mut builder = Builder::default();
    for body in rest.split(|&byte| byte == b'\n').take(255) {
        builder.write(body);
        builder.end();
    }
    let (header, good) = sealed(&builder);
    let mut bytes = good.clone();
    let at =
        data.iter().fold(7_usize, |at, &byte| at.wrapping_mul(31).wrapping_add(usize::from(byte))) % (good.len() * 8);
    bytes[at / 8] ^= 1 << (at % 8);
    let (good, spoilt) = (Packed::split(&header, &good).unwrap(), Packed::split(&header, &bytes).unwrap());
    let lost = (0..builder.len()).filter(|&index| match (good.get(index), spoilt.get(index)) {
        (Held::Whole(sent), Held::Whole(read)) => {
            assert_eq!(sent, read, "a flipped bit was not noticed");
            false
        }
        _ => true,
    });
    assert!(lost.count() <= 1, "a flipped bit costs more than one message");
}

/// What stands behind a body.
fn history(data: &[u8]) {
    let found = history::parse(data, 10);
    let end = usize::try_from(found.end() - 10).unwrap();
    assert!(end <= data.len() && data[..end].iter().filter(|&&byte| byte == b'\n').count() >= found.records.len());
    assert_eq!(history::parse(&data[..end], 10).records, found.records);
    // JSON says a number to the last digit, which is not always what was read.
    let rounded = |records: &[Record]| -> Vec<Record> {
        let one = |record: &Record| match record.clone() {
            Record::Attempt(attempt) => Record::Attempt(history::Attempt { duration_s: None, ..attempt }),
            redrive => redrive,
        };
        records.iter().map(one).collect()
    };
    let again = history::parse(&history::copied(&found, None), 10);
    assert_eq!(rounded(&again.records), rounded(&found.records)[..again.records.len()]);
    let _ = (found.redrives(), found.last().map(history::Attempt::summary));
}

/// The lines of `seq` and `pace`, as they are and with the checksum put right.
fn seq(data: &[u8]) {
    let start = data.strip_suffix(b"\n").unwrap_or(data);
    let start = start.iter().rposition(|&byte| byte == b' ').map_or(start, |at| &start[..at]);
    let right = [start, format!(" {:08x}\n", checksum::of(start)).as_bytes()].concat();
    for bytes in [data, &right] {
        seq::read_again(bytes);
        pace::read_again(bytes);
    }
}

/// A record of a unique key.
fn record(data: &[u8]) {
    let Some(record) = unique::parse_record(data) else { return };
    assert_eq!(unique::parse_record(&record.line()), Some(record.clone()));
    let _ = (record.name(), record.due(), record.until(), record.expired(Time::from_micros(u64::MAX)));
}
