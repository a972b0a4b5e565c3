//! The commands that look at messages and take them out.

mod dlq;
mod fsck;
mod ls;
mod r#move;
mod rm;
mod select;
mod show;
mod stats;
mod terminal;
