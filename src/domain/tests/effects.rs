//! Which rows are written whole: of all others a batch writes counters, level and version alone.

use std::collections::BTreeSet;

use super::histories::envelopes;
use super::shelf::NOW;
use crate::domain::books::{Books, Effects, Fold};
use crate::domain::event::{Event, OrderCreated, Policy, Reconciliation, ReconciliationTask, SkuRegistered};
use crate::domain::reconciliation::{Audit, Decision, Ledger, Said};
use crate::domain::rules::Rules;
use crate::domain::stock::Counters;
use crate::domain::words::{Line, StockKey};

fn row() -> StockKey {
    StockKey::new("A", "default")
}

fn registered(safety_stock: Option<i64>) -> Event {
    Event::SkuRegistered(SkuRegistered {
        key: row(),
        name: None,
        safety_stock,
        warning_threshold: None,
        critical_threshold: None,
        max_stock: None,
        status: None,
        initial: Some(5),
        version: None,
    })
}

fn ordered(order: &str, quantity: i64) -> Event {
    Event::OrderCreated(OrderCreated {
        order: order.into(),
        version: None,
        cart: None,
        policy: Policy::Backorder,
        ttl_seconds: None,
        lines: vec![Line { key: row(), quantity }],
    })
}

/// One event as a batch of its own.
fn told(books: Books, event: Event) -> (Books, Effects) {
    let rules = Rules::default();
    let mut fold = Fold::new(&rules, NOW, books);
    for envelope in envelopes(&[(event, 0)], "") {
        fold.apply(&envelope).expect("no rule is broken");
    }
    (fold.books, fold.effects)
}

#[test]
fn a_row_is_written_whole_where_more_than_its_numbers_changed() {
    let (none, here) = (BTreeSet::new(), BTreeSet::from([row()]));
    let (books, effects) = told(Books::default(), registered(None));
    assert_eq!((&effects.created, &effects.settings, &effects.counted), (&here, &none, &none));
    let (books, effects) = told(books, registered(Some(1)));
    assert_eq!((&effects.settings, &effects.counted), (&here, &none), "the safety stock");
    let (books, effects) = told(books, ordered("O-1", 2));
    assert_eq!((&effects.settings, &effects.counted), (&none, &here), "an order");
    let (mut books, effects) = told(books, ordered("O-2", 7));
    assert_eq!((&effects.settings, &effects.counted), (&here, &none), "an order that waits");
    let version = books.stock[&row()].version;
    let ledger = Ledger::default().with(1, &Counters { on_hand: 9, ..Counters::default() });
    let said = Said { ledger, cart_held: 0, order_reserved: 0 };
    books.audits.insert(row(), Audit { said: Some(said), ..Audit::default() });
    let decision = Decision { operator: None, reason: "as decided".into() };
    let task = ReconciliationTask::Rebuild { version, decision };
    let (_, effects) = told(books, Event::Reconciliation(Reconciliation { key: row(), task }));
    assert_eq!((&effects.settings, &effects.counted), (&here, &none), "a correction");
}
