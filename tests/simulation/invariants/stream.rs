//! The stream, read as a subscriber reads it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::domain::stock::{Snapshot, StockRow};
use holdfast::ports::OutputRecord;
use serde_json::{Value, json};

use super::{Announced, Checked, Evidence};
use crate::simulation::case::Guarantee;
use crate::simulation::sink::Published;

/// The announcements of a stream, each once: a subscriber leaves out numbers that it knows.
pub(super) fn read(published: &[Published]) -> Vec<Announced> {
    let mut known = BTreeSet::new();
    let records = published.iter().filter_map(|published| published.record.as_ref());
    records.filter_map(announced).filter(|announced| known.insert(announced.seq)).collect()
}

fn announced(record: &OutputRecord) -> Option<Announced> {
    let body: Value = serde_json::from_slice(record.payload.as_deref()?).ok()?;
    let event_type = header(record, "ce_type")?;
    Some(Announced { event_type, seq: body["seq"].as_i64()?, body })
}

fn header(record: &OutputRecord, name: &str) -> Option<String> {
    let (_, value) = record.headers.iter().find(|(header, _)| header == name)?;
    String::from_utf8(value.clone()?).ok()
}

fn told(record: &OutputRecord) -> String {
    let payload = record.payload.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{} {}", record.topic, payload.chars().take(160).collect::<String>())
}

/// I5: record by record. Where repetitions are allowed, each writer goes on from one record to the next, and what stands
/// there for the first time has no hole before it.
pub(super) fn is_the_outbox(evidence: &Evidence) -> Checked {
    numbers_follow(evidence)?;
    let (announcements, letters) = &evidence.published;
    same(evidence, announcements, &evidence.expected.0, "announcement")?;
    same(evidence, letters, &evidence.expected.1, "dead letter")
}

/// The outbox itself gives every number once and in order.
fn numbers_follow(evidence: &Evidence) -> Checked {
    let (mut number, mut seq) = (0, 0);
    for batch in evidence.journal.iter().filter_map(|transaction| transaction.outbox.as_ref()) {
        if (batch.number, batch.first_seq) != (number + 1, seq + 1) {
            let (found, first) = (batch.number, batch.first_seq);
            return Err(format!(
                "batch {found} begins with seq {first} behind batch {number} that ends with seq {seq}"
            ));
        }
        (number, seq) = (batch.number, batch.last_seq());
    }
    Ok(())
}

