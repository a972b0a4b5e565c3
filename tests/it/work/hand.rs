//! Messages that wait behind others in a worker's hands: they come in their turn, nobody waits for them for long, and a worker that
//! is gone has tried none of them.

use super::{Beside, until, written};
use crate::support::sandbox::Sandbox;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::time::Instant;

/// They come out of their pack by the handful.
const COUNT: usize = 200;
/// The first handful: nothing stands behind them, so that each is a sixteenth of what is left.
const HANDFUL: usize = COUNT / 16;

fn bodies(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

/// Numbers from 1 on, sent together. `None` where nothing is taken in hand: the locks of this file system may be locks of another kind.
fn sent() -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--backoff", "1ms"]).ok();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], bodies(1..=COUNT).join("\n")).ok();
    // One job is enough to see it.
    let job = "ls \"$MQ_ROOT/jobs/claimed\"/*; kill -TERM $PPID";
    let listed = sandbox.mq(["work", "jobs", "-q", "--prefetch", "always", "--", "sh", "-c", job]).code(0).text();
    sandbox.mq(["rm", "jobs", "--all"]).ok();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], bodies(1..=COUNT).join("\n")).ok();
    if listed.contains(&format!("-n{HANDFUL:06}-f")) {
        return Some(sandbox);
    }
    println!("skipped: on this file system a worker takes nothing in hand");
    None
}

const WORK: [&str; 5] = ["work", "jobs", "--prefetch", "always", "--drain"];

fn work(job: &str) -> Vec<&str> {
    WORK.into_iter().chain(["--", "sh", "-c", job]).collect()
}

/// A worker whose first job waits for the file `go`.
fn waiting(sandbox: &Sandbox) -> Beside {
    let job = "read -r x; echo $x >>done; while [ ! -e go ] && [ -e done ]; do sleep 0.01; done";
    let worker = Beside::start(sandbox, &work(job));
    until("its job runs", || done(sandbox).len() == 1);
    worker
}

/// What the job has written down, a line each.
fn done(sandbox: &Sandbox) -> Vec<String> {
    written(sandbox, "done").lines().map(str::to_string).collect()
}

/// What another worker gets, until there is no more for it.
fn others(sandbox: &Sandbox) -> Vec<usize> {
    sandbox.mq(["work", "jobs", "--drain", "-q", "--", "sh", "-c", "read -r x; echo $x >>others"]).code(0);
    written(sandbox, "others").lines().map(|x| x.parse().unwrap()).collect()
}

/// The same where some come later, since they have been a lost worker's.
fn others_in_any_order(sandbox: &Sandbox) -> Vec<usize> {
    let mut others = others(sandbox);
    others.sort_unstable();
    others
}

/// The directories of workers.
fn own_directories(sandbox: &Sandbox) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(sandbox.queue("jobs").join("claimed")).unwrap();
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// How often each message that is still there was tried, by its body.
fn attempts(sandbox: &Sandbox) -> BTreeMap<usize, (String, u64)> {
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let row = |row: &serde_json::Value| {
        let body = row["body"].as_str().unwrap().trim_end().parse().unwrap();
        (body, (row["state"].as_str().unwrap().to_string(), row["attempts"].as_u64().unwrap()))
    };
    rows.iter().map(row).collect()
}

fn all_untried(from: usize) -> BTreeMap<usize, (String, u64)> {
    (from..=COUNT).map(|number| (number, ("ready".to_string(), 0))).collect()
}

#[test]
fn they_come_in_their_order_and_each_once() {
    let Some(sandbox) = sent() else { return };
    sandbox.mq(work("read -r x; echo $x >>done")).code(0).silent();
    assert_eq!(done(&sandbox), bodies(1..=COUNT));
    assert_eq!(sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["acked_total"], COUNT + 1);
    sandbox.mq(["fsck", "jobs"]).code(0);
    // The worker has taken its directory away.
    assert_eq!(own_directories(&sandbox), Vec::<std::path::PathBuf>::new());
}

#[test]
fn never_takes_nothing_in_hand() {
    let Some(sandbox) = sent() else { return };
    let job = "ls -R \"$MQ_ROOT/jobs/claimed\" | grep -F -- -4-";
    let listed = sandbox.mq(["work", "jobs", "--prefetch", "never", "-n", "70", "--", "sh", "-c", job]).code(0).text();
    assert_eq!((listed.lines().count(), listed.contains("-n0")), (70, false), "{listed}");
}

