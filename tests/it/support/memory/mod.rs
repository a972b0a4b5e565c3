//! A file system in memory behind [`mq::fs::Steps`], for tests that stop a process or the whole machine at any step. One
//! [`Machine`] has a disk, a clock and a boot id; each [`Process`] on it takes steps through descriptors of its own.
//!
//! It is single-threaded in spirit: a lock that is held never comes, whatever the patience.

mod journal;
mod machine;
mod names;
mod process;
mod subsets;
#[cfg(test)]
mod tests;
mod tree;

pub use journal::Cut;
pub use machine::Machine;
