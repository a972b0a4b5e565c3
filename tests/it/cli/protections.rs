//! Protections that need a real file system, and that a queue without accidents never shows: `tests/mutants` takes them out.

use crate::support::program;
use crate::support::sandbox::{Ran, Sandbox};
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

/// Nor is it taken back from a claimer, or published where a crash has left it: whoever has the other name may be writing to it.
#[test]
fn what_a_crash_has_left_under_two_names_is_left_alone() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let outside = sandbox.dir().join("outside");
    let draft = sandbox.queue("jobs").join("tmp").join("a".repeat(26));
    fs::copy(sandbox.file_of("jobs", &id), &draft).unwrap();
    fs::hard_link(&draft, &outside).unwrap();
    sandbox.mq(["rm", "jobs", &id]).ok();
    sandbox.mq(["claim", "jobs"]).code(1);
    assert!(draft.exists());
    fs::remove_file(&outside).unwrap();
    sandbox.mq(["claim", "jobs", "--lease", "1ms"]).ok();
    let claimed = fs::read_dir(sandbox.queue("jobs").join("claimed")).unwrap().next().unwrap().unwrap().path();
    fs::File::options().write(true).open(&claimed).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    fs::hard_link(&claimed, &outside).unwrap();
    sandbox.mq(["claim", "jobs"]).code(1);
    assert!(claimed.exists());
    fs::remove_file(&outside).unwrap();
    sandbox.mq(["claim", "jobs"]).ok();
}

/// Its group stands still meanwhile: what comes next in it must not come first.
#[test]
fn a_message_of_a_group_or_its_ticket_with_a_second_name_is_nobodys() {
    for (below, code) in [("groups/", 65), ("ready/", 1)] {
        let sandbox = Sandbox::new();
        for body in ["1", "2"] {
            sandbox.mq(["send", "jobs", "--group", "a", "--", body]).ok();
        }
        let tree = sandbox.tree("jobs");
        let path = tree.lines().find(|path| path.starts_with(below) && !path.ends_with('/')).unwrap();
        let outside = sandbox.dir().join("outside");
        fs::hard_link(sandbox.queue("jobs").join(path), &outside).unwrap();
        sandbox.mq(["pop", "jobs"]).code(code).prints("");
        assert_eq!(sandbox.tree("jobs"), tree);
        fs::remove_file(&outside).unwrap();
        sandbox.mq(["pop", "jobs"]).code(0).prints("1\n");
        sandbox.mq(["pop", "jobs"]).code(0).prints("2\n");
    }
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

/// A command that would go on for ever without what protects it.
fn ends(sandbox: &Sandbox, words: &str) -> Ran {
    let mut timeout = sandbox.another("timeout");
    Ran::from(timeout.args(["-s", "KILL", "9", program()]).args(words.split(' ')).output().unwrap())
}

#[test]
fn the_last_id_that_there_can_be_stops_nobody() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let last = "9999999999999999";
    let dead = sandbox.queue("jobs").join("dead").join(last);
    fs::create_dir(&dead).unwrap();
    fs::copy(sandbox.file_of("jobs", &id), dead.join(format!("{last}-{last}-4-00000"))).unwrap();
    fs::remove_file(sandbox.queue("jobs").join("seq")).unwrap();
    let one = ends(&sandbox, "send jobs one").ok();
    let two = ends(&sandbox, "send jobs two").ok();
    assert!(*id < *one && one < two && two.as_str() < last, "{id} {one} {two}");
    ends(&sandbox, "fsck jobs --repair").one_of(&[0, 65]);
    ends(&sandbox, "work jobs -q --drain -- cat").code(0).prints("xone\ntwo\n");
}

#[test]
fn what_stands_where_its_name_does_not_say_is_not_looked_for_for_ever() {
    let sandbox = Sandbox::new();
    let id = sandbox.mq("send jobs x --delay 1h".split(' ')).ok();
    let file = sandbox.file_of("jobs", id.trim_end());
    let name = file.file_name().unwrap().to_str().unwrap();
    let wrong = sandbox.queue("jobs").join("delayed/1000000020000000");
    fs::create_dir(&wrong).unwrap();
    fs::rename(&file, wrong.join(format!("1000000000000001{}", &name[16..]))).unwrap();
    ends(&sandbox, "show jobs").code(1).says("nothing is ready");
    // It is a message all the same.
    ends(&sandbox, "work jobs -q --drain -- cat").code(0).prints("x\n");
}

#[test]
fn a_foreign_file_in_a_group_is_nobodys_turn() {
    let sandbox = Sandbox::new();
    sandbox.mq("send jobs --group g first second".split(' ')).ok();
    let groups = sandbox.queue("jobs").join("groups");
    let group = fs::read_dir(&groups).unwrap().next().unwrap().unwrap().path();
    // The pack first: a ticket that went on to it would be one that nobody takes.
    for (number, foreign) in ["-n000007", "-gcbf29ce484222325", "-tcbf29ce484222325"].iter().enumerate() {
        fs::write(group.join(format!("100000000000000{number}-1000000000000000-4-00000{foreign}")), "x").unwrap();
    }
    fs::write(groups.join("1000000000000000"), "x").unwrap();
    ends(&sandbox, "work jobs -q --drain -- cat").code(0).prints("first\nsecond\n");
    ends(&sandbox, "claim jobs").code(1);
}

#[test]
fn a_foreign_directory_in_what_a_killed_sender_left_stops_nobody() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let left = sandbox.queue("jobs").join("tmp/aaaaaaaaaaaaaaaaaaaaaaaaaa");
    fs::create_dir_all(left.join("000000/foreign/file")).unwrap();
    ends(&sandbox, "work jobs -q --drain -- cat").code(0).prints("x");
    ends(&sandbox, "claim jobs").code(1);
    assert!(left.join("000000/foreign/file").exists(), "{id}");
}
