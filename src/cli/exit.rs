//! Exit codes: one table, for the code, for `mq(1)` and for `mq help exit-codes`.

use crate::queue::Error;
use std::io::ErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Nothing,
    Usage,
    NotFound,
    TimedOut,
    Limit,
    Lost,
    Paused,
    Exists,
    DeadLettered,
    Data,
    Bug,
    Io,
    Again,
    NotExecutable,
    NoCommand,
}

impl Exit {
    /// Every code with its meaning. Stable: scripts depend on it.
    pub const TABLE: [(Exit, u8, &'static str); 16] = [
        (Exit::Done, 0, "done"),
        (Exit::Nothing, 1, "nothing there: no message to claim, send or select"),
        (Exit::Usage, 2, "the command line is wrong"),
        (Exit::NotFound, 3, "no such queue or message"),
        (Exit::TimedOut, 4, "a wait timed out"),
        (Exit::Limit, 5, "refused by a limit of the queue"),
        (Exit::Lost, 6, "the lease is lost: the message was settled or taken back"),
        (Exit::Paused, 7, "the queue is paused"),
        (Exit::Exists, 8, "it is already there, differently"),
        (Exit::DeadLettered, 10, "done, but a message was dead-lettered on the way"),
        (Exit::Data, 65, "damaged or refused input"),
        (Exit::Bug, 70, "a bug in mq"),
        (Exit::Io, 74, "input or output failed"),
        (Exit::Again, 75, "try again later: no space, locked, or held by somebody"),
        (Exit::NotExecutable, 126, "the command cannot be executed"),
        (Exit::NoCommand, 127, "the command is not found"),
    ];

    pub fn code(self) -> u8 {
        Exit::TABLE.iter().find(|(exit, ..)| *exit == self).map_or(70, |(_, code, _)| *code)
    }

    /// The first failure decides; a success after it does not hide it.
    #[must_use]
    pub fn or(self, later: Exit) -> Exit {
        if self == Exit::Done { later } else { self }
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Exit {
        match error {
            Error::Disk(error) if error.no_room() => Exit::Again,
            Error::Disk(error) => match error.source.kind() {
                ErrorKind::NotFound => Exit::NotFound,
                ErrorKind::WouldBlock => Exit::Again,
                _ => Exit::Io,
            },
            Error::NoQueue { .. } | Error::Moved { .. } | Error::NoMessage { .. } => Exit::NotFound,
            Error::BadQueue { .. } | Error::Refused { .. } | Error::Damaged { .. } | Error::Unknown { .. } => {
                Exit::Data
            }
            Error::Differs { .. } | Error::Duplicate { .. } => Exit::Exists,
            Error::Limit { .. } => Exit::Limit,
            Error::Lost { .. } => Exit::Lost,
            Error::Held { .. } | Error::Busy { .. } | Error::Raced { .. } | Error::Elsewhere { .. } => Exit::Again,
        }
    }
}
