//! Where a message is that stood in a pack: opened, it has a file of its own, or is in a smaller pack, or on its way there.

use super::home::opened;
use super::open::{HeldPack, LOOKS, foreign};
use super::{OPENED, bucket};
use crate::fs::{Dir, Kind};
use crate::queue::busy::a_moment;
use crate::queue::error::{Error, Result};
use crate::queue::name::{self, Name, State};
use crate::queue::recover::Recovered;
use crate::queue::{Place, Queue};
use std::path::Path;

impl Queue {
    /// Opens packs until the message that stood in one has a file of its own, and says where. `None` where it is gone.
    ///
    /// # Errors
    /// [`Error::Held`] for one that is claimed with its pack.
    pub(in crate::queue) fn unpacked(&self, sought: &Place) -> Result<Option<Place>> {
        let mut place = sought.clone();
        let mut looks = 0;
        loop {
            let Some(index) = place.in_pack else { return Ok(Some(place)) };
            if place.state == State::Claimed {
                return Err(Error::Held { id: place.id(), by: self.holder(&place)? });
            }
            // A file of its own, or in what is left of its pack, which is a pack with others in it.
            if let Some(out) = self.out_of(&place, index)? {
                place = out;
                continue;
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
                    a_moment();
                }
                let mut failed = None;
                self.recover_sends(usize::MAX, &mut Recovered::default(), &mut failed)?;
                failed.map_or(Ok(()), Err)?;
                if !self.is_home(&place)? {
                    // Its opener still has it, or somebody else by now.
                    place = sought.clone();
                }
            }
        }
    }

    /// Whether something stands in `tmp/` that came out of a pack.
    pub(in crate::queue) fn any_opened(&self) -> Result<bool> {
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

/// The pack in which a message stands.
pub(super) fn pack_of(place: &Place, index: u32) -> Option<Place> {
    match place.state {
        State::Ready => Place::parse_pack(&place.file_name),
        state => Place::parse(state, &place.file_name)
            .filter(|pack| pack.name.pack.is_some() && pack.name.window().contains(&index)),
    }
}
