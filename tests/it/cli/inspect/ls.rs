//! `mq ls`.

use super::select::{Zoo, zoo};
use crate::support::sandbox::Sandbox;
use serde_json::json;

#[test]
fn queues_with_their_counts() {
    let zoo = zoo();
    zoo.sandbox.send("other", "x");
    zoo.sandbox.mq(["pause", "other"]).ok();
    let rows = zoo.sandbox.mq(["ls"]).code(0).silent().columns();
    assert_eq!(rows, [["other", "1", "0", "0", "0", "resume", "0"], ["zoo", "1", "1", "1", "1", "-", "1"]]);
    let objects = zoo.sandbox.mq(["ls", "--json"]).code(0).json();
    assert_eq!(objects, zoo.sandbox.mq(["stats", "--json"]).code(0).json());
}

#[test]
fn no_queues_is_no_error_and_an_unreadable_root_is_one() {
    let sandbox = Sandbox::new();
    sandbox.mq(["ls"]).code(0).prints("").says("no queues in ");
    sandbox.mq(["ls", "-q"]).code(0).silent();
    std::fs::remove_dir(sandbox.dir().join("root")).unwrap();
    sandbox.mq(["ls"]).code(0).prints("");
    std::fs::write(sandbox.dir().join("root"), "a file").unwrap();
    sandbox.mq(["ls"]).code(74).says("root").prints("");
}

#[test]
fn one_broken_queue_hides_no_other() {
    let sandbox = Sandbox::new();
    sandbox.send("a", "x");
    sandbox.send("b", "x");
    std::fs::write(sandbox.queue("a").join("queue.json"), "{").unwrap();
    let ran = sandbox.mq(["ls"]).code(65).says("a/queue.json");
    assert_eq!(ran.columns().len(), 1);
}

#[test]
fn the_columns_of_each_state() {
    let zoo = zoo();
    let Zoo { ready, delayed, claimed, dead, damaged, .. } = &zoo;
    let rows = zoo.sandbox.mq(["ls", "zoo"]).code(0).silent().columns();
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [12; 5]);
    let known = |row: &[String]| {
        let mut row = row.to_vec();
        for column in [4, 6, 7] {
            if row[column] != "-" {
                assert!(row[column].ends_with('Z') && row[column].len() == 20, "{row:?}");
                row[column] = "TIME".into();
            }
        }
        row.join(" ")
    };
    let rows: Vec<String> = rows.iter().map(|row| known(row)).collect();
    assert_eq!(
        rows,
        [
            format!("{ready} ready 4 0 TIME 12 - - - - a ready owl -"),
            format!("{delayed} delayed 4 0 TIME 16 TIME - - - a delayed sloth -"),
            format!("{claimed} claimed 8 1 TIME 15 - TIME - - a claimed goat -"),
            format!("{dead} dead 9 1 TIME 14 - - - passed on a dead parrot -"),
            format!("{damaged} damaged 9 0 TIME - - - - its checksum does not match - -"),
        ]
    );
}

#[test]
fn the_fields_of_each_state() {
    let zoo = zoo();
    let mut objects = zoo.sandbox.mq(["ls", "zoo", "--json"]).code(0).silent().json();
    let order: Vec<Vec<&str>> =
        objects.iter().map(|object| object.as_object().unwrap().keys().map(String::as_str).collect()).collect();
    let start = ["id", "uid", "queue", "state", "priority", "attempts", "max_attempts", "sent_at"];
    assert_eq!(order[0], [&start[..], &["size_bytes", "headers"]].concat());
    assert_eq!(order[1], [&start[..], &["due_at", "size_bytes"]].concat());
    assert_eq!(order[2], [&start[..], &["lease_until", "size_bytes"]].concat());
    assert_eq!(order[3], [&start[..], &["size_bytes", "reason"]].concat());
    for object in &mut objects {
        let map = object.as_object_mut().unwrap();
        for name in ["uid", "sent_at", "due_at", "lease_until"] {
            if let Some(value) = map.remove(name) {
                assert_eq!(value.as_str().unwrap().len(), if name == "uid" { 26 } else { 20 });
            }
        }
    }
    assert_eq!(
        objects,
        [
            json!({ "id": zoo.ready, "queue": "zoo", "state": "ready", "priority": 4, "attempts": 0, "max_attempts": 8,
                    "size_bytes": 12, "headers": { "Keeper": "Ann" } }),
            json!({ "id": zoo.delayed, "queue": "zoo", "state": "delayed", "priority": 4, "attempts": 0,
                    "max_attempts": 8, "size_bytes": 16 }),
            json!({ "id": zoo.claimed, "queue": "zoo", "state": "claimed", "priority": 8, "attempts": 1,
                    "max_attempts": 8, "size_bytes": 15 }),
            json!({ "id": zoo.dead, "queue": "zoo", "state": "dead", "priority": 9, "attempts": 1, "max_attempts": 8,
                    "size_bytes": 14, "reason": "passed on" }),
            json!({ "id": zoo.damaged, "queue": "zoo", "state": "damaged", "priority": 9, "attempts": 0,
                    "max_attempts": 8, "reason": "its checksum does not match" }),
        ]
    );
}

