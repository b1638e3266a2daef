//! What the tests against NATS have in common.

use std::time::Duration;

use holdfast::bus::nats::{
    ConsumerSpec, NatsAdmin, NatsConnection, NatsPublisher, NatsReceipt, NatsSink, NatsSinkSettings, NatsSource,
    NatsSourceSettings, NatsTail, NatsTailSettings, StreamSpec,
};
use holdfast::bus::publish::PublishReport;
use holdfast::bus::tail::TailStart;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{BatchLimit, Delivery, OutputRecord, Progress, Record, Sink, Source, SourceStatus};
use uuid::Uuid;

use crate::servers::{NatsAddress, shared_nats};

/// Everything that waits.
pub const ANY: BatchLimit = BatchLimit { deliveries: 100_000, bytes: usize::MAX };
/// Longer than anything here takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Short, so that what somebody held who died comes soon.
pub const ACK_WAIT: Duration = Duration::from_secs(2);

/// A part of a server that no other test uses: names of its own for topics and groups.
pub struct Ground {
    /// Where it is.
    pub nats: NatsAddress,
    name: String,
}

impl Ground {
    /// On the server that all tests share.
    pub async fn shared() -> Self {
        Self::on(tokio::task::spawn_blocking(shared_nats).await.expect("NATS should start"))
    }

    /// On another server.
    pub fn on(nats: NatsAddress) -> Self {
        Self { nats, name: Uuid::new_v4().simple().to_string() }
    }

    /// A name for a topic, stream or group.
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.name)
    }

    pub fn connection(&self) -> NatsConnection {
        NatsConnection::new(&self.nats.url(), "test", Default::default()).expect("an address")
    }

    /// A client of another library than the one that is tested would be better; it is the only one there is.
    pub async fn context(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(&self.nats.address).await.expect("NATS should answer"))
    }

    /// Makes the stream of a topic with the consumer of this ground's group; returns the topic's name.
    pub async fn topic(&self, what: &str) -> String {
        let topic = self.name(what);
        let consumer = ConsumerSpec::new(&self.name("group"), &topic, ACK_WAIT);
        let spec = StreamSpec::read(&topic, Some(consumer), None);
        NatsAdmin::new(self.connection()).apply(&[spec]).await.expect("a stream");
        topic
    }

    pub fn source_settings(&self, topics: &[&str]) -> NatsSourceSettings {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let usual = NatsSourceSettings::new(self.connection(), &self.name("group"), topics);
        NatsSourceSettings { status_interval: Duration::from_millis(100), ..usual }
    }

    pub async fn source(&self, topics: &[&str]) -> NatsSource {
        NatsSource::open(self.source_settings(topics)).await.expect("a source")
    }

    /// What the sink's streams should be.
    pub fn out_streams(&self) -> Vec<StreamSpec> {
        let (stock, progress) = (self.name("stock"), self.name("progress"));
        let out = StreamSpec::written(&self.name("out"), &[&stock, &progress], None);
        let dead = self.name("dead");
        vec![out, StreamSpec::written(&dead, &[&dead], None)]
    }

    /// Makes the streams of announcements and of dead letters.
    pub async fn sink_settings(&self) -> NatsSinkSettings {
        NatsAdmin::new(self.connection()).apply(&self.out_streams()).await.expect("streams");
        NatsSinkSettings::new(self.connection(), &self.name("out"), &self.name("dead"), &self.name("progress"))
    }

    /// Publishes and returns when everything is confirmed.
    pub async fn publish(&self, records: Vec<OutputRecord>) {
        let topics: Vec<String> = records.iter().map(|record| record.topic.to_string()).take(1).collect();
        let publisher = NatsPublisher::open(&self.connection(), &topics).await.expect("a publisher");
        let acknowledged = records.len() as u64;
        for record in records {
            publisher.send(record).await.expect("room");
        }
        let report = publisher.finish().await.expect("a report");
        assert_eq!(report, PublishReport { acknowledged, ..PublishReport::default() });
    }

    /// Everything of some topics that is there now.
    pub async fn read(&self, topics: &[&str]) -> Vec<Record> {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let settings =
            NatsTailSettings { connection: self.connection(), topics, from: TailStart::Start, until_end: true };
        let mut tail = NatsTail::open(settings).await.expect("a tail");
        let mut records = Vec::new();
        while let Some(record) = tail.next().await.expect("a record") {
            records.push(record);
        }
        records
    }
}

