//! One message twice, or two of one id.

use super::{Q, copy, failed, grouped, moved, of, read, the, told, tree, world};
use crate::queue::judge::fsck;
use crate::queue::packs;
use crate::queue::survey::Survey;
use crate::queue::world::{World, body_of, claim_one, urgent};
use crate::support::inject::{Injected, Plan};
use mq::fs::Disk;
use mq::queue::name::Lease;
use mq::queue::{Again, Counting, Mended, Queue, Repair, Settled, Trouble};
use std::path::Path;
use std::time::Duration;

fn done(how: &str) -> Mended {
    Mended::Done(how.into())
}

#[test]
fn what_was_set_aside_is_nobodys_twin() {
    let world = world();
    let two = of(&world, b"two");
    let dead = two.replace("ready/4/", "dead/").replace("-4-00000", "-4-00003");
    let aside = format!("damaged/{}", two.rsplit('/').next().unwrap().replace("-4-00000", "-4-00009"));
    copy(&world, &two, &dead);
    copy(&world, &two, &aside);
    let bytes = read(&world, &two);
    let findings = fsck(&world.open(), Repair::Mend).unwrap();
    assert_eq!(told(&findings), [(Trouble::Twin, Path::new(Q).join(&two).as_path(), &done("removed this name of it"))]);
    assert_eq!((read(&world, &dead), read(&world, &aside)), (bytes.clone(), bytes));
    assert_eq!(fsck(&world.open(), Repair::Report).unwrap(), []);
}

/// By its ticket it is known how often it was tried, and that it is not to be taken away.
#[test]
fn a_message_whose_ticket_is_out_has_its_twin_too() {
    for (attempts, goes) in [("00001", true), ("00003", false)] {
        let mut world = world();
        grouped(&mut world);
        failed(&world, Again::Now);
        failed(&world, Again::After(Duration::from_secs(3600)));
        let (first, ticket) = (of(&world, b"group 1"), the(&world, |path| path.starts_with("delayed/1")));
        let (bucket, name) = (first.split('-').nth(1).unwrap(), first.rsplit('/').next().unwrap());
        let dead = format!("dead/{bucket}/{}", name.replace("-7-00000-", &format!("-7-{attempts}-")));
        copy(&world, &first, &dead);
        let findings = fsck(&world.open(), Repair::Mend).unwrap();
        let (path, mended) = match goes {
            true => (&dead, done("removed this name of it")),
            false => (&first, Mended::Left),
        };
        assert_eq!(told(&findings), [(Trouble::Twin, Path::new(Q).join(path).as_path(), &mended)]);
        assert_eq!(world.machine.read(format!("{Q}/{dead}")).is_none(), goes);
        the(&world, |path| path == ticket);
        world.machine.advance(Duration::from_secs(3601));
        let queue = world.open();
        for body in [b"group 1", b"group 2"] {
            let claim = claim_one(&queue, Lease::Live).unwrap();
            assert_eq!(body_of(&claim).unwrap(), body);
            assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
        }
    }
}

/// Found in its group and by its ticket, which goes out or comes home meanwhile, it is no twin of itself.
#[test]
fn a_message_whose_ticket_moves_meanwhile_is_not_taken_away() {
    let prepared = {
        let mut world = world();
        grouped(&mut world);
        let first = of(&world, b"group 1");
        let (bucket, name) = (first.split('-').nth(1).unwrap(), first.rsplit('/').next().unwrap());
        // So that there is something to look for.
        copy(&world, &first, &format!("dead/{bucket}/{name}"));
        world
    };
    for (n, goes_out) in (1..).flat_map(|n| [(n, true), (n, false)]) {
        let world = prepared.fork();
        let queue = world.open();
        let claim = (!goes_out).then(|| claim_one(&queue, Lease::Live).unwrap());
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let steps = steps.meanwhile(n, move || match claim {
            // Its receipt needs no lock; and what is locked already is left alone.
            None => drop(claim_one(&queue, Lease::Timed(Duration::from_secs(60)))),
            Some(claim) => drop(claim.nack(&queue, Again::Now, Counting::Uncounted, None)),
        });
        let checking = Queue::open(&Disk::new(steps), Path::new(Q)).unwrap();
        fsck(&checking, Repair::Mend).unwrap();
        the(&world, |path| path.starts_with("groups/") && path.ends_with(first_of(&prepared).as_str()));
        if tape.steps() < n {
            break;
        }
    }
}

fn first_of(world: &World) -> String {
    of(world, b"group 1").rsplit('/').next().unwrap().to_string()
}

