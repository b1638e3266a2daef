//! What reconciliation compares: the sums of ledger and claims, the open differences, and whose turn it is.

use sqlx::{SqliteConnection, SqlitePool};

use super::read::columns;
use super::write::json;
use super::{SqliteStore, error};
use crate::domain::reconciliation::{Difference, DifferenceKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::one_file::clock;
use crate::ports::{AuditPage, Audited, DifferenceCount, DifferenceFilter, QueryError, StoreError};
use crate::store::audits::{self, AuditKeys, LedgerSum, SetAsideSum};
use crate::store::rows;

macro_rules! difference_columns {
    () => {
        "d.sku, d.location, d.source, d.field, d.ours, d.theirs, d.version, d.is_alert, d.resolution, d.operator,
         d.reason, d.first_seen_at, d.last_seen_at"
    };
}

/// Reads what rows are compared with, in a transaction that sees one moment.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    keys: &AuditKeys<'_>,
) -> Result<audits::Loaded, StoreError> {
    let (sums, aside) = if keys.with_books.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        let sums = ledger_sums(connection, &keys.with_books).await.map_err(error::classify)?;
        (sums, set_aside_sums(connection, &keys.with_books).await.map_err(error::classify)?)
    };
    let open = if keys.all.is_empty() { Vec::new() } else { open(connection, &keys.all).await? };
    Ok(audits::Loaded { sums, aside, open })
}

fn texts(keys: &[&StockKey]) -> String {
    json(keys.iter().map(|key| (key.sku.as_str(), key.location.as_str())))
}

async fn ledger_sums(connection: &mut SqliteConnection, keys: &[&StockKey]) -> Result<Vec<LedgerSum>, sqlx::Error> {
    sqlx::query_as(
        "select m.sku, m.location, coalesce(sum(m.on_hand_change), 0), coalesce(sum(m.cart_held_change), 0),
                coalesce(sum(m.order_reserved_change), 0), coalesce(sum(m.safety_stock_change), 0), count(*),
                count(distinct m.version), min(m.version), max(m.version)
         from jsonb_each(?1) as k
         cross join movement m on m.sku = k.value ->> 0 and m.location = k.value ->> 1
         group by m.sku, m.location",
    )
    .bind(texts(keys))
    .fetch_all(connection)
    .await
}

async fn set_aside_sums(
    connection: &mut SqliteConnection,
    keys: &[&StockKey],
) -> Result<Vec<SetAsideSum>, sqlx::Error> {
    sqlx::query_as(
        "select l.sku, l.location, coalesce(sum(l.reserved) filter (where l.kind = 'cart'), 0),
                coalesce(sum(l.reserved) filter (where l.kind = 'order'), 0)
         from jsonb_each(?1) as k
         cross join claim_line l on l.sku = k.value ->> 0 and l.location = k.value ->> 1
         group by l.sku, l.location",
    )
    .bind(texts(keys))
    .fetch_all(connection)
    .await
}

async fn open(
    connection: &mut SqliteConnection,
    keys: &[&StockKey],
) -> Result<Vec<(DifferenceKey, Difference)>, StoreError> {
    let found = sqlx::query(concat!(
        "select ",
        difference_columns!(),
        " from jsonb_each(?1) as k
          cross join stock_diff d on d.sku = k.value ->> 0 and d.location = k.value ->> 1"
    ))
    .bind(texts(keys))
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    found.iter().map(rows::difference).collect()
}

