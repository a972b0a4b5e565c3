//! Sending again what was acknowledged and is kept: as a new message, with an id and a uid of its own, that names the one it
//! was made from. What is kept stays as it is.

use super::Queue;
use super::batch::Batch;
use super::browse::Place;
use super::envelope::{Envelope, variable};
use super::error::{Error, Result};
use super::header::Line;
use super::message::{self, Content, Depth, Message};
use crate::fs::Access;

/// The header in which a message that was sent again has the uid of the one it was made from.
pub const REPLAY_OF: &str = "Replay-Of";

/// How much of a large body is in memory at once.
const CHUNK: usize = 256 << 10;

/// A kept message that was read whole and found to be what was sent.
#[derive(Debug)]
pub struct Replay {
    message: Message,
    envelope: Envelope,
}

impl Queue {
    /// Reads a kept message whole, without disturbing it. `None` when it is gone.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was sent; [`Error::Refused`] when there is no room for one more header.
    pub fn replayable(&self, place: &Place) -> Result<Option<Replay>> {
        let Some(dir) = self.dir_of(place)? else { return Ok(None) };
        let file = match self.disk.open(&dir, &place.file_name, Access::Read) {
            Err(error) if error.missing() => return Ok(None),
            opened => opened?,
        };
        let stat = self.disk.stat(&file)?;
        let path = file.path().to_path_buf();
        let message = match message::load(&self.disk, file, stat, Depth::Whole)? {
            Content::Message(message) => *message,
            Content::Placeholder(_) => return Err(Error::Damaged { path, why: "it was never finished".into() }),
            Content::Bad(_, why) => return Err(Error::Damaged { path, why }),
            Content::Unknown(why) => return Err(Error::Unknown { path, why }),
        };
        let envelope = again(&message)
            .and_then(|envelope| Line::new(&envelope, &message.header.uid, self.disk.now()).map(|_| envelope))
            .map_err(|why| Error::Refused { why: format!("{} cannot be sent again: {why}", place.id()) })?;
        Ok(Some(Replay { message, envelope }))
    }
}

/// What its sender said, and where it comes from. A message that was itself sent again names its immediate source alone.
fn again(message: &Message) -> std::result::Result<Envelope, String> {
    let mut envelope = message.header.envelope();
    envelope.headers.retain(|(name, _)| variable(name) != variable(REPLAY_OF));
    envelope.header(REPLAY_OF, message.header.uid.as_str())?;
    Ok(envelope)
}

impl Replay {
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Adds it to a batch, of any queue on any file system.
    ///
    /// # Errors
    /// Whatever it is, the batch has part of a message then, and must be dropped.
    pub fn send(&self, batch: &mut Batch<'_>) -> Result<()> {
        batch.begin(&self.envelope)?;
        if let Some(body) = self.message.small_body() {
            return batch.write(body);
        }
        let mut reader = self.message.reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                got => batch.write(&buffer[..got])?,
            }
        }
    }
}
