//! How the groups of a queue stand.

use super::super::error::Result;
use super::super::name::{GROUPS, GroupMark, State};
use super::super::{Error, Place, Queue};
use crate::time::Time;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// One group that has messages which have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    pub mark: GroupMark,
    /// As its first message says; `None` where that is not to be read.
    pub key: Option<String>,
    /// Messages that wait for their turn, or for a claimer.
    pub waiting: u64,
    /// What the group's first message is in: `ready` where the next claimer may have it; `dead` where it holds its group.
    pub state: State,
    /// How often the first message was claimed.
    pub attempts: u32,
    /// Since when the first message has been in the queue.
    pub oldest_age: Duration,
}

impl Queue {
    /// All groups, by their marks. Names are counted, and of each group one message is opened, for its key.
    pub fn group_stats(&self) -> Result<Vec<GroupStats>> {
        let Some(groups) = self.maybe_dir(Path::new(GROUPS))? else { return Ok(Vec::new()) };
        let mut out: BTreeMap<GroupMark, Place> = BTreeMap::new();
        for state in [State::Claimed, State::Delayed, State::Dead] {
            self.each_file(state, |place, _| {
                if let Some(mark) = place.name.ticket_of() {
                    out.insert(mark, place);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let mut marks: Vec<GroupMark> = Vec::new();
        self.disk.list(&groups, |name, _| {
            marks.extend(name.to_str().and_then(GroupMark::parse));
            ControlFlow::Continue(())
        })?;
        marks.sort_unstable();
        let ids = out.values().map(Place::id).collect();
        let now = self.disk.now();
        let mut all = Vec::new();
        for mark in marks {
            let mut waiting = 0;
            let mut first: Option<Place> = None;
            let _ = self.each_waiting(Some(mark), &ids, &mut |place, _| {
                waiting += 1;
                if first.as_ref().is_none_or(|first| place.id() < first.id()) {
                    first = Some(place);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let Some(head) = out.remove(&mark).or(first) else { continue };
            all.push(self.group_stat(mark, &head, waiting, now)?);
        }
        self.still_here()?;
        Ok(all)
    }

    fn group_stat(&self, mark: GroupMark, head: &Place, waiting: u64, now: Time) -> Result<GroupStats> {
        let key = match self.read(head) {
            Ok(message) => message.and_then(|message| message.header.group.clone()),
            Err(Error::Damaged { .. } | Error::Unknown { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(GroupStats {
            mark,
            key,
            waiting,
            state: head.state,
            attempts: head.name.attempts.count(),
            oldest_age: now.since(head.id().time()),
        })
    }
}
