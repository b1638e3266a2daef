//! What comes back, and what somebody finds.

use serde_json::json;

use super::super::Here;
use super::{retold, shipped};
use crate::market::{of, selling};
use crate::shop::{fresh, lines, ordered};

#[tokio::test]
async fn return_of_more_than_was_shipped() {
    let market = selling::<Here>().await;
    market.stock(&[("back-A", 10), ("back-B", 10)]).await;
    market.send(&[of(&ordered("back-1", &[("back-A", 5), ("back-B", 2)]))]).await;
    market.send(&[of(&shipped("back-1", "back-S"))]).await;
    let returned = |id: &str, units: i64| {
        let wanted = lines(&[("back-A", units)]);
        fresh("return-received", json!({"return_id": id, "order_id": "back-1", "lines": wanted}))
    };
    let first = returned("back-R-1", 4);
    market.send(&[of(&first)]).await;
    market.send(&[of(&first), of(&retold(&first)), of(&returned("back-R-2", 4))]).await;
    assert_eq!(market.told("back-R-1"), ["returned, returned: back-A 4 -> 4 of 9"]);
    assert_eq!(market.told("back-R-2"), ["returned, returned: back-A 4 -> 1 of 10"]);
    let nobodys = json!({"return_id": "back-R-3", "order_id": "back-2", "lines": lines(&[("back-A", 1)])});
    market.send(&[of(&fresh("return-received", nobodys))]).await;
    assert_eq!(market.told("back-R-3"), ["conflict, conflict: "]);
    assert_eq!(market.units("back-A").await, (10, 0, 0, 10));
    assert_eq!(market.units("back-B").await, (8, 0, 0, 8));
    market.assert_sound().await;
}

#[tokio::test]
async fn a_count_while_selling() {
    let market = selling::<Here>().await;
    market.stock(&[("count-A", 100)]).await;
    market.send(&[of(&ordered("count-1", &[("count-A", 10)]))]).await;
    // Worker, database and whoever counts look at one clock here.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    let microseconds = i64::try_from(now.as_micros()).expect("it is not that late");
    let counted_at = holdfast::wire::instant::format(holdfast::domain::words::Timestamp(microseconds));
    market.send(&[of(&ordered("count-2", &[("count-A", 7)]))]).await;
    // Two of ninety were missing on the shelf. Seven have been sold since.
    let count = json!({"count_id": "count-N", "sku": "count-A", "quantity": 88, "counted_at": counted_at});
    let count = fresh("stock-counted", count);
    market.send(&[of(&count)]).await;
    assert_eq!(market.units("count-A").await, (81, 0, 0, 81));
    market.send(&[of(&count), of(&retold(&count))]).await;
    assert_eq!(market.units("count-A").await, (81, 0, 0, 81));
    assert_eq!(market.changes("count-A"), 4);
    // More than a week ago is too long ago to be believed.
    let old = json!({"count_id": "count-O", "sku": "count-A", "quantity": 1, "counted_at": "2026-01-01T00:00:00Z"});
    market.send(&[of(&fresh("stock-counted", old))]).await;
    assert_eq!(market.buried("count-O", 1).await, ["impossible_time"]);
    assert_eq!(market.units("count-A").await, (81, 0, 0, 81));
    market.assert_sound().await;
}