/// A record whose payload is its key and number.
pub fn output(topic: &str, key: &str, number: usize) -> OutputRecord {
    OutputRecord {
        topic: topic.into(),
        key: Some(key.as_bytes().to_vec()),
        headers: Vec::new(),
        payload: Some(format!("{key}:{number}").into_bytes()),
        timestamp: Timestamp(0),
    }
}

/// An announcement as the encoder makes them: numbered, with an id.
pub fn announcement(topic: &str, seq: i64) -> OutputRecord {
    OutputRecord {
        headers: vec![("ce_id".to_owned(), Some(format!("event-{seq}").into_bytes()))],
        payload: Some(format!("{{\"seq\":{seq}}}").into_bytes()),
        ..output(topic, "k", 0)
    }
}

/// A dead letter as the encoder makes them.
pub fn dead_letter(topic: &str, offset: i64) -> OutputRecord {
    let header = |name: &str, value: String| (name.to_owned(), Some(value.into_bytes()));
    OutputRecord {
        headers: vec![
            header("dead-letter-topic", "orders".to_owned()),
            header("dead-letter-partition", "0".to_owned()),
            header("dead-letter-offset", offset.to_string()),
        ],
        ..output(topic, "dead", offset as usize)
    }
}

pub fn progress(batch: i64, seq: i64) -> Progress {
    Progress { installation: Uuid::from_u128(7), batch, seq }
}

/// The text of a payload.
pub fn text(record: &Record) -> String {
    String::from_utf8(record.payload.clone().expect("a payload")).expect("text")
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// The next batch.
pub async fn batch(source: &mut NatsSource, limit: BatchLimit) -> (Vec<Record>, NatsReceipt) {
    let next = tokio::time::timeout(DEADLINE, source.next_batch(limit)).await.expect("a batch should come in time");
    let (deliveries, receipt) = next.expect("no error").expect("the source should be open");
    let record = |delivery| match delivery {
        Delivery::Record(record) => record,
        Delivery::Command(_) => panic!("a bus gives records"),
    };
    (deliveries.into_iter().map(record).collect(), receipt)
}

/// Takes exactly `count` records, in as many batches as they come in.
pub async fn exactly(source: &mut NatsSource, count: usize) -> (Vec<Record>, Vec<NatsReceipt>) {
    let (mut records, mut receipts) = (Vec::new(), Vec::new());
    while records.len() < count {
        let limit = BatchLimit { deliveries: count - records.len(), ..ANY };
        let (more, receipt) = batch(source, limit).await;
        records.extend(more);
        receipts.push(receipt);
    }
    (records, receipts)
}

/// Takes batches until there are `count` records.
pub async fn take(source: &mut NatsSource, count: usize) -> (Vec<Record>, Vec<NatsReceipt>) {
    let (mut records, mut receipts) = (Vec::new(), Vec::new());
    while records.len() < count {
        let (more, receipt) = batch(source, ANY).await;
        records.extend(more);
        receipts.push(receipt);
    }
    (records, receipts)
}

pub async fn settle(source: &mut NatsSource, receipts: Vec<NatsReceipt>) {
    for receipt in receipts {
        source.settle(receipt, &[]).await.expect("a source");
    }
}

/// Waits until the source reports a status.
pub async fn wait_for_status(
    source: &NatsSource,
    what: &str,
    mut is_so: impl FnMut(&SourceStatus) -> bool,
) -> SourceStatus {
    let mut status = source.status();
    let waited = tokio::time::timeout(DEADLINE, status.wait_for(|status| is_so(status))).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}")).expect("the source should be open").clone()
}

/// Waits until so many messages of one topic are not acknowledged, as the server counts them.
pub async fn wait_for_lag(source: &NatsSource, wanted: i64) {
    let is_so = |status: &SourceStatus| matches!(&status.lag[..], [(_, 0, lag)] if *lag == wanted);
    wait_for_status(source, "the lag", is_so).await;
}

/// Opens a sink, again and again while the server is away; returns the last batch and number.
pub async fn open_again(sink: &mut NatsSink) -> (i64, i64) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        match sink.open().await {
            Ok(progress) => return progress.map_or((0, 0), |progress| (progress.batch, progress.seq)),
            Err(holdfast::ports::SinkError::Unclear(reason)) => {
                assert!(std::time::Instant::now() < deadline, "it stays unclear: {reason}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
