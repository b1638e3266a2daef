//! What the sidecar asks: one statement for each question, so that every answer is of one moment.

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;

use super::read::{self, stock_columns};
use super::{PostgresStore, error, instant};
use crate::domain::announce::MovementKind;
use crate::domain::claim::{Claim, ClaimKey, ClaimLine};
use crate::domain::event::{Cause, EventType, Trace};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::words::StockKey;
use crate::ports::{ClaimView, MovementView, Queries, QueryError, StockFilter, StoreError};
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
              order by s.sku collate \"C\", s.location collate \"C\" limit $5"
        ))
        .bind((!filter.skus.is_empty()).then(|| filter.skus.iter().map(|sku| sku.as_str()).collect::<Vec<_>>()))
        .bind(filter.location.as_ref().map(|location| location.as_str()))
        .bind(after.map(|key| key.sku.as_str()))
        .bind(after.map(|key| key.location.as_str()))
        .bind(i64::from(limit))
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
                    m.cause_type::text, m.cause_id, s.name, m.reference, m.reason, m.operator, m.trace_parent,
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
        let rows = sqlx::query(
            "select c.kind::text, c.reference, c.state::text, c.confirmed, c.revision, c.version, c.updated_time,
                    c.first_held_at, c.expires_at, c.shipments, c.remembered, c.answer,
                    o.first_seq + c.answer_index, l.sku, l.location, l.requested, l.reserved, l.deducted, l.released,
                    l.shipped, l.returned, coalesce(l.lapsed, 0)
             from claim c
             left join claim_line l on l.reference = c.reference and l.kind = c.kind
             left join outbox o on o.transaction = c.answer_transaction
             where c.kind = $1::text::claim_kind and c.reference = $2
             order by l.sku collate \"C\", l.location collate \"C\"",
        )
        .bind(key.kind.as_str())
        .bind(key.reference.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(unanswered)?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut claim = read::claim(first)?;
        for row in &rows {
            add_line(&mut claim, row).map_err(unanswered)?;
        }
        let kept: Option<&[u8]> = first.try_get(11).map_err(unanswered)?;
        // While the outbox keeps the transaction of the answer, its seq is known.
        let seq: Option<i64> = first.try_get(12).map_err(unanswered)?;
        let answer = match kept {
            None => None,
            Some(bytes) => {
                let (answer, cause, recorded_at) = stored::decode_answer(bytes)
                    .map_err(|error| QueryError::Broken(format!("the answer of {key:?} cannot be read: {error}")))?;
                Some(answer_json(&answer, &cause, recorded_at, seq))
            }
        };
        Ok(Some(ClaimView { claim, answer }))
    }

    async fn ping(&self) -> Result<(), QueryError> {
        sqlx::query("select 1").execute(&self.pool).await.map_err(unanswered)?;
        Ok(())
    }
}

fn add_line(claim: &mut Claim, row: &PgRow) -> Result<(), sqlx::Error> {
    let Some(sku) = row.try_get::<Option<&str>, _>(13)? else { return Ok(()) };
    let units = |column: usize| row.try_get::<i32, _>(column).map(i64::from);
    let line = ClaimLine {
        requested: units(15)?,
        reserved: units(16)?,
        deducted: units(17)?,
        released: units(18)?,
        shipped: units(19)?,
        returned: units(20)?,
        lapsed: units(21)?,
    };
    claim.lines.insert(StockKey::new(sku, row.try_get::<&str, _>(14)?), line);
    Ok(())
}

fn movement(row: &PgRow) -> Result<Result<MovementView, QueryError>, sqlx::Error> {
    let change = |column: usize| row.try_get::<Option<i64>, _>(column).map(Option::unwrap_or_default);
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
            on_hand: change(2)?,
            cart_held: change(3)?,
            order_reserved: change(4)?,
            safety_stock: change(5)?,
        },
        after: Counters {
            on_hand: row.try_get(6)?,
            cart_held: row.try_get(7)?,
            order_reserved: row.try_get(8)?,
            safety_stock: row.try_get(9)?,
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

fn unanswered(error: sqlx::Error) -> QueryError {
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
