//! What the NATS client cannot mend by itself, in words that name the remedy.

use std::fmt;
use std::time::Duration;

use crate::ports::SourceError;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum NatsFailure {
    /// No server took the connection.
    #[error(
        "no NATS server answered at {servers} within {} ms ({reason}); check the address and that the server runs",
        waited.as_millis()
    )]
    Unreachable {
        /// The addresses that were tried, without credentials.
        servers: String,
        /// How long.
        waited: Duration,
        /// What the client saw last.
        reason: String,
    },
    /// The server does not know who this is.
    #[error(
        "the NATS server at {servers} refused the connection ({reason}); check the user and password in the url, or \
         the properties token and credentials"
    )]
    Refused {
        /// The addresses, without credentials.
        servers: String,
        /// What the client says.
        reason: String,
    },
    /// The server has no JetStream, or not for this account.
    #[error("the NATS server at {servers} offers no JetStream; start it with JetStream enabled")]
    NoJetStream {
        /// The addresses, without credentials.
        servers: String,
    },
    /// Streams or consumers are missing.
    #[error("missing on the NATS server at {servers}: {}; create them with: holdfast topics apply", missing.join(", "))]
    Missing {
        /// The addresses, without credentials.
        servers: String,
        /// The streams and consumers.
        missing: Vec<String>,
    },
    /// Consumers with which events would be lost.
    #[error(
        "on the NATS server at {servers}: {}; events would be lost, so delete such a consumer and create it with: \
         holdfast topics apply",
        broken.join(", ")
    )]
    Unsafe {
        /// The addresses, without credentials.
        servers: String,
        /// The consumers, each with what is wrong with it.
        broken: Vec<String>,
    },
    /// A topic whose name cannot be a subject.
    #[error(
        "topic {0:?} cannot be a NATS subject: no part of it between dots may be empty; set another name or prefix"
    )]
    NoSubject(String),
    /// A call that should have worked.
    #[error("{doing}: {cause}")]
    Client {
        /// What was tried.
        doing: String,
        /// What the client says.
        cause: String,
    },
}

impl NatsFailure {
    /// Wraps what the client says; for use with `map_err`.
    pub(super) fn client<E: fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |cause| Self::Client { doing, cause: cause.to_string() }
    }
}

impl From<NatsFailure> for SourceError {
    fn from(failure: NatsFailure) -> Self {
        Self::Fatal(failure.to_string())
    }
}
