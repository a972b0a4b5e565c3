//! Going through a whole queue: every name and every byte, held against what `man/mq.5` allows. Looking changes nothing;
//! mending takes only the transitions that any process may take, and deletes nothing that was ever sent.

mod claimed;
mod keys;
mod twins;
mod walk;

use super::Queue;
use super::create::CONTROL;
use super::error::Result;
use super::name::{self, DAMAGED, Id, State, WHY, is_base32};
use super::recover::Recovered;
use super::seq;
use crate::fs::{Access, Dir, Kind};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Not mq's: a name, a kind of file, or a second link to a message.
    Foreign,
    /// A message that fails its check.
    Damaged,
    /// One message under two names, or one id for two messages.
    Twin,
    /// Left by a process that is gone: a claim, or a send.
    Orphaned,
    /// In a directory that is not the one its name says.
    Misplaced,
    /// It can't be read, or is of a format this mq does not know.
    Unreadable,
    /// What nobody will ever use again.
    Litter,
    /// `seq` is behind, or does not check.
    Seq,
}

impl Trouble {
    pub const ALL: [Trouble; 8] = [
        Trouble::Foreign,
        Trouble::Damaged,
        Trouble::Twin,
        Trouble::Orphaned,
        Trouble::Misplaced,
        Trouble::Unreadable,
        Trouble::Litter,
        Trouble::Seq,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Trouble::Foreign => "foreign",
            Trouble::Damaged => "damaged",
            Trouble::Twin => "twin",
            Trouble::Orphaned => "orphaned",
            Trouble::Misplaced => "misplaced",
            Trouble::Unreadable => "unreadable",
            Trouble::Litter => "litter",
            Trouble::Seq => "seq",
        }
    }
}

/// What was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// Nothing: nobody asked, or it is for a person.
    Left,
    /// This.
    Done(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub trouble: Trouble,
    pub path: PathBuf,
    /// In a few words.
    pub detail: String,
    pub mended: Mended,
}

/// Whether to mend what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    Report,
    Mend,
}

/// One run over a queue.
struct Check<'q, 'e> {
    queue: &'q Queue,
    repair: Repair,
    each: &'e mut dyn FnMut(Finding),
    seen: Vec<twins::Seen>,
    packs: Vec<twins::SeenPack>,
    linked: Vec<walk::Linked>,
}

impl Queue {
    /// Goes through everything, calls `each` with every trouble, and mends what can be mended if asked to.
    ///
    /// Killed anywhere: as after any other command. Repairs are durable when it returns.
    ///
    /// # Errors
    /// Where a directory of the queue itself can't be read; trouble with single entries is a finding.
    pub fn fsck(&self, repair: Repair, each: &mut dyn FnMut(Finding)) -> Result<()> {
        let mut check = Check { queue: self, repair, each, seen: Vec::new(), packs: Vec::new(), linked: Vec::new() };
        check.root()?;
        check.tmp()?;
        check.claimed()?;
        if check.mending() {
            // What may go at any moment is no finding.
            self.expire_done()?;
        }
        check.cancel()?;
        check.messages()?;
        check.damaged()?;
        check.keys()?;
        check.links();
        check.twins()?;
        check.seq()?;
        self.still_here()?;
        if repair == Repair::Mend { self.flush_all() } else { Ok(()) }
    }
}

impl Check<'_, '_> {
    fn found(&mut self, trouble: Trouble, path: PathBuf, detail: impl Into<String>, mended: Mended) {
        (self.each)(Finding { trouble, path, detail: detail.into(), mended });
    }

    fn mending(&self) -> bool {
        self.repair == Repair::Mend
    }

    /// The outcome of a repair: one that fails leaves the finding, with the reason.
    fn mended(&self, detail: &mut String, done: &str, repair: impl FnOnce() -> Result<()>) -> Mended {
        if !self.mending() {
            return Mended::Left;
        }
        match repair() {
            Ok(()) => Mended::Done(done.to_string()),
            Err(error) => {
                detail.push_str(&format!("; not mended: {error}"));
                Mended::Left
            }
        }
    }

