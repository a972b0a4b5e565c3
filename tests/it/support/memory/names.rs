//! Names and what stands behind them: how a path is followed, and the errors when it leads nowhere.

use super::machine::State;
use super::tree::{Inode, Node, ROOT, What};
use mq::fs::{Identity, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};
use std::sync::Arc;

/// The only disk of a machine.
const DEVICE: u64 = 0xfd00;
/// The longest read or write that is never short.
const ATOM: usize = 16;

pub(super) type Result<T> = std::result::Result<T, Errno>;

/// Follows links, as a path from a person is.
pub(super) fn resolve(state: &State, path: &Path) -> Result<Node> {
    let mut todo: Vec<OsString> = path.components().rev().filter_map(normal).collect();
    let (mut at, mut trail, mut links) = (ROOT, Vec::new(), 0);
    while let Some(name) = todo.pop() {
        if name == ".." {
            at = trail.pop().unwrap_or(ROOT);
            continue;
        }
        let next = lookup(state, at, &name)?;
        if let What::Symlink(to) = &inode(state, next)?.what {
            links += 1;
            if links > 40 {
                return Err(Errno::LOOP);
            }
            if to.is_absolute() {
                (at, trail) = (ROOT, Vec::new());
            }
            todo.extend(to.components().rev().filter_map(normal));
        } else {
            trail.push(at);
            at = next;
        }
    }
    Ok(at)
}

fn normal(part: Component<'_>) -> Option<OsString> {
    match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    }
}

pub(super) fn inode(state: &State, node: Node) -> Result<&Inode> {
    state.tree.nodes.get(&node).map(Arc::as_ref).ok_or(Errno::STALE)
}

pub(super) fn dir(state: &State, node: Node) -> Result<&BTreeMap<OsString, Node>> {
    state.tree.entries(node).ok_or(Errno::NOTDIR)
}

/// A directory that was removed while it is open takes no more names (IS_DEADDIR).
pub(super) fn living(state: &State, node: Node) -> Result<()> {
    dir(state, node)?;
    if inode(state, node)?.names == 0 { Err(Errno::NOENT) } else { Ok(()) }
}

pub(super) fn lookup(state: &State, at: Node, name: &OsStr) -> Result<Node> {
    let entries = dir(state, at)?;
    if name.len() > 255 {
        return Err(Errno::NAMETOOLONG);
    }
    // The trait promises single components, so that nobody is led elsewhere by a name.
    assert!(!name.as_encoded_bytes().contains(&b'/') && name != "." && name != "..", "{name:?} is no single component");
    entries.get(name).copied().ok_or(Errno::NOENT)
}

/// That a name is free, in a directory that takes it.
pub(super) fn free(state: &State, at: Node, name: &OsStr) -> Result<()> {
    match lookup(state, at, name) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => living(state, at),
        Err(other) => Err(other),
    }
}

pub(super) fn stat(state: &State, node: Node) -> Result<Stat> {
    let inode = inode(state, node)?;
    Ok(Stat {
        kind: inode.kind(),
        identity: Identity { device: DEVICE, inode: inode.number },
        size: inode.size() as u64,
        modified: inode.modified,
        changed: inode.changed,
        links: inode.names,
        mode: inode.mode,
        owner: inode.owner,
    })
}

pub(super) fn contents(state: &State, node: Node) -> Result<&Vec<u8>> {
    match &inode(state, node)?.what {
        What::File(bytes) => Ok(bytes),
        What::Dir(_) => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn index(offset: u64) -> Result<usize> {
    usize::try_from(offset).ok().filter(|&offset| offset < 1 << 40).ok_or(Errno::INVAL)
}

/// How much of a read or write is done at once.
pub(super) fn portion(state: &mut State, length: usize) -> usize {
    if state.short && length > ATOM && state.rng.one_in(4) { 1 + state.rng.below(length) } else { length }
}
