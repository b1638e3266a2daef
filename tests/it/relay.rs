//! The relay, step by step, on a real database and a real Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::bus::TopicSpec;
use holdfast::bus::kafka::{KafkaAdmin, KafkaSink, KafkaSinkSettings, SinkGuarantee};
use holdfast::health::Liveness;
use holdfast::metrics::Metrics;
use holdfast::ports::{OutboxBatch, OutputRecord, Progress, Record, Sink, SinkError, Store};
use holdfast::relay::{self, Relay, Step};
use holdfast::store::postgres::PostgresStore;
use holdfast::wire::encode::Encoder;
use holdfast::wire::topics::Topics;
use sqlx::{Connection, PgConnection};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kafka_support::{DEADLINE, Ground, until};
use crate::shop::{OnPostgres, Shop, Tampering, record, registered};

/// A shop with topics of its own.
struct Street {
    ground: Ground,
    topics: Arc<Topics>,
    shop: Shop,
}

/// A relay and what steers it.
struct Running<K> {
    relay: Relay<K, PostgresStore>,
    committed: mpsc::Sender<OutboxBatch>,
    drain: CancellationToken,
}

impl Street {
    /// The dead-letter topic takes batches of `letter_bytes`; what the contract says where there is none.
    async fn open(letter_bytes: Option<&str>) -> Self {
        let ground = tokio::task::spawn_blocking(Ground::shared).await.expect("Kafka should start");
        let topics = Arc::new(Topics::new(&ground.name(""), &BTreeMap::new(), "").expect("legal names"));
        let written = topics.all().filter(|(_, name)| {
            topics.outputs().contains(name) || *name == topics.dead_letters() || *name == topics.progress()
        });
        let specs: Vec<TopicSpec> = written
            .map(|(definition, name)| {
                let mut config = definition.config();
                if let (true, Some(bytes)) = (name == topics.dead_letters(), letter_bytes) {
                    config.insert("max.message.bytes".to_owned(), bytes.to_owned());
                }
                TopicSpec { name: name.to_string(), partitions: 1, replication: None, config }
            })
            .collect();
        KafkaAdmin::new(ground.connection()).apply(&specs).await.expect("topics should be made");
        Self { ground, topics, shop: Shop::open().await }
    }

    fn sink(&self) -> KafkaSink {
        let guarantee = SinkGuarantee::ExactlyOnce { transactional_id: self.ground.name("relay") };
        KafkaSink::new(KafkaSinkSettings {
            largest_record_bytes: self.topics.largest_record_bytes(),
            ..KafkaSinkSettings::new(
                self.ground.connection(),
                guarantee,
                self.topics.progress().to_string(),
                vec![self.topics.dead_letters().to_string()],
            )
        })
    }

    fn relay<K: Sink>(&self, sink: K, lease: Duration) -> Running<K> {
        let (committed, handed_over) = mpsc::channel(8);
        let drain = CancellationToken::new();
        let parts = relay::Parts {
            store: self.shop.store.clone(),
            committed: handed_over,
            holder: Uuid::new_v4(),
            encoder: Encoder::json(self.topics.clone(), "holdfast"),
            lease,
            metrics: Metrics::new(),
            pulse: Liveness::new(DEADLINE).watch("relay"),
            drain: drain.clone(),
        };
        Running { relay: Relay::new(sink, parts), committed, drain }
    }

    async fn bury(&mut self, bodies: Vec<Vec<u8>>) {
        self.shop.deliver(bodies.into_iter().map(record).collect()).await;
    }

    async fn letters(&self, count: usize) -> Vec<Record> {
        self.ground.read(self.topics.dead_letters(), count).await
    }
}

/// Steps until everything that was committed is published.
async fn publish_all<K: Sink>(running: &mut Running<K>, store: &PostgresStore) -> usize {
    let deadline = Instant::now() + DEADLINE;
    let mut published = 0;
    loop {
        match running.relay.step().await.expect("publishing should go on") {
            Step::Published(records) => published += records,
            Step::Idle => {
                let status = store.outbox_status().await.expect("the database should answer");
                if status.published_number == status.last_number {
                    return published;
                }
            }
            Step::Leading => {}
            step => panic!("{step:?}"),
        }
        assert!(Instant::now() < deadline, "not in time");
    }
}

/// Bytes that no compression makes smaller.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    // No JSON begins like this.
    [0xff].into_iter().chain((1..size).map(next)).collect()
}

