//! The generated files (`man/mq*.1`, `completions/`) are what the code says now, byte for byte. `MQ_BLESS=1 cargo test`
//! writes them anew.

mod completions;
mod offers;
mod pages;

use std::path::{Path, PathBuf};

/// A file or directory of this repository.
pub fn repository(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Holds a committed file against what it should be, or writes it when blessed.
fn same_as_committed(below: &str, wanted: &str) {
    let path = repository(below);
    if std::env::var_os("MQ_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if found == wanted {
        return;
    }
    let at = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let at = at.unwrap_or_else(|| found.lines().count().min(wanted.lines().count()));
    panic!(
        "{below} is not what the code says, from line {} on:\n  committed: {}\n  should be: {}\nMQ_BLESS=1 cargo test writes it anew",
        at + 1,
        found.lines().nth(at).unwrap_or("(the end)"),
        wanted.lines().nth(at).unwrap_or("(the end)"),
    );
}
