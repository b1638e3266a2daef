//! Who has units of a row set aside: what the store said, and what the events of the batch did since.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Books;
use crate::domain::announce::{Holder, MAX_SHORT_CLAIMS};
use crate::domain::claim::ClaimKey;
use crate::domain::words::{StockKey, Timestamp};

/// A claim that has units of a row set aside, with what orders those of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The claim and its units.
    pub holder: Holder,
    /// Since when it holds units of the row without a break; `None` where that was not kept.
    pub held_since: Option<Timestamp>,
}

impl Books {
    /// Who has units of a row set aside at `now`, newest first, as the store asks for holders: those of whom it is not
    /// known since when come last. What a claim has again of a row that it let go in this batch it holds since `now`.
    pub(super) fn holders_of(
        &self,
        key: &StockKey,
        now: Timestamp,
        let_go: &BTreeMap<ClaimKey, BTreeSet<StockKey>>,
    ) -> Vec<Holder> {
        let loaded = || self.holders.get(key).into_iter().flatten();
        let untouched = loaded().filter(|hold| !self.claims.contains_key(&hold.holder.claim)).cloned();
        let touched = self.claims.values().filter_map(|claim| {
            let reserved = claim.lines.get(key).map(|line| line.reserved).filter(|reserved| *reserved > 0)?;
            let anew = let_go.get(&claim.key).is_some_and(|rows| rows.contains(key));
            let before = loaded().find(|hold| !anew && hold.holder.claim == claim.key);
            let held_since = before.map_or(Some(now), |hold| hold.held_since);
            Some(OpenHold { holder: Holder { claim: claim.key.clone(), reserved }, held_since })
        });
        let mut holds: Vec<OpenHold> = untouched.chain(touched).collect();
        holds.sort_by(|one, other| {
            let since = |hold: &OpenHold| Reverse(hold.held_since);
            since(one).cmp(&since(other)).then_with(|| one.holder.claim.cmp(&other.holder.claim))
        });
        holds.truncate(MAX_SHORT_CLAIMS);
        holds.into_iter().map(|hold| hold.holder).collect()
    }
}