/// Writes open differences.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    rows: &[(&DifferenceKey, &Difference)],
) -> Result<(), sqlx::Error> {
    let row = |(key, row): &(&DifferenceKey, &Difference)| {
        let settled = row.settled.as_ref();
        (
            (key.key.sku.to_string(), key.key.location.to_string(), key.source.as_str().to_owned(), key.field.as_str()),
            (row.ours, row.theirs, row.version, i32::from(row.is_alert)),
            (
                settled.map(|(how, _)| how.as_str()),
                settled.and_then(|(_, by)| by.operator.as_deref().map(str::to_owned)),
                settled.map(|(_, by)| by.reason.to_string()),
            ),
            (row.first_seen_at.0, row.last_seen_at.0),
        )
    };
    sqlx::query(
        "replace into stock_diff (sku, location, source, field, ours, theirs, version, is_alert, resolution, operator,
                                  reason, first_seen_at, last_seen_at)
         select value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]', value ->> '$[1][0]',
                value ->> '$[1][1]', value ->> '$[1][2]', value ->> '$[1][3]', value ->> '$[2][0]', value ->> '$[2][1]',
                value ->> '$[2][2]', value ->> '$[3][0]', value ->> '$[3][1]'
         from jsonb_each(?1)",
    )
    .bind(json(rows.iter().map(row)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes differences that are settled.
pub(super) async fn remove(connection: &mut SqliteConnection, keys: &[&DifferenceKey]) -> Result<(), sqlx::Error> {
    let row = |key: &&DifferenceKey| {
        (key.key.sku.to_string(), key.key.location.to_string(), key.source.as_str().to_owned(), key.field.as_str())
    };
    sqlx::query(
        "delete from stock_diff where (sku, location, source, field) in (
             select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from jsonb_each(?1)
         )",
    )
    .bind(json(keys.iter().map(row)))
    .execute(connection)
    .await?;
    Ok(())
}

impl SqliteStore {
    /// A page of rows with what they are compared with, of one snapshot.
    pub(super) async fn audit_page(
        &self,
        after: Option<&StockKey>,
        page: AuditPage,
    ) -> Result<Vec<Audited>, StoreError> {
        let mut transaction = self.readers.begin().await.map_err(error::classify)?;
        let found = sqlx::query(concat!(
            "select ",
            columns!("s"),
            " from (
                  select s.*, sum(s.version) over (order by s.sku, s.location) as movements
                  from (
                      select * from stock where (sku, location) > (?1, ?2) order by sku, location limit ?3
                  ) s
              ) s
              where ?4 is null or s.movements - s.version < ?4
              order by s.sku, s.location"
        ))
        // No key is an empty text.
        .bind(after.map_or("", |key| key.sku.as_str()))
        .bind(after.map_or("", |key| key.location.as_str()))
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
    readers: &SqlitePool,
    writer: &SqlitePool,
    job: &str,
    interval_seconds: i64,
) -> Result<Option<Timestamp>, sqlx::Error> {
    // Mostly nothing is due, and whoever writes takes the file's lock.
    let waiting: i64 = sqlx::query_scalar(concat!(
        "select count(*) from reconciliation
         where job = ?1 and started_at > ",
        clock!(),
        " - ?2 * 1000000 and started_at <= ",
        clock!()
    ))
    .bind(job)
    .bind(interval_seconds)
    .fetch_one(readers)
    .await?;
    if waiting > 0 {
        return Ok(None);
    }
    let taken: Option<i64> = sqlx::query_scalar(concat!(
        "insert into reconciliation (job, started_at) values (?1, ",
        clock!(),
        ") on conflict (job) do update set started_at = excluded.started_at
           where reconciliation.started_at <= excluded.started_at - ?2 * 1000000
              or reconciliation.started_at > excluded.started_at
           returning started_at"
    ))
    .bind(job)
    .bind(interval_seconds)
    .fetch_optional(writer)
    .await?;
    Ok(taken.map(Timestamp))
}

/// Open differences, in the order of their keys.
pub(super) async fn differences(
    pool: &SqlitePool,
    filter: &DifferenceFilter,
    after: Option<&DifferenceKey>,
    limit: u32,
) -> Result<Vec<(DifferenceKey, Difference)>, QueryError> {
    let found = sqlx::query(concat!(
        "select ",
        difference_columns!(),
        " from stock_diff d
          where (?1 is null or d.source = ?1) and (?2 is null or d.sku = ?2)
            and (?3 is null or (d.sku, d.location, d.source, d.field) > (?3, ?4, ?5, ?6))
          order by d.sku, d.location, d.source, d.field limit ?7"
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
pub(super) async fn difference_counts(pool: &SqlitePool) -> Result<Vec<DifferenceCount>, sqlx::Error> {
    let counts: Vec<(String, i64, i64)> = sqlx::query_as(
        "select source, count(*), count(*) filter (where is_alert) from stock_diff group by source order by 1",
    )
    .fetch_all(pool)
    .await?;
    Ok(counts.into_iter().map(audits::count).collect())
}
