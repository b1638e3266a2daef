//! The statements that write, one function each. All rows of a batch go in one statement, as arrays of equal length.
//!
//! Whoever comes here holds every claim and stock row of the batch that exists. What can still be waited for is taken
//! in one order by everybody: inbox keys, new claims, new stock rows, dead letters, the outbox number; each sorted. So
//! writers cannot wait for each other in a circle.

use std::collections::HashSet;

use sqlx::PgConnection;
use sqlx::types::Uuid;
use sqlx::types::time::{Date, OffsetDateTime};

use super::instant;
use crate::domain::announce::Movement;
use crate::domain::claim::{Claim, ClaimKey, ClaimLine};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::DeadLetter;

/// One identity to record.
pub(super) struct InboxRow {
    pub day: Date,
    pub source: i32,
    pub key: Uuid,
    pub fingerprint: Uuid,
    pub outcome: i16,
}

/// Records identities. Returns how many were new: fewer than given means that another worker has the same event.
pub(super) async fn inbox(connection: &mut PgConnection, rows: &[InboxRow]) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "insert into inbox (event_day, source, event_key, fingerprint, outcome)
         select * from unnest($1::date[], $2::int[], $3::uuid[], $4::uuid[], $5::smallint[])
         on conflict do nothing",
    )
    .bind(rows.iter().map(|row| row.day).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.fingerprint).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.outcome).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The answer that a claim keeps.
pub(super) struct KeptAnswer {
    pub content: Vec<u8>,
    pub index: i32,
}

/// One claim to write.
pub(super) struct ClaimRow<'a> {
    pub claim: &'a Claim,
    pub remembered: Option<Vec<u8>>,
    pub answer: Option<KeptAnswer>,
}

/// Inserts or updates claims. Returns how many were written: fewer than given means that another worker made one of
/// them meanwhile; the revision tells.
pub(super) async fn claims(
    connection: &mut PgConnection,
    rows: &[ClaimRow<'_>],
    transaction: i64,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let instants = |read: fn(&Claim) -> Option<Timestamp>| -> Vec<Option<OffsetDateTime>> {
        rows.iter().map(|row| read(row.claim).map(instant::write)).collect()
    };
    // An array of arrays must be rectangular in PostgreSQL: shipments travel as one JSON text each.
    let shipments = |claim: &Claim| -> Option<String> {
        let ids: Vec<&str> = claim.shipments.iter().map(|shipment| shipment.as_str()).collect();
        (!ids.is_empty()).then(|| serde_json::Value::from(ids).to_string())
    };
    let done = sqlx::query(
        "insert into claim as c (kind, reference, state, confirmed, revision, answer_index, answer_transaction, version,
                                 updated_time, first_held_at, expires_at, updated_at, shipments, remembered, answer)
         select k.kind::claim_kind, k.reference, k.state::claim_state, k.confirmed, k.revision, k.answer_index,
                case when k.answer_index is not null then $14 end, k.version, k.updated_time, k.first_held_at,
                k.expires_at, $15, array(select jsonb_array_elements_text(k.shipments::jsonb)
                                         where k.shipments is not null), k.remembered, k.answer
         from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::int[], $6::int[], $7::bigint[],
                     $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::bytea[], $13::bytea[])
              as k (kind, reference, state, confirmed, revision, answer_index, version, updated_time, first_held_at,
                    expires_at, shipments, remembered, answer)
         on conflict (kind, reference) do update
         set state = excluded.state, confirmed = excluded.confirmed, revision = excluded.revision,
             version = excluded.version, updated_time = excluded.updated_time,
             first_held_at = excluded.first_held_at, expires_at = excluded.expires_at,
             updated_at = excluded.updated_at, shipments = excluded.shipments, remembered = excluded.remembered,
             answer = coalesce(excluded.answer, c.answer),
             answer_index = coalesce(excluded.answer_index, c.answer_index),
             answer_transaction = coalesce(excluded.answer_transaction, c.answer_transaction)
         where c.revision = excluded.revision - 1",
    )
    .bind(rows.iter().map(|row| row.claim.key.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.key.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.state.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.confirmed).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| next_revision(row.claim)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.answer.as_ref().map(|answer| answer.index)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.claim.version).collect::<Vec<_>>())
    .bind(instants(|claim| claim.updated_time))
    .bind(instants(|claim| claim.first_held_at))
    .bind(instants(|claim| claim.expires_at))
    .bind(rows.iter().map(|row| shipments(row.claim)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.remembered.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.answer.as_ref().map(|answer| answer.content.as_slice())).collect::<Vec<_>>())
    .bind(transaction)
    .bind(instant::write(now))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The revision that a write leaves; it starts anew after two thousand million writes of one claim.
