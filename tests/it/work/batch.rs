//! `--batch`: several messages to one command.

use super::{Beside, states, until, written};
use crate::support::sandbox::Sandbox;
use rustix::process::Signal;

fn send(sandbox: &Sandbox, count: usize) -> Vec<String> {
    let lines: String = (1..=count).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines", "--ids"], lines).code(0).lines()
}

#[test]
fn a_line_is_a_message_and_exit_0_acknowledges_them_all() {
    let sandbox = Sandbox::new();
    for body in ["one\n", "two", "", "\n", "three"] {
        sandbox.send("jobs", body);
    }
    let script = "cat; echo \"$MQ_BATCH:$(echo $MQ_IDS | wc -w)\"";
    let told = sandbox.mq(["work", "jobs", "--drain", "--batch", "9", "--", "sh", "-c", script]).code(0).silent();
    assert_eq!(told.text(), "one\ntwo\n\n\nthree\n5:5\n");
    assert!(states(&sandbox, "jobs").is_empty());
}

#[test]
fn a_body_that_the_frame_cannot_hold_is_dead_with_the_reason_and_the_others_go_on() {
    for (frame, hostile, cat) in [("lines", "a\nb\n", "cat"), ("null", "a\0b", "tr '\\0' '\\n'")] {
        let sandbox = Sandbox::new();
        for body in ["one", hostile, "two", "three\n"] {
            sandbox.send("jobs", body);
        }
        let args = ["work", "jobs", "--drain", "--batch", "9", "--frame", frame, "--", "sh", "-c", cat];
        let told = sandbox.mq(args).code(10).says(&format!("--frame {frame}"));
        let extra = if frame == "null" { "\n" } else { "" };
        assert_eq!(told.text(), format!("one\ntwo\nthree\n{extra}"), "{frame}");
        let rows = sandbox.mq(["dlq", "ls", "jobs", "--json"]).code(0).json();
        assert!(rows.len() == 1 && rows[0]["reason"].as_str().unwrap().contains("the body has"), "{rows:?}");
    }
}

#[test]
fn another_exit_is_an_attempt_of_each() {
    for (code, state, exit) in [(1, "delayed", 0), (65, "dead", 10)] {
        let sandbox = Sandbox::new();
        send(&sandbox, 3);
        let script = format!("echo why >&2; exit {code}");
        sandbox.mq(["work", "jobs", "-q", "-n", "3", "--batch", "9", "--", "sh", "-c", &script]).code(exit);
        assert_eq!(states(&sandbox, "jobs"), [state; 3]);
        for row in sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json() {
            let record = &row["history"][0];
            assert_eq!(
                (&row["attempts"], &record["exit"], &record["stderr"]),
                (&1.into(), &code.into(), &"why\n".into())
            );
        }
    }
}

#[test]
fn a_batch_has_at_most_so_many_and_n_counts_messages() {
    let sandbox = Sandbox::new();
    send(&sandbox, 11);
    let args = ["work", "jobs", "--batch", "4", "-n", "10", "--", "sh", "-c", "echo $MQ_BATCH"];
    sandbox.mq(args).code(0).prints("4\n4\n2\n");
    assert_eq!(states(&sandbox, "jobs"), ["ready"]);
    sandbox.mq(["work", "jobs", "--drain", "--batch", "4", "--", "sh", "-c", "echo $MQ_BATCH"]).code(0).prints("1\n");
}

#[test]
fn json_lines_are_as_ls_prints_them_and_failed_ids_come_back_on_descriptor_3() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "-q", "x", "-H", "a=b"]).ok();
    let failing = sandbox.send("jobs", [0xff, b'\n', 0]);
    sandbox.send("jobs", "y");
    let listed = sandbox.mq(["ls", "jobs", "--full", "--json"]).code(0).json();
    let script = format!("cat >seen; echo {failing} >&3; echo 1764000000000001 >&3; printf nonsense >&3");
    let args = ["work", "jobs", "-n", "3", "--batch", "9", "--frame", "jsonl", "--", "sh", "-c", &script];
    let told = sandbox.mq(args).code(0).says("named as failed").says("1764000000000001").says("'nonsense'");
    assert_eq!(told.stderr.lines().count(), 3, "{}", told.stderr);
    let seen: Vec<serde_json::Value> =
        written(&sandbox, "seen").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen.len(), 3);
    for (seen, listed) in seen.iter().zip(&listed) {
        for (name, value) in seen.as_object().unwrap() {
            match name.as_str() {
                "attempts" => assert_eq!(value, 1),
                _ => assert_eq!(value, &listed[name], "{name}"),
            }
        }
        assert!(seen["uid"] == listed["uid"] && (seen.get("body").is_some() || seen.get("body_base64").is_some()));
    }
    assert_eq!(seen[0]["headers"]["a"], "b");
    let left = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0]["id"], &left[0]["state"]), (&failing.into(), &"delayed".into()));
    let record = &left[0]["history"][0];
    assert_eq!((&record["outcome"], &record["reason"]), (&"nack".into(), &"named as failed".into()));
}

