//! Opening a pack: its messages become files of their own, or smaller packs.
//!
//! What comes out of it is written into a directory of `tmp/`, locked, and flushed. Then one rename takes the pack into that
//! directory: from that moment on it counts as opened, and what stands beside it is moved to where it belongs, by the opener
//! or by whoever finds the directory without one. Before that rename the pack is whole where it was, and the directory is
//! litter. The pack itself goes last: away, or back under a name that says what is left in it, unwritten.

use super::{Builder, Held, OPENED, PACK_LEAST, Packed, bucket};
use crate::fs::{Access, Dir, Kind, Store};
use crate::queue::error::{Error, Result};
use crate::queue::history;
use crate::queue::message::{self, Content, Depth, Message};
use crate::queue::name::{self, LEFT, Name, SPENT, State, home};
use crate::queue::recover::Recovered;
use crate::queue::settings::Sync;
use crate::queue::{Place, Queue};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// The states that a pack's messages may come to, in the order in which they are moved: those last that anybody may take.
const SHELVES: [State; 4] = [State::Done, State::Dead, State::Delayed, State::Ready];

/// A pack that is being opened. Dropping it leaves the pack as it was, unless it was committed.
#[derive(Debug)]
pub(in crate::queue) struct Opening<'q> {
    queue: &'q Queue,
    tmp: Dir,
    name: String,
    dir: Dir,
    /// A directory of `dir` for each state that something is put into.
    shelves: Vec<(State, Dir)>,
    committed: bool,
}

