//! Replays: the group's positions set back, and everything met again.

use std::time::Instant;

use serde_json::json;

use super::super::Here;
use crate::market::Combination;
use crate::shop::{event, lines, registered};
use crate::worker::installation::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_changes_nothing_that_was_applied_and_refuses_while_workers_run() {
    let place = Here::place().await;
    let installation = &place.installation;
    let order = json!({"order_id": "O-1", "lines": lines(&[("A", 6)])});
    installation.publish(&[registered("A", 10)]);
    installation.publish(&[event("order-created", "o-1", order)]);
    let mut worker = installation.worker();
    installation.wait_until_handled(2).await;
    let refused = installation.output(&["replay", "--from", "start"]);
    assert!(!refused.status.success(), "a replay must not pull offsets from under a worker");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let movements = installation.number("select count(*) from movement").await;
    let seq = installation.number("select last_seq from outbox_counter").await;
    installation.succeed(&["replay", "--from", "start", "--dry-run"]);
    installation.succeed(&["replay", "--from", "start"]);
    let mut again = installation.worker();
    let duplicates = r#"holdfast_events_total{type="order-created",outcome="duplicate"} 1"#;
    let started = Instant::now();
    while !again.ask("/metrics").await.is_some_and(|(_, text)| text.contains(duplicates)) {
        assert!(started.elapsed() < DEADLINE, "the replay never came");
    }
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0));
    assert_eq!(installation.number("select count(*) from movement").await, movements);
    assert_eq!(installation.number("select last_seq from outbox_counter").await, seq);
    installation.assert_sound().await;
}
