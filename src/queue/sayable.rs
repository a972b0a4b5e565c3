//! Whether a header that was read says only what a sender may say. A checksum is no signature: a file that somebody wrote by
//! hand can have a good one, and what stands in it goes into the environment of jobs, into listings and into JSON.

use super::header::{HEADERS_MAX, Header, check_key, is_header_name, variable};
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
