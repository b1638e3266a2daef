//! Announcements to the embedded log.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::LocalFailure;
use super::log::LocalLog;
use super::topics;
use crate::one_file::{Appended, append};
use crate::ports::{OutputRecord, Progress, Sink, SinkError};

/// What a sink needs to know.
#[derive(Clone, Debug)]
pub struct LocalSinkSettings {
    /// The log.
    pub log: LocalLog,
    /// The name under which progress is kept.
    pub progress: String,
    /// The topics that must exist.
    pub topics: Vec<String>,
}

/// Appends records and progress in one transaction, so that each is there once.
#[derive(Debug)]
pub struct LocalSink {
    settings: LocalSinkSettings,
    /// Which opening of the progress this is; `None` until it is open, and after an error.
    epoch: Option<i64>,
}

impl LocalSink {
    /// A sink that is not open yet.
    pub fn new(settings: LocalSinkSettings) -> Self {
        Self { settings, epoch: None }
    }

    async fn write(&self, epoch: i64, records: &[OutputRecord], progress: Progress) -> Result<(), SinkError> {
        let doing = || LocalFailure::database("publishing to the embedded log");
        let mut transaction = self.settings.log.begin_writing().await.map_err(doing())?;
        let (current, last) = read(&mut transaction, &self.settings.progress).await.map_err(doing())?;
        if current != epoch {
            return Err(SinkError::Fenced(format!("opening {current} of the embedded log's progress")));
        }
        if last.is_some_and(|last| last.installation == progress.installation && last.batch >= progress.batch) {
            // The store has appended it by itself.
            return Ok(());
        }
        if let Appended::Missing(topics) = append(&mut transaction, records).await.map_err(doing())? {
            let file = self.settings.log.file().to_owned();
            return Err(LocalFailure::MissingTopics { file, topics }.into());
        }
        write(&mut transaction, &self.settings.progress, progress).await.map_err(doing())?;
        transaction.commit().await.map_err(doing())?;
        self.settings.log.hint().appended();
        Ok(())
    }
}

impl Sink for LocalSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        self.epoch = None;
        let LocalSinkSettings { log, progress, topics } = &self.settings;
        topics::all(log, topics).await?;
        let doing = || LocalFailure::database("opening the embedded log for publishing");
        let mut transaction = log.begin_writing().await.map_err(doing())?;
        sqlx::query(
            "insert into log_progress (name, epoch) values (?1, 1) on conflict (name) do update set epoch = epoch + 1",
        )
        .bind(progress)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
        let (epoch, last) = read(&mut transaction, progress).await.map_err(doing())?;
        transaction.commit().await.map_err(doing())?;
        self.epoch = Some(epoch);
        Ok(last)
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        let Some(epoch) = self.epoch.take() else {
            return Err(SinkError::Unclear("the sink is not open".to_owned()));
        };
        self.write(epoch, &records, progress).await?;
        self.epoch = Some(epoch);
        Ok(())
    }

    async fn close(self) {}
}

/// Which opening is the newest, and how far publishing has come.
async fn read(connection: &mut SqliteConnection, name: &str) -> Result<(i64, Option<Progress>), sqlx::Error> {
    let (epoch, installation, batch, seq): (i64, Option<Uuid>, Option<i64>, Option<i64>) =
        sqlx::query_as("select epoch, installation, batch, seq from log_progress where name = ?1")
            .bind(name)
            .fetch_one(connection)
            .await?;
    let progress = match (installation, batch, seq) {
        (Some(installation), Some(batch), Some(seq)) => Some(Progress { installation, batch, seq }),
        _ => None,
    };
    Ok((epoch, progress))
}

async fn write(connection: &mut SqliteConnection, name: &str, progress: Progress) -> Result<(), sqlx::Error> {
    sqlx::query("update log_progress set installation = ?2, batch = ?3, seq = ?4 where name = ?1")
        .bind(name)
        .bind(progress.installation)
        .bind(progress.batch)
        .bind(progress.seq)
        .execute(connection)
        .await?;
    Ok(())
}
