//! What people look after.

use std::future::Future;

use super::{Queries, QueryError};
use crate::domain::alert::{Alert, AlertId, AlertState};
use crate::domain::words::{Location, Sku, Timestamp};

/// Which alerts a list shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those that stand so.
    pub state: Option<AlertState>,
    /// Only those of this SKU.
    pub sku: Option<Sku>,
    /// Only those of this location.
    pub location: Option<Location>,
}

/// A place in a list of alerts: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertPlace {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its name.
    pub id: AlertId,
}

/// What became of an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It is acknowledged, by this call or an earlier one, whose time and operator it keeps.
    Acknowledged(Alert),
    /// It is resolved, and stays as it is.
    Resolved(Alert),
    /// There is no such alert.
    Unknown,
}

/// Alerts, as people read and acknowledge them. To acknowledge is the one write that is no event: it changes no stock,
/// so that it has no identity, no ledger entry and no number. Each method is one statement outside of any transaction:
/// a cancelled one has happened or has not.
pub trait Watch: Queries {
    /// Alerts, the newest first: the last opened, equals by the bytes of their ids, the highest first. At most `limit`.
    fn alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&AlertPlace>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Alert>, QueryError>> + Send;

    /// One alert.
    fn alert(&self, id: AlertId) -> impl Future<Output = Result<Option<Alert>, QueryError>> + Send;

    /// Says that somebody looks after an open alert. Of one that is acknowledged already nothing changes. Waits for a
    /// batch that changes the same alert, and locks nothing else.
    fn acknowledge(
        &self,
        id: AlertId,
        operator: Option<&str>,
    ) -> impl Future<Output = Result<Acknowledgement, QueryError>> + Send;
}

impl Acknowledgement {
    /// From the alert as it stands afterwards; `None` where there is none.
    pub fn of(alert: Option<Alert>) -> Self {
        match alert {
            None => Self::Unknown,
            Some(alert) => match alert.state {
                AlertState::Open | AlertState::Acknowledged => Self::Acknowledged(alert),
                AlertState::Resolved => Self::Resolved(alert),
            },
        }
    }
}
