//! What stands behind a store in SQL: one text for both databases, but for how they write instants, days and words.

use holdfast::domain::stock::Counters;
use holdfast::domain::words::{Day, StockKey, Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::behind::{
    Kept, KeptAlert, KeptBatch, KeptClaim, KeptDay, KeptKey, KeptLetter, KeptLine, KeptMovement, KeptPlace, KeptStock,
    Tampering,
};

/// How a database writes what it keeps in a form of its own.
pub struct Dialect {
    /// Begins a transaction that sees one moment.
    pub snapshot: &'static str,
    /// A column of days, as a number of days since 1970.
    pub days: fn(&str) -> String,
    /// A column of instants, as a number of microseconds since 1970.
    pub microseconds: fn(&str) -> String,
    /// A column of words, as text.
    pub word: fn(&str) -> String,
    /// A day.
    pub day: fn(Day) -> String,
    /// An instant.
    pub instant: fn(Timestamp) -> String,
    /// An instant so many seconds later than another one.
    pub later: fn(&str, i64) -> String,
    /// Makes room for the keys of a day that was never open.
    pub room_for_day: fn(Day) -> String,
    /// The database's clock.
    pub now: &'static str,
}

impl Dialect {
    pub const POSTGRES: Self = Self {
        snapshot: "begin isolation level repeatable read read only",
        days: |column| format!("({column} - date '1970-01-01')::bigint"),
        microseconds: |column| format!("(extract(epoch from {column}) * 1000000)::bigint"),
        word: |column| format!("{column}::text"),
        day: |day| format!("(date '1970-01-01' + {})", day.0),
        instant: |instant| format!("(timestamptz '1970-01-01 00:00+00' + {} * interval '1 microsecond')", instant.0),
        later: |instant, seconds| format!("({instant} + {seconds} * interval '1 second')"),
        room_for_day: |day| {
            let bounds = [day.0, day.0 + 1].map(|day| format!("date '1970-01-01' + {day}"));
            format!("create table inbox_moved partition of inbox for values from ({}) to ({})", bounds[0], bounds[1])
        },
        now: "clock_timestamp()",
    };

    pub const SQLITE: Self = Self {
        snapshot: "begin",
        days: str::to_owned,
        microseconds: str::to_owned,
        word: str::to_owned,
        day: |day| day.0.to_string(),
        instant: |instant| instant.0.to_string(),
        later: |instant, seconds| format!("({instant} + {seconds} * 1000000)"),
        room_for_day: |_| "select 1".to_owned(),
        now: "cast(unixepoch('subsec') * 1000000 as integer)",
    };

    /// The statement that changes the database so.
    pub fn tampering(&self, tampering: &Tampering<'_>) -> String {
        let from_now = |seconds: i64| (self.later)(self.now, seconds);
        let day = |of: Day| (self.day)(of);
        match tampering {
            Tampering::Deadline { of, seconds } => {
                let which = of.map_or_else(String::new, |reference| format!(" and reference = '{reference}'"));
                let deadline = from_now(*seconds);
                format!("update claim set expires_at = {deadline} where expires_at is not null{which}")
            }
            Tampering::DeadlineAt(instant) => format!("update claim set expires_at = {}", (self.instant)(*instant)),
            Tampering::NoDeadline { of } => format!("update claim set expires_at = null where reference = '{of}'"),
            Tampering::HeldLonger { seconds } => {
                let earlier = (self.later)("first_held_at", -seconds);
                format!("update claim set first_held_at = {earlier} where first_held_at is not null")
            }
            Tampering::DayWritten { day: of, on } => {
                format!("update inbox_day set last_written_on = {} where event_day = {}", day(*on), day(*of))
            }
            Tampering::DayMoved { from, to } => {
                let moves = ["inbox", "inbox_day"].map(|table| {
                    format!("update {table} set event_day = {} where event_day = {}", day(*to), day(*from))
                });
                format!("{}; {}", (self.room_for_day)(*to), moves.join("; "))
            }
            Tampering::DayDropped { day: of } => {
                format!("insert into inbox_day values ({0}, {0}, {1})", day(*of), from_now(0))
            }
            Tampering::OutboxAged { from, seconds } => {
                format!("update outbox set recorded_at = {} where number >= {from}", from_now(-seconds))
            }
            Tampering::OutboxLost { numbers } => {
                format!("delete from outbox where number between {} and {}", numbers.start(), numbers.end())
            }
            Tampering::LettersAged { seconds } => {
                format!("update dead_letter set recorded_at = {}", from_now(-seconds))
            }
            Tampering::LeaseEnds { in_seconds } => format!("update relay set expires_at = {}", from_now(*in_seconds)),
            Tampering::OnHand { sku, units } => format!("update stock set on_hand = {units} where sku = '{sku}'"),
            Tampering::Version { sku, version } => {
                format!("update stock set version = {version} where sku = '{sku}'")
            }
            Tampering::CartHeld { sku, units } => format!("update stock set cart_held = {units} where sku = '{sku}'"),
            Tampering::Level { sku, level } => {
                format!("update stock set level = '{}' where sku = '{sku}'", level.as_str())
            }
            Tampering::SetAside { reference, more } => {
                format!("update claim_line set reserved = reserved + {more} where reference = '{reference}'")
            }
            Tampering::HeldSince { of, seconds } => {
                let since = seconds.map_or_else(|| "null".to_owned(), from_now);
                format!("update claim_line set held_since = {since} where reference = '{of}'")
            }
            Tampering::AlertsAged { sku, seconds } => {
                let aged = from_now(-seconds);
                let resolved = format!("case when resolved_at is null then null else {aged} end");
                format!("update alert set opened_at = {aged}, resolved_at = {resolved} where sku = '{sku}'")
            }
            Tampering::MovementDated { sku, version, as_version } => format!(
                "update movement set recorded_at = (
                     select o.recorded_at from movement o where o.sku = '{sku}' and o.version = {as_version}
                 ) where sku = '{sku}' and version = {version}"
            ),
            Tampering::Waiting { sku, units } => format!("update stock set waiting = {units} where sku = '{sku}'"),
            Tampering::PlacesLost { reference } => format!("delete from waiting_line where reference = '{reference}'"),
            Tampering::MovementLost { sku, version } => {
                format!("delete from movement where sku = '{sku}' and version = {version}")
            }
            Tampering::NumbersGiven { batches } => {
                format!("update outbox_counter set last_number = last_number + {batches}")
            }
            Tampering::Published { number, seq } => {
                format!("update relay set published_number = {number}, published_seq = {seq}")
            }
        }
    }

    /// The queries that [`read_kept`] reads, in its order.
    fn queries(&self) -> [String; 12] {
        let Self { days, microseconds, word, .. } = self;
        [
            format!(
                "select {}, s.name, event_key, fingerprint, cast(outcome as bigint) from inbox i
                 join source s on s.id = i.source",
                days("event_day")
            ),
            format!(
                "select {}, {}, dropped_at is not null from inbox_day",
                days("event_day"),
                days("last_written_on")
            ),
            "select name from source".to_owned(),
            format!(
                "select sku, location, on_hand, cart_held, order_reserved, safety_stock, {}, version, waiting from stock",
                word("level")
            ),
            format!(
                "select sku, location, version, {}, reference, coalesce(on_hand_change, 0), coalesce(cart_held_change, 0),
                        coalesce(order_reserved_change, 0), coalesce(safety_stock_change, 0) from movement",
                word("cause_type")
            ),
            format!(
                "select {}, reference, {}, cast(revision as bigint), {}, remembered, answer is not null from claim",
                word("kind"),
                word("state"),
                microseconds("expires_at")
            ),
            format!(
                "select {}, reference, sku, location, cast(reserved as bigint) from claim_line",
                word("kind")
            ),
            format!(
                "select id, sku, location, {}, available, version, {}, acknowledged_by from alert",
                word("level"),
                word("state")
            ),
            "select sku, location, ticket, reference from waiting_line".to_owned(),
            "select topic, cast(partition as bigint), record_offset, reason, detail from dead_letter".to_owned(),
            "select number, first_seq, cast(announcements as bigint), content from outbox".to_owned(),
            "select last_number, last_seq from outbox_counter".to_owned(),
        ]
    }
}

