//! A worker that dies at every step between poll and settle, and between publish and mark: what it leaves is whole, and
//! the next one goes on without a loss or a repetition.

use serde_json::{Value, json};

use super::super::Here;
use crate::market::Combination;
use crate::shop::{event, lines};

fn order(number: usize) -> Value {
    event(
        "order-created",
        &format!("o-{number}"),
        json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 2), ("B", 1)])}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_step_and_nothing_is_lost_or_done_twice() {
    let place = Here::place().await;
    let installation = &place.installation;
    let registered = |sku: &str| event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": 1_000}));
    installation.publish(&[registered("A"), registered("B")]);
    let mut first = installation.worker();
    installation.wait_until_handled(2).await;
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));

    let mut identities = 2;
    for (round, point) in Here::FAIL_POINTS.iter().enumerate() {
        let orders: Vec<Value> = (0..5).map(|number| order(round * 10 + number)).collect();
        identities += orders.len() as i64;
        installation.publish(&orders);
        // Every event twice, as brokers do.
        installation.publish(&orders);
        let mut dying = installation.worker_with(&[("HOLDFAST_FAIL_POINT", *point)]);
        if point.ends_with(":2") {
            // How many batches the events above come in is the broker's choice: more come until the second visit.
            while !dying.has_ended() {
                installation.publish(&[order(identities as usize * 1_000)]);
                identities += 1;
            }
        }
        assert_eq!(dying.wait(), None, "{point} should have ended the worker");
    }
    let mut last = installation.worker();
    installation.wait_until_handled(identities).await;
    last.signal("TERM");
    assert_eq!(last.wait(), Some(0));

    let orders = identities - 2;
    let published = installation.assert_sound().await;
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 1_000 - 2 * orders);
    assert_eq!(installation.number("select on_hand from stock where sku = 'B'").await, 1_000 - orders);
    let answers = published.iter().filter(|event| event["type"] == "reservation-result").count();
    assert_eq!(answers as i64, orders, "each order is answered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_at_any_moment_leave_every_order_answered_once() {
    let place = Here::place().await;
    let installation = &place.installation;
    let skus = ["A", "B", "C"];
    let registered = |sku: &&str| event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": 5_000}));
    installation.publish(&skus.iter().map(registered).collect::<Vec<_>>());
    let mut survivor = installation.worker();
    installation.wait_until_handled(3).await;
    let mut identities = 3;
    for round in 0..4 {
        let orders: Vec<Value> = (0..400).map(|number| order(round * 1_000 + number)).collect();
        identities += 400;
        let mut victim = installation.worker();
        victim.wait_for("/livez", 200).await;
        installation.publish(&orders);
        victim.signal("KILL");
        assert_eq!(victim.wait(), None);
    }
    installation.wait_until_handled(identities).await;
    survivor.signal("TERM");
    assert_eq!(survivor.wait(), Some(0));
    let published = installation.assert_sound().await;
    let answers = published.iter().filter(|event| event["type"] == "reservation-result").count();
    assert_eq!(answers, 1_600);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 5_000 - 2 * 1_600);
}
