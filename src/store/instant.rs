//! Instants and days between the domain and the databases, which share one calendar.

use sqlx::types::time::{Date, OffsetDateTime};
use time::macros::datetime;

use crate::domain::words::{Day, Timestamp};

/// Julian day of 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// The first and the last instant that are written; no rule compares beyond them.
const FIRST: OffsetDateTime = datetime!(0001-01-01 00:00:00 UTC);
const LAST: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// An instant as the driver takes it, held at the ends of the calendar that databases and driver share.
pub(super) fn write(timestamp: Timestamp) -> OffsetDateTime {
    let end = if timestamp.0 < 0 { FIRST } else { LAST };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(timestamp.0) * 1_000).unwrap_or(end).clamp(FIRST, LAST)
}

/// An instant held at the ends of the calendar, for a database that keeps microseconds.
pub(super) fn held(timestamp: Timestamp) -> Timestamp {
    read(write(timestamp))
}

/// An instant as it came from the driver.
pub(super) fn read(instant: OffsetDateTime) -> Timestamp {
    // The years of a timestamptz that the driver can read fit into 64 bits of microseconds.
    Timestamp((instant.unix_timestamp_nanos() / 1_000) as i64)
}

/// A day as the driver takes it; `None` outside the calendar that databases and driver share. RFC 3339 knows a year 0,
/// which no date literal of PostgreSQL can name.
pub(super) fn write_day(day: Day) -> Option<Date> {
    let date = Date::from_julian_day(day.0.checked_add(EPOCH_JULIAN_DAY)?).ok()?;
    (FIRST.date()..=LAST.date()).contains(&date).then_some(date)
}

/// A day as it came from the driver.
pub(super) fn read_day(date: Date) -> Day {
    Day(date.to_julian_day() - EPOCH_JULIAN_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_the_database_can_name_are_written() {
        let day = |date: Date| read_day(date);
        assert_eq!(write_day(day(FIRST.date())), Some(FIRST.date()));
        assert_eq!(write_day(day(LAST.date())), Some(LAST.date()));
        assert_eq!(write_day(Day(day(FIRST.date()).0 - 1)), None);
        assert_eq!(write_day(Day(day(LAST.date()).0 + 1)), None);
        assert_eq!(write_day(Day(i32::MIN)), None);
        assert_eq!(write_day(Day(i32::MAX)), None);
    }

    #[test]
    fn instants_beyond_the_calendar_are_held_at_its_ends() {
        let year_0 = Timestamp(-62_167_219_200_000_000);
        assert_eq!(write(year_0), FIRST);
        assert_eq!(write(Timestamp(i64::MIN)), FIRST);
        assert_eq!(write(Timestamp(i64::MAX)), LAST);
    }
}
