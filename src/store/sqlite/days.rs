//! Under which days and sources a batch is filed. All of it happens in the batch's own transaction, under the file's
//! lock, so that nothing needs to be remembered in memory or learned anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::{read, write};
use crate::domain::words::Day;
use crate::ports::Entry;
use crate::store::filing::{self, DAYS_AHEAD, DayStatus, Filing};
use crate::store::{Retention, instant};

/// Looks up the days and sources of a batch; opens days and numbers sources that are new.
pub(super) async fn file(
    connection: &mut SqliteConnection,
    entries: &[Entry],
    today: Day,
    retention: &Retention,
) -> Result<Filing, sqlx::Error> {
    let (days, sources) = filing::named(entries);
    Ok(Filing {
        days: look_up_days(connection, days, today, retention).await?,
        sources: number_sources(connection, sources).await?,
    })
}

async fn look_up_days(
    connection: &mut SqliteConnection,
    days: BTreeSet<Day>,
    today: Day,
    retention: &Retention,
) -> Result<HashMap<Day, DayStatus>, sqlx::Error> {
    let mut statuses = HashMap::with_capacity(days.len());
    if days.is_empty() {
        return Ok(statuses);
    }
    let known: HashMap<Day, read::KnownDay> = read::days(connection, &days).await?;
    let mut unheard = Vec::new();
    let mut written = Vec::new();
    for day in days {
        let status = match known.get(&day) {
            _ if instant::write_day(day).is_none() => DayStatus::Closed,
            Some(known) if known.dropped => DayStatus::Closed,
            Some(known) => {
                if known.last_written_on < today {
                    written.push(day);
                }
                DayStatus::Open
            }
            None if day.0 > today.0 + DAYS_AHEAD => DayStatus::Ahead,
            None => {
                unheard.push(day);
                continue;
            }
        };
        statuses.insert(day, status);
    }
    if !unheard.is_empty() {
        let mut open = read::open_days(connection).await?;
        let mut crowded = 0;
        for day in unheard {
            if filing::has_room(day, today, open, retention) {
                open += 1;
                written.push(day);
                statuses.insert(day, DayStatus::Open);
            } else {
                crowded += 1;
                statuses.insert(day, DayStatus::Crowded);
            }
        }
        filing::tell_crowded(crowded, open, retention);
    }
    if !written.is_empty() {
        write::days(connection, &written, today).await?;
    }
    Ok(statuses)
}

async fn number_sources(
    connection: &mut SqliteConnection,
    names: BTreeSet<Arc<str>>,
) -> Result<HashMap<Arc<str>, i32>, sqlx::Error> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let mut known = read::sources(connection, &names).await?;
    if known.len() < names.len() {
        let missing: Vec<&str> =
            names.iter().copied().filter(|name| !known.iter().any(|(known, _)| known == name)).collect();
        write::sources(connection, &missing).await?;
        known = read::sources(connection, &names).await?;
    }
    Ok(known.into_iter().map(|(name, number)| (name.into(), number)).collect())
}
