//! Idle workers stand in line: a message wakes two of them, and not all; and whoever is first may die or stand still.

use super::{Beside, until, written};
use crate::support::sandbox::Sandbox;
use mq::fs::{Disk, Noticed, Watch};
use mq::queue::Queue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::MetadataExt;

/// Which of them have something to hear, at once or after up to 30 s.
fn called(watches: &[Watch], wait: bool) -> Vec<usize> {
    let mut fds: Vec<PollFd<'_>> = watches.iter().map(|watch| PollFd::new(watch, PollFlags::IN)).collect();
    let limit = Timespec { tv_sec: if wait { 30 } else { 0 }, tv_nsec: 0 };
    poll(&mut fds, Some(&limit)).unwrap();
    (0..fds.len()).filter(|&at| !fds[at].revents().is_empty()).collect()
}

fn in_line(watches: &[Watch]) -> usize {
    watches.iter().filter(|watch| watch.in_line()).count()
}

/// A queue, and so many who stand in line for what happens in it.
fn watches(many: usize) -> Option<(Sandbox, Vec<Watch>)> {
    if cfg!(not(target_os = "linux")) {
        println!("skipped: no inotify(7) here, so nobody listens");
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let queue = Queue::open(&Disk::real(), &sandbox.queue("jobs")).unwrap();
    let mut watches: Vec<Watch> = (0..many).map(|_| queue.watch().unwrap().expect("inotify")).collect();
    watches.iter_mut().for_each(Watch::take_turns);
    Some((sandbox, watches))
}

const WAKE: Noticed = Noticed { wake: true, closed: false, gone: false };

#[test]
fn two_hear_of_a_message_and_who_leaves_makes_another_hear_of_it() {
    let Some((sandbox, mut watches)) = watches(6) else { return };
    assert_eq!(in_line(&watches), 4);
    assert_eq!(called(&watches, false), Vec::<usize>::new());
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    let mut been = called(&watches, true);
    assert_eq!((been.len(), in_line(&watches)), (2, 4));
    // Each that has heard leaves, and somebody behind it has not missed what came before its turn; or nobody is left in
    // that line.
    let mut now = been.clone();
    while let Some(at) = now.pop() {
        assert_eq!(watches[at].take(), WAKE);
        let behind = in_line(&watches);
        watches[at].hear_all();
        if now.is_empty() && behind > 0 {
            now = called(&watches, true);
            been.extend(&now);
        }
    }
    been.sort_unstable();
    been.dedup();
    assert_eq!((been, in_line(&watches)), ((0..6).collect(), 0));
    // Those who have left hear all.
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    assert_eq!(called(&watches, true).len(), 6);
}

#[test]
fn who_leaves_the_line_before_its_turn_holds_up_nobody() {
    let Some((sandbox, mut watches)) = watches(5) else { return };
    // All that wait but the last leave, two come back, and the first two go away.
    assert_eq!(in_line(&watches), 3);
    watches[2].hear_all();
    watches[3].hear_all();
    watches[3].take_turns();
    watches[2].take_turns();
    watches[2].hear_all();
    assert_eq!(in_line(&watches), 2);
    drop(watches.drain(..2));
    until("each has had its turn", || {
        for at in called(&watches, false) {
            assert_eq!(watches[at].take(), Noticed::default());
            watches[at].hear_all();
        }
        in_line(&watches) == 0
    });
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    assert_eq!(called(&watches, true).len(), 3);
}

/// Who is first in the two lines, and how many wait in them, by the kernel's table; that may leave some out for a moment.
fn line(sandbox: &Sandbox) -> (Vec<i32>, usize) {
    let inodes = ["wake", "claimed"].map(|name| {
        let inode = sandbox.queue("jobs").join(name).metadata().unwrap().ino();
        format!(":{inode}")
    });
    let (mut firsts, mut waiting) = (Vec::new(), 0);
    for line in std::fs::read_to_string("/proc/locks").unwrap().lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [.., "FLOCK", _, _, pid, inode, _, _] = words[..] else { continue };
        if !inodes.iter().any(|ours| inode.ends_with(ours)) {
            continue;
        }
        if words[1] == "->" {
            waiting += 1;
        } else {
            firsts.push(pid.parse().unwrap());
        }
    }
    (firsts, waiting)
}

const WORKERS: usize = 5;

fn workers(sandbox: &Sandbox) -> Option<Vec<Beside>> {
    if !std::path::Path::new("/proc/locks").exists() {
        println!("skipped: no /proc/locks here to see who is in line");
        return None;
    }
    sandbox.mq(["create", "jobs"]).ok();
    let job = ["work", "jobs", "--", "sh", "-c", "echo $PPID $(cat) >>done"];
    let workers = (0..WORKERS).map(|_| Beside::start(sandbox, &job)).collect();
    until("all are in line", || {
        let (firsts, waiting) = line(sandbox);
        (firsts.len(), waiting) == (2, WORKERS - 2)
    });
    Some(workers)
}

#[test]
fn where_the_first_in_line_are_killed_the_next_hear() {
    let sandbox = Sandbox::new();
    let Some(_workers) = workers(&sandbox) else { return };
    let (firsts, _) = line(&sandbox);
    for &pid in &firsts {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    // By chance one of the lines has nobody left.
    until("another is first", || {
        let (now, waiting) = line(&sandbox);
        !now.is_empty() && now.len() + waiting == WORKERS - 2 && now.iter().all(|pid| !firsts.contains(pid))
    });
    sandbox.mq(["send", "jobs", "-q", "x"]).ok();
    until("it is delivered", || written(&sandbox, "done").ends_with(" x\n"));
}

#[test]
fn where_the_first_in_line_are_stopped_the_others_work_on() {
    let sandbox = Sandbox::new();
    let Some(_workers) = workers(&sandbox) else { return };
    let (firsts, _) = line(&sandbox);
    for &pid in &firsts {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    }
    for number in 1..=5 {
        sandbox.mq(["send", "jobs", "-q", &number.to_string()]).ok();
        until("it is delivered", || written(&sandbox, "done").ends_with(&format!(" {number}\n")));
    }
    let done = written(&sandbox, "done");
    assert!(firsts.iter().all(|pid| !done.contains(&format!("{pid} "))), "{firsts:?} were stopped: {done}");
    for &pid in &firsts {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT).unwrap();
    }
    sandbox.mq(["wait", "jobs"]).ok();
}
