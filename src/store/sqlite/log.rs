//! Announcements into the embedded log, in the transaction that commits their batch: where store and sink are one file,
//! nothing is left for the relay.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use super::commit::Failed;
use crate::one_file::{Appended, append};
use crate::ports::{OutboxBatch, StoreError};
use crate::wire::encode::Encoder;

/// Hears of announcements that are durable, with their number and how long appending took.
pub type AppendedHook = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// Where a store announces its batches by itself.
#[derive(Clone)]
pub struct AnnouncementLog {
    /// Makes records.
    pub encoder: Arc<Encoder>,
    /// The name under which the log keeps progress.
    pub progress: String,
    /// Called after the commit.
    pub appended: AppendedHook,
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
        if let Appended::Missing(topics) = append(connection, &self.encoder.encode(batch)).await? {
            let missing = topics.join(", ");
            let error = format!("missing in the embedded log: {missing}; create them with: holdfast topics apply");
            return Err(StoreError::Fatal(error).into());
        }
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
