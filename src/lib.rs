//! `mq`: a message queue for shell scripts and cron jobs. One binary, no server; a queue is a directory.
//!
//! The library is the binary's inside, laid out so that imports run one way:
//!
//! ```text
//! main → cli → work → queue → fs          time: a leaf
//! ```
//!
//! [`fs`] is the one gate to the file system and to locks; [`queue`] is the state machine that `man/mq.5` describes, as types
//! whose methods are its transitions; [`work`] runs a command for each message; [`cli`] is all that a person types and reads.

pub mod cli;
pub mod fs;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(target_env = "musl")]
mod memory;
pub mod queue;
pub mod time;
pub mod work;
