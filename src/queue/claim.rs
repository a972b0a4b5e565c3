//! Claiming: the oldest message of the highest priority that nobody holds becomes ours, by a lock and one rename.

use super::browse::Place;
use super::error::{Error, Result};
use super::message::{self, Content, Depth};
use super::name::{ClaimedName, Lease, Name, PRIORITIES, Priority, RESERVE, State, Token, ready_priority};
use super::pace::{Gate, HeldBack};
use super::pack::HeldPack;
use super::recover::SLICE;
use super::settle::Claim;
use super::{Queue, Sync};
use crate::fs::{Access, Dir, Kind};
use crate::time::Time;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// What a look for a message came to.
#[derive(Debug)]
pub enum Found {
    Claim(Box<Claim>),
    /// The next is a pack with more messages than are wanted at the moment, and no more than are wanted at most.
    TooMany,
    Nothing(Nothing),
}

/// Nothing is claimable, and this is what may change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing {
    /// The next delayed message is due then.
    pub next_due: Option<Time>,
    /// A ready message is locked by somebody: a job that settled it and still runs.
    pub busy: bool,
    /// The next timed lease ends then.
    pub next_expiry: Option<Time>,
    /// A message is ready, and the queue gives none out now: it is not empty.
    pub held_back: Option<HeldBack>,
}

/// What one process remembers from claim to claim, so that a bucket is listed once and not for each of its messages.
#[derive(Debug, Default)]
pub struct Scout {
    cursor: Option<Cursor>,
    steady: Option<Steady>,
    /// The lists of buckets that the look at hand has read.
    lists: Vec<List>,
    /// Nothing in `delayed/` is due before then, unless somebody touched `wake`.
    quiet_until: Option<Time>,
    claims: u32,
    /// The look at hand found a message that the queue does not give out now, and went no further.
    held_back: Option<HeldBack>,
    wanted: Wanted,
    /// The look at hand found a pack that has too many messages.
    too_many: bool,
}

/// How many messages a claim may bring: with one, packs are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    most: u32,
    now: u32,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { most: 1, now: 1 }
    }
}

#[derive(Debug)]
struct Cursor {
    priority: Priority,
    bucket: String,
    dir: Dir,
    names: VecDeque<String>,
}

/// While these directories have not changed, nothing goes before what the cursor has.
#[derive(Debug)]
struct Steady {
    ready: Dir,
    ready_modified: Time,
    top: Dir,
    top_modified: Time,
}

/// A list of buckets that was read.
#[derive(Debug)]
struct List {
    top: Dir,
    entries: Vec<(String, Kind)>,
}

impl Scout {
    pub fn new() -> Scout {
        Scout::default()
    }

    /// Packs of up to `most` messages are claimed whole ([`Claim::is_pack`]), and larger ones divided into such; but none with
    /// more than `now`.
    pub fn want(&mut self, now: u32, most: u32) {
        self.wanted = Wanted { most, now };
    }

    /// Something may have changed: look at the lists of buckets again, and at what is due. What is left of the bucket at
    /// hand is kept while no older bucket and no higher priority has appeared.
    pub fn woken(&mut self) {
        self.quiet_until = None;
    }
}

/// What came of reaching a pack.
enum Reached {
    Claimed(Box<Claim>),
    /// It is not there any more, and what was in it is: look again.
    Opened,
    Busy,
    /// It is no regular file with one name.
    Foreign,
    TooMany,
    HeldBack(HeldBack),
}

/// How one look at one name ended.
pub(super) enum Try {
    Claimed(Box<Claim>),
    Busy,
    Gone,
    HeldBack(HeldBack),
}

