//! Every message in its directory: is the name ours, is it at home, and is it whole?

use super::super::browse::Place;
use super::super::groups::Amiss;
use super::super::message::{self, Content, Depth};
use super::super::name::{self, Bucket, Priority, READY, State, home};
use super::super::pack::HeldPack;
use super::super::send::same;
use super::super::seq::Seq;
use super::super::{Error, Result};
use super::{Check, Mended, Trouble, twins};
use crate::fs::{Access, Dir, Identity, Kind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

impl Check<'_, '_> {
    /// All states whose messages can be gone through at leisure.
    pub(super) fn messages(&mut self) -> Result<()> {
        let queue = self.queue;
        if let Some(ready) = queue.maybe_dir(Path::new(READY))? {
            for (name, kind) in queue.disk.names(&ready)? {
                let priority = name.to_str().and_then(|text| text.parse().ok()).and_then(Priority::new);
                match priority
                    .filter(|priority| kind == Kind::Dir && name.to_str() == Some(&priority.level().to_string()))
                {
                    Some(priority) => self.buckets(State::Ready, &name::ready_priority(priority))?,
                    None => self.foreign(ready.path().join(name)),
                }
            }
        }
        for state in [State::Delayed, State::Dead, State::Done] {
            self.buckets(state, Path::new(state.word()))?;
        }
        self.groups()?;
        let claimed = PathBuf::from(State::Claimed.word());
        if let Some(dir) = queue.maybe_dir(&claimed)? {
            self.directory(State::Claimed, &claimed, &dir)?;
            for (hand, dir) in queue.hands()? {
                self.directory(State::Claimed, &claimed.join(hand.to_string()), &dir)?;
            }
        }
        Ok(())
    }

    /// The messages that wait in groups, and whether each group has one ticket.
    fn groups(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(groups) = queue.maybe_dir(Path::new(name::GROUPS))? else { return Ok(()) };
        for (entry, kind) in queue.disk.names(&groups)? {
            let mark = entry.to_str().filter(|_| kind == Kind::Dir).and_then(name::GroupMark::parse);
            let Some(mark) = mark else {
                self.foreign(groups.path().join(&entry));
                continue;
            };
            let below = Path::new(name::GROUPS).join(mark.to_string());
            let Some(dir) = queue.maybe_dir(&below)? else { continue };
            for (name, kind) in queue.disk.names(&dir)? {
                let text = name.to_str().unwrap_or_default();
                let bucket = kind == Kind::Dir && Bucket::parse(text).is_some();
                let message = kind == Kind::File && Place::parse(State::Ready, text).is_some();
                if bucket {
                    let below = below.join(text);
                    if let Some(dir) = queue.maybe_dir(&below)? {
                        self.directory(State::Ready, &below, &dir)?;
                    }
                } else if message {
                    if let Some(place) = Place::parse(State::Ready, text) {
                        self.message(&place, &below, &dir);
                    }
                } else if text != name::PARKED || kind != Kind::File {
                    self.foreign(dir.path().join(&name));
                }
            }
        }
        let at = |place: &Place| -> Result<PathBuf> {
            let dir = queue.dir_of(place)?;
            let path = dir.map_or_else(|| queue.path().to_path_buf(), |dir| dir.path().to_path_buf());
            Ok(path.join(&place.file_name))
        };
        for amiss in queue.tickets_amiss()? {
            let (path, detail, done) = match &amiss {
                Amiss::Without(mark) => (
                    groups.path().join(mark.to_string()),
                    "a group without a ticket: nobody claims from it",
                    "made one",
                ),
                Amiss::Spare(place) => (at(place)?, "a second ticket of its group", "removed"),
                Amiss::Stale(place) => (at(place)?, "a ticket for a message that is not there", "its group goes on"),
            };
            let mut detail = detail.to_string();
            let mended = self.mended(&mut detail, done, || {
                if let (Amiss::Stale(place), Some(mark)) = (&amiss, stale(&amiss)) {
                    return queue.remove_held(place, mark).map(drop);
                }
                // Under the lock, after another look: a group may have come and gone.
                let _seq = Seq::lock(queue)?;
                queue.mend_tickets()
            });
            self.found(Trouble::Orphaned, path, detail, mended);
        }
        Ok(())
    }

    fn foreign(&mut self, path: PathBuf) {
        self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left);
    }

    fn buckets(&mut self, state: State, below: &Path) -> Result<()> {
        let queue = self.queue;
        let Some(top) = queue.maybe_dir(below)? else { return Ok(()) };
        let names: Vec<(OsString, Kind)> = queue.disk.names(&top)?;
        let newest = names.last().map(|(name, _)| name.clone());
        for (name, kind) in names {
            if let (State::Ready, Kind::File, Some(pack)) = (state, kind, name.to_str().and_then(Place::parse_pack)) {
                self.message(&pack, below, &top);
                continue;
            }
            let text = name.to_str().filter(|text| kind == Kind::Dir && Bucket::parse(text).is_some());
            let Some(text) = text else {
                self.foreign(top.path().join(&name));
                continue;
            };
            match queue.disk.open_dir(&top, text) {
                Err(error) if error.missing() => (),
                Err(error) => self.found(Trouble::Unreadable, top.path().join(text), error.to_string(), Mended::Left),
                Ok(dir) => {
                    self.directory(state, &below.join(text), &dir)?;
                    if self.mending() && newest.as_ref() != Some(&name) {
                        // Empty ones only: rmdir(2) refuses any other.
                        let _ = queue.disk.remove_dir(&top, text);
                    }
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, state: State, below: &Path, dir: &Dir) -> Result<()> {
        let queue = self.queue;
        // In bounded memory, and names that are not text as well.
        let mut not_text = Vec::new();
        queue.disk.list(dir, |name, _| {
            if name.to_str().is_none() {
                not_text.push(dir.path().join(name));
            }
            std::ops::ControlFlow::Continue(())
        })?;
        for path in not_text {
            self.found(Trouble::Foreign, path, "its name is not text", Mended::Left);
        }
        let _ = queue.each_sorted(dir, |text, kind| {
            match Place::parse(state, text).filter(|_| kind == Kind::File) {
                Some(place) => self.message(&place, below, dir),
                None if state == State::Claimed => (), // reported with the claims
                None => self.foreign(dir.path().join(text)),
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    fn message(&mut self, place: &Place, below: &Path, dir: &Dir) {
        let path = dir.path().join(&place.file_name);
        if place.name.ticket_of().is_some() {
            // Nothing but a name; its group is looked at by itself.
            return self.at_home(place, below, dir, path);
        }
        match self.examine(place, dir) {
            Ok(Some(examined)) => {
                if examined.links != 1 && !examined.damaged {
                    let Examined { identity, links, .. } = examined;
                    self.linked.push(Linked { identity, links, path: path.clone() });
                }
                if !examined.damaged {
                    match examined.pack {
                        None => self.seen.extend(examined.seen),
                        pack => self.packs.extend(pack),
                    }
                    self.at_home(place, below, dir, path);
                }
            }
            Ok(None) => (),
            Err(error) => self.found(Trouble::Unreadable, path, error.to_string(), Mended::Left),
        }
    }

    /// A pack of whose messages some fail their check: the others come out of it, and it is set aside with those.
    fn found_bad(&mut self, place: &Place, dir: &Dir, bad: usize) {
        let queue = self.queue;
        let mut detail = format!("{bad} of the {} messages of this pack fail their check", place.name.count());
        let mended = match place.state {
            // It is its holder's, or recovery's.
            State::Claimed => Mended::Left,
            _ => self.mended(&mut detail, "took the others out, and set it aside in damaged/", || {
                match queue.hold_pack(dir, place)? {
                    HeldPack::Ours(message) => queue.open_pack(dir, place, &message, 1).map(drop),
                    HeldPack::Busy(by) => Err(Error::Held { id: place.id(), by }),
                    HeldPack::Gone | HeldPack::Foreign => Ok(()),
                }
            }),
        };
        self.found(Trouble::Damaged, dir.path().join(&place.file_name), detail, mended);
    }

    /// A message with another link. Where all of them stand in this queue they are twins, and mended as such.
    pub(super) fn links(&mut self) {
        let linked = std::mem::take(&mut self.linked);
        let mut here: BTreeMap<Identity, u64> = BTreeMap::new();
        for Linked { identity, .. } in &linked {
            *here.entry(*identity).or_default() += 1;
        }
        for Linked { identity, links, path } in &linked {
            if here.get(identity) != Some(links) {
                let detail = format!("a message with {links} links: nobody claims it until it has one");
                self.found(Trouble::Foreign, path.clone(), detail, Mended::Left);
            }
        }
    }

    fn at_home(&mut self, place: &Place, below: &Path, dir: &Dir, path: PathBuf) {
        let queue = self.queue;
        let wanted = match place.state {
            State::Claimed => return,
            State::Ready if below.starts_with(name::GROUPS) => return,
            state => home(state, &place.name, place.due),
        };
        if wanted == below {
            return;
        }
        let mut detail = format!("belongs into {}", wanted.display());
        let mended = self
            .mended(&mut detail, "moved there", || queue.move_into(dir, &place.file_name, &wanted, &place.file_name));
        self.found(Trouble::Misplaced, path, detail, mended);
    }

    /// Reads a message whole. `None` when it has moved on meanwhile.
    fn examine(&mut self, place: &Place, dir: &Dir) -> Result<Option<Examined>> {
        let queue = self.queue;
        let disk = &queue.disk;
        let file = match disk.open(dir, &place.file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let stat = disk.stat(&file)?;
        let (links, identity) = (stat.links, stat.identity);
        if links == 0 {
            // Acknowledged or removed since it was opened.
            return Ok(None);
        }
        let why = match message::load(disk, file, stat, Depth::Whole)? {
            Content::Message(message)
                if message.packed(&place.name).is_some() == place.name.pack.is_some()
                    && message.header.messages.is_some() == place.name.pack.is_some() =>
            {
                let (seen, pack) = (Some(twins::Seen::new(place, &message)), twins::SeenPack::new(place, &message));
                let bad = message.packed(&place.name).map_or(0, |packed| packed.bad().len());
                if bad > 0 {
                    self.found_bad(place, dir, bad);
                }
                return Ok(Some(Examined { identity, links, seen, pack, damaged: false }));
            }
            Content::Message(_) => {
                "it is not what its name says: a pack, or no pack, or one with more messages".to_string()
            }
            Content::Unknown(why) => {
                return Err(Error::Unknown { path: dir.path().join(&place.file_name), why });
            }
            Content::Placeholder(_) => "it was never finished".to_string(),
            Content::Bad(_, why) => why,
        };
        let mut detail = why.clone();
        let mut left = false;
        let mended = self.mended(&mut detail, "set aside in damaged/", || {
            // Under its lock, after another look: it may be somebody's by now.
            let file = disk.open(dir, &place.file_name, Access::Read)?;
            if disk.try_lock(&file)? && same(disk, dir, &place.file_name, &file)? {
                queue.set_aside(dir, &place.file_name, &why)
            } else {
                left = true;
                Ok(())
            }
        });
        let mended = if left { Mended::Left } else { mended };
        self.found(Trouble::Damaged, dir.path().join(&place.file_name), detail, mended);
        Ok(Some(Examined { identity, links, seen: None, pack: None, damaged: true }))
    }
}

fn stale(amiss: &Amiss) -> Option<name::GroupMark> {
    match amiss {
        Amiss::Stale(place) => place.name.ticket_of(),
        _ => None,
    }
}

/// A message whose file has more names than this one.
pub(super) struct Linked {
    identity: Identity,
    links: u64,
    path: PathBuf,
}

struct Examined {
    identity: Identity,
    links: u64,
    /// What twins are found by; nothing for a damaged file.
    seen: Option<twins::Seen>,
    pack: Option<twins::SeenPack>,
    damaged: bool,
}
