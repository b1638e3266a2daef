//! Numbers, the lease and the mark, and what is due.

use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{
    AuditPage, Audited, Committed, DueClaim, Entry, Judge, LONGEST_LEASE_SECONDS, Lease, OutboxBatch, OutboxStatus,
    Progress, Store, StoreError,
};
use uuid::Uuid;

use super::ModelStore;
use super::tables::Tables;

impl Store for ModelStore {
    async fn commit(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        self.commit_batch(entries, judge).await
    }

    async fn unpublished(&self, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
        self.database.look(|tables| batches(tables, after, i64::MAX, limit))
    }

    async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        Ok(self.database.look(|tables| OutboxStatus {
            installation: tables.installation,
            last_number: tables.last_number,
            last_seq: tables.last_seq,
            published_number: tables.mark.number,
            published_seq: tables.mark.seq,
            oldest_unpublished: tables.outbox.range(tables.mark.number + 1..).next().map(|(_, it)| it.recorded_at),
            now: tables.clock,
        }))
    }

    async fn take_lease(&self, holder: Uuid, seconds: i64) -> Result<Option<Lease>, StoreError> {
        Ok(self.database.change(|tables| {
            let epoch = match tables.lease {
                Some((lease, _)) if lease.holder == holder => lease.epoch,
                Some((_, until))
                    if (tables.clock..=tables.clock.plus_seconds(LONGEST_LEASE_SECONDS)).contains(&until) =>
                {
                    return None;
                }
                Some(_) | None => tables.epoch + 1,
            };
            let lease = Lease { holder, epoch };
            tables.epoch = epoch;
            tables.lease = Some((lease, tables.clock.plus_seconds(seconds)));
            Some(lease)
        }))
    }

    async fn give_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.database.change(|tables| {
            if is_held(tables, lease) {
                tables.lease = None;
            }
        });
        Ok(())
    }

    async fn mark_published(&self, lease: Lease, progress: Progress) -> Result<bool, StoreError> {
        Ok(self.database.change(|tables| {
            let held = is_held(tables, lease);
            if held {
                tables.mark.number = tables.mark.number.max(progress.batch);
                tables.mark.seq = tables.mark.seq.max(progress.seq);
            }
            held
        }))
    }

    async fn audited(&self, after: Option<&StockKey>, page: AuditPage) -> Result<Vec<Audited>, StoreError> {
        Ok(self.audit_page(after, page))
    }

    async fn take_turn(&self, job: &str, interval_seconds: i64) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.turn(job, interval_seconds))
    }

    async fn due_claims(&self, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
        Ok(self.database.look(|tables| {
            let seen_at = tables.clock;
            let due = |deadline: Option<Timestamp>| deadline.filter(|deadline| *deadline <= seen_at);
            let claims = tables.claims.values().map(|kept| &kept.claim);
            let mut found: Vec<DueClaim> = claims
                .filter_map(|claim| {
                    Some(DueClaim { key: claim.key.clone(), deadline: due(claim.expires_at)?, seen_at })
                })
                .collect();
            found.sort_by_key(|claim| claim.deadline);
            found.truncate(limit);
            found
        }))
    }
}

fn is_held(tables: &Tables, lease: Lease) -> bool {
    tables.lease.is_some_and(|(held, _)| held == lease)
}

/// Batches behind a number up to another one, in order without a hole.
pub(super) fn batches(tables: &Tables, after: i64, last: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
    let kept = tables.outbox.values().filter(|batch| batch.number > after && batch.number <= last).take(limit);
    let mut found = Vec::new();
    for (batch, expected) in kept.zip(after + 1..) {
        if batch.number != expected {
            return Err(StoreError::Fatal(format!(
                "the outbox lacks batch {expected}: the next one is {}",
                batch.number
            )));
        }
        found.push(batch.clone());
    }
    Ok(found)
}
