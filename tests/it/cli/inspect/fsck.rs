//! `mq fsck`: each trouble is found, told with its path, and mended where that is possible; then a second run is clean.

use crate::support::sandbox::{Sandbox, Told};
use std::fs;
use std::path::{Path, PathBuf};

fn trouble(ran: &Told) -> Vec<(String, String)> {
    ran.columns().into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Found by both runs with this one finding, mended by the second, gone in the third.
#[track_caller]
fn mended(sandbox: &Sandbox, word: &str, path: &Path) {
    let found = sandbox.mq(["fsck", "jobs"]).code(65).silent();
    assert_eq!(trouble(&found), [(word.to_string(), path.display().to_string())]);
    assert_eq!(found.columns()[0][3], "-");
    let mended = sandbox.mq(["fsck", "jobs", "--repair"]).code(0).silent();
    assert_eq!(trouble(&mended), trouble(&found));
    assert_ne!(mended.columns()[0][3], "-");
    sandbox.mq(["fsck", "jobs"]).code(0).silent().prints("");
    sandbox.mq(["fsck", "jobs", "--repair"]).code(0).silent().prints("");
}

/// Found, and left for a person.
#[track_caller]
fn left(sandbox: &Sandbox, word: &str, path: &Path) {
    for args in [&["fsck", "jobs"][..], &["fsck", "jobs", "--repair"]] {
        let found = sandbox.mq(args).code(65).silent();
        assert_eq!(trouble(&found), [(word.to_string(), path.display().to_string())]);
        assert_eq!(found.columns()[0][3], "-");
    }
}

fn one() -> (Sandbox, String, PathBuf) {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "a body that is long enough");
    let file = sandbox.file_of("jobs", &id);
    (sandbox, id, file)
}

fn bodies(sandbox: &Sandbox) -> Vec<String> {
    let objects = sandbox.mq(["ls", "jobs", "--full"]).code(0).json();
    objects.iter().map(|object| object["body"].as_str().unwrap_or("(none)").to_string()).collect()
}

#[test]
fn all_is_well() {
    let (sandbox, ..) = one();
    sandbox.send_dead("jobs", "x", "y");
    sandbox.mq(["send", "jobs", "--delay", "1h", "later"]).ok();
    sandbox.mq(["claim", "jobs"]).ok();
    for args in [&["fsck", "jobs"][..], &["fsck", "jobs", "--json"], &["fsck", "jobs", "--repair"]] {
        sandbox.mq(args).code(0).silent().prints("");
    }
}

#[test]
fn foreign_things_everywhere_are_told_and_left() {
    let (sandbox, _, file) = one();
    let queue = sandbox.queue("jobs");
    let bucket = file.parent().unwrap();
    for path in [
        queue.join("notes.txt"),
        queue.join("tmp/notes.txt"),
        queue.join("ready/notes.txt"),
        queue.join("ready/4/notes.txt"),
        bucket.join("notes.txt"),
        queue.join("delayed/notes.txt"),
        queue.join("claimed/notes.txt"),
        queue.join("dead/notes.txt"),
        queue.join("damaged/notes.txt"),
    ] {
        fs::write(&path, "mine").unwrap();
        left(&sandbox, "foreign", &path);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        left(&sandbox, "foreign", &path);
        fs::remove_file(&path).unwrap();
    }
    // A message's name on what is no file.
    let path = bucket.join(file.file_name().unwrap().to_str().unwrap().replacen("17", "16", 1));
    fs::create_dir(&path).unwrap();
    left(&sandbox, "foreign", &path);
    fs::remove_dir(&path).unwrap();
    // A name that is a newline and an escape is told in one line.
    let path = queue.join("a\n\x1b[31mb\tc");
    fs::write(&path, "").unwrap();
    let ran = sandbox.mq(["fsck", "jobs"]).code(65);
    assert_eq!(ran.lines().len(), 1);
    assert_eq!(ran.columns()[0].len(), 4);
    assert_eq!(sandbox.mq(["fsck", "jobs", "--json"]).code(65).json()[0]["path"], path.to_str().unwrap());
    assert!(!sandbox.mq(["fsck", "jobs", "--json"]).code(65).text().contains('\x1b'));
}

#[test]
fn a_second_link_outside_is_foreign() {
    let (sandbox, _, file) = one();
    fs::hard_link(&file, sandbox.dir().join("elsewhere")).unwrap();
    left(&sandbox, "foreign", &file);
}

#[test]
fn damage_is_set_aside() {
    let (sandbox, id, file) = one();
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [&flipped[..], &good[..good.len() - 1], b"garbage\n", b"x", &[0; 100]] {
        fs::write(&file, bytes).unwrap();
        mended(&sandbox, "damaged", &file);
        let aside = sandbox.queue("jobs").join("damaged").join(file.file_name().unwrap());
        assert_eq!(fs::read(&aside).unwrap(), bytes, "nothing damaged is changed or deleted");
        sandbox.mq(["rm", "jobs", &id]).ok();
    }
}

