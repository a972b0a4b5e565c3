//! SELECT, through `mq ls` and `mq rm`.

use crate::support::sandbox::Sandbox;

/// One of each state but done; their ids in the order of delivery.
pub struct Zoo {
    pub sandbox: Sandbox,
    pub ready: String,
    pub delayed: String,
    pub claimed: String,
    pub receipt: String,
    pub dead: String,
    pub damaged: String,
}

pub fn zoo() -> Zoo {
    let sandbox = Sandbox::new();
    let dead = sandbox.send_dead("zoo", "a dead parrot", "passed on");
    let claimed = sandbox.mq(["send", "zoo", "-p", "8", "a claimed goat"]).ok().trim().to_string();
    let receipt = sandbox.mq(["claim", "zoo"]).ok().trim().to_string();
    assert!(receipt.contains(&claimed));
    let ready = sandbox.mq(["send", "zoo", "-H", "Keeper=Ann", "a ready owl"]).ok().trim().to_string();
    let delayed = sandbox.mq(["send", "zoo", "--delay", "1h", "a delayed sloth"]).ok().trim().to_string();
    let damaged = sandbox.mq(["send", "zoo", "-p", "9", "a damaged vase"]).ok().trim().to_string();
    let file = sandbox.file_of("zoo", &damaged);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    sandbox.mq(["fsck", "zoo", "--repair"]).code(0);
    Zoo { sandbox, ready, delayed, claimed, receipt, dead, damaged }
}

impl Zoo {
    fn ls(&self, select: &[&str]) -> Vec<String> {
        let args = ["ls", "zoo", "--ids"].iter().chain(select);
        self.sandbox.mq(args).code(0).lines()
    }

    fn nothing(&self, select: &[&str]) {
        let args = ["ls", "zoo", "--ids"].iter().chain(select);
        self.sandbox.mq(args).code(1).silent().prints("");
    }
}

#[test]
fn all_states_but_done_in_delivery_order() {
    let zoo = zoo();
    let Zoo { ready, delayed, claimed, dead, damaged, .. } = &zoo;
    let all: Vec<String> = [ready, delayed, claimed, dead, damaged].map(String::clone).to_vec();
    assert_eq!(zoo.ls(&[]), all);
    assert_eq!(zoo.ls(&["--all"]), all);
    assert_eq!(zoo.ls(&["-n", "2"]), all[..2]);
    zoo.nothing(&["-n", "0"]);
    let first = zoo.sandbox.mq(["send", "zoo", "-p", "9", "more urgent"]).ok();
    assert_eq!(zoo.ls(&["-n", "1"]), [first.trim()]);
}

#[test]
fn by_state() {
    let zoo = zoo();
    for (state, id) in [
        ("ready", &zoo.ready),
        ("delayed", &zoo.delayed),
        ("claimed", &zoo.claimed),
        ("dead", &zoo.dead),
        ("damaged", &zoo.damaged),
    ] {
        assert_eq!(zoo.ls(&["--state", state]), [id.as_str()]);
    }
    assert_eq!(zoo.ls(&["--state", "dead,ready"]), [zoo.ready.as_str(), &zoo.dead]);
    zoo.nothing(&["--state", "done"]);
    zoo.sandbox.mq(["ls", "zoo", "--state", "lost"]).code(2).says("ready, delayed, claimed, dead, done, damaged");
    zoo.sandbox.mq(["ls", "zoo", "--state", ""]).code(2);
}

#[test]
fn by_text_in_body_header_or_reason() {
    let zoo = zoo();
    assert_eq!(zoo.ls(&["--match", "owl"]), [zoo.ready.as_str()]);
    assert_eq!(zoo.ls(&["--match", "Ann"]), [zoo.ready.as_str()]);
    assert_eq!(zoo.ls(&["--match", "passed on"]), [zoo.dead.as_str()]);
    assert_eq!(zoo.ls(&["--match", "checksum"]), [zoo.damaged.as_str()]);
    zoo.nothing(&["--match", "Keeper"]);
    zoo.nothing(&["--match", "OWL"]);
    zoo.sandbox.mq(["ls", "zoo", "--match", ""]).code(2).says("would match everything");
}

#[test]
fn a_match_lies_anywhere_in_a_long_body() {
    let sandbox = Sandbox::new();
    // Around the sizes in which a body is read.
    for at in [0, 65_530, 65_536, 131_071, 300_000] {
        let mut body = vec![b'n'; at];
        body.extend_from_slice(b"needle");
        body.extend_from_slice(&[b'n'; 70_000]);
        let id = sandbox.send("hay", body);
        sandbox.mq(["ls", "hay", "--ids", "--match", "needle"]).code(0).prints(&format!("{id}\n"));
        sandbox.mq(["rm", "hay", &id]).ok();
    }
}

#[test]
fn by_outcome_of_the_last_attempt() {
    let zoo = zoo();
    let receipt = zoo.sandbox.mq(["claim", "zoo"]).ok();
    zoo.sandbox.mq(["nack", receipt.trim(), "--delay", "1h"]).ok();
    assert_eq!(zoo.ls(&["--outcome", "dead"]), [zoo.dead.as_str()]);
    assert_eq!(zoo.ls(&["--outcome", "nack"]), [zoo.ready.as_str()]);
    assert_eq!(zoo.ls(&["--outcome", "damaged,dead"]), [zoo.dead.as_str(), &zoo.damaged]);
    zoo.nothing(&["--outcome", "timeout"]);
    zoo.sandbox.mq(["ls", "zoo", "--outcome", "sad"]).code(2).says("ok, exit, signal");
}

