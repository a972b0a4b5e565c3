//! One message under two names, or one id for two messages. A rename is atomic, so mq makes neither: they come from a
//! restored backup, a copy, or a file system that lost half of a rename.

use super::super::browse::Place;
use super::super::groups::Spot;
use super::super::header::{Header, Uid};
use super::super::message::Message;
use super::super::name::{Attempts, Grouped, Id, Name, State, home};
use super::super::send::same;
use super::super::seq::Seq;
use super::super::{Error, Result};
use super::{Check, Mended, Trouble};
use crate::fs::{Access, Dir, File};
use std::collections::BTreeSet;

/// What is remembered of each message that was gone through, 32 bytes: there may be millions in files of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// 128 bits in 26 characters of base32: the hash of two halves would not be shorter.
    pub uid: [u8; 16],
    pub id: Id,
    /// Ready, delayed or claimed: it has its unique key.
    pub waits: bool,
}

/// A uid in half its length.
pub(super) fn bits(uid: &str) -> [u8; 16] {
    let mut bits = [0; 16];
    if let Ok(bytes) = data_encoding::BASE32_NOPAD.decode(uid.to_ascii_uppercase().as_bytes())
        && bytes.len() == 16
    {
        bits.copy_from_slice(&bytes);
    }
    bits
}

/// And of a pack, whose messages' ids and uids follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenPack {
    uid: Uid,
    first: u32,
    count: u32,
    id: Id,
}

impl Seen {
    pub fn new(place: &Place, message: &Message) -> Seen {
        let waits = matches!(place.state, State::Ready | State::Delayed | State::Claimed);
        Seen { uid: bits(message.header.uid.as_str()), id: place.id(), waits }
    }
}

impl SeenPack {
    /// `None` for what is no pack.
    pub fn new(place: &Place, message: &Message) -> Option<SeenPack> {
        let Header { first, uid, .. } = &*message.header;
        let window = place.name.pack.map(|_| place.name.window())?;
        Some(SeenPack { uid: uid.clone(), first: first + window.start, count: place.name.count(), id: place.id() })
    }

    pub fn last(&self) -> Id {
        self.id.after(self.count - 1)
    }

    /// The ids of what both have, by index.
    fn shared(&self, other: &SeenPack) -> impl Iterator<Item = Id> + use<> {
        let (from, to) = (self.first.max(other.first), (self.first + self.count).min(other.first + other.count));
        let (one, two) = ((self.id, self.first), (other.id, other.first));
        (from..to).flat_map(move |index| [one.0.after(index - one.1), two.0.after(index - two.1)])
    }
}

/// The ids of what may be there twice: by id, or by uid.
fn suspects(seen: &mut [Seen], packs: &mut [SeenPack]) -> BTreeSet<Id> {
    let mut ids = BTreeSet::new();
    packs.sort_unstable_by(|a, b| (a.uid.as_str(), a.first).cmp(&(b.uid.as_str(), b.first)));
    for (at, pack) in packs.iter().enumerate() {
        let alike = packs[at + 1..].iter().take_while(|other| other.uid == pack.uid);
        alike.for_each(|other| ids.extend(pack.shared(other)));
    }
    packs.sort_unstable_by_key(|pack| pack.id);
    seen.sort_unstable_by_key(|seen| seen.id);
    for pair in seen.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        ids.insert(pair[0].id);
    }
    for (at, pack) in packs.iter().enumerate() {
        let begin = seen.partition_point(|seen| seen.id < pack.id);
        ids.extend(seen[begin..].iter().map(|seen| seen.id).take_while(|&id| id <= pack.last()));
        for other in packs[at + 1..].iter().take_while(|other| other.id <= pack.last()) {
            ids.extend((0..other.count).map(|index| other.id.after(index)).take_while(|&id| id <= pack.last()));
        }
    }
    seen.sort_unstable_by_key(|seen| seen.uid);
    for pair in seen.windows(2).filter(|pair| pair[0].uid == pair[1].uid) {
        ids.extend([pair[0].id, pair[1].id]);
    }
    for pack in packs.iter().filter(|_| !seen.is_empty()) {
        for index in 0..pack.count {
            let uid = bits(pack.uid.derived(u64::from(pack.first) + u64::from(index)).as_str());
            if let Ok(at) = seen.binary_search_by_key(&uid, |seen| seen.uid) {
                ids.extend([seen[at].id, pack.id.after(index)]);
            }
        }
    }
    ids
}

/// One of two names, open for reading.
struct Twin {
    place: Place,
    dir: Dir,
    message: Message,
    /// It waits in its group while its ticket is out: in whoever's hands that is, or until it is due.
    turn: bool,
}