#[test]
fn two_links_of_one_message_become_one() {
    let (sandbox, _, file) = one();
    let twin = file.with_file_name(file.file_name().unwrap().to_str().unwrap().replacen("17", "16", 1));
    fs::hard_link(&file, &twin).unwrap();
    mended(&sandbox, "twin", &file);
    assert_eq!(bodies(&sandbox), ["a body that is long enough"]);
}

#[test]
fn an_equal_copy_goes_and_one_stays() {
    let (sandbox, _, file) = one();
    let dead = sandbox.queue("jobs").join("dead").join(file.parent().unwrap().file_name().unwrap());
    fs::create_dir_all(&dead).unwrap();
    // With more attempts: that one stays.
    let name = file.file_name().unwrap().to_str().unwrap();
    let copy = dead.join(format!("{}{}", &name[..name.len() - 5], "00003"));
    fs::copy(&file, &copy).unwrap();
    mended(&sandbox, "twin", &file);
    assert!(copy.exists() && !file.exists());
    assert_eq!(bodies(&sandbox), ["a body that is long enough"]);
}

/// In one group, where all stand in one directory.
#[test]
fn an_equal_copy_in_a_group_goes_and_one_stays() {
    let sandbox = Sandbox::new();
    let ids = ["1", "2", "3"]
        .map(|body| sandbox.mq(["send", "jobs", "--group", "a", "--", body]).ok().trim_end().to_string());
    let tree = sandbox.tree("jobs");
    let last = tree.lines().find(|path| path.starts_with("groups/") && path.contains(&ids[2])).unwrap();
    let file = sandbox.queue("jobs").join(last);
    // Of equals the oldest id stays: here the copy's.
    let id = ids[1].parse::<u64>().unwrap() + 1;
    let copy = sandbox.queue("jobs").join(last.replacen(&ids[2], &id.to_string(), 1));
    fs::copy(&file, &copy).unwrap();
    mended(&sandbox, "twin", &file);
    assert!(copy.exists() && !file.exists());
    assert_eq!(sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).ok(), "1\n2\n3\n");
}

#[test]
fn two_messages_of_one_id_get_one_each() {
    let (sandbox, id, file) = one();
    let other = sandbox.send("jobs", "another message");
    let theirs = sandbox.file_of("jobs", &other);
    let name = theirs.file_name().unwrap().to_str().unwrap().replacen(&other, &id, 1);
    let name = format!("{}{}", &name[..name.len() - 5], "00001");
    fs::rename(&theirs, theirs.with_file_name(&name)).unwrap();
    mended(&sandbox, "twin", &file);
    let mut found = bodies(&sandbox);
    found.sort();
    assert_eq!(found, ["a body that is long enough", "another message"]);
    let mut ids = sandbox.mq(["ls", "jobs", "--ids"]).code(0).lines();
    ids.dedup();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&id));
}

