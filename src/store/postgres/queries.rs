//! What the sidecar asks: one statement for each question, so that every answer is of one moment.

use sqlx::Row;

use super::read::columns;
use super::{PostgresStore, alerts, as_of, audits, error, holders, published};
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
use crate::store::instant;
use crate::store::kept::KeptAnswer;
use crate::store::rows;

impl Queries for PostgresStore {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        let row = sqlx::query(concat!("select ", columns!("s"), " from stock s where s.sku = $1 and s.location = $2"))
            .bind(key.sku.as_str())
            .bind(key.location.as_str())
            .fetch_optional(&self.pool)
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
        let rows = sqlx::query(concat!(
            "select ",
            columns!("s"),
            " from stock s
              where ($1::text[] is null or s.sku = any($1)) and ($2::text is null or s.location = $2)
                and ($3::text is null or (s.sku collate \"C\", s.location collate \"C\") > ($3, $4))
                and ($6::text is null or starts_with(s.sku, $6))
              order by s.sku collate \"C\", s.location collate \"C\" limit $5"
        ))
        .bind((!filter.skus.is_empty()).then(|| filter.skus.iter().map(|sku| sku.as_str()).collect::<Vec<_>>()))
        .bind(filter.location.as_ref().map(|location| location.as_str()))
        .bind(after.map(|key| key.sku.as_str()))
        .bind(after.map(|key| key.location.as_str()))
        .bind(i64::from(limit))
        .bind(filter.prefix.as_ref().map(|prefix| prefix.as_str()))
        .fetch_all(&self.pool)
        .await
        .map_err(unanswered)?;
        Ok(rows.iter().map(rows::stock).collect::<Result<_, _>>()?)
    }

    async fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MovementView>, QueryError> {
        let rows = sqlx::query(
            "select m.version, m.kind::text, m.on_hand_change, m.cart_held_change, m.order_reserved_change,
                    m.safety_stock_change, m.on_hand, m.cart_held, m.order_reserved, m.safety_stock,
                    m.cause_type::text, coalesce(m.cause_id, m.cause_key::text), s.name, m.reference, m.reason, m.operator, m.trace_parent,
                    m.recorded_at
             from movement m join source s on s.id = m.cause_source
             where m.sku = $1 and m.location = $2 and ($3::bigint is null or m.version < $3)
             order by m.version desc limit $4",
        )
        .bind(key.sku.as_str())
        .bind(key.location.as_str())
        .bind(before_version)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(unanswered)?;
        rows.iter().map(rows::movement).collect()
    }

    async fn claim(&self, key: &ClaimKey) -> Result<Option<ClaimView>, QueryError> {
        let row = sqlx::query(
            "select c.kind::text, c.reference, c.state::text, c.confirmed, c.revision, c.version, c.updated_time,
                    c.first_held_at, c.expires_at, c.shipments, c.remembered, c.lines::text, c.answer
             from claim c where c.kind = $1::text::claim_kind and c.reference = $2",
        )
        .bind(key.kind.as_str())
        .bind(key.reference.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(unanswered)?;
        let Some(row) = row else { return Ok(None) };
        let claim = rows::claim(&row)?;
        let kept: Option<&[u8]> = row.try_get(12).map_err(unanswered)?;
        let answer = match kept {
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
        as_of::stock_as_of(&self.pool, key, instant).await
    }

    async fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> Result<Vec<HolderView>, QueryError> {
        holders::holders(&self.pool, key, after, limit).await
    }

    async fn published_mark(&self) -> Result<PublishedMark, QueryError> {
        published::published_mark(&self.pool).await.map_err(unanswered)
    }

    async fn outbox_place(&self, seq: i64) -> Result<OutboxPlace, QueryError> {
        published::outbox_place(&self.pool, seq).await.map_err(unanswered)
    }

    async fn published_behind(&self, number: i64, limit: OutboxLimit) -> Result<Vec<OutboxBatch>, QueryError> {
        published::published_behind(&self.pool, number, limit).await
    }

    async fn differences(
        &self,
        filter: &DifferenceFilter,
        after: Option<&DifferenceKey>,
        limit: u32,
    ) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
        audits::differences(&self.pool, filter, after, limit).await
    }

    async fn difference_counts(&self) -> Result<Vec<DifferenceCount>, QueryError> {
        audits::difference_counts(&self.pool).await.map_err(unanswered)
    }

    async fn ping(&self) -> Result<(), QueryError> {
        sqlx::query("select 1").execute(&self.pool).await.map_err(unanswered)?;
        Ok(())
    }
}

impl Watch for PostgresStore {
    async fn alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&AlertPlace>,
        limit: u32,
    ) -> Result<Vec<Alert>, QueryError> {
        alerts::page(&self.pool, filter, after, limit).await
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, QueryError> {
        alerts::one(&self.pool, id).await
    }

    async fn acknowledge(&self, id: AlertId, operator: Option<&str>) -> Result<Acknowledgement, QueryError> {
        Ok(Acknowledgement::of(alerts::acknowledge(&self.pool, id, operator).await?))
    }
}

impl PostgresStore {
    /// What the outbox keeps of an instant, as (first seq, content).
    async fn transactions_at(&self, recorded_at: Timestamp) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        sqlx::query_as("select first_seq, content from outbox where recorded_at = $1 order by number")
            .bind(instant::write(recorded_at))
            .fetch_all(&self.pool)
            .await
    }
}

pub(super) fn unanswered(error: sqlx::Error) -> QueryError {
    error::classify(error).into()
}