    /// The queue's own directory: control files, and what does not belong there.
    fn root(&mut self) -> Result<()> {
        let queue = self.queue;
        for (name, kind) in queue.disk.names(&queue.dir)? {
            let path = queue.path().join(&name);
            let Some(text) = name.to_str() else {
                self.found(Trouble::Foreign, path, "its name is not text", Mended::Left);
                continue;
            };
            let wanted = match text {
                name::QUEUE_JSON | name::SEQ | name::WAKE | name::PAUSED | name::PACE => Some(Kind::File),
                name::GROUPS | name::CANCEL | name::UNIQUE | name::MEMORY | name::RESERVE => Some(Kind::Dir),
                text if name::DIRS.contains(&text) => Some(Kind::Dir),
                _ => None,
            };
            if text.starts_with(CONTROL) && kind == Kind::File {
                self.control(&queue.dir, &path, &name)?;
            } else if wanted.is_none() {
                self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left);
            } else if wanted != Some(kind) {
                self.found(Trouble::Foreign, path, "not the kind of file that mq made", Mended::Left);
            } else if kind == Kind::File && queue.disk.stat_at(&queue.dir, &name).is_ok_and(|stat| stat.links > 1) {
                self.found(Trouble::Foreign, path, "it has a second name", Mended::Left);
            }
        }
        Ok(())
    }

    /// A control file under its temporary name: litter, once its writer is gone.
    fn control(&mut self, dir: &Dir, path: &Path, name: &OsStr) -> Result<()> {
        let queue = self.queue;
        let Ok(file) = queue.disk.open(dir, name, Access::Read) else { return Ok(()) };
        if !queue.disk.try_lock(&file)? {
            return Ok(());
        }
        let mut detail = "a control file that was never finished".to_string();
        let mended = self.mended(&mut detail, "removed", || Ok(queue.disk.unlink(dir, name)?));
        self.found(Trouble::Litter, path.to_path_buf(), detail, mended);
        Ok(())
    }

    /// Requests to cancel: those whose messages nobody holds are done, and go.
    fn cancel(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(dir) = queue.maybe_dir(Path::new(name::CANCEL))? else { return Ok(()) };
        let mut held = BTreeSet::new();
        queue.each_place(State::Claimed, |place, _| {
            held.insert(place.id());
            Ok(ControlFlow::Continue(()))
        })?;
        for (name, kind) in queue.disk.names(&dir)? {
            let path = dir.path().join(&name);
            match name.to_str().filter(|_| kind == Kind::File) {
                Some(text) if text.starts_with(CONTROL) => self.control(&dir, &path, &name)?,
                Some(text) if Id::parse(text).is_some_and(|id| held.contains(&id)) => (),
                Some(text) if Id::parse(text).is_some() => {
                    let mut detail = "a request to cancel what nobody holds any more".to_string();
                    let mut recovered = Recovered::default();
                    let mended = self.mended(&mut detail, "done", || queue.recover_cancellations(&mut recovered));
                    self.found(Trouble::Orphaned, path, detail, mended);
                }
                _ => self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left),
            }
        }
        if self.mending() {
            // Empty ones only: rmdir(2) refuses any other.
            let _ = queue.disk.remove_dir(&queue.dir, name::CANCEL);
        }
        Ok(())
    }

    fn tmp(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(tmp) = queue.maybe_dir(Path::new(name::TMP))? else { return Ok(()) };
        for (name, kind) in queue.disk.names(&tmp)? {
            let path = tmp.path().join(&name);
            let ours = name.to_str().filter(|text| is_base32(text) && matches!(kind, Kind::File | Kind::Dir));
            let Some(text) = ours else {
                self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left);
                continue;
            };
            if !self.free(&tmp, text, kind) {
                continue;
            }
            let mut detail = "a send whose process is gone".to_string();
            let mut recovered = Recovered::default();
            let mut mended = self.mended(&mut detail, "", || match kind {
                Kind::Dir => queue.recover_batch(&tmp, text, &mut recovered),
                _ => queue.recover_draft(&tmp, text, &mut recovered),
            });
            if let Mended::Done(done) = &mut mended {
                *done = match recovered {
                    Recovered { published: 0, deleted: 0, ended: 0, .. } => continue,
                    Recovered { published: 0, deleted: 0, .. } => "set aside in damaged/".into(),
                    Recovered { published: 0, .. } => "removed: it was never finished".into(),
                    Recovered { published: 1, .. } => "published: it was whole".into(),
                    Recovered { published, .. } => format!("published: {published} messages"),
                };
            }
            self.found(Trouble::Orphaned, path, detail, mended);
        }
        Ok(())
    }

    /// Whether nobody holds the lock on an entry, which may be gone meanwhile. One that can't be read is a finding.
    fn free(&mut self, dir: &Dir, name: &str, kind: Kind) -> bool {
        let disk = &self.queue.disk;
        let locked = match kind {
            Kind::Dir => disk.open_dir(dir, name).and_then(|dir| disk.try_lock_dir(&dir)),
            _ => disk.open(dir, name, Access::Read).and_then(|file| disk.try_lock(&file)),
        };
        match locked {
            Ok(free) => return free,
            Err(error) if error.missing() => (),
            Err(error) => self.found(Trouble::Unreadable, dir.path().join(name), error.to_string(), Mended::Left),
        }
        false
    }

    /// What was set aside waits for a person and is no finding; what does not belong there is.
    fn damaged(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(dir) = queue.maybe_dir(Path::new(DAMAGED))? else { return Ok(()) };
        for (name, kind) in queue.disk.names(&dir)? {
            let path = dir.path().join(&name);
            let text = name.to_str().unwrap_or_default();
            let message = text.strip_suffix(WHY).unwrap_or(text);
            if kind != Kind::File || crate::queue::damaged::damaged_name(message).is_none() {
                self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left);
            } else if message != text && queue.disk.stat_at(&dir, message).is_err_and(|error| error.missing()) {
                let mut detail = "the reason of a message that is not there any more".to_string();
                let mended = self.mended(&mut detail, "removed", || Ok(queue.disk.unlink(&dir, text)?));
                self.found(Trouble::Litter, path, detail, mended);
            }
        }
        Ok(())
    }

    fn seq(&mut self) -> Result<()> {
        let queue = self.queue;
        let packed = self.packs.iter().map(twins::SeenPack::last);
        let ids = self.seen.iter().map(|seen| seen.id).chain(packed);
        let greatest = ids.filter(|&id| seq::believable(id)).max();
        if let Some(why) = seq::behind(queue, greatest)? {
            let mut detail = why.to_string();
            let mended = self.mended(&mut detail, "made anew", || seq::rebuild(queue));
            self.found(Trouble::Seq, queue.path().join(name::SEQ), detail, mended);
        }
        Ok(())
    }
}
