//! A sidecar on a free port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::direct::{DirectLimits, DirectReceipt, DirectSource, direct};
use crate::domain::announce::{Announcement, AnnouncementBody};
use crate::domain::claim::ClaimKey;
use crate::domain::event::{Cause, EventType, Trace};
use crate::domain::stock::{Counters, Level, Status, StockRow};
use crate::domain::words::{StockKey, Timestamp};
use crate::health::{Liveness, PartState, Readiness};
use crate::http::{EventStream, ServerLimits, Sidecar, SidecarLimits, bind, router, serve};
use crate::metrics::Metrics;
use crate::ports::{
    BatchLimit, ClaimView, Delivery, HolderPlace, HolderView, MovementView, OutboxBatch, OutboxLimit, OutboxPlace,
    Outcome, PublishedMark, Queries, QueryError, Source, StockFilter,
};
use crate::wire::shown::Showcase;
use crate::wire::topics::Topics;

/// A store that holds what a test put there.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<MemoryState>);

/// The batches that are kept, and how far they are marked.
#[derive(Default)]
struct Outbox {
    batches: Vec<OutboxBatch>,
    last: PublishedMark,
    published: PublishedMark,
}

#[derive(Default)]
struct MemoryState {
    stock: Mutex<BTreeMap<StockKey, StockRow>>,
    movements: Mutex<Vec<(StockKey, MovementView)>>,
    claims: Mutex<BTreeMap<ClaimKey, ClaimView>>,
    holders: Mutex<Vec<(StockKey, HolderView)>>,
    outbox: Mutex<Outbox>,
    away: AtomicBool,
}

impl Memory {
    pub(super) fn put_stock(&self, row: StockRow) {
        self.0.stock.lock().unwrap().insert(row.key.clone(), row);
    }

    pub(super) fn put_movement(&self, key: &StockKey, movement: MovementView) {
        self.0.movements.lock().unwrap().push((key.clone(), movement));
    }

    pub(super) fn put_claim(&self, view: ClaimView) {
        self.0.claims.lock().unwrap().insert(view.claim.key.clone(), view);
    }

    /// Holders in the order in which the store shows them.
    pub(super) fn put_holder(&self, key: &StockKey, holder: HolderView) {
        self.0.holders.lock().unwrap().push((key.clone(), holder));
    }

    /// Commits a batch of announcements, one a given SKU.
    pub(super) fn announce(&self, skus: &[&str]) {
        let mut outbox = self.0.outbox.lock().unwrap();
        let first_seq = outbox.last.seq + 1;
        let number = outbox.last.number + 1;
        outbox.last = PublishedMark { number, seq: outbox.last.seq + skus.len() as i64 };
        let announcements = skus.iter().map(|sku| announcement(sku)).collect();
        let recorded_at = Timestamp(1_700_000_000_000_000);
        outbox.batches.push(OutboxBatch { number, first_seq, recorded_at, announcements, dead_letters: Vec::new() });
    }

    /// Marks everything that is committed as published.
    pub(super) fn publish(&self) {
        let mut outbox = self.0.outbox.lock().unwrap();
        outbox.published = outbox.last;
    }

    /// Drops what is published, but for the last batch, as maintenance does.
    pub(super) fn drop_published(&self) {
        let mut outbox = self.0.outbox.lock().unwrap();
        let published = outbox.published.number;
        outbox.batches.retain(|batch| batch.number >= published);
    }

    pub(super) fn go_away(&self) {
        self.0.away.store(true, Ordering::SeqCst);
    }

    fn answer<T>(&self, value: T) -> Result<T, QueryError> {
        let away = self.0.away.load(Ordering::SeqCst);
        if away { Err(QueryError::Unavailable("connection refused by db.internal".to_owned())) } else { Ok(value) }
    }
}

