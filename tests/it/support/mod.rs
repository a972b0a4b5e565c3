//! What the tests stand on.

pub mod inject;
pub mod memory;
pub mod pty;
pub mod rng;
pub mod sandbox;
pub mod things;
