//! What stands in a queue and is no message: left alone, or set aside, and never in the way.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Every kind of thing, under a name that a message could have.
fn plant(dir: &Path, secret: &Path, number: u64) {
    let name = |n: u64| dir.join(format!("{:016}-{:016}-4-00000", number * 100 + n, number * 100));
    symlink(secret, name(1)).unwrap();
    symlink("nowhere", name(2)).unwrap();
    symlink(name(3), name(3)).unwrap();
    fs::create_dir(name(4)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, name(5), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    fs::hard_link(secret, name(6)).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(name(7));
    // A path that is too long for a socket makes none; the other kinds are there all the same.
    drop(socket);
    fs::write(dir.join("foreign"), "x").unwrap();
    fs::write(dir.join(std::ffi::OsStr::new("\u{1b}[31m\n")), "x").unwrap();
}

#[test]
fn foreign_things_are_left_alone_and_block_nothing() {
    let sandbox = Sandbox::new();
    let secret = sandbox.dir().join("secret");
    fs::write(&secret, "secret").unwrap();
    let id = sandbox.send("jobs", "x");
    let queue = sandbox.queue("jobs");
    let bucket = sandbox.file_of("jobs", &id).parent().unwrap().to_path_buf();
    let dead = queue.join("dead/0000000000000000");
    let delayed = queue.join("delayed/0000000000000000");
    fs::create_dir_all(&dead).unwrap();
    fs::create_dir_all(&delayed).unwrap();
    let places = [bucket.as_path(), &queue.join("tmp"), &queue.join("claimed"), &dead, &delayed, &queue];
    for (number, dir) in places.iter().enumerate() {
        plant(dir, &secret, number as u64 + 1);
    }
    symlink("/", queue.join("ready/9")).unwrap();
    for command in [&["stats", "jobs"][..], &["ls", "jobs"], &["dlq", "ls", "jobs"]] {
        let _ = sandbox.mq(command).one_of(&[0, 1, 65, 74]);
    }
    let receipt = sandbox.mq(["claim", "jobs"]).one_of(&[0, 74]);
    assert_eq!(receipt.code, Some(0), "{}", receipt.stderr);
    assert_eq!(sandbox.mq(["cat", receipt.text().trim_end()]).ok(), "x");
    sandbox.mq(["ack", receipt.text().trim_end()]).ok();
    let told = sandbox.mq(["fsck", "jobs", "--repair"]).code(65);
    assert!(told.text().contains("foreign"), "{}", told.text());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    for dir in places {
        assert!(fs::symlink_metadata(dir.join("foreign")).is_ok(), "{} lost a foreign file", dir.display());
    }
}

#[test]
fn every_truncation_and_every_flipped_byte_is_set_aside_and_the_next_message_comes() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let sample = sandbox.send("sample", "some body");
    let good = fs::read(sandbox.file_of("sample", &sample)).unwrap();
    let bucket = sandbox.queue("jobs").join("ready/4/1000000000000000");
    fs::create_dir_all(&bucket).unwrap();
    let mut planted = 0_u64;
    let mut plant = |bytes: &[u8]| {
        planted += 1;
        fs::write(bucket.join(format!("{:016}-1000000000000000-4-00000", 1_000_000_000_000_000 + planted)), bytes)
            .unwrap();
    };
    for end in 0..good.len() {
        plant(&good[..end]);
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        plant(&bytes);
    }
    plant(&[0; 4096]);
    plant(&vec![b' '; 100_000]);
    sandbox.send("jobs", "good");
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    assert_eq!(sandbox.mq(["cat", receipt.trim_end()]).ok(), "good");
    let aside = fs::read_dir(sandbox.queue("jobs").join("damaged")).unwrap().count() as u64;
    // A flipped digit of the format number makes a message of a format that is not known: left where it is.
    let left = fs::read_dir(&bucket).map_or(0, Iterator::count) as u64;
    assert_eq!(aside / 2 + left, planted, "{aside} in damaged/ with their reasons, {left} left");
    assert!(left <= 4, "{left} left");
    let stats = sandbox.mq(["stats", "jobs", "--json"]).code(0).json();
    assert_eq!(stats[0]["damaged"], aside / 2);
}

