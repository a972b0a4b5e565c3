//! Whether a header that was read says only what a sender may say. A checksum is no signature: a file that somebody wrote by
//! hand can have a good one, and what stands in it goes into the environment of jobs, into listings and into JSON.

use super::envelope::{HEADERS_MAX, check_key, is_header_name, variable};
use super::header::Header;
use super::name::is_base32;
use std::collections::HashSet;

/// All of its text: one that says more is not as mq writes it.
pub(super) fn sayable(header: &Header) -> bool {
    let one_line = |text: &str| !text.chars().any(char::is_control);
    let moment = |text: &str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_digit() || b"-:.+TZ".contains(&b));
    moment(&header.sent_at)
        && header.content_type.as_ref().is_none_or(|text| !text.is_empty() && one_line(text))
        && header.group.as_ref().is_none_or(|key| check_key(key).is_ok())
        && header.unique().is_none_or(|unique| check_key(&unique.key).is_ok())
        && header.derived_from.as_ref().is_none_or(|uid| is_base32(uid.as_str()))
        && header.headers.len() <= HEADERS_MAX
        && header.headers.iter().all(|(name, value)| is_header_name(name) && value.as_str().is_some_and(one_line))
        && (header.headers.len() < 2 || no_two_fold(header))
}

/// No two headers would be the same variable.
fn no_two_fold(header: &Header) -> bool {
    let mut seen = HashSet::with_capacity(header.headers.len());
    header.headers.keys().all(|name| seen.insert(variable(name)))
}

#[cfg(test)]
mod tests {
    use super::super::header::{Start, read};

    /// A header line whose fields are as mq writes them, but for these.
    fn line(start: &str, fields: &[(&str, serde_json::Value)]) -> Vec<u8> {
        let mut tail =
            serde_json::json!({"uid": "a".repeat(26), "sent_at": "2026-01-02T03:04:05.678901Z", "priority": 4});
        for (name, value) in fields {
            tail[name] = value.clone();
        }
        format!("{start},{}\n", &tail.to_string()[1..]).into_bytes()
    }

    #[test]
    fn a_header_that_mq_would_not_write_is_bad_whatever_its_checksum_says() {
        let start = r#"{"mq":1,"crc32":"01234567","size_bytes":4           "#;
        let many: serde_json::Map<_, _> = (0..1001).map(|n| (format!("h{n}"), "x".into())).collect();
        let good: &[&[(&str, serde_json::Value)]] = &[
            &[],
            &[("priority", 0.into()), ("messages", 1.into())],
            &[("priority", 9.into()), ("messages", 16_384.into()), ("first", 7.into())],
            &[("headers", serde_json::json!({"a": "1", "b": "ü", "c": ""})), ("content_type", "text/csv".into())],
            &[("group", "g".into()), ("unique", "k".into()), ("derived_from", "b".repeat(26).into())],
        ];
        for fields in good {
            assert!(matches!(read(&line(start, fields)), Start::Header(..)), "{fields:?}");
        }
        let bad: &[(&str, serde_json::Value)] = &[
            ("priority", 10.into()),
            ("messages", 0.into()),
            ("messages", 1_000_000.into()),
            ("uid", "a".repeat(25).into()),
            ("uid", "A".repeat(26).into()),
            ("sent_at", "yesterday".into()),
            ("sent_at", "1".repeat(41).into()),
            ("content_type", "".into()),
            ("content_type", "a\nb".into()),
            ("group", "".into()),
            ("unique", "a\nb".into()),
            ("derived_from", "b".into()),
            ("headers", serde_json::json!({"1a": "x"})),
            ("headers", serde_json::json!({"a": "x\ny"})),
            ("headers", serde_json::json!({"a": 1})),
            ("headers", serde_json::json!({"a-b": "x", "A_B": "y"})),
            ("headers", serde_json::json!({"a-b": "x", "A_B": "y", "c": "z"})),
            ("headers", many.into()),
        ];
        for field in bad {
            assert!(matches!(read(&line(start, std::slice::from_ref(field))), Start::Bad(_)), "{field:?}");
        }
        // The digits of the checksum have one place, or another checksum could be made to agree.
        for start in [
            r#"{"mq":1,"crc32":"012345678","size_bytes":4"#,
            r#"{"mq":1,"crc32":"0123456","size_bytes":4"#,
            r#"{"crc32":"01234567","mq":1,"size_bytes":4"#,
            r#"{"mq":1,"sum32":"01234567","crc32":"01234567","size_bytes":4"#,
        ] {
            assert!(matches!(read(&line(start, &[])), Start::Bad(_)), "{start}");
        }
    }

    #[test]
    fn a_header_of_another_format_is_left_alone_however_much_it_is_like_ours() {
        for start in [r#"{"mq":2,"crc32":"01234567","size_bytes":4"#, r#"{"mq":0,"crc32":"01234567","size_bytes":4"#] {
            assert!(matches!(read(&line(start, &[])), Start::Unknown(_)), "{start}");
        }
    }
}
