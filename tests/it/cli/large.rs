//! Input and directories of a size that fits no memory: what they take of it is a buffer.

use crate::support::sandbox::Sandbox;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// As much address space as this, in KiB, is enough for every command whatever it reads.
const ENOUGH: u32 = 40_000;

/// Sends so many mebibytes from a pipe, and lets them be read for a receipt and for a job, which has a copy of its own.
fn goes_in_and_out(mebibytes: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    let script = format!(
        "set -e -o pipefail; ulimit -v {ENOUGH}
        head -c {mebibytes}M /dev/zero | mq send jobs -q
        r=$(mq claim jobs); mq cat $r | wc -c; mq nack $r --delay 0
        mq ls jobs --json | grep -o '\"size_bytes\":[0-9]*'
        mq work jobs -q --drain -- wc -c
        mq fsck jobs"
    );
    let bytes = mebibytes << 20;
    sandbox.sh(&script).code(0).prints(&format!("{bytes}\n\"size_bytes\":{bytes}\n{bytes}\n"));
    sandbox
}

#[test]
fn a_body_larger_than_all_memory_goes_in_and_out() {
    let sandbox = goes_in_and_out(50);
    File::create(sandbox.dir().join("sparse")).unwrap().set_len(50 << 20).unwrap();
    let script = format!("ulimit -v {ENOUGH}; mq send jobs -q --file sparse; mq pop jobs | wc -c");
    sandbox.sh(&script).code(0).prints("52428800\n");
}

#[test]
#[ignore = "writes 20 GiB, for minutes: run by .ci/run"]
fn a_body_of_ten_gibibytes_goes_in_and_out() {
    let free = rustix::fs::statvfs(std::env::temp_dir()).map_or(0, |it| it.f_bavail * it.f_frsize);
    if free < 25 << 30 {
        println!("skipped: a body of 10 GiB: {} GiB are free in {}", free >> 30, std::env::temp_dir().display());
        return;
    }
    goes_in_and_out(10 << 10);
}

#[test]
fn what_never_ends_is_stopped_by_the_limit_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--max-body", "1M"]).ok();
    // A pipe without end, and a record without end.
    for how in ["", "--lines", "--null"] {
        let script = format!("ulimit -v {ENOUGH} -f 200000; tr '\\0' x </dev/zero 2>/dev/null | mq send jobs {how}");
        sandbox.sh(&script).code(5).says("larger than max_body, 1048576 bytes").prints("");
    }
    assert_eq!(sandbox.tree("jobs").matches("tmp/").count(), 1, "{}", sandbox.tree("jobs"));
    sandbox.mq(["ls", "jobs"]).code(0).prints("");
}

#[test]
fn a_json_line_without_end_is_refused() {
    let sandbox = Sandbox::new();
    let script = "ulimit -v 600000; (printf '{\"body\":\"x\",\"headers\":{\"a\":\"'; tr '\\0' x </dev/zero 2>/dev/null) | mq send jobs --jsonl";
    sandbox.sh(script).code(65).says("line 1 is longer than 256 MiB").prints("");
    assert_eq!(sandbox.tree("jobs").matches("tmp/").count(), 1);
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_read_is_not_sent() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    File::create(sandbox.dir().join("input")).unwrap().set_len(8 << 30).unwrap();
    let script = "
        mq send jobs --file input & sender=$!
        until [ -n \"$(find root/jobs/tmp -type f -size +1M)\" ]; do :; done
        kill -STOP $sender
        truncate -s 1M input
        kill -CONT $sender
        wait $sender";
    let told = sandbox.sh(script).one_of(&[65, 74, 75]).says("input");
    assert_eq!(told.text(), "");
    sandbox.mq(["ls", "jobs"]).code(0).prints("");
    assert_eq!(sandbox.tree("jobs").matches("tmp/").count(), 1);
}

#[test]
fn a_header_line_without_end_is_damage_and_costs_no_memory() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "x");
    let file = File::options().write(true).open(sandbox.file_of("jobs", &id)).unwrap();
    file.set_len(2 << 30).unwrap();
    let spaces = vec![b' '; 1 << 20];
    // The body moves out of reach behind them.
    file.write_all_at(&spaces, 1).unwrap();
    drop(file);
    sandbox.send("jobs", "good");
    let script = format!("ulimit -v {ENOUGH}; mq ls jobs && mq work jobs --drain -- cat");
    let told = sandbox.sh(&script).code(0);
    assert!(told.text().ends_with("good"), "{}", told.text());
    let damaged = fs::read_dir(sandbox.queue("jobs").join("damaged")).unwrap().count();
    assert_eq!(damaged, 2, "the file, and why");
}

#[test]
#[ignore = "makes a million files: run by .ci/run"]
fn a_million_foreign_files_in_a_bucket_are_in_nobodys_way() {
    let sandbox = Sandbox::new();
    let id = sandbox.send("jobs", "good");
    let bucket = sandbox.file_of("jobs", &id).parent().unwrap().to_path_buf();
    for number in 0..1_000_000 {
        File::create(bucket.join(format!("foreign {number}"))).unwrap();
    }
    let script = format!(
        "ulimit -v {ENOUGH}
        for words in 'ls jobs' 'stats jobs' 'send jobs -q more' 'fsck jobs' 'work jobs -q --drain -- cat' 'claim jobs'; do
            code=0; timeout -s KILL 120 mq $words >out || code=$?
            echo \"$words: $code $(wc -l <out)\"
        done"
    );
    let told = "ls jobs: 0 1\nstats jobs: 0 1\nsend jobs -q more: 0 0\nfsck jobs: 65 1000000\n\
                work jobs -q --drain -- cat: 0 1\nclaim jobs: 1 0\n";
    sandbox.sh(&script).code(0).prints(told);
}
