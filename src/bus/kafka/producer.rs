//! A producer in the hands of one thread: sending, and waiting until everything is confirmed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext};

use crate::domain::words::Timestamp;
use crate::ports::{OutputRecord, SinkError};

use super::record::client_headers;

/// Between two looks for confirmations while something happens. Traps: `flush` and `commit_transaction` of the client
/// library look in slices of a full 100 ms when something is in flight.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Between two looks when nothing has happened for [`QUIET_AFTER`], as while a broker is frozen.
const QUIET_PAUSE: Duration = Duration::from_millis(10);
/// Longer than any confirmation of a broker that is well.
const QUIET_AFTER: Duration = Duration::from_millis(200);

/// A producer that counts what was confirmed. All calls block; use and drop it on a thread of its own.
pub(super) struct CountingProducer(BaseProducer<DeliveryContext>);

/// What became of the records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries {
    /// Confirmed by the broker.
    pub confirmed: u64,
    /// Given up by the client or refused by the broker.
    pub failed: u64,
    /// The failures that nobody has taken yet, at most [`FAILURES_KEPT`]: number of the record, topic, cause.
    pub failures: Vec<(usize, String, KafkaError)>,
}

/// More failures than this are only counted.
pub(super) const FAILURES_KEPT: usize = 100;

impl CountingProducer {
    /// Makes the client; connects in the background.
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        config.create_with_context(DeliveryContext::new()).map(Self)
    }

    /// The client itself, for transactions.
    pub fn client(&self) -> &BaseProducer<DeliveryContext> {
        &self.0
    }

    /// Puts a record into the client's queue; `number` comes back with a failure. Waits while the queue is full.
    pub fn send(&self, record: &OutputRecord, number: usize, deadline: Instant) -> KafkaResult<()> {
        let mut message = BaseRecord::with_opaque_to(&record.topic, number);
        message.key = record.key.as_ref();
        message.payload = record.payload.as_ref();
        message.timestamp = Some(milliseconds(record.timestamp));
        message.headers = client_headers(&record.headers);
        self.0.context().lock().last_event = Instant::now();
        while let Err((error, returned)) = self.0.send(message) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= deadline {
                return Err(error);
            }
            message = returned;
            self.poll();
        }
        Ok(())
    }

    /// Serves what has come back; when nothing has, lets a moment pass. Traps: the client library's own wait asks again
    /// and again without a pause through the last millisecond of its time, so that a wait of one millisecond keeps a
    /// core busy.
    pub fn poll(&self) {
        let before = self.0.context().lock().last_event;
        self.0.poll(Duration::ZERO);
        let last = self.0.context().lock().last_event;
        if last == before {
            thread::sleep(pause(last.elapsed()));
        }
    }

    /// Waits until nothing is in flight; says whether that was reached in time.
    pub fn wait_until_confirmed(&self, deadline: Instant) -> bool {
        while self.0.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            self.poll();
        }
        true
    }

    /// What became of the records since the last call.
    pub fn take_deliveries(&self) -> Deliveries {
        std::mem::take(&mut self.0.context().lock().deliveries)
    }

    /// What ended this producer for good, when something did.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.0.client().fatal_error().map(|(code, _)| KafkaError::Global(code))
    }
}

/// How long to wait before the next look.
fn pause(nothing_for: Duration) -> Duration {
    if nothing_for < QUIET_AFTER { BUSY_PAUSE } else { QUIET_PAUSE }
}

/// Notes every delivery report.
pub(super) struct DeliveryContext(Mutex<Noted>);

struct Noted {
    deliveries: Deliveries,
    /// When a record was sent or its fate was told.
    last_event: Instant,
}

impl DeliveryContext {
    fn new() -> Self {
        Self(Mutex::new(Noted { deliveries: Deliveries::default(), last_event: Instant::now() }))
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducerContext<NoCustomPartitioner> for DeliveryContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut noted = self.lock();
        noted.last_event = Instant::now();
        let deliveries = &mut noted.deliveries;
        match result {
            Ok(_) => deliveries.confirmed += 1,
            Err((error, message)) => {
                deliveries.failed += 1;
                if deliveries.failures.len() < FAILURES_KEPT {
                    deliveries.failures.push((number, message.topic().to_owned(), error.clone()));
                }
            }
        }
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(target: "librdkafka", facility, line);
    }

    /// Every failure that matters comes back from a call or with a record.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

/// Says what a failure while publishing means for the relay. Whatever is not known to be final is unclear, and
/// unclear is always safe: the relay opens again and looks.
pub(super) fn judge(doing: &str, error: &KafkaError) -> SinkError {
    use RDKafkaErrorCode as Code;
    let text = format!("{doing}: {error}");
    let Some(code) = error.rdkafka_error_code() else { return SinkError::Unclear(text) };
    match code {
        // The broker also answers so when it ended a transaction of ours that took longer than
        // `transaction.timeout.ms`; the lease says which of the two it was.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => SinkError::Fenced(text),
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            SinkError::Fatal(format!("{text}; grant this user the right to write"))
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            SinkError::Fatal(format!("{text}; create missing topics with: holdfast topics apply"))
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            SinkError::TooLarge(format!("{text}; raise max.message.bytes of the topic, see: holdfast topics check"))
        }
        Code::InvalidTopic | Code::PolicyViolation | Code::InvalidRecord | Code::UnsupportedForMessageFormat => {
            SinkError::Fatal(text)
        }
        _ => SinkError::Unclear(text),
    }
}

/// Kafka's times are milliseconds; the client takes 0 for "now", which no event has.
fn milliseconds(timestamp: Timestamp) -> i64 {
    timestamp.0.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_says_nothing_for_long_is_asked_less_often() {
        assert_eq!(pause(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_millis(199)), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_millis(200)), Duration::from_millis(10));
        assert_eq!(pause(Duration::from_secs(60)), Duration::from_millis(10));
    }
}
