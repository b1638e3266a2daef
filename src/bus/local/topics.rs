//! Topics as the file knows them.

use std::sync::Arc;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Row};

use super::error::LocalFailure;
use super::log::LocalLog;
use crate::domain::words::Timestamp;

/// A topic. It has one partition.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// Its number in the file.
    pub id: i64,
    /// Its name.
    pub name: Arc<str>,
    /// How long records are kept, in milliseconds; -1 for ever.
    pub retention_ms: i64,
    /// Where the next record will stand.
    pub end: i64,
}

impl<'r> FromRow<'r, SqliteRow> for Topic {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let name: String = row.try_get(1)?;
        Ok(Self { id: row.try_get(0)?, name: name.into(), retention_ms: row.try_get(2)?, end: row.try_get(3)? })
    }
}

/// The topics of these names that are there.
pub(super) async fn known(pool: &SqlitePool, names: &[String]) -> Result<Vec<Topic>, sqlx::Error> {
    let names = serde_json::json!(names).to_string();
    sqlx::query_as(
        "select id, name, retention_ms, next_offset from log_topic
         where name in (select value from json_each(?1)) order by id",
    )
    .bind(names)
    .fetch_all(pool)
    .await
}

/// The topics of these names.
///
/// # Errors
/// [`LocalFailure::MissingTopics`] with the names of those that are not there.
pub(super) async fn all(log: &LocalLog, names: &[String]) -> Result<Vec<Topic>, LocalFailure> {
    let found = known(log.readers(), names).await.map_err(LocalFailure::database("looking for topics"))?;
    let missing: Vec<String> =
        names.iter().filter(|name| !found.iter().any(|topic| *topic.name == ***name)).cloned().collect();
    if missing.is_empty() {
        return Ok(found);
    }
    Err(LocalFailure::MissingTopics { file: log.file().to_owned(), topics: missing })
}

/// The offset of the first record that is there; the end where there is none.
pub(super) async fn first_offset(pool: &SqlitePool, topic: &Topic) -> Result<i64, sqlx::Error> {
    let first: Option<i64> =
        sqlx::query_scalar("select record_offset from log_record where topic = ?1 order by record_offset limit 1")
            .bind(topic.id)
            .fetch_optional(pool)
            .await?;
    Ok(first.unwrap_or(topic.end))
}

/// The offset of the first record that arrived no earlier than `time`; the end where there is none. Looks at some
/// twenty records, whatever their number: arrival grows with the offset.
pub(super) async fn offset_at(pool: &SqlitePool, topic: &Topic, time: Timestamp) -> Result<i64, sqlx::Error> {
    let (mut low, mut high) = (first_offset(pool, topic).await?, topic.end);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = sqlx::query_as(
            "select record_offset, arrived_at from log_record
             where topic = ?1 and record_offset >= ?2 order by record_offset limit 1",
        )
        .bind(topic.id)
        .bind(middle)
        .fetch_optional(pool)
        .await?;
        match found {
            Some((offset, arrived_at)) if arrived_at < time.0 => low = offset + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}
