//! What the worker counts, for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::domain::event::EventType;
use crate::ports::{DeadLetterReason, DifferenceCount, Outcome, SourceStatus};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Decimal = Gauge<f64, AtomicU64>;

/// Every metric of one worker. Clones share the same numbers; no method waits.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    events: Family<EventLabels, Counter>,
    batch_events: Histogram,
    batch_duration: Histogram,
    commit_duration: Histogram,
    lag: Family<PartitionLabels, Gauge>,
    partitions: Arc<Mutex<Vec<PartitionLabels>>>,
    connected: Gauge,
    rebalances: Counter,
    outbox_batches: Gauge,
    outbox_age: Decimal,
    dead_letters: Family<ReasonLabels, Counter>,
    retries: Family<RetryLabels, Counter>,
    relay_leader: Gauge,
    relay_fenced: Counter,
    published: Counter,
    publish_duration: Histogram,
    ready: Gauge,
    requests: Family<RequestLabels, Counter>,
    differences: Family<DifferenceLabels, Gauge>,
    difference_alerts: Family<DifferenceLabels, Gauge>,
    difference_sources: Arc<Mutex<Vec<DifferenceLabels>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    r#type: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: Arc<str>,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DifferenceLabels {
    source: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that all stand at nothing.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("holdfast");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let up = Gauge::<i64>::default();
        up.set(1);
        registry.register("up", "1 while the process runs", up);
        let mut metrics = Self {
            registry: Arc::default(),
            events: Family::default(),
            batch_events: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4]),
            batch_duration: durations(),
            commit_duration: durations(),
            lag: Family::default(),
            partitions: Arc::default(),
            connected: Gauge::default(),
            rebalances: Counter::default(),
            outbox_batches: Gauge::default(),
            outbox_age: Decimal::default(),
            dead_letters: Family::default(),
            retries: Family::default(),
            relay_leader: Gauge::default(),
            relay_fenced: Counter::default(),
            published: Counter::default(),
            publish_duration: durations(),
            ready: Gauge::default(),
            requests: Family::default(),
            differences: Family::default(),
            difference_alerts: Family::default(),
            difference_sources: Arc::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("events", "Input events by type and outcome", self.events.clone());
        registry.register("batch_events", "Events in one transaction", self.batch_events.clone());
        registry.register("batch_duration_seconds", "From taking a batch to settling it", self.batch_duration.clone());
        registry.register("commit_duration_seconds", "The database transaction", self.commit_duration.clone());
        registry.register("source_lag_records", "Records that wait in a partition", self.lag.clone());
        registry.register("source_connected", "1 while the source is connected", self.connected.clone());
        registry.register("source_rebalances", "Assignments that changed", self.rebalances.clone());
        registry.register("outbox_batches", "Committed transactions not yet published", self.outbox_batches.clone());
        registry.register("outbox_age_seconds", "Age of the oldest of them", self.outbox_age.clone());
        registry.register("dead_letters", "Events that could not be understood", self.dead_letters.clone());
        registry.register("retries", "Attempts that failed and were repeated", self.retries.clone());
        registry.register("relay_leader", "1 while this worker publishes", self.relay_leader.clone());
        registry.register("relay_fenced", "Times that another relay took over", self.relay_fenced.clone());
        registry.register("relay_announcements", "Announcements published", self.published.clone());
        registry.register("publish_duration_seconds", "One confirmed publication", self.publish_duration.clone());
        registry.register("ready", "1 while the worker is ready", self.ready.clone());
        registry.register("http_requests", "Requests by route and status", self.requests.clone());
        registry.register("stock_differences", "Open differences by source", self.differences.clone());
        let alerts = self.difference_alerts.clone();
        registry.register("stock_difference_alerts", "Open differences to look at at once, by source", alerts);
    }

    /// `count` events of a type ended this way; the type of what could not be decoded is unknown.
    pub fn events(&self, event_type: Option<EventType>, outcome: &Outcome, count: u64) {
        let r#type = event_type.map_or("unknown", EventType::as_str);
        self.events.get_or_create(&EventLabels { r#type, outcome: outcome.as_str() }).inc_by(count);
    }

    /// One event of a type ended this way.
    pub fn event(&self, event_type: Option<EventType>, outcome: &Outcome) {
        self.events(event_type, outcome, 1);
    }

    /// A batch of this many events was committed and settled, so long after it was taken.
    pub fn batch_settled(&self, events: usize, duration: Duration) {
        self.batch_events.observe(events as f64);
        self.batch_duration.observe(duration.as_secs_f64());
    }

    /// A database transaction took so long.
    pub fn commit_took(&self, duration: Duration) {
        self.commit_duration.observe(duration.as_secs_f64());
    }

    /// What the source says of itself. Partitions that it no longer names are forgotten.
    pub fn source_status(&self, status: &SourceStatus) {
        self.connected.set(status.connected.into());
        self.rebalances.inner().store(status.rebalances, Ordering::Relaxed);
        let mut now = Vec::with_capacity(status.lag.len());
        for (topic, partition, lag) in &status.lag {
            let labels = PartitionLabels { topic: topic.clone(), partition: *partition };
            self.lag.get_or_create(&labels).set(*lag);
            now.push(labels);
        }
        // Only what went away is removed, so that a scrape meanwhile finds the partitions that stayed.
        let mut before = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        for labels in before.iter().filter(|labels| !now.contains(labels)) {
            self.lag.remove(labels);
        }
        *before = now;
    }

    /// So many committed transactions wait to be published, the oldest for so long.
    pub fn outbox(&self, batches: i64, oldest: Duration) {
        self.outbox_batches.set(batches);
        self.outbox_age.set(oldest.as_secs_f64());
    }

    /// An event went to the dead letters.
    pub fn dead_letter(&self, reason: DeadLetterReason) {
        self.dead_letters.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// An attempt at something failed and will be repeated.
    pub fn retry(&self, what: &'static str) {
        self.retries.get_or_create(&RetryLabels { what }).inc();
    }

    /// Whether this worker publishes.
    pub fn relay_leader(&self, leads: bool) {
        self.relay_leader.set(leads.into());
    }

    /// Another relay took over.
    pub fn relay_fenced(&self) {
        self.relay_fenced.inc();
    }

    /// So many announcements were published and confirmed in one go that took so long.
    pub fn published(&self, announcements: u64, duration: Duration) {
        self.published.inc_by(announcements);
        self.publish_duration.observe(duration.as_secs_f64());
    }

    /// Whether the worker is ready.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// A request was answered. The route is the pattern that matched, never the path, which is unbounded.
    pub fn http_request(&self, method: &'static str, route: Arc<str>, status: u16) {
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// How many differences are open. A source that is not named has none.
    pub fn differences(&self, counts: &[DifferenceCount]) {
        let mut now = Vec::with_capacity(counts.len());
        for count in counts {
            let labels = DifferenceLabels { source: count.source.as_str().into() };
            self.differences.get_or_create(&labels).set(count.open);
            self.difference_alerts.get_or_create(&labels).set(count.alerts);
            now.push(labels);
        }
        let mut before = self.difference_sources.lock().unwrap_or_else(PoisonError::into_inner);
        for labels in before.iter().filter(|labels| !now.contains(labels)) {
            self.differences.remove(labels);
            self.difference_alerts.remove(labels);
        }
        *before = now;
    }

    /// All of it in the text format of OpenMetrics; see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

/// From half a millisecond to about 16 seconds.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reconciliation::FigureSource;

    #[test]
    fn every_number_is_in_the_text_under_its_name() {
        let metrics = Metrics::new();
        metrics.event(Some(EventType::OrderCreated), &Outcome::Applied);
        metrics.events(None, &Outcome::Refused(None), 2);
        metrics.batch_settled(7, Duration::from_millis(3));
        metrics.commit_took(Duration::from_millis(2));
        metrics.outbox(3, Duration::from_millis(1_500));
        metrics.dead_letter(DeadLetterReason::MissingId);
        metrics.retry("commit");
        metrics.relay_leader(true);
        metrics.relay_fenced();
        metrics.published(9, Duration::from_millis(8));
        metrics.ready(true);
        metrics.http_request("GET", "/livez".into(), 200);
        let ledger = DifferenceCount { source: FigureSource::Ledger, open: 2, alerts: 1 };
        metrics.differences(&[DifferenceCount { source: FigureSource::named("wms"), ..ledger.clone() }]);
        metrics.differences(&[ledger]);
        let text = metrics.encode();
        for line in [
            "holdfast_build_info{version=\"0.1.0\"} 1",
            "holdfast_up 1",
            "holdfast_events_total{type=\"order-created\",outcome=\"applied\"} 1",
            "holdfast_events_total{type=\"unknown\",outcome=\"refused\"} 2",
            "holdfast_batch_events_bucket{le=\"5.0\"} 0",
            "holdfast_batch_events_bucket{le=\"10.0\"} 1",
            "holdfast_batch_duration_seconds_count 1",
            "holdfast_commit_duration_seconds_count 1",
            "holdfast_outbox_batches 3",
            "holdfast_outbox_age_seconds 1.5",
            "holdfast_dead_letters_total{reason=\"missing_id\"} 1",
            "holdfast_retries_total{what=\"commit\"} 1",
            "holdfast_relay_leader 1",
            "holdfast_relay_fenced_total 1",
            "holdfast_relay_announcements_total 9",
            "holdfast_publish_duration_seconds_count 1",
            "holdfast_ready 1",
            "holdfast_stock_differences{source=\"ledger\"} 2",
            "holdfast_stock_difference_alerts{source=\"ledger\"} 1",
            "holdfast_http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("source=\"wms\""), "what is gone is forgotten");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_lag_of_a_partition_that_went_away_is_forgotten() {
        let metrics = Metrics::new();
        let lag = |partition, records| (Arc::from("orders"), partition, records);
        metrics.source_status(&SourceStatus {
            connected: true,
            lag: vec![lag(0, 5), lag(1, 6)],
            rebalances: 1,
            trouble: None,
        });
        metrics.source_status(&SourceStatus { connected: true, lag: vec![lag(1, 2)], rebalances: 2, trouble: None });
        let text = metrics.encode();
        assert!(text.contains("holdfast_source_lag_records{topic=\"orders\",partition=\"1\"} 2"), "{text}");
        assert!(!text.contains("partition=\"0\""), "{text}");
        assert!(text.contains("holdfast_source_rebalances_total 2"), "{text}");
    }
}
