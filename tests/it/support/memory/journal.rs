//! What a power cut leaves. Beside the tree that processes see there is the one on the disk, and the log of what is between
//! them. The rules are those of ext4 with `data=ordered`, as far as a program may rely on them:
//!
//! - names and inodes go through one journal, in order: what survives of them is a beginning of what was done;
//! - fsync(2) of a file, or of a directory, commits that journal as a whole, up to that moment;
//! - the contents of a file are not in the journal. Before its fsync each write may be lost alone, or cut off.
//!
//! Unless the file system is one that [`Store::syncs_names`], fsync of a file says nothing about names: only that of a
//! directory does.

use super::tree::{Change, Inode, Node, Tree};
use crate::support::rng::Rng;
use mq::fs::Store;
use mq::time::Time;
use std::sync::Arc;

/// What a power cut does to all that was not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of it survives.
    Nothing,
    /// All of it does, as if written back a moment before.
    Everything,
    /// A beginning of the names, and of the contents any writes, whole or cut off: chosen by this seed.
    Some(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) change: Change,
    pub(super) at: Time,
}

#[derive(Clone, Debug)]
pub struct Journal {
    pub(super) disk: Tree,
    pub(super) log: Vec<Entry>,
    store: Store,
    changes: u64,
}

impl Journal {
    pub fn new(disk: Tree, store: Store) -> Journal {
        Journal { disk, log: Vec::new(), store, changes: 0 }
    }

    pub fn store(&self) -> Store {
        self.store
    }

    pub fn record(&mut self, change: Change, at: Time) {
        self.changes += 1;
        self.log.push(Entry { change, at });
    }

    pub fn sync_file(&mut self, node: Node) {
        if self.store.syncs_names() {
            self.commit(|change| change.contents_of().is_none_or(|changed| changed == node));
            return;
        }
        // The inode is on the disk now, though perhaps nothing leads to it yet.
        if let Some(born) = self.log.iter().find_map(|entry| born(&entry.change, node)) {
            self.disk.nodes.entry(node).or_insert_with(|| Arc::new(born));
        }
        self.commit(|change| change.contents_of() == Some(node));
    }

    pub fn sync_dir(&mut self) {
        self.commit(|change| change.contents_of().is_none());
    }

    pub fn sync_all(&mut self) {
        self.commit(|_| true);
    }

    /// A failed fsync: the kernel has marked the pages clean, so that nobody will ever write them, though everybody reads
    /// them until the cut (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
    pub fn lose(&mut self, node: Option<Node>) {
        self.log.retain(|entry| match (entry.change.contents_of(), node) {
            (Some(changed), Some(node)) => changed != node,
            (Some(_), None) => false,
            (None, _) => true,
        });
    }

    fn commit(&mut self, wanted: impl Fn(&Change) -> bool) {
        self.changes += 1;
        let disk = &mut self.disk;
        self.log.retain(|Entry { change, at }| {
            if !wanted(change) {
                return true;
            }
            if let Some(nameless) = disk.apply(change, *at) {
                disk.nodes.remove(&nameless);
            }
            false
        });
    }

    /// The tree that is found after the machine has come up again.
    pub fn after(&self, cut: Cut) -> Tree {
        let mut tree = self.disk.clone();
        let mut rng = Rng::new(match cut {
            Cut::Some(seed) => seed,
            _ => 0,
        });
        let names = self.log.iter().filter(|entry| entry.change.contents_of().is_none()).count();
        let mut names_left = match cut {
            Cut::Nothing => 0,
            Cut::Everything => names,
            Cut::Some(_) => rng.below(names + 1),
        };
        for Entry { change, at } in &self.log {
            match change {
                Change::Write { .. } | Change::Truncate { .. } => {
                    if let Some(change) = survivor(change, cut, &mut rng) {
                        tree.apply(&change, *at);
                    }
                }
                _ if names_left > 0 => {
                    names_left -= 1;
                    tree.apply(change, *at);
                }
                _ => (),
            }
        }
        tree.sweep();
        tree
    }

    /// Rises with each change, and with each flush.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many changes a power cut could still take back.
    pub fn unflushed(&self) -> usize {
        self.log.len()
    }
}

/// What is left of a change of contents: all, a beginning, or nothing.
fn survivor(change: &Change, cut: Cut, rng: &mut Rng) -> Option<Change> {
    match (cut, change) {
        (Cut::Nothing, _) => None,
        (Cut::Everything, change) => Some(change.clone()),
        (Cut::Some(_), Change::Write { node, offset, bytes }) => match rng.below(3) {
            0 => None,
            1 => {
                let bytes = bytes[..rng.below(bytes.len() + 1)].to_vec();
                Some(Change::Write { node: *node, offset: *offset, bytes })
            }
            _ => Some(change.clone()),
        },
        (Cut::Some(_), change) => (!rng.one_in(2)).then(|| change.clone()),
    }
}

fn born(change: &Change, wanted: Node) -> Option<Inode> {
    match change {
        Change::Make { node, born, .. } if *node == wanted => Some(born.clone()),
        _ => None,
    }
}
