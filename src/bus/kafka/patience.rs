//! Questions that a broker cannot answer just now, and can in a moment: after topics were made or leaders moved.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

/// Between two tries.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Asks until there is an answer, or an error that does not pass by itself, or `within` is over. Blocks.
pub(super) fn ask<T>(within: Duration, mut question: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let give_up = Instant::now() + within;
    loop {
        match question() {
            Err(error) if passes(error.rdkafka_error_code()) && Instant::now() < give_up => {
                tracing::debug!(%error, "the broker cannot answer just now");
                thread::sleep(ASK_AGAIN_AFTER);
            }
            answer => return answer,
        }
    }
}

/// Whether an error passes by itself. That nobody was reached is none: the client has tried that long enough.
fn passes(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                // The partition is known; the broker that leads it has not heard of it yet.
                | Code::UnknownTopicOrPartition
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::OffsetNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
        )
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;

    use super::*;

    #[test]
    fn what_passes_is_asked_again_and_what_does_not_is_told_at_once() {
        let mut asked = 0;
        let answer = ask(Duration::from_secs(60), || {
            asked += 1;
            if asked < 3 { Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition)) } else { Ok(asked) }
        });
        assert_eq!(answer, Ok(3));
        let mut asked = 0;
        let refused = ask(Duration::from_secs(60), || -> KafkaResult<()> {
            asked += 1;
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed))
        });
        assert_eq!((refused.is_err(), asked), (true, 1));
    }

    #[test]
    fn patience_ends() {
        let moved = || -> KafkaResult<()> { Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable)) };
        assert!(ask(Duration::ZERO, moved).is_err());
    }
}
