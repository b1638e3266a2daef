//! What reconciliation loads of rows, put together. Pure; the statements are each adapter's own.

use std::collections::{BTreeMap, HashMap};

use crate::domain::event::Envelope;
use crate::domain::reconciliation::{Audit, Difference, DifferenceKey, FigureSource, Ledger, Said};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::words::StockKey;
use crate::ports::{Audited, DifferenceCount};

/// SKU, location, the sums of the four changes, movements, different versions, first and last version.
pub(super) type LedgerSum = (String, String, i64, i64, i64, i64, i64, i64, i64, i64);
/// SKU, location, what carts and what orders set aside.
pub(super) type SetAsideSum = (String, String, i64, i64);

/// The rows that are compared, in the order of their keys.
pub(super) struct AuditKeys<'a> {
    pub all: Vec<&'a StockKey>,
    /// Those of which our own books are asked.
    pub with_books: Vec<&'a StockKey>,
}

impl<'a> AuditKeys<'a> {
    /// The rows that events compare or correct.
    pub fn of_events(events: &[&'a Envelope]) -> Self {
        let mut asked: BTreeMap<&StockKey, bool> = BTreeMap::new();
        for (key, with_books) in events.iter().filter_map(|envelope| envelope.event.audited()) {
            *asked.entry(key).or_default() |= with_books;
        }
        let with_books = asked.iter().filter(|(_, with_books)| **with_books).map(|(key, _)| *key).collect();
        Self { all: asked.into_keys().collect(), with_books }
    }

    /// All of these rows.
    pub fn of_rows(rows: &'a [StockRow], with_books: bool) -> Self {
        let all: Vec<&StockKey> = rows.iter().map(|row| &row.key).collect();
        Self { with_books: if with_books { all.clone() } else { Vec::new() }, all }
    }
}

/// What the statements found.
pub(super) struct Loaded {
    pub sums: Vec<LedgerSum>,
    pub aside: Vec<SetAsideSum>,
    pub open: Vec<(DifferenceKey, Difference)>,
}

impl Loaded {
    /// What every row is compared with.
    pub fn by_row(self, keys: &AuditKeys<'_>) -> HashMap<StockKey, Audit> {
        let mut audits: HashMap<StockKey, Audit> =
            keys.all.iter().map(|key| ((*key).clone(), Audit::default())).collect();
        for key in &keys.with_books {
            audits.entry((*key).clone()).or_default().said = Some(Said::default());
        }
        let said = |audits: &mut HashMap<StockKey, Audit>, key: StockKey, say: &dyn Fn(&mut Said)| {
            if let Some(said) = audits.get_mut(&key).and_then(|audit| audit.said.as_mut()) {
                say(said);
            }
        };
        for (sku, location, on_hand, cart_held, order_reserved, safety_stock, movements, versions, first, last) in
            self.sums
        {
            let sum = Counters { on_hand, cart_held, order_reserved, safety_stock };
            let ledger = Ledger { sum, movements, versions, first, last };
            said(&mut audits, StockKey::new(sku, location), &|said| said.ledger = ledger);
        }
        for (sku, location, carts, orders) in self.aside {
            said(&mut audits, StockKey::new(sku, location), &|said| {
                (said.cart_held, said.order_reserved) = (carts, orders);
            });
        }
        for (DifferenceKey { key, source, field }, difference) in self.open {
            audits.entry(key).or_default().open.insert((source, field), difference);
        }
        audits
    }
}

/// Rows with what they are compared with.
pub(super) fn paired(rows: Vec<StockRow>, audits: &mut HashMap<StockKey, Audit>) -> Vec<Audited> {
    let paired = |row: StockRow| Audited { audit: audits.remove(&row.key).unwrap_or_default(), row };
    rows.into_iter().map(paired).collect()
}

/// A count from its columns.
pub(super) fn count((source, open, alerts): (String, i64, i64)) -> DifferenceCount {
    DifferenceCount { source: FigureSource::named(&source), open, alerts }
}
