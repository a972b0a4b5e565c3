//! Steps that can be stopped or made to fail at any one of them, counted from 1.

use mq::fs::{Access, Birth, Free, Handle, Holder, Interest, Kind, Stat, Steps, Store, Watch};
use mq::time::Time;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Healthy,
    /// The process ends just before this step. Whatever its destructors try afterwards has no effect either.
    StopBefore(u64),
    /// The process ends just after this step, without learning how it went.
    StopAfter(u64),
    /// This step fails, without effect.
    FailOnce(u64, Errno),
    /// This step and all that follow fail, without effect.
    FailFrom(u64, Errno),
    /// This step and all that follow of its kind fail, without effect: what else there is to do is done.
    FailAlikeFrom(u64, Errno),
}

/// More steps than any verb takes: beyond this the code under test is running in circles.
const TOO_MANY: u64 = 20_000;

#[derive(Debug, Default)]
struct Record {
    steps: u64,
    /// How many names were listed.
    names: u64,
    /// The plan has taken effect.
    struck: bool,
    /// On this step first.
    victim: Option<String>,
    /// What kind of step the one is that a [`Plan::FailAlikeFrom`] begins with.
    kind: Option<String>,
    trace: Vec<String>,
}

/// What happened, for the test that gave the steps away.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<Record>>);

impl Tape {
    /// How many steps were asked for, also those that were refused.
    pub fn steps(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).steps
    }

    /// How many names were listed.
    pub fn names(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names
    }

    /// Whether the plan came to anything: there may have been fewer steps than it was for.
    pub fn struck(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).struck
    }

    /// The first step on which it did.
    pub fn victim(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).victim.clone().unwrap_or_default()
    }

    /// The steps, one a line.
    pub fn trace(&self) -> String {
        let record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = record.trace.len().saturating_sub(120);
        record.trace[start..].iter().enumerate().fold(String::new(), |mut text, (at, line)| {
            let _ = writeln!(text, "  {:3} {line}", start + at + 1);
            text
        })
    }
}

type Notice = Box<dyn Fn(Option<&Handle>) + Send + Sync>;
type Meanwhile = Box<dyn FnOnce() + Send>;
type Watcher = Box<dyn Fn(u64) + Send + Sync>;
type Refuses = Box<dyn Fn(&str) -> Option<Errno> + Send + Sync>;

pub struct Injected<S> {
    inner: S,
    plan: Plan,
    tape: Tape,
    on_failed_flush: Option<Notice>,
    meanwhile: Mutex<Option<(u64, Meanwhile)>>,
    watcher: Option<Watcher>,
    refuses: Option<Refuses>,
}

/// How one step is to end.
enum Fate {
    Done,
    DoneButNeverReturned,
    Refused(Errno),
}

impl<S: Steps> Injected<S> {
    pub fn new(inner: S, plan: Plan) -> (Injected<S>, Tape) {
        let tape = Tape::default();
        let steps = Injected {
            inner,
            plan,
            tape: tape.clone(),
            on_failed_flush: None,
            meanwhile: Mutex::new(None),
            watcher: None,
            refuses: None,
        };
        (steps, tape)
    }

    /// Calls `notice` when a flush is made to fail: with the file, or with none for a flush of everything.
    pub fn on_failed_flush(mut self, notice: impl Fn(Option<&Handle>) + Send + Sync + 'static) -> Injected<S> {
        self.on_failed_flush = Some(Box::new(notice));
        self
    }

    /// Lets others do something just before step `n`.
    pub fn meanwhile(self, n: u64, others: impl FnOnce() + Send + 'static) -> Injected<S> {
        Injected { meanwhile: Mutex::new(Some((n, Box::new(others)))), ..self }
    }

    /// Calls `watcher` before each step, with its number, for as long as the process lives.
    pub fn watched(self, watcher: impl Fn(u64) + Send + Sync + 'static) -> Injected<S> {
        Injected { watcher: Some(Box::new(watcher)), ..self }
    }

    /// Each step for which `refuses`, asked with its line of the trace, has an error fails with that, without effect.
    pub fn refusing(self, refuses: impl Fn(&str) -> Option<Errno> + Send + Sync + 'static) -> Injected<S> {
        Injected { refuses: Some(Box::new(refuses)), ..self }
    }

    fn others(&self) {
        let mut waiting = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_some_and(|(n, _)| self.tape.steps() + 1 == *n)
            && let Some((_, others)) = waiting.take()
        {
            others();
        }
    }

