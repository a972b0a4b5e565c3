//! The integration tests: one binary, whose modules mirror `src`.

// The tests look at files past the gate that the program has to go through.
#![allow(clippy::disallowed_methods)]

mod cli;
mod docs;
mod man;
mod queue;
mod support;
mod work;