impl Queries for Memory {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        self.answer(self.0.stock.lock().unwrap().get(key).cloned())
    }

    async fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> Result<Vec<StockRow>, QueryError> {
        let stock = self.0.stock.lock().unwrap();
        let shown = stock
            .values()
            .filter(|row| after.is_none_or(|after| row.key > *after))
            .filter(|row| filter.skus.is_empty() || filter.skus.contains(&row.key.sku))
            .filter(|row| filter.prefix.as_ref().is_none_or(|prefix| row.key.sku.as_str().starts_with(prefix.as_str())))
            .filter(|row| filter.location.as_ref().is_none_or(|location| row.key.location == *location));
        self.answer(shown.take(limit as usize).cloned().collect())
    }

    async fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MovementView>, QueryError> {
        let movements = self.0.movements.lock().unwrap();
        let shown = movements
            .iter()
            .rev()
            .filter(|(found, movement)| found == key && before_version.is_none_or(|before| movement.version < before));
        self.answer(shown.take(limit as usize).map(|(_, movement)| movement.clone()).collect())
    }

    async fn claim(&self, key: &ClaimKey) -> Result<Option<ClaimView>, QueryError> {
        self.answer(self.0.claims.lock().unwrap().get(key).cloned())
    }

    async fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> Result<Vec<HolderView>, QueryError> {
        let holders = self.0.holders.lock().unwrap();
        let of_row: Vec<&HolderView> = holders.iter().filter(|(found, _)| found == key).map(|(_, view)| view).collect();
        let is_after = |place: &HolderPlace| {
            1 + of_row.iter().position(|view| view.key == place.key && view.expires_at == place.expires_at).unwrap()
        };
        let shown = of_row.iter().skip(after.map_or(0, is_after)).take(limit as usize);
        self.answer(shown.map(|view| (*view).clone()).collect())
    }

    async fn published_mark(&self) -> Result<PublishedMark, QueryError> {
        self.answer(self.0.outbox.lock().unwrap().published)
    }

    async fn outbox_place(&self, seq: i64) -> Result<OutboxPlace, QueryError> {
        let outbox = self.0.outbox.lock().unwrap();
        let place = match outbox.batches.iter().find(|batch| batch.last_seq() > seq) {
            _ if seq > outbox.last.seq => OutboxPlace::NotGiven,
            Some(batch) if batch.first_seq <= seq + 1 => OutboxPlace::Behind(batch.number - 1),
            None if seq == outbox.last.seq => OutboxPlace::Behind(outbox.last.number),
            _ => OutboxPlace::Dropped,
        };
        self.answer(place)
    }

    async fn published_behind(&self, number: i64, limit: OutboxLimit) -> Result<Vec<OutboxBatch>, QueryError> {
        let outbox = self.0.outbox.lock().unwrap();
        let found = outbox.batches.iter().skip_while(|batch| batch.number <= number);
        let found = found.take_while(|batch| batch.number <= outbox.published.number).take(limit.batches as usize);
        let batches: Vec<OutboxBatch> = found.cloned().collect();
        let whole = batches.first().is_some_and(|batch| batch.number == number + 1);
        self.answer(if whole { batches } else { Vec::new() })
    }

    async fn ping(&self) -> Result<(), QueryError> {
        self.answer(())
    }
}

/// What differs from one test to the next.
pub(super) struct TestLimits {
    pub(super) request_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) direct: DirectLimits,
    pub(super) longest_turn: Duration,
    pub(super) streams: usize,
}

impl Default for TestLimits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(20),
            max_connections: 64,
            direct: DirectLimits::default(),
            longest_turn: Duration::from_secs(30),
            streams: 4,
        }
    }
}

/// The routes of a sidecar, without a server. The test plays the engine through `source`.
pub(super) struct Routes {
    pub(super) app: axum::Router,
    pub(super) store: Memory,
    pub(super) source: DirectSource,
    pub(super) liveness: Liveness,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Stops the routes.
    pub(super) draining: CancellationToken,
}

