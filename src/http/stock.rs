//! `/api/v1/stock`: one row, many rows, the history of one, and who holds it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::cursor::Cursor;
use super::parameters::{Parameters, Segment, sku};
use super::problem::Problem;
use super::router::Sidecar;
use crate::domain::stock::{Counters, StockRow};
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{HolderPlace, HolderView, MovementView, Queries, StockAsOf, StockFilter};
use crate::wire::instant;

/// A page of a list.
#[derive(Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

impl<T> Page<T> {
    /// Shows at most `limit` of `found`, of which there is one more when there is a next page.
    pub(super) fn new<F>(mut found: Vec<F>, limit: u32, cursor: impl Fn(&F) -> Cursor, show: impl Fn(&F) -> T) -> Self {
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| cursor(last).encode());
        Self { items: found.iter().map(show).collect(), next }
    }
}

/// A stock row as the contract shows it.
#[derive(Serialize)]
pub(super) struct StockBody {
    sku: String,
    location: String,
    name: Option<String>,
    on_hand: i64,
    cart_held: i64,
    order_reserved: i64,
    reserved: i64,
    safety_stock: i64,
    available: i64,
    warning_threshold: i64,
    critical_threshold: i64,
    max_stock: Option<i64>,
    status: &'static str,
    level: &'static str,
    version: i64,
    updated_at: String,
}

impl StockBody {
    fn of(row: &StockRow) -> Self {
        let counters = &row.counters;
        Self {
            sku: row.key.sku.to_string(),
            location: row.key.location.to_string(),
            name: row.name.as_deref().map(str::to_owned),
            on_hand: counters.on_hand,
            cart_held: counters.cart_held,
            order_reserved: counters.order_reserved,
            reserved: counters.reserved(),
            safety_stock: counters.safety_stock,
            available: counters.available(),
            warning_threshold: row.warning_threshold,
            critical_threshold: row.critical_threshold,
            max_stock: row.max_stock,
            status: row.status.as_str(),
            level: row.level.as_str(),
            version: row.version,
            updated_at: instant::format(row.updated_at),
        }
    }
}

/// One entry of a history.
#[derive(Serialize)]
pub(super) struct MovementBody {
    version: i64,
    kind: &'static str,
    change: ChangeBody,
    after: CountersBody,
    cause: CauseBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    recorded_at: String,
}

#[derive(Serialize)]
struct ChangeBody {
    on_hand: i64,
    cart_held: i64,
    order_reserved: i64,
    safety_stock: i64,
}

#[derive(Serialize)]
struct CountersBody {
    on_hand: i64,
    cart_held: i64,
    order_reserved: i64,
    reserved: i64,
    safety_stock: i64,
    available: i64,
}

#[derive(Serialize)]
struct CauseBody {
    r#type: &'static str,
    id: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl MovementBody {
    fn of(movement: &MovementView) -> Self {
        let cause = &movement.cause;
        Self {
            version: movement.version,
            kind: movement.kind.as_str(),
            change: ChangeBody::of(&movement.change),
            after: CountersBody::of(&movement.after),
            cause: CauseBody {
                r#type: cause.event_type.as_str(),
                id: cause.id.to_string(),
                source: cause.source.to_string(),
                reference: cause.reference.as_ref().map(ToString::to_string),
            },
            reason: movement.reason.as_deref().map(str::to_owned),
            operator: movement.operator.as_deref().map(str::to_owned),
            traceparent: movement.trace.parent.as_deref().map(str::to_owned),
            recorded_at: instant::format(movement.recorded_at),
        }
    }
}

impl ChangeBody {
    fn of(change: &Counters) -> Self {
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = *change;
        Self { on_hand, cart_held, order_reserved, safety_stock }
    }
}

impl CountersBody {
    fn of(counters: &Counters) -> Self {
        Self {
            on_hand: counters.on_hand,
            cart_held: counters.cart_held,
            order_reserved: counters.order_reserved,
            reserved: counters.reserved(),
            safety_stock: counters.safety_stock,
            available: counters.available(),
        }
    }
}

/// An open claim that holds units of a row.
#[derive(Serialize)]
pub(super) struct HolderBody {
    kind: &'static str,
    reference: String,
    reserved: i64,
    state: &'static str,
    held_since: Option<String>,
    expires_at: Option<String>,
}

impl HolderBody {
    fn of(holder: &HolderView) -> Self {
        Self {
            kind: holder.key.kind.as_str(),
            reference: holder.key.reference.to_string(),
            reserved: holder.reserved,
            state: holder.state.as_str(),
            held_since: holder.held_since.map(instant::format),
            expires_at: holder.expires_at.map(instant::format),
        }
    }
}

/// A row, as it is or as it was.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum OneBody {
    /// As it is.
    Now(StockBody),
    /// As it was.
    AsOf(AsOfBody),
}

