//! Section 6: levels.

use super::model::Row;

/// Levels from the emptiest up, `unstocked` aside.
const UP: [&str; 4] = ["out", "critical", "low", "normal"];

/// Units that the level is judged by.
pub fn judged(row: &Row, ignore_cart_holds: bool) -> i64 {
    row.numbers.available() + if ignore_cart_holds { row.numbers.cart_held } else { 0 }
}

/// `normal` > warning >= `low` > critical >= `critical` > 0 >= `out`.
fn plain(row: &Row, available: i64) -> &'static str {
    if available <= 0 {
        "out"
    } else if available <= row.critical {
        "critical"
    } else if available <= row.warning {
        "low"
    } else {
        "normal"
    }
}

/// The level after a change. `thresholds_changed` judges without memory; `has_units` says that some are there, or went to
/// who waited.
pub fn after(row: &Row, available: i64, thresholds_changed: bool, has_units: bool) -> &'static str {
    if row.level == "unstocked" {
        return if has_units { plain(row, available) } else { "unstocked" };
    }
    let now = plain(row, available);
    if thresholds_changed {
        return now;
    }
    let place = |level: &str| UP.iter().position(|known| *known == level).expect("a level");
    if place(now) <= place(row.level) {
        return now;
    }
    let mut level = place(row.level);
    while level < 3 {
        let threshold = [0, row.critical, row.warning][level];
        let margin = std::cmp::max(1, (threshold + 9) / 10);
        if available < threshold + margin {
            break;
        }
        level += 1;
    }
    UP[level]
}
