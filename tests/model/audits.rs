//! What rows are compared with, summed anew each time.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use holdfast::domain::claim::ClaimKind;
use holdfast::domain::reconciliation::{Audit, Ledger, Said};
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{AuditPage, Audited};

use super::ModelStore;
use super::tables::{SetAside, Tables};

/// What each of the rows is compared with; of those that are asked with `true` the books as well.
pub fn of<'k>(tables: &Tables, keys: impl Iterator<Item = (&'k StockKey, bool)>) -> HashMap<StockKey, Audit> {
    let mut audits: HashMap<StockKey, Audit> = HashMap::new();
    for (key, with_books) in keys {
        let audit = audits.entry(key.clone()).or_default();
        let open = tables.differences.iter().filter(|(known, _)| known.key == *key);
        audit.open = open.map(|(known, open)| ((known.source.clone(), known.field), open.clone())).collect();
        if with_books {
            audit.said = Some(said(tables, key));
        }
    }
    audits
}

fn said(tables: &Tables, key: &StockKey) -> Said {
    let mut said = Said::default();
    let of_row = (key.clone(), i64::MIN)..=(key.clone(), i64::MAX);
    let versions: BTreeSet<i64> = tables.movements.range(of_row.clone()).map(|((_, version), _)| *version).collect();
    for (_, movement) in tables.movements.range(of_row) {
        let sum = &mut said.ledger.sum;
        sum.on_hand += movement.change.on_hand;
        sum.cart_held += movement.change.cart_held;
        sum.order_reserved += movement.change.order_reserved;
        sum.safety_stock += movement.change.safety_stock;
    }
    let count = versions.len() as i64;
    let (first, last) = (versions.first().copied().unwrap_or(0), versions.last().copied().unwrap_or(0));
    said.ledger = Ledger { movements: count, versions: count, first, last, ..said.ledger };
    for ((_, claim), SetAside { units, .. }) in tables.set_aside.iter().filter(|((row, _), _)| row == key) {
        match claim.kind {
            ClaimKind::Cart => said.cart_held += units,
            ClaimKind::Order => said.order_reserved += units,
            ClaimKind::Receipt | ClaimKind::Return | ClaimKind::Adjustment | ClaimKind::Sync | ClaimKind::Count => {}
        }
    }
    said
}

impl ModelStore {
    pub(super) fn audit_page(&self, after: Option<&StockKey>, page: AuditPage) -> Vec<Audited> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.database.look(|tables| {
            let mut movements = 0;
            let mut found = Vec::new();
            for row in tables.stock.range((behind, Bound::Unbounded)).map(|(_, row)| row).take(page.rows as usize) {
                if page.movements.is_some_and(|most| movements >= most) {
                    break;
                }
                movements += row.version;
                let asked = std::iter::once((&row.key, page.movements.is_some()));
                let audit = of(tables, asked).remove(&row.key).unwrap_or_default();
                found.push(Audited { row: row.clone(), audit });
            }
            found
        })
    }

    pub(super) fn turn(&self, job: &str, interval_seconds: i64) -> Option<Timestamp> {
        self.database.change(|tables| {
            let now = tables.clock;
            let waits = |began: &Timestamp| *began <= now && began.plus_seconds(interval_seconds) > now;
            if tables.turns.get(job).is_some_and(waits) {
                return None;
            }
            tables.turns.insert(job.to_owned(), now);
            Some(now)
        })
    }
}
