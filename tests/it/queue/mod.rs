//! The engine, seen from outside, on a file system in memory.

mod clock;
mod crash;
mod fixture;
mod glance;
mod judge;
mod ledger;
mod limits;
mod look;
mod meanwhile;
mod memory;
mod mess;
mod model;
mod odd;
mod pace;
mod packs;
mod pairs;
mod protections;
mod recovery;
mod reference;
mod retention;
mod slices;
mod survey;
mod three;
mod unique;
mod verbs;
mod world;
