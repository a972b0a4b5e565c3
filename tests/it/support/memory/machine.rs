//! The machine: what all processes share.

use super::journal::{Cut, Journal};
use super::process::Process;
use super::subsets::mark;
use super::tree::{ByNode, Change, Inode, Node, ROOT, Tree, What};
use crate::support::rng::Rng;
use mq::fs::{Disk, Free, Handle, Owner, Store};
use mq::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When the clock of a new machine starts: 2025-11-24 16:00 UTC.
const START: u64 = 1_764_000_000_000_000;

/// An open file description: what flock(2) locks.
#[derive(Debug)]
pub(super) struct Opening {
    pub node: Node,
    pub process: u32,
    pub writable: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub tree: Tree,
    pub journal: Journal,
    pub openings: BTreeMap<u64, Opening>,
    pub locks: ByNode<u64>,
    /// Those on single bytes, apart from them.
    pub bytes: BTreeMap<(Node, u64), u64>,
    pub now: Time,
    pub boot: u64,
    pub rng: Rng,
    /// Reads and writes that could be short are, now and then.
    pub short: bool,
    /// The clock goes on by itself.
    pub ticking: bool,
    /// What statvfs(3) says.
    pub free: Free,
    next_node: u64,
    next_opening: u64,
    next_process: u32,
    free_numbers: BTreeSet<u64>,
    next_number: u64,
}

/// Cheap to clone; all clones are the same machine.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Mutex<State>>);

impl Machine {
    pub fn new(seed: u64) -> Machine {
        Machine::on(Store::Trusted, seed)
    }

    /// With a disk of another kind.
    pub fn on(store: Store, seed: u64) -> Machine {
        let now = Time::from_micros(START);
        let tree = Tree::new(now);
        Machine::boot(tree.clone(), Journal::new(tree, store), now, 1, Rng::new(seed), true)
    }

