//! A queue out of a backup: in place of the one that is gone, or over one that has gone on since.

use crate::support::sandbox::Sandbox;

/// A queue with something in every state, half of it in the middle of something, copied while a worker is at work on it.
/// Of each body there is one.
const BUSY: &str = "
    mq create jobs --retain 1d --max-attempts 5 --backoff 1ms
    mq send jobs -q -p 9 done; mq work jobs -q -n 1 -- true
    mq send jobs -q -p 9 dead; mq dead $(mq claim jobs)
    mq send jobs -q -p 9 leased; mq claim jobs --lease 1h >receipt
    mq send jobs -q plain 'plain too'
    mq send jobs -q --group g first second
    mq send jobs -q --unique k unique
    mq send jobs -q --delay 1ms delayed
    seq -f 'packed %.0f' 70 | mq send jobs --lines
    mq send jobs -q -p 9 'in the hands of a worker'
    mkfifo gate
    mq work jobs -q -n 1 -- sh -c 'echo >started; cat gate' & worker=$!
    until [ -e started ]; do :; done
    cp -a root/jobs backup
    echo >gate
    wait $worker";

/// What all of that is, but what is done and what is dead.
fn bodies() -> Vec<String> {
    let more = ["leased", "plain", "plain too", "first", "second", "unique", "delayed", "in the hands of a worker"];
    let mut all: Vec<String> = more.map(String::from).into();
    all.extend((1..=70).map(|n| format!("packed {n}")));
    all.sort();
    all
}

fn drained(sandbox: &Sandbox) -> Vec<String> {
    let mut lines = sandbox.mq(["work", "jobs", "-q", "-j", "2", "--drain", "--", "cat"]).code(0).lines();
    lines.sort();
    lines
}

#[test]
fn in_place_of_the_one_that_is_gone_it_has_everything_once() {
    let sandbox = Sandbox::new();
    sandbox.sh(BUSY).ok();
    // It has gone on, and then it is lost.
    let last = sandbox.mq(["send", "jobs", "-q", "last"]).ok();
    let script = "
        rm -r root/jobs; mv backup root/jobs
        mq send jobs --delay 1w later";
    let id = sandbox.sh(script).ok();
    assert!(id > last);
    // Its worker's claim is nobody's; the receipt still holds, as its file says.
    let receipt = std::fs::read_to_string(sandbox.dir().join("receipt")).unwrap();
    sandbox.mq(["extend", receipt.trim_end()]).ok();
    let mut came = drained(&sandbox);
    came.push(sandbox.mq(["cat", receipt.trim_end()]).ok().trim_end().to_string());
    sandbox.mq(["ack", receipt.trim_end()]).ok();
    came.sort();
    assert_eq!(came, bodies());
    sandbox.mq(["dlq", "redrive", "jobs", "--all"]).ok();
    assert_eq!(drained(&sandbox), ["dead"]);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn over_one_that_has_gone_on_it_doubles_nothing_that_is_still_there() {
    let sandbox = Sandbox::new();
    sandbox.sh(BUSY).ok();
    // Since then: one is dead, one waits for a retry, one is claimed, one has come out of the pack, and some are done.
    let script = "
        mq dead $(mq claim jobs)
        mq nack $(mq claim jobs)
        mq dlq redrive jobs --all >redriven
        mq claim jobs --lease 1h >again
        cp -a backup/. root/jobs/
        mq fsck jobs --repair >mended; echo $?
        mq fsck jobs";
    sandbox.sh(script).code(0).prints("0\n");
    for name in ["receipt", "again"] {
        let receipt = std::fs::read_to_string(sandbox.dir().join(name)).unwrap();
        // One of the two names of its message has gone, perhaps this one.
        sandbox.mq(["nack", receipt.trim_end(), "--delay", "0"]).one_of(&[0, 6]);
    }
    sandbox.mq(["dlq", "redrive", "jobs", "--all"]).one_of(&[0, 1]);
    let came = drained(&sandbox);
    let mut all = bodies();
    all.push("dead".into());
    all.sort();
    assert_eq!(came, all);
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}
