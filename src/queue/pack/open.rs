//! Opening a pack: its messages become files of their own, or smaller packs.
//!
//! What comes out of it is written into a directory of `tmp/`, locked, and flushed. Then one rename takes the pack into that
//! directory: from that moment on it counts as opened, and what stands beside it is moved to where it belongs, by the opener
//! or by whoever finds the directory without one. Before that rename the pack is whole where it was, and the directory is
//! litter. The pack itself goes last: away, or back under a name that says what is left in it, unwritten.

use super::home::Opened;
use super::unpacked::pack_of;
use super::{Builder, HANDFUL, Held, OPENED, PACK_LEAST, Packed, bucket};
use crate::fs::{Access, Dir, Kind, Store};
use crate::queue::busy::a_moment;
use crate::queue::error::{Error, Result};
use crate::queue::history;
use crate::queue::message::{self, Content, Depth, Message};
use crate::queue::name::{self, LEFT, Name, SPENT, State};
use crate::queue::settings::Sync;
use crate::queue::{Place, Queue};
use std::collections::BTreeSet;
use std::time::Duration;

/// The states that a pack's messages may come to, in the order in which they are moved: those last that anybody may take.
pub(super) const SHELVES: [State; 4] = [State::Done, State::Dead, State::Delayed, State::Ready];

/// A pack that is being opened. Dropping it leaves the pack as it was, unless it was committed.
#[derive(Debug)]
pub(in crate::queue) struct Opening<'q> {
    queue: &'q Queue,
    tmp: Dir,
    name: String,
    dir: Dir,
    /// A directory of `dir` for each state that something is put into.
    shelves: Vec<(State, Dir)>,
    /// All that is in the pack was looked at, and is whole.
    pub(super) whole: bool,
    committed: bool,
}

