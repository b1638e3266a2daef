//! What an event knows of those who wait for a row, and what it changes of that. An order's lines say what it waits for;
//! the lists and the units in the rows follow from them.

use super::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKind};
use crate::domain::stock::Status;
use crate::domain::waiting::WaitingList;
use crate::domain::words::{Reference, StockKey};

impl Work<'_, '_> {
    /// Who waits for a row.
    pub fn waiting_list(&self, key: &StockKey) -> Option<&WaitingList> {
        self.fold.books.waiting.get(key)
    }

    /// The rows that this event has touched and that orders wait for.
    ///
    /// # Errors
    /// [`Broken`] when the row and the list that was loaded for it do not say the same.
    pub fn waited_for(&self) -> Result<Vec<StockKey>, Broken> {
        let mut keys = Vec::new();
        for key in self.before.keys() {
            let Some(row) = self.row(key) else { continue };
            let listed = self.waiting_list(key).map_or(0, WaitingList::units);
            if row.waiting != listed {
                return Err(Broken { key: key.clone(), rule: "the waiting list", counters: row.counters });
            }
            if row.waiting.is_positive() {
                keys.push(key.clone());
            }
        }
        Ok(keys)
    }

    /// Whose turn it is to get units of a row; nobody's while nothing is available or the row is not for sale.
    pub fn next_in_line(&self, key: &StockKey) -> Option<Reference> {
        let row = self.row(key).filter(|row| row.status == Status::Active && row.counters.available() > 0)?;
        self.waiting_list(&row.key)?.first().cloned()
    }

    /// Notes that units of a row went to somebody who waited: the row is told of even when its numbers end as they were.
    pub fn note_filled(&mut self, key: &StockKey) {
        self.filled.insert(key.clone());
    }

    /// Brings lists and rows to what the lines of an order say now.
    pub(super) fn note_waiting(&mut self, claim: &Claim) {
        if claim.key.kind != ClaimKind::Order {
            return;
        }
        let order = &claim.key.reference;
        for (key, line) in &claim.lines {
            let before = self.waiting_list(key).map_or(0, |list| list.units_of(order));
            if before == line.waiting {
                continue;
            }
            // An order that gets units of one row may wait for others, which are not loaded and do not change.
            let Some(row) = self.fold.books.stock.get_mut(key) else { continue };
            self.before.entry(key.clone()).or_insert_with(|| Some(row.clone()));
            row.waiting += line.waiting - before;
            self.fold.books.waiting.entry(key.clone()).or_default().set(order, line.waiting);
        }
    }
}
