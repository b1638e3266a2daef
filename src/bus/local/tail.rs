//! Reading what is published, in one order, without a group.

use std::collections::VecDeque;

use tokio::sync::watch;
use tokio::time::sleep;

use super::cursor::{self, Cursor, Room};
use super::error::LocalFailure;
use super::log::LocalLog;
use super::reading::POLL;
use super::topics;
use crate::bus::tail::TailStart;
use crate::ports::Record;

/// How much one look takes.
const ROOM: Room = Room { records: 1_024, bytes: 4 * 1024 * 1024 };

/// What to read.
#[derive(Clone, Debug)]
pub struct LocalTailSettings {
    /// The log.
    pub log: LocalLog,
    /// The topics.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailStart,
    /// Whether to end at what was there at the beginning, instead of following.
    pub until_end: bool,
}

/// A reader of some topics, in the order of arrival, which is the order of `seq`. Sees only what is committed.
#[derive(Debug)]
pub struct LocalTail {
    log: LocalLog,
    cursor: Cursor,
    /// Where it ends, when it does.
    last: Option<i64>,
    waiting: VecDeque<Record>,
    appended: watch::Receiver<()>,
}

impl LocalTail {
    /// Looks for the topics and where to begin. Fails with the names of missing topics. Cancel-safe.
    pub async fn open(settings: LocalTailSettings) -> Result<Self, LocalFailure> {
        let LocalTailSettings { log, topics, from, until_end } = settings;
        let appended = log.appended();
        let last = cursor::end(&log).await?;
        let mut began = Vec::new();
        for topic in topics::all(&log, &topics).await? {
            let offset = match from {
                TailStart::Start => 0,
                TailStart::End => topic.end,
                TailStart::Time(time) => topics::offset_at(log.readers(), &topic, time)
                    .await
                    .map_err(LocalFailure::database(format!("looking for a time in {}", topic.name)))?,
            };
            began.push((topic, offset));
        }
        let cursor = Cursor::before(&log, began).await?;
        Ok(Self { log, cursor, last: until_end.then_some(last), waiting: VecDeque::new(), appended })
    }

    /// The next record; `None` at the end, where there is one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Record>, LocalFailure> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Ok(Some(record));
            }
            if self.last.is_some_and(|last| self.cursor.has_reached(last)) {
                return Ok(None);
            }
            let before = self.cursor.place();
            self.waiting.extend(self.cursor.next(&self.log, ROOM, self.last).await?);
            if self.waiting.is_empty() && self.cursor.place() == before {
                tokio::select! {
                    _ = self.appended.changed() => {}
                    () = sleep(POLL) => {}
                }
            }
        }
    }
}
