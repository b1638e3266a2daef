//! A store in memory that gives a fold what a database would: the rows that a batch names and no other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::announce::{Announcement, Holder, Movement};
use crate::domain::books::{Books, Fold, OpenHold};
use crate::domain::claim::{Claim, ClaimKey, ClaimLine};
use crate::domain::event::Envelope;
use crate::domain::rules::Rules;
use crate::domain::stock::StockRow;
use crate::domain::verdict::Verdict;
use crate::domain::words::{StockKey, Timestamp};

/// The moment of every batch.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// Rows and everything that was written beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shelf {
    pub(super) stock: BTreeMap<StockKey, StockRow>,
    pub(super) claims: BTreeMap<ClaimKey, Claim>,
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
        let keys = events().flat_map(|event| event.claim_key().into_iter().chain(event.other_claim_key()));
        let claims: HashMap<ClaimKey, Claim> =
            keys.filter_map(|key| Some((key.clone(), self.claims.get(&key)?.clone()))).collect();
        let mut rows: BTreeSet<&StockKey> = events().flat_map(|event| event.stock_keys()).collect();
        rows.extend(claims.values().flat_map(|claim| claim.lines.keys()));
        let stock = rows.into_iter().filter_map(|key| Some((key.clone(), self.stock.get(key)?.clone()))).collect();
        // The clock stands still: whatever was recorded was recorded now, and no row existed before.
        let on_hand_at = HashMap::new();
        let short = events().filter_map(|event| event.may_leave_short());
        let holders = short.map(|key| (key.clone(), self.holders(key))).collect();
        Books { stock, claims, on_hand_at, holders }
    }

    fn holders(&self, key: &StockKey) -> Vec<OpenHold> {
        let hold = |claim: &Claim| {
            let reserved = claim.lines.get(key).map_or(0, |line| line.reserved);
            let holder = Holder { claim: claim.key.clone(), reserved };
            (reserved > 0).then_some(OpenHold { holder, expires_at: claim.expires_at })
        };
        self.claims.values().filter_map(hold).collect()
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
        self.movements.extend(effects.movements);
        self.announcements.extend(effects.announcements);
    }

    /// What must be the same however the events were cut into batches.
    pub(super) fn without_revisions(mut self) -> Self {
        self.claims.values_mut().for_each(|claim| claim.revision = 0);
        self
    }
}
