//! Rules for every event: exactly once, conflicts, the same fact again, days and times.

use holdfast::ports::{Loaded, Outcome, Store};
use holdfast::store::Upkeep;
use serde_json::{Value, json};

use super::{
    Shop, cancelled, cancelled_part, cart, confirmed, created, received, retold, send, send_one, shipped, sku, stocked,
    told, with, words,
};
use crate::shop::{Tampering, day, decoded, event, fresh, lines, ordered, record, registered};

#[tokio::test]
async fn the_same_event_takes_effect_once_within_a_batch_and_over_batches() {
    let mut shop = stocked(&[("A", 10)]).await;
    let order = ordered("O-1", &[("A", 3)]);
    let outcomes = shop.send(vec![order.clone(), order.clone(), order.clone()]).await;
    assert_eq!(words(&outcomes), ["applied", "duplicate", "duplicate"]);
    let before = shop.kept().await;
    assert_eq!(words(&shop.send(vec![order.clone(), order]).await), ["duplicate", "duplicate"]);
    assert_eq!(shop.kept().await, before);
    assert_eq!(shop.units("A").await, (7, 0, 0, 7));
    assert_eq!(told(&shop, "O-1").await, ["granted, deducted: A 3 -> 3 of 10"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_is_recorded_answered_once_and_a_duplicate_afterwards() {
    let mut shop = stocked(&[("A", 1)]).await;
    let order = ordered("O-1", &[("A", 2)]);
    assert_eq!(send_one(&mut shop, order).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "O-1").await, ["refused, refused (insufficient_stock): A 2 -> 0 of 1 (insufficient_stock)"]);
    assert_eq!(shop.kept().await.inbox.iter().filter(|key| key.outcome == 2).count(), 1);
}

#[tokio::test]
async fn the_same_fact_under_a_new_id_changes_nothing_and_is_not_answered() {
    let mut shop = stocked(&[("A", 100)]).await;
    let facts = [
        cart("C-1", 1, &[("A", 2)]),
        sku("A", json!({"warning_threshold": 7, "sku_version": 1})),
        received("R-1", &[("A", 5)]),
        ordered("O-1", &[("A", 10)]),
        created("O-1", &[("A", 12)], json!({"order_version": 1})),
        confirmed("O-1"),
        cancelled_part("O-1", &[("A", 3)]),
        fresh("order-shipped", json!({"order_id": "O-1", "shipment_id": "S-1", "lines": lines(&[("A", 4)])})),
        ordered("O-2", &[("A", 10)]),
        cancelled("O-2"),
        ordered("O-3", &[("A", 500)]),
        // These wait for their order.
        confirmed("O-4"),
        cancelled_part("O-4", &[("A", 1)]),
        shipped("O-4", "S-4"),
        cancelled("O-5"),
    ];
    for fact in &facts {
        send_one(&mut shop, fact.clone()).await;
        let (seq, units) = (shop.kept().await.last_seq, shop.units("A").await);
        assert_eq!(send_one(&mut shop, retold(fact)).await, "ignored", "{fact}");
        assert_eq!((shop.kept().await.last_seq, shop.units("A").await), (seq, units), "{fact}");
    }
    // And all of them once more, after everything else.
    let (seq, units) = (shop.kept().await.last_seq, shop.units("A").await);
    for fact in &facts {
        assert_eq!(send_one(&mut shop, retold(fact)).await, "ignored", "{fact}");
    }
    assert_eq!((shop.kept().await.last_seq, shop.units("A").await), (seq, units));
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict_that_moves_nothing() {
    let mut shop = stocked(&[("A", 10)]).await;
    let id = uuid::Uuid::now_v7().to_string();
    let order = |fields: Value| {
        event("order-created", &id, with(json!({"order_id": "O-1", "lines": lines(&[("A", 1)])}), fields))
    };
    assert_eq!(send_one(&mut shop, order(json!({}))).await, "applied");
    let others = [
        order(json!({"lines": lines(&[("A", 2)])})),
        order(json!({"order_id": "O-2"})),
        order(json!({"order_version": 1})),
        order(json!({"cart_id": "C-1"})),
        order(json!({"policy": "partial"})),
        order(json!({"ttl_s": 5})),
        event("order-confirmed", &id, json!({"order_id": "O-1"})),
    ];
    let expected = vec!["dead_lettered payload_conflict"; others.len()];
    assert_eq!(send(&mut shop, others.to_vec()).await, expected);
    assert_eq!(shop.units("A").await, (9, 0, 0, 9));
    assert_eq!(send_one(&mut shop, ordered("O-3", &[("A", 1)])).await, "applied");
    // Within one batch, and where the first delivery was refused: the first content counts.
    let second = uuid::Uuid::now_v7().to_string();
    let refused = event("order-created", &second, json!({"order_id": "O-4", "lines": lines(&[("A", 50)])}));
    let other = event("order-created", &second, json!({"order_id": "O-4", "lines": lines(&[("A", 1)])}));
    let outcomes = shop.send(vec![refused.clone(), other, refused]).await;
    assert_eq!(words(&outcomes), ["refused insufficient_stock", "dead_lettered payload_conflict", "duplicate"]);
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
    let metrics = shop.metrics.encode();
    assert!(metrics.lines().any(|line| line.contains("payload_conflict") && line.ends_with(" 15")), "{metrics}");
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_same_content_in_other_bytes_at_another_time_is_the_same_event() {
    let mut shop = stocked(&[("A", 10)]).await;
    let id = uuid::Uuid::now_v7().to_string();
    let spellings = [
        json!({"order_id": "O-1", "lines": [{"sku": "A", "quantity": 1}]}),
        json!({"lines": [{"quantity": 1, "sku": "A", "location": "default"}], "order_id": "O-1", "policy": "all"}),
        json!({"order_id": "O-1", "lines": [{"sku": "A", "quantity": "1"}], "policy": null, "note": "unknown fields"}),
    ];
    let expected = ["applied", "duplicate", "duplicate"];
    for (spelling, expected) in spellings.into_iter().zip(expected) {
        let told_at = with(event("order-created", &id, spelling), json!({"time": "2026-01-02T03:04:05Z"}));
        assert_eq!(words(&[shop.send_one(told_at).await]), [expected]);
    }
    let structured = with(
        event("com.shop.order-created", &id, json!({"order_id": "O-1", "lines": [{"sku": "A", "quantity": 1}]})),
        json!({"time": "2025-05-05T05:05:05Z"}),
    );
    assert_eq!(words(&[shop.send_one(structured).await]), ["duplicate"]);
    assert_eq!(shop.units("A").await, (9, 0, 0, 9));
}

#[tokio::test]
async fn the_same_id_from_two_sources_is_two_events() {
    let mut shop = stocked(&[("A", 10)]).await;
    for id in [uuid::Uuid::now_v7().to_string(), "4711".to_owned()] {
        for (place, source) in ["/shop/berlin", "/shop/paris"].into_iter().enumerate() {
            let order = json!({"order_id": format!("O-{id}-{place}"), "lines": lines(&[("A", 1)])});
            let told = with(event("order-created", &id, order), json!({"source": source}));
            assert_eq!(send_one(&mut shop, told).await, "applied");
        }
    }
    assert_eq!(shop.units("A").await, (6, 0, 0, 6));
}

#[tokio::test]
async fn a_poison_event_is_buried_once_and_its_neighbours_are_applied() {
    let mut shop = stocked(&[("A", 10)]).await;
    let id = uuid::Uuid::now_v7().to_string();
    let poison: Vec<(Vec<u8>, &str)> = vec![
        (b"\xff\xfe\x00".to_vec(), "undecodable"),
        (b"{\"specversion\": \"1.0\", \"type\"".to_vec(), "undecodable"),
        (with(ordered("O-x", &[("A", 1)]), json!({"specversion": "0.3"})).to_string().into(), "undecodable"),
        (fresh("order-lost", json!({"order_id": "O-x"})).to_string().into(), "unknown_type"),
        (fresh("claim-expired", json!({"kind": "cart", "reference": "C-1"})).to_string().into(), "unknown_type"),
        (event("order-confirmed", "", json!({"order_id": "O-x"})).to_string().into(), "invalid_field"),
        (
            json!({"specversion": "1.0", "type": "order-confirmed", "source": "/shop", "data": {"order_id": "O-x"}})
                .to_string()
                .into(),
            "missing_id",
        ),
        (fresh("order-created", json!({"lines": lines(&[("A", 1)])})).to_string().into(), "missing_key_field"),
        (fresh("order-shipped", json!({"order_id": "O-x"})).to_string().into(), "missing_key_field"),
        (fresh("sku-registered", json!({"initial": 1})).to_string().into(), "missing_key_field"),
        (created("O-x", &[("A", 1)], json!({"policy": "some"})).to_string().into(), "invalid_field"),
        (ordered("O-x", &[("A", 0)]).to_string().into(), "invalid_quantity"),
        (event("order-created", &id, json!({"order_id": "O-x"})).to_string().into(), "invalid_field"),
    ];
    for (number, (bytes, reason)) in poison.into_iter().enumerate() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let neighbour = |side| ordered(&format!("O-{number}-{side}"), &[("A", 1)]).to_string().into_bytes();
        let batch = vec![record(neighbour("left")), record(bytes), record(neighbour("right"))];
        shop.send_one(received(&format!("R-{number}"), &[("A", 2)])).await;
        let expected = format!("dead_lettered {reason}");
        assert_eq!(words(&shop.deliver(batch.clone()).await), ["applied", &expected, "applied"], "{text}");
        let before = shop.kept().await;
        assert_eq!(words(&shop.deliver(batch).await), ["duplicate", &expected, "duplicate"], "{text}");
        assert_eq!(shop.kept().await, before, "a redelivery buries nothing again: {text}");
    }
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    assert_eq!(shop.kept().await.dead_letters.len(), 13);
    let letters: Vec<_> = shop.dead_letters().await;
    assert_eq!(letters.len(), 13, "each is published once");
    assert!(letters.iter().all(|letter| letter.record.payload.is_some()));
    shop.assert_sound().await;
}

#[tokio::test]
async fn last_years_events_are_welcome_in_an_empty_database() {
    let mut shop = Shop::open().await;
    let then = |event: Value, day: &str| {
        with(event, json!({"id": uuid::Uuid::new_v4().to_string(), "time": format!("{day}T10:00:00Z")}))
    };
    let year = time_now_year() - 1;
    let mut events = vec![then(registered("A", 100), &format!("{year}-01-01"))];
    for month in 1..=12 {
        events.push(then(ordered(&format!("O-{month}"), &[("A", 1)]), &format!("{year}-{month:02}-15")));
    }
    let outcomes = send(&mut shop, events.clone()).await;
    assert!(outcomes.iter().all(|outcome| outcome == "applied"), "{outcomes:?}");
    assert_eq!(shop.units("A").await, (88, 0, 0, 88));
    assert_eq!(shop.kept().await.days.len(), 13);
    // Maintenance does not take what was written today for old.
    assert_eq!(shop.store.maintain().await.unwrap().days_dropped, 0);
    assert!(send(&mut shop, events).await.iter().all(|outcome| outcome == "duplicate"));
}

fn time_now_year() -> i32 {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    1970 + i32::try_from(days * 400 / 146_097).unwrap()
}

#[tokio::test]
async fn an_event_whose_days_keys_were_dropped_is_buried_and_moves_nothing() {
    let mut shop = stocked(&[("A", 10)]).await;
    let old = |order: &str| {
        with(
            ordered(order, &[("A", 1)]),
            json!({"id": uuid::Uuid::new_v4().to_string(), "time": "2026-02-03T04:05:06Z"}),
        )
    };
    let order = old("O-1");
    assert_eq!(send_one(&mut shop, order.clone()).await, "applied");
    shop.tamper(Tampering::DayWritten { day: day("2026-02-03"), on: day("2026-02-04") }).await;
    assert_eq!(shop.store.maintain().await.unwrap().days_dropped, 1);
    let replay: Vec<_> = [order, old("O-2")].iter().map(|event| record(event.to_string().into_bytes())).collect();
    let today = record(ordered("O-3", &[("A", 1)]).to_string().into_bytes());
    let batch = [replay, vec![today]].concat();
    let expected = ["dead_lettered day_closed", "dead_lettered day_closed"];
    assert_eq!(words(&shop.deliver(batch.clone()).await), [expected[0], expected[1], "applied"]);
    assert_eq!(words(&shop.deliver(batch.clone()).await), [expected[0], expected[1], "duplicate"]);
    assert_eq!(shop.dead_letters().await.len(), 2, "once a position");
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
    // Another worker, which never met the day, says the same.
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    assert_eq!(words(&other.deliver(batch).await), [expected[0], expected[1], "duplicate"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_event_from_the_future_is_buried_beyond_the_allowed_skew() {
    let mut shop = stocked(&[("A", 10)]).await;
    let in_seconds = |seconds: i64| {
        let now = i64::try_from(uuid::Uuid::now_v7().get_timestamp().unwrap().to_unix().0).unwrap();
        holdfast::wire::instant::format(holdfast::domain::words::Timestamp((now + seconds) * 1_000_000))
    };
    let v4 = || uuid::Uuid::new_v4().to_string();
    for (seconds, expected) in [(-60, "applied"), (240, "applied"), (600, "dead_lettered impossible_time")] {
        let order = with(ordered(&v4(), &[("A", 1)]), json!({"id": v4(), "time": in_seconds(seconds)}));
        assert_eq!(send_one(&mut shop, order).await, expected, "{seconds} s ahead");
    }
    // A time inside the id counts for the day: the day after tomorrow cannot be.
    let now = uuid::Uuid::now_v7().get_timestamp().unwrap().to_unix().0;
    let ahead = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now + 2 * 86_400, 0));
    let order = with(ordered("O-9", &[("A", 1)]), json!({"id": ahead.to_string()}));
    assert_eq!(send_one(&mut shop, order).await, "dead_lettered impossible_time");
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
}

#[tokio::test]
async fn what_took_effect_is_a_duplicate_although_the_clock_was_set_back() {
    let mut shop = stocked(&[("A", 10)]).await;
    let now = holdfast::wire::instant::format(shop.store.outbox_status().await.expect("a clock").now);
    let order = with(ordered("O-1", &[("A", 1)]), json!({"time": now}));
    let deliveries = vec![record(order.to_string().into_bytes())];
    assert_eq!(shop.deliver(deliveries.clone()).await, [Outcome::Applied]);
    let (entries, bench) = (decoded(deliveries), shop.bench());
    let an_hour_before =
        |loaded: Loaded| bench.judge(&entries, Loaded { now: loaded.now.plus_seconds(-3_600), ..loaded });
    let committed = shop.store.commit(&entries, &an_hour_before).await.expect("it should commit");
    assert_eq!(committed.outcomes, [Outcome::Duplicate]);
    assert_eq!(shop.dead_letters().await, []);
    assert_eq!(shop.units("A").await, (9, 0, 0, 9));
}

#[tokio::test]
async fn what_took_effect_is_a_duplicate_although_the_clock_was_set_back_behind_its_day() {
    let mut shop = stocked(&[("A", 10)]).await;
    let today = shop.store.outbox_status().await.expect("a clock").now;
    let in_three_days = today.plus_seconds(3 * 86_400);
    let at =
        |time| with(ordered("O-1", &[("A", 1)]), json!({"id": "e-1", "time": holdfast::wire::instant::format(time)}));
    assert_eq!(send_one(&mut shop, at(today)).await, "applied");
    // As it would stand had the clock been three days ahead until now.
    shop.tamper(Tampering::DayMoved { from: today.day(), to: in_three_days.day() }).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    assert_eq!(other.deliver(vec![record(at(in_three_days).to_string().into_bytes())]).await, [Outcome::Duplicate]);
    // What was never heard of stays impossible there.
    let new = with(at(in_three_days), json!({"id": "e-2"}));
    assert_eq!(send_one(&mut other, new).await, "dead_lettered impossible_time");
    assert_eq!(shop.units("A").await, (9, 0, 0, 9));
}

#[tokio::test]
async fn a_key_is_filed_under_today_where_nothing_tells_when_its_event_was_told() {
    let mut shop = stocked(&[("A", 10)]).await;
    let order = with(ordered("O-1", &[("A", 1)]), json!({"id": uuid::Uuid::new_v4().to_string()}));
    let before = shop.store.outbox_status().await.expect("a clock").now.day();
    let mut delivery = record(order.to_string().into_bytes());
    if let holdfast::ports::Delivery::Record(record) = &mut delivery {
        record.timestamp = None;
    }
    assert_eq!(shop.deliver(vec![delivery]).await, [Outcome::Applied]);
    let id = order["id"].as_str().expect("an id");
    let filed = shop.kept().await.inbox.into_iter().find(|key| key.key.to_string() == id).expect("it is filed");
    let after = shop.store.outbox_status().await.expect("a clock").now.day();
    assert!((before..=after).contains(&filed.day), "{:?}", filed.day);
}

#[tokio::test]
async fn a_key_is_filed_by_the_time_inside_the_id_then_the_events_own_then_the_brokers() {
    let mut shop = stocked(&[("A", 10)]).await;
    let v7 = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_767_225_600 + 3_600, 0)).to_string();
    let cases = [
        (v7, Some("2026-03-04T23:59:59Z"), Some(1_772_000_000), "2026-01-01"),
        (uuid::Uuid::new_v4().to_string(), Some("2026-03-04T23:59:59Z"), Some(1_772_000_000), "2026-03-04"),
        (uuid::Uuid::new_v4().to_string(), Some("2026-03-05T00:30:00+01:00"), None, "2026-03-04"),
        (uuid::Uuid::new_v4().to_string(), None, Some(1_772_000_000), "2026-02-25"),
    ];
    for (id, time, broker, expected) in cases {
        let mut order = with(ordered(&id, &[("A", 1)]), json!({"id": id}));
        if let Some(time) = time {
            order = with(order, json!({"time": time}));
        }
        let mut delivery = record(order.to_string().into_bytes());
        if let holdfast::ports::Delivery::Record(record) = &mut delivery {
            record.timestamp = broker.map(|seconds: i64| holdfast::domain::words::Timestamp(seconds * 1_000_000));
        }
        assert_eq!(shop.deliver(vec![delivery]).await, [Outcome::Applied]);
        let filed = shop.kept().await.inbox.into_iter().find(|key| key.key.to_string() == id).expect("it is filed");
        assert_eq!(filed.day, day(expected), "{expected}");
    }
}
