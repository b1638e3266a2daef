//! Announcements into the embedded log, in the transaction that commits their batch: where store and sink are one file,
//! nothing is left for the relay. The appending is the same as the bus's own (`src/bus/local/append.rs`); neither
//! adapter sees the other, and the transaction never leaves this one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use super::clock;
use super::commit::Failed;
use crate::ports::{OutboxBatch, OutputRecord, StoreError};
use crate::wire::encode::Encoder;
use crate::wire::packed::{self, TopicStart};

/// Hears of announcements that are durable, with their number and how long appending took.
pub type Appended = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// Where a store announces its batches by itself.
#[derive(Clone)]
pub struct AnnouncementLog {
    /// Makes records.
    pub encoder: Arc<Encoder>,
    /// The name under which the log keeps progress.
    pub progress: String,
    /// Called after the commit.
    pub appended: Appended,
}

impl AnnouncementLog {
    /// Appends what a batch announces, and marks it as published; tells how long that took. `None` when an earlier
    /// batch is not published yet: then this one waits for the relay, as that one does.
    pub(super) async fn append(
        &self,
        connection: &mut SqliteConnection,
        batch: &OutboxBatch,
    ) -> Result<Option<Duration>, Failed> {
        let started = Instant::now();
        let marked =
            sqlx::query("update relay set published_number = ?1, published_seq = ?2 where published_number = ?1 - 1")
                .bind(batch.number)
                .bind(batch.last_seq())
                .execute(&mut *connection)
                .await?;
        if marked.rows_affected() == 0 {
            return Ok(None);
        }
        insert(connection, &self.encoder.encode(batch)).await?;
        sqlx::query(
            "insert into log_progress (name, installation, batch, seq) select ?1, id, ?2, ?3 from installation where true
             on conflict (name) do update
             set installation = excluded.installation, batch = excluded.batch, seq = excluded.seq",
        )
        .bind(&self.progress)
        .bind(batch.number)
        .bind(batch.last_seq())
        .execute(&mut *connection)
        .await?;
        Ok(Some(started.elapsed()))
    }
}

impl fmt::Debug for AnnouncementLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AnnouncementLog").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// Appends records in their order: the ends of their topics, the last number, the rows.
async fn insert(connection: &mut SqliteConnection, records: &[OutputRecord]) -> Result<(), Failed> {
    let counts = packed::counted(records);
    let grown: Vec<(i64, String, i64)> = sqlx::query_as(
        "update log_topic set next_offset = next_offset + added.records
         from (select value ->> 0 as name, value ->> 1 as records from json_each(?1)) as added
         where log_topic.name = added.name returning log_topic.id, log_topic.name, log_topic.next_offset",
    )
    .bind(serde_json::json!(counts.iter().collect::<Vec<_>>()).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let start = |(topic, name, end): (i64, String, i64)| {
        let added = counts.get(&*name).copied().unwrap_or_default();
        (name, TopicStart { topic, offset: end - added })
    };
    let starts: HashMap<String, TopicStart> = grown.into_iter().map(start).collect();
    let missing: Vec<&str> = counts.keys().filter(|name| !starts.contains_key(**name)).copied().collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let error = format!("missing in the embedded log: {missing}; create them with: holdfast topics apply");
        return Err(StoreError::Fatal(error).into());
    }
    let added = records.len() as i64;
    let (last_id, arrived_at): (i64, i64) = sqlx::query_as(concat!(
        "update log_end set last_id = last_id + ?1, last_arrival = max(last_arrival, ",
        clock!(),
        ") returning last_id, last_arrival"
    ))
    .bind(added)
    .fetch_one(&mut *connection)
    .await?;
    let packed = packed::pack(records, last_id - added + 1, &starts);
    sqlx::query(
        "insert into log_record (id, topic, record_offset, arrived_at, recorded_at, key, headers, payload)
         select value ->> 0, value ->> 1, value ->> 2, ?3, value ->> 3, substr(?2, value ->> 4, value ->> 5),
                substr(?2, value ->> 6, value ->> 7), substr(?2, value ->> 8, value ->> 9)
         from jsonb_each(?1)",
    )
    .bind(packed.rows)
    .bind(packed.bytes)
    .bind(arrived_at)
    .execute(connection)
    .await?;
    Ok(())
}
