//! What stands behind a store in SQL: one text for both databases, but for how they write instants, days and words.

use holdfast::domain::stock::Counters;
use holdfast::domain::words::{Day, StockKey, Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::behind::{
    Kept, KeptBatch, KeptClaim, KeptDay, KeptKey, KeptLetter, KeptLine, KeptMovement, KeptStock, Tampering,
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
            Tampering::DayDropped { day: of } => {
                format!("insert into inbox_day values ({0}, {0}, {1})", day(*of), from_now(0))
            }
            Tampering::OutboxAged { seconds } => format!("update outbox set recorded_at = {}", from_now(-seconds)),
            Tampering::OutboxLost { numbers } => {
                format!("delete from outbox where number between {} and {}", numbers.start(), numbers.end())
            }
            Tampering::LettersAged { seconds } => {
                format!("update dead_letter set recorded_at = {}", from_now(-seconds))
            }
            Tampering::LeaseOver => format!("update relay set expires_at = {}", from_now(-1)),
            Tampering::CartHeld { sku, units } => format!("update stock set cart_held = {units} where sku = '{sku}'"),
            Tampering::Level { sku, level } => {
                format!("update stock set level = '{}' where sku = '{sku}'", level.as_str())
            }
            Tampering::SetAside { reference, more } => {
                format!("update claim_line set reserved = reserved + {more} where reference = '{reference}'")
            }
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
    fn queries(&self) -> [String; 10] {
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
                "select sku, location, on_hand, cart_held, order_reserved, safety_stock, {}, version from stock",
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
            "select topic, cast(partition as bigint), record_offset, reason, detail from dead_letter".to_owned(),
            "select number, first_seq, cast(announcements as bigint), content from outbox".to_owned(),
            "select last_number, last_seq from outbox_counter".to_owned(),
        ]
    }
}

fn counters((on_hand, cart_held, order_reserved, safety_stock): (i64, i64, i64, i64)) -> Counters {
    Counters { on_hand, cart_held, order_reserved, safety_stock }
}

/// Reads everything over one connection. The text stands once; the types of the two drivers have nothing in common.
macro_rules! read_kept {
    ($connection:ty, $name:ident, $dialect:expr) => {
        /// Everything that the database keeps, of one moment.
        pub async fn $name(connection: &mut $connection) -> Kept {
            async fn all<T>(connection: &mut $connection, query: String) -> Vec<T>
            where
                T: for<'r> sqlx::FromRow<'r, <<$connection as Connection>::Database as sqlx::Database>::Row>
                    + Send
                    + Unpin,
            {
                let rows = sqlx::query_as(AssertSqlSafe(query.clone())).fetch_all(connection).await;
                rows.unwrap_or_else(|error| panic!("{query}: {error}"))
            }
            sqlx::raw_sql($dialect.snapshot).execute(&mut *connection).await.expect("a transaction that reads");
            let [inbox, days, sources, stock, movements, claims, lines, letters, outbox, last] = $dialect.queries();
            let inbox = all::<(i64, String, Uuid, i64, i64)>(connection, inbox).await;
            let days = all::<(i64, i64, bool)>(connection, days).await;
            let sources = all::<(String,)>(connection, sources).await;
            let stock = all::<(String, String, i64, i64, i64, i64, String, i64)>(connection, stock).await;
            let movements =
                all::<(String, String, i64, String, Option<String>, i64, i64, i64, i64)>(connection, movements).await;
            let claims =
                all::<(String, String, String, i64, Option<i64>, Option<Vec<u8>>, bool)>(connection, claims).await;
            let lines = all::<(String, String, String, String, i64)>(connection, lines).await;
            let letters = all::<(String, i64, i64, String, String)>(connection, letters).await;
            let outbox = all::<(i64, i64, i64, Vec<u8>)>(connection, outbox).await;
            let last = all::<(i64, i64)>(connection, last).await;
            sqlx::raw_sql("rollback").execute(&mut *connection).await.expect("it ends");
            kept(inbox, days, sources, stock, movements, claims, lines, letters, outbox, last)
        }
    };
}

read_kept!(PgConnection, kept_on_postgres, Dialect::POSTGRES);
read_kept!(SqliteConnection, kept_on_sqlite, Dialect::SQLITE);

#[expect(clippy::too_many_arguments, clippy::type_complexity, reason = "one list a table")]
fn kept(
    inbox: Vec<(i64, String, Uuid, i64, i64)>,
    days: Vec<(i64, i64, bool)>,
    sources: Vec<(String,)>,
    stock: Vec<(String, String, i64, i64, i64, i64, String, i64)>,
    movements: Vec<(String, String, i64, String, Option<String>, i64, i64, i64, i64)>,
    claims: Vec<(String, String, String, i64, Option<i64>, Option<Vec<u8>>, bool)>,
    lines: Vec<(String, String, String, String, i64)>,
    letters: Vec<(String, i64, i64, String, String)>,
    outbox: Vec<(i64, i64, i64, Vec<u8>)>,
    last: Vec<(i64, i64)>,
) -> Kept {
    let day = |day: i64| Day(i32::try_from(day).expect("a day of the calendar"));
    let inbox = inbox.into_iter().map(|(of, source, key, fingerprint, outcome)| KeptKey {
        day: day(of),
        source,
        key,
        fingerprint,
        outcome,
    });
    let days =
        days.into_iter().map(|(of, on, is_dropped)| KeptDay { day: day(of), last_written_on: day(on), is_dropped });
    let stock = stock.into_iter().map(|(sku, location, on_hand, held, reserved, safety, level, version)| KeptStock {
        key: StockKey::new(sku, location),
        counters: counters((on_hand, held, reserved, safety)),
        level,
        version,
    });
    let movements = movements.into_iter().map(|(sku, location, version, cause_type, reference, a, b, c, d)| {
        let (key, change) = (StockKey::new(sku, location), counters((a, b, c, d)));
        KeptMovement { key, version, cause_type, reference, change }
    });
    let claims = claims.into_iter().map(|(kind, reference, state, revision, expires_at, remembered, is_answered)| {
        let expires_at = expires_at.map(Timestamp);
        KeptClaim { kind, reference, state, revision, expires_at, remembered, is_answered }
    });
    let lines = lines.into_iter().map(|(kind, reference, sku, location, units)| KeptLine {
        kind,
        reference,
        key: StockKey::new(sku, location),
        units,
    });
    let letters = letters.into_iter().map(|(topic, partition, offset, reason, detail)| KeptLetter {
        topic,
        partition,
        offset,
        reason,
        detail,
    });
    let outbox = outbox.into_iter().map(|(number, first_seq, announcements, content)| KeptBatch {
        number,
        first_seq,
        announcements,
        content,
    });
    let (last_number, last_seq) = last[0];
    Kept {
        inbox: inbox.collect(),
        days: days.collect(),
        sources: sources.into_iter().map(|(name,)| name).collect(),
        stock: stock.collect(),
        movements: movements.collect(),
        claims: claims.collect(),
        claim_lines: lines.collect(),
        dead_letters: letters.collect(),
        outbox: outbox.collect(),
        last_number,
        last_seq,
    }
    .sorted()
}