/// Reads everything over one connection. The text stands once; the types of the two drivers have nothing in common.
macro_rules! read_kept {
    ($connection:ty, $name:ident, $dialect:expr) => {
        /// Everything that the database keeps, of one moment.
        pub async fn $name(connection: &mut $connection) -> Kept {
            async fn all<T, K>(connection: &mut $connection, query: String, kept: fn(T) -> K) -> Vec<K>
            where
                T: for<'r> sqlx::FromRow<'r, <<$connection as Connection>::Database as sqlx::Database>::Row>
                    + Send
                    + Unpin,
            {
                let rows = sqlx::query_as(AssertSqlSafe(query.clone())).fetch_all(connection).await;
                rows.unwrap_or_else(|error| panic!("{query}: {error}")).into_iter().map(kept).collect()
            }
            sqlx::raw_sql($dialect.snapshot).execute(&mut *connection).await.expect("a transaction that reads");
            let [inbox, days, sources, stock, movements, claims, lines, alerts, places, letters, outbox, last] =
                $dialect.queries();
            let last: Vec<(i64, i64)> = all(connection, last, |last| last).await;
            let (last_number, last_seq) = last[0];
            let kept = Kept {
                inbox: all(connection, inbox, key).await,
                days: all(connection, days, day).await,
                sources: all(connection, sources, |(name,): (String,)| name).await,
                stock: all(connection, stock, stock_row).await,
                movements: all(connection, movements, movement).await,
                claims: all(connection, claims, claim).await,
                claim_lines: all(connection, lines, line).await,
                alerts: all(connection, alerts, alert).await,
                waiting_lines: all(connection, places, place).await,
                dead_letters: all(connection, letters, letter).await,
                outbox: all(connection, outbox, batch).await,
                last_number,
                last_seq,
            };
            sqlx::raw_sql("rollback").execute(&mut *connection).await.expect("it ends");
            kept.sorted()
        }
    };
}

