//! Rows as every store selects them, read into the domain.

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::lines;
use crate::domain::announce::MovementKind;
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use crate::domain::event::{Cause, EventType, Trace};
use crate::domain::stock::{Counters, Level, Status, StockRow};
use crate::domain::words::{Reference, StockKey, Timestamp};
use crate::ports::{DueClaim, HolderView, MovementView, QueryError, StoreError};
use crate::wire::stored;

/// What a driver keeps in a form of its own.
pub(super) trait Columns: Row {
    /// An instant.
    fn instant(&self, column: usize) -> Result<Option<Timestamp>, sqlx::Error>;

    /// A list of texts; empty where there is none.
    fn texts(&self, column: usize) -> Result<Vec<String>, sqlx::Error>;
}

/// The columns of a stock row in the order in which [`stock`] reads them. `$cast` is what makes a text of a word.
macro_rules! stock_columns {
    ($table:literal, $cast:literal) => {
        concat!(
            $table,
            ".sku, ",
            $table,
            ".location, ",
            $table,
            ".name, ",
            $table,
            ".on_hand, ",
            $table,
            ".cart_held, ",
            $table,
            ".order_reserved, ",
            $table,
            ".safety_stock, ",
            $table,
            ".warning_threshold, ",
            $table,
            ".critical_threshold, ",
            $table,
            ".max_stock, ",
            $table,
            ".status",
            $cast,
            ", ",
            $table,
            ".level",
            $cast,
            ", ",
            $table,
            ".version, ",
            $table,
            ".sku_version, ",
            $table,
            ".updated_at, ",
            $table,
            ".waiting"
        )
    };
}
pub(super) use stock_columns;

/// Reads a row that was selected by [`stock_columns`].
pub(super) fn stock<'r, R>(row: &'r R) -> Result<StockRow, StoreError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| StoreError::Fatal(format!("a stock row cannot be read: {error}"));
    Ok(StockRow {
        key: StockKey::new(
            row.try_get::<&'r str, _>(0).map_err(damaged)?,
            row.try_get::<&'r str, _>(1).map_err(damaged)?,
        ),
        name: row.try_get::<Option<&'r str>, _>(2).map_err(damaged)?.map(Into::into),
        counters: Counters {
            on_hand: row.try_get(3).map_err(damaged)?,
            cart_held: row.try_get(4).map_err(damaged)?,
            order_reserved: row.try_get(5).map_err(damaged)?,
            safety_stock: row.try_get(6).map_err(damaged)?,
        },
        warning_threshold: row.try_get(7).map_err(damaged)?,
        critical_threshold: row.try_get(8).map_err(damaged)?,
        max_stock: row.try_get(9).map_err(damaged)?,
        status: word(row.try_get(10).map_err(damaged)?, Status::parse)?,
        level: word(row.try_get(11).map_err(damaged)?, Level::parse)?,
        version: row.try_get(12).map_err(damaged)?,
        sku_version: row.try_get(13).map_err(damaged)?,
        updated_at: row
            .instant(14)
            .map_err(damaged)?
            .ok_or_else(|| StoreError::Fatal("a stock row has no updated_at".to_owned()))?,
        waiting: row.try_get(15).map_err(damaged)?,
    })
}

