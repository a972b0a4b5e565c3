//! Every example of the README and of the hand-written manual pages is run, and their tables are held against the code.

mod examples;
mod faults;
mod format;
mod help;
mod locks;
pub mod mdoc;
mod readme;
pub mod shell;
mod tutorial;
