//! Claims: everything of them comes back as it was written, and what is due is found.

use holdfast::domain::claim::{ClaimKey, ClaimKind, ClaimLine, ClaimState};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::words::StockKey;
use holdfast::ports::{Queries, Store};
use serde_json::json;

use super::{Shop, stocked};
use crate::shop::{Tampering, fresh, lines, ordered, registered};

fn cart(name: &str, version: i64, ttl: i64, wanted: &[(&str, i64)]) -> serde_json::Value {
    let body = json!({"cart_id": name, "cart_version": version, "ttl_s": ttl, "lines": lines(wanted)});
    fresh("cart-updated", body)
}

#[tokio::test]
async fn everything_of_a_claim_comes_back_as_it_was_written() {
    let mut shop = Shop::with_rules(Rules { deduct_on: DeductOn::Shipped, ..Rules::default() }).await;
    let (odd, quoted) = ("Ä \"quoted\" \\ {}", "S \"1\" \\ {}");
    shop.send(vec![registered(odd, 10), registered("B", 10)]).await;
    let order = json!({"order_id": odd, "order_version": 4, "lines": lines(&[(odd, 5), ("B", 2)])});
    shop.send_one(fresh("order-created", order)).await;
    shop.send_one(fresh("order-cancelled", json!({"order_id": odd, "lines": lines(&[(odd, 2)])}))).await;
    for shipment in [quoted, "S-2"] {
        let body = json!({"order_id": odd, "shipment_id": shipment, "lines": lines(&[(odd, 1)])});
        shop.send_one(fresh("order-shipped", body)).await;
    }
    let claim = shop.order(odd).await;
    assert_eq!((claim.version, claim.revision, claim.confirmed), (Some(4), 4, false));
    assert_eq!(claim.shipments.iter().map(ToString::to_string).collect::<Vec<_>>(), [quoted, "S-2"]);
    assert!(claim.remembered.is_empty());
    let line = |sku: &str| claim.lines[&StockKey::new(sku, "default")];
    assert_eq!((line(odd).requested, line(odd).released, line(odd).shipped), (5, 2, 2));
    assert_eq!(claim.lines.len(), 2);
    // An order of which only later events came keeps them, in the order in which they came.
    for event in ["order-confirmed", "order-shipped"] {
        shop.send_one(fresh(event, json!({"order_id": "O-2", "shipment_id": "S-1"}))).await;
    }
    let awaited = shop.order("O-2").await;
    assert_eq!((awaited.state, awaited.remembered.len()), (ClaimState::Awaited, 2));
    let came = awaited.remembered.iter().map(|it| it.event.event_type().as_str()).collect::<Vec<_>>();
    assert_eq!(came, ["order-confirmed", "order-shipped"]);
    assert!(!shop.kept().await.claims.iter().any(|claim| claim.reference == "O-2" && claim.is_answered));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_claim_that_is_not_answered_again_keeps_its_answer() {
    let mut shop = stocked(10).await;
    shop.send_one(ordered("O-1", &[("A", 2)])).await;
    let key = ClaimKey { kind: ClaimKind::Order, reference: "O-1".into() };
    let answer = shop.store.claim(&key).await.unwrap().expect("it is known").answer;
    // The same fact again, in another version: recorded and not answered.
    let again = json!({"order_id": "O-1", "order_version": 3, "lines": lines(&[("A", 2)])});
    shop.send_one(fresh("order-created", again)).await;
    let view = shop.store.claim(&key).await.unwrap().expect("it is known");
    assert_eq!(view.answer, answer);
    assert_eq!(view.answer.expect("it was answered")["outcome"], "granted");
}

#[tokio::test]
async fn a_line_of_which_nothing_is_left_is_not_kept() {
    let mut shop = stocked(10).await;
    shop.send_one(registered("B", 10)).await;
    shop.send_one(cart("C-1", 1, 60, &[("A", 2), ("B", 1)])).await;
    shop.send_one(cart("C-1", 2, 60, &[("B", 4)])).await;
    let lines: Vec<(StockKey, ClaimLine)> = shop.cart("C-1").await.lines.into_iter().collect();
    let held = ClaimLine { requested: 4, reserved: 4, ..ClaimLine::default() };
    assert_eq!(lines, [(StockKey::new("B", "default"), held)]);
    let kept = shop.kept().await.claim_lines;
    assert_eq!(kept.iter().map(|line| (&*line.reference, line.units)).collect::<Vec<_>>(), [("C-1", 4)]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn due_claims_come_oldest_first_and_no_more_than_asked_for() {
    let mut shop = stocked(100).await;
    for (name, ttl) in [("C-1", 300), ("C-2", 100), ("C-3", 200)] {
        shop.send_one(cart(name, 1, ttl, &[("A", 1)])).await;
    }
    assert!(shop.store.due_claims(10).await.unwrap().is_empty(), "none is due");
    for (of, seconds) in [("C-1", -10), ("C-2", -30), ("C-3", 50)] {
        shop.tamper(Tampering::Deadline { of: Some(of), seconds }).await;
    }
    let due = shop.store.due_claims(10).await.unwrap();
    assert_eq!(due.iter().map(|claim| claim.key.reference.as_str()).collect::<Vec<_>>(), ["C-2", "C-1"]);
    for claim in &due {
        assert_eq!(Some(claim.deadline), shop.cart(claim.key.reference.as_str()).await.expires_at);
        assert!(claim.deadline < claim.seen_at);
    }
    let first = shop.store.due_claims(1).await.unwrap();
    assert_eq!(first.iter().map(|claim| &claim.key).collect::<Vec<_>>(), [&due[0].key]);
    // A claim without a deadline is never due.
    shop.tamper(Tampering::NoDeadline { of: "C-2" }).await;
    assert_eq!(shop.store.due_claims(10).await.unwrap().len(), 1);
}
