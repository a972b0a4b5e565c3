//! Protections that can be missed only at one moment, each brought about here: `tests/mutants` takes them out, one at a time.

mod between;

use super::judge::fsck;
use super::survey::{Seen, Survey};
use super::verbs::{Share, VERBS, Verb};
use super::world::{PLAIN, Q, World, claim_one};
use crate::support::inject::Plan;
use crate::support::memory::Cut;
use crate::support::sandbox::Sandbox;
use mq::fs::{Access, Birth, Disk};
use mq::queue::name::Lease;
use mq::queue::{Again, Attempt, Claim, Counting, Envelope, Found, Outcome, Queue, Repair, Scout, Settled, Trouble};
use rustix::io::Errno;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> World {
    World::new(PLAIN, 1)
}

fn verb(name: &str) -> &'static Verb {
    VERBS.iter().find(|verb| verb.name == name).expect("a verb")
}

fn prepared(verb: &Verb) -> World {
    let mut world = world();
    (verb.prepare)(&mut world);
    world
}

fn survey(world: &World) -> Survey {
    Survey::of(&world.machine, Q)
}

fn seen(world: &World, body: &[u8]) -> Seen {
    let messages = survey(world).messages;
    let mut found = messages.into_iter().filter(|seen| seen.body == body);
    let seen = found.next().unwrap_or_else(|| panic!("{} is lost", String::from_utf8_lossy(body)));
    assert!(found.next().is_none(), "{} is there twice", seen.path);
    seen
}

fn open(disk: &Disk) -> Queue {
    Queue::open(disk, Path::new(Q)).expect("the queue")
}

fn record(attempt: u32, disk: &Disk) -> Option<Attempt> {
    Some(Attempt::new(attempt, disk.now(), Outcome::Exit))
}

/// Cuts the power in several ways; whatever stands in the queue then is whole.
fn whole_after_cuts(world: &World, n: u64, what: &str) {
    for cut in [Cut::Nothing, Cut::Everything, Cut::Some(n * 3), Cut::Some(n * 3 + 1), Cut::Some(n * 3 + 2)] {
        let wrong = survey(&world.cut(cut)).wrong;
        assert!(wrong.is_empty(), "{what} stopped before step {n}, {cut:?}: {wrong:?}");
    }
}

#[test]
fn what_stands_in_a_queue_is_whole_whenever_the_power_is_cut() {
    for verb in VERBS.iter().filter(|verb| !verb.fsck_first) {
        let prepared = prepared(verb);
        for n in Share::Quick.steps(verb) {
            let mut world = prepared.fork();
            let (disk, tape) = world.injected(Plan::StopBefore(n));
            let _ = (verb.act)(&mut world, &disk);
            drop(disk);
            whole_after_cuts(&world, n, verb.name);
            if !tape.struck() {
                break;
            }
        }
    }
}

#[test]
fn what_recovery_publishes_is_whole_whenever_the_power_is_cut() {
    type Moment = fn(&str, &[u8]) -> bool;
    let committed: Moment = |path, bytes| path.ends_with("/commit") && bytes.ends_with(b"\n");
    let sealed: Moment = |path, bytes| path.starts_with("tmp/") && bytes.starts_with(b"{");
    let moments: [(&str, Moment); 2] = [("send", sealed), ("send a batch", committed)];
    for (name, moment) in moments {
        let mut prepared = prepared(verb(name));
        prepared.stop_when(verb(name).act, |world| {
            let contents = |path: &String| world.machine.read(format!("{Q}/{path}")).unwrap_or_default();
            world.machine.files(Q).iter().any(|path| moment(path, &contents(path)))
        });
        for n in 1.. {
            let world = prepared.fork();
            let (disk, tape) = world.injected(Plan::StopBefore(n));
            let _ = Queue::open(&disk, Path::new(Q)).and_then(|queue| queue.recover());
            whole_after_cuts(&world, n, &format!("recovery of {name:?}"));
            if !tape.struck() {
                assert!(survey(&world).litter.is_empty(), "nothing was recovered");
                break;
            }
        }
    }
}

