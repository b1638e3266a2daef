//! Alerts as every store keeps them: what a batch makes of them, how they read, and which statement a list takes.

use std::sync::Arc;

use sqlx::{ColumnIndex, Decode, Type};
use uuid::Uuid;

use super::rows::{Columns, word};
use crate::domain::alert::{self, Alert, AlertId, AlertState};
use crate::domain::announce::Announcement;
use crate::domain::stock::Level;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{AlertFilter, StoreError};
use crate::wire::identity::alert_id;

/// The alerts that a batch writes, in the order in which they are written: one that makes room for another first.
/// `unresolved` are those of the rows whose levels are announced.
pub(super) fn changed(unresolved: Vec<Alert>, announcements: &[Announcement], now: Timestamp) -> Vec<Alert> {
    alert::follow(unresolved, announcements, now, alert_id)
}

/// An id as databases keep it.
pub(super) fn uuid(id: AlertId) -> Uuid {
    Uuid::from_bytes(id.0)
}

/// The columns of the table `alert` in the order in which [`alert`] reads them. The table goes by its name: SQLite knows
/// no other one in what an update returns. `$cast` is what makes a text of a word.
macro_rules! alert_columns {
    ($cast:literal) => {
        concat!(
            "alert.id, alert.sku, alert.location, alert.level",
            $cast,
            ", alert.available, alert.version, alert.state",
            $cast,
            ", alert.opened_at, alert.acknowledged_at, alert.acknowledged_by, alert.resolved_at"
        )
    };
}
pub(super) use alert_columns;

/// Reads a row that was selected by [`alert_columns`].
pub(super) fn alert<'r, R>(row: &'r R) -> Result<Alert, StoreError>
where
    R: Columns,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Uuid: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    let damaged = |error: sqlx::Error| StoreError::Fatal(format!("an alert cannot be read: {error}"));
    let text = |column: usize| row.try_get::<&'r str, _>(column).map_err(damaged);
    Ok(Alert {
        id: AlertId(row.try_get::<Uuid, _>(0).map_err(damaged)?.into_bytes()),
        key: StockKey::new(text(1)?, text(2)?),
        level: word(text(3)?, Level::parse)?,
        available: row.try_get(4).map_err(damaged)?,
        version: row.try_get(5).map_err(damaged)?,
        state: word(text(6)?, AlertState::parse)?,
        opened_at: row
            .instant(7)
            .map_err(damaged)?
            .ok_or_else(|| StoreError::Fatal("an alert has no opened_at".to_owned()))?,
        acknowledged_at: row.instant(8).map_err(damaged)?,
        acknowledged_by: row.try_get::<Option<&'r str>, _>(9).map_err(damaged)?.map(Arc::from),
        resolved_at: row.instant(10).map_err(damaged)?,
    })
}

/// Which index a list of alerts walks along. A condition that may be switched off is no bound of a search, so that each
/// has a statement of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlertWalk {
    /// The alerts of a SKU.
    OfSku,
    /// Those that are not resolved: few of all that there were.
    Unresolved,
    /// All of them.
    All,
}

impl AlertWalk {
    pub fn of(filter: &AlertFilter) -> Self {
        match (&filter.sku, filter.state) {
            (Some(_), _) => Self::OfSku,
            (None, Some(AlertState::Open | AlertState::Acknowledged)) => Self::Unresolved,
            (None, Some(AlertState::Resolved) | None) => Self::All,
        }
    }
}
