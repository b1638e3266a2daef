//! What the sidecar asks: one statement for each question, so that every answer is of one moment.

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;

use super::read::{self, stock_columns};
use super::{PostgresStore, error, holders, instant, published};
use crate::domain::announce::{AnnouncementBody, Answer, MovementKind};
use crate::domain::claim::ClaimKey;
use crate::domain::event::{Cause, EventType, Trace};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    ClaimView, HolderPlace, HolderView, MovementView, OutboxBatch, OutboxLimit, OutboxPlace, PublishedMark, Queries,
    QueryError, StockFilter, StoreError,
};
use crate::wire::encode::answer_json;
use crate::wire::stored;

impl Queries for PostgresStore {
    async fn stock(&self, key: &StockKey) -> Result<Option<StockRow>, QueryError> {
        let row =
            sqlx::query(concat!("select ", stock_columns!("s"), " from stock s where s.sku = $1 and s.location = $2"))
                .bind(key.sku.as_str())
                .bind(key.location.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(unanswered)?;
        Ok(row.as_ref().map(read::stock_row).transpose()?)
    }

    async fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> Result<Vec<StockRow>, QueryError> {
        let rows = sqlx::query(concat!(
            "select ",
            stock_columns!("s"),
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
        Ok(rows.iter().map(read::stock_row).collect::<Result<_, _>>()?)
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
        rows.iter().map(|row| movement(row).map_err(unanswered)?).collect()
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
        let claim = read::claim(&row)?;
        let kept: Option<&[u8]> = row.try_get(12).map_err(unanswered)?;
        let answer = match kept {
            None => None,
            Some(bytes) => {
                let (answer, cause, recorded_at) = stored::decode_answer(bytes)
                    .map_err(|error| QueryError::Broken(format!("the answer of {key:?} cannot be read: {error}")))?;
                let seq = self.seq_of(&answer, &cause, recorded_at).await?;
                Some(answer_json(&answer, &cause, recorded_at, seq))
            }
        };
        Ok(Some(ClaimView { claim, answer }))
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

    async fn ping(&self) -> Result<(), QueryError> {
        sqlx::query("select 1").execute(&self.pool).await.map_err(unanswered)?;
        Ok(())
    }
}

impl PostgresStore {
    /// The number under which an answer was published, as long as the outbox keeps its transaction. A claim does not
    /// keep it: the number is taken after the claim is written, and writing the claim again would cost every order
    /// what only this question needs.
    async fn seq_of(&self, answer: &Answer, cause: &Cause, recorded_at: Timestamp) -> Result<Option<i64>, QueryError> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select first_seq, content from outbox where recorded_at = $1 order by number")
                .bind(instant::write(recorded_at))
                .fetch_all(&self.pool)
                .await
                .map_err(unanswered)?;
        for (first_seq, content) in rows {
            let (announcements, _) = stored::decode_batch(&content)
                .map_err(|error| QueryError::Broken(format!("an outbox row cannot be read: {error}")))?;
            let position = announcements.iter().position(|announcement| {
                *announcement.cause == *cause
                    && matches!(&announcement.body, AnnouncementBody::ReservationResult(known) if known == answer)
            });
            if let Some(position) = position {
                return Ok(Some(first_seq + position as i64));
            }
        }
        Ok(None)
    }
}

fn movement(row: &PgRow) -> Result<Result<MovementView, QueryError>, sqlx::Error> {
    let units = |column: usize| row.try_get::<Option<i64>, _>(column).map(Option::unwrap_or_default);
    let text = |column: usize| row.try_get::<Option<&str>, _>(column).map(|text| text.map(Into::into));
    let kind: &str = row.try_get(1)?;
    let event_type: &str = row.try_get(10)?;
    let Some(kind) = MovementKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        return Ok(Err(QueryError::Broken(format!(
            "a movement has the kind {kind:?}, which this version does not know"
        ))));
    };
    let Some(event_type) = EventType::parse(event_type) else {
        return Ok(Err(QueryError::Broken(format!(
            "a movement has the cause {event_type:?}, which this version does not know"
        ))));
    };
    Ok(Ok(MovementView {
        version: row.try_get(0)?,
        kind,
        change: Counters {
            on_hand: units(2)?,
            cart_held: units(3)?,
            order_reserved: units(4)?,
            safety_stock: units(5)?,
        },
        after: Counters {
            on_hand: units(6)?,
            cart_held: units(7)?,
            order_reserved: units(8)?,
            safety_stock: units(9)?,
        },
        cause: Cause {
            event_type,
            id: row.try_get::<&str, _>(11)?.into(),
            source: row.try_get::<&str, _>(12)?.into(),
            reference: row.try_get::<Option<&str>, _>(13)?.map(Into::into),
        },
        reason: text(14)?,
        operator: text(15)?,
        trace: Trace { parent: text(16)?, state: None },
        recorded_at: instant::read(row.try_get::<OffsetDateTime, _>(17)?),
    }))
}

pub(super) fn unanswered(error: sqlx::Error) -> QueryError {
    error::classify(error).into()
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Transient(error) => Self::Unavailable(error),
            StoreError::Fatal(error) => Self::Broken(error),
        }
    }
}