#[test]
fn a_killed_sender_leaves_nothing_that_looks_damaged() {
    for verb in VERBS.iter().filter(|verb| verb.name.starts_with("send")) {
        let prepared = prepared(verb);
        for n in 1.. {
            let mut world = prepared.fork();
            let (disk, tape) = world.injected(Plan::StopBefore(n));
            let _ = (verb.act)(&mut world, &disk);
            drop(disk);
            world.open().recover().expect("a recovery");
            let Survey { damaged, mut litter, wrong, .. } = survey(&world);
            // What is in doubt of a key is looked into by who needs the key.
            litter.retain(|path| !path.starts_with("unique/"));
            let none: [Vec<String>; 3] = Default::default();
            assert_eq!([damaged, litter, wrong], none, "{} stopped before step {n}:\n{}", verb.name, tape.trace());
            if !tape.struck() {
                break;
            }
        }
    }
}

#[test]
fn a_rename_overwrites_nothing() {
    let (sandbox, disk) = (Sandbox::new(), Disk::real());
    let dir = disk.open_queue(sandbox.dir()).unwrap();
    for name in ["one", "other"] {
        let file = disk.create(&dir, name, Birth { mode: 0o600, owner: None }).unwrap();
        disk.write_all(&file, name.as_bytes(), 0).unwrap();
    }
    assert!(disk.rename(&dir, "one", &dir, "other").is_err_and(|error| error.exists()));
    for name in ["one", "other"] {
        assert_eq!(std::fs::read_to_string(sandbox.dir().join(name)).unwrap(), name);
    }
}

#[test]
fn a_link_is_followed_nowhere() {
    use std::os::unix::fs::symlink;
    let (sandbox, disk) = (Sandbox::new(), Disk::real());
    let outside = sandbox.dir().join("outside");
    std::fs::create_dir_all(outside.join("below")).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let old = std::time::UNIX_EPOCH + MINUTE;
    std::fs::File::options().write(true).open(outside.join("secret")).unwrap().set_modified(old).unwrap();
    let queue = sandbox.dir().join("queue");
    std::fs::create_dir(&queue).unwrap();
    symlink("../outside", queue.join("dir")).unwrap();
    symlink("../outside/secret", queue.join("file")).unwrap();
    let dir = disk.open_queue(&queue).unwrap();
    for access in [Access::Read, Access::Write] {
        assert!(disk.open(&dir, "file", access).is_err(), "{access:?}");
    }
    for below in ["dir", "dir/below", ".."] {
        assert!(disk.open_dir(&dir, below).is_err(), "{below}");
    }
    disk.touch_at(&dir, "file").unwrap();
    assert_eq!(std::fs::metadata(outside.join("secret")).unwrap().modified().unwrap(), old);
}

#[test]
fn a_fifo_holds_nobody_up() {
    let sandbox = Sandbox::new();
    let name = sandbox.dir().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, name, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let path = sandbox.dir().to_path_buf();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let disk = Disk::real();
        let _ = tell.send(disk.open_queue(&path).and_then(|dir| disk.open(&dir, "fifo", Access::Read)).is_ok());
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
}

/// The clock is a day behind the last id, so that ids follow one another without gaps.
fn behind(world: &World) -> u64 {
    let last = survey(world).messages.iter().map(|seen| seen.id.parse().unwrap()).max().expect("a message");
    world.machine.set_clock(mq::time::Time::from_micros(last - 86_400_000_000));
    last
}

#[test]
fn an_id_that_is_taken_is_passed_over() {
    let mut world = world();
    let last = behind(&world);
    let path = format!("{Q}/{}", seen(&world, b"plain 1").path);
    let (dir, name) = path.rsplit_once('/').unwrap();
    let bytes = world.machine.read(&path).unwrap();
    world.machine.write(format!("{dir}/{:016}{}", last + 1, &name[16..]), &bytes);
    world.machine.remove(&path);
    let disk = world.machine.disk();
    let sent = open(&disk).stats().unwrap().sent_total;
    world.send(&disk, Q, b"new", Envelope::default()).unwrap();
    assert_eq!(seen(&world, b"plain 1").id, format!("{:016}", last + 1));
    assert_eq!(seen(&world, b"new").id, format!("{:016}", last + 2));
    // An id that nobody was given is none that was sent.
    assert_eq!(open(&disk).stats().unwrap().sent_total, sent + 1);
}