fn next_revision(claim: &Claim) -> i32 {
    i32::try_from(claim.revision + 1).unwrap_or(1)
}

/// Inserts or updates the lines of claims that are locked or new.
pub(super) async fn claim_lines(
    connection: &mut PgConnection,
    rows: &[(&ClaimKey, &StockKey, &ClaimLine)],
) -> Result<(), sqlx::Error> {
    // The limit of a line's quantity is what an integer column holds; the core keeps every counter of a line within it.
    let units = |read: fn(&ClaimLine) -> i64| -> Vec<i32> {
        rows.iter().map(|(_, _, line)| i32::try_from(read(line)).unwrap_or(i32::MAX)).collect()
    };
    let lapsed: Vec<Option<i32>> =
        rows.iter().map(|(_, _, line)| i32::try_from(line.lapsed).ok().filter(|units| *units > 0)).collect();
    sqlx::query(
        "insert into claim_line as l (kind, reference, sku, location, requested, reserved, deducted, released, shipped,
                                      returned, lapsed)
         select k.kind::claim_kind, k.reference, k.sku, k.location, k.requested, k.reserved, k.deducted, k.released,
                k.shipped, k.returned, k.lapsed
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::int[],
                     $9::int[], $10::int[], $11::int[])
              as k (kind, reference, sku, location, requested, reserved, deducted, released, shipped, returned, lapsed)
         on conflict (reference, sku, location, kind) do update
         set requested = excluded.requested, reserved = excluded.reserved, deducted = excluded.deducted,
             released = excluded.released, shipped = excluded.shipped, returned = excluded.returned,
             lapsed = excluded.lapsed",
    )
    .bind(rows.iter().map(|(claim, _, _)| claim.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(claim, _, _)| claim.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key, _)| key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, key, _)| key.location.as_str()).collect::<Vec<_>>())
    .bind(units(|line| line.requested))
    .bind(units(|line| line.reserved))
    .bind(units(|line| line.deducted))
    .bind(units(|line| line.released))
    .bind(units(|line| line.shipped))
    .bind(units(|line| line.returned))
    .bind(lapsed)
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
    /// They do not exist yet.
    Insert,
    /// They are locked.
    Update,
}

