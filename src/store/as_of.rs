//! A row of stock as the ledger knows it of an instant.

use sqlx::{ColumnIndex, Decode, Type};

use super::rows::Columns;
use crate::domain::stock::Counters;
use crate::domain::words::Timestamp;
use crate::ports::{QueryError, StockAsOf};

/// Reads what halving the versions of a row ended with, from the database's clock, the version that was found, its four
/// numbers and its instant (all null where nothing was recorded by then), and the instant of its successor.
pub(super) fn stock_as_of<'r, R>(row: Option<&'r R>, instant: Timestamp) -> Result<StockAsOf, QueryError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| QueryError::Broken(format!("a movement cannot be read: {error}"));
    let Some(row) = row else { return Ok(StockAsOf::Unknown) };
    let now = row.instant(0).map_err(damaged)?.filter(|now| instant > *now);
    if let Some(now) = now {
        return Ok(StockAsOf::Ahead { now });
    }
    let units = |column: usize| row.try_get::<Option<i64>, _>(column).map(Option::unwrap_or_default).map_err(damaged);
    let version = row.try_get::<Option<i64>, _>(1).map_err(damaged)?;
    let recorded_at = row.instant(6).map_err(damaged)?;
    let successor = row.instant(7).map_err(damaged)?;
    Ok(match (version.zip(recorded_at), successor) {
        (Some((version, recorded_at)), _) => {
            let counters = Counters {
                on_hand: units(2)?,
                cart_held: units(3)?,
                order_reserved: units(4)?,
                safety_stock: units(5)?,
            };
            StockAsOf::At { version, counters, recorded_at }
        }
        (None, Some(first)) => StockAsOf::Before { first },
        (None, None) => StockAsOf::Unknown,
    })
}
