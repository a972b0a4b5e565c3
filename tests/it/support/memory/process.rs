//! A process on the machine: the steps, with the errors that Linux gives.

use super::machine::{Machine, State};
use super::names::{Result, contents, dir, free, index, inode, living, lookup, portion, resolve, stat};
use super::tree::{Change, Node, What};
use mq::fs::{Access, Birth, Free, Handle, Holder, Interest, Kind, Stat, Steps, Store, Watch};
use mq::time::Time;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Process {
    machine: Machine,
    id: u32,
}

/// What a [`Handle`] holds: closing it is all that its drop does.
#[derive(Debug)]
struct Descriptor {
    machine: Machine,
    opening: u64,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.machine.state().close(self.opening);
    }
}

impl Process {
    pub(super) fn new(machine: Machine, id: u32) -> Process {
        Process { machine, id }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn node(state: &State, handle: &Handle) -> Option<Node> {
        let descriptor = handle.modelled()?.downcast_ref::<Descriptor>()?;
        Some(state.openings.get(&descriptor.opening)?.node)
    }

    fn handle(&self, state: &mut State, node: Node, access: Access) -> Handle {
        let opening = state.open(node, self.id, access == Access::Write);
        Handle::model(Box::new(Descriptor { machine: self.machine.clone(), opening }))
    }

    /// Does one step on one open file or directory.
    fn with<T>(&self, handle: &Handle, step: impl FnOnce(&mut State, Node) -> Result<T>) -> io::Result<T> {
        let mut state = self.machine.state();
        let node = Process::node(&state, handle).ok_or(Errno::BADF)?;
        Ok(step(&mut state, node)?)
    }

    fn with_both<T>(
        &self,
        one: &Handle,
        other: &Handle,
        step: impl FnOnce(&mut State, Node, Node) -> Result<T>,
    ) -> io::Result<T> {
        let mut state = self.machine.state();
        let one = Process::node(&state, one).ok_or(Errno::BADF)?;
        let other = Process::node(&state, other).ok_or(Errno::BADF)?;
        Ok(step(&mut state, one, other)?)
    }

    fn opening(handle: &Handle) -> Option<u64> {
        Some(handle.modelled()?.downcast_ref::<Descriptor>()?.opening)
    }

    fn locked(&self, handle: &Handle) -> io::Result<bool> {
        let opening = Process::opening(handle).ok_or(Errno::BADF)?;
        self.with(handle, |state, node| Ok(*state.locks.entry(node).or_insert(opening) == opening))
    }
}

fn may_write(state: &State, handle: &Handle) -> Result<()> {
    let opening = Process::opening(handle).and_then(|opening| state.openings.get(&opening));
    if opening.is_some_and(|opening| opening.writable) { Ok(()) } else { Err(Errno::BADF) }
}

impl Steps for Process {
    fn now(&self) -> Time {
        self.machine.state().tick()
    }