    fn fate(&self, what: String) -> Fate {
        self.others();
        if let Some(watcher) = &self.watcher
            && !self.tape.struck()
        {
            watcher(self.tape.steps() + 1);
        }
        let mut record = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.steps += 1;
        let at = record.steps;
        // A process that has ended runs on in its destructors; nothing it does counts.
        let fate = match self.plan {
            Plan::StopBefore(n) if at >= n => Fate::Refused(Errno::IO),
            Plan::StopAfter(n) if at == n => Fate::DoneButNeverReturned,
            Plan::StopAfter(n) if at > n => Fate::Refused(Errno::IO),
            Plan::FailOnce(n, errno) if at == n => Fate::Refused(errno),
            Plan::FailFrom(n, errno) if at >= n => Fate::Refused(errno),
            Plan::FailAlikeFrom(n, errno) if at >= n => {
                let kind = what.split(' ').next().unwrap_or_default();
                let alike = record.kind.get_or_insert_with(|| kind.to_string()) == kind;
                if alike { Fate::Refused(errno) } else { Fate::Done }
            }
            _ => self.refuses.as_ref().and_then(|refuses| refuses(&what)).map_or(Fate::Done, Fate::Refused),
        };
        let mark = match fate {
            Fate::Done => "",
            Fate::DoneButNeverReturned => "   <-- done, and stopped",
            Fate::Refused(_) => "   <-- refused",
        };
        if !matches!(fate, Fate::Done) {
            record.struck = true;
            record.victim.get_or_insert_with(|| what.clone());
        }
        record.trace.push(what + mark);
        drop(record);
        assert!(at < TOO_MANY, "in circles:\n{}", self.tape.trace());
        fate
    }

    fn step<T>(&self, what: String, step: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        match self.fate(what) {
            Fate::Done => step(&self.inner),
            Fate::DoneButNeverReturned => {
                let _ = step(&self.inner);
                Err(Errno::IO.into())
            }
            Fate::Refused(errno) => Err(errno.into()),
        }
    }

    /// A lock that is held by somebody is no error, but EAGAIN's other name.
    fn locking(&self, what: &str, step: impl FnOnce(&S) -> io::Result<bool>) -> io::Result<bool> {
        match self.step(what.to_string(), step) {
            Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => Ok(false),
            other => other,
        }
    }

    fn flush(&self, what: &str, file: Option<&Handle>, step: impl FnOnce(&S) -> io::Result<()>) -> io::Result<()> {
        match (self.fate(what.to_string()), self.plan) {
            (Fate::Done, _) => step(&self.inner),
            (Fate::DoneButNeverReturned, _) => {
                let _ = step(&self.inner);
                Err(Errno::IO.into())
            }
            (Fate::Refused(errno), Plan::FailOnce(..) | Plan::FailFrom(..) | Plan::FailAlikeFrom(..)) => {
                if let Some(notice) = &self.on_failed_flush {
                    notice(file);
                }
                Err(errno.into())
            }
            (Fate::Refused(errno), _) => Err(errno.into()),
        }
    }
}

impl<S: Steps> Steps for Injected<S> {
    fn now(&self) -> Time {
        self.inner.now()
    }

    fn random(&self, into: &mut [u8]) -> io::Result<()> {
        self.step("random".into(), |inner| inner.random(into))
    }

    fn boot_id(&self) -> String {
        self.inner.boot_id()
    }

    fn open_queue(&self, path: &Path) -> io::Result<Handle> {
        self.step(format!("open_queue {}", path.display()), |inner| inner.open_queue(path))
    }

    fn stat_path(&self, path: &Path) -> io::Result<Stat> {
        self.step(format!("stat_path {}", path.display()), |inner| inner.stat_path(path))
    }

    fn make_queue(&self, path: &Path, birth: Birth) -> io::Result<()> {
        self.step(format!("make_queue {}", path.display()), |inner| inner.make_queue(path, birth))
    }

    fn inherited(&self, fd: i32) -> io::Result<Handle> {
        self.step("inherited".into(), |inner| inner.inherited(fd))
    }

    fn open_dir(&self, at: &Handle, path: &Path) -> io::Result<Handle> {
        self.step(format!("open_dir {}", path.display()), |inner| inner.open_dir(at, path))
    }

    fn open(&self, at: &Handle, name: &OsStr, access: Access) -> io::Result<Handle> {
        self.step(format!("open {} {access:?}", name.display()), |inner| inner.open(at, name, access))
    }