impl Queue {
    pub(in crate::queue) fn opening(&self) -> Result<Opening<'_>> {
        let tmp = self.tmp_dir()?;
        let (name, dir) = self.locked_dir(&tmp)?;
        Ok(Opening { queue: self, tmp, name, dir, shelves: Vec::new(), committed: false })
    }

    /// Opens the pack that stands there, whose lock the caller has, after another look: all of it into packs of `into`; or
    /// where that is one its first messages into files. `false` where somebody has moved it.
    ///
    /// Killed anywhere: it is whole where it was, or recovery finishes. Nothing of it is lost in a power cut.
    pub(in crate::queue) fn open_pack(&self, from: &Dir, place: &Place, message: &Message, into: u32) -> Result<bool> {
        let Some(packed) = message.packed(&place.name) else { return Ok(true) };
        if into > 1 || !packed.bad().is_empty() {
            return self.take_out(from, place, message, if into > 1 { into } else { OPENED }, &|_| true);
        }
        let window = place.name.window();
        // As many as share a bucket; or fewer, where the disk has no room for so many.
        let mut most = OPENED - window.start % OPENED;
        let mut reserved = true;
        loop {
            match self.open_first(from, place, message, most.min(place.name.count())) {
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

    /// So many of the first messages of a pack into files of their own.
    fn open_first(&self, from: &Dir, place: &Place, message: &Message, most: u32) -> Result<bool> {
        let Some(packed) = message.packed(&place.name) else { return Ok(true) };
        let mut opening = self.opening()?;
        let past = history::copied(&message.history()?, None);
        let mut run = Run {
            place,
            packed: packed.clone(),
            past: &past,
            first: place.name.window().start,
            part: Builder::default(),
        };
        for (_, held) in packed.each().take(most as usize) {
            if let Held::Whole(body) = held {
                run.part.write(body);
                run.part.end();
            }
        }
        run.put(&mut opening, 1)?;
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
        let mut opening = self.opening()?;
        let past = history::copied(&message.history()?, None);
        let mut run = Run { place, packed: packed.clone(), past: &past, first: 0, part: Builder::default() };
        for (index, held) in packed.each() {
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

    /// Opens packs until the message that stood in one has a file of its own, and says where. `None` where it is gone.
    ///
    /// # Errors
    /// [`Error::Held`] for one that is claimed with its pack.
    pub(in crate::queue) fn unpacked(&self, place: &Place) -> Result<Option<Place>> {
        let mut place = place.clone();
        let mut looks = 0;
        loop {
            let Some(index) = place.in_pack else { return Ok(Some(place)) };
            if place.state == State::Claimed {
                return Err(Error::Held { id: place.id(), by: self.holder(&place)? });
            }
            if let Some(file) = self.out_of(&place, index)? {
                return Ok(Some(file));
            }
            if let Some(dir) = self.dir_of(&place)? {
                self.open_at(&dir, &place, index)?;
            }
            place = match self.out_of(&place, index)? {
                Some(file) => file,
                None => match self.find(&[place.id()].into())?.pop() {
                    // Out of the pack and claimed by itself, it is its holder's.
                    Some(found) if found.state == State::Claimed => {
                        return Err(Error::Held { id: found.id(), by: self.holder(&found)? });
                    }
                    Some(found) if found.state == place.state => found,
                    _ => return Ok(None),
                },
            };
            if !self.is_home(&place)? {
                // On its way out of a pack: its opener brings it home, or recovery, where that one is gone.
                if looks == LOOKS {
                    return Err(Error::Held { id: place.id(), by: None });
                }
                if !self.any_opened()?
                    && self.find(&[place.id()].into())?.pop().is_some_and(|found| found == place)
                    && !self.is_home(&place)?
                {
                    // Nobody brings this one home: waiting for it, a thousand times for one pack, would take minutes.
                    let path = self.path().join(place.state.word());
                    return Err(Error::Unknown {
                        path,
                        why: format!("{} is in a bucket that is not its own", place.id()),
                    });
                }
                looks += 1;
                if looks > 1 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let mut failed = None;
                self.recover_sends(usize::MAX, &mut Recovered::default(), &mut failed)?;
                failed.map_or(Ok(()), Err)?;
            }
        }
    }

    /// Whether something stands in `tmp/` that came out of a pack.
    fn any_opened(&self) -> Result<bool> {
        let Some(tmp) = self.maybe_dir(Path::new(name::TMP))? else { return Ok(false) };
        for (name, kind) in self.disk.names(&tmp)? {
            if kind != Kind::Dir || !name.to_str().is_some_and(name::is_base32) {
                continue;
            }
            let dir = match self.disk.open_dir(&tmp, Path::new(&name)) {
                Err(error) if error.missing() => continue,
                dir => dir?,
            };
            if opened(self, &dir)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_home(&self, place: &Place) -> Result<bool> {
        let Some(dir) = self.dir_of(place)? else { return Ok(false) };
        Ok(self.there(self.disk.stat_at(&dir, &place.file_name))?.is_some())
    }

    /// Where a message stands once its pack was opened, if nobody has moved it since: as a file, or in a smaller pack. So
    /// that of many in one pack each is found without a search.
    fn out_of(&self, place: &Place, index: u32) -> Result<Option<Place>> {
        let Some(pack) = pack_of(place, index) else { return Ok(None) };
        let name = Name { bucket: bucket(&pack.name, index), ..pack.name.of_packed(index) };
        let file = Place { file_name: pack.called(&name), name, in_pack: None, ..pack.clone() };
        // What was left of the pack began with a bucket.
        let window = pack.name.window();
        let starts = (window.start / OPENED + 1..=index / OPENED).map(|bucket| bucket * OPENED);
        let parts = starts.map(|start| {
            let (id, count) = (pack.name.bucket.0.after(start), window.end - start);
            let name = Name { id, pack: Some(count), ..pack.name.clone() };
            Place { file_name: pack.called(&name), name, ..pack.clone() }.one_of_pack(index)
        });
        for place in std::iter::once(file).chain(parts) {
            let Some(dir) = self.dir_of(&place)? else { continue };
            match self.disk.stat_at(&dir, &place.file_name) {
                Err(error) if error.missing() => (),
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(Some(place)),
            }
        }
        Ok(None)
    }

    /// Opens the pack of a message. Somebody else's doing is as good as ours.
    fn open_at(&self, dir: &Dir, place: &Place, index: u32) -> Result<()> {
        let Some(pack) = pack_of(place, index) else { return Ok(()) };
        match self.hold_pack(dir, &pack)? {
            HeldPack::Gone => Ok(()),
            HeldPack::Busy(by) => Err(Error::Held { id: place.id(), by }),
            HeldPack::Foreign => Err(foreign(dir, &pack)),
            HeldPack::Ours(message) => self.open_pack(dir, &pack, &message, 1).map(drop),
        }
    }
}

/// Messages of a pack, next to each other, that come out of it together.
struct Run<'r> {
    place: &'r Place,
    packed: Packed<'r>,
    /// The pack's history, which each gets.
    past: &'r [u8],
    first: u32,
    part: Builder,
}

impl Run<'_> {
    /// Writes what was gathered: as files where files are wanted or there are few, else as a pack.
    fn put(&mut self, opening: &mut Opening<'_>, most: u32) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        let (place, header) = (self.place, self.packed.header);
        if part.is_empty() {
            return Ok(());
        }
        if most <= 1 || (part.len() < PACK_LEAST && part.len() < most) {
            for (index, body) in (self.first..).zip(part.bodies()) {
                let own = name::Bucket(place.name.of_packed(self.first).id);
                // Between packs they come where the first of them stood: a bucket is claimed from in the order of its name.
                let bucket = if most <= 1 { bucket(&place.name, index) } else { own };
                let name = Name { bucket, ..place.name.of_packed(index) };
                opening.put(
                    place.state,
                    &place.called(&name),
                    &[&header.line_of_packed(index, body)?, body, self.past],
                )?;
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
    fn called(&self, name: &Name) -> String {
        self.due.map_or_else(|| name.to_string(), |due| name.delayed(due))
    }
}

/// The pack in which a message stands.
fn pack_of(place: &Place, index: u32) -> Option<Place> {
    match place.state {
        State::Ready => Place::parse_pack(&place.file_name),
        state => Place::parse(state, &place.file_name)
            .filter(|pack| pack.name.pack.is_some() && pack.name.window().contains(&index)),
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

fn foreign(dir: &Dir, pack: &Place) -> Error {
    Error::Unknown { path: dir.path().join(&pack.file_name), why: "is not a regular file with one name".into() }
}

/// How long to wait for whoever opens a pack, or is about to claim it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look, a millisecond apart, for what is on its way out of a pack.
const LOOKS: u32 = 30;

impl Queue {
    /// Locks a pack where it stands, looks again, and reads it. One that is no whole pack is set aside.
    pub(in crate::queue) fn hold_pack(&self, dir: &Dir, place: &Place) -> Result<HeldPack> {
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
        // Whoever has it will be done with it in a moment, and then it is somewhere else.
        if !disk.lock(&file, PATIENCE)? {
            return Ok(HeldPack::Busy(disk.holder(&stat).map(|holder| holder.pid)));
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
            queue.roll_opened(&self.tmp, &self.name, &self.dir, &opened)?;
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

impl Queue {
    /// Moves what came out of a pack to its place, and then removes the pack. The caller holds the directory's lock.
    pub(in crate::queue) fn roll_opened(&self, tmp: &Dir, name: &str, dir: &Dir, opened: &Opened) -> Result<()> {
        let disk = &self.disk;
        let mut dead = false;
        for state in SHELVES {
            let shelf = match disk.open_dir(dir, state.word()) {
                Err(error) if error.missing() => continue,
                opened => opened?,
            };
            dead |= state == State::Dead;
            if !self.roll_whole(dir, state, &shelf)? {
                self.roll_each(state, &shelf)?;
                disk.remove_dir(dir, state.word())?;
            }
        }
        let flush = match self.settings.sync() {
            Sync::None => false,
            Sync::All => true,
            // Dead letters are promised to be durable; and where a rename may come undone after a later unlink, all is.
            Sync::Send => dead || self.store != Store::Trusted,
        };
        if flush {
            disk.sync_all(dir)?;
        }
        match opened {
            Opened::Spent(pack) => self.end_pack(dir, pack)?,
            Opened::Left(pack) => {
                let home = home(pack.state, &pack.name, pack.due);
                self.move_into(dir, &format!("{LEFT}{}", pack.file_name), &home, &pack.file_name)?;
            }
        }
        Ok(disk.remove_dir(tmp, name)?)
    }

    /// The whole bucket by one rename, where all of it goes into one that is not there.
    fn roll_whole(&self, dir: &Dir, state: State, shelf: &Dir) -> Result<bool> {
        let mut bucket: Option<Name> = None;
        let mut one = state == State::Ready;
        disk_names(self, shelf, &mut |file_name| {
            let name = Name::parse(file_name).filter(|name| name.pack.is_none());
            one &= match (&name, &bucket) {
                (Some(name), Some(first)) => name.bucket == first.bucket && name.priority == first.priority,
                (Some(_), None) => true,
                (None, _) => false,
            };
            bucket = bucket.take().or(name);
        })?;
        let Some(first) = bucket.filter(|_| one) else { return Ok(false) };
        let home = home(State::Ready, &first, None);
        let parent = self.ensure_dir(&name::ready_priority(first.priority))?;
        let bucket = home.file_name().unwrap_or_default();
        match self.disk.rename(dir, state.word(), &parent, bucket) {
            Err(error) if error.exists() || error.missing() => Ok(false),
            renamed => renamed.map(|()| true).map_err(Error::from),
        }
    }

    fn roll_each(&self, state: State, shelf: &Dir) -> Result<()> {
        for (file_name, _) in self.disk.names(shelf)? {
            let Some(file_name) = file_name.to_str() else { continue };
            let (due, name) = match state {
                State::Delayed => match Name::parse_delayed(file_name) {
                    Some((due, name)) => (Some(due), name),
                    None => continue,
                },
                _ => match Name::parse(file_name) {
                    Some(name) => (None, name),
                    None => continue,
                },
            };
            match self.move_into(shelf, file_name, &home(state, &name, due), file_name) {
                // It is there already, out of a backup: this one is the same message.
                Err(Error::Disk(error)) if error.exists() => self.disk.unlink(shelf, file_name)?,
                moved => moved?,
            }
        }
        Ok(())
    }

    /// The opened pack goes; or, where some of it was damaged, it is set aside, with word of which.
    fn end_pack(&self, dir: &Dir, name: &Name) -> Result<()> {
        let disk = &self.disk;
        let file_name = format!("{SPENT}{name}");
        let file = match disk.open(dir, &file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(()),
            opened => opened?,
        };
        let stat = disk.stat(&file)?;
        let why = match message::load(disk, file, stat, Depth::Whole)? {
            Content::Message(message) => match message.packed(name) {
                Some(packed) => damaged(&packed),
                None => Some("it is not the pack that its name says".to_string()),
            },
            Content::Bad(_, why) | Content::Unknown(why) => Some(why),
            Content::Placeholder(_) => Some("its header is gone".to_string()),
        };
        match why {
            Some(why) => self.set_pack_aside(dir, &file_name, &why),
            None => Ok(disk.unlink(dir, &file_name)?),
        }
    }
}

fn disk_names(queue: &Queue, dir: &Dir, each: &mut dyn FnMut(&str)) -> Result<()> {
    queue.disk.list(dir, |name, _| {
        each(name.to_str().unwrap_or_default());
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Which messages of a pack are damaged, in words.
fn damaged(packed: &Packed<'_>) -> Option<String> {
    let bad = packed.bad();
    if bad.is_empty() {
        return None;
    }
    let uids: Vec<String> =
        bad.iter().take(10).map(|&index| packed.header.uid_of_packed(index).as_str().to_string()).collect();
    let more = if bad.len() > uids.len() { format!(" and {} more", bad.len() - uids.len()) } else { String::new() };
    Some(format!(
        "{} of the {} messages of this pack fail their check, the others were taken out: uid {}{more}",
        bad.len(),
        packed.each().count(),
        uids.join(", ")
    ))
}

/// What the name of a pack says in the directory of its opener.
pub(in crate::queue) enum Opened {
    /// Nothing is left in it.
    Spent(Name),
    /// This is.
    Left(Place),
}

impl Opened {
    fn parse(file_name: &str) -> Option<Opened> {
        if let Some(spent) = file_name.strip_prefix(SPENT) {
            return Name::parse(spent).map(Opened::Spent);
        }
        let left = file_name.strip_prefix(LEFT)?;
        Place::parse_pack(left).or_else(|| Place::parse(State::Delayed, left)).map(Opened::Left)
    }
}

/// The pack in an opener's directory; where there is one, what came out of it counts.
pub(in crate::queue) fn opened(queue: &Queue, dir: &Dir) -> Result<Option<Opened>> {
    let mut opened = None;
    queue.disk.list(dir, |name, kind| {
        opened = name.to_str().filter(|_| kind == Kind::File).and_then(Opened::parse);
        if opened.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(opened)
}
