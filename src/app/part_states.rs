//! What the sidecar tells of the worker's parts. The words are fixed: those of a database or a broker may name hosts
//! and users, and go to the log.

use std::time::Duration;

use crate::health::PartState;
use crate::ports::{OutboxStatus, SourceStatus, StoreError};
use crate::relay;

/// The bus, as the source sees it.
pub(super) fn bus(status: &SourceStatus) -> PartState {
    match (status.connected, &status.trouble) {
        (true, None) => PartState::Up,
        (true, Some(_)) => PartState::Degraded("the broker is reached and reports trouble; the log says which".into()),
        (false, Some(_)) => PartState::Down("the broker is not reached; the log says why".into()),
        (false, None) => PartState::Starting,
    }
}

/// The relay, as its outbox shows it: announcements must not wait longer than `longest_wait`.
pub(super) fn relay(outbox: &Result<OutboxStatus, StoreError>, longest_wait: Duration) -> PartState {
    match outbox {
        Ok(status) if relay::oldest_age(status) < longest_wait => PartState::Up,
        Ok(_) => PartState::Down("announcements wait for two minutes".into()),
        Err(_) => PartState::Down("the outbox cannot be looked at; the log says why".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_over_a_connection_that_stands_is_told_and_stops_nobody() {
        let status = SourceStatus { connected: true, trouble: Some("db.internal".into()), ..SourceStatus::default() };
        let state = bus(&status);
        assert!(state.works() && state.as_str() == "degraded", "{state:?}");
        assert!(state.detail().is_some_and(|detail| detail.contains("log") && !detail.contains("db.internal")));
        assert_eq!(bus(&SourceStatus { trouble: None, ..status }), PartState::Up);
    }

    #[test]
    fn no_part_repeats_what_a_database_or_a_broker_said() {
        let secret = "password authentication failed for user \"shop\" at db.internal:5432";
        let away = relay(&Err(StoreError::Transient(secret.to_owned())), Duration::from_secs(1));
        let status = SourceStatus { trouble: Some(secret.into()), ..SourceStatus::default() };
        for state in [away, bus(&status)] {
            assert_eq!(state.as_str(), "down");
            let detail = state.detail().unwrap_or_default();
            assert!(detail.contains("log") && !detail.contains("db.internal") && !detail.contains("shop"), "{detail}");
        }
    }
}
