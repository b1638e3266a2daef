//! What an event leaves: one movement and one announcement for each row that it changed, and its answers.

use std::sync::Arc;

use super::{Fold, Origin};
use crate::domain::announce::{Announcement, AnnouncementBody, Answer, AnswerKind, Movement, MovementKind};
use crate::domain::claim::{ClaimKey, ClaimKind};
use crate::domain::event::EventType;
use crate::domain::stock::{Counters, Level, Snapshot, StockRow};
use crate::domain::words::StockKey;
use crate::planted_bug::{PlantedBug, is_planted};

impl Fold<'_> {
    /// Announces an answer, which its claim keeps as its last one.
    pub(super) fn tell(&mut self, origin: &Origin, answer: Answer) {
        let claim_kind = match answer.kind {
            AnswerKind::Order => Some(ClaimKind::Order),
            AnswerKind::Cart => Some(ClaimKind::Cart),
            AnswerKind::Return | AnswerKind::Stock => None,
        };
        if let Some(kind) = claim_kind {
            let key = ClaimKey { kind, reference: answer.reference.clone() };
            self.effects.answers.insert(key.clone(), self.effects.announcements.len());
            self.effects.claims.insert(key);
        }
        let body = AnnouncementBody::ReservationResult(answer);
        let (cause, trace) = (origin.cause.clone(), origin.trace.clone());
        self.effects.announcements.push(Announcement { cause, trace, body });
    }

    /// `filled` says that somebody who waited got units of the row: that is a change also where the numbers end as they
    /// were, so that the ledger and the subscribers have the event.
    pub(super) fn close_row(&mut self, origin: &Origin, key: &StockKey, previous: Option<StockRow>, filled: bool) {
        let Some(row) = self.books.stock.get_mut(key) else { return };
        let created = previous.is_none();
        let before = previous.as_ref().map_or(Snapshot::NOTHING, StockRow::snapshot);
        let change = row.counters.since(&before.counters);
        let counted = change != Counters::default();
        // Besides the settings that `settings_differ` sees, a registration changes the safety stock and the version.
        let cause_registers = origin.cause.event_type == EventType::SkuRegistered;
        // A row that is corrected may look to others as it did before; that it was touched is a movement all the same.
        let cause_corrects = origin.cause.event_type == EventType::Reconciliation;
        let settings_changed = previous.as_ref().is_none_or(|old| settings_differ(old, row));
        let is_waited_for_anew = previous.as_ref().is_some_and(|old| old.waiting != row.waiting);
        if !counted && !settings_changed && !filled && !cause_corrects {
            if is_waited_for_anew || previous.is_some_and(|old| old.sku_version != row.sku_version) {
                self.effects.settings.insert(key.clone());
            }
            return;
        }
        row.version += 1;
        row.updated_at = self.now;
        let for_level =
            row.counters.available() + if self.rules.ignore_cart_holds { row.counters.cart_held } else { 0 };
        let thresholds_changed = previous.as_ref().is_some_and(|old| {
            (old.warning_threshold, old.critical_threshold) != (row.warning_threshold, row.critical_threshold)
        });
        // A row whose first units went to who waited has had units, though none is on hand.
        let is_judged_afresh = if row.level == Level::Unstocked { filled } else { thresholds_changed };
        row.level = if is_judged_afresh { row.plain_level(for_level) } else { row.next_level(for_level) };
        let after = row.snapshot();
        let movement = Movement {
            key: key.clone(),
            version: row.version,
            kind: movement_kind(origin.cause.event_type, &change, filled),
            change,
            after: after.counters,
            cause: origin.cause.clone(),
            trace: origin.trace.clone(),
            reason: origin.reason.clone(),
            operator: origin.operator.clone(),
        };
        let of_this_event = |last: &Movement| Arc::ptr_eq(&last.cause, &origin.cause);
        let is_further = self.effects.movements.last().is_some_and(of_this_event);
        if !(is_further && is_planted(PlantedBug::MovementMissing)) {
            self.effects.movements.push(movement);
        }
        if let Some(said) = self.books.audits.get_mut(key).and_then(|audit| audit.said.as_mut()) {
            said.ledger = said.ledger.with(row.version, &change);
            said.cart_held += change.cart_held;
            said.order_reserved += change.order_reserved;
        }
        self.effects.announcements.push(Announcement {
            cause: origin.cause.clone(),
            trace: origin.trace.clone(),
            body: AnnouncementBody::StockChanged { key: key.clone(), version: row.version, before, after },
        });
        let first_units = before.level == Level::Unstocked && after.level == Level::Normal;
        if after.level != before.level && !first_units {
            let announcement = Announcement {
                cause: origin.cause.clone(),
                trace: origin.trace.clone(),
                body: AnnouncementBody::LowStock {
                    key: key.clone(),
                    version: row.version,
                    level: after.level,
                    previous_level: before.level,
                    available: for_level,
                    warning_threshold: row.warning_threshold,
                    critical_threshold: row.critical_threshold,
                },
            };
            if is_planted(PlantedBug::LowStockTwice) {
                self.effects.announcements.push(announcement.clone());
            }
            self.effects.announcements.push(announcement);
        }
        let rows = if created {
            &mut self.effects.created
        } else if settings_changed || cause_registers || cause_corrects || is_waited_for_anew {
            &mut self.effects.settings
        } else {
            &mut self.effects.counted
        };
        rows.insert(key.clone());
    }
}

fn settings_differ(old: &StockRow, new: &StockRow) -> bool {
    old.name != new.name
        || old.warning_threshold != new.warning_threshold
        || old.critical_threshold != new.critical_threshold
        || old.max_stock != new.max_stock
        || old.status != new.status
}

fn movement_kind(cause: EventType, change: &Counters, filled: bool) -> MovementKind {
    match cause {
        EventType::SkuRegistered => MovementKind::Register,
        EventType::StockReceived => MovementKind::Restock,
        EventType::StockAdjusted | EventType::StockSynced | EventType::Reconciliation => MovementKind::Adjust,
        EventType::StockCounted => MovementKind::Count,
        EventType::ReturnReceived => MovementKind::Return,
        // What was given back went to somebody who waited.
        _ if filled && change.on_hand == 0 && change.reserved() == 0 => MovementKind::Release,
        _ if change.on_hand < 0 => MovementKind::Deduct,
        _ if change.on_hand > 0 || change.reserved() < 0 => MovementKind::Release,
        _ => MovementKind::Reserve,
    }
}
