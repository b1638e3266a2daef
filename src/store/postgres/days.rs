//! The partitions that keys are filed in, and the numbers of publishers: made outside the batch's transaction, looked up
//! in memory ever after.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::types::time::{Date, OffsetDateTime};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::held::Held;
use super::{PostgresStore, error, read};
use crate::domain::words::Day;
use crate::ports::{Entry, StoreError};
use crate::store::filing::{self, DAYS_AHEAD, DayStatus, Filing};
use crate::store::instant;

/// The advisory lock under which partitions are made and dropped, so that two workers do not make the same one.
pub(super) const PARTITION_LOCK: i64 = 0x686f_6c64_6661_7374;
/// How many names of publishers are remembered; beyond it they are looked up again.
const MOST_SOURCES: usize = 10_000;
/// How many days are remembered; beyond it they are looked up again.
const MOST_DAYS: usize = 10_000;

/// What was learned so far; shared by the clones of a store.
#[derive(Debug, Default)]
pub(super) struct Known {
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    /// Each day with the day on which its last write was noted.
    days: HashMap<Day, (DayStatus, Option<Date>)>,
    sources: HashMap<Arc<str>, i32>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Learned> {
        // Nothing can be half done under this lock: it guards plain insertions.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresStore {
    /// Makes sure that each day of the batch has its partition and each source its number.
    pub(super) async fn file(&self, entries: &[Entry]) -> Result<Filing, StoreError> {
        let (days, sources) = filing::named(entries);
        Ok(Filing { days: self.days(days).await?, sources: self.sources(sources).await? })
    }

    /// Forgets what was learned of days, because the database said otherwise.
    pub(super) fn forget_days(&self) {
        self.known.lock().days.clear();
    }

    async fn sources(&self, names: BTreeSet<Arc<str>>) -> Result<HashMap<Arc<str>, i32>, StoreError> {
        let mut known: HashMap<Arc<str>, i32> = {
            let learned = self.known.lock();
            names.iter().filter_map(|name| Some((name.clone(), *learned.sources.get(name)?))).collect()
        };
        let missing: Vec<&str> = names.iter().filter(|name| !known.contains_key(*name)).map(|name| &**name).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let found = self.number_sources(&missing).await.map_err(error::classify)?;
        let mut learned = self.known.lock();
        if learned.sources.len() + found.len() > MOST_SOURCES {
            learned.sources.clear();
        }
        for (name, number) in found {
            let name: Arc<str> = name.into();
            learned.sources.insert(name.clone(), number);
            known.insert(name, number);
        }
        Ok(known)
    }

    async fn number_sources(&self, names: &[&str]) -> Result<Vec<(String, i32)>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        sqlx::query("insert into source (name) select unnest($1::text[]) order by 1 on conflict (name) do nothing")
            .bind(names)
            .execute(&mut *connection)
            .await?;
        read::sources(&mut connection, names).await
    }

    async fn days(&self, days: BTreeSet<Day>) -> Result<HashMap<Day, DayStatus>, StoreError> {
        let today = instant::write_day(crate::domain::words::Timestamp(unix_microseconds()).day());
        let mut known: HashMap<Day, DayStatus> = HashMap::with_capacity(days.len());
        {
            let learned = self.known.lock();
            for day in &days {
                match learned.days.get(day) {
                    // A day that was ahead may have come.
                    Some((status @ DayStatus::Closed, _)) => known.insert(*day, *status),
                    Some((status @ DayStatus::Open, noted)) if *noted == today => known.insert(*day, *status),
                    _ => None,
                };
            }
        }
        let missing: Vec<Day> = days.into_iter().filter(|day| !known.contains_key(day)).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let mut connection = self.hold().await.map_err(error::classify)?;
        let opened = self.open_days(&mut connection, &missing).await.map_err(error::classify)?;
        let mut learned = self.known.lock();
        if learned.days.len() + opened.len() > MOST_DAYS {
            learned.days.clear();
        }
        for (day, status) in opened {
            if status != DayStatus::Crowded {
                learned.days.insert(day, (status, today));
            }
            known.insert(day, status);
        }
        Ok(known)
    }

    /// Opens days, or learns that they are closed. One transaction under the partition lock.
    async fn open_days(&self, connection: &mut Held, days: &[Day]) -> Result<Vec<(Day, DayStatus)>, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PARTITION_LOCK).execute(&mut *transaction).await?;
        let row = sqlx::query(
            "select (clock_timestamp() at time zone 'utc')::date, (select count(*) from inbox_day where dropped_at is null)",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let today: Date = row.try_get(0)?;
        let mut open: i64 = row.try_get(1)?;
        let mut opened = Vec::with_capacity(days.len());
        for day in days {
            let status = match instant::write_day(*day) {
                None => DayStatus::Closed,
                Some(date) => self.open_day(&mut transaction, date, today, &mut open).await?,
            };
            opened.push((*day, status));
        }
        transaction.commit().await?;
        let crowded = opened.iter().filter(|(_, status)| *status == DayStatus::Crowded).count();
        filing::tell_crowded(crowded, open, &self.settings.retention);
        Ok(opened)
    }

    async fn open_day(
        &self,
        transaction: &mut PgConnection,
        date: Date,
        today: Date,
        open: &mut i64,
    ) -> Result<DayStatus, sqlx::Error> {
        let known: Option<Option<OffsetDateTime>> =
            sqlx::query_scalar("select dropped_at from inbox_day where event_day = $1")
                .bind(date)
                .fetch_optional(&mut *transaction)
                .await?;
        match known {
            Some(Some(_)) => return Ok(DayStatus::Closed),
            Some(None) => {}
            None if instant::read_day(date).0 > instant::read_day(today).0 + DAYS_AHEAD => return Ok(DayStatus::Ahead),
            None if !filing::has_room(
                instant::read_day(date),
                instant::read_day(today),
                *open,
                &self.settings.retention,
            ) =>
            {
                return Ok(DayStatus::Crowded);
            }
            None => {
                create_day(transaction, date).await?;
                *open += 1;
            }
        }
        sqlx::query(
            "insert into inbox_day as d (event_day, last_written_on) values ($1, $2)
             on conflict (event_day) do update set last_written_on = excluded.last_written_on
             where d.last_written_on < excluded.last_written_on",
        )
        .bind(date)
        .bind(today)
        .execute(&mut *transaction)
        .await?;
        Ok(DayStatus::Open)
    }
}

/// Makes a day's partition. It is made apart and then attached: `create table … partition of` would stop every writer
/// for that moment.
async fn create_day(connection: &mut PgConnection, date: Date) -> Result<(), sqlx::Error> {
    let name = day_partition(date);
    let next = date.next_day().unwrap_or(date);
    let statements = [
        format!("create table {name} (like inbox including all)"),
        format!("alter table inbox attach partition {name} for values from ('{date}') to ('{next}')"),
    ];
    for statement in statements {
        // Nothing but a date goes into the text.
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The name of a day's partition.
pub(super) fn day_partition(date: Date) -> String {
    format!("inbox_{:04}{:02}{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Only to note a day's writes once a day; the database's clock decides what is open and what is dropped.
fn unix_microseconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
