//! The ground that the tests of every bus stand on: a bus of some kind, records, and what is read of them.

mod kafka;
mod kinds;
mod local;
mod lossy;
mod nats;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::{Deref, RangeInclusive};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast::bus::any::{AnyReceipt, AnySink, AnySource, AnyTail};
use holdfast::bus::publish::PublishReport;
use holdfast::bus::tail::TailStart;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{
    BatchLimit, Delivery, Outcome, OutputRecord, Progress, Record, Sink, SinkError, Source, SourceStatus,
};
use uuid::Uuid;

pub use self::kafka::OnKafka;
pub use self::kinds::{BusKind, Fencing, Members, Refusal};
pub use self::local::OnLocal;
pub use self::nats::OnNats;

/// Everything that waits.
pub const ANY: BatchLimit = BatchLimit { deliveries: 100_000, bytes: usize::MAX };
/// Longer than anything here takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A part of a bus that no other test uses.
pub struct BusOn<K>(K);

impl<K> Deref for BusOn<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

impl<K: BusKind> BusOn<K> {
    /// The offset of the first record of a topic.
    pub const FIRST_OFFSET: i64 = K::FIRST_OFFSET;
    /// Whether a record has the time that its publisher gave it.
    pub const KEEPS_TIME: bool = K::KEEPS_TIME;
    /// How the members of a group work.
    pub const MEMBERS: Members = K::MEMBERS;
    /// From when on an older sink is refused.
    pub const FENCING: Fencing = K::FENCING;

    /// On the server that all tests share.
    pub async fn open() -> Self {
        Self(K::shared().await)
    }

    /// On a server of its own.
    pub async fn open_alone() -> Self {
        Self(K::alone().await)
    }

    pub async fn restart(&mut self) {
        self.0.restart().await;
    }

    pub async fn wait_for_two(one: &AnySource, other: &AnySource) {
        K::wait_for_two(one, other).await;
    }

    pub async fn wait_until_active(source: &AnySource) {
        K::wait_until_active(source).await;
    }

    pub fn carried(record: OutputRecord) -> OutputRecord {
        K::carried(record)
    }

    /// Makes a topic of one partition, where there are partitions; returns its name.
    pub async fn topic(&self, what: &str) -> String {
        self.topic_of(what, 1).await
    }

    pub async fn topic_of(&self, what: &str, partitions: i32) -> String {
        let name = self.name(what);
        self.make_topics(std::slice::from_ref(&name), partitions).await.expect("a topic");
        name
    }

    /// A member of the group that reads one topic.
    pub async fn reader(&self, topic: &str) -> AnySource {
        self.source(&[topic.to_owned()]).await.expect("a source")
    }

    /// Publishes events and returns when each is confirmed.
    pub async fn publish(&self, records: Vec<OutputRecord>) {
        let mut topics: Vec<String> = records.iter().map(|record| record.topic.to_string()).collect();
        topics.sort();
        topics.dedup();
        let publisher = self.publisher(&topics).await.expect("a publisher");
        let acknowledged = records.len() as u64;
        for record in records {
            publisher.send(record).await.expect("room");
        }
        let report = publisher.finish().await.expect("a report");
        assert_eq!(report, PublishReport { acknowledged, ..PublishReport::default() });
    }

    /// Publishes so many events of one key, numbered from `first`.
    pub async fn publish_numbered(&self, topic: &str, first: usize, count: usize) {
        self.publish((first..first + count).map(|number| event(topic, "k", number)).collect()).await;
    }

    /// The topic of announcements.
    pub fn stock(&self) -> String {
        self.name("stock")
    }

    /// The `seq` of every announcement that stands on the bus.
    pub async fn announced(&self) -> Vec<i64> {
        let tail = self.tail(&[self.stock()], TailStart::Start, true, true).await.expect("a tail");
        rest(tail).await.iter().map(seq).collect()
    }

    /// Every dead letter that stands on the bus.
    pub async fn buried(&self) -> Vec<Record> {
        let tail = self.tail(&[self.name("dead")], TailStart::Start, true, false).await.expect("a tail");
        rest(tail).await
    }

    /// Announcements of these numbers.
    pub fn announcements(&self, seqs: RangeInclusive<i64>) -> Vec<OutputRecord> {
        let topic = self.stock();
        seqs.map(|seq| announcement(&topic, seq)).collect()
    }

    /// A dead letter as the encoder makes them, of a record that no text could hold.
    pub fn dead_letter(&self, offset: i64) -> OutputRecord {
        let header = |name: &str, value: String| (name.to_owned(), Some(value.into_bytes()));
        OutputRecord {
            headers: vec![
                header("dead-letter-offset", offset.to_string()),
                header("dead-letter-partition", "0".to_owned()),
                header("dead-letter-topic", "orders".to_owned()),
            ],
            payload: Some(vec![0xff, 0, 0xfe, offset as u8]),
            ..event(&self.name("dead"), "k", 0)
        }
    }
}

/// A record whose payload is its key and number.
pub fn event(topic: &str, key: &str, number: usize) -> OutputRecord {
    OutputRecord {
        topic: topic.into(),
        key: Some(key.as_bytes().to_vec()),
        headers: Vec::new(),
        payload: Some(format!("{key}:{number}").into_bytes()),
        timestamp: Timestamp(1_500_000_000_000_000 + number as i64 * 1_000),
    }
}