/// Sends with the clock a day back; the id is greater than all that were ever seen.
fn rises(world: &mut World, last: u64, when: &str) {
    world.machine.set_clock(mq::time::Time::from_micros(last - 86_400_000_000));
    let disk = world.machine.disk();
    world.send(&disk, Q, b"next", Envelope::default()).unwrap();
    let next: u64 = seen(world, b"next").id.parse().unwrap();
    assert!(next > last, "{when}: {next} after {last}");
}

#[test]
fn an_id_is_given_out_once_whatever_is_killed_or_cut() {
    let greatest = |world: &World| survey(world).messages.iter().map(|seen| seen.id.parse().unwrap()).max().unwrap();
    let prepared = world();
    for n in 1.. {
        let mut world = prepared.fork();
        let (disk, tape) = world.injected(Plan::StopBefore(n));
        let _ = world.send(&disk, Q, b"new", Envelope::default());
        drop(disk);
        let last = greatest(&world);
        // What is there is worked off, so that no name remembers it.
        let queue = world.open();
        while let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live).unwrap() {
            assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
        }
        rises(&mut world, last, &format!("stopped before step {n}"));
        if !tape.struck() {
            break;
        }
    }
    for cut in [Cut::Nothing, Cut::Everything, Cut::Some(1), Cut::Some(2)] {
        let mut world = prepared.cut(cut);
        let last = greatest(&world);
        rises(&mut world, last, &format!("{cut:?}"));
    }
}

#[test]
fn a_torn_record_is_cut_off_before_the_next_one() {
    let world = world();
    let disk = world.machine.disk();
    let path = format!("{Q}/{}", seen(&world, b"plain 1").path);
    let mut bytes = world.machine.read(&path).unwrap();
    let whole = serde_json::to_string(&record(1, &disk)).unwrap();
    bytes.extend(format!("\n{{\"attempt\":1,\"stderr\":\"{}\n{whole}\n", "x".repeat(2000)).bytes());
    world.machine.write(&path, &bytes);
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let record = record(claim.attempt(), &disk);
    claim.nack(&queue, Again::Now, Counting::Counted, record).unwrap();
    let after = world.machine.read(format!("{Q}/{}", seen(&world, b"plain 1").path)).unwrap();
    let (_, _, behind) = super::survey::open(&after).unwrap();
    let lines: Vec<&[u8]> = behind.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), 3, "{}", String::from_utf8_lossy(behind));
    assert!(serde_json::from_slice::<Attempt>(lines[1]).is_ok());
}

#[test]
fn a_twin_that_is_not_equal_is_not_deleted() {
    let world = world();
    let path = format!("{Q}/{}", seen(&world, b"plain 1").path);
    let (dir, name) = path.rsplit_once('/').unwrap();
    let mut bytes = world.machine.read(&path).unwrap();
    *bytes.last_mut().unwrap() = b'!';
    bytes[17..25].fill(b'0');
    let sum = format!("{:08x}", crc32fast::hash(&bytes));
    bytes[17..25].copy_from_slice(sum.as_bytes());
    let id = format!("{:016}", name[..16].parse::<u64>().unwrap() + 1);
    world.machine.write(format!("{dir}/{id}{}", &name[16..]), &bytes);
    let findings = fsck(&world.open(), Repair::Mend).unwrap();
    assert_eq!(findings.iter().map(|finding| finding.trouble).collect::<Vec<_>>(), [Trouble::Twin], "{findings:?}");
    for body in [b"plain 1", b"plain !"] {
        seen(&world, body);
    }
}

#[test]
fn who_finds_a_message_settled_leaves_its_record_once() {
    let world = world();
    let queue = world.open();
    let claim = claim_one(&queue, Lease::Live).unwrap();
    let job = queue.redeem(&claim.receipt(Q), None).unwrap();
    assert_eq!(job.nack(&queue, Again::Now, Counting::Counted, None).unwrap(), Settled::Ready);
    let mut record = record(claim.attempt(), queue.disk());
    record.iter_mut().for_each(|record| record.uncounted = true);
    assert_eq!(claim.nack(&queue, Again::Now, Counting::Uncounted, record).unwrap(), Settled::Already);
    assert_eq!(seen(&world, b"plain 1").history.len(), 1);
}

