//! The statements that write, one function each. All rows of a batch go in one statement, as arrays of equal length.
//!
//! Whoever comes here holds every claim and stock row of the batch that exists. What can still be waited for is taken
//! in one order by everybody: inbox keys, new claims, new stock rows, dead letters, the outbox number; each sorted. So
//! writers cannot wait for each other in a circle.

use std::collections::HashSet;

use sqlx::PgConnection;
use sqlx::types::Uuid;
use sqlx::types::time::OffsetDateTime;

use crate::domain::announce::Movement;
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{Reference, StockKey, Timestamp};
use crate::ports::DeadLetter;
use crate::store::batch::{ClaimRow, InboxRow, SetAside, cause_key};
use crate::store::instant;

/// Records identities. One that is there by now is another worker's and breaks `inbox_key`. Here and below rows are
/// inserted plainly: `on conflict` would log every row twice.
pub(super) async fn inbox(connection: &mut PgConnection, rows: &[InboxRow]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into inbox (event_day, source, event_key, fingerprint, outcome)
         select * from unnest($1::date[], $2::int[], $3::uuid[], $4::bigint[], $5::smallint[])",
    )
    .bind(rows.iter().map(|row| instant::write_day(row.day)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| Uuid::from_bytes(row.key.0)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.fingerprint).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.outcome).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// How claims are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Claims {
    /// They do not exist yet. One that does by now is another worker's and breaks `claim_key`.
    Insert,
    /// They are locked.
    Update,
}

/// Inserts or updates claims.
pub(super) async fn claims(
    connection: &mut PgConnection,
    how: Claims,
    rows: &[ClaimRow<'_>],
) -> Result<(), sqlx::Error> {
    let instants = |read: fn(&Claim) -> Option<Timestamp>| -> Vec<Option<OffsetDateTime>> {
        rows.iter().map(|row| read(row.claim).map(instant::write)).collect()
    };
    sqlx::query(match how {
        Claims::Insert => INSERT_CLAIMS,
        Claims::Update => UPDATE_CLAIMS,
    })
    .bind(rows.iter().map(|row| row.claim.key.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.key.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.state.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.confirmed).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.next_revision()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.version).collect::<Vec<_>>())
    .bind(instants(|claim| claim.updated_time))
    .bind(instants(|claim| claim.first_held_at))
    .bind(instants(|claim| claim.expires_at))
    .bind(rows.iter().map(|row| shipments(row.claim)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.remembered.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.answer.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(ClaimRow::lines).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

macro_rules! given_claims {
    () => {
        " from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::int[], $6::bigint[], $7::timestamptz[],
                      $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bytea[], $12::bytea[], $13::text[])
               as k (kind, reference, state, confirmed, revision, version, updated_time, first_held_at, expires_at,
                     shipments, remembered, answer, lines) "
    };
}

const INSERT_CLAIMS: &str = concat!(
    "insert into claim (kind, reference, state, confirmed, revision, version, updated_time, first_held_at, expires_at,
                        shipments, remembered, answer, lines)
     select k.kind::claim_kind, k.reference, k.state::claim_state, k.confirmed, k.revision, k.version, k.updated_time,
            k.first_held_at, k.expires_at, k.shipments::text[], k.remembered, k.answer, k.lines::json",
    given_claims!()
);

const UPDATE_CLAIMS: &str = concat!(
    "update claim c
     set state = k.state::claim_state, confirmed = k.confirmed, revision = k.revision, version = k.version,
         updated_time = k.updated_time, first_held_at = k.first_held_at, expires_at = k.expires_at,
         shipments = k.shipments::text[], remembered = k.remembered, lines = k.lines::json,
         answer = coalesce(k.answer, c.answer)",
    given_claims!(),
    "where c.kind = k.kind::claim_kind and c.reference = k.reference"
);

/// An array of arrays must be rectangular in PostgreSQL, so that the shipments of a claim travel as the text of an
/// array: each quoted, with quotes and backslashes escaped.
fn shipments(claim: &Claim) -> Option<String> {
    let quoted = |shipment: &Reference| {
        let escaped = shipment.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    };
    let quoted: Vec<String> = claim.shipments.iter().map(quoted).collect();
    (!quoted.is_empty()).then(|| format!("{{{}}}", quoted.join(",")))
}

/// Writes what claims have set aside.
pub(super) async fn set_aside(connection: &mut PgConnection, rows: &[SetAside<'_>]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into claim_line (kind, reference, sku, location, reserved)
         select k.kind::claim_kind, k.reference, k.sku, k.location, k.reserved
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
              as k (kind, reference, sku, location, reserved)
         on conflict (sku, location, kind, reference) do update set reserved = excluded.reserved",
    )
    .bind(rows.iter().map(|(claim, _, _)| claim.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(claim, _, _)| claim.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key, _)| key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key, _)| key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, units)| *units).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes what claims no longer have set aside.
