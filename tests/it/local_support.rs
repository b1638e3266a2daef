//! What the tests of the embedded log have in common.

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast::bus::TopicSpec;
use holdfast::bus::local::{LocalAdmin, LocalLog, LocalPublisher, LocalReceipt, LocalSource, LocalSourceSettings};
use holdfast::bus::publish::PublishReport;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{BatchLimit, Delivery, OutputRecord, Record, Source, SourceStatus};
use tempfile::TempDir;

use crate::shop::{OnSqlite, StoreKind};

/// Everything that waits.
pub const ANY: BatchLimit = BatchLimit { deliveries: 100_000, bytes: usize::MAX };
/// Longer than anything here takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The group of every source here.
pub const GROUP: &str = "workers";

/// A file that no other test uses, with a log in it.
pub struct LocalGround {
    _folder: TempDir,
    pub file: String,
    pub log: LocalLog,
}

impl LocalGround {
    /// With these topics, whose records are kept for ever.
    pub async fn new(topics: &[&str]) -> Self {
        let (file, folder) = OnSqlite::new_database().await;
        let log = LocalLog::open(Path::new(&file)).await.unwrap();
        let ground = Self { _folder: folder, file, log };
        let specs: Vec<TopicSpec> = topics.iter().map(|name| spec(name, -1)).collect();
        LocalAdmin::new(ground.log.clone()).apply(&specs).await.unwrap();
        ground
    }

    /// The log as another process sees it: with connections of its own, and no hint.
    pub async fn elsewhere(&self) -> LocalLog {
        LocalLog::open(Path::new(&self.file)).await.unwrap()
    }

    pub async fn publish(&self, records: Vec<OutputRecord>) -> PublishReport {
        publish(&self.log, records).await
    }

    pub fn settings(&self, topics: &[&str]) -> LocalSourceSettings {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        LocalSourceSettings::new(self.log.clone(), GROUP, topics)
    }

    pub async fn source(&self, topics: &[&str]) -> LocalSource {
        LocalSource::open(self.settings(topics)).await.unwrap()
    }

    pub async fn number(&self, query: &str) -> i64 {
        OnSqlite::number(&self.file, query).await
    }

    pub async fn tamper(&self, statement: &str) {
        OnSqlite::tamper(&self.file, statement).await;
    }

    /// Where the group goes on in the only topic that it has settled.
    pub async fn stored(&self) -> i64 {
        self.number("select coalesce(max(next_offset), -1) from log_offset").await
    }
}

pub async fn publish(log: &LocalLog, records: Vec<OutputRecord>) -> PublishReport {
    let mut topics: Vec<String> = records.iter().map(|record| record.topic.to_string()).collect();
    topics.dedup();
    let publisher = LocalPublisher::open(log, &topics).await.unwrap();
    for record in records {
        publisher.send(record).await.unwrap();
    }
    publisher.finish().await.unwrap()
}

pub fn spec(name: &str, retention_ms: i64) -> TopicSpec {
    let config = [("retention.ms".to_owned(), retention_ms.to_string())].into();
    TopicSpec { name: name.to_owned(), partitions: 12, replication: None, config }
}

/// A record whose payload is its topic and number.
pub fn output(topic: &str, number: usize) -> OutputRecord {
    OutputRecord {
        topic: topic.into(),
        key: Some(topic.as_bytes().to_vec()),
        headers: Vec::new(),
        payload: Some(format!("{topic}:{number}").into_bytes()),
        timestamp: Timestamp(1_500_000_000_000_000 + number as i64),
    }
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.payload.clone().unwrap()).unwrap()).collect()
}

/// The next batch.
pub async fn batch(source: &mut LocalSource, limit: BatchLimit) -> (Vec<Record>, LocalReceipt) {
    let next = tokio::time::timeout(DEADLINE, source.next_batch(limit)).await.expect("a batch should come in time");
    let (deliveries, receipt) = next.unwrap().expect("the source should be open");
    (deliveries.into_iter().map(record).collect(), receipt)
}

pub fn record(delivery: Delivery) -> Record {
    match delivery {
        Delivery::Record(record) => record,
        Delivery::Command(_) => panic!("a bus gives records"),
    }
}

/// Takes batches until there are `count` records.
pub async fn take(source: &mut LocalSource, count: usize) -> (Vec<Record>, Vec<LocalReceipt>) {
    let (mut records, mut receipts) = (Vec::new(), Vec::new());
    while records.len() < count {
        let (more, receipt) = batch(source, ANY).await;
        records.extend(more);
        receipts.push(receipt);
    }
    (records, receipts)
}

pub async fn settle(source: &mut LocalSource, receipts: Vec<LocalReceipt>) {
    for receipt in receipts {
        source.settle(receipt, &[]).await.unwrap();
    }
}

/// Waits until the source reports a status.
pub async fn wait_for_status(source: &LocalSource, what: &str, mut is_so: impl FnMut(&SourceStatus) -> bool) {
    let mut status = source.status();
    let waited = tokio::time::timeout(DEADLINE, status.wait_for(|status| is_so(status))).await;
    drop(waited.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap());
}

/// Waits for a condition; says which one when it does not come.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}
