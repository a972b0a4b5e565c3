//! What came out of a pack goes home, out of the directory of its opener: by the opener, or by recovery. The pack itself goes last.

use super::Packed;
use super::open::SHELVES;
use crate::fs::{Access, Dir, Kind};
use crate::queue::error::{Error, Result};
use crate::queue::message::{self, Content, Depth};
use crate::queue::name::{self, LEFT, Name, SPENT, State, home};
use crate::queue::settings::Sync;
use crate::queue::{Place, Queue};
use std::ops::ControlFlow;

impl Queue {
    /// Moves what came out of a pack to its place, and then removes the pack; unless it is known to be `whole`, it is looked at
    /// once more for what is damaged in it. The caller holds the directory's lock.
    pub(in crate::queue) fn roll_opened(
        &self,
        tmp: &Dir,
        name: &str,
        dir: &Dir,
        opened: &Opened,
        whole: bool,
    ) -> Result<()> {
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
            Sync::Send => dead || !self.store.syncs_names(),
        };
        if flush {
            disk.sync_all(dir)?;
        }
        match opened {
            Opened::Spent(pack) if whole => self.unlink_gone(dir, &format!("{SPENT}{pack}"))?,
            Opened::Spent(pack) => self.end_pack(dir, pack)?,
            Opened::Left(pack) => {
                self.move_into(dir, &format!("{LEFT}{}", pack.file_name), &pack.home(), &pack.file_name)?;
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
    pub(super) fn parse(file_name: &str) -> Option<Opened> {
        if let Some(spent) = file_name.strip_prefix(SPENT) {
            return Name::parse(spent).map(Opened::Spent);
        }
        let left = file_name.strip_prefix(LEFT)?;
        let delayed = || Place::parse(State::Delayed, left);
        Place::parse_pack(left).or_else(delayed).or_else(|| Place::parse(State::Claimed, left)).map(Opened::Left)
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