/// An announcement as the encoder makes them: numbered, with an id.
pub fn announcement(topic: &str, seq: i64) -> OutputRecord {
    OutputRecord {
        headers: vec![("ce_id".to_owned(), Some(format!("event-{seq}").into_bytes()))],
        payload: Some(format!("{{\"seq\":{seq}}}").into_bytes()),
        ..event(topic, "k", seq as usize)
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

/// What events of one key with these numbers hold.
pub fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("k:{number}")).collect()
}

/// The number in the payload of an event.
pub fn number(record: &Record) -> usize {
    text(record).split(':').next_back().and_then(|number| number.parse().ok()).expect("a number")
}

/// The number of an announcement.
pub fn seq(record: &Record) -> i64 {
    holdfast::wire::sequence::sequence_number(record).expect("a number")
}

/// The numbers by key, in the order of reading.
pub fn by_key(records: &[Record]) -> BTreeMap<String, Vec<usize>> {
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in records {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("text");
        keys.entry(key).or_default().push(number(record));
    }
    keys
}

/// The records of what a source gave.
pub fn records(deliveries: Vec<Delivery>) -> Vec<Record> {
    let record = |delivery| match delivery {
        Delivery::Record(record) => record,
        Delivery::Command(_) => panic!("a bus gives records"),
    };
    deliveries.into_iter().map(record).collect()
}

/// The next batch.
pub async fn batch(source: &mut AnySource, limit: BatchLimit) -> (Vec<Record>, AnyReceipt) {
    let next = tokio::time::timeout(DEADLINE, source.next_batch(limit)).await.expect("a batch should come in time");
    let (deliveries, receipt) = next.expect("no error").expect("the source should be open");
    (records(deliveries), receipt)
}

/// Takes exactly `count` records, in as many batches as they come in.
pub async fn take(source: &mut AnySource, count: usize) -> (Vec<Record>, Vec<AnyReceipt>) {
    let (mut taken, mut receipts) = (Vec::new(), Vec::new());
    while taken.len() < count {
        let (more, receipt) = batch(source, BatchLimit { deliveries: count - taken.len(), ..ANY }).await;
        taken.extend(more);
        receipts.push(receipt);
    }
    assert_eq!(taken.len(), count, "a batch holds no more than was asked for");
    (taken, receipts)
}

pub async fn settle(source: &mut AnySource, receipts: Vec<AnyReceipt>) {
    for receipt in receipts {
        source.settle(receipt, &[]).await.expect("a source");
    }
}

/// Takes exactly `count` records and settles them.
pub async fn take_and_settle(source: &mut AnySource, count: usize) -> Vec<Record> {
    let (taken, receipts) = take(source, count).await;
    settle(source, receipts).await;
    taken
}

/// Settles a batch of which each delivery ended so.
pub async fn settle_as(source: &mut AnySource, receipt: AnyReceipt, outcomes: &[Outcome]) {
    source.settle(receipt, outcomes).await.expect("a source");
}

pub async fn close(source: AnySource) {
    source.close().await.expect("a source");
}

/// Waits until the source reports a status.
pub async fn wait_for_status(source: &AnySource, what: &str, mut is_so: impl FnMut(&SourceStatus) -> bool) {
    let mut status = source.status();
    let waited = tokio::time::timeout(DEADLINE, status.wait_for(|status| is_so(status))).await;
    drop(waited.unwrap_or_else(|_| panic!("not in time: {what}")).expect("the source should be open"));
}

/// Records that are not settled, over all topics; `None` while nothing is known of them.
pub fn lag(status: &SourceStatus) -> Option<i64> {
    (!status.lag.is_empty()).then(|| status.lag.iter().map(|(_, _, lag)| lag).sum())
}

pub async fn wait_for_lag(source: &AnySource, wanted: i64) {
    wait_for_status(source, &format!("a lag of {wanted}"), |status| lag(status) == Some(wanted)).await;
}

/// Everything that a tail has until its end.
pub async fn rest(mut tail: AnyTail) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some(record) = following(&mut tail).await {
        all.push(record);
    }
    all
}

/// The next record of a tail.
pub async fn following(tail: &mut AnyTail) -> Option<Record> {
    tokio::time::timeout(DEADLINE, tail.next()).await.expect("a record should come in time").expect("no error")
}

/// Opens a sink, again and again while that is unclear; returns the last batch and number.
pub async fn open_again(sink: &mut AnySink) -> (i64, i64) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match sink.open().await {
            Ok(progress) => return progress.map_or((0, 0), |progress| (progress.batch, progress.seq)),
            Err(SinkError::Unclear(reason)) => assert!(Instant::now() < deadline, "it stays unclear: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs a future until it has waited so many times, and drops it there; `None` when it had not ended.
pub async fn cut_after<F: Future>(waits: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = waits;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// An instant behind everything that was done before and before everything that is done after. Brokers count in
/// milliseconds.
pub async fn instant_between() -> Timestamp {
    let instant = now().0 / 1_000 * 1_000 + 2_000;
    while now().0 <= instant + 1_000 {
        tokio::task::yield_now().await;
    }
    Timestamp(instant)
}

/// The present moment.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(since.as_micros() as i64)
}
