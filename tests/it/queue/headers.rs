//! Header lines as `man/mq.5` has them, from the plain files.

use super::survey::Survey;
use super::world::{PLAIN, Q, World, claim_one};
use mq::queue::name::Lease;
use mq::queue::{Envelope, Error};

/// How long a header line may be, its newline included.
const LONGEST: usize = 64 << 10;

/// The header line of the only message.
fn line(world: &World) -> String {
    let survey = Survey::of(&world.machine, Q);
    let bytes = world.machine.read(format!("{Q}/{}", survey.messages[0].path)).unwrap();
    String::from_utf8(bytes.split_inclusive(|&byte| byte == b'\n').next().unwrap().to_vec()).unwrap()
}

fn with(length: usize) -> Envelope {
    Envelope { headers: vec![("Long".into(), "x".repeat(length))], ..Envelope::default() }
}

#[test]
fn what_a_sender_did_not_say_is_absent() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"body", Envelope::default()).unwrap();
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line(&world)).unwrap();
    let mut names: Vec<&str> = header.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["crc32", "mq", "priority", "sent_at", "size_bytes", "uid"]);
}

#[test]
fn the_longest_header_is_read_back_and_a_longer_one_is_refused() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    let mut short = world.fork();
    short.send(&short.machine.disk(), Q, b"body", with(1)).unwrap();
    let most = 1 + LONGEST - line(&short).len();
    for length in [most + 1, most + 2, 2 * most] {
        let sent = world.send(&disk, Q, b"body", with(length));
        assert!(matches!(sent, Err(Error::Refused { .. })), "{length}: {sent:?}");
    }
    world.send(&disk, Q, b"body", with(most)).unwrap();
    assert_eq!(line(&world).len(), LONGEST);
    let claim = claim_one(&world.open(), Lease::Live).unwrap();
    assert_eq!(claim.message().header.values().next().unwrap().1.len(), most);
}