impl Queue {
    pub(in crate::queue) fn opening(&self) -> Result<Opening<'_>> {
        let tmp = self.tmp_dir()?;
        let (name, dir) = self.locked_dir(&tmp, &|| self.fresh_name())?;
        Ok(Opening { queue: self, tmp, name, dir, shelves: Vec::new(), whole: false, committed: false })
    }

    /// Opens the pack that stands there, whose lock the caller has, after another look: all of it into packs of `into`; or
    /// where that is one its first messages into files. `false` where somebody has moved it.
    ///
    /// Killed anywhere: it is whole where it was, or recovery finishes. Nothing of it is lost in a power cut.
    pub(in crate::queue) fn open_pack(&self, from: &Dir, place: &Place, message: &Message, into: u32) -> Result<bool> {
        let Some(packed) = message.packed(&place.name) else { return Ok(true) };
        // Of those behind them, whoever comes to them will know.
        if into > 1 || !packed.begins_whole(OPENED) {
            return self.take_out(from, place, message, if into > 1 { into } else { OPENED }, &|_| true);
        }
        let window = place.name.window();
        // As many as share a bucket; or fewer, where the disk has no room for so many.
        let mut most = OPENED - window.start % OPENED;
        // On a small btrfs it is for the renames that drain the queue: what comes out leaves it alone, or does not come out.
        let mut reserved = self.store != Store::SmallBtrfs;
        loop {
            match self.open_first(from, place, message, most.min(place.name.count()), &|_| 1) {
                // It is opened, and there was no room to bring to their places what came out: recovery does that.
                Err(error) if error.no_room() && self.there(self.disk.stat_at(from, &place.file_name))?.is_none() => {
                    return Err(error);
                }
                Err(error) if error.no_room() && most > 1 => most = most.div_ceil(8),
                Err(error) if error.no_room() && reserved => {
                    reserved = false;
                    self.give_reserve()?;
                }
                opened => return opened,
            }
        }
    }

    /// As many of the first messages of a pack as share a bucket into files of their own, if the disk has room for them.
    pub(super) fn open_some(&self, from: &Dir, place: &Place, message: &Message) -> Result<bool> {
        let most = OPENED - place.name.window().start % OPENED;
        self.open_first(from, place, message, most.min(place.name.count()), &|_| 1)
    }

    /// So many of the first messages of a pack into packs: of how many, `into` says for the first of each, and with one they become
    /// files of their own.
    pub(super) fn open_first(
        &self,
        from: &Dir,
        place: &Place,
        message: &Message,
        most: u32,
        into: &dyn Fn(u32) -> u32,
    ) -> Result<bool> {
        let Some(packed) = message.packed(&place.name) else { return Ok(true) };
        self.keep_room()?;
        let mut opening = self.opening()?;
        let past = history::copied(&message.history()?, None);
        let first = place.name.window().start;
        let mut run = Run { place, packed: packed.clone(), past: &past, first, part: Builder::default() };
        opening.whole = place.name.count() <= most;
        for (_, held) in packed.each().take(most as usize) {
            match held {
                Held::Whole(body) => {
                    run.part.write(body);
                    run.part.end();
                }
                Held::Bad(_) => opening.whole = false,
            }
            let size = into(run.first);
            if size > 1 && run.part.len() >= size {
                let next = run.first + run.part.len();
                run.put(&mut opening, size)?;
                run.first = next;
            }
        }
        // What is less than a pack of that size is one all the same.
        let last = if into(run.first) > 1 { run.part.len().max(2) } else { 1 };
        run.put(&mut opening, last)?;
        let left = (place.name.count() > most).then(|| {
            let (id, pack) = (place.name.id.after(most), Some(place.name.count() - most));
            place.called(&Name { id, pack, ..place.name.clone() })
        });
        opening.commit(from, &place.file_name, &place.name, left.as_deref())
    }

    /// Opens a pack, keeping only some of its messages: in packs of `most` as long as those next to each other are enough
    /// for one, else in files.
    fn take_out(
        &self,
        from: &Dir,
        place: &Place,
        message: &Message,
        most: u32,
        keep: &dyn Fn(u32) -> bool,
    ) -> Result<bool> {
        let Some(packed) = message.packed(&place.name) else { return Ok(true) };
        self.keep_room()?;
        let mut opening = self.opening()?;
        let past = history::copied(&message.history()?, None);
        let mut run = Run { place, packed: packed.clone(), past: &past, first: 0, part: Builder::default() };
        opening.whole = true;
        for (index, held) in packed.each() {
            opening.whole &= matches!(held, Held::Whole(_));
            match held {
                Held::Whole(body) if keep(index) => {
                    if run.part.is_empty() {
                        run.first = index;
                    }
                    run.part.write(body);
                    run.part.end();
                    if run.part.len() >= most {
                        run.put(&mut opening, most)?;
                    }
                }
                // What is damaged stays in the pack, which is set aside.
                Held::Whole(_) | Held::Bad(_) => run.put(&mut opening, most)?,
            }
        }
        run.put(&mut opening, most)?;
        opening.commit(from, &place.file_name, &place.name, None)
    }

    /// Removes these messages of one pack; `false` where it is not there any more, and they are elsewhere.
    ///
    /// One unlink where they are all of it, one rename where they are its first or its last; else the others come out of it,
    /// and one rename decides. Durable after
    /// [`Queue::flush_all`].
    pub fn remove_packed(&self, places: &[Place]) -> Result<bool> {
        let Some((first, index)) = places.first().and_then(|place| Some((place, place.in_pack?))) else {
            return Ok(false);
        };
        let (Some(pack), Some(dir)) = (pack_of(first, index), self.dir_of(first)?) else { return Ok(false) };
        let message = match self.hold_pack(&dir, &pack)? {
            HeldPack::Gone => return Ok(false),
            HeldPack::Busy(by) => return Err(Error::Held { id: first.id(), by }),
            HeldPack::Foreign => return Err(foreign(&dir, &pack)),
            HeldPack::Ours(message) => message,
        };
        let gone: BTreeSet<u32> = places.iter().filter_map(|place| place.in_pack).collect();
        if gone.len() as u64 == u64::from(pack.name.count()) {
            return match self.disk.unlink(&dir, &pack.file_name) {
                Err(error) if error.missing() => Ok(false),
                unlinked => Ok(unlinked.map(|()| true)?),
            };
        }
        // Those at one end of it: what is left is said by the name alone, which takes no room.
        let window = pack.name.window();
        let many = u32::try_from(gone.len()).unwrap_or(u32::MAX);
        let (first, last) = (gone.iter().next().copied(), gone.iter().next_back().copied());
        let together = first.zip(last).is_some_and(|(first, last)| last - first + 1 == many);
        let left = match (first == Some(window.start), last == Some(window.end - 1)) {
            (true, false) if together => Some(pack.name.id.after(many)),
            (false, true) if together => Some(pack.name.id),
            _ => None,
        };
        let Some(id) = left else {
            return self.take_out(&dir, &pack, &message, OPENED, &|index| !gone.contains(&index));
        };
        let name = Name { id, pack: Some(pack.name.count() - many), ..pack.name.clone() };
        match self.disk.rename(&dir, &pack.file_name, &dir, pack.called(&name)) {
            Err(error) if error.missing() => Ok(false),
            renamed => Ok(renamed.map(|()| true)?),
        }
    }
}

