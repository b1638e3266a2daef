//! A store in memory that gives a fold what a database would: the rows that a batch names and no other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::announce::{Announcement, Movement};
use crate::domain::books::{Books, Fold};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine};
use crate::domain::event::Envelope;
use crate::domain::rules::Rules;
use crate::domain::stock::StockRow;
use crate::domain::verdict::Verdict;
use crate::domain::waiting::WaitingList;
use crate::domain::words::{Reference, StockKey, Timestamp};

/// The moment of every batch.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// Rows and everything that was written beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shelf {
    pub(super) stock: BTreeMap<StockKey, StockRow>,
    pub(super) claims: BTreeMap<ClaimKey, Claim>,
    /// Who waits, by row and ticket.
    pub(super) waiting: BTreeMap<(StockKey, i64), Reference>,
    pub(super) movements: Vec<Movement>,
    pub(super) announcements: Vec<Announcement>,
    pub(super) verdicts: Vec<Verdict>,
}

impl Shelf {
    /// Applies one batch as one transaction would.
    pub(super) fn deliver(&mut self, rules: &Rules, batch: &[Envelope]) {
        let mut fold = Fold::new(rules, NOW, self.load(batch));
        let verdicts: Vec<Verdict> =
            batch.iter().map(|envelope| fold.apply(envelope).unwrap_or_else(|broken| panic!("{broken}"))).collect();
        self.verdicts.extend(verdicts);
        self.keep(fold);
    }

    fn load(&self, batch: &[Envelope]) -> Books {
        let events = || batch.iter().map(|envelope| &envelope.event);
        let keys = events().flat_map(|event| event.claim_key().into_iter().chain(event.cart_key()));
        let mut claims: HashMap<ClaimKey, Claim> =
            keys.filter_map(|key| Some((key.clone(), self.claims.get(&key)?.clone()))).collect();
        let mut rows: BTreeSet<&StockKey> = events().flat_map(|event| event.stock_keys()).collect();
        rows.extend(claims.values().flat_map(|claim| claim.lines.keys()));
        let stock: HashMap<StockKey, StockRow> =
            rows.into_iter().filter_map(|key| Some((key.clone(), self.stock.get(key)?.clone()))).collect();
        let mut waiting: HashMap<StockKey, WaitingList> = HashMap::new();
        for ((row, ticket), order) in self.waiting.iter().filter(|((row, _), _)| stock.contains_key(row)) {
            let claim = &self.claims[&ClaimKey { kind: ClaimKind::Order, reference: order.clone() }];
            claims.insert(claim.key.clone(), claim.clone());
            waiting.entry(row.clone()).or_default().put(*ticket, order.clone(), claim.lines[row].waiting);
        }
        Books { stock, claims, waiting }
    }

    /// Writes what the effects name, and nothing else.
    fn keep(&mut self, fold: Fold<'_>) {
        let Fold { books, effects, .. } = fold;
        for key in effects.created.iter().chain(&effects.settings).chain(&effects.counted) {
            self.stock.insert(key.clone(), books.stock[key].clone());
        }
        for key in &effects.claims {
            let Some(claim) = books.claims.get(key) else { continue };
            let mut claim = claim.clone();
            claim.lines.retain(|_, line| *line != ClaimLine::default());
            claim.revision += 1;
            self.claims.insert(key.clone(), claim);
        }
        for (key, claim) in &books.claims {
            let written = effects.claims.contains(key);
            assert!(written || self.claims.get(key) == Some(claim), "{key:?} was changed and is not written");
        }
        for (key, row) in &books.stock {
            let written = [&effects.created, &effects.settings, &effects.counted].iter().any(|rows| rows.contains(key));
            assert!(written || self.stock.get(key) == Some(row), "{key} was changed and is not written");
        }
        self.waiting.retain(|(row, _), _| !books.waiting.contains_key(row));
        for (row, list) in &books.waiting {
            self.waiting.extend(list.places().map(|(ticket, order)| ((row.clone(), ticket), order.clone())));
        }
        self.movements.extend(effects.movements);
        self.announcements.extend(effects.announcements);
    }

    /// What must be the same however the events were cut into batches.
    pub(super) fn without_revisions(mut self) -> Self {
        self.claims.values_mut().for_each(|claim| claim.revision = 0);
        self
    }
}