/// How often to look again, a millisecond apart, when the only ready messages were locked: their sender or claimer is in
/// the middle of its few calls. One that is still locked then is held by a job that has settled it already.
const BUSY_LOOKS: u32 = 20;
/// A directory that has changed within this time may change again without its time telling: the kernel's clock for such
/// times ticks every few milliseconds.
const TICK: Duration = Duration::from_millis(50);
/// What a directory takes on ext4 and xfs before it has grown, in bytes: room for 80 messages.
const FRESH_DIR: u64 = 4096;
/// While claims succeed, what crashes have left is looked for in slices, once in so many claims.
const SLICE_EVERY: u32 = 64;

impl Queue {
    /// Claims one message, or finds that there is nothing: after a look that skipped no locked entry, with `tmp/` and
    /// `claimed/` gone through for what a crash left.
    ///
    /// The attempt is counted by the rename. Killed before it, the message is ready; after it, the lease is found free by
    /// recovery (live) or runs out (timed), and the attempt counts. No flush: after a power cut the claim may not have
    /// happened, unless `sync = all`.
    ///
    /// # Errors
    /// A read error is an error, and never "nothing".
    pub fn claim(&self, scout: &mut Scout, lease: Lease) -> Result<Found> {
        let (mut looks, mut stuck) = (0, false);
        loop {
            // What is due and can't be moved hides nothing that is ready.
            let (next_due, undue) = match self.promote_due(scout) {
                Ok(next) => (next, None),
                Err(error) => (None, Some(error)),
            };
            scout.held_back = None;
            scout.too_many = false;
            let (claimed, failed, busy) = self.look(scout, lease);
            if let Some(claim) = claimed {
                scout.claims = scout.claims.wrapping_add(1);
                if scout.claims % SLICE_EVERY == 1 {
                    self.recover_slice();
                }
                return Ok(Found::Claim(claim));
            }
            if scout.too_many {
                return Ok(Found::TooMany);
            }
            scout.cursor = None;
            let (recovered, left) = match scout.held_back {
                // It is not said that there is nothing: a few entries at a time are enough to find who is gone.
                Some(_) => self.recover_some(SLICE),
                None => self.recover_all(),
            };
            // What came home of something that can't all be brought home is found by one more look. Were it looked for as
            // long as there is such a thing, that would be for ever: on a full or broken disk it stays.
            let again = recovered.published > 0 && !stuck;
            stuck |= left.is_some();
            let failed = failed.or(undue).or(left);
            if again {
                continue;
            }
            if let Some(error) = failed {
                return Err(error);
            }
            let held_back = scout.held_back;
            if (busy || recovered.contended) && held_back.is_none() && looks < BUSY_LOOKS {
                looks += 1;
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            if self.mended_since_boot()? || (held_back.is_none() && self.was_opened(scout)?) {
                continue;
            }
            self.still_here()?;
            let next_due = match held_back {
                Some(HeldBack::Rate(then)) => Some(next_due.map_or(then, |due| due.min(then))),
                _ => next_due,
            };
            return Ok(Found::Nothing(Nothing { next_due, busy, next_expiry: recovered.next_expiry, held_back }));
        }
    }

    /// Whether a pack may have been opened while the look at hand went by: for a moment its messages stand in `tmp/`, before
    /// that they were a pack, and after it a bucket, and a list that was read in between has neither. An opening that was over
    /// before `tmp/` was gone through has changed the list by now.
    fn was_opened(&self, scout: &mut Scout) -> Result<bool> {
        let lists = std::mem::take(&mut scout.lists);
        if self.maybe_dir(Path::new(RESERVE))?.is_none() {
            // There has never been a pack.
            return Ok(false);
        }
        for List { top, entries } in lists {
            if self.bucket_entries(&top)? != entries {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves what is due, unless it is known that nothing is.
    fn promote_due(&self, scout: &mut Scout) -> Result<Option<Time>> {
        let now = self.disk.now();
        if scout.quiet_until.is_some_and(|until| now < until) && scout.cursor.is_some() {
            return Ok(None);
        }
        let next = self.promote(now)?;
        // Bounded, since the clock may step.
        let quiet = now.plus(Duration::from_secs(1));
        scout.quiet_until = Some(next.map_or(quiet, |next| next.min(quiet)));
        Ok(next)
    }

    /// One pass over what is ready. Errors on one entry do not hide the others; the first comes back if nothing is claimed.
    fn look(&self, scout: &mut Scout, lease: Lease) -> (Option<Box<Claim>>, Option<Error>, bool) {
        scout.lists.clear();
        if let Ok(Some(claim)) = self.look_on(scout, lease) {
            return (Some(claim), None, false);
        }
        let (mut failed, mut busy) = (None, false);
        let there = match self.priorities_there() {
            Ok(there) => there,
            Err(error) => return (None, Some(error), false),
        };
        for priority in Priority::all().filter(|priority| there[usize::from(priority.level())]) {
            match self.look_at(scout, priority, lease, &mut failed) {
                Ok((Some(claim), _)) => return (Some(claim), None, false),
                Ok((None, skipped)) => busy |= skipped,
                Err(error) => failed = failed.or(Some(error)),
            }
            if scout.held_back.is_some() || scout.too_many {
                return (None, failed, busy);
            }
        }
        (None, failed, busy)
    }

    /// Goes on with the bucket at hand, where two looks show that it is still the first: no list of buckets is read. Whatever
    /// else this comes to is for the whole look to find out.
    fn look_on(&self, scout: &mut Scout, lease: Lease) -> Result<Option<Box<Claim>>> {
        let Some(Steady { ready, ready_modified, top, top_modified }) = scout.steady.take() else { return Ok(None) };
        let same = |dir: &Dir, modified: Time| -> Result<bool> {
            let stat = self.disk.stat_dir(dir)?;
            Ok(stat.modified == modified && stat.links > 0)
        };
        let Some(cursor) = &mut scout.cursor else { return Ok(None) };
        if !same(&ready, ready_modified)? || !same(&top, top_modified)? {
            return Ok(None);
        }
        while let Some(name) = cursor.names.pop_front() {
            match self.try_claim(&cursor.dir, &name, lease)? {
                Try::Claimed(claim) => {
                    scout.steady = Some(Steady { ready, ready_modified, top, top_modified });
                    return Ok(Some(claim));
                }
                Try::Busy | Try::Gone => (),
                Try::HeldBack(_) => {
                    cursor.names.push_front(name);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Whether nothing can come before the first entry of a list, which was read when it had last been modified then, without
    /// one of two directories changing.
    fn steady(&self, priority: Priority, top: Dir, top_modified: Time) -> Result<Option<Steady>> {
        if self.disk.now() < top_modified.plus(TICK) {
            return Ok(None);
        }
        let Some(ready) = self.maybe_dir(Path::new(State::Ready.word()))? else { return Ok(None) };
        let ready_modified = self.disk.stat_dir(&ready)?.modified;
        if self.disk.now() < ready_modified.plus(TICK) {
            return Ok(None);
        }
        for higher in Priority::all().take_while(|&higher| higher != priority) {
            if self.stands(&ready, &higher.level().to_string())? {
                return Ok(None);
            }
        }
        Ok(Some(Steady { ready, ready_modified, top, top_modified }))
    }

    /// By level: the priorities that have a directory. Most queues use one of ten.
    fn priorities_there(&self) -> Result<[bool; PRIORITIES as usize]> {
        let mut there = [false; PRIORITIES as usize];
        if let Some(ready) = self.maybe_dir(Path::new(State::Ready.word()))? {
            self.disk.list(&ready, |name, _| {
                if let [level @ b'0'..=b'9'] = name.as_encoded_bytes() {
                    there[usize::from(level - b'0')] = true;
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(there)
    }

    /// [`Queue::look`] at one priority. An error in one of its buckets goes into `failed`.
    fn look_at(
        &self,
        scout: &mut Scout,
        priority: Priority,
        lease: Lease,
        failed: &mut Option<Error>,
    ) -> Result<(Option<Box<Claim>>, bool)> {
        let Some(dir) = self.maybe_dir(&ready_priority(priority))? else { return Ok((None, false)) };
        let mut busy = false;
        // Again whenever a pack was opened: what came out of it stands where it stood.
        'list: loop {
            let modified = self.disk.stat_dir(&dir)?.modified;
            let entries = self.bucket_entries(&dir)?;
            for (at, (entry, kind)) in entries.iter().enumerate() {
                let newest = at + 1 == entries.len();
                let looked = match Place::parse_pack(entry).filter(|_| *kind == Kind::File) {
                    None => self.look_in(scout, priority, &dir, entry, newest, lease),
                    Some(pack) => match self.reach_pack(scout, &dir, &pack, lease) {
                        Ok(Reached::Claimed(claim)) => Ok((Some(claim), false)),
                        Ok(Reached::Opened) => continue 'list,
                        Ok(Reached::Busy) => Ok((None, true)),
                        Ok(Reached::Foreign) => Ok((None, false)),
                        Ok(Reached::TooMany) => {
                            scout.too_many = true;
                            Ok((None, false))
                        }
                        Ok(Reached::HeldBack(why)) => {
                            scout.held_back = Some(why);
                            Ok((None, false))
                        }
                        Err(error) => Err(error),
                    },
                };
                match looked {
                    Ok((Some(claim), _)) => {
                        if at == 0 && scout.cursor.as_ref().is_some_and(|cursor| !cursor.names.is_empty()) {
                            scout.steady = self.steady(priority, dir, modified).unwrap_or(None);
                        }
                        return Ok((Some(claim), false));
                    }
                    Ok((None, skipped)) => busy |= skipped,
                    Err(error) => *failed = failed.take().or(Some(error)),
                }
                if scout.held_back.is_some() || scout.too_many {
                    return Ok((None, busy));
                }
            }
            if !busy && failed.is_none() {
                self.shrink(priority, &dir);
            }
            scout.lists.push(List { top: dir, entries });
            return Ok((None, busy));
        }
    }

    /// A pack stands where the next message is: it is claimed whole, where so many are wanted, or opened.
    fn reach_pack(&self, scout: &Scout, dir: &Dir, pack: &Place, lease: Lease) -> Result<Reached> {
        let Wanted { most, now } = scout.wanted;
        let settings = &self.settings;
        let whole = lease == Lease::Live
            && most > 1
            && settings.rate().is_none()
            && settings.max_in_flight().is_none()
            && settings.retain().is_none();
        let most = if whole { most } else { 1 };
        if most > now && pack.name.count() > now && pack.name.count() <= most {
            return Ok(Reached::TooMany);
        }
        let message = match self.hold_pack(dir, pack)? {
            HeldPack::Ours(message) => message,
            HeldPack::Busy(_) => return Ok(Reached::Busy),
            HeldPack::Gone => return Ok(Reached::Opened),
            HeldPack::Foreign => return Ok(Reached::Foreign),
        };
        let expired = message.header.expires().is_some_and(|expires| expires <= self.disk.now());
        let intact = message.packed(&pack.name).is_some_and(|packed| packed.bad().is_empty());
        let mut front = false;
        if !whole || expired || !intact || pack.name.count() > most {
            match self.open_pack(dir, pack, &message, if expired { 1 } else { most }) {
                // A full disk must be drainable: its first message is claimed where it stands, with the pack around it.
                Err(error) if error.no_room() && intact && !expired => front = true,
                opened => return opened.map(|_| Reached::Opened),
            }
        }
        let permit = match self.pass()? {
            Gate::Open(permit) => permit,
            Gate::Shut(why) => return Ok(Reached::HeldBack(why)),
        };
        if let Lease::Timed(_) = lease {
            self.disk.touch(message.file())?;
        }
        let token = Token::new(self.disk.random()?);
        let claimed =
            ClaimedName { name: Name { attempts: pack.name.attempts.next(), ..pack.name.clone() }, lease, token };
        match self.move_claimed(dir, &pack.file_name, &claimed) {
            Err(error) if error.missing() => {
                permit.return_unused();
                return Ok(Reached::Opened);
            }
            moved => moved?,
        }
        drop(permit);
        if settings.sync() == Sync::All {
            self.flush(message.file(), self.claimed_dir()?)?;
        }
        let now = self.disk.now();
        Ok(Reached::Claimed(Box::new(match front {
            true => Claim::front(claimed, *message, now)?,
            false => Claim::new(claimed, *message, now),
        })))
    }

    fn look_in(
        &self,
        scout: &mut Scout,
        priority: Priority,
        parent: &Dir,
        bucket: &str,
        newest: bool,
        lease: Lease,
    ) -> Result<(Option<Box<Claim>>, bool)> {
        let cached = scout.cursor.as_ref().is_some_and(|c| c.priority == priority && c.bucket == bucket);
        if !cached {
            scout.cursor = None;
            let dir = match self.disk.open_dir(parent, bucket) {
                Err(error) if error.missing() => return Ok((None, false)),
                opened => opened?,
            };
            scout.cursor = Some(Cursor { priority, bucket: bucket.to_string(), dir, names: VecDeque::new() });
        }
        let Some(cursor) = &mut scout.cursor else { return Ok((None, false)) };
        let mut failed = None;
        let mut busy = false;
        // First what is left of the last listing, then a fresh one: a bucket counts as empty only when it was just listed.
        for fresh in [false, true] {
            if fresh {
                if cached {
                    // It may have been removed and made anew since it was opened: list the one that is there now.
                    cursor.dir = match self.disk.open_dir(parent, bucket) {
                        Err(error) if error.missing() => break,
                        opened => opened?,
                    };
                }
                cursor.names = self.message_names(&cursor.dir)?;
                busy = false;
                if cursor.names.is_empty() {
                    break;
                }
            }
            while let Some(name) = cursor.names.pop_front() {
                match self.try_claim(&cursor.dir, &name, lease) {
                    Ok(Try::Claimed(claim)) => return Ok((Some(claim), false)),
                    Ok(Try::Busy) => busy = true,
                    Ok(Try::Gone) => (),
                    Ok(Try::HeldBack(why)) => {
                        scout.held_back = Some(why);
                        return failed.map_or(Ok((None, busy)), Err);
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        let emptied = scout.cursor.take();
        if let Some(error) = failed {
            return Err(error);
        }
        if !busy && (!newest || emptied.is_some_and(|cursor| self.outgrown(&cursor.dir))) {
            // Not empty any more, or gone, or somebody's foreign file in it: all the same to us.
            let _ = self.disk.remove_dir(parent, bucket);
        }
        Ok((None, busy))
    }

    /// Whether a directory takes more than a fresh one does: ext4 and xfs keep what it grew to, however empty it is.
    fn outgrown(&self, dir: &Dir) -> bool {
        self.disk.stat_dir(dir).is_ok_and(|stat| stat.size > FRESH_DIR)
    }

    /// Removes the directory of a priority that has nothing in it and has outgrown a fresh one. Never fails: rmdir(2) refuses
    /// one that is not empty, and who moves a message into it makes it anew.
    fn shrink(&self, priority: Priority, dir: &Dir) {
        if self.outgrown(dir)
            && let Ok(Some(ready)) = self.maybe_dir(Path::new(State::Ready.word()))
        {
            let _ = self.disk.remove_dir(&ready, priority.level().to_string());
        }
    }

    /// The names of buckets in a directory, oldest first.
    pub(super) fn bucket_names(&self, dir: &Dir) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str()
                && kind == Kind::Dir
                && super::name::Bucket::parse(name).is_some()
            {
                names.push(name.to_string());
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    fn message_names(&self, dir: &Dir) -> Result<VecDeque<String>> {
        let mut names = Vec::new();
        self.disk.list(dir, |name, kind| {
            if let Some(name) = name.to_str()
                && kind == Kind::File
                && Name::parse(name).is_some_and(|name| name.pack.is_none())
            {
                names.push(name.to_string());
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(names.into())
    }

    fn try_claim(&self, dir: &Dir, file_name: &str, lease: Lease) -> Result<Try> {
        let disk = &self.disk;
        let Some(name) = Name::parse(file_name) else { return Ok(Try::Gone) };
        if let Some(mark) = name.ticket_of() {
            return self.try_ticket(dir, file_name, &name, mark, lease);
        }
        let file = match disk.open(dir, file_name, Access::Write) {
            Err(error) if error.missing() => return Ok(Try::Gone),
            // A link, a socket, a directory: foreign, left alone, and reported by fsck.
            Err(error) if foreign(&error) => return Ok(Try::Gone),
            opened => opened?,
        };
        if !disk.try_lock(&file)? {
            return Ok(Try::Busy);
        }
        let stat = match disk.stat_at(dir, file_name) {
            Err(error) if error.missing() => return Ok(Try::Gone),
            stat => stat?,
        };
        let held = disk.stat(&file)?;
        if held.identity != stat.identity || held.kind != Kind::File || held.links != 1 {
            return Ok(Try::Gone);
        }
        let message = match message::load(disk, file, held, self.depth(lease))? {
            Content::Message(message) if message.header.messages.is_some() => {
                let _lock = message.into_file();
                let why = "it is a pack, and its name is that of one message";
                return self.set_aside(dir, file_name, why).map(|()| Try::Gone);
            }
            Content::Message(message) => message,
            Content::Unknown(why) => return Err(Error::Unknown { path: dir.path().join(file_name), why }),
            Content::Placeholder(_lock) => {
                return self.set_aside(dir, file_name, "it was never finished").map(|()| Try::Gone);
            }
            Content::Bad(_lock, why) => return self.set_aside(dir, file_name, &why).map(|()| Try::Gone),
        };
        if self.expired(&message)? {
            return self.expire(dir, file_name, &name, &message).map(|()| Try::Gone);
        }
        let permit = match self.pass()? {
            Gate::Open(permit) => permit,
            Gate::Shut(why) => return Ok(Try::HeldBack(why)),
        };
        if let Lease::Timed(_) = lease {
            disk.touch(message.file())?;
        }
        let token = Token::new(disk.random()?);
        let claimed = ClaimedName { name: Name { attempts: name.attempts.next(), ..name }, lease, token };
        if name.attempts == super::name::Attempts::default() {
            self.unique_claimed(&message)?;
        }
        match self.move_claimed(dir, file_name, &claimed) {
            Err(error) if error.missing() => {
                permit.return_unused();
                return Ok(Try::Gone);
            }
            moved => moved?,
        }
        drop(permit);
        if self.settings.sync() == Sync::All {
            self.flush(message.file(), self.claimed_dir()?)?;
        }
        Ok(Try::Claimed(Box::new(Claim::new(claimed, *message, disk.now()))))
    }

    /// How far to look into a message before it is claimed: for a worker a large body is checked while it is copied.
    pub(super) fn depth(&self, lease: Lease) -> Depth {
        match lease {
            Lease::Live => Depth::Small,
            _ => Depth::Whole,
        }
    }

    pub(super) fn move_claimed(&self, dir: &Dir, file_name: &str, claimed: &ClaimedName) -> Result<()> {
        match self.disk.rename(dir, file_name, self.claimed_dir()?, claimed.to_string()) {
            Err(error) if error.missing() => {
                self.move_into(dir, file_name, Path::new(State::Claimed.word()), &claimed.to_string())
            }
            moved => Ok(moved?),
        }
    }
}

/// Errors of open(2) that say: this is no regular file.
pub(super) fn foreign(error: &crate::fs::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.source.raw_os_error();
    [Errno::LOOP, Errno::ISDIR, Errno::NXIO].iter().any(|foreign| errno == Some(foreign.raw_os_error()))
}
