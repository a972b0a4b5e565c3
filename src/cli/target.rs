//! Where messages go that are moved: `--to QUEUE`.

use super::Globals;
use super::queues::{Named, Spot, disk};
use crate::queue::{Error, Queue};
use anyhow::Result;

/// A queue that messages go to.
#[derive(Debug)]
pub enum Target {
    /// The one they come from.
    Same,
    /// A queue that is opened, or made, when the first message goes there.
    Named(Spot),
    Open(Box<Queue>),
}

impl Target {
    /// Checks the target before anything moves. A name that is no queue yet becomes one, as `send` does it.
    pub fn find(globals: &Globals, name: &str, from: &Spot) -> Result<Target> {
        let spot = globals.spot(name)?;
        match Queue::open(&disk(), &spot.path) {
            Err(Error::NoQueue { .. }) if spot.named == Named::Name => Ok(Target::Named(spot)),
            Err(Error::NoQueue { .. }) => globals.open(name).map(|_| Target::Named(spot)),
            Err(error) => Err(error.into()),
            Ok(_) if same(&spot, from)? => Ok(Target::Same),
            Ok(queue) => Ok(Target::Open(Box::new(queue))),
        }
    }

    /// The other queue, made if it is missing; `None` for the one they come from.
    pub fn open(&mut self, globals: &Globals) -> Result<Option<&Queue>> {
        if let Target::Named(spot) = self {
            *self = Target::Open(Box::new(globals.open_or_create(&spot.label)?.0));
        }
        Ok(match &*self {
            Target::Open(queue) => Some(queue.as_ref()),
            Target::Same | Target::Named(_) => None,
        })
    }
}

/// One directory may have two names.
fn same(one: &Spot, other: &Spot) -> Result<bool> {
    let identity = |spot: &Spot| disk().stat_path(&spot.path).map(|stat| stat.identity).map_err(Error::Disk);
    Ok(identity(one)? == identity(other)?)
}
