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
    // The server takes less than the answer to the largest order.
    let checked = installation.output(&["topics", "check"]);
    let said = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(0), "the streams are as specified: {said}");
    assert!(said.contains("takes messages of 9437184 bytes") && said.contains("raise max_payload"), "{said}");
    let enough = installation.output(&["topics", "check", "--set", "max_event_bytes=100000"]);
    let said = String::from_utf8(enough.stderr).unwrap();
    assert!(!said.contains("takes messages of"), "{said}");
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

/// Redelivery and workers that share a consumer break the order of a key. The versions of claims make that harmless.
#[tokio::test(flavor = "multi_thread")]
async fn carts_end_at_their_last_version_however_workers_share_and_die() {
    let installation = Installation::on_nats().await;
    installation.publish(&[registered("A")]);
    let mut survivor = installation.worker();
    installation.wait_until_handled(1).await;
    let (carts, versions) = (20, 15);
    let update = |cart: usize, version: usize| {
        let body =
            json!({"cart_id": format!("C-{cart}"), "cart_version": version, "lines": lines(&[("A", version as i64)])});
        event("cart-updated", &format!("c-{cart}-{version}"), body)
    };
    let mut victim = installation.worker();
    victim.wait_for("/readyz", 200).await;
    let updates: Vec<Value> = (1..=versions)
        .flat_map(|version| (0..carts).map(move |cart| (cart, version)))
        .map(|(c, v)| update(c, v))
        .collect();
    installation.publish(&updates);
    // What it holds comes again, after later versions of the same carts were applied.
    victim.signal("KILL");
    assert_eq!(victim.wait(), None);
    installation.wait_until_handled(1 + (carts * versions) as i64).await;
    survivor.signal("TERM");
    assert_eq!(survivor.wait(), Some(0));
    let last = format!("select count(*) from claim where kind = 'cart' and version = {versions}");
    assert_eq!(installation.number(&last).await, carts as i64);
    let held = installation.number("select cart_held from stock where sku = 'A'").await;
    assert_eq!(held, (carts * versions) as i64, "each cart holds what its last version says");
    installation.assert_sound().await;
}