fn detail(record: &Record) -> String {
    let (_, value) = record.headers.iter().find(|(name, _)| name == "dead-letter-detail").expect("a detail");
    String::from_utf8(value.clone().expect("a text")).expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_any_size_is_published_whole_where_its_topic_takes_it_and_cut_where_not() {
    let mut street = Street::open(None).await;
    let (large, larger) = (noise(3_000_000), noise(18_000_000));
    street.bury(vec![large.clone()]).await;
    street.bury(vec![larger.clone(), noise(10)]).await;
    street.shop.send_one(registered("A", 1)).await;
    let mut running = street.relay(street.sink(), Duration::from_secs(10));
    assert_eq!(publish_all(&mut running, &street.shop.store).await, 3 + 1);
    let letters = street.letters(3).await;
    assert_eq!(letters[0].payload.as_deref(), Some(large.as_slice()));
    let cut = letters[1].payload.as_deref().expect("a body");
    assert!(larger.starts_with(cut) && cut.len() > 16_000_000, "{}", cut.len());
    assert!(detail(&letters[1]).contains("of 18000000 bytes of the body"), "{}", detail(&letters[1]));
    assert_eq!(letters[2].payload.as_deref(), Some(noise(10).as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_above_the_limit_of_an_older_topic_is_cut_and_publishing_goes_on() {
    let mut street = Street::open(Some("100000")).await;
    let body = noise(700_000);
    street.bury(vec![body.clone()]).await;
    street.shop.send_one(registered("A", 1)).await;
    let mut running = street.relay(street.sink(), Duration::from_secs(10));
    publish_all(&mut running, &street.shop.store).await;
    let letters = street.letters(1).await;
    let cut = letters[0].payload.as_deref().expect("a body");
    assert!(body.starts_with(cut) && cut.len() > 50_000, "{}", cut.len());
    assert!(detail(&letters[0]).contains("of 700000 bytes of the body"), "{}", detail(&letters[0]));
    assert_eq!(street.ground.read(street.topics.name_of("stock-changed").expect("a topic"), 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_relay_with_a_long_lease_hears_the_drain_at_once() {
    let street = Street::open(None).await;
    let lease = street.shop.store.take_lease(Uuid::new_v4(), 600).await.expect("the database should answer");
    assert!(lease.is_some());
    let Running { mut relay, committed, drain } = street.relay(street.sink(), Duration::from_secs(600));
    assert_eq!(relay.step().await.expect("it should stand by"), Step::Standby);
    // As in a drain: the engines end first, and with them what they hand over.
    drop(committed);
    let mut running = std::pin::pin!(relay.run());
    let stands_by = tokio::time::timeout(Duration::from_secs(1), running.as_mut()).await;
    assert!(stands_by.is_err(), "it stands by as long as another leads");
    drain.cancel();
    let ended = tokio::time::timeout(DEADLINE, running).await.expect("it should hear the drain");
    ended.expect("a drain is no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_leader_leaves_what_was_committed_later_to_others() {
    let mut street = Street::open(None).await;
    let mut leader = street.relay(street.sink(), Duration::from_secs(10));
    assert_eq!(leader.relay.step().await.expect("it should lead"), Step::Leading);
    street.shop.send_one(registered("A", 1)).await;
    leader.drain.cancel();
    assert_eq!(leader.relay.step().await.expect("it should publish"), Step::Published(1));
    // Another worker goes on.
    street.shop.send_one(registered("B", 1)).await;
    assert_eq!(leader.relay.step().await.expect("it should leave"), Step::Drained);
    let status = street.shop.store.outbox_status().await.expect("the database should answer");
    assert_eq!((status.published_number, status.last_number), (1, 2));
    // And publishes it, at once.
    let mut heir = street.relay(street.sink(), Duration::from_secs(10));
    assert_eq!(publish_all(&mut heir, &street.shop.store).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stood_still_for_longer_than_batches_are_kept_stands_by() {
    let mut street = Street::open(None).await;
    let lease = Duration::from_secs(600);
    let mut stood_still = street.relay(street.sink(), lease);
    assert_eq!(stood_still.relay.step().await.expect("it should lead"), Step::Leading);
    street.shop.tamper(Tampering::LeaseEnds { in_seconds: -1 }).await;
    let mut heir = street.relay(street.sink(), lease);
    for sku in ["A", "B"] {
        street.shop.send_one(registered(sku, 1)).await;
    }
    publish_all(&mut heir, &street.shop.store).await;
    street.shop.tamper(Tampering::OutboxLost { numbers: 1..=1 }).await;
    // It looks for what follows on what it knows before it looks at its lease.
    assert_eq!(stood_still.relay.step().await.expect("another one publishes"), Step::Standby);
    street.shop.send_one(registered("C", 1)).await;
    assert_eq!(publish_all(&mut heir, &street.shop.store).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_far_behind_keeps_no_more_than_a_few_batches_in_memory() {
    const BATCHES: usize = 150;
    let mut street = Street::open(None).await;
    let mut behind = street.relay(street.sink(), Duration::from_secs(10));
    assert_eq!(behind.relay.step().await.expect("it should lead"), Step::Leading);
    for sku in 0..BATCHES {
        street.shop.send_one(registered(&format!("S-{sku}"), 1)).await;
    }
    // The newest are handed over while those before them are read from the table.
    let mut newest = street.shop.store.unpublished(140, 10).await.expect("the outbox is there").into_iter();
    let mut newer = street.shop.store.unpublished(130, 10).await.expect("the outbox is there").into_iter();
    let hand_over = |batches: &mut dyn Iterator<Item = OutboxBatch>, behind: &Running<KafkaSink>| {
        batches.take_while(|batch| behind.committed.try_send(batch.clone()).is_ok()).count()
    };
    assert_eq!(hand_over(&mut newer, &behind), 8);
    assert!(matches!(behind.relay.step().await, Ok(Step::Published(_))));
    assert_eq!(hand_over(&mut newest, &behind), 8, "the first ones wait in memory");
    assert!(matches!(behind.relay.step().await, Ok(Step::Published(_))));
    assert_eq!(behind.committed.capacity(), 0, "the next ones wait for them to be published");
    let published = 2 * 64;
    assert_eq!(publish_all(&mut behind, &street.shop.store).await, BATCHES - published);
}

/// A sink that holds what the renewal of the lease waits for, until it waits.
struct HoldingSink {
    sink: KafkaSink,
    database: String,
}

impl Sink for HoldingSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        let mut holding = PgConnection::connect(&self.database).await.expect("the database should answer");
        sqlx::raw_sql("begin; select * from relay for update").execute(&mut holding).await.expect("a lock");
        let waits = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        let began = Instant::now();
        while OnPostgres::number(&self.database, waits).await == 0 {
            assert!(began.elapsed() < DEADLINE, "the renewal never waits");
        }
        sqlx::raw_sql("rollback").execute(&mut holding).await.expect("the lock is given back");
        self.sink.open().await
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        self.sink.publish(records, progress).await
    }

    async fn close(self) {
        self.sink.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_holds_what_the_renewal_waits_for_goes_on() {
    let street = Street::open(None).await;
    let holding = HoldingSink { sink: street.sink(), database: street.shop.url.clone() };
    let mut running = street.relay(holding, Duration::from_secs(2));
    let step = tokio::time::timeout(2 * DEADLINE, running.relay.step()).await.expect("neither should wait for ever");
    assert_eq!(step.expect("it should lead"), Step::Leading);
}

/// A sink that takes its time to open.
struct SlowSink {
    sink: KafkaSink,
    may_open: Arc<Semaphore>,
}

impl Sink for SlowSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        let permit = self.may_open.acquire().await.map_err(|error| SinkError::Fatal(error.to_string()))?;
        permit.forget();
        self.sink.open().await
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        self.sink.publish(records, progress).await
    }

    async fn close(self) {
        self.sink.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_keeps_its_lease_however_long_its_sink_takes_to_open() {
    let street = Street::open(None).await;
    let may_open = Arc::new(Semaphore::new(0));
    let slow = SlowSink { sink: street.sink(), may_open: may_open.clone() };
    let mut running = street.relay(slow, Duration::from_secs(2));
    let store = street.shop.store.clone();
    let others = async {
        let taken = "select count(*) from relay where holder is not null";
        until("the lease is taken", async || street.shop.number(taken).await == 1).await;
        let opening = Instant::now();
        // Three times as long as a lease lasts.
        while opening.elapsed() < Duration::from_secs(6) {
            let lease = store.take_lease(Uuid::new_v4(), 2).await.expect("the database should answer");
            assert_eq!(lease, None, "it was taken from a relay that opens its sink");
        }
        may_open.add_permits(1);
    };
    let (step, ()) = tokio::join!(running.relay.step(), others);
    assert_eq!(step.expect("it should lead"), Step::Leading);
}
