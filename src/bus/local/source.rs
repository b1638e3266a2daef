//! Events from the embedded log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::LocalFailure;
use super::handover::{BufferLimit, Handover, Ready};
use super::log::LocalLog;
use super::membership::Positions;
use super::reading::Reading;
use crate::ports::{BatchLimit, Delivery, Outcome, Source, SourceError, SourceStatus, Taken};

/// What a source needs to know.
#[derive(Clone, Debug)]
pub struct LocalSourceSettings {
    /// The log.
    pub log: LocalLog,
    /// The consumer group.
    pub group: String,
    /// The topics.
    pub topics: Vec<String>,
    /// How often lag is measured.
    pub statistics_interval: Duration,
    /// How long closing may take before the reading task is left to itself.
    pub close_timeout: Duration,
    /// How much is held between the file and the engine.
    pub buffer: BufferLimit,
}

impl LocalSourceSettings {
    /// The usual limits.
    pub fn new(log: LocalLog, group: &str, topics: Vec<String>) -> Self {
        Self {
            log,
            group: group.to_owned(),
            topics,
            statistics_interval: Duration::from_secs(1),
            close_timeout: Duration::from_secs(10),
            buffer: BufferLimit { records: 8_192, bytes: 16 * 1024 * 1024 },
        }
    }
}

/// A member of a consumer group. One member of a group reads at a time, the others stand by.
///
/// A batch that is not settled is not given again by this source; after a restart, or once another member reads,
/// everything that was not settled comes again.
#[derive(Debug)]
pub struct LocalSource {
    handover: Arc<Handover>,
    status: watch::Receiver<SourceStatus>,
    reading: Option<JoinHandle<()>>,
    close_timeout: Duration,
}

/// What settles one batch: how far it reaches in each topic.
#[derive(Debug)]
pub struct LocalReceipt {
    epoch: i64,
    next: Positions,
}

impl LocalSource {
    /// Looks whether the topics exist and begins to read, as soon as no other member of the group does. Fails with the
    /// names of missing topics. Cancel-safe.
    pub async fn open(settings: LocalSourceSettings) -> Result<Self, LocalFailure> {
        let handover = Arc::new(Handover::new(settings.buffer));
        let close_timeout = settings.close_timeout;
        let (status_writer, status) = watch::channel(SourceStatus::default());
        let reading = Reading::open(settings, handover.clone(), status_writer).await?;
        let reading = Some(tokio::spawn(reading.run()));
        Ok(Self { handover, status, reading, close_timeout })
    }

    /// Connection, lag and takeovers, as they change.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }
}

impl Source for LocalSource {
    type Receipt = LocalReceipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Taken<LocalReceipt>, SourceError> {
        loop {
            match self.handover.take(limit)? {
                Ready::Batch(taken) => {
                    let deliveries = taken.records.into_iter().map(Delivery::Record).collect();
                    return Ok(Some((deliveries, LocalReceipt { epoch: taken.epoch, next: taken.next })));
                }
                Ready::Wait => self.handover.changed().await,
                Ready::Closed => return Ok(None),
            }
        }
    }

    /// The offsets reach the file a moment later, and when the source is closed.
    async fn settle(&mut self, receipt: LocalReceipt, _outcomes: &[Outcome]) -> Result<(), SourceError> {
        self.handover.settle(receipt.epoch, &receipt.next);
        Ok(())
    }

    /// Waits until what was settled is stored, at most for the close timeout. When that passes nothing is lost: what was
    /// not stored comes again.
    async fn close(mut self) -> Result<(), SourceError> {
        self.handover.close();
        let Some(reading) = self.reading.take() else { return Ok(()) };
        match timeout(self.close_timeout, reading).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(LocalFailure::TaskEnded.into()),
            Err(_) => {
                let waited_ms = self.close_timeout.as_millis();
                tracing::warn!(waited_ms, "the reader of the embedded log did not end in time");
                Ok(())
            }
        }
    }
}

impl Drop for LocalSource {
    /// The task ends by itself; see [`close`](Source::close) for waiting until it has.
    fn drop(&mut self) {
        self.handover.close();
    }
}
