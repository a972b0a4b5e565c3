//! Every disk that a power cut can leave at one moment, and not some of them: each beginning of the names, with each write
//! lost, torn in its middle, or whole. What stands in files that no name leads to makes no difference, and is left out.

use super::journal::{Entry, Journal};
use super::tree::{Change, Node, Tree};
use crate::support::rng::Rng;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many disks there are at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reach {
    /// As many as were looked at, be it now or at another moment that has them too.
    pub subsets: u64,
    /// Beginnings of the names that were not looked at before, and those of them with more disks than were looked at.
    pub beginnings: u64,
    pub sampled: u64,
}

/// What becomes of each write, by its place in the log: 0 is lost, 1 whole, 2 torn.
type Fates = HashMap<usize, u8>;

impl Journal {
    /// Hands every disk to `each`, with a line that says which it is; of one beginning of the names no more than `most`, and
    /// then those first that are nearest to nothing and to everything. `fresh` is told a mark of each beginning, and says
    /// whether it is worth a look.
    pub fn every_cut(
        &self,
        most: u64,
        mut fresh: impl FnMut(u64) -> bool,
        mut each: impl FnMut(Tree, &dyn Fn() -> String),
    ) -> Reach {
        let mut reach = Reach::default();
        let names = self.log.iter().filter(|entry| entry.change.contents_of().is_none()).count();
        let disk = mark(&self.disk);
        for kept in 0..=names {
            let writes = self.writes(kept);
            let whole = writes.iter().try_fold(1_u64, |all, (_, fates)| all.checked_mul(u64::from(*fates)));
            let all = whole.filter(|all| *all <= most);
            reach.subsets += all.unwrap_or(most);
            if !fresh(self.mark_of(disk, kept, &writes)) {
                continue;
            }
            reach.beginnings += 1;
            reach.sampled += u64::from(all.is_none());
            let mut look = |fates: &Fates| {
                let tree = self.after_these(kept, fates);
                each(tree, &|| format!("{kept} of {names} names survive, and of the writes {fates:?} of {writes:?}"));
            };
            match all {
                Some(all) => (0..all).for_each(|number| look(&numbered(&writes, number))),
                None => chosen(&writes, most).iter().for_each(look),
            }
        }
        reach
    }

    /// The same for two moments at which a power cut can leave the same disks.
    pub fn mark(&self) -> u64 {
        let written = |entry: &Entry| entry.change.contents_of().is_some();
        let writes: Vec<_> =
            self.log.iter().enumerate().filter(|(_, entry)| written(entry)).map(|(at, _)| (at, 2)).collect();
        self.mark_of(mark(&self.disk), self.log.len(), &writes)
    }

    /// The writes that matter where `kept` names survive, each with the number of its fates.
    fn writes(&self, kept: usize) -> Vec<(usize, u8)> {
        let mut tree = self.after_these(kept, &Fates::new());
        tree.sweep();
        let fates = |change: &Change| match change {
            Change::Write { node, bytes, .. } if tree.nodes.contains_key(node) => Some(2 + u8::from(bytes.len() > 1)),
            Change::Truncate { node, .. } if tree.nodes.contains_key(node) => Some(2),
            _ => None,
        };
        self.log.iter().enumerate().filter_map(|(at, entry)| Some((at, fates(&entry.change)?))).collect()
    }

    fn after_these(&self, mut kept: usize, fates: &Fates) -> Tree {
        let mut tree = self.disk.clone();
        for (at, Entry { change, at: when }) in self.log.iter().enumerate() {
            if change.contents_of().is_none() {
                if kept > 0 {
                    kept -= 1;
                    tree.apply(change, *when);
                }
                continue;
            }
            match (fates.get(&at), change) {
                (Some(2), Change::Write { node, offset, bytes }) => {
                    let bytes = bytes[..bytes.len() / 2].to_vec();
                    tree.apply(&Change::Write { node: *node, offset: *offset, bytes }, *when);
                }
                (Some(1), change) => drop(tree.apply(change, *when)),
                _ => (),
            }
        }
        tree.sweep();
        tree
    }

    /// The same for two moments that have these disks in common.
    fn mark_of(&self, disk: u64, kept: usize, writes: &[(usize, u8)]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (disk, kept).hash(&mut hasher);
        let names = self.log.iter().filter(|entry| entry.change.contents_of().is_none()).take(kept);
        let written = writes.iter().map(|(at, _)| &self.log[*at]);
        for Entry { change, at } in names.chain(written) {
            match change {
                Change::Make { dir, name, node, born } => {
                    (0, dir, name, node, born.mode, format!("{:?}", born.what)).hash(&mut hasher);
                }
                Change::Rename { from, name, to, new } => (1, from, name, to, new).hash(&mut hasher),
                Change::Remove { dir, name } => (2, dir, name).hash(&mut hasher),
                Change::Touch { node } => (3, node).hash(&mut hasher),
                Change::Write { node, offset, bytes } => (4, node, offset, bytes).hash(&mut hasher),
                Change::Truncate { node, length } => (5, node, length).hash(&mut hasher),
            }
            (at.micros() / SECOND).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn numbered(writes: &[(usize, u8)], mut number: u64) -> Fates {
    let fate = |&(at, fates): &(usize, u8)| {
        let fate = number % u64::from(fates);
        number /= u64::from(fates);
        (at, u8::try_from(fate).unwrap_or(0))
    };
    writes.iter().map(fate).collect()
}

/// All, none, all but one, one alone, and the rest by lot.
fn chosen(writes: &[(usize, u8)], most: u64) -> Vec<Fates> {
    let all = |fate: u8| -> Fates { writes.iter().map(|(at, _)| (*at, fate)).collect() };
    let mut chosen = vec![all(1), all(0)];
    for &(at, fates) in writes {
        for fate in 0..fates {
            for others in [1, 0] {
                let mut one = all(others);
                one.insert(at, fate);
                chosen.push(one);
            }
        }
    }
    let mut rng = Rng::new(most);
    while (chosen.len() as u64) < most {
        let lot = |&(at, fates): &(usize, u8)| (at, u8::try_from(rng.below(usize::from(fates))).unwrap_or(0));
        chosen.push(writes.iter().map(lot).collect());
    }
    chosen.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    chosen
}

const SECOND: u64 = 1_000_000;

/// The same for two trees that a process cannot tell apart: names, contents, modes, links, and times to the second.
pub fn mark(tree: &Tree) -> u64 {
    fn walk(tree: &Tree, dir: Node, hasher: &mut DefaultHasher) {
        for (name, node) in tree.entries(dir).into_iter().flatten() {
            let Some(inode) = tree.nodes.get(node) else { continue };
            OsStr::hash(name, hasher);
            (inode.mode, inode.names, inode.modified.micros() / SECOND).hash(hasher);
            match &inode.what {
                super::tree::What::File(bytes) => bytes.hash(hasher),
                super::tree::What::Dir(_) => {
                    walk(tree, *node, hasher);
                    0xff_u8.hash(hasher);
                }
                super::tree::What::Symlink(to) => to.hash(hasher),
                super::tree::What::Socket => 0xfe_u8.hash(hasher),
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    walk(tree, super::tree::ROOT, &mut hasher);
    hasher.finish()
}