#[test]
fn a_dead_holder_is_noticed() {
    let (sandbox, id, _) = one();
    sandbox.mq(["claim", "jobs", "--lease", "1ms"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(3));
    let file = sandbox.file_of("jobs", &id);
    mended(&sandbox, "orphaned", &file);
    assert_eq!(sandbox.mq(["ls", "jobs"]).code(0).columns()[0][1], "ready");
    // A live lease that nobody holds.
    sandbox.mq(["claim", "jobs", "--lease", "1h"]).ok();
    let file = sandbox.file_of("jobs", &id);
    let name = file.file_name().unwrap().to_str().unwrap().replace("-t000003600000-", "-l000000000000-");
    let live = file.with_file_name(name);
    fs::rename(&file, &live).unwrap();
    mended(&sandbox, "orphaned", &live);
    let object = sandbox.mq(["show", "jobs", &id, "--json"]).code(0).json().remove(0);
    assert_eq!((&object["state"], &object["reason"]), (&"ready".into(), &"worker lost".into()));
}

#[test]
fn a_send_that_was_killed_is_finished_or_forgotten() {
    let (sandbox, id, file) = one();
    let tmp = sandbox.queue("jobs").join("tmp").join("abcdefghijklmnopqrstuvwxyz");
    fs::write(&tmp, "      \nhalf a bo").unwrap();
    mended(&sandbox, "orphaned", &tmp);
    fs::rename(&file, &tmp).unwrap();
    mended(&sandbox, "orphaned", &tmp);
    assert_eq!(bodies(&sandbox), ["a body that is long enough"]);
    sandbox.mq(["show", "jobs", &id]).code(3);
    fs::create_dir(&tmp).unwrap();
    mended(&sandbox, "orphaned", &tmp);
}

#[test]
fn what_is_in_the_wrong_place_goes_home() {
    let (sandbox, _, file) = one();
    let queue = sandbox.queue("jobs");
    fs::create_dir(queue.join("ready/7")).unwrap();
    let wrong = queue.join("ready/7/1500000000000000");
    fs::create_dir(&wrong).unwrap();
    let moved = wrong.join(file.file_name().unwrap());
    fs::rename(&file, &moved).unwrap();
    mended(&sandbox, "misplaced", &moved);
    assert!(file.exists());
    // Due names in the wrong minute.
    let id = sandbox.mq(["send", "jobs", "--delay", "1h", "later"]).ok();
    let file = sandbox.file_of("jobs", id.trim());
    fs::create_dir(queue.join("delayed/1500000000000000")).unwrap();
    let moved = queue.join("delayed/1500000000000000").join(file.file_name().unwrap());
    fs::rename(&file, &moved).unwrap();
    mended(&sandbox, "misplaced", &moved);
    assert!(file.exists());
}

#[test]
fn what_this_mq_cannot_read_is_left() {
    let (sandbox, _, file) = one();
    fs::write(&file, "{\"mq\":2,\"of\":\"the future\"}\n").unwrap();
    left(&sandbox, "unreadable", &file);
    assert!(sandbox.mq(["fsck", "jobs"]).code(65).text().contains("message format 2"));
}

#[test]
fn litter_is_removed() {
    let (sandbox, ..) = one();
    let queue = sandbox.queue("jobs");
    let why = queue.join("damaged/1764000000000000-1764000000000000-4-00000.why");
    fs::write(&why, "{}").unwrap();
    mended(&sandbox, "litter", &why);
    let control = fs::read_dir(&queue).unwrap().count();
    let half = queue.join("control-abcdefghijklmnopqrstuvwxyz");
    fs::write(&half, "{").unwrap();
    mended(&sandbox, "litter", &half);
    assert_eq!(fs::read_dir(&queue).unwrap().count(), control);
}

#[test]
fn seq_is_made_anew() {
    let (sandbox, id, file) = one();
    let seq = sandbox.queue("jobs").join("seq");
    let good = fs::read(&seq).unwrap();
    for bytes in [&b"garbage"[..], b"", &good[..good.len() - 2]] {
        fs::write(&seq, bytes).unwrap();
        mended(&sandbox, "seq", &seq);
    }
    // An id of the future, from a restored backup.
    let future = file.file_name().unwrap().to_str().unwrap().replacen(&id, "9000000000000000", 1);
    fs::rename(&file, file.with_file_name(future)).unwrap();
    mended(&sandbox, "seq", &seq);
    assert!(sandbox.send("jobs", "next").as_str() > "9000000000000000");
    fs::remove_file(&seq).unwrap();
    mended(&sandbox, "seq", &seq);
}

#[test]
fn a_queue_to_which_nothing_was_sent_is_well() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    // Whoever was the first to send was killed when he had made it.
    let seq = sandbox.queue("jobs").join("seq");
    fs::write(&seq, "").unwrap();
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    fs::write(&seq, "garbage").unwrap();
    mended(&sandbox, "seq", &seq);
}

#[test]
fn a_damaged_queue_file_stops_with_its_path() {
    let (sandbox, ..) = one();
    let path = sandbox.queue("jobs").join("queue.json");
    for bytes in ["", "{", "{\"mq\":2}", "{\"mq\":1,\"settings\":{\"unknown\":1}}"] {
        fs::write(&path, bytes).unwrap();
        for args in [&["fsck", "jobs"][..], &["fsck", "jobs", "--repair"], &["ls", "jobs"], &["stats", "jobs"]] {
            sandbox.mq(args).code(65).says(path.to_str().unwrap()).prints("");
        }
    }
}

#[test]
fn json_is_one_object_a_finding() {
    let (sandbox, _, file) = one();
    fs::write(&file, "garbage\n").unwrap();
    let objects = sandbox.mq(["fsck", "jobs", "--json"]).code(65).json();
    let keys: Vec<&String> = objects[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["trouble", "path", "detail", "mended"]);
    assert_eq!(objects[0]["trouble"], "damaged");
    assert!(objects[0]["mended"].is_null());
    let objects = sandbox.mq(["fsck", "jobs", "--json", "--repair"]).code(0).json();
    assert_eq!(objects[0]["mended"], "set aside in damaged/");
}

#[test]
fn an_unreadable_directory_is_an_error() {
    let (sandbox, ..) = one();
    let dead = sandbox.queue("jobs").join("dead");
    fs::remove_dir_all(&dead).unwrap();
    fs::write(&dead, "").unwrap();
    let ran = sandbox.mq(["fsck", "jobs"]).one_of(&[65, 74]);
    assert!(format!("{}{}", ran.text(), ran.stderr).contains("jobs/dead"), "{ran:?}");
}
