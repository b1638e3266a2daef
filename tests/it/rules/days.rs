//! Days that cannot be opened: outside the calendar, or too many at once.

use holdfast::store::Upkeep;
use serde_json::{Value, json};

use super::{Shop, send_one, stocked, with};
use crate::shop::{Tampering, day, ordered, registered};

/// An order that is filed under a day.
fn on(day: &str, order: &str) -> Value {
    let id = uuid::Uuid::new_v4().to_string();
    with(ordered(order, &[("A", 1)]), json!({"id": id, "time": format!("{day}T10:00:00Z")}))
}

#[tokio::test]
async fn a_day_that_the_database_cannot_name_is_closed_and_stops_nobody() {
    let mut shop = stocked(&[("A", 10)]).await;
    assert_eq!(send_one(&mut shop, on("0000-01-01", "O-1")).await, "dead_lettered day_closed");
    assert_eq!(send_one(&mut shop, on("0000-12-31", "O-2")).await, "dead_lettered day_closed");
    assert_eq!(send_one(&mut shop, on("0001-01-01", "O-3")).await, "applied");
    assert_eq!(send_one(&mut shop, ordered("O-4", &[("A", 1)])).await, "applied");
    assert_eq!(shop.dead_letters().await.len(), 4, "each is delivered twice, at a position of its own");
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
    shop.assert_sound().await;
}

#[tokio::test]
async fn too_many_open_days_close_old_ones_for_a_while_and_never_todays() {
    let mut shop = Shop::with_days(2).await;
    assert_eq!(send_one(&mut shop, on("2020-01-01", "O-1")).await, "refused unknown_sku");
    assert_eq!(send_one(&mut shop, on("2020-01-02", "O-2")).await, "refused unknown_sku");
    let third = on("2020-01-03", "O-3");
    assert_eq!(shop.send(vec![third.clone()]).await[0].as_str(), "dead_lettered");
    // Two days are open, and still today is welcome.
    assert_eq!(send_one(&mut shop, registered("A", 10)).await, "applied");
    assert_eq!(shop.kept().await.days.len(), 3);
    assert_eq!(shop.send(vec![third.clone()]).await[0].as_str(), "dead_lettered");
    // The same worker opens the day once others are dropped.
    for of in ["2020-01-01", "2020-01-02"].map(day) {
        shop.tamper(Tampering::DayWritten { day: of, on: of }).await;
    }
    assert_eq!(shop.store.maintain().await.expect("maintenance").days_dropped, 2);
    assert_eq!(send_one(&mut shop, third).await, "applied");
    // What was dropped stays closed.
    assert_eq!(send_one(&mut shop, on("2020-01-01", "O-4")).await, "dead_lettered day_closed");
    shop.assert_sound().await;
}
