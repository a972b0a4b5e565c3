//! `fsck`: each trouble is found alone, told with its path, and mended for good where that is promised; a look changes nothing.

mod held;
mod twins;

use super::judge::fsck;
use super::packs;
use super::survey::Survey;
use super::unique::keyed;
use super::world::{PLAIN, Q, World, claim_one, urgent};
use crate::support::memory::{Cut, Machine};
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Envelope, Finding, Mended, Repair, Trouble, Until};
use std::path::Path;
use std::time::Duration;

/// The name of what a sender has left in `tmp/`.
const DRAFT: &str = "tmp/abcdefghijklmnopqrstuvwxyz";

/// Every file below the queue with its contents, and every empty directory.
fn tree(machine: &Machine) -> Vec<(String, Option<Vec<u8>>)> {
    let paths = machine.files(Q).into_iter();
    paths.map(|path| (path.clone(), machine.read(format!("{Q}/{path}")))).collect()
}

/// Where the one file stands whose path is like this.
#[track_caller]
fn the(world: &World, like: impl Fn(&str) -> bool) -> String {
    let found: Vec<String> = world.machine.files(Q).into_iter().filter(|path| like(path)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn of(world: &World, body: &[u8]) -> String {
    let survey = Survey::of(&world.machine, Q);
    survey.messages.iter().find(|seen| seen.body == body).expect("it was sent").path.clone()
}

fn read(world: &World, path: &str) -> Vec<u8> {
    world.machine.read(format!("{Q}/{path}")).expect("a file")
}

fn write(world: &World, path: &str, bytes: &[u8]) {
    world.machine.write(format!("{Q}/{path}"), bytes);
}

fn copy(world: &World, from: &str, to: &str) {
    write(world, to, &read(world, from));
}

fn moved(world: &World, from: &str, to: &str) {
    copy(world, from, to);
    world.machine.remove(format!("{Q}/{from}"));
}

/// A queue without anybody in it, and two messages.
fn world() -> World {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    for body in [b"one", b"two"] {
        world.send(&disk, Q, body, Envelope::default()).unwrap();
    }
    world.machine.settle();
    world
}

fn in_group() -> Envelope {
    Envelope { group: Some("a".into()), ..urgent(7) }
}

fn grouped(world: &mut World) {
    let disk = world.machine.disk();
    for body in [b"group 1", b"group 2"] {
        world.send(&disk, Q, body, in_group()).unwrap();
    }
}

/// Claimed for a moment by a worker that is gone.
fn lost(world: &World, lease: Lease) -> String {
    drop(claim_one(&world.open(), lease).unwrap());
    the(world, |path| path.starts_with("claimed/1"))
}

fn failed(world: &World, again: Again) {
    let queue = world.open();
    claim_one(&queue, Lease::Live).unwrap().nack(&queue, again, Counting::Counted, None).unwrap();
}

/// All that can be wrong by itself without anybody's doing, in one queue.
pub fn troubled() -> World {
    let mut world = world();
    grouped(&mut world);
    failed(&world, Again::After(Duration::from_secs(3600)));
    packs::sent(&mut world);
    let record = key_of_a_message(&mut world);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"draft", Envelope::default()).unwrap();
    moved(&world, &of(&world, b"draft"), DRAFT);
    copy(&world, &record, &record.replace("k-", "k-2"));
    world.machine.mkdir(format!("{Q}/tmp/bbbbbbbbbbbbbbbbbbbbbbbbbb/000000"));
    for lease in [Lease::Live, Lease::Timed(Duration::from_secs(60))] {
        world.send(&disk, Q, b"claimed", urgent(9)).unwrap();
        drop(claim_one(&world.open(), lease).unwrap());
    }
    let queue = world.open();
    world.send(&disk, Q, b"dead", urgent(9)).unwrap();
    claim_one(&queue, Lease::Live).unwrap().dead(&queue, None).unwrap();
    world.machine.advance(Duration::from_secs(61));
    world
}

/// A trouble, what is said to be done about it, and how something gets into it: its path.
type Scene = (Trouble, &'static str, fn(&mut World) -> String);

const SCENES: &[Scene] = &[
    (Trouble::Orphaned, "published: it was whole", |world| {
        moved(world, &of(world, b"two"), DRAFT);
        DRAFT.into()
    }),
    (Trouble::Orphaned, "removed: it was never finished", |world| {
        write(world, DRAFT, b"      \nhalf a bo");
        DRAFT.into()
    }),
    (Trouble::Orphaned, "set aside in damaged/", |world| {
        write(world, DRAFT, b"garbage");
        DRAFT.into()
    }),
    (Trouble::Orphaned, "removed: it was never finished", |world| {
        world.machine.mkdir(format!("{Q}/{DRAFT}/000000"));
        DRAFT.into()
    }),
    (Trouble::Orphaned, "ready again", |world| lost(world, Lease::Live)),
    (Trouble::Orphaned, "ready again", |world| {
        let path = lost(world, Lease::Timed(Duration::from_secs(60)));
        world.machine.advance(Duration::from_secs(61));
        path
    }),
    (Trouble::Orphaned, "dead-lettered or set aside", |world| {
        (0..2).for_each(|_| failed(world, Again::Now));
        lost(world, Lease::Live)
    }),
    (Trouble::Orphaned, "done", |world| {
        let path = "cancel/1763000000000007".to_string();
        write(world, &path, b"{\"asked_at\":\"2025-11-24T16:00:00Z\",\"reason\":\"x\"}\n");
        path
    }),
    (Trouble::Litter, "removed", |world| {
        let path = "cancel/control-abcdefghijklmnopqrstuvwxyz".to_string();
        write(world, &path, b"{");
        path
    }),
    (Trouble::Litter, "removed", |world| {
        let path = "control-abcdefghijklmnopqrstuvwxyz".to_string();
        write(world, &path, b"{");
        path
    }),
    (Trouble::Litter, "removed", |world| {
        let path = "damaged/1763000000000007-1763000000000007-4-00000.why".to_string();
        write(world, &path, b"{}\n");
        path
    }),
    (Trouble::Damaged, "set aside in damaged/", |world| {
        let path = of(world, b"two");
        let mut bytes = read(world, &path);
        *bytes.last_mut().unwrap() ^= 1;
        write(world, &path, &bytes);
        path
    }),
    (Trouble::Damaged, "set aside in damaged/", |world| {
        // With a second name elsewhere, which is no trouble of its own.
        let path = of(world, b"two");
        write(world, &path, b"garbage");
        world.machine.link(format!("{Q}/{path}"), "/elsewhere");
        path
    }),
    (Trouble::Damaged, "set aside in damaged/", |world| {
        packs::sent(world);
        let path = the(world, |path| path.contains("-n000005"));
        let more = path.replace("-n000005", "-n000006");
        moved(world, &path, &more);
        more
    }),
    (Trouble::Damaged, "set aside in damaged/", |world| {
        packs::sent(world);
        let path = the(world, |path| path.contains("-n000005"));
        let bucket = path.split('-').nth(1).unwrap().to_string();
        let plain = path.replace("-n000005", "").replace("/7/", &format!("/7/{bucket}/"));
        moved(world, &path, &plain);
        plain
    }),
    (Trouble::Damaged, "set aside in damaged/", |world| {
        let path = of(world, b"two");
        let packed = format!("ready/4/{}-n000001", path.rsplit('/').next().unwrap());
        moved(world, &path, &packed);
        packed
    }),
    (Trouble::Damaged, "took the others out, and set it aside in damaged/", |world| {
        packs::sent(world);
        spoil_packed(world)
    }),
    (Trouble::Misplaced, "moved there", |world| {
        let path = of(world, b"two");
        let wrong = format!("ready/5/0000000000000005/{}", path.rsplit('/').next().unwrap());
        moved(world, &path, &wrong);
        wrong
    }),
    (Trouble::Seq, "made anew", |world| {
        write(world, "seq", b"what was that?");
        "seq".into()
    }),
    (Trouble::Orphaned, "made one", |world| {
        grouped(world);
        let ticket = the(world, |path| path.starts_with("ready/7/"));
        world.machine.remove(format!("{Q}/{ticket}"));
        let message = of(world, b"group 1");
        message.split('/').take(2).collect::<Vec<_>>().join("/")
    }),
    (Trouble::Orphaned, "removed", |world| {
        grouped(world);
        let ticket = the(world, |path| path.starts_with("ready/7/"));
        let spare = ticket.replace("-7-00000-", "-7-00001-");
        copy(world, &ticket, &spare);
        spare
    }),
    (Trouble::Orphaned, "its group goes on", |world| {
        grouped(world);
        failed(world, Again::After(Duration::from_secs(3600)));
        let message = of(world, b"group 1");
        world.machine.remove(format!("{Q}/{message}"));
        the(world, |path| path.starts_with("delayed/1"))
    }),
    (Trouble::Orphaned, "set right", |world| {
        let record = key_of_a_message(world);
        let doubt = format!("{record}~");
        moved(world, &record, &doubt);
        doubt
    }),
    (Trouble::Damaged, "set right", |world| {
        let record = key_of_a_message(world);
        write(world, &record, b"");
        record
    }),
    (Trouble::Litter, "set right", |world| {
        let record = key_of_a_message(world);
        let message = of(world, b"keyed");
        world.machine.remove(format!("{Q}/{message}"));
        record
    }),
];

fn key_of_a_message(world: &mut World) -> String {
    let disk = world.machine.disk();
    world.send(&disk, Q, b"keyed", keyed(Until::Settled)).unwrap();
    the(world, |path| path.starts_with("unique/"))
}

/// Damages one message of the only pack.
fn spoil_packed(world: &World) -> String {
    let path = the(world, |path| path.contains("-n000005"));
    let mut bytes = read(world, &path);
    let at = bytes.windows(8).position(|text| text == b"packed 3").expect("its body");
    bytes[at] ^= 1;
    write(world, &path, &bytes);
    path
}

fn told(findings: &[Finding]) -> Vec<(Trouble, &Path, &Mended)> {
    findings.iter().map(|finding| (finding.trouble, finding.path.as_path(), &finding.mended)).collect()
}

#[test]
fn each_trouble_is_found_alone_and_mended_for_good() {
    let healthy = world();
    assert_eq!(fsck(&healthy.open(), Repair::Report).unwrap(), []);
    for (number, (trouble, how, plant)) in SCENES.iter().enumerate() {
        let mut world = healthy.fork();
        let path = Path::new(Q).join(plant(&mut world));
        let before = tree(&world.machine);
        let what = format!("{number}: {} of {}", trouble.word(), path.display());
        let found = fsck(&world.open(), Repair::Report).unwrap();
        assert_eq!(told(&found), [(*trouble, path.as_path(), &Mended::Left)], "{what}");
        assert_eq!(tree(&world.machine), before, "{what}: a look changes nothing");
        let mended = fsck(&world.open(), Repair::Mend).unwrap();
        assert_eq!(told(&mended), [(*trouble, path.as_path(), &Mended::Done((*how).into()))], "{what}");
        let after = world.cut(Cut::Nothing);
        assert_eq!(fsck(&after.open(), Repair::Mend).unwrap(), [], "{what}: a power cut has undone the repair");
        let survey = Survey::of(&after.machine, Q);
        assert_eq!(survey.wrong, [""; 0], "{what}");
        assert_eq!(survey.messages.iter().filter(|seen| seen.body == b"one").count(), 1, "{what}");
    }
}

#[test]
fn what_is_foreign_is_told_and_left_wherever_it_is() {
    let mut world = world();
    grouped(&mut world);
    let record = key_of_a_message(&mut world);
    let shard = record.rsplit_once('/').unwrap().0.to_string();
    let (one, first) = (of(&world, b"one"), of(&world, b"group 1"));
    let (bucket, group) = (one.rsplit_once('/').unwrap().0, first.rsplit_once('/').unwrap().0);
    let name = one.rsplit('/').next().unwrap();
    let claimed = format!("{name}-l000000000000-abcdefghijklmnopqrstuvwxyz");
    let mut foreign = Vec::new();
    // Neither of these is a name of mq's: each is there as a file and as a directory.
    for dir in [
        "", "tmp", "ready", "ready/4", bucket, "delayed", "claimed", "dead", "done", "damaged", "groups", group,
        "cancel", "unique", &shard,
    ] {
        foreign.push((format!("{dir}/notes").trim_start_matches('/').to_string(), 'f'));
        foreign.push((format!("{dir}/notes.d").trim_start_matches('/').to_string(), 'd'));
    }
    // These would be if they were of another kind,
    let message = "1763000000000009-1763000000000009-7-00000";
    foreign.extend(
        [
            ("tmp/abcdefghijklmnopqrstuvwxyz", 'l'),
            ("ready/x", 'l'),
            ("ready/4/0000000000000005", 'f'),
            (&format!("{bucket}/{}", name.replacen("17", "16", 1)), 'd'),
            ("delayed/0000000000000060", 'f'),
            ("dead/0000000000000005", 'f'),
            (&format!("claimed/{claimed}"), 'd'),
            (&format!("damaged/{name}"), 'd'),
            ("groups/00000000000000ab", 'f'),
            (&format!("{group}/0000000000000005"), 'f'),
            (&format!("{group}/{message}"), 'd'),
            (&format!("{group}/ticket"), 'd'),
            ("cancel/1763000000000007", 'd'),
            ("unique/ab", 'f'),
            (&format!("{shard}/k-directory"), 'd'),
            // or written a little otherwise.
            ("tmp/Abcdefghijklmnopqrstuvwxyz", 'f'),
            ("ready/04", 'd'),
            ("ready/10", 'd'),
            ("unique/abc", 'd'),
            ("unique/zz", 'd'),
        ]
        .map(|(path, kind): (&str, char)| (path.to_string(), kind)),
    );
    for (path, kind) in &foreign {
        match kind {
            'f' => world.machine.write(format!("{Q}/{path}"), b"mine"),
            'd' => world.machine.mkdir(format!("{Q}/{path}")),
            _ => world.machine.symlink(format!("{Q}/{path}"), "/"),
        }
    }
    // A control file with a second name, through which something else would be written.
    world.machine.link(format!("{Q}/seq"), "/elsewhere");
    foreign.push(("seq".into(), 'f'));
    // A message with one, whose lock is not the queue's alone.
    world.machine.link(format!("{Q}/{one}"), "/elsewhere too");
    foreign.push((one.clone(), 'f'));
    let mut expected: Vec<String> = foreign.into_iter().map(|(path, _)| format!("{Q}/{path}")).collect();
    expected.sort();
    let before = tree(&world.machine);
    for repair in [Repair::Report, Repair::Mend] {
        let findings = fsck(&world.open(), repair).unwrap();
        let mut found: Vec<String> = findings.iter().map(|finding| finding.path.display().to_string()).collect();
        found.sort();
        assert_eq!(found, expected);
        for finding in findings {
            assert_eq!((finding.trouble, &finding.mended), (Trouble::Foreign, &Mended::Left), "{finding:?}");
        }
        assert_eq!(tree(&world.machine), before);
    }
}

#[test]
fn what_may_go_at_any_moment_is_no_finding_and_goes_with_a_repair_only() {
    let mut world = world();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"windowed", keyed(Until::For(Duration::from_secs(60)))).unwrap();
    let record = the(&world, |path| path.starts_with("unique/"));
    world.machine.advance(Duration::from_secs(61));
    for empty in ["ready/4/0000000000000005", "dead/0000000000000005", "delayed/0000000000000060", "cancel"] {
        world.machine.mkdir(format!("{Q}/{empty}"));
    }
    // A group whose last message has just gone, with its ticket inside.
    write(&world, "groups/00000000000000ab/ticket", b"");
    let before = tree(&world.machine);
    assert_eq!(fsck(&world.open(), Repair::Report).unwrap(), []);
    assert_eq!(tree(&world.machine), before);
    assert_eq!(fsck(&world.open(), Repair::Mend).unwrap(), []);
    let left: Vec<String> = world.machine.files(Q);
    for path in [&record, "ready/4/0000000000000005/", "cancel/"] {
        assert!(!left.contains(&path.to_string()), "{path} is left");
    }
    // The newest of them is where the next message goes.
    assert!(left.contains(&"dead/0000000000000005/".to_string()), "{left:?}");
}

#[test]
fn what_this_mq_cannot_read_is_left() {
    let world = world();
    let path = of(&world, b"two");
    let bytes = String::from_utf8(read(&world, &path)).unwrap();
    write(&world, &path, bytes.replacen("\"mq\":1", "\"mq\":2", 1).as_bytes());
    let before = tree(&world.machine);
    for repair in [Repair::Report, Repair::Mend] {
        let found = fsck(&world.open(), repair).unwrap();
        assert_eq!(told(&found), [(Trouble::Unreadable, Path::new(Q).join(&path).as_path(), &Mended::Left)]);
    }
    assert_eq!(tree(&world.machine), before);
}
