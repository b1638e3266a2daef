//! Questions, each answered from the rows of one moment.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast::domain::alert::{Alert, AlertId, AlertState};
use holdfast::domain::claim::ClaimKey;
use holdfast::domain::reconciliation::{Difference, DifferenceKey};
use holdfast::domain::stock::StockRow;
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{
    Acknowledgement, AlertFilter, AlertPlace, ClaimView, DifferenceCount, DifferenceFilter, HolderPlace, HolderView,
    MovementView, OutboxBatch, OutboxLimit, OutboxPlace, PublishedMark, Queries, QueryError, StockAsOf, StockFilter,
    Watch,
};
use holdfast::wire::encode::answer_json;

use super::tables::{Given, SetAside};
use super::{ModelStore, outbox};

impl Queries for ModelStore {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        Ok(self.database.look(|tables| tables.stock.get(key).cloned()))
    }

    async fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> Result<Vec<StockRow>, QueryError> {
        let is_shown = |key: &StockKey| {
            after.is_none_or(|after| key > after)
                && (filter.skus.is_empty() || filter.skus.contains(&key.sku))
                && filter.prefix.as_ref().is_none_or(|prefix| key.sku.as_str().starts_with(prefix.as_str()))
                && filter.location.as_ref().is_none_or(|location| key.location == *location)
        };
        Ok(self.database.look(|tables| {
            tables.stock.values().filter(|row| is_shown(&row.key)).take(limit as usize).cloned().collect()
        }))
    }

    async fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MovementView>, QueryError> {
        let (first, end) = ((key.clone(), i64::MIN), (key.clone(), before_version.unwrap_or(i64::MAX)));
        Ok(self.database.look(|tables| {
            tables
                .movements
                .range(first..end)
                .rev()
                .take(limit as usize)
                .map(|(_, movement)| movement.clone())
                .collect()
        }))
    }

    async fn claim(&self, key: &ClaimKey) -> Result<Option<ClaimView>, QueryError> {
        Ok(self.database.look(|tables| {
            let kept = tables.claims.get(key)?;
            // The number of an answer is known as long as the outbox keeps its batch.
            let told = |given: &Given| {
                let seq = tables.outbox.contains_key(&given.number).then_some(given.seq);
                answer_json(&given.answer, &given.cause, given.recorded_at, seq)
            };
            Some(ClaimView { claim: kept.claim.clone(), answer: kept.answer.as_ref().map(told) })
        }))
    }

    async fn stock_as_of(&self, key: &StockKey, instant: Timestamp) -> Result<StockAsOf, QueryError> {
        Ok(self.database.look(|tables| {
            let of_row = (key.clone(), i64::MIN)..=(key.clone(), i64::MAX);
            let mut history = tables.movements.range(of_row).map(|(_, movement)| movement);
            let Some(first) = history.clone().next() else { return StockAsOf::Unknown };
            if instant > tables.clock {
                return StockAsOf::Ahead { now: tables.clock };
            }
            match history.rfind(|movement| movement.recorded_at <= instant) {
                None => StockAsOf::Before { first: first.recorded_at },
                Some(movement) => StockAsOf::At {
                    version: movement.version,
                    counters: movement.after,
                    recorded_at: movement.recorded_at,
                },
            }
        }))
    }

    async fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> Result<Vec<HolderView>, QueryError> {
        // A time that is not known stands behind every one that is.
        let place = |since: Option<Timestamp>, key: &ClaimKey| (Reverse(since), key.clone());
        Ok(self.database.look(|tables| {
            let mut holders: Vec<HolderView> = tables
                .set_aside
                .iter()
                .filter(|((row, _), _)| row == key)
                .filter_map(|((_, claim), SetAside { units, since })| {
                    let claim = &tables.claims.get(claim)?.claim;
                    let (key, state, expires_at) = (claim.key.clone(), claim.state, claim.expires_at);
                    Some(HolderView { key, reserved: *units, state, held_since: *since, expires_at })
                })
                .collect();
            holders.sort_by_key(|holder| place(holder.held_since, &holder.key));
            let behind = |holder: &HolderView| {
                after.is_none_or(|after| place(holder.held_since, &holder.key) > place(after.held_since, &after.key))
            };
            holders.retain(behind);
            holders.truncate(limit as usize);
            holders
        }))
    }

    async fn published_mark(&self) -> Result<PublishedMark, QueryError> {
        Ok(self.database.look(|tables| tables.mark))
    }

    async fn outbox_place(&self, seq: i64) -> Result<OutboxPlace, QueryError> {
        Ok(self.database.look(|tables| {
            if seq > tables.last_seq {
                return OutboxPlace::NotGiven;
            }
            match tables.outbox.values().find(|batch| batch.last_seq() > seq) {
                Some(batch) if batch.first_seq <= seq + 1 => OutboxPlace::Behind(batch.number - 1),
                None if seq == tables.last_seq => OutboxPlace::Behind(tables.last_number),
                Some(_) | None => OutboxPlace::Dropped,
            }
        }))
    }

    async fn published_behind(&self, number: i64, limit: OutboxLimit) -> Result<Vec<OutboxBatch>, QueryError> {
        self.database.look(|tables| {
            let Some(first) = tables.outbox.get(&(number + 1)) else { return Ok(Vec::new()) };
            let end = first.first_seq + i64::from(limit.announcements);
            let last = tables.mark.number.min(number + i64::from(limit.batches));
            let mut found = outbox::batches(tables, number, last, usize::MAX)?;
            found.retain(|batch| batch.first_seq < end);
            Ok(found)
        })
    }

    async fn differences(
        &self,
        filter: &DifferenceFilter,
        after: Option<&DifferenceKey>,
        limit: u32,
    ) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
        // By the words, as they are shown.
        let place = |key: &DifferenceKey| (key.key.clone(), key.source.as_str().to_owned(), key.field.as_str());
        let is_shown = |key: &DifferenceKey| {
            after.is_none_or(|after| place(key) > place(after))
                && filter.source.as_ref().is_none_or(|source| key.source == *source)
                && filter.sku.as_ref().is_none_or(|sku| key.key.sku == *sku)
        };
        Ok(self.database.look(|tables| {
            let mut found: Vec<_> = tables.differences.clone().into_iter().filter(|(key, _)| is_shown(key)).collect();
            found.sort_by_key(|(key, _)| place(key));
            found.truncate(limit as usize);
            found
        }))
    }

    async fn difference_counts(&self) -> Result<Vec<DifferenceCount>, QueryError> {
        let mut counts: BTreeMap<String, DifferenceCount> = BTreeMap::new();
        self.database.look(|tables| {
            for (key, difference) in &tables.differences {
                let nothing = DifferenceCount { source: key.source.clone(), open: 0, alerts: 0 };
                let count = counts.entry(key.source.as_str().to_owned()).or_insert(nothing);
                count.open += 1;
                count.alerts += i64::from(difference.is_alert);
            }
        });
        Ok(counts.into_values().collect())
    }

    async fn ping(&self) -> Result<(), QueryError> {
        Ok(())
    }
}

