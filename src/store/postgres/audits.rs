//! What reconciliation compares: the sums of ledger and claims, the open differences, and whose turn it is.
//!
//! Whoever writes a difference of a row holds the lock of that row, so that differences are never waited for in a circle.

use sqlx::{PgConnection, PgPool};

use super::read::columns;
use super::{PostgresStore, error};
use crate::domain::reconciliation::{Decision, Difference, DifferenceKey, Resolution};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{AuditPage, Audited, DifferenceCount, DifferenceFilter, QueryError, StoreError};
use crate::store::audits::{self, AuditKeys, LedgerSum, SetAsideSum};
use crate::store::{instant, rows};

macro_rules! difference_columns {
    () => {
        "d.sku, d.location, d.source, d.field, d.ours, d.theirs, d.version, d.is_alert, d.resolution, d.operator,
         d.reason, d.first_seen_at, d.last_seen_at"
    };
}

/// Reads what rows are compared with, whose locks are held or which are of one snapshot. Locks nothing.
pub(super) async fn load(connection: &mut PgConnection, keys: &AuditKeys<'_>) -> Result<audits::Loaded, StoreError> {
    let (sums, aside) = if keys.with_books.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        let sums = ledger_sums(connection, &keys.with_books).await.map_err(error::classify)?;
        (sums, set_aside_sums(connection, &keys.with_books).await.map_err(error::classify)?)
    };
    let open = if keys.all.is_empty() { Vec::new() } else { open(connection, &keys.all).await? };
    Ok(audits::Loaded { sums, aside, open })
}

async fn ledger_sums(connection: &mut PgConnection, keys: &[&StockKey]) -> Result<Vec<LedgerSum>, sqlx::Error> {
    let (skus, locations) = arrays(keys);
    sqlx::query_as(
        "select m.sku, m.location, coalesce(sum(m.on_hand_change), 0)::bigint,
                coalesce(sum(m.cart_held_change), 0)::bigint, coalesce(sum(m.order_reserved_change), 0)::bigint,
                coalesce(sum(m.safety_stock_change), 0)::bigint, count(*), count(distinct m.version), min(m.version),
                max(m.version)
         from unnest($1::text[], $2::text[]) as k (sku, location)
         join movement m on m.sku = k.sku and m.location = k.location
         group by m.sku, m.location",
    )
    .bind(skus)
    .bind(locations)
    .fetch_all(connection)
    .await
}

async fn set_aside_sums(connection: &mut PgConnection, keys: &[&StockKey]) -> Result<Vec<SetAsideSum>, sqlx::Error> {
    let (skus, locations) = arrays(keys);
    sqlx::query_as(
        "select l.sku, l.location, coalesce(sum(l.reserved) filter (where l.kind = 'cart'), 0)::bigint,
                coalesce(sum(l.reserved) filter (where l.kind = 'order'), 0)::bigint
         from unnest($1::text[], $2::text[]) as k (sku, location)
         join claim_line l on l.sku = k.sku and l.location = k.location
         group by l.sku, l.location",
    )
    .bind(skus)
    .bind(locations)
    .fetch_all(connection)
    .await
}

async fn open(
    connection: &mut PgConnection,
    keys: &[&StockKey],
) -> Result<Vec<(DifferenceKey, Difference)>, StoreError> {
    let (skus, locations) = arrays(keys);
    let found = sqlx::query(concat!(
        "select ",
        difference_columns!(),
        " from unnest($1::text[], $2::text[]) as k (sku, location)
          join stock_diff d on d.sku = k.sku and d.location = k.location"
    ))
    .bind(skus)
    .bind(locations)
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    found.iter().map(rows::difference).collect()
}

/// Writes open differences, in the order of their keys.
pub(super) async fn write(
    connection: &mut PgConnection,
    rows: &[(&DifferenceKey, &Difference)],
) -> Result<(), sqlx::Error> {
    fn settled<'a>((_, row): &(&DifferenceKey, &'a Difference)) -> Option<&'a (Resolution, Decision)> {
        row.settled.as_ref()
    }
    sqlx::query(
        "insert into stock_diff (sku, location, source, field, ours, theirs, version, is_alert, resolution, operator,
                                 reason, first_seen_at, last_seen_at)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                              $8::bool[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[])
         on conflict (sku, location, source, field) do update
         set ours = excluded.ours, theirs = excluded.theirs, version = excluded.version, is_alert = excluded.is_alert,
             resolution = excluded.resolution, operator = excluded.operator, reason = excluded.reason,
             first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at",
    )
    .bind(rows.iter().map(|(key, _)| key.key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.source.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.field.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.ours).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.theirs).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.version).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.is_alert).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| settled(row).map(|(how, _)| how.as_str())).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| settled(row).and_then(|(_, by)| by.operator.as_deref())).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| settled(row).map(|(_, by)| &*by.reason)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| instant::write(row.first_seen_at)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| instant::write(row.last_seen_at)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes differences that are settled.
