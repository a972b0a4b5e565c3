//! Protections that need a real file system, and that a queue without accidents never shows: `tests/mutants` takes them out.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::time::{Duration, SystemTime};

#[test]
fn a_message_with_a_second_name_is_nobodys() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let outside = sandbox.dir().join("outside");
    fs::hard_link(sandbox.file_of("jobs", &id), &outside).unwrap();
    let (tree, bytes) = (sandbox.tree("jobs"), fs::read(&outside).unwrap());
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["work", "jobs", "--drain", "--", "cat"]).code(0).prints("");
    assert_eq!((sandbox.tree("jobs"), fs::read(&outside).unwrap()), (tree, bytes));
    fs::remove_file(&outside).unwrap();
    sandbox.mq(["claim", "jobs"]).ok();
}

#[test]
fn a_lease_is_counted_from_the_last_touch_of_the_file() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let stale = sandbox.mq(["claim", "jobs", "--lease", "1h"]).ok();
    // As a backup restores it: old by its time stamp, new by its inode.
    let file = fs::File::options().write(true).open(sandbox.file_of("jobs", &id)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
    drop(file);
    let fresh = sandbox.mq(["claim", "jobs", "--lease", "1h"]).ok();
    sandbox.mq(["ack", stale.trim_end()]).code(6);
    sandbox.mq(["ack", fresh.trim_end()]).ok();
}
