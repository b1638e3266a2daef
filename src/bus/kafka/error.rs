//! What the Kafka clients cannot mend by themselves, in words that name the remedy.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::ports::SourceError;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFailure {
    /// No broker answered.
    #[error(
        "no Kafka broker answered at {servers} within {} ms ({reason}); check the address and that the broker runs",
        waited.as_millis()
    )]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// How long.
        waited: Duration,
        /// What the client saw last.
        reason: String,
    },
    /// Topics are missing.
    #[error("missing on the Kafka cluster at {servers}: {}; create them with: holdfast topics apply", topics.join(", "))]
    MissingTopics {
        /// The cluster.
        servers: String,
        /// The topics as the broker names them.
        topics: Vec<String>,
    },
    /// A call that should have worked.
    #[error("{doing}: {cause}")]
    Client {
        /// What was tried.
        doing: String,
        /// What the client says.
        cause: KafkaError,
    },
    /// The system gave no thread.
    #[error("no thread for the Kafka client: {0}")]
    Thread(#[from] std::io::Error),
    /// The client's thread ended without an answer.
    #[error("the thread of the Kafka client ended unexpectedly")]
    ThreadEnded,
}

impl KafkaFailure {
    /// Wraps what the client says; for use with `map_err`.
    pub(super) fn client(doing: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let doing = doing.into();
        move |cause| Self::Client { doing, cause }
    }
}

impl From<KafkaFailure> for SourceError {
    fn from(failure: KafkaFailure) -> Self {
        Self::Fatal(failure.to_string())
    }
}

/// Whether a code says that nobody was reached, as opposed to an answer that refuses.
pub(super) fn is_unreachable(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        )
    )
}