    fn random(&self, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.machine.state();
        for chunk in into.chunks_mut(8) {
            let bytes = state.rng.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }

    fn boot_id(&self) -> String {
        format!("{:08}-0000-4000-8000-000000000000", self.machine.state().boot)
    }

    fn open_queue(&self, path: &Path) -> io::Result<Handle> {
        let mut state = self.machine.state();
        let node = resolve(&state, path)?;
        dir(&state, node)?;
        Ok(self.handle(&mut state, node, Access::Read))
    }

    fn stat_path(&self, path: &Path) -> io::Result<Stat> {
        let state = self.machine.state();
        Ok(stat(&state, resolve(&state, path)?)?)
    }

    fn make_queue(&self, path: &Path, birth: Birth) -> io::Result<()> {
        let mut state = self.machine.state();
        let name = path.file_name().ok_or(Errno::EXIST)?;
        let parent = resolve(&state, path.parent().unwrap_or(Path::new("")))?;
        free(&state, parent, name)?;
        state.born(parent, name, What::Dir(BTreeMap::new()), birth.mode);
        Ok(())
    }

    fn inherited(&self, _fd: i32) -> io::Result<Handle> {
        // Processes here have no children.
        Err(Errno::BADF.into())
    }

    fn open_dir(&self, at: &Handle, path: &Path) -> io::Result<Handle> {
        self.with(at, |state, mut node| {
            if path.as_os_str().is_empty() {
                return Err(Errno::NOENT);
            }
            for name in path {
                node = lookup(state, node, name)?;
                match inode(state, node)?.what {
                    What::Dir(_) => (),
                    What::Symlink(_) => return Err(Errno::LOOP),
                    _ => return Err(Errno::NOTDIR),
                }
            }
            Ok(self.handle(state, node, Access::Read))
        })
    }

    fn open(&self, at: &Handle, name: &OsStr, access: Access) -> io::Result<Handle> {
        self.with(at, |state, at| {
            let node = lookup(state, at, name)?;
            match (inode(state, node)?.kind(), access) {
                (Kind::Symlink, _) => Err(Errno::LOOP),
                (Kind::Other, _) => Err(Errno::NXIO),
                (Kind::Dir, Access::Write) => Err(Errno::ISDIR),
                _ => Ok(self.handle(state, node, access)),
            }
        })
    }

    fn create(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<Handle> {
        self.with(at, |state, at| {
            free(state, at, name)?;
            let node = state.born(at, name, What::File(Vec::new()), birth.mode);
            Ok(self.handle(state, node, Access::Write))
        })
    }

    fn create_unnamed(&self, at: &Handle) -> io::Result<Handle> {
        self.with(at, |state, _| {
            let node = state.unnamed();
            Ok(self.handle(state, node, Access::Write))
        })
    }

    fn make_dir(&self, at: &Handle, name: &OsStr, birth: Birth) -> io::Result<()> {
        self.with(at, |state, at| {
            free(state, at, name)?;
            state.born(at, name, What::Dir(BTreeMap::new()), birth.mode);
            Ok(())
        })
    }

    fn stat(&self, of: &Handle) -> io::Result<Stat> {
        self.with(of, |state, node| stat(state, node))
    }

    fn stat_at(&self, at: &Handle, name: &OsStr) -> io::Result<Stat> {
        self.with(at, |state, at| stat(state, lookup(state, at, name)?))
    }

    fn list(&self, of: &Handle, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
        let mut names: Vec<(OsString, Kind)> = self.with(of, |state, node| {
            dir(state, node)?.iter().map(|(name, &node)| Ok((name.clone(), inode(state, node)?.kind()))).collect()
        })?;
        // The order of ext4's hashed directories: any but that of the names.
        names.sort_by_key(|(name, _)| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        });
        for (name, kind) in names {
            if each(&name, kind).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_at(&self, from: &Handle, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(from, |state, node| {
            let offset = index(offset)?;
            let length = contents(state, node)?.len().saturating_sub(offset).min(into.len());
            let length = portion(state, length);
            if length > 0 {
                into[..length].copy_from_slice(&contents(state, node)?[offset..offset + length]);
            }
            Ok(length)
        })
    }

    fn write_at(&self, to: &Handle, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.with(to, |state, node| {
            may_write(state, to)?;
            contents(state, node)?;
            let length = portion(state, bytes.len());
            state.make(Change::Write { node, offset: index(offset)?, bytes: bytes[..length].to_vec() });
            Ok(length)
        })
    }

    fn copy(&self, from: &Handle, offset: u64, to: &Handle, to_offset: u64, length: u64) -> io::Result<u64> {
        self.with_both(from, to, |state, from, node| {
            may_write(state, to)?;
            let offset = index(offset)?;
            let there = contents(state, from)?.len().saturating_sub(offset);
            let length = portion(state, usize::try_from(length).unwrap_or(usize::MAX).min(there));
            let bytes = contents(state, from)?[offset..offset + length].to_vec();
            if length > 0 {
                state.make(Change::Write { node, offset: index(to_offset)?, bytes });
            }
            Ok(length as u64)
        })
    }

    fn truncate(&self, file: &Handle, length: u64) -> io::Result<()> {
        self.with(file, |state, node| {
            may_write(state, file).map_err(|_| Errno::INVAL)?;
            contents(state, node)?;
            state.make(Change::Truncate { node, length: index(length)? });
            Ok(())
        })
    }

    fn touch(&self, file: &Handle) -> io::Result<()> {
        self.with(file, |state, node| {
            state.tick();
            state.make(Change::Touch { node });
            Ok(())
        })
    }

    fn touch_at(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.with(at, |state, at| {
            let node = lookup(state, at, name)?;
            state.tick();
            state.make(Change::Touch { node });
            Ok(())
        })
    }

    fn sync_file(&self, file: &Handle) -> io::Result<()> {
        self.with(file, |state, node| {
            state.journal.sync_file(node);
            Ok(())
        })
    }

    fn sync_dir(&self, of: &Handle) -> io::Result<()> {
        self.with(of, |state, node| {
            dir(state, node)?;
            state.journal.sync_dir();
            Ok(())
        })
    }

    fn sync_all(&self, on: &Handle) -> io::Result<()> {
        self.with(on, |state, _| {
            state.journal.sync_all();
            Ok(())
        })
    }

    fn try_lock(&self, file: &Handle) -> io::Result<bool> {
        self.locked(file)
    }

    fn lock(&self, file: &Handle, _patience: Duration) -> io::Result<bool> {
        self.locked(file)
    }

    fn unlock(&self, file: &Handle) -> io::Result<()> {
        let opening = Process::opening(file);
        self.with(file, |state, node| {
            if state.locks.get(&node).copied() == opening {
                state.locks.remove(&node);
            }
            Ok(())
        })
    }

    fn locks_bytes(&self) -> bool {
        true
    }

    fn hold_byte(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        may_write(&self.machine.state(), file)?;
        let opening = Process::opening(file).ok_or(Errno::BADF)?;
        self.with(file, |state, node| Ok(*state.bytes.entry((node, byte)).or_insert(opening) == opening))
    }

    fn let_go_byte(&self, file: &Handle, byte: u64) -> io::Result<()> {
        let opening = Process::opening(file);
        self.with(file, |state, node| {
            if state.bytes.get(&(node, byte)).copied() == opening {
                state.bytes.remove(&(node, byte));
            }
            Ok(())
        })
    }

    fn byte_held(&self, file: &Handle, byte: u64) -> io::Result<bool> {
        let opening = Process::opening(file);
        self.with(file, |state, node| Ok(state.bytes.get(&(node, byte)).is_some_and(|holder| Some(*holder) != opening)))
    }

    fn holder(&self, of: &Stat) -> Option<Holder> {
        let state = self.machine.state();
        let (node, _) = state.tree.nodes.iter().find(|(_, inode)| inode.number == of.identity.inode)?;
        let opening = state.openings.get(state.locks.get(node)?)?;
        Some(Holder { pid: opening.process })
    }

    fn rename(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        self.with_both(from, to, |state, from, to| {
            lookup(state, from, name)?;
            free(state, to, new)?;
            state.make(Change::Rename { from, name: name.to_os_string(), to, new: new.to_os_string() });
            Ok(())
        })
    }

    fn replace(&self, from: &Handle, name: &OsStr, to: &Handle, new: &OsStr) -> io::Result<()> {
        self.with_both(from, to, |state, from, to| {
            let node = lookup(state, from, name)?;
            match lookup(state, to, new) {
                Ok(there) if there == node => return Ok(()),
                Ok(there) => match (inode(state, node)?.kind(), inode(state, there)?.kind()) {
                    (Kind::Dir, Kind::Dir) if dir(state, there)?.is_empty() => (),
                    (Kind::Dir, Kind::Dir) => return Err(Errno::NOTEMPTY),
                    (Kind::Dir, _) => return Err(Errno::NOTDIR),
                    (_, Kind::Dir) => return Err(Errno::ISDIR),
                    _ => (),
                },
                Err(Errno::NOENT) => living(state, to)?,
                Err(other) => return Err(other),
            }
            state.make(Change::Rename { from, name: name.to_os_string(), to, new: new.to_os_string() });
            Ok(())
        })
    }

    fn unlink(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.with(at, |state, at| {
            let node = lookup(state, at, name)?;
            if inode(state, node)?.kind() == Kind::Dir {
                return Err(Errno::ISDIR);
            }
            state.make(Change::Remove { dir: at, name: name.to_os_string() });
            Ok(())
        })
    }

    fn remove_dir(&self, at: &Handle, name: &OsStr) -> io::Result<()> {
        self.with(at, |state, at| {
            let node = lookup(state, at, name)?;
            if !dir(state, node)?.is_empty() {
                return Err(Errno::NOTEMPTY);
            }
            state.make(Change::Remove { dir: at, name: name.to_os_string() });
            Ok(())
        })
    }

    fn free(&self, _: &Handle) -> io::Result<Free> {
        Ok(self.machine.state().free)
    }

    fn store(&self, of: &Handle) -> io::Result<Store> {
        self.with(of, |state, _| Ok(state.journal.store()))
    }

    fn watch(&self, _wake: &Path, _claimed: &Path, _interest: Interest) -> io::Result<Option<Watch>> {
        Ok(None)
    }
}