pub(super) async fn nothing_aside(
    connection: &mut PgConnection,
    rows: &[(&ClaimKey, &StockKey)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from claim_line l
         using unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k (kind, reference, sku, location)
         where l.kind = k.kind::claim_kind and l.reference = k.reference and l.sku = k.sku and l.location = k.location",
    )
    .bind(rows.iter().map(|(claim, _)| claim.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(claim, _)| claim.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key)| key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key)| key.location.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Frees places in the lines for rows that are locked.
pub(super) async fn left(connection: &mut PgConnection, rows: &[(&StockKey, i64)]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from waiting_line w using unnest($1::text[], $2::text[], $3::bigint[]) as k (sku, location, ticket)
         where w.sku = k.sku and w.location = k.location and w.ticket = k.ticket",
    )
    .bind(rows.iter().map(|(key, _)| key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes places in the lines for rows that are locked.
pub(super) async fn joined(
    connection: &mut PgConnection,
    rows: &[(&StockKey, i64, &Reference)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into waiting_line (sku, location, ticket, reference)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])",
    )
    .bind(rows.iter().map(|(key, _, _)| key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _, _)| key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, ticket, _)| *ticket).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, order)| order.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the counters, level and version of rows that are locked.
pub(super) async fn stock_counters(connection: &mut PgConnection, rows: &[&StockRow]) -> Result<(), sqlx::Error> {
    let numbers = |read: fn(&StockRow) -> i64| -> Vec<i64> { rows.iter().map(|row| read(row)).collect() };
    sqlx::query(
        "update stock s
         set on_hand = k.on_hand, cart_held = k.cart_held, order_reserved = k.order_reserved,
             level = k.level::stock_level, version = k.version, updated_at = k.updated_at
         from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],
                     $8::timestamptz[])
              as k (sku, location, on_hand, cart_held, order_reserved, level, version, updated_at)
         where s.sku = k.sku and s.location = k.location",
    )
    .bind(rows.iter().map(|row| row.key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key.location.as_str()).collect::<Vec<_>>())
    .bind(numbers(|row| row.counters.on_hand))
    .bind(numbers(|row| row.counters.cart_held))
    .bind(numbers(|row| row.counters.order_reserved))
    .bind(rows.iter().map(|row| row.level.as_str()).collect::<Vec<_>>())
    .bind(numbers(|row| row.version))
    .bind(rows.iter().map(|row| instant::write(row.updated_at)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// How whole stock rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WholeRows {
    /// They do not exist yet. One that does by now is another worker's and breaks `stock_key`.
    Insert,
    /// They are locked.
    Update,
}

/// Writes whole rows.
pub(super) async fn stock_rows(
    connection: &mut PgConnection,
    how: WholeRows,
    rows: &[&StockRow],
) -> Result<(), sqlx::Error> {
    macro_rules! given {
        () => {
            " from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
                          $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[],
                          $14::bigint[], $15::timestamptz[], $16::bigint[])
                   as k (sku, location, name, warning_threshold, critical_threshold, max_stock, status, sku_version,
                         safety_stock, level, on_hand, cart_held, order_reserved, version, updated_at,
                         waiting) "
        };
    }
    let statement = match how {
        WholeRows::Insert => concat!(
            "insert into stock (sku, location, name, warning_threshold, critical_threshold, max_stock, status,
                                sku_version, safety_stock, level, on_hand, cart_held, order_reserved, version,
                                updated_at, waiting)
             select sku, location, name, warning_threshold, critical_threshold, max_stock, status::stock_status,
                    sku_version, safety_stock, level::stock_level, on_hand, cart_held, order_reserved, version,
                    updated_at, waiting",
            given!()
        ),
        WholeRows::Update => concat!(
            "update stock s
             set name = k.name, warning_threshold = k.warning_threshold, critical_threshold = k.critical_threshold,
                 max_stock = k.max_stock, status = k.status::stock_status, sku_version = k.sku_version,
                 safety_stock = k.safety_stock, level = k.level::stock_level, on_hand = k.on_hand,
                 cart_held = k.cart_held, order_reserved = k.order_reserved, version = k.version,
                 updated_at = k.updated_at, waiting = k.waiting",
            given!(),
            "where s.sku = k.sku and s.location = k.location"
        ),
    };
    let numbers = |read: fn(&StockRow) -> i64| -> Vec<i64> { rows.iter().map(|row| read(row)).collect() };
    let optional =
        |read: fn(&StockRow) -> Option<i64>| -> Vec<Option<i64>> { rows.iter().map(|row| read(row)).collect() };
    sqlx::query(statement)
        .bind(rows.iter().map(|row| row.key.sku.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.key.location.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.name.as_deref()).collect::<Vec<_>>())
        .bind(numbers(|row| row.warning_threshold))
        .bind(numbers(|row| row.critical_threshold))
        .bind(optional(|row| row.max_stock))
        .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
        .bind(optional(|row| row.sku_version))
        .bind(numbers(|row| row.counters.safety_stock))
        .bind(rows.iter().map(|row| row.level.as_str()).collect::<Vec<_>>())
        .bind(numbers(|row| row.counters.on_hand))
        .bind(numbers(|row| row.counters.cart_held))
        .bind(numbers(|row| row.counters.order_reserved))
        .bind(numbers(|row| row.version))
        .bind(rows.iter().map(|row| instant::write(row.updated_at)).collect::<Vec<_>>())
        .bind(numbers(|row| row.waiting))
        .execute(connection)
        .await?;
    Ok(())
}

