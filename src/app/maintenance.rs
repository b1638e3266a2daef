//! What the clock asks for, round by round, so that whoever writes comes in between.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::local::{LocalLog, drop_old};
use crate::ports::StoreError;
use crate::store::{AnyStore, Upkeep};

/// How often partitions are made ahead and old rows dropped.
const INTERVAL: Duration = Duration::from_secs(300);
/// How long a round is waited for that goes on where the last one ended. Rows may be made faster than a round an
/// interval deletes them, and a file has one lock, which batches need, too.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes partitions ahead and drops old rows and records, now and then, until `stop`. A round that runs is ended first.
///
/// # Errors
/// [`StoreError::Fatal`] of the store. What passes, and what the log cannot do, is logged and tried again.
pub(super) async fn maintain(
    store: AnyStore,
    log: Option<LocalLog>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let mut wait = maintain_store(&store).await?;
        if let Some(log) = &log
            && !stop.is_cancelled()
        {
            wait = wait.min(maintain_log(log).await);
        }
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

/// One round, and how long to wait for the next.
async fn maintain_store(store: &AnyStore) -> Result<Duration, StoreError> {
    match store.maintain().await {
        Ok(report) => {
            tracing::debug!(?report, "maintenance");
            Ok(until_next(report.is_unfinished))
        }
        Err(StoreError::Transient(error)) => {
            tracing::warn!(%error, "maintenance could not be done, it waits");
            Ok(INTERVAL)
        }
        Err(error @ StoreError::Fatal(_)) => Err(error),
    }
}

async fn maintain_log(log: &LocalLog) -> Duration {
    match drop_old(log).await {
        Ok(dropped) => {
            tracing::debug!(?dropped, "old records of the embedded log");
            until_next(dropped.is_unfinished)
        }
        Err(failure) => {
            tracing::warn!(%failure, "old records of the embedded log were not dropped");
            INTERVAL
        }
    }
}

fn until_next(is_unfinished: bool) -> Duration {
    if is_unfinished { PAUSE } else { INTERVAL }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqliteConnection};

    use super::*;
    use crate::store::Retention;
    use crate::store::sqlite::{SqliteSettings, SqliteStore};

    /// More than a round takes of each.
    const BATCHES: i64 = 1_200;
    const RECORDS: i64 = 12_000;

    /// A file in which more is due than a round takes.
    async fn overdue(folder: &tempfile::TempDir) -> (AnyStore, LocalLog, SqliteConnection) {
        let file = folder.path().join("shop.db");
        let retention = Retention {
            inbox_keep_days: 30,
            inbox_max_days: 100,
            dead_letter_keep_days: 30,
            keep_published_seconds: 60,
            alert_keep_days: 30,
        };
        let settings =
            SqliteSettings { file: file.clone(), create: true, readers: 2, acquire_timeout_ms: 30_000, retention };
        let store = SqliteStore::connect(settings).await.unwrap();
        store.migrate().await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        let mut connection = options.connect().await.unwrap();
        let numbers = |last: i64| {
            format!("with recursive n (number) as (select 0 union all select number + 1 from n where number < {last})")
        };
        for statement in [
            format!("{} insert into outbox select number, number, 0, 1, x'' from n", numbers(BATCHES)),
            format!("update relay set published_number = {BATCHES}"),
            format!("insert into log_topic values (1, 't', 1000, {RECORDS})"),
            format!(
                "{} insert into log_record select number, 1, number, 1, 1, null, null, null from n",
                numbers(RECORDS - 1)
            ),
        ] {
            connection.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        let log = LocalLog::open(&file).await.unwrap();
        (AnyStore::Sqlite(store), log, connection)
    }

    /// How many batches and records are left.
    async fn left(connection: &mut SqliteConnection) -> (i64, i64) {
        let counts = "select (select count(*) from outbox), (select count(*) from log_record)";
        sqlx::query_as(counts).fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn a_stop_is_heard_after_one_round_however_much_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let (store, log, mut connection) = overdue(&folder).await;
        let stop = CancellationToken::new();
        stop.cancel();
        maintain(store, Some(log), stop).await.unwrap();
        assert_eq!(left(&mut connection).await, (BATCHES + 1 - 500, RECORDS));
    }

    #[tokio::test]
    async fn rounds_follow_each_other_until_nothing_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let (store, log, mut connection) = overdue(&folder).await;
        let stop = CancellationToken::new();
        let maintaining = tokio::spawn(maintain(store, Some(log), stop.clone()));
        let started = Instant::now();
        // The newest published batch stays.
        while left(&mut connection).await != (1, 0) {
            assert!(started.elapsed() < Duration::from_secs(60), "something due is left");
        }
        stop.cancel();
        maintaining.await.unwrap().unwrap();
    }
}