impl Check<'_, '_> {
    pub(super) fn twins(&mut self) -> Result<()> {
        let ids = suspects(&mut self.seen, &mut self.packs);
        if ids.is_empty() {
            return Ok(());
        }
        // Seen twice while it moved, or really there twice? Only what stands in two places at one time is a twin.
        let mut twins = Vec::new();
        for place in self.queue.find(&ids)? {
            if place.state == State::Damaged {
                continue;
            }
            // A message whose ticket is out is found by its ticket alone, which says how often it was tried.
            let turn = place.name.ticket_of();
            let place = match turn {
                None => place,
                Some(mark) => match self.queue.spot(&place.name, mark)? {
                    Some(Spot { name, file_name, .. }) => {
                        let name = Name { attempts: place.name.attempts, ..name };
                        Place { state: State::Ready, name, due: None, claimed: None, file_name, in_pack: None }
                    }
                    None => continue,
                },
            };
            // One that stands in a pack comes out of it, so that it can be told from its twin by itself.
            let place = match self.mending() && place.state != State::Claimed {
                true => match self.queue.unpacked(&place)? {
                    Some(place) => place,
                    None => continue,
                },
                false => place,
            };
            if let (Some(dir), Ok(Some(message))) = (self.queue.dir_of(&place)?, self.queue.read(&place)) {
                // One whose ticket moves meanwhile is found twice, and is no twin of itself.
                let same = |twin: &Twin| twin.place.file_name == place.file_name && twin.dir.path() == dir.path();
                if place.name.group.is_none() || !twins.iter().any(same) {
                    twins.push(Twin { place, dir, message, turn: turn.is_some() });
                }
            }
        }
        // The one with the most attempts comes first and stays; of equals the oldest id.
        twins.sort_by_key(|twin| (std::cmp::Reverse(twin.place.name.attempts), twin.place.id()));
        let mut kept: Vec<Twin> = Vec::new();
        for twin in twins {
            let of_uid = kept.iter().find(|other| other.message.header.uid == twin.message.header.uid);
            let of_id = kept.iter().find(|other| other.place.id() == twin.place.id());
            match (of_uid, of_id) {
                (Some(other), _) => self.same_uid(&twin, other)?,
                (None, Some(_)) => self.same_id(&twin),
                (None, None) => kept.push(twin),
            }
        }
        Ok(())
    }

    /// The same message: this name goes, if it is the same file or equal in header and body.
    fn same_uid(&mut self, twin: &Twin, other: &Twin) -> Result<()> {
        let queue = self.queue;
        let path = twin.dir.path().join(&twin.place.file_name);
        let mut detail = format!("the same message as {}", other.dir.path().join(&other.place.file_name).display());
        if twin.message.stat.identity != other.message.stat.identity && !twin.message.equals(&other.message)? {
            detail.push_str(", by its uid, but not equal to it");
            self.found(Trouble::Twin, path, detail, Mended::Left);
            return Ok(());
        }
        let mended = self.mended(&mut detail, "removed this name of it", || {
            let _lock = self.lock_twin(twin)?;
            Ok(queue.disk.unlink(&twin.dir, &twin.place.file_name)?)
        });
        self.found(Trouble::Twin, path, detail, mended);
        Ok(())
    }

    /// Another message: it gets an id of its own, and nothing is deleted.
    fn same_id(&mut self, twin: &Twin) {
        let queue = self.queue;
        let path = twin.dir.path().join(&twin.place.file_name);
        let mut detail = format!("another message has the id {} too", twin.place.id());
        let mended = self.mended(&mut detail, "gave it a new id", || {
            let _lock = self.lock_twin(twin)?;
            let mut seq = Seq::lock(queue)?;
            let (id, bucket) = seq.next(twin.place.name.priority);
            seq.save()?;
            let name = Name { id, bucket, ..twin.place.name.clone() };
            if let (State::Ready, Some(Grouped::Message(mark))) = (twin.place.state, name.group) {
                return queue.put_in_group(&twin.dir, &twin.place.file_name, &name, mark);
            }
            let (state, new) = match (twin.place.state, twin.place.due) {
                (State::Delayed, Some(due)) => (State::Delayed, name.delayed(due)),
                (State::Claimed, _) => return Err(Error::Held { id: twin.place.id(), by: None }),
                (state, _) => (state, name.to_string()),
            };
            queue.move_into(&twin.dir, &twin.place.file_name, &home(state, &name, twin.place.due), &new)
        });
        self.found(Trouble::Twin, path, detail, mended);
    }

