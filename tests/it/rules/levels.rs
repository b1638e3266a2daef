//! Low stock: levels, announced when they change.

use holdfast::domain::rules::Rules;
use serde_json::{Value, json};

use super::{Shop, cart, levels, received, send, send_one, sku};
use crate::shop::ordered;

/// A SKU with thresholds 20 and 10.
fn with_thresholds(initial: i64) -> Value {
    sku("A", json!({"initial": initial, "warning_threshold": 20, "critical_threshold": 10}))
}

/// Sells or receives until so many units are available.
async fn move_to(shop: &mut Shop, available: i64) {
    let now = shop.units("A").await.3;
    let name = uuid::Uuid::now_v7().to_string();
    let event = if available < now {
        ordered(&name, &[("A", now - available)])
    } else {
        received(&name, &[("A", available - now)])
    };
    assert_eq!(send_one(shop, event).await, "applied");
}

#[tokio::test]
async fn a_level_is_reached_at_its_threshold_and_left_a_tenth_above_it() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, with_thresholds(100)).await;
    // Available, and what is announced on the way there: downwards at once, upwards each level passed needs its margin
    // (22 leaves low, 11 leaves critical, 1 leaves out).
    let steps: [(i64, Option<&str>); 17] = [
        (21, None),
        (20, Some("A normal -> low at 20")),
        (21, None),
        (19, None),
        (22, Some("A low -> normal at 22")),
        (10, Some("A normal -> critical at 10")),
        (11, Some("A critical -> low at 11")),
        (10, Some("A low -> critical at 10")),
        (21, Some("A critical -> low at 21")),
        (0, Some("A low -> out at 0")),
        (1, Some("A out -> critical at 1")),
        (0, Some("A critical -> out at 0")),
        (11, Some("A out -> low at 11")),
        (0, Some("A low -> out at 0")),
        (21, Some("A out -> low at 21")),
        (0, Some("A low -> out at 0")),
        (22, Some("A out -> normal at 22")),
    ];
    let mut expected = Vec::new();
    for (available, announced) in steps {
        move_to(&mut shop, available).await;
        expected.extend(announced);
        assert_eq!(levels(&shop).await, expected, "at {available}");
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_margin_is_a_tenth_rounded_up_and_one_at_least() {
    let mut shop = Shop::open().await;
    for (warning, leaves) in [(0, 1), (1, 2), (5, 6), (10, 11), (11, 13), (20, 22), (25, 28), (101, 112)] {
        let name = format!("SKU-{warning}");
        send_one(&mut shop, sku(&name, json!({"initial": leaves, "warning_threshold": warning}))).await;
        send_one(&mut shop, ordered(&format!("O-{warning}"), &[(&name, leaves - warning)])).await;
        let low = shop.stock(&name).await.level;
        // One unit below the margin nothing happens; at the margin the level is left.
        for (receipt, units) in [("first", leaves - 1 - warning), ("second", 1)] {
            assert_eq!(shop.stock(&name).await.level, low, "{warning}, before the {receipt} receipt");
            if units > 0 {
                send_one(&mut shop, received(&format!("R-{warning}-{receipt}"), &[(&name, units)])).await;
            }
        }
        assert_eq!(shop.stock(&name).await.level.as_str(), "normal", "{warning}");
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_never_had_a_unit_is_unstocked_and_its_first_normal_level_is_no_news() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, with_thresholds(0)).await;
    assert_eq!(shop.stock("A").await.level.as_str(), "unstocked");
    // Settings do not change that.
    send_one(&mut shop, sku("A", json!({"warning_threshold": 30}))).await;
    assert_eq!(shop.stock("A").await.level.as_str(), "unstocked");
    move_to(&mut shop, 31).await;
    assert_eq!(shop.stock("A").await.level.as_str(), "normal");
    assert!(levels(&shop).await.is_empty());
    // Sold out is out, not unstocked.
    move_to(&mut shop, 0).await;
    assert_eq!(levels(&shop).await, ["A normal -> out at 0"]);
    // From unstocked to another level is news, without any margin.
    send(&mut shop, vec![sku("B", json!({"warning_threshold": 5})), received("R-B", &[("B", 3)])]).await;
    send(&mut shop, vec![sku("C", json!({"initial": 6, "warning_threshold": 6, "critical_threshold": 6}))]).await;
    let announced = levels(&shop).await;
    assert_eq!(announced[1..], ["B unstocked -> low at 3", "C unstocked -> critical at 6"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn changed_thresholds_count_at_once_and_without_a_margin() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, with_thresholds(15)).await;
    let steps = [
        (json!({"warning_threshold": 14}), "A low -> normal at 15"),
        (json!({"warning_threshold": 15}), "A normal -> low at 15"),
        (json!({"warning_threshold": 15, "critical_threshold": 15}), "A low -> critical at 15"),
        (json!({"warning_threshold": 0, "critical_threshold": 0}), "A critical -> normal at 15"),
    ];
    let mut expected = vec!["A unstocked -> low at 15"];
    for (fields, announced) in steps {
        send_one(&mut shop, sku("A", fields)).await;
        expected.push(announced);
        assert_eq!(levels(&shop).await, expected);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn levels_follow_from_available_and_not_from_what_is_on_hand() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, with_thresholds(100)).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 75}))).await;
    assert!(levels(&shop).await.is_empty());
    send_one(&mut shop, cart("C-1", 1, &[("A", 5)])).await;
    send_one(&mut shop, cart("C-1", 2, &[])).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 90}))).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 89}))).await;
    assert_eq!(
        levels(&shop).await,
        [
            "A normal -> low at 20",
            "A low -> normal at 25",
            "A normal -> critical at 10",
            // A safety stock is no threshold: the margin counts (11 leaves critical).
            "A critical -> low at 11",
        ]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_holds_of_carts_can_be_left_out_of_levels() {
    let rules = Rules { ignore_cart_holds: true, ..Rules::default() };
    let mut shop = Shop::with_rules(rules).await;
    send_one(&mut shop, with_thresholds(30)).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 25)])).await;
    assert!(levels(&shop).await.is_empty());
    // 26 are there, 1 of them is free: judged and told without what the cart holds.
    send_one(&mut shop, ordered("O-1", &[("A", 4)])).await;
    assert!(levels(&shop).await.is_empty());
    send_one(&mut shop, sku("A", json!({"safety_stock": 6}))).await;
    assert_eq!(levels(&shop).await, ["A normal -> low at 20"]);
    assert_eq!(shop.units("A").await.3, -5);
    assert_eq!(shop.stock("A").await.level.as_str(), "low");
}

#[tokio::test]
async fn a_level_is_announced_with_the_value_and_the_version_of_its_change() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, with_thresholds(30)).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), ordered("O-2", &[("A", 9)]), ordered("O-3", &[("A", 1)])]).await;
    let low = shop.announcements().await.into_iter().find_map(|announcement| match announcement.body {
        holdfast::domain::announce::AnnouncementBody::LowStock {
            version,
            available,
            warning_threshold,
            critical_threshold,
            ..
        } => Some((version, available, warning_threshold, critical_threshold, announcement.cause.reference.clone())),
        _ => None,
    });
    assert_eq!(low, Some((3, 16, 20, 10, Some("O-2".into()))));
}
