//! What a person or a script types, and what comes back.

mod claim;
mod config;
mod controls;
mod descriptors;
mod expiry;
mod files;
mod groups;
mod hostile;
mod input;
mod inspect;
mod large;
mod limits;
mod packs;
mod places;
mod pop;
mod protections;
mod race;
mod records;
mod replay;
mod restored;
mod send;
mod settle;
mod stranger;
mod syscalls;
mod unique;
mod usage;