/// Appends to the ledger. `sources` stand in the order of the movements.
pub(super) async fn movements(
    connection: &mut PgConnection,
    rows: &[Movement],
    sources: &[i32],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let numbers = |read: fn(&Movement) -> i64| -> Vec<Option<i64>> {
        rows.iter().map(|row| Some(read(row)).filter(|number| *number != 0)).collect()
    };
    let (keys, other_ids): (Vec<Uuid>, Vec<Option<&str>>) = rows.iter().map(cause_key).unzip();
    sqlx::query(
        "insert into movement (recorded_at, sku, location, version, on_hand, cart_held, order_reserved, safety_stock,
                               on_hand_change, cart_held_change, order_reserved_change, safety_stock_change, kind,
                               cause_type, cause_source, cause_key, cause_id, reference, reason, trace_parent)
         select $1, k.sku, k.location, k.version, k.on_hand, k.cart_held, k.order_reserved, k.safety_stock,
                k.on_hand_change, k.cart_held_change, k.order_reserved_change, k.safety_stock_change,
                k.kind::movement_kind, k.cause_type::event_type, k.cause_source, k.cause_key, k.cause_id, k.reference,
                k.reason, k.trace_parent
         from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::int[],
                     $16::uuid[], $17::text[], $18::text[], $19::text[], $20::text[])
              as k (sku, location, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change,
                    cart_held_change, order_reserved_change, safety_stock_change, kind, cause_type, cause_source,
                    cause_key, cause_id, reference, reason, trace_parent)",
    )
    .bind(instant::write(now))
    .bind(rows.iter().map(|row| row.key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
    .bind(numbers(|row| row.after.on_hand))
    .bind(numbers(|row| row.after.cart_held))
    .bind(numbers(|row| row.after.order_reserved))
    .bind(numbers(|row| row.after.safety_stock))
    .bind(numbers(|row| row.change.on_hand))
    .bind(numbers(|row| row.change.cart_held))
    .bind(numbers(|row| row.change.order_reserved))
    .bind(numbers(|row| row.change.safety_stock))
    .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.cause.event_type.as_str()).collect::<Vec<_>>())
    .bind(sources)
    .bind(keys)
    .bind(other_ids)
    .bind(rows.iter().map(|row| row.cause.reference.as_ref().map(|reference| reference.as_str())).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.reason.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.trace.parent.as_deref()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the next numbers and puts the transaction's announcements under them. Locks the counter's row until COMMIT,
/// which is why nothing comes after it. Returns (number, first seq).
pub(super) async fn outbox(
    connection: &mut PgConnection,
    announcements: usize,
    content: &[u8],
    now: Timestamp,
) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "with taken as (
             update outbox_counter set last_number = last_number + 1, last_seq = last_seq + $1
             returning last_number, last_seq
         )
         insert into outbox (number, first_seq, announcements, recorded_at, content)
         select last_number, last_seq - $1 + 1, $1, $2, $3 from taken
         returning number, first_seq",
    )
    // A batch is far smaller than an integer.
    .bind(i32::try_from(announcements).unwrap_or(i32::MAX))
    .bind(instant::write(now))
    .bind(content)
    .fetch_one(connection)
    .await
}

/// Records positions of dead letters; returns those that are new. The letters come sorted by id.
pub(super) async fn dead_letters(
    connection: &mut PgConnection,
    letters: &[(Uuid, &DeadLetter)],
    now: Timestamp,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let new: Vec<Uuid> = sqlx::query_scalar(
        "insert into dead_letter (id, topic, partition, record_offset, reason, detail, recorded_at)
         select k.*, $7
         from unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[]) as k
         on conflict (id) do nothing returning id",
    )
    .bind(letters.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| &*letter.record.position.topic).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| letter.record.position.partition).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| letter.record.position.offset).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| letter.reason.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| &*letter.detail).collect::<Vec<_>>())
    .bind(instant::write(now))
    .fetch_all(connection)
    .await?;
    Ok(new.into_iter().collect())
}