/// Messages of a pack, next to each other, that come out of it together.
pub(super) struct Run<'r> {
    pub place: &'r Place,
    pub packed: Packed<'r>,
    /// The pack's history, which each gets.
    pub past: &'r [u8],
    pub first: u32,
    pub part: Builder,
}

impl Run<'_> {
    /// Writes what was gathered: as files where files are wanted or there are few, else as a pack.
    pub fn put(&mut self, opening: &mut Opening<'_>, most: u32) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        let (place, header) = (self.place, self.packed.header);
        if part.is_empty() {
            return Ok(());
        }
        if most <= 1 || (part.len() < PACK_LEAST && part.len() < most) {
            let pattern = header.pattern()?;
            for (index, body) in (self.first..).zip(part.bodies()) {
                let own = name::Bucket(place.name.of_packed(self.first).id);
                // Between packs they come where the first of them stood: a bucket is claimed from in the order of its name.
                let bucket = if most <= 1 { bucket(&place.name, index) } else { own };
                let name = Name { bucket, ..place.name.of_packed(index) };
                opening.put(place.state, &place.called(&name), &[&pattern.line(index, body), body, self.past])?;
            }
            return Ok(());
        }
        let id = place.name.of_packed(self.first).id;
        let name = Name { id, bucket: name::Bucket(id), pack: Some(part.len()), ..place.name.clone() };
        let first = header.first + self.first;
        let start = part.start(&header.shared(), &header.uid, header.sent_at.clone(), first)?;
        opening.put(place.state, &place.called(&name), &[&start, part.rest(), self.past])
    }
}

impl Place {
    /// What a message or pack of this name is called in the state that this is in.
    pub(super) fn called(&self, name: &Name) -> String {
        self.due.map_or_else(|| name.text(), |due| name.delayed(due))
    }
}

/// What came of reaching for the lock on a pack.
pub(in crate::queue) enum HeldPack {
    Ours(Box<Message>),
    Busy(Option<u32>),
    Gone,
    /// It is no regular file with one name: left alone, and reported by fsck.
    Foreign,
}

pub(super) fn foreign(dir: &Dir, pack: &Place) -> Error {
    Error::Unknown { path: dir.path().join(&pack.file_name), why: "is not a regular file with one name".into() }
}

/// How long to wait for whoever opens a pack, or is about to claim it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look, a millisecond apart, whether one that is locked is gone.
const TAKING: u32 = 3;
/// How often to look, a millisecond apart, for what is on its way out of a pack.
pub(super) const LOOKS: u32 = 30;

impl Queue {
    /// Locks a pack where it stands, looks again, and reads it. One that is no whole pack is set aside.
    pub(in crate::queue) fn hold_pack(&self, dir: &Dir, place: &Place) -> Result<HeldPack> {
        self.reach_for_pack(dir, place, false)
    }

