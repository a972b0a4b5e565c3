//! Room for what is sent: the oldest of the least urgent messages go.

use crate::fs::{Access, Dir, Kind};
use crate::queue::claim::foreign;
use crate::queue::error::{Error, Result};
use crate::queue::name::{Grouped, Name, Priority, State, ready_priority};
use crate::queue::send::same;
use crate::queue::seq::{Held, Seq};
use crate::queue::{Place, Queue};

impl Queue {
    /// Drops ready messages, the oldest of the lowest priority first, as long as `wanting` of what is then held. One that
    /// somebody is about to claim is passed over, and so is a group's ticket, which stands for more than itself.
    ///
    /// Killed on the way: what was dropped is gone, and counted but for the last one.
    pub(super) fn drop_oldest(&self, seq: &mut Seq<'_>, wanting: &dyn Fn(Held) -> bool) -> Result<()> {
        let priorities: Vec<Priority> = Priority::all().collect();
        for &priority in priorities.iter().rev() {
            let Some(top) = self.maybe_dir(&ready_priority(priority))? else { continue };
            let mut entries = self.bucket_entries(&top)?.into_iter();
            while let Some((bucket, kind)) = entries.next() {
                if !seq.held().is_some_and(wanting) {
                    return Ok(());
                }
                if kind == Kind::File {
                    // What is to be dropped of a pack has to come out of it, to where it stood. A limited queue gets no new ones.
                    if let Some(pack) = Place::parse_pack(&bucket) {
                        match self.unpacked(&pack.one_of_pack(pack.name.window().start)) {
                            Err(Error::Held { .. } | Error::Unknown { .. }) => (),
                            opened => {
                                opened?;
                                entries = self.bucket_entries(&top)?.into_iter();
                            }
                        }
                    }
                    continue;
                }
                let Some(dir) = self.there(self.disk.open_dir(&top, &bucket))? else { continue };
                for (file_name, kind) in self.disk.names(&dir)? {
                    if !seq.held().is_some_and(wanting) {
                        return Ok(());
                    }
                    let Some(file_name) = file_name.to_str().filter(|_| kind == Kind::File) else { continue };
                    let ticket = |name: &Name| matches!(name.group, Some(Grouped::Ticket(_)));
                    if Name::parse(file_name).is_some_and(|name| !ticket(&name)) {
                        self.drop_one(seq, &dir, file_name)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_one(&self, seq: &mut Seq<'_>, dir: &Dir, file_name: &str) -> Result<()> {
        let file = match self.disk.open(dir, file_name, Access::Read) {
            Err(error) if error.missing() || foreign(&error) => return Ok(()),
            opened => opened?,
        };
        if !self.disk.try_lock(&file)? || !same(&self.disk, dir, file_name, &file)? {
            return Ok(());
        }
        let stat = self.disk.stat(&file)?;
        if stat.kind != Kind::File || stat.links != 1 {
            return Ok(());
        }
        let Some(place) = Place::parse(State::Ready, file_name) else { return Ok(()) };
        let freeing = self.unique_release_at(&place)?;
        if self.there(self.disk.unlink(dir, file_name))?.is_some() {
            self.unique_release_end(freeing);
            seq.release(1, stat.size);
            seq.tally(|totals| totals.dropped += 1)?;
        }
        Ok(())
    }
}
