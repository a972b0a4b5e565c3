//! What a job finds in its environment: the worker's own, without any `MQ_*` that came with it, then what mq says about the
//! message. The part that is the same for every job is built once.

use super::options::{Acking, Options};
use crate::queue::{Claim, variable};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The number by which every job holds the lock on its message: above what scripts use by hand (`exec 3<file`).
pub(super) const LEASE_FD: i32 = 10;

/// The part of the environment that all jobs share.
#[derive(Debug)]
pub(super) struct Environment {
    shared: Vec<CString>,
    /// What receipts call the queue; none where jobs have nothing to settle.
    receipts: Option<String>,
}

impl Environment {
    pub fn new(inherited: impl Iterator<Item = (OsString, OsString)>, options: &Options) -> Environment {
        let mut shared: Vec<CString> = inherited
            // A worker may run inside a job: what that job was told is not about these messages.
            .filter(|(name, _)| !name.as_bytes().starts_with(b"MQ_"))
            .filter_map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                CString::new(name.into_vec()).ok()
            })
            .collect();
        let mut say = |name: &str, value: &[u8]| shared.extend(entry(name, value));
        if let Some(root) = &options.root {
            say("MQ_ROOT", root.as_os_str().as_bytes());
        }
        say("MQ_QUEUE", options.queue.as_bytes());
        let leased = options.acking == Acking::AfterJob;
        if leased {
            say("MQ_LEASE_FD", LEASE_FD.to_string().as_bytes());
        }
        Environment { shared, receipts: leased.then(|| options.receipts.clone()) }
    }

    pub fn shared(&self) -> &[CString] {
        &self.shared
    }

    /// What is said to the job of a batch.
    pub fn of_batch(&self, claims: &[Claim], max_attempts: u32) -> Vec<CString> {
        let ids: Vec<String> = claims.iter().flat_map(Claim::ids).map(|id| id.to_string()).collect();
        let said = [
            ("MQ_BATCH", ids.len().to_string()),
            ("MQ_IDS", ids.join(" ")),
            ("MQ_MAX_ATTEMPTS", max_attempts.to_string()),
        ];
        said.iter().filter_map(|(name, value)| entry(name, value.as_bytes())).collect()
    }

    /// What is said to the job of this message alone.
    pub fn of(&self, claim: &Claim, max_attempts: u32) -> Vec<CString> {
        let header = &claim.message().header;
        let mut own = Vec::with_capacity(8 + header.headers.len());
        let mut say = |name: &str, value: &str| own.extend(entry(name, value.as_bytes()));
        say("MQ_ID", &claim.id().to_string());
        say("MQ_UID", header.uid.as_str());
        if let Some(queue) = &self.receipts {
            say("MQ_RECEIPT", &claim.receipt(queue).to_string());
        }
        say("MQ_ATTEMPT", &claim.attempt().to_string());
        say("MQ_MAX_ATTEMPTS", &max_attempts.to_string());
        say("MQ_SENT_AT", &header.sent_at);
        for (name, value) in header.values() {
            // `mq send` allows no other names; a file that somebody else wrote could set variables of its own choice.
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
                say(&variable(name), value);
            }
        }
        own
    }
}

/// `NAME=VALUE`; none where the value has a NUL byte, which no environment can hold.
fn entry(name: &str, value: &[u8]) -> Option<CString> {
    let mut entry = Vec::with_capacity(name.len() + 1 + value.len());
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'=');
    entry.extend_from_slice(value);
    CString::new(entry).ok()
}
