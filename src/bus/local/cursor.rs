//! Reading records of some topics in the order of their arrival.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::LocalFailure;
use super::log::LocalLog;
use super::topics::Topic;
use crate::domain::words::Timestamp;
use crate::ports::{Position, Record};
use crate::wire::stored;

/// How much one reading takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Records.
    pub records: usize,
    /// Bytes; the record that crosses the line is still taken.
    pub bytes: usize,
}

/// A place in the log.
#[derive(Debug)]
pub(super) struct Cursor {
    /// By number: the name, and the offset from which on records are wanted.
    topics: HashMap<i64, (Arc<str>, i64)>,
    /// The numbers, as a JSON array.
    numbers: String,
    /// Everything up to this number was read or is not wanted.
    after: i64,
}

impl Cursor {
    /// Before the first wanted record: each topic with the offset from which on its records are wanted.
    pub async fn before(log: &LocalLog, topics: Vec<(Topic, i64)>) -> Result<Self, LocalFailure> {
        // The end is looked up first: what arrives meanwhile is not passed over.
        let mut after = end(log).await?;
        for (topic, from) in &topics {
            let first: Option<i64> = sqlx::query_scalar(
                "select id from log_record where topic = ?1 and record_offset >= ?2 order by record_offset limit 1",
            )
            .bind(topic.id)
            .bind(from)
            .fetch_optional(log.readers())
            .await
            .map_err(LocalFailure::database(format!("looking for offset {from} of {}", topic.name)))?;
            after = first.map_or(after, |first| after.min(first - 1));
        }
        let numbers: Vec<i64> = topics.iter().map(|(topic, _)| topic.id).collect();
        let topics = topics.into_iter().map(|(topic, from)| (topic.id, (topic.name, from))).collect();
        Ok(Self { topics, numbers: serde_json::json!(numbers).to_string(), after })
    }

    /// The next records, as many as there are and fit; none at the end, or up to `last` where it is given. Cancel-safe.
    pub async fn next(&mut self, log: &LocalLog, room: Room, last: Option<i64>) -> Result<Vec<Record>, LocalFailure> {
        let end = end(log).await?;
        let end = last.map_or(end, |last| end.min(last));
        if end <= self.after {
            return Ok(Vec::new());
        }
        let doing = || LocalFailure::database("reading the embedded log");
        // The plus keeps SQLite from an index that would have to be sorted.
        let mut rows = sqlx::query(
            "select id, topic, record_offset, recorded_at, key, headers, payload from log_record
             where id > ?1 and id <= ?2 and +topic in (select value from json_each(?3)) order by id limit ?4",
        )
        .bind(self.after)
        .bind(end)
        .bind(&*self.numbers)
        .bind(i64::try_from(room.records).unwrap_or(i64::MAX))
        .fetch(log.readers());
        let (mut records, mut bytes, mut taken, mut reached) = (Vec::new(), 0, 0, self.after);
        while taken < room.records && bytes < room.bytes {
            let Some(row) = rows.try_next().await.map_err(doing())? else {
                reached = end;
                break;
            };
            taken += 1;
            reached = row.try_get(0).map_err(doing())?;
            let record = self.record(&row)?;
            bytes += record.as_ref().map_or(0, memory_of);
            records.extend(record);
        }
        drop(rows);
        self.after = reached;
        Ok(records)
    }

    /// Whether everything up to a number was read.
    pub fn has_reached(&self, last: i64) -> bool {
        self.after >= last
    }

    /// The last number that was read or is not wanted.
    pub fn place(&self) -> i64 {
        self.after
    }

    /// The record of a row; `None` when it stands before what is wanted of its topic.
    fn record(&self, row: &SqliteRow) -> Result<Option<Record>, LocalFailure> {
        let doing = || LocalFailure::database("reading the embedded log");
        let topic: i64 = row.try_get(1).map_err(doing())?;
        let offset: i64 = row.try_get(2).map_err(doing())?;
        let Some((topic, _)) = self.topics.get(&topic).filter(|(_, from)| *from <= offset) else { return Ok(None) };
        let headers: Option<&[u8]> = row.try_get(5).map_err(doing())?;
        let headers = stored::decode_headers(headers)
            .map_err(|cause| LocalFailure::Damaged { id: row.try_get(0).unwrap_or_default(), cause })?;
        Ok(Some(Record {
            position: Position { topic: topic.clone(), partition: 0, offset },
            key: row.try_get(4).map_err(doing())?,
            headers,
            payload: row.try_get(6).map_err(doing())?,
            timestamp: Some(Timestamp(row.try_get(3).map_err(doing())?)),
        }))
    }
}

/// The last number given.
pub(super) async fn end(log: &LocalLog) -> Result<i64, LocalFailure> {
    sqlx::query_scalar("select last_id from log_end")
        .fetch_one(log.readers())
        .await
        .map_err(LocalFailure::database("looking for the end of the embedded log"))
}

/// About how much memory a record takes, in bytes.
pub(super) fn memory_of(record: &Record) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 64).sum();
    let parts = record.payload.as_ref().map_or(0, Vec::len) + record.key.as_ref().map_or(0, Vec::len);
    std::mem::size_of::<Record>() + headers + parts
}