#[test]
fn an_attempt_leaves_one_record_whoever_is_killed() {
    let prepared = world();
    for n in 1.. {
        let world = prepared.fork();
        let (disk, tape) = world.injected(Plan::StopBefore(n));
        let _ = Queue::open(&disk, Path::new(Q)).and_then(|queue| {
            let claim = claim_one(&queue, Lease::Live)?;
            let record = record(claim.attempt(), &disk);
            claim.nack(&queue, Again::Now, Counting::Counted, record)
        });
        drop(disk);
        world.open().recover().unwrap();
        let seen = seen(&world, b"plain 1");
        assert_eq!(seen.history.len(), seen.attempts as usize, "killed before step {n}: {seen:?}\n{}", tape.trace());
        if !tape.struck() {
            break;
        }
    }
}

#[test]
fn no_room_for_a_record_stops_no_settling() {
    let refused = settled_without_room(&world(), Settled::Ready, ["write_at", ""], |claim, queue, record| {
        claim.nack(queue, Again::Now, Counting::Counted, record)
    });
    assert!(refused > 0, "no record was refused");
}

/// A message is claimed and settled with no room at one step after another. How often such a step was refused, beside another
/// word in the trace, and the message settled all the same, as it had to be.
fn settled_without_room(
    prepared: &World,
    end: Settled,
    [step, seen]: [&str; 2],
    settle: impl Fn(Claim, &Queue, Option<Attempt>) -> mq::queue::Result<Settled>,
) -> u32 {
    let mut refused = 0;
    for n in 1.. {
        let world = prepared.fork();
        let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::NOSPC));
        let settled = Queue::open(&disk, Path::new(Q)).and_then(|queue| {
            let claim = claim_one(&queue, Lease::Live)?;
            let record = record(claim.attempt(), &disk);
            settle(claim, &queue, record)
        });
        let trace = tape.trace();
        let full = |line: &str| line.contains(step) && line.ends_with("refused");
        if trace.lines().any(full) && trace.contains(seen) {
            refused += 1;
            assert_eq!(settled.unwrap(), end, "no room at step {n}:\n{trace}");
        }
        if !tape.struck() {
            break;
        }
    }
    refused
}

/// What is opened and can't be brought home must not be looked at for ever: the other packs and messages are there to be
/// claimed, else it is an error.
#[test]
fn a_step_that_fails_from_now_on_keeps_no_claim_busy_for_ever() {
    let mut prepared = world();
    super::packs::sent(&mut prepared);
    for errno in [Errno::NOSPC, Errno::IO] {
        for n in 1.. {
            let world = prepared.fork();
            let (disk, tape) = world.injected(Plan::FailAlikeFrom(n, errno));
            let claimed =
                Queue::open(&disk, Path::new(Q)).and_then(|queue| queue.claim(&mut Scout::default(), Lease::Live));
            assert!(!matches!(claimed, Ok(Found::Nothing(_))), "{errno} at step {n}:\n{}", tape.trace());
            drop(claimed);
            drop(disk);
            world.open().recover().unwrap();
            assert_eq!(Survey::of(&world.machine, Q).wrong, [""; 0], "{errno} at step {n}:\n{}", tape.trace());
            if !tape.struck() {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_gives_its_reserve_for_a_dead_letter() {
    let mut prepared = world();
    super::packs::reserved(&mut prepared);
    let refused = settled_without_room(&prepared, Settled::Dead, ["make_dir", "dead"], |claim, queue, record| {
        claim.dead(queue, record)
    });
    assert!(refused > 0, "no directory was refused");
}

#[test]
fn a_reserve_that_has_no_room_takes_none_from_those_who_send_less() {
    let prepared = world();
    let mut refused = 0;
    for n in 1.. {
        let mut world = prepared.fork();
        let (disk, tape) = world.injected(Plan::FailOnce(n, Errno::NOSPC));
        let sent = super::packs::send(&mut world, &disk, &Envelope::default());
        let trace = tape.trace();
        let step =
            trace.lines().find_map(|line| line.trim_end().strip_suffix("<-- refused")).unwrap_or_default().trim();
        let file = step.split_once(" create ").is_some_and(|(_, name)| name.len() == 1);
        if file || step.ends_with("write_at 0, 65536 bytes") {
            assert!(sent.is_err());
            refused += 1;
            assert_eq!(world.machine.files("/q/reserve"), [""; 0], "no room at step {n}:\n{trace}");
        }
        if !tape.struck() {
            break;
        }
    }
    assert!(refused > 0, "the reserve was never refused");
}