#[test]
fn of_a_killed_worker_the_message_at_hand_alone_was_tried() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done; [ $x != 3 ] || kill -9 $PPID";
    let mut worker = Beside::start(&sandbox, &work(job));
    worker.end();
    until("its job is gone", || {
        sandbox.mq(["fsck", "jobs", "--repair", "-q"]).one_of(&[0, 1]);
        attempts(&sandbox).get(&3) == Some(&("ready".into(), 1))
    });
    let mut expected = all_untried(4);
    expected.insert(3, ("ready".into(), 1));
    assert_eq!(attempts(&sandbox), expected);
    sandbox.mq(work("read -r x; echo $x >>done")).code(0);
    let mut once: Vec<usize> = done(&sandbox).iter().map(|x| x.parse().unwrap()).collect();
    once.sort_unstable();
    assert_eq!(once, [1, 2, 3].into_iter().chain(3..=COUNT).collect::<Vec<usize>>());
}

#[test]
fn the_death_of_a_worker_that_has_messages_in_hand_is_heard_at_once() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done; [ $x != 3 ] || { kill -STOP $PPID; exit 0; }";
    let mut stopped = Beside::start(&sandbox, &work(job));
    until("it is stopped with some in hand", || done(&sandbox).len() == 3 && !own_directories(&sandbox).is_empty());
    assert_eq!(others(&sandbox).len(), COUNT - HANDFUL);
    let other = Beside::start(&sandbox, &["work", "jobs", "--", "sh", "-c", "read -r x; echo $x >>again"]);
    until("the other waits", || super::lease::waits(&other));
    let began = Instant::now();
    stopped.signal(Signal::KILL);
    stopped.end();
    until("they are delivered", || written(&sandbox, "again").lines().count() == HANDFUL - 2);
    let took = began.elapsed();
    // The poll that a lost event would leave it to comes after 5 s.
    assert!(took.as_millis() < 1500, "{took:?}");
    until("its directory goes", || {
        sandbox.mq(["fsck", "jobs", "--repair", "-q"]).one_of(&[0, 1]);
        own_directories(&sandbox).is_empty()
    });
}

#[test]
fn a_job_that_outlives_its_killed_worker_keeps_its_message_alone() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done; [ $x != 3 ] || { kill -9 $PPID; while [ ! -e go ] && [ -e done ]; do sleep 0.01; done; }";
    Beside::start(&sandbox, &work(job)).end();
    until("it has begun", || done(&sandbox).len() == 3);
    // The others do not wait for it, and are not delivered twice.
    assert_eq!(others_in_any_order(&sandbox), (4..=COUNT).collect::<Vec<usize>>());
    assert_eq!(attempts(&sandbox), BTreeMap::from([(3, ("claimed".into(), 1))]));
    // Nobody heard how it ended, so it comes again, and at once.
    let _other = Beside::start(&sandbox, &["work", "jobs", "--", "sh", "-c", "echo $MQ_ATTEMPT >>again"]);
    until("the other waits", || super::lease::waits(&_other));
    let began = Instant::now();
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    until("it is delivered again", || written(&sandbox, "again").ends_with('\n'));
    let took = began.elapsed();
    assert_eq!(written(&sandbox, "again"), "2\n");
    // The poll that a lost event would leave it to comes after 5 s.
    assert!(took.as_millis() < 1500, "{took:?}");
}

#[test]
fn what_a_job_has_left_behind_holds_up_none_of_those_after_it() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done
        [ $x != 2 ] || { sleep 1000 >/dev/null 2>&1 & echo $! >child; }
        [ $x != 4 ] || kill -9 $PPID";
    Beside::start(&sandbox, &work(job)).end();
    let others = others_in_any_order(&sandbox);
    let child = written(&sandbox, "child").trim_end().parse().ok().and_then(Pid::from_raw).unwrap();
    kill_process(child, Signal::KILL).unwrap();
    assert_eq!(others, (4..=COUNT).collect::<Vec<usize>>());
}

#[test]
fn nobody_waits_for_the_end_of_a_job_that_takes_long() {
    let Some(sandbox) = sent() else { return };
    let mut worker = waiting(&sandbox);
    until("the rest is let go", || attempts(&sandbox).values().filter(|(state, _)| state == "claimed").count() == 1);
    assert_eq!(others(&sandbox), (2..=COUNT).collect::<Vec<usize>>());
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert!(worker.end().success());
    assert_eq!((done(&sandbox), attempts(&sandbox).len()), (bodies([1]), 0));
    sandbox.mq(["fsck", "jobs"]).code(0);
}

#[test]
fn a_worker_that_is_told_to_stop_puts_back_what_it_has_not_begun() {
    for signal in ["TERM", "INT"] {
        let Some(sandbox) = sent() else { return };
        let job = format!("read -r x; echo $x >>done; [ $x != 5 ] || kill -{signal} $PPID");
        let mut worker = Beside::start(&sandbox, &work(&job));
        worker.end();
        assert_eq!((done(&sandbox), attempts(&sandbox)), (bodies(1..=5), all_untried(6)), "{signal}");
    }
}

