//! Whole workers on NATS, and between NATS and Kafka.

use serde_json::{Value, json};

use super::installation::Installation;
use crate::servers::{shared_kafka, shared_nats};
use crate::shop::{event, lines};

fn registered(sku: &str) -> Value {
    event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": 100_000}))
}

fn orders(first: usize, count: usize) -> Vec<Value> {
    let order = |number: usize| {
        let body = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 2), ("B.1", 1)])});
        event("order-created", &format!("o-{number}"), body)
    };
    (first..first + count).map(order).collect()
}

/// Orders go in, and come out once and in order.
async fn works(installation: &Installation) {
    installation.publish(&[registered("A"), registered("B.1")]);
    let mut worker = installation.worker();
    installation.wait_until_handled(2).await;
    installation.publish(&orders(0, 300));
    // Every event twice, as brokers do.
    installation.publish(&orders(0, 300));
    installation.wait_until_handled(302).await;
    let poison = json!({"event_id": "p-1", "order_id": "O-9", "lines": [{"sku": "A", "quantity": -1}]});
    installation.publish_lines(&["publish", "--topic", "order-created", "-"], &format!("{poison}\n"));
    installation.publish(&orders(300, 1));
    installation.wait_until_handled(303).await;
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let published = installation.assert_sound().await;
    let answers = published.iter().filter(|event| event["type"] == "reservation-result").count();
    assert_eq!(answers, 301);
    let letters = installation.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0].to_string().contains("invalid_quantity"), "{letters:#?}");
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 100_000 - 2 * 301);
    assert_eq!(installation.number("select on_hand from stock where sku = 'B.1'").await, 100_000 - 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_nats_answers_every_order_once() {
    let installation = Installation::on_nats().await;
    works(&installation).await;
    installation.succeed(&["topics", "check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_from_kafka_and_announcements_go_to_nats() {
    let buses = tokio::task::spawn_blocking(|| (shared_kafka().url(), shared_nats().url())).await.expect("servers");
    works(&Installation::made(buses.0, Some(buses.1)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_from_nats_and_announcements_go_to_kafka() {
    let buses = tokio::task::spawn_blocking(|| (shared_kafka().url(), shared_nats().url())).await.expect("servers");
    works(&Installation::made(buses.1, Some(buses.0)).await).await;
}