#[test]
fn a_look_takes_nothing_out_of_a_pack_and_a_repair_nothing_out_of_hands() {
    let mut world = world();
    packs::sent(&mut world);
    let pack = the(&world, |path| path.contains("-n000005"));
    let twin = pack.replace("-7-00000-", "-7-00002-");
    copy(&world, &pack, &twin);
    let before = tree(&world.machine);
    let findings = fsck(&world.open(), Repair::Report).unwrap();
    assert!(findings.iter().all(|finding| finding.trouble == Trouble::Twin && finding.mended == Mended::Left));
    assert_eq!((findings.len(), tree(&world.machine)), (5, before));
    // The one that was tried more often is in a worker's hands.
    world.machine.remove(format!("{Q}/{pack}"));
    let queue = world.open();
    let claim = packs::claim_whole(&queue, 5).unwrap();
    let claimed = the(&world, |path| path.starts_with("claimed/"));
    let bytes = read(&world, &claimed);
    world.machine.write(format!("{Q}/{pack}"), &bytes);
    let findings = fsck(&world.open(), Repair::Mend).unwrap();
    assert!(findings.iter().all(|finding| finding.trouble == Trouble::Twin), "{findings:#?}");
    assert_eq!((the(&world, |path| path.starts_with("claimed/")), read(&world, &claimed)), (claimed.clone(), bytes));
    assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
}

/// A new id is the last one, and so is its place in the order.
#[test]
fn a_message_that_gets_a_new_id_comes_after_those_that_were_there() {
    let mut world = world();
    let (one, two) = (of(&world, b"one"), of(&world, b"two"));
    world.machine.reboot();
    let disk = world.machine.disk();
    world.send(&disk, Q, b"three", urgent(4)).unwrap();
    // Under the id of the first, and tried less often.
    let tried = one.replace("-4-00000", "-4-00001");
    moved(&world, &one, &tried);
    moved(&world, &two, &one);
    let findings = fsck(&world.open(), Repair::Mend).unwrap();
    assert_eq!(told(&findings), [(Trouble::Twin, Path::new(Q).join(&one).as_path(), &done("gave it a new id"))]);
    let survey = Survey::of(&world.machine, Q);
    assert_eq!(survey.wrong, [""; 0]);
    let mut messages = survey.messages;
    messages.sort_by(|a, b| a.id.cmp(&b.id));
    let bodies: Vec<Vec<u8>> = messages.into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [&b"one"[..], b"three", b"two"]);
    let queue = world.open();
    for body in bodies {
        let claim = claim_one(&queue, Lease::Live).unwrap();
        assert_eq!(body_of(&claim).unwrap(), body);
        assert_eq!(claim.ack(&queue).unwrap(), Settled::Acked);
    }
}

/// Between the look at both and the removal of one the other may be damaged: then it is not known to be the same any more.
#[test]
fn the_only_good_copy_is_never_removed() {
    let world = {
        let mut world = world();
        world.machine.stand_still();
        let disk = world.machine.disk();
        // More than is checked whenever a message is read.
        world.send(&disk, Q, &vec![b'x'; (1 << 20) + 1], urgent(6)).unwrap();
        world
    };
    let ready = the(&world, |path| path.starts_with("ready/6/"));
    let dead = ready.replace("ready/6/", "dead/").replace("-6-00000", "-6-00003");
    copy(&world, &ready, &dead);
    let bytes = read(&world, &ready);
    let repaired = |n: u64, spoilt: bool| {
        let world = world.fork();
        let (steps, tape) = Injected::new(world.machine.process(), Plan::Healthy);
        let (machine, dead) = (world.machine.clone(), format!("{Q}/{dead}"));
        let mut bad = bytes.clone();
        *bad.last_mut().unwrap() ^= 1;
        let steps = steps.meanwhile(n, move || {
            if spoilt {
                machine.write(dead, &bad)
            }
        });
        let _ = fsck(&Queue::open(&Disk::new(steps), Path::new(Q)).unwrap(), Repair::Mend);
        (world.machine.read(format!("{Q}/{ready}")), tape)
    };
    let (gone, tape) = repaired(1, false);
    assert_eq!(gone, None, "one of them goes");
    // The bodies of both are read, and then the lock of the one that goes is taken.
    let trace = tape.trace();
    let steps: Vec<&str> = trace.lines().map(|line| line.trim_start().split_once(' ').unwrap().1).collect();
    let unlinked = steps.iter().position(|step| step.starts_with("unlink ")).unwrap();
    let locked = steps[..unlinked].iter().rposition(|step| step.starts_with("open ")).unwrap();
    let begun = steps[..locked].iter().rposition(|step| !step.starts_with("read_at ")).unwrap();
    let first = tape.steps() - (steps.len() - begun) as u64 + 2;
    assert_eq!(repaired(first, true).0, Some(bytes.clone()), "{trace}");
}
