//! Alerts: what people are to look after while a row is low. One row has at most one that is not resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::announce::{Announcement, AnnouncementBody};
use super::event::Cause;
use super::stock::Level;
use super::words::{StockKey, Timestamp};

/// The name of an alert. Derived from what opened it, so that a batch that is tried again opens the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub [u8; 16]);

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Nobody has said that they look after it.
    Open,
    /// Somebody has.
    Acknowledged,
    /// The level is back at normal.
    Resolved,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// The state that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One time that a row was low.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub id: AlertId,
    /// The row.
    pub key: StockKey,
    /// The level that was announced last while it was not resolved: `low`, `critical` or `out`.
    pub level: Level,
    /// Units available when that level was reached, as it was judged.
    pub available: i64,
    /// The version of the row that reached it.
    pub version: i64,
    /// Where it stands.
    pub state: AlertState,
    /// When it was opened, by the database's clock; stays when it is opened again.
    pub opened_at: Timestamp,
    /// When it was acknowledged, unless it became worse since.
    pub acknowledged_at: Option<Timestamp>,
    /// By whom, where they said so.
    pub acknowledged_by: Option<Arc<str>>,
    /// When the level was back at normal.
    pub resolved_at: Option<Timestamp>,
}

/// A change of level as a batch announces it.
struct Told<'a> {
    key: &'a StockKey,
    version: i64,
    level: Level,
    previous_level: Level,
    available: i64,
    cause: &'a Cause,
}

fn told(announcement: &Announcement) -> Option<Told<'_>> {
    match &announcement.body {
        AnnouncementBody::LowStock { key, version, level, previous_level, available, .. } => Some(Told {
            key,
            version: *version,
            level: *level,
            previous_level: *previous_level,
            available: *available,
            cause: &announcement.cause,
        }),
        AnnouncementBody::StockChanged { .. }
        | AnnouncementBody::ReservationResult(_)
        | AnnouncementBody::StockShortage { .. }
        | AnnouncementBody::StockDrift { .. } => None,
    }
}

/// The rows of which a batch announces levels, in the order of their keys: whose alerts [`follow`] has to be given.
pub fn rows_told(announcements: &[Announcement]) -> Vec<&StockKey> {
    let keys: BTreeSet<&StockKey> = announcements.iter().filter_map(told).map(|told| told.key).collect();
    keys.into_iter().collect()
}

/// What the announced levels of a batch make of alerts: every alert that is opened or changed, once, and of each row
/// those that are resolved before the one that is not. `unresolved` are those of the rows in [`rows_told`] that were not
/// resolved before; `name` derives the name of one that is opened. A level at a time, so that N batches of one event
/// leave what one batch of N does.
pub fn follow(
    unresolved: Vec<Alert>,
    announcements: &[Announcement],
    now: Timestamp,
    name: impl Fn(&Cause, &StockKey, i64) -> AlertId,
) -> Vec<Alert> {
    let mut current: BTreeMap<StockKey, Alert> =
        unresolved.into_iter().map(|alert| (alert.key.clone(), alert)).collect();
    let mut resolved = Vec::new();
    for told in announcements.iter().filter_map(told) {
        match told.level {
            Level::Normal | Level::Unstocked => {
                if let Some(alert) = current.remove(told.key) {
                    resolved.push(Alert { state: AlertState::Resolved, resolved_at: Some(now), ..alert });
                }
            }
            Level::Low | Level::Critical | Level::Out => {
                let opened = || Alert::opened(&told, now, name(told.cause, told.key, told.version));
                current.entry(told.key.clone()).or_insert_with(opened).reach(&told);
            }
        }
    }
    resolved.extend(current.into_values());
    resolved
}

impl Alert {
    fn opened(told: &Told<'_>, now: Timestamp, id: AlertId) -> Self {
        Self {
            id,
            key: told.key.clone(),
            level: told.level,
            available: told.available,
            version: told.version,
            state: AlertState::Open,
            opened_at: now,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
        }
    }

    /// Takes over a level. Who acknowledged a better one has not seen this one, so that it is open again.
    fn reach(&mut self, told: &Told<'_>) {
        if told.level < told.previous_level {
            self.state = AlertState::Open;
            self.acknowledged_at = None;
            self.acknowledged_by = None;
        }
        self.level = told.level;
        self.available = told.available;
        self.version = told.version;
    }
}