fn same(evidence: &Evidence, published: &[Published], expected: &[OutputRecord], what: &str) -> Checked {
    let written = published.iter().filter_map(|it| Some((it.session, it.record.as_ref()?)));
    let mut reached = 0;
    // Of each writer: the place behind the last record that it wrote.
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    for (session, record) in written {
        let again = || expected[..reached].iter().rposition(|known| known == record);
        let place = if expected.get(reached) == Some(record) {
            reached += 1;
            reached
        } else if evidence.guarantee == Guarantee::AtLeastOnce
            && let Some(before) = again()
        {
            before + 1
        } else {
            return Err(match (expected.get(reached), again()) {
                (_, Some(_)) => format!("{what} {} is published twice: {}", reached + 1, told(record)),
                (Some(missing), None) => format!("{what} {} is not published: {}", reached + 1, told(missing)),
                (None, None) => format!("{what} {} is not in the outbox: {}", reached + 1, told(record)),
            });
        };
        let goes_on = places.insert(session, place).is_none_or(|before| before + 1 == place);
        if evidence.guarantee == Guarantee::AtLeastOnce && !goes_on {
            return Err(format!("{what} {place} is repeated out of order: {}", told(record)));
        }
    }
    match expected.get(reached) {
        Some(missing) if evidence.is_complete => {
            Err(format!("{what} {} is not published: {}", reached + 1, told(missing)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The SKU and location of a row.
type Row = (String, String);
/// Levels that were crossed, from which to which, by row and version.
type Crossings = BTreeMap<(Row, i64), (Value, Value)>;

/// The row that an announcement is about.
fn row_of(body: &Value) -> Row {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (text("sku"), text("location"))
}

fn changes(evidence: &Evidence) -> impl Iterator<Item = &Announced> {
    evidence.announced.iter().filter(|announced| announced.event_type == "stock-changed")
}

/// What is published of a row as it stands.
fn snapshot(snapshot: &Snapshot) -> Value {
    let counters = snapshot.counters;
    json!({
        "on_hand": counters.on_hand, "cart_held": counters.cart_held, "order_reserved": counters.order_reserved,
        "reserved": counters.reserved(), "safety_stock": counters.safety_stock, "available": counters.available(),
        "status": snapshot.status.as_str(), "level": snapshot.level.as_str(),
    })
}

/// I6.
pub(super) fn changes_follow(evidence: &Evidence) -> Checked {
    let nothing = snapshot(&Snapshot::NOTHING);
    let mut rows: BTreeMap<Row, (i64, &Value)> = BTreeMap::new();
    for change in changes(evidence) {
        let (row, body) = (row_of(&change.body), &change.body);
        let (version, after) = rows.get(&row).copied().unwrap_or((0, &nothing));
        if body["version"].as_i64() != Some(version + 1) || body["before"] != *after {
            return Err(format!("seq {}: {body} does not follow on version {version}, {after}", change.seq));
        }
        rows.insert(row, (version + 1, &body["after"]));
    }
    Ok(())
}

/// I7.
pub(super) fn tells_the_stock(evidence: &Evidence) -> Checked {
    if !evidence.is_complete {
        return Ok(());
    }
    let mut rebuilt: BTreeMap<Row, (i64, Value)> = BTreeMap::new();
    for change in changes(evidence) {
        let version = change.body["version"].as_i64().unwrap_or_default();
        rebuilt.insert(row_of(&change.body), (version, change.body["after"].clone()));
    }
    let kept = |row: &StockRow| {
        let key = (row.key.sku.to_string(), row.key.location.to_string());
        (key, (row.version, snapshot(&row.snapshot())))
    };
    let kept: BTreeMap<_, _> = evidence.tables.stock.values().map(kept).collect();
    if kept == rebuilt {
        return Ok(());
    }
    let rows: BTreeSet<_> = kept.keys().chain(rebuilt.keys()).collect();
    let differs = rows.into_iter().find(|row| kept.get(*row) != rebuilt.get(*row));
    Err(differs.map_or_else(String::new, |row| {
        format!("{row:?} is {:?} in the table and {:?} by the stream", kept.get(row), rebuilt.get(row))
    }))
}

/// I9: where the level of a change differs, one announcement says so, and none elsewhere. A first unit is no news.
pub(super) fn levels_are_told_once(evidence: &Evidence) -> Checked {
    let mut crossings = Crossings::new();
    for change in changes(evidence) {
        let (before, after) = (&change.body["before"]["level"], &change.body["after"]["level"]);
        if before != after && (before, after) != (&json!("unstocked"), &json!("normal")) {
            let version = change.body["version"].as_i64().unwrap_or_default();
            crossings.insert((row_of(&change.body), version), (before.clone(), after.clone()));
        }
    }
    for low in evidence.announced.iter().filter(|announced| announced.event_type == "low-stock") {
        told_of_crossing(low, &mut crossings)?;
    }
    match crossings.iter().next() {
        Some((place, levels)) if evidence.is_complete => Err(format!("nothing tells of {place:?}: {levels:?}")),
        Some(_) | None => Ok(()),
    }
}

fn told_of_crossing(low: &Announced, crossings: &mut Crossings) -> Checked {
    let place = (row_of(&low.body), low.body["version"].as_i64().unwrap_or_default());
    let levels = (low.body["previous_level"].clone(), low.body["level"].clone());
    match crossings.remove(&place) {
        Some(crossed) if crossed == levels => Ok(()),
        crossed => Err(format!("seq {} tells of {levels:?} at {place:?}, where {crossed:?} was crossed", low.seq)),
    }
}