#[test]
fn ids_named_by_a_job_that_fails_change_nothing() {
    let sandbox = Sandbox::new();
    send(&sandbox, 2);
    let script = "for id in $MQ_IDS; do echo $id >&3; done; exit 1";
    let args = ["work", "jobs", "-q", "-n", "2", "--batch", "9", "--frame", "jsonl", "--", "sh", "-c", script];
    sandbox.mq(args).code(0);
    for row in sandbox.mq(["ls", "jobs", "--json"]).code(0).json() {
        assert_eq!(row["reason"], "exit 1");
    }
}

#[test]
fn a_job_that_writes_without_end_into_descriptor_3_acknowledges_nothing() {
    let sandbox = Sandbox::new();
    send(&sandbox, 2);
    let script = "head -c 3000000 /dev/zero | tr '\\0' 1 >&3";
    let args = ["work", "jobs", "-n", "2", "--batch", "9", "--frame", "jsonl", "--", "sh", "-c", script];
    sandbox.mq(args).code(0).says("more than can be read");
    assert_eq!(states(&sandbox, "jobs"), ["delayed"; 2]);
}

#[test]
fn all_locks_are_the_jobs_and_nothing_else() {
    let sandbox = Sandbox::new();
    send(&sandbox, 3);
    // ls has the directory open itself, as 3.
    let args = ["work", "jobs", "-n", "2", "--batch", "2", "--", "ls", "/proc/self/fd"];
    sandbox.mq(args).code(0).prints("0\n1\n10\n11\n2\n3\n");
    send(&sandbox, 40);
    let script = "i=10; while [ $i -lt $((10 + MQ_BATCH)) ]; do basename $(readlink /proc/self/fd/$i) | cut -c 1-16; i=$((i + 1)); done | sort -u | wc -l; [ -e /proc/self/fd/$((10 + MQ_BATCH)) ] && echo more; echo ${MQ_IDS%% *} >&3; env | grep -oE '^MQ_[A-Z_]*' | sort | tr '\\n' ' '";
    let args = ["work", "jobs", "-n", "41", "--batch", "50", "--frame", "jsonl", "--", "sh", "-c", script];
    let told = sandbox.mq(args).code(0).says("named as failed");
    told.prints("41\nMQ_BATCH MQ_IDS MQ_LEASE_FD MQ_MAX_ATTEMPTS MQ_QUEUE MQ_ROOT ");
    assert_eq!(states(&sandbox, "jobs"), ["delayed"]);
}

#[test]
fn a_job_that_outlives_its_killed_worker_holds_them_all() {
    let sandbox = Sandbox::new();
    send(&sandbox, 3);
    let script = "echo $$ >>started; while [ ! -e go ] && [ -e started ]; do sleep 0.01; done; echo done >>done";
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--batch", "3", "--", "sh", "-c", script]);
    until("the job starts", || written(&sandbox, "started").ends_with('\n'));
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["work", "jobs", "--drain", "--batch", "3", "--", "sh", "-c", "echo doubled"]).code(0).prints("");
    assert_eq!(states(&sandbox, "jobs"), ["claimed"; 3]);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("the job ends", || written(&sandbox, "done").ends_with('\n'));
    for _ in 0..3 {
        sandbox.mq(["claim", "jobs", "--wait", "10s"]).ok();
    }
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    assert!(rows.iter().all(|row| row["reason"] == "worker lost" && row["attempts"] == 2), "{rows:?}");
}

#[test]
fn lingering_waits_for_more_and_no_longer() {
    let sandbox = Sandbox::new();
    send(&sandbox, 1);
    let args = ["work", "jobs", "-n", "3", "--batch", "2", "--linger", "1h", "--", "sh", "-c", "echo $MQ_BATCH >>log"];
    let mut worker = Beside::start(&sandbox, &args);
    until("the first is claimed", || states(&sandbox, "jobs") == ["claimed"]);
    // The second fills the batch; the third is all that -n allows, so its batch does not wait.
    send(&sandbox, 2);
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(written(&sandbox, "log"), "2\n1\n");
    send(&sandbox, 1);
    let args = ["work", "jobs", "--drain", "--batch", "2", "--linger", "20ms", "--", "sh", "-c", "echo $MQ_BATCH"];
    sandbox.mq(args).code(0).prints("1\n");
}

