//! Topics: made once, compared, and named when they are missing.

use holdfast::bus::TopicOutcome::{Created, Existed};
use holdfast::bus::tail::TailStart;
use holdfast::ports::{Sink, SinkError};

use super::Bus;
use crate::buses::BusKind;

/// Whether a message names what is missing, and only that, with the remedy.
fn assert_clear(message: &str, there: &str, missing: &str) {
    assert!(message.contains(missing) && message.contains("holdfast topics apply"), "{message}");
    assert!(!message.contains(there), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_once_and_what_is_missing_is_told() {
    let bus = Bus::open().await;
    let (one, other) = (bus.name("one"), bus.name("other"));
    let both = [one.clone(), other.clone()];
    assert_eq!(bus.make_topics(std::slice::from_ref(&one), 2).await.unwrap(), [Created]);
    let differences = bus.differences(&both, 2).await;
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].contains(&other) && differences[0].contains("does not exist"), "{differences:?}");
    assert_eq!(bus.make_topics(&both, 2).await.unwrap(), [Existed, Created]);
    assert!(bus.differences(&both, 2).await.is_empty());
    assert_eq!(bus.make_topics(&both, 2).await.unwrap(), [Existed, Existed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_needs_a_topic_that_is_missing_names_it_and_the_remedy() {
    let bus = Bus::open().await;
    let there = bus.topic("there").await;
    let missing = bus.name("nowhere");
    let both = [there.clone(), missing.clone()];
    let message = bus.source(&both).await.unwrap_err().to_string();
    assert_clear(&message, &there, &missing);
    let message = bus.publisher(&both).await.unwrap_err().to_string();
    assert_clear(&message, &there, &missing);
    let message = bus.tail(&both, TailStart::Start, true, false).await.unwrap_err().to_string();
    assert_clear(&message, &there, &missing);
    let message = bus.sink_to_nowhere().await.open().await.unwrap_err();
    assert!(matches!(message, SinkError::Fatal(_)), "{message}");
    assert_clear(&message.to_string(), &there, &bus.stock());
}
