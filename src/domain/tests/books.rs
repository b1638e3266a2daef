//! What the books say of a row, a line, and of a rule that was broken.

use super::shelf::NOW;
use crate::domain::books::Broken;
use crate::domain::claim::ClaimLine;
use crate::domain::event::ReconciliationTask;
use crate::domain::reconciled::Comparison;
use crate::domain::reconciliation::{Decision, Irreparable, Ledger, Said};
use crate::domain::stock::{Counters, Level, Status, StockRow};
use crate::domain::words::StockKey;

fn row(counters: Counters, level: Level) -> StockRow {
    StockRow {
        key: StockKey::new("A", "default"),
        name: None,
        counters,
        warning_threshold: 10,
        critical_threshold: 5,
        max_stock: None,
        status: Status::Active,
        level,
        version: 3,
        sku_version: None,
        updated_at: NOW,
        waiting: 0,
    }
}

#[test]
fn a_line_is_of_its_claim_while_anything_was_asked_for_or_came_of_it() {
    let nothing = ClaimLine { refused: 1, too_late: 1, lapsed: 1, lost: 1, ..ClaimLine::default() };
    assert!(!nothing.stands(), "what was refused alone is only remembered");
    let lines = [
        ClaimLine { requested: 1, ..ClaimLine::default() },
        ClaimLine { reserved: 1, ..ClaimLine::default() },
        ClaimLine { deducted: 1, ..ClaimLine::default() },
        ClaimLine { waiting: 1, ..ClaimLine::default() },
        ClaimLine { released: 1, ..ClaimLine::default() },
        ClaimLine { returned: 1, ..ClaimLine::default() },
    ];
    for line in lines {
        assert!(line.stands(), "{line:?}");
    }
}

#[test]
fn a_ledger_is_whole_when_each_version_from_the_first_stands_in_it_once() {
    let change = Counters { on_hand: 2, cart_held: 1, order_reserved: -1, safety_stock: 3 };
    let two = Ledger::default().with(1, &change).with(2, &change);
    assert!(two.is_whole());
    assert_eq!((two.first, two.last, two.movements, two.versions), (1, 2, 2, 2));
    assert_eq!(two.sum, Counters { on_hand: 4, cart_held: 2, order_reserved: -2, safety_stock: 6 });
    for damaged in [
        Ledger { first: 2, ..two },
        Ledger { movements: 3, ..two },
        Ledger { versions: 1, ..two },
        Ledger { last: 3, ..two },
        Ledger::default().with(1, &change).with(3, &change),
        Ledger::default().with(2, &change).with(3, &change),
    ] {
        assert!(!damaged.is_whole(), "{damaged:?}");
    }
}

#[test]
fn a_row_is_rebuilt_only_from_sums_that_can_be() {
    let said = |on_hand, safety_stock| {
        let sum = Counters { on_hand, safety_stock, ..Counters::default() };
        Said { ledger: Ledger::default().with(1, &sum), cart_held: 4, order_reserved: 2 }
    };
    let row = row(Counters::default(), Level::Out);
    let (known, counters) = said(0, 0).rebuilt(&row).expect("nothing is a stock");
    assert_eq!((known.version, known.counters), (1, Counters::default()));
    assert_eq!(counters, Counters { cart_held: 4, order_reserved: 2, ..Counters::default() });
    for (on_hand, safety_stock) in [(-1, 0), (0, -1)] {
        let sum = Counters { on_hand, safety_stock, ..Counters::default() };
        assert_eq!(said(on_hand, safety_stock).rebuilt(&row).err(), Some(Irreparable::NegativeSum(sum)));
    }
}

#[test]
fn what_carts_hold_counts_for_the_level_only_where_it_is_to_be_overlooked() {
    let row = row(Counters { on_hand: 20, cart_held: 16, ..Counters::default() }, Level::Critical);
    assert_eq!(row.level_called_for(false), Level::Critical);
    assert_eq!(row.level_called_for(true), Level::Normal);
}

#[test]
fn only_what_compares_with_our_own_books_costs_the_reading_of_all_movements() {
    let decision = Decision { operator: None, reason: "as decided".into() };
    let comparison =
        Comparison { source: "wms".into(), theirs: None, tolerance: 0, alert_threshold: None, use_ours: None };
    assert!(ReconciliationTask::CompareBooks.needs_books());
    assert!(ReconciliationTask::Rebuild { version: 1, decision }.needs_books());
    assert!(!ReconciliationTask::CompareFigure(comparison).needs_books());
}

#[test]
fn a_broken_rule_names_the_row_and_the_numbers() {
    let counters = Counters { on_hand: -1, ..Counters::default() };
    let broken = Broken { key: StockKey::new("A", "north"), rule: "non-negativity", counters };
    let text = broken.to_string();
    assert!(text.starts_with("non-negativity of A@north would be broken") && text.contains("on_hand: -1"), "{text}");
}