pub(super) async fn remove(connection: &mut PgConnection, keys: &[&DifferenceKey]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from stock_diff d using unnest($1::text[], $2::text[], $3::text[], $4::text[])
                                        as k (sku, location, source, field)
         where d.sku = k.sku and d.location = k.location and d.source = k.source and d.field = k.field",
    )
    .bind(keys.iter().map(|key| key.key.sku.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key.location.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.source.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.field.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

impl PostgresStore {
    /// A page of rows with what they are compared with, of one snapshot. In the order of the index, which is that of the
    /// database's collation.
    pub(super) async fn audit_page(
        &self,
        after: Option<&StockKey>,
        page: AuditPage,
    ) -> Result<Vec<Audited>, StoreError> {
        let mut connection = self.hold().await.map_err(error::classify)?;
        let mut transaction = connection.begin().await.map_err(error::classify)?;
        sqlx::query("set transaction isolation level repeatable read, read only")
            .execute(&mut *transaction)
            .await
            .map_err(error::classify)?;
        let found = sqlx::query(concat!(
            "select ",
            columns!("s"),
            " from (
                  select s.*, sum(s.version) over (order by s.sku, s.location) as movements
                  from (
                      select * from stock
                      where $1::text is null or (sku, location) > ($1, $2)
                      order by sku, location limit $3
                  ) s
              ) s
              where $4::bigint is null or s.movements - s.version < $4
              order by s.sku, s.location"
        ))
        .bind(after.map(|key| key.sku.as_str()))
        .bind(after.map(|key| key.location.as_str()))
        .bind(i64::from(page.rows))
        .bind(page.movements)
        .fetch_all(&mut *transaction)
        .await
        .map_err(error::classify)?;
        let stock: Vec<StockRow> = found.iter().map(rows::stock).collect::<Result<_, _>>()?;
        let keys = AuditKeys::of_rows(&stock, page.movements.is_some());
        let loaded = load(&mut transaction, &keys).await?;
        let mut audits = loaded.by_row(&keys);
        transaction.rollback().await.map_err(error::classify)?;
        Ok(audits::paired(stock, &mut audits))
    }
}

/// Takes the turn of a job when its interval is over, or when it was taken by a clock that stepped back since.
pub(super) async fn take_turn(
    pool: &PgPool,
    job: &str,
    interval_seconds: i64,
) -> Result<Option<Timestamp>, sqlx::Error> {
    // The clock is read again once the row is locked: whoever waited for it began before it was written, and would take it
    // for one from before the clock was set back.
    let taken: Option<sqlx::types::time::OffsetDateTime> = sqlx::query_scalar(
        "insert into reconciliation as r (job, started_at) values ($1, clock_timestamp())
         on conflict (job) do update set started_at = clock_timestamp()
         where r.started_at <= clock_timestamp() - $2 * interval '1 second' or r.started_at > clock_timestamp()
         returning started_at",
    )
    .bind(job)
    .bind(interval_seconds)
    .fetch_optional(pool)
    .await?;
    Ok(taken.map(instant::read))
}

/// Open differences, in the order of their keys by bytes.
pub(super) async fn differences(
    pool: &PgPool,
    filter: &DifferenceFilter,
    after: Option<&DifferenceKey>,
    limit: u32,
) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
    let found = sqlx::query(concat!(
        "select ",
        difference_columns!(),
        " from stock_diff d
          where ($1::text is null or d.source = $1) and ($2::text is null or d.sku = $2)
            and ($3::text is null
                 or (d.sku collate \"C\", d.location collate \"C\", d.source collate \"C\", d.field collate \"C\")
                    > ($3, $4, $5, $6))
          order by d.sku collate \"C\", d.location collate \"C\", d.source collate \"C\", d.field collate \"C\"
          limit $7"
    ))
    .bind(filter.source.as_ref().map(|source| source.as_str()))
    .bind(filter.sku.as_ref().map(|sku| sku.as_str()))
    .bind(after.map(|key| key.key.sku.as_str()))
    .bind(after.map(|key| key.key.location.as_str()))
    .bind(after.map(|key| key.source.as_str()))
    .bind(after.map(|key| key.field.as_str()))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
    .map_err(super::queries::unanswered)?;
    found.iter().map(|row| rows::difference(row).map_err(QueryError::from)).collect()
}

/// How many differences are open, by source.
pub(super) async fn difference_counts(pool: &PgPool) -> Result<Vec<DifferenceCount>, sqlx::Error> {
    let counts: Vec<(String, i64, i64)> = sqlx::query_as(
        "select source, count(*), count(*) filter (where is_alert) from stock_diff group by source order by 1",
    )
    .fetch_all(pool)
    .await?;
    Ok(counts.into_iter().map(audits::count).collect())
}

fn arrays<'a>(keys: &[&'a StockKey]) -> (Vec<&'a str>, Vec<&'a str>) {
    keys.iter().map(|key| (key.sku.as_str(), key.location.as_str())).unzip()
}
