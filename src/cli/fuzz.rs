//! What must hold of input that a person or a program gives, whatever the bytes: see [`crate::fuzz`].

use crate::fuzz::Target;

pub const TARGETS: [Target; 1] = [("jsonl", super::send::fuzz::jsonl)];