    fn boot(tree: Tree, journal: Journal, now: Time, boot: u64, rng: Rng, short: bool) -> Machine {
        let taken: BTreeSet<u64> = tree.nodes.values().map(|inode| inode.number).collect();
        let next_number = taken.last().map_or(11, |last| last.max(&10) + 1);
        let free_numbers = (11..next_number).filter(|number| !taken.contains(number)).collect();
        let next_node = tree.nodes.keys().map(|node| node.0 + 1).max().unwrap_or(1);
        Machine(Arc::new(Mutex::new(State {
            tree,
            journal,
            openings: BTreeMap::new(),
            locks: ByNode::default(),
            bytes: BTreeMap::new(),
            now,
            boot,
            rng,
            short,
            ticking: true,
            free: Free { bytes: 1 << 40, inodes: Some(1 << 20) },
            next_node,
            next_opening: 1,
            next_process: 1,
            free_numbers,
            next_number,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed inside a step says so itself; the handles it drops must not fail on top of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process.
    pub fn process(&self) -> Process {
        let mut state = self.state();
        state.next_process += 1;
        Process::new(self.clone(), state.next_process)
    }

    /// The file system as a new process sees it.
    pub fn disk(&self) -> Disk {
        Disk::new(self.process())
    }

    /// `kill -9`: what the process had open is closed, and its locks are free. What it did stays.
    pub fn kill(&self, process: &Process) {
        let mut state = self.state();
        let ends: Vec<u64> =
            state.openings.iter().filter(|(_, o)| o.process == process.id()).map(|(id, _)| *id).collect();
        for opening in ends {
            state.close(opening);
        }
    }

    /// The same disk without any process: the original is not touched by what is done to the copy.
    pub fn fork(&self) -> Machine {
        let state = self.state();
        let mut tree = state.tree.clone();
        tree.sweep();
        let next_node = state.next_node;
        let fork = Machine::boot(tree, state.journal.clone(), state.now, state.boot, state.rng.clone(), state.short);
        // The journal knows inodes that are gone from the tree.
        fork.state().next_node = next_node;
        fork.state().ticking = state.ticking;
        fork
    }

    /// The machine after a power cut: another boot, no process, and of what was not flushed what `cut` says.
    pub fn crash(&self, cut: Cut) -> Machine {
        let state = self.state();
        let tree = state.journal.after(cut);
        let journal = Journal::new(tree.clone(), state.journal.store());
        Machine::boot(tree, journal, state.now, state.boot + 1, state.rng.clone(), state.short)
    }

    /// What the machine is now, to look into later.
    pub fn moment(&self) -> Moment {
        let state = self.state();
        Moment { tree: state.tree.clone(), journal: state.journal.clone(), now: state.now, boot: state.boot }
    }

    /// Rises with each change, and with each flush.
    pub fn changes(&self) -> u64 {
        self.state().journal.changes()
    }

    /// How many changes a power cut could still take back.
    pub fn unflushed(&self) -> usize {
        self.state().journal.unflushed()
    }

    /// All that was done is on the disk, as half a minute later.
    pub fn settle(&self) {
        self.state().journal.sync_all();
    }

    /// The flush of this file failed: what it should have written will never be. `None` for a flush of everything.
    pub fn flush_failed(&self, file: Option<&Handle>) {
        let mut state = self.state();
        let node = file.and_then(|file| Process::node(&state, file));
        state.journal.lose(node);
    }

    pub fn set_clock(&self, now: Time) {
        self.state().now = now;
    }

    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.now = state.now.plus(by);
    }

    pub fn now(&self) -> Time {
        self.state().now
    }

    pub fn set_free(&self, bytes: u64, inodes: Option<u64>) {
        self.state().free = Free { bytes, inodes };
    }

    pub fn reboot(&self) {
        self.state().boot += 1;
    }

    /// Whether reads and writes are short now and then; they are on a new machine.
    pub fn set_short(&self, short: bool) {
        self.state().short = short;
    }

    /// The clock stands still from here on, and nothing is short: what is done twice is the same.
    pub fn stand_still(&self) {
        let mut state = self.state();
        (state.ticking, state.short) = (false, false);
    }

    /// A file's contents by its path, past all steps; `None` where there is no file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        match &state.tree.nodes.get(&state.walk(path.as_ref())?)?.what {
            What::File(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Writes a file as a person would with an editor: it is there at once, whole and flushed, and parents are made.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.plant(path.as_ref(), What::File(bytes.to_vec()));
    }

    pub fn symlink(&self, path: impl AsRef<Path>, to: impl AsRef<Path>) {
        self.plant(path.as_ref(), What::Symlink(to.as_ref().to_path_buf()));
    }

    pub fn socket(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), What::Socket);
    }

    /// A second name of a file.
    pub fn link(&self, path: impl AsRef<Path>, second: impl AsRef<Path>) {
        let mut state = self.state();
        let node = state.walk(path.as_ref()).expect("a file");
        let (dir, name) = state.parent(second.as_ref());
        let born = Inode::clone(&state.tree.nodes[&node]);
        state.make(Change::Make { dir, name: name.to_os_string(), node, born });
        state.journal.sync_all();
    }

    pub fn mkdir(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), What::Dir(BTreeMap::new()));
    }

    pub fn remove(&self, path: impl AsRef<Path>) {
        let mut state = self.state();
        let (dir, name) = state.parent(path.as_ref());
        state.make(Change::Remove { dir, name: name.to_os_string() });
        state.journal.sync_all();
    }

    fn plant(&self, path: &Path, what: What) {
        let mut state = self.state();
        let (dir, name) = state.parent(path);
        if let (Some(node), What::File(bytes)) = (state.tree.entry(dir, name), &what) {
            state.make(Change::Truncate { node, length: 0 });
            state.make(Change::Write { node, offset: 0, bytes: bytes.clone() });
        } else {
            state.born(dir, name, what, 0o600);
        }
        state.journal.sync_all();
    }

    /// Every path below `path` that is no directory, sorted; and every empty directory, with a slash behind it.
    pub fn files(&self, path: impl AsRef<Path>) -> Vec<String> {
        let state = self.state();
        let mut found = Vec::new();
        if let Some(dir) = state.walk(path.as_ref()) {
            state.files(dir, "", &mut found);
        }
        found
    }

    /// The same, one a line, for a message.
    pub fn listing(&self, path: impl AsRef<Path>) -> String {
        self.files(path).into_iter().fold(String::new(), |mut text, file| {
            let _ = writeln!(text, "  {file}");
            text
        })
    }
}

/// A machine at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    tree: Tree,
    pub journal: Journal,
    now: Time,
    boot: u64,
}

impl Moment {
    /// The tree that processes see.
    pub fn seen(&self) -> Tree {
        let mut tree = self.tree.clone();
        tree.sweep();
        tree
    }

