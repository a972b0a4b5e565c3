//! The records of unique keys: in doubt after a kill, torn after a power cut, or of a message that is gone. Each of them
//! settles itself when its key is needed; here all are gone through.

use super::super::name::{DOUBT, UNIQUE};
use super::super::unique::record_name;
use super::super::{Error, Result, Until};
use super::{Check, Mended, Trouble, twins};
use crate::fs::{Access, Dir, Kind};
use std::path::Path;

impl Check<'_, '_> {
    pub(super) fn keys(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(top) = queue.maybe_dir(Path::new(UNIQUE))? else { return Ok(()) };
        let mut waiting: Vec<[u8; 16]> = self.seen.iter().filter(|seen| seen.waits).map(|seen| seen.uid).collect();
        waiting.sort_unstable();
        for (name, kind) in queue.disk.names(&top)? {
            let hex = |text: &&str| text.len() == 2 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let Some(shard) = name.to_str().filter(hex).filter(|_| kind == Kind::Dir) else {
                self.found(Trouble::Foreign, top.path().join(&name), "not a name of mq's", Mended::Left);
                continue;
            };
            let below = Path::new(UNIQUE).join(shard);
            let Some(dir) = queue.maybe_dir(&below)? else { continue };
            for (name, kind) in queue.disk.names(&dir)? {
                let Some(text) = name.to_str().filter(|text| kind == Kind::File && record_name(text).is_some()) else {
                    self.found(Trouble::Foreign, dir.path().join(&name), "not a name of mq's", Mended::Left);
                    continue;
                };
                let wrong = match self.wrong_record(&dir, text, &waiting) {
                    Ok(None) if self.mending() => queue.sweep_record(&below, text).map(|()| None),
                    wrong => wrong,
                };
                match wrong {
                    // Somebody holds it, and will do with it what is right.
                    Ok(None) | Err(Error::Busy { .. }) => (),
                    Ok(Some((trouble, why))) => {
                        let mut detail = why.to_string();
                        let plain = record_name(text).unwrap_or(text);
                        let mended = self.mended(&mut detail, "set right", || queue.resolve_record(&below, plain));
                        self.found(trouble, dir.path().join(text), detail, mended);
                    }
                    Err(error) => {
                        self.found(Trouble::Unreadable, dir.path().join(text), error.to_string(), Mended::Left);
                    }
                }
            }
        }
        Ok(())
    }

    /// What is wrong with a record that nobody holds.
    fn wrong_record(&self, dir: &Dir, name: &str, waiting: &[[u8; 16]]) -> Result<Option<(Trouble, &'static str)>> {
        let queue = self.queue;
        let file = match queue.disk.open(dir, name, Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        if !queue.disk.try_lock(&file)? || !super::super::send::same(&queue.disk, dir, name, &file)? {
            return Ok(None);
        }
        if name.ends_with(DOUBT) {
            return Ok(Some((Trouble::Orphaned, "a unique key whose taking or freeing was never finished")));
        }
        let Some(record) = queue.read_record(&file)? else {
            return Ok(Some((Trouble::Damaged, "the record of a unique key that says nothing")));
        };
        let stands = matches!(record.until(), Until::For(_))
            || waiting.binary_search(&twins::bits(&record.uid)).is_ok()
            // Sent since the messages were gone through.
            || queue.place_of(&record)?.is_some();
        Ok((!stands).then_some((Trouble::Litter, "the unique key of a message that is not there any more")))
    }
}