impl Watch for ModelStore {
    async fn alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&AlertPlace>,
        limit: u32,
    ) -> Result<Vec<Alert>, QueryError> {
        let is_shown = |alert: &&Alert| {
            after.is_none_or(|after| (alert.opened_at, alert.id) < (after.opened_at, after.id))
                && filter.state.is_none_or(|state| alert.state == state)
                && filter.sku.as_ref().is_none_or(|sku| alert.key.sku == *sku)
                && filter.location.as_ref().is_none_or(|location| alert.key.location == *location)
        };
        Ok(self.database.look(|tables| {
            let mut alerts: Vec<Alert> = tables.alerts.values().filter(is_shown).cloned().collect();
            alerts.sort_by_key(|alert| Reverse((alert.opened_at, alert.id)));
            alerts.truncate(limit as usize);
            alerts
        }))
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, QueryError> {
        Ok(self.database.look(|tables| tables.alerts.get(&id).cloned()))
    }

    async fn acknowledge(&self, id: AlertId, operator: Option<&str>) -> Result<Acknowledgement, QueryError> {
        Ok(Acknowledgement::of(self.database.change(|tables| {
            let now = tables.clock;
            let alert = tables.alerts.get_mut(&id)?;
            if alert.state == AlertState::Open {
                alert.state = AlertState::Acknowledged;
                alert.acknowledged_at = Some(now);
                alert.acknowledged_by = operator.map(Arc::from);
            }
            Some(alert.clone())
        })))
    }
}