/// A row at an instant, as far as the ledger knows it.
#[derive(Serialize)]
pub(super) struct AsOfBody {
    sku: String,
    location: String,
    as_of: String,
    version: i64,
    #[serde(flatten)]
    counters: CountersBody,
    recorded_at: String,
}

/// `GET /api/v1/stock/{sku}`.
pub(super) async fn one<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    mut parameters: Parameters,
) -> Result<Json<OneBody>, Problem> {
    let key = StockKey { sku: sku(text)?, location: parameters.location_or_default()? };
    let as_of = parameters.as_of()?;
    parameters.done()?;
    match as_of {
        None => now(&sidecar, &key).await.map(OneBody::Now).map(Json),
        Some(instant) => at(&sidecar, key, instant).await.map(OneBody::AsOf).map(Json),
    }
}

async fn now<Q: Queries>(sidecar: &Sidecar<Q>, key: &StockKey) -> Result<StockBody, Problem> {
    let row = sidecar.ask(sidecar.queries.stock(key)).await?;
    row.map(|row| StockBody::of(&row)).ok_or_else(|| unknown(key))
}

async fn at<Q: Queries>(sidecar: &Sidecar<Q>, key: StockKey, as_of: Timestamp) -> Result<AsOfBody, Problem> {
    match sidecar.ask(sidecar.queries.stock_as_of(&key, as_of)).await? {
        StockAsOf::At { version, counters, recorded_at } => Ok(AsOfBody {
            sku: key.sku.to_string(),
            location: key.location.to_string(),
            as_of: instant::format(as_of),
            version,
            counters: CountersBody::of(&counters),
            recorded_at: instant::format(recorded_at),
        }),
        StockAsOf::Before { first } => {
            let StockKey { sku, location } = key;
            let first = instant::format(first);
            Err(Problem::not_found(format!("the stock of SKU {sku:?} at location {location:?} is known since {first}")))
        }
        StockAsOf::Ahead { now } => {
            let now = instant::format(now);
            Err(Problem::invalid(format!("as_of must not be in the future: by the database's clock it is {now}")))
        }
        StockAsOf::Unknown => Err(unknown(&key)),
    }
}

/// `GET /api/v1/stock`.
pub(super) async fn list<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    mut parameters: Parameters,
) -> Result<Json<Page<StockBody>>, Problem> {
    let filter =
        StockFilter { skus: parameters.skus()?, prefix: parameters.prefix()?, location: parameters.location()? };
    let after = parameters.one("cursor")?.map(|text| Cursor::stock(&text)).transpose()?;
    let limit = parameters.limit()?;
    parameters.done()?;
    let rows = sidecar.ask(sidecar.queries.stock_page(&filter, after.as_ref(), limit + 1)).await?;
    Ok(Json(Page::new(rows, limit, |row| Cursor::behind(&row.key), StockBody::of)))
}

/// `GET /api/v1/stock/{sku}/movements`.
pub(super) async fn movements<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    mut parameters: Parameters,
) -> Result<Json<Page<MovementBody>>, Problem> {
    let key = StockKey { sku: sku(text)?, location: parameters.location_or_default()? };
    let before = parameters.one("cursor")?.map(|text| Cursor::movement(&text)).transpose()?;
    let limit = parameters.limit()?;
    parameters.done()?;
    let movements = sidecar.ask(sidecar.queries.movements(&key, before, limit + 1)).await?;
    if movements.is_empty() && sidecar.ask(sidecar.queries.stock(&key)).await?.is_none() {
        return Err(unknown(&key));
    }
    Ok(Json(Page::new(movements, limit, |movement| Cursor::Movement(movement.version), MovementBody::of)))
}

/// `GET /api/v1/stock/{sku}/claims`.
pub(super) async fn claims<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    mut parameters: Parameters,
) -> Result<Json<Page<HolderBody>>, Problem> {
    let key = StockKey { sku: sku(text)?, location: parameters.location_or_default()? };
    let after = parameters.one("cursor")?.map(|text| Cursor::holder(&text)).transpose()?;
    let limit = parameters.limit()?;
    parameters.done()?;
    let holders = sidecar.ask(sidecar.queries.holders(&key, after.as_ref(), limit + 1)).await?;
    if holders.is_empty() && sidecar.ask(sidecar.queries.stock(&key)).await?.is_none() {
        return Err(unknown(&key));
    }
    let behind = |holder: &HolderView| {
        Cursor::behind_holder(&HolderPlace { held_since: holder.held_since, key: holder.key.clone() })
    };
    Ok(Json(Page::new(holders, limit, behind, HolderBody::of)))
}

fn unknown(key: &StockKey) -> Problem {
    Problem::not_found(format!("no stock of SKU {:?} at location {:?}", key.sku, key.location))
}
