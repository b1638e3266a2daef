//! Publishing events of our own making: from files, from standard input, from tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::error::LocalFailure;
use super::log::LocalLog;
use super::topics;
use crate::bus::publish::PublishReport;
use crate::one_file::{Appended, append};
use crate::ports::OutputRecord;

/// Records that wait to be appended, and the most that one transaction takes: long enough that the flush of the disk
/// hardly counts, short enough that a worker on the same file does not wait for it.
const MOST_RECORDS: usize = 4_096;
/// The most bytes of one transaction; the record that crosses the line is still taken.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// How long a record is tried.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Appends what waits in one transaction. Records keep their order.
#[derive(Debug)]
pub struct LocalPublisher {
    records: mpsc::Sender<OutputRecord>,
    acknowledged: Arc<AtomicU64>,
    report: oneshot::Receiver<PublishReport>,
}

impl LocalPublisher {
    /// Looks whether the topics exist. Fails with the names of missing ones. Cancel-safe.
    pub async fn open(log: &LocalLog, topics: &[String]) -> Result<Self, LocalFailure> {
        topics::all(log, topics).await?;
        let (records, orders) = mpsc::channel(MOST_RECORDS);
        let (done, report) = oneshot::channel();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let publishing = Publishing { log: log.clone(), acknowledged: acknowledged.clone() };
        tokio::spawn(async move {
            // Whoever published may have stopped waiting for the report.
            let _ = done.send(publishing.run(orders).await);
        });
        Ok(Self { records, acknowledged, report })
    }

    /// Sends a record; waits while too many are on their way. What becomes of it stands in the report. Cancel-safe: a
    /// cancelled call has not sent.
    pub async fn send(&self, record: OutputRecord) -> Result<(), LocalFailure> {
        self.records.send(record).await.map_err(|_| LocalFailure::TaskEnded)
    }

    /// How many are on disk so far, for a progress bar.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until every record is on disk or given up.
    pub async fn finish(self) -> Result<PublishReport, LocalFailure> {
        drop(self.records);
        self.report.await.map_err(|_| LocalFailure::TaskEnded)
    }
}

struct Publishing {
    log: LocalLog,
    acknowledged: Arc<AtomicU64>,
}

impl Publishing {
    async fn run(self, mut orders: mpsc::Receiver<OutputRecord>) -> PublishReport {
        let mut report = PublishReport::default();
        let mut number = 0;
        let mut records = Vec::new();
        while let Some(first) = orders.recv().await {
            let mut bytes = first.payload.as_ref().map_or(0, Vec::len);
            records.push(first);
            while records.len() < MOST_RECORDS && bytes < MOST_BYTES {
                let Ok(record) = orders.try_recv() else { break };
                bytes += record.payload.as_ref().map_or(0, Vec::len);
                records.push(record);
            }
            match self.append(&records).await {
                Ok(()) => report.acknowledged += records.len() as u64,
                Err(failure) => {
                    for (index, record) in records.iter().enumerate() {
                        report.add_failure(number + index, record.topic.to_string(), failure.to_string());
                    }
                }
            }
            self.acknowledged.store(report.acknowledged, Ordering::Relaxed);
            number += records.len();
            records.clear();
        }
        report
    }

    /// Appends all of the records or none. Trouble that passes is waited out for a while.
    async fn append(&self, records: &[OutputRecord]) -> Result<(), LocalFailure> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        loop {
            match self.append_once(records).await {
                Err(failure) if failure.is_passing() && Instant::now() < deadline => {
                    tracing::debug!(%failure, "records are appended again");
                    sleep(RETRY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    async fn append_once(&self, records: &[OutputRecord]) -> Result<(), LocalFailure> {
        let doing = || LocalFailure::database("appending to the embedded log");
        let mut transaction = self.log.begin_writing().await.map_err(doing())?;
        if let Appended::Missing(topics) = append(&mut transaction, records).await.map_err(doing())? {
            return Err(LocalFailure::MissingTopics { file: self.log.file().to_owned(), topics });
        }
        transaction.commit().await.map_err(doing())?;
        self.log.hint().appended();
        Ok(())
    }
}