    /// The same, at once or not at all if that is wanted.
    pub(in crate::queue) fn reach_for_pack(&self, dir: &Dir, place: &Place, at_once: bool) -> Result<HeldPack> {
        let disk = &self.disk;
        let file_name = &place.file_name;
        let file = match disk.open(dir, file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(HeldPack::Gone),
            Err(error) if crate::queue::claim::foreign(&error) => return Ok(HeldPack::Foreign),
            opened => opened?,
        };
        let stat = disk.stat(&file)?;
        if stat.kind != Kind::File {
            return Ok(HeldPack::Foreign);
        }
        let locked = if at_once { Some(disk.try_lock(&file)?) } else { self.lock_pack(dir, place, &file)? };
        match locked {
            Some(true) => (),
            Some(false) if at_once => return Ok(HeldPack::Busy(None)),
            Some(false) => return Ok(HeldPack::Busy(disk.holder(&stat).map(|holder| holder.pid))),
            None => return Ok(HeldPack::Gone),
        }
        let stat = match disk.stat_at(dir, file_name) {
            Err(error) if error.missing() => return Ok(HeldPack::Gone),
            stat => stat?,
        };
        let held = disk.stat(&file)?;
        if held.identity != stat.identity {
            return Ok(HeldPack::Gone);
        }
        if held.links != 1 {
            return Ok(HeldPack::Foreign);
        }
        let (_lock, why) = match message::load(disk, file, held, Depth::Whole)? {
            Content::Message(message) if message.packed(&place.name).is_some() => {
                return Ok(HeldPack::Ours(message));
            }
            Content::Message(message) => {
                (message.into_file(), format!("it is no pack of {} messages", place.name.count()))
            }
            Content::Placeholder(lock) => (lock, "it was never finished".to_string()),
            Content::Bad(lock, why) => (lock, why),
            Content::Unknown(why) => return Err(Error::Unknown { path: dir.path().join(file_name), why }),
        };
        self.set_aside(dir, file_name, &why)?;
        Ok(HeldPack::Gone)
    }
}

impl Queue {
    /// Locks a pack: whoever has it will be done with it in a moment, and then it is somewhere else. `Some(false)` where he is
    /// not; `None` where it is gone.
    fn lock_pack(&self, dir: &Dir, place: &Place, file: &crate::fs::File) -> Result<Option<bool>> {
        let disk = &self.disk;
        if place.name.count() <= HANDFUL {
            // A worker that takes it in hand takes it away at once, and keeps the lock for longer.
            for _ in 0..TAKING {
                if disk.try_lock(file)? {
                    return Ok(Some(true));
                }
                match disk.stat_at(dir, &place.file_name) {
                    Err(error) if error.missing() => return Ok(None),
                    stat => stat?,
                };
                if place.name.count() == 1 {
                    // Its job has put it back, and still runs.
                    return Ok(Some(false));
                }
                a_moment();
            }
        }
        Ok(Some(disk.lock(file, PATIENCE)?))
    }
}

impl Opening<'_> {
    /// Writes one file of what comes out.
    pub fn put(&mut self, state: State, file_name: &str, parts: &[&[u8]]) -> Result<()> {
        let disk = &self.queue.disk;
        if !self.shelves.iter().any(|(shelf, _)| *shelf == state) {
            disk.make_dir(&self.dir, state.word(), self.queue.dir_birth())?;
            self.shelves.push((state, disk.open_dir(&self.dir, state.word())?));
        }
        let Some((_, shelf)) = self.shelves.iter().find(|(shelf, _)| *shelf == state) else { return Ok(()) };
        let file = disk.create(shelf, file_name, self.queue.file_birth())?;
        Ok(disk.write_all(&file, &parts.concat(), 0)?)
    }

    /// Flushes what was put, takes the pack in, and lets everything go to its place: the pack itself back under the name
    /// `left`, if there is one. `false` where the pack is gone.
    pub fn commit(mut self, from: &Dir, file_name: &str, name: &Name, left: Option<&str>) -> Result<bool> {
        let queue = self.queue;
        let taken_in = left.map_or_else(|| format!("{SPENT}{name}"), |left| format!("{LEFT}{left}"));
        if queue.settings.sync() != Sync::None {
            queue.disk.sync_all(&self.dir)?;
        }
        match queue.disk.rename(from, file_name, &self.dir, &taken_in) {
            Err(error) if error.missing() => {
                queue.still_here()?;
                return Ok(false);
            }
            renamed => renamed?,
        }
        self.committed = true;
        self.shelves.clear();
        if let Some(opened) = Opened::parse(&taken_in) {
            queue.roll_opened(&self.tmp, &self.name, &self.dir, &opened, self.whole)?;
        }
        Ok(true)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.shelves.clear();
            let _ = self.queue.delete_batch(&self.tmp, &self.name, &self.dir);
        }
    }
}