#[test]
fn a_batch_that_is_still_waiting_is_put_back_uncounted_when_the_worker_stops() {
    let sandbox = Sandbox::new();
    send(&sandbox, 2);
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--batch", "9", "--linger", "1h", "--", "true"]);
    until("they are claimed", || states(&sandbox, "jobs") == ["claimed"; 2]);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0));
    let rows = sandbox.mq(["ls", "jobs", "--json"]).code(0).json();
    assert!(rows.iter().all(|row| row["state"] == "ready" && row["attempts"] == 0), "{rows:?}");
    // The time of --for is no reason to give up what was claimed.
    let args = ["work", "jobs", "--for", "50ms", "--batch", "9", "--linger", "1h", "--", "sh", "-c", "echo $MQ_BATCH"];
    sandbox.mq(args).code(0).prints("2\n");
}

#[test]
fn a_batch_larger_than_a_pipe_blocks_nobody_and_is_whole() {
    let sandbox = Sandbox::new();
    let mut all = Vec::new();
    for (at, size) in [10, 70_000, 0, 3_000_000, 60_000].into_iter().enumerate() {
        let body = vec![b'a' + at as u8; size];
        for queue in ["read", "unread"] {
            sandbox.send(queue, &body);
        }
        all.extend_from_slice(&body);
        all.push(b'\n');
        // A body of several megabytes is told to be unfit only on the way, after much of it was written.
        let mut unfit = vec![b'x'; 2_000_000];
        unfit[1_500_000] = b'\n';
        sandbox.send("read", &unfit);
    }
    sandbox.mq(["work", "unread", "--drain", "--batch", "9", "--", "true"]).code(0).silent();
    let script = "[ $MQ_BATCH = 5 ] || exit 3; cat >seen";
    sandbox.mq(["work", "read", "-q", "--drain", "--batch", "10", "--", "sh", "-c", script]).code(10);
    assert!(std::fs::read(sandbox.dir().join("seen")).unwrap() == all);
    assert_eq!(states(&sandbox, "read"), ["dead"; 5]);
}

#[test]
fn a_damaged_body_is_set_aside_and_the_others_go_on() {
    for frame in ["lines", "null", "jsonl"] {
        let sandbox = Sandbox::new();
        sandbox.send("jobs", "first");
        let id = sandbox.send("jobs", vec![b'x'; 3_000_000]);
        sandbox.send("jobs", "last");
        let file = sandbox.file_of("jobs", &id);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[2_000_000] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let args = ["work", "jobs", "--drain", "--batch", "9", "--frame", frame, "--", "sh", "-c", "echo $MQ_BATCH"];
        sandbox.mq(args).code(0).prints("2\n").says("damaged");
        assert_eq!(states(&sandbox, "jobs"), ["damaged"]);
    }
}

#[test]
fn a_thousand_at_once_whatever_the_soft_limit_and_the_job_has_its_own() {
    let sandbox = Sandbox::new();
    // Some at a time, so that they are no pack, which takes one descriptor.
    for _ in 0..20 {
        send(&sandbox, 50);
    }
    let script =
        "ulimit -Sn 1024 2>/dev/null; mq work jobs --drain --batch 1000 -j 2 -- sh -c 'echo $MQ_BATCH; ulimit -Sn'";
    let hard = sandbox.sh("ulimit -Hn").ok();
    if hard.trim_end().parse().is_ok_and(|hard: u64| hard < 2200) {
        println!("skipped: the hard limit of open files is {hard}");
        return;
    }
    sandbox.sh(script).code(0).prints("1000\n1024\n");
    for _ in 0..8 {
        send(&sandbox, 50);
    }
    // The soft limit gives way where it would not hold the batch; the hard one bounds the batch.
    let script = "ulimit -Sn 100; mq work jobs --drain --batch 300 -n 300 -- sh -c 'echo $MQ_BATCH; ulimit -Sn'";
    sandbox.sh(script).code(0).prints("300\n310\n");
    let script = "ulimit -n 100; mq work jobs --drain --batch 300 -- sh -c 'echo $MQ_BATCH >>log'";
    sandbox.sh(script).code(0).silent();
    assert!(states(&sandbox, "jobs").is_empty());
    let sizes: Vec<u32> = written(&sandbox, "log").lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<u32>(), 100);
    assert!(sizes.iter().all(|size| (10..100).contains(size)), "{sizes:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sandbox = Sandbox::new();
    for flags in [
        &["--batch", "0"][..],
        &["--batch", "1001"],
        &["--linger", "1s"],
        &["--frame", "null"],
        &["--batch", "2", "--arg"],
        &["--batch", "2", "--ack-first"],
        &["--batch", "2", "--frame", "csv"],
    ] {
        let args = ["work", "jobs"].iter().chain(flags).chain(&["--", "true"]);
        sandbox.mq(args).code(2);
    }
}