read_kept!(PgConnection, kept_on_postgres, Dialect::POSTGRES);
read_kept!(SqliteConnection, kept_on_sqlite, Dialect::SQLITE);

fn named_day(days: i64) -> Day {
    Day(i32::try_from(days).expect("a day of the calendar"))
}

fn key((day, source, key, fingerprint, outcome): (i64, String, Uuid, i64, i64)) -> KeptKey {
    KeptKey { day: named_day(day), source, key, fingerprint, outcome }
}

fn day((day, last_written_on, is_dropped): (i64, i64, bool)) -> KeptDay {
    KeptDay { day: named_day(day), last_written_on: named_day(last_written_on), is_dropped }
}

type StockColumns = (String, String, i64, i64, i64, i64, String, i64, i64);

fn stock_row(columns: StockColumns) -> KeptStock {
    let (sku, location, on_hand, cart_held, order_reserved, safety_stock, level, version, waiting) = columns;
    let counters = Counters { on_hand, cart_held, order_reserved, safety_stock };
    KeptStock { key: StockKey::new(sku, location), counters, level, version, waiting }
}

type MovementColumns = (String, String, i64, String, Option<String>, i64, i64, i64, i64);

fn movement(columns: MovementColumns) -> KeptMovement {
    let (sku, location, version, cause_type, reference, on_hand, cart_held, order_reserved, safety_stock) = columns;
    let change = Counters { on_hand, cart_held, order_reserved, safety_stock };
    KeptMovement { key: StockKey::new(sku, location), version, cause_type, reference, change }
}

type ClaimColumns = (String, String, String, i64, Option<i64>, Option<Vec<u8>>, bool);

fn claim((kind, reference, state, revision, expires_at, remembered, is_answered): ClaimColumns) -> KeptClaim {
    KeptClaim { kind, reference, state, revision, expires_at: expires_at.map(Timestamp), remembered, is_answered }
}

fn line((kind, reference, sku, location, units): (String, String, String, String, i64)) -> KeptLine {
    KeptLine { kind, reference, key: StockKey::new(sku, location), units }
}

type AlertColumns = (Uuid, String, String, String, i64, i64, String, Option<String>);

fn alert((id, sku, location, level, available, version, state, acknowledged_by): AlertColumns) -> KeptAlert {
    KeptAlert { id, key: StockKey::new(sku, location), level, available, version, state, acknowledged_by }
}

fn place((sku, location, ticket, reference): (String, String, i64, String)) -> KeptPlace {
    KeptPlace { key: StockKey::new(sku, location), ticket, reference }
}

fn letter((topic, partition, offset, reason, detail): (String, i64, i64, String, String)) -> KeptLetter {
    KeptLetter { topic, partition, offset, reason, detail }
}

fn batch((number, first_seq, announcements, content): (i64, i64, i64, Vec<u8>)) -> KeptBatch {
    KeptBatch { number, first_seq, announcements, content }
}