#[test]
fn full_has_bodies_and_history_and_can_be_sent_again() {
    let zoo = zoo();
    let binary = zoo.sandbox.send("zoo", b"\xff\0\x01");
    for args in [&["ls", "zoo", "--full"][..], &["ls", "zoo", "--full", "--json"]] {
        let objects = zoo.sandbox.mq(args).code(0).json();
        let of = |id: &str| objects.iter().find(|object| object["id"] == id).unwrap();
        assert_eq!(of(&zoo.ready)["body"], "a ready owl\n");
        assert_eq!(of(&zoo.ready)["history"], json!([]));
        assert_eq!(of(&binary)["body_base64"], "/wAB");
        assert_eq!(of(&binary).get("body"), None);
        assert_eq!(of(&zoo.dead)["history"][0]["outcome"], "dead");
        assert_eq!(of(&zoo.dead)["history"][0]["reason"], "passed on");
    }
    zoo.sandbox.sh("mq ls zoo --state ready,dead --full --json | mq -q send again --jsonl").ok();
    let again = zoo.sandbox.mq(["ls", "again", "--full"]).code(0).json();
    assert_eq!(again.len(), 3);
    assert_eq!(again[0]["body"], "a dead parrot\n");
    assert_eq!(again[1]["headers"], json!({ "Keeper": "Ann" }));
    assert_eq!(again[2]["body_base64"], "/wAB");
}

#[test]
fn a_row_is_one_line_whatever_the_message_holds() {
    let sandbox = Sandbox::new();
    let id = sandbox.send_dead("jobs", "tab\there\\n \\ back\rslash\nsecond line", "line\none\ttwo\\");
    let ran = sandbox.mq(["ls", "jobs"]).code(0);
    assert_eq!(ran.lines().len(), 1);
    let row = &ran.columns()[0];
    assert_eq!(row[0], id);
    assert_eq!(&row[9..11], ["line\\none\\ttwo\\\\", "tab\\there\\\\n \\\\ back\\rslash"]);
    // Empty is '-', so that no two tabs stand together, which `read` would take for one.
    sandbox.send("jobs", "");
    sandbox.send("jobs", "\n");
    assert!(!sandbox.mq(["ls", "jobs"]).ok().contains("\t\t"));
}

#[test]
fn damage_is_listed_where_it_stands() {
    let sandbox = Sandbox::new();
    let mut ids: Vec<String> =
        ["cut", "header", "empty", "new", "good"].map(|body| sandbox.send("jobs", body)).to_vec();
    let files: Vec<_> = ids.iter().map(|id| sandbox.file_of("jobs", id)).collect();
    let bytes = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(&files[1], "no header\n").unwrap();
    std::fs::write(&files[2], "").unwrap();
    std::fs::write(&files[3], "{\"mq\":99}\n").unwrap();
    let rows = sandbox.mq(["ls", "jobs"]).code(0).silent().columns();
    let reasons: Vec<&str> = rows.iter().map(|row| row[9].as_str()).collect();
    assert!(rows.iter().all(|row| row[1] == "ready"));
    assert_eq!(reasons[0], "damaged: its body has 2 bytes, not 3");
    assert!(reasons[1].starts_with("damaged: its header cannot be read"), "{}", reasons[1]);
    assert_eq!(reasons[2], "damaged: it was never finished");
    assert_eq!(reasons[3], "message format 99 is not known to this mq");
    assert_eq!(reasons[4], "-");
    assert_eq!(sandbox.mq(["ls", "jobs", "--json"]).code(0).json()[0]["reason"], reasons[0]);
    // A body whose damage only the checksum shows is never printed as one.
    let mut bytes = std::fs::read(&files[4]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&files[4], bytes).unwrap();
    let last = sandbox.mq(["ls", "jobs", "--full"]).code(0).json().pop().unwrap();
    assert_eq!(last["reason"], "damaged: its checksum does not match");
    assert_eq!(last.get("body"), None);
    assert_eq!(last["id"], ids.pop().unwrap());
}

