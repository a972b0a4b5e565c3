//! What the tests stand on.

use std::sync::LazyLock;

pub mod inject;
pub mod memory;
pub mod pty;
pub mod rng;
pub mod sandbox;
pub mod things;

/// The program under test: the one that cargo built beside the tests, or the one at the path in MQ_TEST_PROGRAM, whose name has
/// to be `mq`. So `.ci/run` tests what the README installs.
pub fn program() -> &'static str {
    static PROGRAM: LazyLock<String> =
        LazyLock::new(|| std::env::var("MQ_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mq").to_string()));
    &PROGRAM
}
