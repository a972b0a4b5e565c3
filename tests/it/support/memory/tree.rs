//! The tree of inodes and names, and the changes it goes through. Pure data: the same change applied to equal trees gives
//! equal trees, so that a tree can be rebuilt from what a power cut left of the log.

use mq::fs::{Kind, Owner};
use mq::time::Time;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

/// An inode, for ever: unlike the number that `stat` shows, it is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(pub u64);

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Of a number that is counted up: spread by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a node is a number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub type ByNode<T> = HashMap<Node, T, BuildHasherDefault<Spread>>;

pub const ROOT: Node = Node(0);

#[derive(Clone, Debug)]
pub enum What {
    File(Vec<u8>),
    Dir(BTreeMap<OsString, Node>),
    Symlink(PathBuf),
    Socket,
}

#[derive(Clone, Debug)]
pub struct Inode {
    pub what: What,
    /// What `stat` shows; the smallest free one, as ext4 gives them out, so that code which takes it for an identity after
    /// closing the file is found out.
    pub number: u64,
    pub mode: u32,
    pub owner: Owner,
    pub modified: Time,
    pub changed: Time,
    /// Names of a file or link; 1 or 0 for a directory that has a name or was removed.
    pub names: u64,
}

impl Inode {
    pub fn kind(&self) -> Kind {
        match self.what {
            What::File(_) => Kind::File,
            What::Dir(_) => Kind::Dir,
            What::Symlink(_) => Kind::Symlink,
            What::Socket => Kind::Other,
        }
    }

    pub fn size(&self) -> usize {
        match &self.what {
            What::File(bytes) => bytes.len(),
            // As if there had been much in it once: what may be removed for that is, whenever it may be.
            What::Dir(entries) => 8192 + 64 * entries.len(),
            What::Symlink(to) => to.as_os_str().len(),
            What::Socket => 0,
        }
    }
}

/// One change of the tree.
#[derive(Clone, Debug)]
pub enum Change {
    Make { dir: Node, name: OsString, node: Node, born: Inode },
    Rename { from: Node, name: OsString, to: Node, new: OsString },
    Remove { dir: Node, name: OsString },
    Touch { node: Node },
    Write { node: Node, offset: usize, bytes: Vec<u8> },
    Truncate { node: Node, length: usize },
}

impl Change {
    /// The file whose contents this changes; `None` for what goes through the journal.
    pub fn contents_of(&self) -> Option<Node> {
        match self {
            Change::Write { node, .. } | Change::Truncate { node, .. } => Some(*node),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Tree {
    /// Shared between copies of the tree until one of them changes it: a machine is copied for each accident.
    pub nodes: ByNode<Arc<Inode>>,
}

impl Tree {
    pub fn new(at: Time) -> Tree {
        let root = Inode {
            what: What::Dir(BTreeMap::new()),
            number: 2,
            mode: 0o755,
            owner: Owner { user: 0, group: 0 },
            modified: at,
            changed: at,
            names: 1,
        };
        Tree { nodes: ByNode::from_iter([(ROOT, Arc::new(root))]) }
    }

    pub fn entries(&self, dir: Node) -> Option<&BTreeMap<OsString, Node>> {
        match &self.nodes.get(&dir)?.what {
            What::Dir(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn entry(&self, dir: Node, name: &std::ffi::OsStr) -> Option<Node> {
        self.entries(dir)?.get(name).copied()
    }

    fn inode_mut(&mut self, node: Node) -> Option<&mut Inode> {
        self.nodes.get_mut(&node).map(Arc::make_mut)
    }

    /// Applies a change that was checked, and says which inode lost its last name by it. What belongs to an inode that is
    /// not here changes nothing: a power cut may have taken the inode and left the write.
    pub fn apply(&mut self, change: &Change, at: Time) -> Option<Node> {
        let mut nameless = None;
        match change {
            Change::Make { dir, name, node, born } => {
                let inode = self.nodes.entry(*node).or_insert_with(|| Arc::new(born.clone()));
                Arc::make_mut(inode).names += 1;
                self.put(*dir, name, *node, at);
            }
            Change::Rename { from, name, to, new } => {
                if let Some(node) = self.take(*from, name, at) {
                    nameless = self.forget(*to, new, at);
                    self.put(*to, new, node, at);
                    if let Some(inode) = self.inode_mut(node) {
                        inode.changed = at;
                    }
                }
            }
            Change::Remove { dir, name } => nameless = self.forget(*dir, name, at),
            Change::Touch { node } => {
                if let Some(inode) = self.inode_mut(*node) {
                    (inode.modified, inode.changed) = (at, at);
                }
            }
            Change::Write { node, offset, bytes } => {
                if let Some((contents, end)) = self.contents(*node, at).zip(offset.checked_add(bytes.len())) {
                    contents.resize(contents.len().max(end), 0);
                    contents[*offset..end].copy_from_slice(bytes);
                }
            }
            Change::Truncate { node, length } => {
                if let Some(contents) = self.contents(*node, at) {
                    contents.resize(*length, 0);
                }
            }
        }
        nameless
    }

    fn contents(&mut self, node: Node, at: Time) -> Option<&mut Vec<u8>> {
        let inode = self.inode_mut(node)?;
        (inode.modified, inode.changed) = (at, at);
        match &mut inode.what {
            What::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn put(&mut self, dir: Node, name: &std::ffi::OsStr, node: Node, at: Time) {
        if let Some(Inode { what: What::Dir(entries), modified, changed, .. }) = self.inode_mut(dir) {
            entries.insert(name.to_os_string(), node);
            (*modified, *changed) = (at, at);
        }
    }

    fn take(&mut self, dir: Node, name: &std::ffi::OsStr, at: Time) -> Option<Node> {
        let Some(Inode { what: What::Dir(entries), modified, changed, .. }) = self.inode_mut(dir) else {
            return None;
        };
        (*modified, *changed) = (at, at);
        entries.remove(name)
    }

    /// Takes a name away, and tells whether it was the inode's last.
    fn forget(&mut self, dir: Node, name: &std::ffi::OsStr, at: Time) -> Option<Node> {
        let node = self.take(dir, name, at)?;
        let inode = self.inode_mut(node)?;
        inode.names = inode.names.saturating_sub(1);
        inode.changed = at;
        (inode.names == 0).then_some(node)
    }

    /// Drops every inode that no name leads to: what fsck of the machine's own file system does after a crash.
    pub fn sweep(&mut self) {
        let mut reached = HashSet::<_, BuildHasherDefault<Spread>>::from_iter([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(dir) = todo.pop() {
            for &node in self.entries(dir).into_iter().flat_map(BTreeMap::values) {
                if reached.insert(node) {
                    todo.push(node);
                }
            }
        }
        self.nodes.retain(|node, _| reached.contains(node));
    }
}
