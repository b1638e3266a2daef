//! A consumer that is no member of a group.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

/// Asks for topics and offsets, and reads partitions that it names itself. All calls block.
pub(super) type Reader = BaseConsumer<ReaderContext>;

/// Keeps the newest trouble, so that a failed call can say why.
#[derive(Default)]
pub(super) struct ReaderContext(Mutex<Option<String>>);

/// How often the events of a client are looked at for the cause of a failed call.
const LOOKS_FOR_CAUSE: usize = 100;

/// Makes the client; connects in the background.
pub(super) fn new(config: &ClientConfig) -> KafkaResult<Arc<Reader>> {
    config.create_with_context(ReaderContext::default()).map(Arc::new)
}

/// Why the last call failed, in the client's words. It tells only who polls it.
pub(super) fn trouble(reader: &Reader) -> Option<String> {
    for _ in 0..LOOKS_FOR_CAUSE {
        if reader.poll(Duration::from_millis(1)).is_none() {
            break;
        }
    }
    reader.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl ConsumerContext for ReaderContext {}

impl ClientContext for ReaderContext {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(target: "librdkafka", facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That every broker is down says less than why the last one is.
        let is_summary = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::PartitionEOF)
        );
        if !is_summary {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}
