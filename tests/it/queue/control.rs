//! Control files: what is believed of them, and how they are made.

use super::world::{PLAIN, Q, World};
use crate::support::memory::Machine;
use crate::support::sandbox::Sandbox;
use mq::fs::{Disk, Store};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Error, Queue, Scout, Settings};
use std::path::Path;
use std::time::Duration;

#[test]
fn settings_are_a_file_of_no_more_than_a_mebibyte() {
    let world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let json = world.machine.read("/q/queue.json").unwrap();
    for (length, good) in [(1 << 20, true), ((1 << 20) + 1, false), (2 << 20, false)] {
        let mut padded = json.clone();
        padded.resize(length, b' ');
        world.machine.write("/q/queue.json", &padded);
        let opened = Queue::open(&disk, Path::new(Q)).map(drop);
        assert!(
            if good { opened.is_ok() } else { matches!(opened, Err(Error::BadQueue { .. })) },
            "{length}: {opened:?}"
        );
    }
    world.machine.remove("/q/queue.json");
    world.machine.mkdir("/q/queue.json");
    let opened = Queue::open(&disk, Path::new(Q)).map(drop);
    assert!(matches!(opened, Err(Error::BadQueue { .. })), "{opened:?}");
}

#[test]
fn a_person_is_warned_where_messages_may_be_lost() {
    for (store, says) in [(Store::Memory, Some("tmpfs")), (Store::Network, Some("network")), (Store::Other, None)] {
        let machine = Machine::on(store, 1);
        let queue = Queue::create(&machine.disk(), Path::new(Q), &Settings::default()).unwrap().0;
        let warnings = queue.warnings();
        assert_eq!(warnings.len(), usize::from(says.is_some()), "{store:?}: {warnings:?}");
        assert!(says.is_none_or(|says| warnings[0].contains(says)), "{store:?}: {warnings:?}");
    }
}

#[test]
fn a_pause_is_over_when_its_time_is() {
    let world = World::empty(PLAIN, 1);
    let queue = world.open();
    queue.pause_for(None, Some(Duration::from_secs(60))).unwrap();
    assert!(queue.paused().unwrap().is_some());
    world.machine.advance(Duration::from_secs(62));
    assert_eq!(queue.paused().unwrap(), None);
}

/// Where the system can tell of changes nobody has to poll, also where the file to watch was taken away.
#[cfg(target_os = "linux")]
#[test]
fn a_queue_can_be_watched_without_its_file_for_that() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let queue = Queue::open(&Disk::real(), &sandbox.queue("jobs")).unwrap();
    assert!(queue.watch().unwrap().is_some());
    std::fs::remove_file(sandbox.queue("jobs").join("wake")).unwrap();
    assert!(queue.watch().unwrap().is_some());
    assert!(sandbox.queue("jobs").join("wake").exists());
}

#[test]
fn what_is_made_has_the_mode_that_the_queue_says() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, dirs, files) in [("0700", 0o700, 0o600), ("2770", 0o2770, 0o660)] {
        let sandbox = Sandbox::new();
        sandbox.mq(["create", "jobs", "--mode", mode, "--rate", "1000/s", "--max-messages", "9"]).ok();
        sandbox.mq(["config", "jobs", "lease", "5m"]).ok();
        sandbox.sh("mq send jobs x; mq dead $(mq claim jobs); mq send jobs y --delay 1h; mq pause jobs").ok();
        for line in sandbox.tree("jobs").lines().chain([""]) {
            let found = std::fs::symlink_metadata(sandbox.queue("jobs").join(line)).unwrap();
            let wanted = if found.is_dir() { dirs } else { files };
            assert_eq!(found.permissions().mode() & 0o7777, wanted, "{line}");
        }
    }
}

#[test]
fn new_settings_leave_what_else_is_written() {
    let world = World::empty(PLAIN, 1);
    let date = || {
        let json = world.machine.read("/q/queue.json").unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["created_at"].as_str().unwrap().to_string()
    };
    let created = date();
    assert!(created.starts_with("2025-11-24T16:00"), "{created}");
    world.machine.advance(Duration::from_secs(3600));
    // As somebody's editor may have left it.
    let mut long = [vec![b'\n'; 100_000], world.machine.read("/q/queue.json").unwrap()].concat();
    let end = long.iter().rposition(|&byte| byte == b'}').unwrap();
    long.splice(end.., b",\"note\":{\"owner\":\"ops\"}}".iter().copied());
    world.machine.write("/q/queue.json", &long);
    world.open().configure(|settings| settings.set("lease", "5m")).unwrap();
    assert_eq!(date(), created);
    let json = String::from_utf8(world.machine.read("/q/queue.json").unwrap()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["note"]["owner"], &value["settings"]["lease"]), (&"ops".into(), &"5m".into()), "{json}");
}

/// A queue belongs to whom the directory belongs in which root makes it; the group of a directory of root's own says nothing.
#[test]
fn what_root_makes_in_anothers_directory_belongs_to_the_other() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give a directory away");
        return;
    }
    let own = rustix::process::getegid().as_raw();
    for (user, group, made) in [(65533, 65532, (65533, 65532)), (0, 65532, (0, own))] {
        let sandbox = Sandbox::new();
        chown(sandbox.dir().join("root"), Some(user), Some(group)).unwrap();
        sandbox.mq(["create", "jobs"]).ok();
        sandbox.mq(["send", "jobs", "-q", "x"]).ok();
        for line in sandbox.tree("jobs").lines().chain([""]) {
            let found = std::fs::symlink_metadata(sandbox.queue("jobs").join(line)).unwrap();
            assert_eq!((found.uid(), found.gid()), made, "{line}");
        }
    }
}

/// What is written in place is a file of the queue alone: by a second name it would be somebody else's as well.
#[test]
fn a_control_file_that_is_also_elsewhere_is_not_written() {
    for name in ["seq", "pace"] {
        let sandbox = Sandbox::new();
        sandbox.mq(["create", "jobs", "--rate", "1000/s"]).ok();
        sandbox.send("jobs", "x");
        let (path, outside) = (sandbox.queue("jobs").join(name), sandbox.dir().join("outside"));
        let _ = std::fs::remove_file(&path);
        std::fs::write(&outside, "theirs").unwrap();
        std::fs::hard_link(&outside, &path).unwrap();
        let queue = Queue::open(&Disk::real(), &sandbox.queue("jobs")).unwrap();
        let done = match name {
            "seq" => queue.draft(Envelope::default()).and_then(|draft| draft.publish()).map(drop),
            _ => queue.claim(&mut Scout::new(), Lease::Live).map(drop),
        };
        assert!(matches!(done, Err(Error::Unknown { .. })), "{name}: {done:?}");
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "theirs");
    }
}
