//! What the sidecar asks: one statement for each question, so that every answer is of one moment.

use sqlx::Row;

use super::read::{claim_columns, columns};
use super::{SqliteStore, alerts, as_of, audits, error, holders, published, stock_page};
use crate::domain::alert::{Alert, AlertId};
use crate::domain::claim::ClaimKey;
use crate::domain::reconciliation::{Difference, DifferenceKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    Acknowledgement, AlertFilter, AlertPlace, ClaimView, DifferenceCount, DifferenceFilter, HolderPlace, HolderView,
    MovementView, OutboxBatch, OutboxLimit, OutboxPlace, PublishedMark, Queries, QueryError, StockAsOf, StockFilter,
    Watch,
};
use crate::store::kept::KeptAnswer;
use crate::store::rows;

/// The id of a movement's cause: what was written out, or else the text of its key, which is a UUID then.
macro_rules! cause_id {
    () => {
        "coalesce(m.cause_id, lower(substr(hex(m.cause_key), 1, 8) || '-' || substr(hex(m.cause_key), 9, 4) || '-' ||
                  substr(hex(m.cause_key), 13, 4) || '-' || substr(hex(m.cause_key), 17, 4) || '-' ||
                  substr(hex(m.cause_key), 21)))"
    };
}

impl Queries for SqliteStore {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        let row = sqlx::query(concat!("select ", columns!("s"), " from stock s where s.sku = ?1 and s.location = ?2"))
            .bind(key.sku.as_str())
            .bind(key.location.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unanswered)?;
        Ok(row.as_ref().map(rows::stock).transpose()?)
    }

    async fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> Result<Vec<StockRow>, QueryError> {
        stock_page::stock_page(&self.readers, filter, after, limit).await
    }

    async fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MovementView>, QueryError> {
        let found = sqlx::query(concat!(
            "select m.version, m.kind, m.on_hand_change, m.cart_held_change, m.order_reserved_change,
                    m.safety_stock_change, m.on_hand, m.cart_held, m.order_reserved, m.safety_stock, m.cause_type, ",
            cause_id!(),
            ", s.name, m.reference, m.reason, m.operator, m.trace_parent, m.recorded_at
             from movement m cross join source s on s.id = m.cause_source
             where m.sku = ?1 and m.location = ?2 and m.version < ?3
             order by m.version desc limit ?4"
        ))
        .bind(key.sku.as_str())
        .bind(key.location.as_str())
        .bind(before_version.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unanswered)?;
        found.iter().map(rows::movement).collect()
    }

    async fn claim(&self, key: &ClaimKey) -> Result<Option<ClaimView>, QueryError> {
        let row = sqlx::query(concat!(
            "select ",
            claim_columns!(),
            ", c.answer from claim c where c.kind = ?1 and c.reference = ?2"
        ))
        .bind(key.kind.as_str())
        .bind(key.reference.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(unanswered)?;
        let Some(row) = row else { return Ok(None) };
        let claim = rows::claim(&row)?;
        let answer = match row.try_get::<Option<&[u8]>, _>(12).map_err(unanswered)? {
            None => None,
            Some(bytes) => {
                let kept = KeptAnswer::read(key, bytes)?;
                let transactions = self.transactions_at(kept.recorded_at).await.map_err(unanswered)?;
                Some(kept.as_json(&transactions)?)
            }
        };
        Ok(Some(ClaimView { claim, answer }))
    }

    async fn stock_as_of(&self, key: &StockKey, instant: Timestamp) -> Result<StockAsOf, QueryError> {
        as_of::stock_as_of(&self.readers, key, instant).await
    }

    async fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> Result<Vec<HolderView>, QueryError> {
        holders::holders(&self.readers, key, after, limit).await
    }

    async fn published_mark(&self) -> Result<PublishedMark, QueryError> {
        published::published_mark(&self.readers).await.map_err(unanswered)
    }

    async fn outbox_place(&self, seq: i64) -> Result<OutboxPlace, QueryError> {
        published::outbox_place(&self.readers, seq).await.map_err(unanswered)
    }

    async fn published_behind(&self, number: i64, limit: OutboxLimit) -> Result<Vec<OutboxBatch>, QueryError> {
        published::published_behind(&self.readers, number, limit).await
    }

    async fn differences(
        &self,
        filter: &DifferenceFilter,
        after: Option<&DifferenceKey>,
        limit: u32,
    ) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
        audits::differences(&self.readers, filter, after, limit).await
    }

    async fn difference_counts(&self) -> Result<Vec<DifferenceCount>, QueryError> {
        audits::difference_counts(&self.readers).await.map_err(unanswered)
    }

    async fn ping(&self) -> Result<(), QueryError> {
        // Reads the file, unlike a constant.
        sqlx::query("select id from installation").fetch_all(&self.readers).await.map_err(unanswered)?;
        Ok(())
    }
}

impl Watch for SqliteStore {
    async fn alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&AlertPlace>,
        limit: u32,
    ) -> Result<Vec<Alert>, QueryError> {
        alerts::page(&self.readers, filter, after, limit).await
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, QueryError> {
        alerts::one(&self.readers, id).await
    }

    async fn acknowledge(&self, id: AlertId, operator: Option<&str>) -> Result<Acknowledgement, QueryError> {
        Ok(Acknowledgement::of(alerts::acknowledge(&self.writer, id, operator).await?))
    }
}

impl SqliteStore {
    /// What the outbox keeps of an instant, as (first seq, content).
    async fn transactions_at(&self, recorded_at: Timestamp) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        sqlx::query_as("select first_seq, content from outbox where recorded_at = ?1 order by number")
            .bind(recorded_at.0)
            .fetch_all(&self.readers)
            .await
    }
}

pub(super) fn unanswered(error: sqlx::Error) -> QueryError {
    error::classify(error).into()
}