#[test]
fn what_cannot_be_listed_is_an_error_and_hides_nothing_else() {
    let zoo = zoo();
    let queue = zoo.sandbox.queue("zoo");
    std::fs::remove_dir_all(queue.join("delayed")).unwrap();
    std::fs::write(queue.join("delayed"), "a file in the place of a directory").unwrap();
    let ran = zoo.sandbox.mq(["ls", "zoo", "--ids"]).code(74).says("zoo/delayed").says("ot a directory");
    assert_eq!(ran.lines(), [zoo.ready.as_str(), &zoo.claimed, &zoo.dead, &zoo.damaged]);
    zoo.sandbox.mq(["stats", "zoo"]).code(74).says("zoo/delayed").prints("");
    zoo.sandbox.mq(["ls"]).code(74).says("zoo/delayed").prints("");
    std::fs::remove_file(queue.join("delayed")).unwrap();
    std::os::unix::fs::symlink("/", queue.join("delayed")).unwrap();
    zoo.sandbox.mq(["ls", "zoo"]).code(74).says("zoo/delayed");
    // A state directory that is gone has nothing in it: it is made anew by whoever needs it.
    std::fs::remove_file(queue.join("delayed")).unwrap();
    zoo.sandbox.mq(["ls", "zoo"]).ok();
}

#[test]
fn a_message_that_may_not_be_read_is_listed_and_told() {
    let zoo = zoo();
    let file = zoo.sandbox.file_of("zoo", &zoo.ready);
    zoo.sandbox.sh(&format!("chmod 000 {file}; chmod 755 .", file = file.display())).ok();
    // Root reads everything, so somebody else looks.
    let script = "id -u | grep -q '^0$' || exec mq ls zoo
        chown -R 65534:65534 root; exec setpriv --reuid 65534 --regid 65534 --clear-groups mq ls zoo";
    let ran = zoo.sandbox.sh(script).code(74).says("Permission denied").says(&zoo.ready);
    let rows = ran.columns();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0][0], zoo.ready);
    assert!(rows[0][9].contains("Permission denied"), "{rows:?}");
}

#[test]
fn looking_changes_nothing() {
    let zoo = zoo();
    let before = zoo.sandbox.sh("find root -printf '%p %i %s %T@ %C@\n' | sort").ok();
    for command in [
        "ls",
        "ls zoo",
        "ls zoo --full",
        "show zoo",
        "stats",
        "dlq ls zoo",
        "dlq show zoo",
        "fsck zoo",
        "rm zoo --all --dry-run",
    ] {
        zoo.sandbox.mq(command.split(' ')).code(0);
    }
    assert_eq!(zoo.sandbox.sh("find root -printf '%p %i %s %T@ %C@\n' | sort").ok(), before);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let sandbox = Sandbox::new();
    let lines: String = (0..5_000).map(|n| format!("message {n}\n")).collect();
    sandbox.mq_stdin(["-q", "send", "jobs", "--lines"], lines).ok();
    for command in ["ls jobs", "ls jobs --json", "ls jobs --ids", "rm jobs --all --dry-run"] {
        sandbox.sh(&format!("mq {command} | head -n 1 > /dev/null; exit ${{PIPESTATUS[0]}}")).code(0).silent();
    }
    sandbox.sh("mq ls jobs > /dev/full").code(74).says("stdout");
    assert_eq!(sandbox.mq(["ls", "jobs"]).code(0).lines().len(), 5_000);
}
