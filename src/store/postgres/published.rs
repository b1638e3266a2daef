//! What is published, as the outbox keeps it: for streams, which read it beside the relay and never through it.

use sqlx::{PgPool, Row};

use super::outbox::outbox_row;
use super::queries::unanswered;
use crate::ports::{OutboxBatch, OutboxLimit, OutboxPlace, PublishedMark, QueryError};
use crate::store::kept;

/// How far publishing has come.
pub(super) async fn published_mark(pool: &PgPool) -> Result<PublishedMark, sqlx::Error> {
    let row = sqlx::query("select published_number, published_seq from relay").fetch_one(pool).await?;
    Ok(PublishedMark { number: row.try_get(0)?, seq: row.try_get(1)? })
}

/// Where the announcements behind a `seq` stand. Batches have no index by `seq`, which every batch would pay for, but
/// their numbers have no hole and their `seq` only grows: the first batch that reaches beyond is found by halving.
pub(super) async fn outbox_place(pool: &PgPool, seq: i64) -> Result<OutboxPlace, sqlx::Error> {
    let row = sqlx::query(
        "with recursive search (low, high) as (
             select min(number), max(number) + 1 from outbox
             union all
             select case when o.first_seq + o.announcements > $1 + 1 then s.low else o.number + 1 end,
                    case when o.first_seq + o.announcements > $1 + 1 then o.number else s.high end
             from search s join outbox o on o.number = (s.low + s.high) / 2
             where s.low < s.high
         )
         select c.last_number, c.last_seq, o.number, o.first_seq
         from outbox_counter c
         left join search s on s.low = s.high
         left join outbox o on o.number = s.low",
    )
    .bind(seq)
    .fetch_one(pool)
    .await?;
    let last = (row.try_get(0)?, row.try_get(1)?);
    let found = row.try_get::<Option<i64>, _>(2)?.zip(row.try_get::<Option<i64>, _>(3)?);
    Ok(kept::place(seq, last, found))
}

/// Batches that are marked as published. A hole is no answer at all, since the first batch is asked for by its number
/// and maintenance drops the oldest ones only.
pub(super) async fn published_behind(
    pool: &PgPool,
    number: i64,
    limit: OutboxLimit,
) -> Result<Vec<OutboxBatch>, QueryError> {
    let rows = sqlx::query(
        "select o.number, o.first_seq, o.recorded_at, o.content
         from relay r
         join outbox f on f.number = $1 + 1
         join outbox o on o.number between $1 + 1 and least($1 + $2, r.published_number)
                      and o.first_seq < f.first_seq + $3
         order by o.number",
    )
    .bind(number)
    .bind(i64::from(limit.batches))
    .bind(i64::from(limit.announcements))
    .fetch_all(pool)
    .await
    .map_err(unanswered)?;
    Ok(kept::batches(number, rows.iter().map(outbox_row).collect::<Result<_, _>>().map_err(unanswered)?)?)
}