    fn create(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<Handle> {
        self.step(format!("create {}", name.display()), |inner| inner.create(at, name, birth))
    }

    fn create_unnamed(&self, at: &Handle) -> io::Result<Handle> {
        self.step("create_unnamed".into(), |inner| inner.create_unnamed(at))
    }

    fn make_dir(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<()> {
        self.step(format!("make_dir {}", name.display()), |inner| inner.make_dir(at, name, birth))
    }

    fn stat(&self, of: &Handle) -> io::Result<Stat> {
        self.step("stat".into(), |inner| inner.stat(of))
    }

    fn stat_at(&self, at: &Handle, name: &OsStr) -> io::Result<Stat> {
        self.step(format!("stat_at {}", name.display()), |inner| inner.stat_at(at, name))
    }

    fn list(&self, dir: &Handle, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
        let mut names = 0;
        let ended = self.step("list".into(), |inner| {
            inner.list(dir, &mut |name, kind| {
                names += 1;
                each(name, kind)
            })
        });
        self.tape.0.lock().unwrap_or_else(PoisonError::into_inner).names += names;
        ended
    }

    fn read_at(&self, from: &Handle, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.step(format!("read_at {offset}"), |inner| inner.read_at(from, into, offset))
    }

    fn write_at(&self, to: &Handle, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step(format!("write_at {offset}, {} bytes", bytes.len()), |inner| inner.write_at(to, bytes, offset))
    }

    fn copy(&self, from: &Handle, offset: u64, to: &Handle, to_offset: u64, length: u64) -> io::Result<u64> {
        self.step(format!("copy {offset}"), |inner| inner.copy(from, offset, to, to_offset, length))
    }

    fn truncate(&self, file: &Handle, length: u64) -> io::Result<()> {
        self.step(format!("truncate {length}"), |inner| inner.truncate(file, length))
    }

    fn touch(&self, file: &Handle) -> io::Result<()> {
        self.step("touch".into(), |inner| inner.touch(file))
    }

    fn touch_at(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.step(format!("touch_at {}", name.display()), |inner| inner.touch_at(at, name))
    }

    fn sync_file(&self, file: &Handle) -> io::Result<()> {
        self.flush("sync_file", Some(file), |inner| inner.sync_file(file))
    }

    fn sync_dir(&self, dir: &Handle) -> io::Result<()> {
        self.step("sync_dir".into(), |inner| inner.sync_dir(dir))
    }

    fn sync_all(&self, on: &Handle) -> io::Result<()> {
        self.flush("sync_all", None, |inner| inner.sync_all(on))
    }

    fn try_lock(&self, file: &Handle) -> io::Result<bool> {
        self.locking("try_lock", |inner| inner.try_lock(file))
    }

    fn lock(&self, file: &Handle, patience: Duration) -> io::Result<bool> {
        self.locking("lock", |inner| inner.lock(file, patience))
    }

    fn unlock(&self, file: &Handle) -> io::Result<()> {
        self.step("unlock".into(), |inner| inner.unlock(file))
    }

    fn locks_bytes(&self) -> bool {
        self.inner.locks_bytes()
    }

    fn hold_byte(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        self.locking("hold_byte", |inner| inner.hold_byte(file, byte))
    }

    fn let_go_byte(&self, file: &Handle, byte: u64) -> io::Result<()> {
        self.step("let_go_byte".into(), |inner| inner.let_go_byte(file, byte))
    }

    fn byte_held(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        self.locking("byte_held", |inner| inner.byte_held(file, byte))
    }

    fn holder(&self, of: &Stat) -> Option<Holder> {
        self.inner.holder(of)
    }

    fn rename(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        let what = format!("rename {} to {}", name.display(), new.display());
        self.step(what, |inner| inner.rename(from, name, to, new))
    }

    fn replace(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        let what = format!("replace {} to {}", name.display(), new.display());
        self.step(what, |inner| inner.replace(from, name, to, new))
    }

    fn unlink(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.step(format!("unlink {}", name.display()), |inner| inner.unlink(at, name))
    }

    fn remove_dir(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.step(format!("remove_dir {}", name.display()), |inner| inner.remove_dir(at, name))
    }

    fn free(&self, of: &Handle) -> io::Result<Free> {
        self.step("free".into(), |inner| inner.free(of))
    }

    fn store(&self, of: &Handle) -> io::Result<Store> {
        self.step("store".into(), |inner| inner.store(of))
    }

    fn watch(&self, wake: &Path, claimed: &Path, interest: Interest) -> io::Result<Option<Watch>> {
        self.step("watch".into(), |inner| inner.watch(wake, claimed, interest))
    }
}