    /// Lock, then look again; a message that somebody holds is left to its holder.
    fn lock_twin(&self, twin: &Twin) -> Result<File> {
        let disk = &self.queue.disk;
        let held = || Error::Held { id: twin.place.id(), by: None };
        if twin.place.in_pack.is_some() || twin.turn {
            // Claimed with a pack: its file has others too. And what a ticket speaks of is whoever's has that.
            return Err(held());
        }
        let file = disk.open(&twin.dir, &twin.place.file_name, Access::Read)?;
        let linked = disk.stat(&file)?.links > 1;
        // Two names of one file have one lock; the holder of a claim keeps its own name, which has more attempts.
        let spare = linked && twin.place.name.attempts == Attempts::default();
        if !disk.try_lock(&file)? && !spare {
            return Err(held());
        }
        if !same(disk, &twin.dir, &twin.place.file_name, &file)? {
            return Err(held());
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Id {
        Id::parse(&format!("{number:016}")).expect("an id")
    }

    fn ids(numbers: &[u64]) -> BTreeSet<Id> {
        numbers.iter().copied().map(id).collect()
    }

    fn seen(uid: u8, number: u64) -> Seen {
        Seen { uid: bits(Uid::new([uid; 16]).as_str()), id: id(number), waits: true }
    }

    fn pack(uid: u8, first: u32, count: u32, number: u64) -> SeenPack {
        SeenPack { uid: Uid::new([uid; 16]), first, count, id: id(number) }
    }

    #[test]
    fn a_uid_is_remembered_whole() {
        assert_eq!(bits(Uid::new([0xa7; 16]).as_str()), [0xa7; 16]);
        assert_eq!(bits("no uid"), [0; 16]);
    }

    #[test]
    fn messages_are_suspects_by_id_and_by_uid() {
        let suspects = |seen: &[Seen]| suspects(&mut seen.to_vec(), &mut []);
        assert_eq!(suspects(&[seen(1, 100), seen(2, 101), seen(3, 102)]), ids(&[]));
        assert_eq!(suspects(&[seen(1, 100), seen(2, 101), seen(3, 100)]), ids(&[100]));
        assert_eq!(suspects(&[seen(1, 100), seen(2, 101), seen(1, 102)]), ids(&[100, 102]));
    }

    #[test]
    fn packs_are_suspects_where_they_have_the_same_messages_or_ids() {
        let suspects = |packs: &[SeenPack]| {
            // In whichever order they are found.
            let turned: Vec<SeenPack> = packs.iter().rev().cloned().collect();
            let found = suspects(&mut [], &mut packs.to_vec());
            assert_eq!(suspects(&mut [], &mut turned.clone()), found);
            found
        };
        assert_eq!(suspects(&[pack(1, 0, 3, 100), pack(1, 3, 2, 103), pack(2, 0, 3, 105)]), ids(&[]));
        // The third and fourth message of one pack, here and there.
        assert_eq!(suspects(&[pack(1, 0, 4, 100), pack(1, 2, 3, 200)]), ids(&[102, 103, 200, 201]));
        assert_eq!(suspects(&[pack(1, 1, 6, 100), pack(1, 3, 2, 200)]), ids(&[102, 103, 200, 201]));
        // Others under the same ids.
        assert_eq!(suspects(&[pack(1, 0, 4, 100), pack(2, 0, 4, 103)]), ids(&[103]));
        assert_eq!(suspects(&[pack(1, 0, 4, 100), pack(2, 0, 2, 101)]), ids(&[101, 102]));
    }

    #[test]
    fn a_message_is_a_suspect_of_a_pack_that_has_its_id_or_is_where_it_came_from() {
        let suspects =
            |seen: Seen| suspects(&mut [self::seen(8, 1), seen, self::seen(9, 900)], &mut [pack(1, 2, 3, 100)]);
        for (number, found) in [(99, &[][..]), (100, &[100]), (102, &[102]), (103, &[])] {
            assert_eq!(suspects(seen(2, number)), ids(found), "{number}");
        }
        let uid = |index| bits(Uid::new([1; 16]).derived(index).as_str());
        for (index, found) in [(1, &[][..]), (2, &[100, 500]), (4, &[102, 500]), (5, &[])] {
            assert_eq!(suspects(Seen { uid: uid(index), ..seen(0, 500) }), ids(found), "{index}");
        }
    }

    #[test]
    fn the_last_id_of_a_pack_is_its_own() {
        assert_eq!((pack(1, 7, 1, 100).last(), pack(1, 7, 5, 100).last()), (id(100), id(104)));
    }
}
