//! What needs a worker of its own: ends, starts, and a database that nobody has used.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::Here;
use super::told_at;
use crate::market::Combination;
use crate::shop::{event, lines, registered};
use crate::worker::installation::{DEADLINE, Installation};

fn answers(published: &[Value]) -> usize {
    published.iter().filter(|event| event["type"] == "reservation-result").count()
}

fn dropped_days() -> &'static str {
    "select count(*) from inbox_day where dropped_at is not null"
}

/// Puts the day of old events as far back as if nobody had written to it since.
async fn forget_last_write(installation: &Installation) {
    installation.execute("update inbox_day set last_written_on = event_day").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_acknowledge() {
    let place = Here::place().await;
    let installation = &place.installation;
    installation.publish(&[registered("A", 100)]);
    let mut first = installation.worker();
    installation.wait_until_handled(1).await;
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let order = |number: usize| {
        event(
            "order-created",
            &format!("o-{number}"),
            json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 1)])}),
        )
    };
    installation.publish(&(0..20).map(order).collect::<Vec<_>>());
    let mut dying = installation.worker_with(&[("HOLDFAST_FAIL_POINT", "before_settle")]);
    assert_ne!(dying.wait(), Some(0), "it should have died");
    let committed = installation.number("select count(*) from inbox").await;
    assert!(committed > 1, "it should have died behind a commit");
    let mut next = installation.worker();
    installation.wait_until_handled(21).await;
    next.wait_for("/readyz", 200).await;
    next.signal("TERM");
    assert_eq!(next.wait(), Some(0));
    let published = installation.assert_sound().await;
    assert_eq!(answers(&published), 20, "each order is answered once");
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_day_dropped_then_replay() {
    let place = Here::place().await;
    let installation = &place.installation;
    let old = told_at(&uuid::Uuid::new_v4().to_string(), "2026-02-03T04:05:06Z", "old-1", &[("A", 1)]);
    installation.publish(&[registered("A", 10)]);
    let mut first = installation.worker();
    installation.wait_until_handled(1).await;
    installation.publish(&[old]);
    installation.wait_until_handled(2).await;
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    assert_eq!(installation.number(dropped_days()).await, 0);
    forget_last_write(installation).await;
    // A worker drops what is old when it starts.
    let mut second = installation.worker();
    let started = Instant::now();
    while installation.number(dropped_days()).await == 0 {
        assert!(started.elapsed() < DEADLINE, "the day was never dropped");
    }
    second.signal("TERM");
    assert_eq!(second.wait(), Some(0));
    installation.succeed(&["replay", "--from", "start"]);
    let mut third = installation.worker();
    let started = Instant::now();
    while installation.dead_letters().is_empty() {
        assert!(started.elapsed() < DEADLINE, "the replay never came to it");
    }
    third.wait_for("/readyz", 200).await;
    third.signal("TERM");
    assert_eq!(third.wait(), Some(0));
    let letters = installation.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["deadletterreason"], "day_closed", "{letters:?}");
    let published = installation.assert_sound().await;
    assert_eq!(answers(&published), 1);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn last_year_s_events_into_an_empty_database() {
    let place = Here::place().await;
    let installation = &place.installation;
    let mut registration = registered("A", 100);
    registration["id"] = json!(uuid::Uuid::new_v4().to_string());
    registration["time"] = json!("2025-01-01T00:00:00Z");
    let orders: Vec<Value> = (1..=12)
        .map(|month| {
            let time = format!("2025-{month:02}-15T10:00:00Z");
            told_at(&uuid::Uuid::new_v4().to_string(), &time, &format!("O-{month}"), &[("A", 1)])
        })
        .collect();
    installation.publish(&[registration]);
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    installation.publish(&orders);
    installation.wait_until_handled(13).await;
    assert_eq!(installation.number("select count(*) from inbox_day where dropped_at is null").await, 13);
    // Once more: every key is still there.
    installation.publish(&orders);
    installation.publish(&[registered("B", 1)]);
    installation.wait_until_handled(14).await;
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    assert!(installation.dead_letters().is_empty());
    let published = installation.assert_sound().await;
    assert_eq!(answers(&published), 12);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 88);
}