#[test]
fn trailing_garbage_is_no_damage() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let path = sandbox.file_of("jobs", &id);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\n{\"attempt\":1,\"started_at\":\"x\",\"outc");
    fs::write(&path, &bytes).unwrap();
    let receipt = sandbox.mq(["claim", "jobs"]).ok();
    assert_eq!(sandbox.mq(["cat", receipt.trim_end()]).ok(), "x");
    sandbox.mq(["nack", receipt.trim_end(), "--reason", "after the torn one", "--delay", "0"]).ok();
    let shown = sandbox.mq(["show", "jobs", &id, "--json"]).code(0).json();
    assert_eq!(shown[0]["history"][0]["reason"], "after the torn one");
    assert_eq!(shown[0]["history"].as_array().unwrap().len(), 1);
}

#[test]
fn head_and_jq_read_a_message() {
    let sandbox = Sandbox::new();
    let id = sandbox.mq(["send", "jobs", "x", "-H", "a=b"]).ok();
    let file = fs::read_to_string(sandbox.file_of("jobs", id.trim_end())).unwrap();
    let header: serde_json::Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
    assert_eq!((&header["mq"], &header["size_bytes"], &header["headers"]["a"]), (&1.into(), &2.into(), &"b".into()));
    assert_eq!(file.lines().nth(1), Some("x"));
}

/// Runs a command as the user nobody, with what the test is allowed to make readable for it.
fn as_nobody(sandbox: &Sandbox, script: &str) -> crate::support::sandbox::Ran {
    sandbox.sh(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups bash -c '{script}'"))
}

/// Says why not, where this can't be tested.
fn two_users(sandbox: &Sandbox) -> bool {
    let able = rustix::process::geteuid().is_root() && sandbox.sh("setpriv --version").0.code == Some(0);
    let reachable = able && as_nobody(sandbox, "mq --version").0.code == Some(0);
    if !reachable {
        println!("skipped: a second user needs root, setpriv(1), and a build that others may execute");
    }
    reachable
}

#[test]
fn what_root_makes_in_anothers_queue_belongs_to_the_other() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = Sandbox::new();
    if !two_users(&sandbox) {
        return;
    }
    std::os::unix::fs::chown(sandbox.dir().join("root"), Some(65534), Some(65534)).unwrap();
    as_nobody(&sandbox, "mq create jobs && mq send jobs -q x").ok();
    let script = "
        mq send jobs -q y
        seq 3 | mq send jobs --lines
        mq send jobs -q later --delay 1h
        mq nack $(mq claim jobs) --delay 1h
        mq dead $(mq claim jobs)
        mq pause jobs; mq config jobs lease 5m";
    sandbox.sh(script).ok();
    for line in sandbox.tree("jobs").lines() {
        let found = fs::symlink_metadata(sandbox.queue("jobs").join(line)).unwrap();
        assert_eq!((found.uid(), found.gid()), (65534, 65534), "{line}");
    }
    as_nobody(&sandbox, "mq resume jobs && mq work jobs --drain=ready -- cat").code(0).prints("1\n2\n3\n");
}

#[test]
fn a_private_queue_is_closed_to_others_and_says_so() {
    let sandbox = Sandbox::new();
    if !two_users(&sandbox) {
        return;
    }
    sandbox.send("jobs", "secret");
    for command in ["ls", "send", "claim", "stats", "work --drain", "fsck"] {
        let rest = if command.starts_with("work") { "-- true" } else { "" };
        let (verb, flags) = command.split_once(' ').unwrap_or((command, ""));
        let told = as_nobody(&sandbox, &format!("mq {verb} jobs {flags} {rest} </dev/null")).code(74);
        assert!(told.stderr.contains("Permission denied") && !told.text().contains("secret"), "{}", told.stderr);
    }
}
