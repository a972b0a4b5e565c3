//! A stranger's thing in place of a control file or of a directory of the queue: every command ends, says what is wrong with a
//! documented exit code, and touches nothing outside.

use crate::support::sandbox::Sandbox;
use crate::support::things::{self, KINDS, obeyed, seen};
use mq::cli::exit::Exit;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// As in `mq work`, which must not wait for what never comes.
const COMMANDS: [&str; 12] = [
    "ls jobs",
    "stats jobs",
    "config jobs lease 5m",
    "send jobs c",
    "send jobs d --group g --unique k",
    "claim jobs",
    "work jobs -q --drain -- true",
    "pause jobs",
    "resume jobs",
    "wait jobs --timeout 1ms",
    "replay jobs --all",
    "fsck jobs --repair",
];

fn replaced(names: &[&str], kinds: impl Iterator<Item = usize> + Clone) {
    let sandbox = Sandbox::new();
    let outside = sandbox.dir().join("outside");
    fs::create_dir_all(outside.join("dir")).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    for name in names {
        for kind in kinds.clone() {
            let _ = fs::remove_dir_all(sandbox.queue("jobs"));
            sandbox.mq("create jobs --rate 1000/s --retain 1h".split(' ')).ok();
            sandbox.mq(["send", "jobs", "-q", "a"]).ok();
            let path = sandbox.queue("jobs").join(name);
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
            things::plant(kind, &path, &outside);
            let before = seen(&outside);
            for words in COMMANDS {
                let began = Instant::now();
                let mut child = sandbox.command(words.split(' '));
                let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                let what = format!("mq {words} with a thing of kind {kind} as {name}");
                while child.try_wait().unwrap().is_none() {
                    if began.elapsed() > Duration::from_secs(9) {
                        child.kill().unwrap();
                        panic!("{what} does not end");
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                let output = child.wait_with_output().unwrap();
                let (code, stderr) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
                let good = |(exit, number, _): &(Exit, u8, &str)| code == Some((*number).into()) && *exit != Exit::Bug;
                assert!(Exit::TABLE.iter().any(good), "{what}: {code:?}: {stderr}");
                assert!(!stderr.contains(obeyed), "{what}: {stderr:?}");
                let mut now = seen(&outside);
                if *name == "wake" && kind == things::HARD_LINK {
                    // Its times are all that is ever touched of it, and by whoever may write to the file anyway.
                    now.insert(outside.join("secret"), before[&outside.join("secret")].clone());
                }
                assert_eq!(now, before, "{what}");
            }
        }
    }
}

#[test]
fn a_strangers_thing_as_a_control_file_blocks_nothing_and_leads_nowhere() {
    replaced(&["seq", "pace"], [0, 4, things::HARD_LINK, 11].into_iter());
    replaced(&["queue.json", "paused", "wake"], [0, 4, 6].into_iter());
}

#[test]
#[ignore = "long: a minute"]
fn a_strangers_thing_in_any_place_blocks_nothing_and_leads_nowhere() {
    let files = ["queue.json", "seq", "wake", "paused", "pace"];
    let dirs = ["tmp", "ready", "delayed", "claimed", "dead", "done", "damaged"];
    let late = ["cancel", "groups", "unique", "memory", "reserve"];
    replaced(&[&files[..], &dirs[..], &late[..]].concat(), 0..KINDS);
}