#[test]
fn a_worker_of_so_many_messages_puts_back_the_others() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done";
    // What it has in hand at last is more than it may have.
    sandbox.mq(["work", "jobs", "--prefetch", "always", "-j", "2", "-n", "70", "--", "sh", "-c", job]).code(0);
    let (done, left) = (done(&sandbox), attempts(&sandbox));
    assert_eq!((done.len(), left.len()), (70, COUNT - 70));
    assert!(left.values().all(|there| *there == ("ready".into(), 0)), "{left:?}");
    assert!(done.iter().all(|body| !left.contains_key(&body.parse().unwrap())), "{done:?}");
}

#[test]
fn a_pause_holds_for_what_is_in_hand() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x >>done; [ $x != 5 ] || mq pause jobs -q";
    sandbox.mq(work(job)).code(7);
    assert_eq!((done(&sandbox), attempts(&sandbox)), (bodies(1..=5), all_untried(6)));
}

#[test]
fn those_that_fail_are_tried_again_and_the_others_are_not() {
    let Some(sandbox) = sent() else { return };
    let job = "read -r x; echo $x $MQ_ATTEMPT >>done; [ $MQ_ATTEMPT = 2 ] || case $x in 3 | 50 | 199) echo wrong >&2; exit 1 ;; 60) exit 65 ;; esac";
    sandbox.mq(work(job)).code(10);
    let mut expected: Vec<String> =
        (1..=COUNT).map(|x| format!("{x} 1")).chain(["3 2", "50 2", "199 2"].map(str::to_string)).collect();
    let mut done = done(&sandbox);
    expected.sort();
    done.sort();
    assert_eq!((done, attempts(&sandbox)), (expected, BTreeMap::from([(60, ("dead".into(), 1))])));
    assert_eq!(sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0]["dead_total"], 1);
    sandbox.mq(["fsck", "jobs"]).code(0);
}

#[test]
fn a_job_may_settle_its_message_by_its_receipt() {
    let Some(sandbox) = sent() else { return };
    // What it put back it does not get while it runs, nor does anybody else.
    let job = "read -r x; echo $x $MQ_ATTEMPT >>done
        [ $MQ_ATTEMPT = 1 ] || exit 0
        case $x in
            2) mq ack \"$MQ_RECEIPT\" || exit 1 ;;
            4) mq nack \"$MQ_RECEIPT\" || exit 1; mq claim jobs -n 1000 >mine; wc -l <mine >>claimed; mq nack --uncounted - <mine; exit 1 ;;
            6) mq dead \"$MQ_RECEIPT\" --reason 'no good' || exit 1 ;;
            8) mq ack \"$MQ_RECEIPT\" && ! mq ack \"$MQ_RECEIPT\" 2>>said; exit 1 ;;
        esac";
    sandbox.mq(work(job)).code(10);
    let mut expected: Vec<String> = (1..=COUNT).map(|x| format!("{x} 1")).chain(["4 2".to_string()]).collect();
    let mut done = done(&sandbox);
    expected.sort();
    done.sort();
    assert_eq!((done, attempts(&sandbox)), (expected, BTreeMap::from([(6, ("dead".into(), 1))])));
    assert_eq!(written(&sandbox, "claimed"), format!("{}\n", COUNT - 4));
    assert!(written(&sandbox, "said").contains("lease"), "{}", written(&sandbox, "said"));
    sandbox.mq(["fsck", "jobs"]).code(0);
}

#[test]
fn one_that_waits_in_hand_can_be_cancelled() {
    let Some(sandbox) = sent() else { return };
    let mut worker = waiting(&sandbox);
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let fifth = rows.iter().find(|row| row["body"] == "5\n").unwrap()["id"].as_str().unwrap();
    sandbox.mq(["cancel", "jobs", fifth, "--reason", "not needed"]).code(0);
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    worker.end();
    assert_eq!(done(&sandbox), bodies((1..=COUNT).filter(|x| *x != 5)));
    assert_eq!(attempts(&sandbox), BTreeMap::from([(5, ("dead".into(), 0))]));
}

#[test]
fn short_jobs_are_taken_in_hand_by_themselves() {
    let Some(sandbox) = sent() else { return };
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], bodies(1..=20_000).join("\n")).ok();
    // However slow the machine is: where jobs take longer, they are not short, and that is well too.
    let mut worker = Beside::start(&sandbox, &["work", "jobs", "--drain", "-q", "--", "true"]);
    let mut seen = false;
    while !seen && !worker.is_over() {
        seen = !own_directories(&sandbox).is_empty();
    }
    println!("{}", if seen { "taken in hand" } else { "skipped: a job of true takes more than 1.5 ms here" });
    worker.signal(Signal::TERM);
    worker.end();
    let left = sandbox.mq(["stats", "jobs", "--json"]).code(0).json();
    let sum = left[0]["ready"].as_u64().unwrap() + left[0]["acked_total"].as_u64().unwrap();
    assert_eq!(sum, 20_000 + COUNT as u64 + 1);
    sandbox.mq(["fsck", "jobs"]).code(0);
}
