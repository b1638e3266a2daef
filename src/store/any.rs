//! The store that the settings name.

use std::path::Path;

use super::postgres::PostgresStore;
use super::sqlite::{AnnouncementLog, SqliteStore};
use super::{MaintenanceReport, Migration, Upkeep, Verification};
use crate::domain::alert::{Alert, AlertId};
use crate::domain::claim::ClaimKey;
use crate::domain::reconciliation::{Difference, DifferenceKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    Acknowledgement, AlertFilter, AlertPlace, AuditPage, Audited, ClaimView, Committed, DifferenceCount,
    DifferenceFilter, DueClaim, Entry, HolderPlace, HolderView, Judge, Lease, MovementView, OutboxBatch, OutboxLimit,
    OutboxPlace, OutboxStatus, Progress, PublishedMark, Queries, QueryError, StockAsOf, StockFilter, Store, StoreError,
    Watch,
};

/// One of the stores, chosen when the process starts. Each method is the chosen store's.
#[derive(Clone)]
pub enum AnyStore {
    /// PostgreSQL.
    Postgres(PostgresStore),
    /// A file.
    Sqlite(SqliteStore),
}

macro_rules! chosen {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            AnyStore::Postgres($store) => $call.await,
            AnyStore::Sqlite($store) => $call.await,
        }
    };
}

impl AnyStore {
    /// The same store, announcing its batches in the embedded log of its file; a store that is no file is left as it is.
    pub fn announcing(self, announcements: AnnouncementLog) -> Self {
        match self {
            Self::Sqlite(store) => Self::Sqlite(store.announcing(announcements)),
            Self::Postgres(store) => Self::Postgres(store),
        }
    }
}

impl Store for AnyStore {
    async fn commit(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        chosen!(self, store => store.commit(entries, judge))
    }

    async fn unpublished(&self, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
        chosen!(self, store => store.unpublished(after, limit))
    }

    async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        chosen!(self, store => store.outbox_status())
    }

    async fn take_lease(&self, holder: uuid::Uuid, seconds: i64) -> Result<Option<Lease>, StoreError> {
        chosen!(self, store => store.take_lease(holder, seconds))
    }

    async fn give_lease(&self, lease: Lease) -> Result<(), StoreError> {
        chosen!(self, store => store.give_lease(lease))
    }

    async fn mark_published(&self, lease: Lease, progress: Progress) -> Result<bool, StoreError> {
        chosen!(self, store => store.mark_published(lease, progress))
    }

    async fn due_claims(&self, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
        chosen!(self, store => store.due_claims(limit))
    }

    async fn audited(&self, after: Option<&StockKey>, page: AuditPage) -> Result<Vec<Audited>, StoreError> {
        chosen!(self, store => store.audited(after, page))
    }

    async fn take_turn(&self, job: &str, interval_seconds: i64) -> Result<Option<Timestamp>, StoreError> {
        chosen!(self, store => store.take_turn(job, interval_seconds))
    }
}

impl Queries for AnyStore {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        chosen!(self, store => store.stock(key))
    }

    async fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> Result<Vec<StockRow>, QueryError> {
        chosen!(self, store => store.stock_page(filter, after, limit))
    }

    async fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MovementView>, QueryError> {
        chosen!(self, store => store.movements(key, before_version, limit))
    }

    async fn claim(&self, key: &ClaimKey) -> Result<Option<ClaimView>, QueryError> {
        chosen!(self, store => store.claim(key))
    }

    async fn stock_as_of(&self, key: &StockKey, instant: Timestamp) -> Result<StockAsOf, QueryError> {
        chosen!(self, store => store.stock_as_of(key, instant))
    }

    async fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> Result<Vec<HolderView>, QueryError> {
        chosen!(self, store => store.holders(key, after, limit))
    }

    async fn published_mark(&self) -> Result<PublishedMark, QueryError> {
        chosen!(self, store => store.published_mark())
    }

    async fn outbox_place(&self, seq: i64) -> Result<OutboxPlace, QueryError> {
        chosen!(self, store => store.outbox_place(seq))
    }

    async fn published_behind(&self, number: i64, limit: OutboxLimit) -> Result<Vec<OutboxBatch>, QueryError> {
        chosen!(self, store => store.published_behind(number, limit))
    }

    async fn differences(
        &self,
        filter: &DifferenceFilter,
        after: Option<&DifferenceKey>,
        limit: u32,
    ) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
        chosen!(self, store => store.differences(filter, after, limit))
    }

    async fn difference_counts(&self) -> Result<Vec<DifferenceCount>, QueryError> {
        chosen!(self, store => store.difference_counts())
    }

    async fn ping(&self) -> Result<(), QueryError> {
        chosen!(self, store => store.ping())
    }
}

impl Watch for AnyStore {
    async fn alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&AlertPlace>,
        limit: u32,
    ) -> Result<Vec<Alert>, QueryError> {
        chosen!(self, store => store.alerts(filter, after, limit))
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, QueryError> {
        chosen!(self, store => store.alert(id))
    }

    async fn acknowledge(&self, id: AlertId, operator: Option<&str>) -> Result<Acknowledgement, QueryError> {
        chosen!(self, store => store.acknowledge(id, operator))
    }
}

impl Upkeep for AnyStore {
    async fn check_integrity(&self) -> Result<(), StoreError> {
        chosen!(self, store => store.check_integrity())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        chosen!(self, store => store.migrate())
    }

    async fn migration(&self) -> Result<Migration, StoreError> {
        chosen!(self, store => store.migration())
    }

    async fn maintain(&self) -> Result<MaintenanceReport, StoreError> {
        chosen!(self, store => store.maintain())
    }

    async fn verify_with(
        &self,
        ignore_cart_holds: bool,
        begins: impl FnMut(usize, &'static str) + Send,
    ) -> Result<Vec<Verification>, StoreError> {
        chosen!(self, store => store.verify_with(ignore_cart_holds, begins))
    }

    async fn backup(&self, file: &Path) -> Result<u64, StoreError> {
        chosen!(self, store => store.backup(file))
    }

    async fn close(&self) {
        chosen!(self, store => store.close());
    }
}
