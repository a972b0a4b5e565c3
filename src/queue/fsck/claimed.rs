//! What is claimed by nobody any more, and what does not belong among the claims.

use super::{Check, Mended, Trouble};
use crate::fs::{Dir, Kind};
use crate::queue::error::Result;
use crate::queue::name::{self, CLAIMED, ClaimedName, Hand};
use crate::queue::recover::Recovered;
use std::ops::ControlFlow;
use std::path::Path;

impl Check<'_, '_> {
    pub(super) fn claimed(&mut self) -> Result<()> {
        let queue = self.queue;
        let Some(dir) = queue.maybe_dir(Path::new(CLAIMED))? else { return Ok(()) };
        for (hand, own) in queue.hands()? {
            let any = self.claims(&own, hand)?;
            if !self.free(&dir, &hand.to_string(), Kind::Dir) {
                continue;
            }
            // It goes with what was in it.
            let mut detail = "the directory of a worker that is gone".to_string();
            let mut recovered = Recovered::default();
            let mended = self.mended(&mut detail, "removed", || queue.recover_hand(&dir, hand, &mut recovered));
            if !any {
                self.found(Trouble::Litter, own.path().to_path_buf(), detail, mended);
            }
        }
        self.claims(&dir, Hand::NONE).map(drop)
    }

    /// Those of one directory; whether there is anything in it.
    fn claims(&mut self, dir: &Dir, hand: Hand) -> Result<bool> {
        let queue = self.queue;
        let (mut names, mut elsewhere, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        queue.disk.list(dir, |name, kind| {
            let text = name.to_str().unwrap_or_default();
            let claimed = ClaimedName::parse(text).filter(|_| kind == Kind::File);
            let ours = kind == Kind::Dir && hand == Hand::NONE && Hand::parse(text).is_some();
            match claimed {
                Some(claimed) if claimed.hand() == hand => names.push(claimed),
                Some(claimed) => elsewhere.push(claimed),
                None if ours => (),
                None => foreign.push(dir.path().join(name)),
            }
            ControlFlow::Continue(())
        })?;
        let any = !names.is_empty() || !elsewhere.is_empty() || !foreign.is_empty();
        for path in foreign {
            self.found(Trouble::Foreign, path, "not a name of mq's", Mended::Left);
        }
        for name in elsewhere {
            let (text, home) = (name.text(), name.home());
            let mut detail = format!("belongs into {}", home.display());
            let mended = self.mended(&mut detail, "moved there", || {
                queue.move_into(dir, &text, &home, &text)?;
                queue.recover_claim(&*queue.claimed_in(&name)?, name, &mut Recovered::default())
            });
            self.found(Trouble::Misplaced, dir.path().join(&text), detail, mended);
        }
        for name in names {
            let text = name.text();
            if !self.free(dir, &text, Kind::File) || !self.due_back(dir, &name)? {
                continue;
            }
            let mut detail = "claimed by a process that is gone, or for longer than its lease".to_string();
            let mut recovered = Recovered::default();
            let mut mended = self.mended(&mut detail, "", || queue.recover_claim(dir, name, &mut recovered));
            if let Mended::Done(done) = &mut mended {
                *done = match recovered {
                    Recovered { published: 0, ended: 0, .. } => continue,
                    Recovered { published: 0, .. } => "dead-lettered or set aside".into(),
                    _ => "ready again".into(),
                };
            }
            self.found(Trouble::Orphaned, dir.path().join(text), detail, mended);
        }
        Ok(any)
    }

    /// Whether a claim whose lock is free would be taken back: a live one always, a timed one past its deadline.
    fn due_back(&self, dir: &Dir, name: &ClaimedName) -> Result<bool> {
        let name::Lease::Timed(lease) = name.lease else { return Ok(true) };
        match self.queue.disk.stat_at(dir, name.to_string()) {
            Err(error) if error.missing() => Ok(false),
            stat => Ok(self.queue.disk.now() >= stat?.modified.plus(lease)),
        }
    }
}