impl Routes {
    pub(super) fn with(limits: &TestLimits) -> Self {
        let (submitter, source) = direct(limits.direct);
        let up = Readiness { bus: PartState::Up, migrations: PartState::Up, relay: PartState::Up };
        let (readiness, seen) = watch::channel(up);
        let draining = CancellationToken::new();
        let store = Memory::default();
        let liveness = Liveness::new(limits.longest_turn);
        let topics = Topics::new("eu.", &BTreeMap::new(), "").unwrap();
        let stream = Arc::new(EventStream::new(Showcase::new(&topics, "holdfast"), limits.streams));
        let app = router(Sidecar {
            queries: store.clone(),
            stream: stream.clone(),
            submissions: submitter,
            metrics: Metrics::new(),
            liveness: liveness.clone(),
            readiness: seen,
            stop: draining.clone(),
            limits: SidecarLimits { max_body_bytes: 100_000, request_timeout: limits.request_timeout },
        });
        // Nobody stops it but the end of the test's runtime.
        tokio::spawn(stream.poll(store.clone(), CancellationToken::new()));
        Self { app, store, source, liveness, readiness, draining }
    }
}

/// A running sidecar. The test plays the engine through `source`.
pub(super) struct TestServer {
    pub(super) client: reqwest::Client,
    pub(super) address: SocketAddr,
    pub(super) store: Memory,
    pub(super) source: DirectSource,
    pub(super) liveness: Liveness,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Stops the sidecar's routes.
    pub(super) draining: CancellationToken,
    /// Stops the server.
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        Self::with(TestLimits::default()).await
    }

    pub(super) async fn with(limits: TestLimits) -> Self {
        let Routes { app, store, source, liveness, readiness, draining } = Routes::with(&limits);
        let stop = CancellationToken::new();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ServerLimits {
            max_connections: limits.max_connections,
            drain_timeout: limits.drain_timeout,
            request_timeout: limits.request_timeout,
        };
        let task = tokio::spawn(serve(listener, app, limits, stop.clone()));
        // A test must never wait for ever.
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { client, address, store, source, liveness, readiness, draining, stop, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Posts events with the content type of one structured event.
    pub(super) fn post_events(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.client.post(self.url("/api/v1/events"));
        request.header("content-type", "application/cloudevents+json").body(body)
    }

    /// The next batch that reaches the engine.
    pub(super) async fn next_batch(&mut self) -> (Vec<Delivery>, DirectReceipt) {
        let limit = BatchLimit { deliveries: 5_000, bytes: 10_000_000 };
        let next = tokio::time::timeout(Duration::from_secs(20), self.source.next_batch(limit));
        next.await.expect("a batch within the deadline").unwrap().unwrap()
    }

    pub(super) async fn settle(&mut self, receipt: DirectReceipt, outcomes: &[Outcome]) {
        self.source.settle(receipt, outcomes).await.unwrap();
    }
}

/// A row with these units on hand.
pub(super) fn row(sku: &str, location: &str, on_hand: i64) -> StockRow {
    StockRow {
        key: StockKey::new(sku, location),
        name: None,
        counters: Counters { on_hand, cart_held: 1, order_reserved: 2, safety_stock: 3 },
        warning_threshold: 10,
        critical_threshold: 5,
        max_stock: None,
        status: Status::Active,
        level: Level::Normal,
        version: 7,
        sku_version: None,
        waiting: 0,
        updated_at: Timestamp(1_700_000_000_123_456),
    }
}

fn announcement(sku: &str) -> Announcement {
    Announcement {
        cause: Cause {
            event_type: EventType::OrderCreated,
            id: format!("e-{sku}").into(),
            source: "shop".into(),
            reference: None,
        }
        .into(),
        trace: Trace { parent: None, state: None },
        body: AnnouncementBody::LowStock {
            key: StockKey::new(sku, "default"),
            version: 1,
            level: Level::Low,
            previous_level: Level::Normal,
            available: 3,
            warning_threshold: 5,
            critical_threshold: 1,
        },
    }
}