    /// The same for two trees that no process can tell apart, at the same time to the second.
    pub fn mark(&self, tree: &Tree) -> (u64, u64) {
        (mark(tree), self.now.micros() / 1_000_000)
    }

    /// The time, and which boot it is.
    pub fn clock(&self) -> (u64, u64) {
        (self.now.micros() / 1_000_000, self.boot)
    }

    /// A machine with this tree, and no process; it will have no power cut.
    pub fn with(&self, tree: Tree, rebooted: bool) -> Machine {
        let journal = Journal::new(Tree::new(self.now), self.journal.store());
        Machine::boot(tree, journal, self.now, self.boot + u64::from(rebooted), Rng::new(self.boot), false)
    }
}

impl State {
    /// A moment passes with each look at the clock.
    pub fn tick(&mut self) -> Time {
        if self.ticking {
            self.now = self.now.plus(Duration::from_micros(1));
        }
        self.now
    }

    /// Makes a change that was checked, for all to see.
    pub fn make(&mut self, change: Change) {
        let at = self.now;
        if let Some(nameless) = self.tree.apply(&change, at) {
            self.reap(nameless);
        }
        self.journal.record(change, at);
    }

    /// Makes a new inode under a name.
    pub fn born(&mut self, dir: Node, name: &OsStr, what: What, mode: u32) -> Node {
        let node = Node(self.next_node);
        self.next_node += 1;
        let born = self.inode(what, mode);
        self.make(Change::Make { dir, name: name.to_os_string(), node, born });
        node
    }

    /// Makes an inode without a name, which no journal knows.
    pub fn unnamed(&mut self) -> Node {
        let node = Node(self.next_node);
        self.next_node += 1;
        let inode = self.inode(What::File(Vec::new()), 0o600);
        self.tree.nodes.insert(node, Arc::new(inode));
        node
    }

    fn inode(&mut self, what: What, mode: u32) -> Inode {
        let number = self.free_numbers.pop_first().unwrap_or_else(|| {
            self.next_number += 1;
            self.next_number - 1
        });
        let owner = Owner { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() };
        Inode { what, number, mode, owner, modified: self.now, changed: self.now, names: 0 }
    }

    pub fn open(&mut self, node: Node, process: u32, writable: bool) -> u64 {
        let opening = self.next_opening;
        self.next_opening += 1;
        self.openings.insert(opening, Opening { node, process, writable });
        opening
    }

    /// Closes an opening, and frees its lock with it.
    pub fn close(&mut self, opening: u64) {
        if let Some(Opening { node, .. }) = self.openings.remove(&opening) {
            if self.locks.get(&node) == Some(&opening) {
                self.locks.remove(&node);
            }
            self.bytes.retain(|_, holder| *holder != opening);
            if self.tree.nodes.get(&node).is_some_and(|inode| inode.names == 0) {
                self.reap(node);
            }
        }
    }

    /// An inode without a name lives as long as it is open; then its number is free for the next.
    fn reap(&mut self, node: Node) {
        if !self.openings.values().any(|opening| opening.node == node)
            && let Some(inode) = self.tree.nodes.remove(&node)
        {
            self.free_numbers.insert(inode.number);
        }
    }

    /// Follows a path from the root, without links.
    pub fn walk(&self, path: &Path) -> Option<Node> {
        parts(path).try_fold(ROOT, |dir, part| self.tree.entry(dir, part))
    }

    /// The directory and the last name of a path; missing directories are made.
    fn parent<'a>(&mut self, path: &'a Path) -> (Node, &'a OsStr) {
        let mut parts: Vec<&OsStr> = parts(path).collect();
        let name = parts.pop().expect("a name");
        let dir = parts.into_iter().fold(ROOT, |dir, part| match self.tree.entry(dir, part) {
            Some(node) => node,
            None => self.born(dir, part, What::Dir(BTreeMap::new()), 0o700),
        });
        (dir, name)
    }

    fn files(&self, dir: Node, above: &str, found: &mut Vec<String>) {
        for (name, node) in self.tree.entries(dir).into_iter().flatten() {
            let path = format!("{above}{}", name.to_string_lossy());
            match self.tree.entries(*node) {
                Some(entries) if entries.is_empty() => found.push(format!("{path}/")),
                Some(_) => self.files(*node, &format!("{path}/"), found),
                None => found.push(path),
            }
        }
    }
}

fn parts(path: &Path) -> impl Iterator<Item = &OsStr> {
    use std::path::Component;
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}
