//! Shops on the model, the reference of what a store is.

use holdfast::domain::claim::ClaimKey;
use holdfast::domain::verdict::Verdict;
use holdfast::domain::words::{Day, StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::ports::{Entry, PublishedMark, Store};
use holdfast::store::Retention;
use holdfast::wire::stored;
use uuid::Uuid;

use super::behind::{
    Ended, Kept, KeptAlert, KeptBatch, KeptClaim, KeptDay, KeptKey, KeptLetter, KeptLine, KeptMovement, KeptPlace,
    KeptStock, Tampering,
};
use super::kinds::StoreKind;
use crate::model::{ModelDatabase, ModelStore, OpenDay, Step, Tables};

/// A database in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnModel;

impl StoreKind for OnModel {
    type Store = ModelStore;
    type Address = ModelDatabase;
    type Place = ();

    const LETS_OTHERS_BETWEEN: bool = true;

    async fn new_database() -> (ModelDatabase, ()) {
        // Publishers in tests go by this clock; the model's stands still from here on.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let now = Timestamp(i64::try_from(now.as_micros()).expect("before the year 294247"));
        (ModelDatabase::new(now, Uuid::new_v4()), ())
    }

    async fn connect_with(database: &ModelDatabase, retention: Retention) -> ModelStore {
        ModelStore::on(database.clone(), retention)
    }

    async fn kept(database: &ModelDatabase) -> Kept {
        database.look(kept)
    }

    async fn tamper(database: &ModelDatabase, tampering: &Tampering<'_>) {
        database.change(|tables| {
            tables.writes += 1;
            tamper(tables, tampering);
        });
    }

    async fn commit_and_die(database: &ModelDatabase, entries: &[Entry], bench: &Bench, moment: usize) -> Ended {
        let store = Self::connect(database).await;
        if let Some(step) = Step::ALL.get(moment) {
            store.die_at(*step);
        }
        let judge = |loaded| bench.judge(entries, loaded);
        match store.commit(entries, &judge).await {
            Ok(_) => Ended::Committed,
            Err(error) => Ended::Died(Some(error)),
        }
    }

    async fn pass(database: &ModelDatabase, _store: &ModelStore, seconds: i64) {
        database.move_clock(seconds);
    }
}

fn tamper(tables: &mut Tables, tampering: &Tampering<'_>) {
    let now = tables.clock;
    let claims = tables.claims.values_mut().map(|kept| &mut kept.claim);
    let is_of = |key: &ClaimKey, of: &str| key.reference.as_str() == of;
    match tampering {
        Tampering::Deadline { of, seconds } => claims
            .filter(|claim| claim.expires_at.is_some() && of.is_none_or(|of| is_of(&claim.key, of)))
            .for_each(|claim| claim.expires_at = Some(now.plus_seconds(*seconds))),
        Tampering::DeadlineAt(instant) => claims.for_each(|claim| claim.expires_at = Some(*instant)),
        Tampering::NoDeadline { of } => {
            claims.filter(|claim| is_of(&claim.key, of)).for_each(|claim| claim.expires_at = None);
        }
        Tampering::HeldLonger { seconds } => {
            let earlier = |held: Timestamp| held.plus_seconds(-seconds);
            claims.for_each(|claim| claim.first_held_at = claim.first_held_at.map(earlier));
        }
        Tampering::DayWritten { day, on } => {
            tables.days.entry(*day).and_modify(|open| open.last_written_on = *on);
        }
        Tampering::DayMoved { from, to } => {
            let moved = tables.days.remove(from).expect("the day is open");
            tables.days.insert(*to, moved);
            let moved: Vec<_> = tables.inbox.keys().filter(|(day, ..)| day == from).cloned().collect();
            for identity in moved {
                let seen = tables.inbox.remove(&identity).expect("it was there");
                tables.inbox.insert((*to, identity.1, identity.2), seen);
            }
        }
        Tampering::DayDropped { day } => {
            tables.days.insert(*day, OpenDay { last_written_on: *day, is_dropped: true });
        }
        Tampering::OutboxAged { from, seconds } => {
            tables.outbox.range_mut(from..).for_each(|(_, batch)| batch.recorded_at = now.plus_seconds(-seconds));
        }
        Tampering::OutboxLost { numbers } => tables.outbox.retain(|number, _| !numbers.contains(number)),
        Tampering::LettersAged { seconds } => {
            tables.dead_letters.values_mut().for_each(|letter| letter.recorded_at = now.plus_seconds(-seconds));
        }
        Tampering::LeaseEnds { in_seconds } => {
            tables.lease = tables.lease.map(|(lease, _)| (lease, now.plus_seconds(*in_seconds)));
        }
        Tampering::OnHand { sku, units } => of_sku(tables, sku, |row| row.counters.on_hand = *units),
        Tampering::Version { sku, version } => of_sku(tables, sku, |row| row.version = *version),
        Tampering::CartHeld { sku, units } => of_sku(tables, sku, |row| row.counters.cart_held = *units),
        Tampering::Level { sku, level } => of_sku(tables, sku, |row| row.level = *level),
        Tampering::HeldSince { of, seconds } => {
            let since = seconds.map(|seconds| now.plus_seconds(seconds));
            let of = tables.set_aside.iter_mut().filter(|((_, claim), _)| is_of(claim, of));
            of.for_each(|(_, aside)| aside.since = since);
        }
        Tampering::AlertsAged { sku, seconds } => {
            let aged = now.plus_seconds(-seconds);
            tables.alerts.values_mut().filter(|alert| alert.key.sku.as_str() == *sku).for_each(|alert| {
                alert.opened_at = aged;
                alert.resolved_at = alert.resolved_at.map(|_| aged);
            });
        }
        Tampering::MovementDated { sku, version, as_version } => {
            let of_sku = |key: &StockKey| key.sku.as_str() == *sku;
            let dated = tables.movements.iter().find(|((key, of), _)| of_sku(key) && of == as_version);
            let dated = dated.map(|(_, movement)| movement.recorded_at);
            let of = tables.movements.iter_mut().filter(|((key, of), _)| of_sku(key) && of == version);
            of.for_each(|(_, movement)| movement.recorded_at = dated.unwrap_or(movement.recorded_at));
        }
        Tampering::SetAside { reference, more } => {
            let of = tables.set_aside.iter_mut().filter(|((_, claim), _)| is_of(claim, reference));
            of.for_each(|(_, aside)| aside.units += more);
        }
        Tampering::Waiting { sku, units } => of_sku(tables, sku, |row| row.waiting = *units),
        Tampering::PlacesLost { reference } => {
            tables.waiting_lines.retain(|_, order| order.as_str() != *reference);
        }
        Tampering::MovementLost { sku, version } => {
            tables.movements.retain(|(key, of), _| key.sku.as_str() != *sku || of != version);
        }
        Tampering::NumbersGiven { batches } => tables.last_number += batches,
        Tampering::Published { number, seq } => tables.mark = PublishedMark { number: *number, seq: *seq },
    }
}

fn of_sku(tables: &mut Tables, sku: &str, change: impl Fn(&mut holdfast::domain::stock::StockRow)) {
    tables.stock.values_mut().filter(|row| row.key.sku.as_str() == sku).for_each(change);
}

fn kept(tables: &Tables) -> Kept {
    let inbox = tables.inbox.iter().map(|((day, source, key), (fingerprint, verdict))| KeptKey {
        day: *day,
        source: source.to_string(),
        key: Uuid::from_bytes(key.0),
        fingerprint: fingerprint.0,
        outcome: match verdict {
            Verdict::Applied => 1,
            Verdict::Refused(_) => 2,
            Verdict::Ignored => 3,
        },
    });
    let day = |(day, open): (&Day, &OpenDay)| KeptDay {
        day: *day,
        last_written_on: open.last_written_on,
        is_dropped: open.is_dropped,
    };
    let stock = tables.stock.values().map(|row| KeptStock {
        key: row.key.clone(),
        counters: row.counters,
        level: row.level.as_str().to_owned(),
        version: row.version,
        waiting: row.waiting,
    });
    let movements = tables.movements.iter().map(|((key, version), movement)| KeptMovement {
        key: key.clone(),
        version: *version,
        cause_type: movement.cause.event_type.as_str().to_owned(),
        reference: movement.cause.reference.as_ref().map(ToString::to_string),
        change: movement.change,
    });
    let claims = tables.claims.values().map(|kept| {
        let claim = &kept.claim;
        KeptClaim {
            kind: claim.key.kind.as_str().to_owned(),
            reference: claim.key.reference.to_string(),
            state: claim.state.as_str().to_owned(),
            revision: claim.revision,
            expires_at: claim.expires_at,
            remembered: (!claim.remembered.is_empty()).then(|| stored::encode_remembered(&claim.remembered)),
            is_answered: kept.answer.is_some(),
        }
    });
    let lines = tables.set_aside.iter().map(|((key, claim), aside)| KeptLine {
        kind: claim.kind.as_str().to_owned(),
        reference: claim.reference.to_string(),
        key: key.clone(),
        units: aside.units,
    });
    let alerts = tables.alerts.values().map(|alert| KeptAlert {
        id: Uuid::from_bytes(alert.id.0),
        key: alert.key.clone(),
        level: alert.level.as_str().to_owned(),
        available: alert.available,
        version: alert.version,
        state: alert.state.as_str().to_owned(),
        acknowledged_by: alert.acknowledged_by.as_deref().map(str::to_owned),
    });
    let places = tables.waiting_lines.iter().map(|((key, ticket), order)| KeptPlace {
        key: key.clone(),
        ticket: *ticket,
        reference: order.to_string(),
    });
    let letters = tables.dead_letters.values().map(|kept| {
        let position = &kept.letter.record.position;
        KeptLetter {
            topic: position.topic.to_string(),
            partition: position.partition.into(),
            offset: position.offset,
            reason: kept.letter.reason.as_str().to_owned(),
            detail: kept.letter.detail.to_string(),
        }
    });
    let outbox = tables.outbox.values().map(|batch| KeptBatch {
        number: batch.number,
        first_seq: batch.first_seq,
        announcements: batch.announcements.len() as i64,
        content: stored::encode_batch(&batch.announcements, &batch.dead_letters),
    });
    Kept {
        inbox: inbox.collect(),
        days: tables.days.iter().map(day).collect(),
        sources: tables.sources.iter().map(ToString::to_string).collect(),
        stock: stock.collect(),
        movements: movements.collect(),
        claims: claims.collect(),
        claim_lines: lines.collect(),
        alerts: alerts.collect(),
        waiting_lines: places.collect(),
        dead_letters: letters.collect(),
        outbox: outbox.collect(),
        last_number: tables.last_number,
        last_seq: tables.last_seq,
    }
    .sorted()
}
