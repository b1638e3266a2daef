//! What comes again, or looks as if it did.

use serde_json::json;

use super::super::Here;
use super::{all, cancelled_part, cart, confirmed, of_cart, received, retold, shipped};
use crate::market::{EventRecord, of, selling};
use crate::shop::{event, lines, ordered};

#[tokio::test]
async fn same_event_twice() {
    let market = selling::<Here>().await;
    market.stock(&[("twice-A", 10)]).await;
    let order = of(&ordered("twice-1", &[("twice-A", 3)]));
    market.send(&[order.clone(), order.clone(), order.clone()]).await;
    let changes = market.changes("twice-A");
    market.send(&[order]).await;
    assert_eq!(market.units("twice-A").await, (7, 0, 0, 7));
    assert_eq!(market.told("twice-1"), ["granted, deducted: twice-A 3 -> 3 of 10"]);
    assert_eq!((changes, market.changes("twice-A")), (2, 2));
    market.assert_sound().await;
}

#[tokio::test]
async fn same_fact_new_id() {
    let market = selling::<Here>().await;
    market.stock(&[("fact-A", 20)]).await;
    let facts = [
        cart("fact-C", 1, &[("fact-A", 2)]),
        received("fact-R", &[("fact-A", 5)]),
        of_cart("fact-1", "fact-C", &[("fact-A", 10)]),
        confirmed("fact-1"),
        cancelled_part("fact-1", &[("fact-A", 3)]),
        shipped("fact-1", "fact-S"),
    ];
    for fact in &facts {
        market.send(&[of(fact)]).await;
    }
    let before = (market.told("fact-1"), market.told("fact-C"), market.changes("fact-A"));
    for fact in &facts {
        market.send(&[of(&retold(fact))]).await;
    }
    let after = (market.told("fact-1"), market.told("fact-C"), market.changes("fact-A"));
    assert_eq!(after, before);
    assert_eq!(before.0.len(), 4, "{before:?}");
    assert_eq!(market.units("fact-A").await, (18, 0, 0, 18));
    market.assert_sound().await;
}

#[tokio::test]
async fn same_id_other_body() {
    let market = selling::<Here>().await;
    market.stock(&[("body-A", 10)]).await;
    let id = uuid::Uuid::now_v7().to_string();
    let order = |units: i64| {
        of(&event("order-created", &id, json!({"order_id": "body-1", "lines": lines(&[("body-A", units)])})))
    };
    market.send(&[order(1), order(2), order(1)]).await;
    assert_eq!(market.buried(&id, 1).await, ["payload_conflict"]);
    assert_eq!(market.told("body-1"), ["granted, deducted: body-A 1 -> 1 of 10"]);
    assert_eq!(market.units("body-A").await, (9, 0, 0, 9));
    market.assert_sound().await;
}

#[tokio::test]
async fn same_id_from_two_sources() {
    let market = selling::<Here>().await;
    market.stock(&[("source-A", 10)]).await;
    for id in [uuid::Uuid::now_v7().to_string(), "4711".to_owned()] {
        let orders = ["berlin", "paris"].map(|city| {
            let data = json!({"order_id": format!("source-{id}-{city}"), "lines": lines(&[("source-A", 1)])});
            let mut order = event("order-created", &id, data);
            order["source"] = json!(format!("/shop/{city}"));
            order
        });
        market.send(&all(&orders)).await;
        for city in ["berlin", "paris"] {
            assert_eq!(market.order_state(&format!("source-{id}-{city}")).await.as_deref(), Some("deducted"));
        }
    }
    assert_eq!(market.units("source-A").await, (6, 0, 0, 6));
    market.assert_sound().await;
}

#[tokio::test]
async fn batch_with_one_poison_event_in_the_middle() {
    let market = selling::<Here>().await;
    market.stock(&[("poison-A", 10)]).await;
    let beside = |order: &str| of(&ordered(order, &[("poison-A", 1)]));
    let garbage: [&[u8]; 3] =
        [b"\xff\xfe\x00 poison-1", b"{\"specversion\": \"1.0\", \"id\": \"poison-2\"", b"poison-3 is no JSON"];
    let middle = garbage.map(|bytes| EventRecord::bytes("order-created", "poison", bytes.to_vec()));
    let batch = [vec![beside("poison-left")], middle.to_vec(), vec![beside("poison-right")]].concat();
    market.send(&batch).await;
    for text in ["poison-1", "poison-2", "poison-3"] {
        assert_eq!(market.buried(text, 1).await, ["undecodable"], "{text}");
    }
    for order in ["poison-left", "poison-right"] {
        assert_eq!(market.order_state(order).await.as_deref(), Some("deducted"));
    }
    assert_eq!(market.units("poison-A").await, (8, 0, 0, 8));
    market.assert_sound().await;
}

#[tokio::test]
async fn events_of_one_order_spread_over_several_batches_and_over_one() {
    let market = selling::<Here>().await;
    market.stock(&[("spread-A", 20)]).await;
    let life = |order: &str| {
        [
            ordered(order, &[("spread-A", 5)]),
            cancelled_part(order, &[("spread-A", 2)]),
            confirmed(order),
            shipped(order, &format!("{order}-S")),
        ]
    };
    for event in life("spread-several") {
        market.send(&[of(&event)]).await;
    }
    // On one topic, so that they arrive as they were sent.
    let at_once = life("spread-one").map(|event| EventRecord::at("order-created", "spread-one", &event));
    market.send(&at_once).await;
    for (order, there) in [("spread-several", 20), ("spread-one", 17)] {
        let expected = [
            format!("granted, deducted: spread-A 5 -> 5 of {there}"),
            format!("released, deducted: spread-A 2 -> 2 of {}", there - 3),
            format!("confirmed, deducted: spread-A 5 -> 3 of {}", there - 3),
            format!("shipped, shipped: spread-A 3 -> 3 of {}", there - 3),
        ];
        assert_eq!(market.told(order), expected);
        assert_eq!(market.order_state(order).await.as_deref(), Some("shipped"));
    }
    assert_eq!(market.units("spread-A").await, (14, 0, 0, 14));
    market.assert_sound().await;
}
