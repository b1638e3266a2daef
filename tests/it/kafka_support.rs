//! What the tests against Kafka have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::bus::TopicSpec;
use holdfast::bus::kafka::{
    KafkaAdmin, KafkaConnection, KafkaReceipt, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings,
    SinkGuarantee,
};
use holdfast::domain::words::Timestamp;
use holdfast::ports::{BatchLimit, Delivery, OutputRecord, Progress, Record, Sink, Source, SourceStatus};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::servers::{KafkaAddress, shared_kafka};

/// Everything that waits.
pub const ANY: BatchLimit = BatchLimit { deliveries: 100_000, bytes: usize::MAX };
/// Longer than anything here takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A part of a cluster that no other test uses: names of its own for topics and groups.
pub struct Ground {
    /// Where it is.
    pub kafka: KafkaAddress,
    name: String,
}

impl Ground {
    /// On the Kafka that all tests share.
    pub fn shared() -> Self {
        Self::on(shared_kafka())
    }

    /// On another Kafka.
    pub fn on(kafka: KafkaAddress) -> Self {
        Self { kafka, name: Uuid::new_v4().simple().to_string() }
    }

    /// A name for a topic, group or transactional id.
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.name)
    }

    pub fn connection(&self) -> KafkaConnection {
        self.connection_with(&[])
    }

    pub fn connection_with(&self, properties: &[(&str, &str)]) -> KafkaConnection {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        KafkaConnection::new(&format!("kafka://{}", self.kafka.bootstrap), "test", properties.collect()).unwrap()
    }

    /// Makes a topic and returns its name.
    pub async fn topic(&self, what: &str, partitions: i32) -> String {
        self.topic_with(what, partitions, &[]).await
    }

    pub async fn topic_with(&self, what: &str, partitions: i32, config: &[(&str, &str)]) -> String {
        let name = self.name(what);
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { name: name.clone(), partitions, replication: None, config };
        KafkaAdmin::new(self.connection()).apply(&[spec]).await.unwrap();
        name
    }

    pub fn source_settings(&self, topics: &[&str]) -> KafkaSourceSettings {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        KafkaSourceSettings::new(self.connection(), &self.name("group"), topics)
    }

    pub async fn source(&self, topics: &[&str]) -> KafkaSource {
        KafkaSource::open(self.source_settings(topics)).await.unwrap()
    }

    /// Makes the progress topic where it is missing.
    pub async fn exactly_once(&self) -> KafkaSinkSettings {
        self.sink(SinkGuarantee::ExactlyOnce { transactional_id: self.name("relay") }).await
    }

    /// Makes the progress topic where it is missing.
    pub async fn at_least_once(&self) -> KafkaSinkSettings {
        self.sink(SinkGuarantee::AtLeastOnce).await
    }

    async fn sink(&self, guarantee: SinkGuarantee) -> KafkaSinkSettings {
        let progress_topic = self.topic_with("progress", 1, &[("cleanup.policy", "compact")]).await;
        KafkaSinkSettings::new(self.connection(), guarantee, progress_topic, Vec::new())
    }

    /// Publishes and returns when everything is confirmed.
    pub async fn publish(&self, records: Vec<OutputRecord>) {
        let mut sink = KafkaSink::new(self.at_least_once().await);
        sink.open().await.unwrap();
        sink.publish(records, progress(0)).await.unwrap();
        sink.close().await;
    }

    /// Reads a whole topic as a new group does that sees only what is committed.
    pub async fn read(&self, topic: &str, count: usize) -> Vec<Record> {
        let mut settings = self.source_settings(&[topic]);
        settings.group = format!("reader-{}", Uuid::new_v4().simple());
        let mut source = KafkaSource::open(settings).await.unwrap();
        let records = take(&mut source, count).await.0;
        source.close().await.unwrap();
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
        timestamp: Timestamp(1_500_000_000_000_000 + number as i64 * 1_000),
    }
}

pub fn progress(batch: i64) -> Progress {
    Progress { installation: Uuid::from_u128(7), batch, seq: batch * 10 }
}

/// The text of a payload.
pub fn text(record: &Record) -> String {
    String::from_utf8(record.payload.clone().unwrap()).unwrap()
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// The next batch.
pub async fn batch(source: &mut KafkaSource, limit: BatchLimit) -> (Vec<Record>, KafkaReceipt) {
    let next = tokio::time::timeout(DEADLINE, source.next_batch(limit)).await.expect("a batch should come in time");
    let (deliveries, receipt) = next.unwrap().expect("the source should be open");
    let record = |delivery| match delivery {
        Delivery::Record(record) => record,
        Delivery::Command(_) => panic!("a bus gives records"),
    };
    (deliveries.into_iter().map(record).collect(), receipt)
}

/// Takes batches until there are `count` records.
pub async fn take(source: &mut KafkaSource, count: usize) -> (Vec<Record>, Vec<KafkaReceipt>) {
    let (mut records, mut receipts) = (Vec::new(), Vec::new());
    while records.len() < count {
        let (more, receipt) = batch(source, ANY).await;
        records.extend(more);
        receipts.push(receipt);
    }
    (records, receipts)
}

pub async fn settle(source: &mut KafkaSource, receipts: Vec<KafkaReceipt>) {
    for receipt in receipts {
        source.settle(receipt, &[]).await.unwrap();
    }
}

/// Waits until the source reports a status.
pub async fn wait_for_status(
    source: &KafkaSource,
    what: &str,
    mut is_so: impl FnMut(&SourceStatus) -> bool,
) -> SourceStatus {
    let mut status = source.status();
    let waited = tokio::time::timeout(DEADLINE, status.wait_for(|status| is_so(status))).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap().clone()
}

/// Lets a number of statistics intervals pass, as the source itself counts them.
pub async fn ticks(source: &KafkaSource, count: usize) {
    let mut status = source.status();
    for _ in 0..count {
        tokio::time::timeout(DEADLINE, status.changed()).await.expect("statistics should come").unwrap();
    }
}

/// What the ground's group has committed in each partition of a topic, asked by a client of our own.
pub fn committed(ground: &Ground, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &ground.kafka.bootstrap)
        .set("group.id", ground.name("group"))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(list, DEADLINE).unwrap();
    let offset = |partition| match committed.find_partition(topic, partition).unwrap().offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    (0..partitions).map(offset).collect()
}

/// Waits for a condition; says which one when it does not come.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// The payloads by key, in the order of reading.
pub fn by_key(records: &[Record]) -> BTreeMap<Arc<str>, Vec<String>> {
    let mut keys: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
    for record in records {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        keys.entry(key.into()).or_default().push(text(record));
    }
    keys
}