/// Reads a claim from `kind, reference, state, confirmed, revision, version, updated_time, first_held_at, expires_at,
/// shipments, remembered, lines`.
pub(super) fn claim<'r, R>(row: &'r R) -> Result<Claim, StoreError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    i32: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| StoreError::Fatal(format!("a claim cannot be read: {error}"));
    let key = ClaimKey {
        kind: claim_kind(row.try_get(0).map_err(damaged)?)?,
        reference: row.try_get::<&'r str, _>(1).map_err(damaged)?.into(),
    };
    let remembered: Option<&'r [u8]> = row.try_get(10).map_err(damaged)?;
    let lines: &'r str = row.try_get(11).map_err(damaged)?;
    let mut claim = Claim::new(key, word(row.try_get(2).map_err(damaged)?, ClaimState::parse)?);
    claim.confirmed = row.try_get(3).map_err(damaged)?;
    claim.revision = i64::from(row.try_get::<i32, _>(4).map_err(damaged)?);
    claim.version = row.try_get(5).map_err(damaged)?;
    claim.updated_time = row.instant(6).map_err(damaged)?;
    claim.first_held_at = row.instant(7).map_err(damaged)?;
    claim.expires_at = row.instant(8).map_err(damaged)?;
    claim.shipments = row.texts(9).map_err(damaged)?.into_iter().map(Reference::new).collect();
    claim.lines = lines::read(lines)
        .map_err(|error| StoreError::Fatal(format!("the lines of {:?} are damaged: {error}", claim.key)))?;
    if let Some(bytes) = remembered {
        claim.remembered = stored::decode_remembered(bytes)
            .map_err(|error| StoreError::Fatal(format!("the remembered events of a claim are damaged: {error}")))?;
    }
    Ok(claim)
}

/// Reads a ledger entry from `version, kind`, the four changes, the four numbers after them, `cause_type`, the cause's
/// id, the name of its source, `reference, reason, operator, trace_parent, recorded_at`. A number that is null is 0.
pub(super) fn movement<'r, R>(row: &'r R) -> Result<MovementView, QueryError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| QueryError::Broken(format!("a movement cannot be read: {error}"));
    let units = |column: usize| row.try_get::<Option<i64>, _>(column).map(Option::unwrap_or_default).map_err(damaged);
    let text =
        |column: usize| row.try_get::<Option<&'r str>, _>(column).map(|text| text.map(Into::into)).map_err(damaged);
    let kind = |text: &str| MovementKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    Ok(MovementView {
        version: row.try_get(0).map_err(damaged)?,
        kind: word(row.try_get(1).map_err(damaged)?, kind)?,
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
            event_type: word(row.try_get(10).map_err(damaged)?, EventType::parse)?,
            id: row.try_get::<&'r str, _>(11).map_err(damaged)?.into(),
            source: row.try_get::<&'r str, _>(12).map_err(damaged)?.into(),
            reference: row.try_get::<Option<&'r str>, _>(13).map_err(damaged)?.map(Into::into),
        },
        reason: text(14)?,
        operator: text(15)?,
        trace: Trace { parent: text(16)?, state: None },
        recorded_at: row
            .instant(17)
            .map_err(damaged)?
            .ok_or_else(|| QueryError::Broken("a movement has no recorded_at".to_owned()))?,
    })
}

/// Reads who holds units of a row from `kind, reference, reserved, state, expires_at`.
pub(super) fn holder<'r, R>(row: &'r R) -> Result<HolderView, QueryError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| QueryError::Broken(format!("a holder cannot be read: {error}"));
    Ok(HolderView {
        key: ClaimKey {
            kind: claim_kind(row.try_get(0).map_err(damaged)?)?,
            reference: row.try_get::<&'r str, _>(1).map_err(damaged)?.into(),
        },
        reserved: row.try_get(2).map_err(damaged)?,
        state: word(row.try_get(3).map_err(damaged)?, ClaimState::parse)?,
        expires_at: row.instant(4).map_err(damaged)?,
    })
}

/// A due claim from its columns.
pub(super) fn due_claim(
    kind: &str,
    reference: &str,
    deadline: Timestamp,
    seen_at: Timestamp,
) -> Result<DueClaim, StoreError> {
    Ok(DueClaim { key: ClaimKey { kind: claim_kind(kind)?, reference: reference.into() }, deadline, seen_at })
}

fn claim_kind(text: &str) -> Result<ClaimKind, StoreError> {
    word(text, |text| ClaimKind::ALL.into_iter().find(|kind| kind.as_str() == text))
}

fn word<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(text)
        .ok_or_else(|| StoreError::Fatal(format!("the database holds {text:?}, which this version does not know")))
}
