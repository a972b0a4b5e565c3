//! How many messages are wanted decides whether a pack is claimed whole, divided, opened, or left where it is.

use super::super::world::{PLAIN, Q, World, urgent};
use super::{open, send};
use mq::queue::name::{Lease, Name};
use mq::queue::{Envelope, Found, Scout};
use std::time::Duration;

const LIVE: Lease = Lease::Live;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_pack_is_claimed_whole_only_where_each_of_its_messages_may_be() {
    type Setting = Option<(&'static str, &'static str)>;
    let ways: [(&str, Setting, Lease, bool); 5] = [
        ("plain", None, LIVE, true),
        ("a lease with a time", None, Lease::Timed(MINUTE), false),
        ("a rate", Some(("rate", "1000/s")), LIVE, false),
        ("so many in flight", Some(("max_in_flight", "100")), LIVE, false),
        ("kept", Some(("retain", "1h")), LIVE, false),
    ];
    for (way, setting, lease, whole) in ways {
        let mut world = World::empty(PLAIN, 1);
        if let Some((key, value)) = setting {
            world.open().configure(|settings| settings.set(key, value)).unwrap();
        }
        let disk = world.machine.disk();
        send(&mut world, &disk, &Envelope::default()).unwrap();
        let (queue, mut scout) = (open(&disk).unwrap(), Scout::new());
        scout.want(10, 10);
        let Found::Claim(claim) = queue.claim(&mut scout, lease).unwrap() else { panic!("{way}: it was sent") };
        assert_eq!(claim.is_pack(), whole, "{way}");
    }
}

#[test]
fn behind_a_pack_that_has_too_many_nothing_is_claimed() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    world.send(&disk, Q, b"1", Envelope::default()).unwrap();
    send(&mut world, &disk, &urgent(7)).unwrap();
    let (queue, mut scout) = (open(&disk).unwrap(), Scout::new());
    scout.want(4, 10);
    let found = queue.claim(&mut scout, LIVE).unwrap();
    assert!(matches!(found, Found::TooMany), "{found:?}");
}

#[test]
fn a_pack_under_the_name_of_one_message_is_set_aside() {
    let mut world = World::empty(PLAIN, 1);
    let disk = world.machine.disk();
    send(&mut world, &disk, &Envelope::default()).unwrap();
    let path = world.machine.files(Q).into_iter().find(|path| path.starts_with("ready/4/")).unwrap();
    let bytes = world.machine.read(format!("{Q}/{path}")).unwrap();
    let pack = Name::parse(path.rsplit('/').next().unwrap()).unwrap();
    world.machine.remove(format!("{Q}/{path}"));
    let name = Name { pack: None, ..pack };
    world.machine.write(format!("{Q}/ready/4/{}/{name}", name.bucket), &bytes);
    let found = open(&disk).unwrap().claim(&mut Scout::new(), LIVE).unwrap();
    assert!(matches!(found, Found::Nothing(_)), "{found:?}");
    assert!(world.machine.files(Q).iter().any(|path| path.starts_with("damaged/")), "{}", world.machine.listing(Q));
}

#[test]
fn a_pack_with_more_than_are_wanted_now_waits_until_as_many_are_wanted() {
    // Now, at most, and what comes of the five: all, none yet, or some of them.
    for (now, most, got) in [
        (5, 5, Some(5)),
        (5, 10, Some(5)),
        (4, 5, None),
        (4, 10, None),
        (6, 10, Some(5)),
        (4, 4, Some(4)),
        (2, 4, None),
    ] {
        let mut world = World::empty(PLAIN, 1);
        let disk = world.machine.disk();
        send(&mut world, &disk, &Envelope::default()).unwrap();
        let (queue, mut scout) = (open(&disk).unwrap(), Scout::new());
        scout.want(now, most);
        let came = match queue.claim(&mut scout, LIVE).unwrap() {
            Found::Claim(claim) => Some(claim.messages()),
            Found::TooMany => None,
            Found::Nothing(nothing) => panic!("{nothing:?}"),
        };
        assert_eq!(came, got, "{now} now of {most} at most");
    }
}