#[test]
fn by_age() {
    let zoo = zoo();
    zoo.nothing(&["--older-than", "1h"]);
    assert_eq!(zoo.ls(&["--older-than", "0"]).len(), 5);
    // Sent long ago, dead for a moment: the name says when it was sent, the file when it came to its state.
    let file = zoo.sandbox.file_of("zoo", &zoo.dead);
    let name = file.file_name().unwrap().to_str().unwrap().replacen(&zoo.dead, "1500000000000000", 1);
    std::fs::rename(&file, file.with_file_name(name)).unwrap();
    zoo.nothing(&["--state", "dead", "--older-than", "1h"]);
    let file = zoo.sandbox.file_of("zoo", &zoo.ready);
    let name = file.file_name().unwrap().to_str().unwrap().replacen(&zoo.ready, "1500000000000001", 1);
    std::fs::rename(&file, file.with_file_name(name)).unwrap();
    assert_eq!(zoo.ls(&["--older-than", "1h"]), ["1500000000000001"]);
    for age in ["", "-1", "soon"] {
        zoo.sandbox.mq(["ls", "zoo", "--older-than", age]).code(2);
    }
}

#[test]
fn ids_are_tried_in_the_order_given_and_the_first_failure_is_the_exit() {
    let zoo = zoo();
    let (dead, ready) = (zoo.dead.as_str(), zoo.ready.as_str());
    assert_eq!(zoo.ls(&[dead, ready, dead]), [dead, ready]);
    let unknown = "1000000000000000";
    let ran = zoo.sandbox.mq(["ls", "zoo", "--ids", unknown, ready, "nonsense"]).code(3);
    let ran = ran.says(&format!("no message {unknown} in zoo")).says("'nonsense' is not an id");
    ran.prints(&format!("{ready}\n")).says("16 digits");
    zoo.sandbox.mq(["ls", "zoo", "--ids", "123", unknown, ready]).code(2).prints(&format!("{ready}\n"));
    zoo.sandbox.mq(["rm", "zoo", &zoo.claimed, unknown]).code(75).says("held");
    zoo.sandbox.mq(["rm", "zoo", unknown, &zoo.claimed]).code(3).says("held");
}

#[test]
fn ids_are_narrowed_too() {
    let zoo = zoo();
    let (dead, ready) = (zoo.dead.as_str(), zoo.ready.as_str());
    assert_eq!(zoo.ls(&[dead, ready, "--state", "ready"]), [ready]);
    assert_eq!(zoo.ls(&[dead, ready, "-n", "1"]), [dead]);
    assert_eq!(zoo.ls(&[dead, ready, "--match", "owl"]), [ready]);
    zoo.nothing(&[dead, "--state", "ready"]);
    zoo.sandbox.mq(["ls", "zoo", "--all", dead]).code(2);
}

#[test]
fn ids_come_from_stdin_as_ls_prints_them() {
    let zoo = zoo();
    let listed = zoo.sandbox.mq(["ls", "zoo"]).ok();
    let ids = zoo.ls(&[]);
    assert_eq!(zoo.sandbox.mq_stdin(["ls", "zoo", "--ids", "-"], &listed).code(0).lines(), ids);
    zoo.sandbox.mq_stdin(["ls", "zoo", "--ids", "-"], "").code(1).silent().prints("");
    zoo.sandbox.mq_stdin(["rm", "zoo", "-"], "\n \n").code(1).silent().prints("");
    zoo.sandbox.mq_stdin(["rm", "zoo", "-"], "x\n").code(2).says("'x' is not an id");
    // Several thousand in one stream, of which most are unknown.
    let mut many: String = (0..40_000).map(|n| format!("{:016}\n", 1_000_000_000_000_000_u64 + n)).collect();
    many.push_str(&zoo.ready);
    let ran = zoo.sandbox.mq_stdin(["ls", "zoo", "--ids", "-"], &many).code(3);
    assert_eq!(ran.stderr.lines().count(), 40_000);
    assert_eq!(ran.lines(), [zoo.ready.as_str()]);
}

#[test]
fn what_is_not_a_queue_says_so() {
    let sandbox = Sandbox::new();
    sandbox.send("jobs", "x");
    for command in
        [&["ls", "jbos"][..], &["show", "jbos"], &["stats", "jbos"], &["rm", "jbos", "--all"], &["fsck", "jbos"]]
    {
        sandbox.mq(command).code(3).says("no queue 'jbos'").says("did you mean 'jobs'?").prints("");
    }
    for command in [&["dlq", "ls", "./x"][..], &["dlq", "redrive", "./x", "--all"], &["dlq", "purge", "./x", "--all"]] {
        sandbox.mq(command).code(3).says("no queue './x'");
    }
    sandbox.mq(["ls", "1764000000000000"]).code(2).says("the queue comes first");
    sandbox.mq(["ls", "a b"]).code(2);
    sandbox.mq(["ls", "--state", "dead"]).code(2).says("need a queue");
}