/// Writes whole rows. Returns how many were written: fewer than given means that another worker made one of them.
pub(super) async fn stock_rows(
    connection: &mut PgConnection,
    how: WholeRows,
    rows: &[&StockRow],
) -> Result<u64, sqlx::Error> {
    macro_rules! given {
        () => {
            " from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
                          $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[],
                          $14::bigint[], $15::timestamptz[])
                   as k (sku, location, name, warning_threshold, critical_threshold, max_stock, status, sku_version,
                         safety_stock, level, on_hand, cart_held, order_reserved, version, updated_at) "
        };
    }
    let statement = match how {
        WholeRows::Insert => concat!(
            "insert into stock (sku, location, name, warning_threshold, critical_threshold, max_stock, status,
                                sku_version, safety_stock, level, on_hand, cart_held, order_reserved, version,
                                updated_at)
             select sku, location, name, warning_threshold, critical_threshold, max_stock, status::stock_status,
                    sku_version, safety_stock, level::stock_level, on_hand, cart_held, order_reserved, version,
                    updated_at",
            given!(),
            "on conflict (sku, location) do nothing"
        ),
        WholeRows::Update => concat!(
            "update stock s
             set name = k.name, warning_threshold = k.warning_threshold, critical_threshold = k.critical_threshold,
                 max_stock = k.max_stock, status = k.status::stock_status, sku_version = k.sku_version,
                 safety_stock = k.safety_stock, level = k.level::stock_level, on_hand = k.on_hand,
                 cart_held = k.cart_held, order_reserved = k.order_reserved, version = k.version,
                 updated_at = k.updated_at",
            given!(),
            "where s.sku = k.sku and s.location = k.location"
        ),
    };
    let numbers = |read: fn(&StockRow) -> i64| -> Vec<i64> { rows.iter().map(|row| read(row)).collect() };
    let optional =
        |read: fn(&StockRow) -> Option<i64>| -> Vec<Option<i64>> { rows.iter().map(|row| read(row)).collect() };
    let done = sqlx::query(statement)
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
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Appends to the ledger. `sources` stand in the order of the movements.
pub(super) async fn movements(
    connection: &mut PgConnection,
    rows: &[Movement],
    sources: &[i32],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let numbers = |read: fn(&Movement) -> i64| -> Vec<i64> { rows.iter().map(read).collect() };
    let changes = |read: fn(&Movement) -> i64| -> Vec<Option<i64>> {
        rows.iter().map(|row| Some(read(row)).filter(|change| *change != 0)).collect()
    };
    sqlx::query(
        "insert into movement (recorded_at, sku, location, version, on_hand, cart_held, order_reserved, safety_stock,
                               on_hand_change, cart_held_change, order_reserved_change, safety_stock_change, kind,
                               cause_type, cause_source, cause_id, reference, reason, trace_parent)
         select $1, k.sku, k.location, k.version, k.on_hand, k.cart_held, k.order_reserved, k.safety_stock,
                k.on_hand_change, k.cart_held_change, k.order_reserved_change, k.safety_stock_change,
                k.kind::movement_kind, k.cause_type::event_type, k.cause_source, k.cause_id, k.reference, k.reason,
                k.trace_parent
         from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::int[],
                     $16::text[], $17::text[], $18::text[], $19::text[])
              as k (sku, location, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change,
                    cart_held_change, order_reserved_change, safety_stock_change, kind, cause_type, cause_source,
                    cause_id, reference, reason, trace_parent)",
    )
    .bind(instant::write(now))
    .bind(rows.iter().map(|row| row.key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key.location.as_str()).collect::<Vec<_>>())
    .bind(numbers(|row| row.version))
    .bind(numbers(|row| row.after.on_hand))
    .bind(numbers(|row| row.after.cart_held))
    .bind(numbers(|row| row.after.order_reserved))
    .bind(numbers(|row| row.after.safety_stock))
    .bind(changes(|row| row.change.on_hand))
    .bind(changes(|row| row.change.cart_held))
    .bind(changes(|row| row.change.order_reserved))
    .bind(changes(|row| row.change.safety_stock))
    .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.cause.event_type.as_str()).collect::<Vec<_>>())
    .bind(sources)
    .bind(rows.iter().map(|row| &*row.cause.id).collect::<Vec<_>>())
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
    transaction: i64,
    content: &[u8],
    now: Timestamp,
) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "with taken as (
             update outbox_counter set last_number = last_number + 1, last_seq = last_seq + $1
             returning last_number, last_seq
         )
         insert into outbox (number, first_seq, announcements, transaction, recorded_at, content)
         select last_number, last_seq - $1 + 1, $1, $2, $3, $4 from taken
         returning number, first_seq",
    )
    // A batch is far smaller than an integer.
    .bind(i32::try_from(announcements).unwrap_or(i32::MAX))
    .bind(transaction)
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
