//! What the SQLite store and the embedded log share, because they are one file: its clock, and the appending of records.
//! Each of them holds connections and transactions of its own; neither knows the other.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use crate::ports::OutputRecord;
use crate::wire::packed::{self, TopicStart};

/// The file's clock, in microseconds since 1970. SQLite's clock counts milliseconds, and stands still within one
/// statement.
macro_rules! clock {
    () => {
        "(cast(round(unixepoch('subsec') * 1000) as integer) * 1000)"
    };
}
pub(crate) use clock;

/// What became of records that were to be appended.
pub(crate) enum Appended {
    /// They are there when the transaction is.
    All,
    /// Nothing may be committed: these topics do not exist.
    Missing(Vec<String>),
}

/// Appends records in their order, within a transaction that holds the file's lock.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    records: &[OutputRecord],
) -> Result<Appended, sqlx::Error> {
    if records.is_empty() {
        return Ok(Appended::All);
    }
    let counts = packed::counted(records);
    let grown: Vec<(i64, String, i64)> = sqlx::query_as(
        "update log_topic set next_offset = next_offset + added.records
         from (select value ->> 0 as name, value ->> 1 as records from json_each(?1)) as added
         where log_topic.name = added.name returning log_topic.id, log_topic.name, log_topic.next_offset",
    )
    .bind(serde_json::json!(counts.iter().collect::<Vec<_>>()).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let start = |(topic, name, end): (i64, String, i64)| {
        let added = counts.get(&*name).copied().unwrap_or_default();
        (name, TopicStart { topic, offset: end - added })
    };
    let starts: HashMap<String, TopicStart> = grown.into_iter().map(start).collect();
    let missing: Vec<String> =
        counts.keys().filter(|name| !starts.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    if !missing.is_empty() {
        return Ok(Appended::Missing(missing));
    }
    let added = records.len() as i64;
    let (last_id, arrived_at): (i64, i64) = sqlx::query_as(concat!(
        "update log_end set last_id = last_id + ?1, last_arrival = max(last_arrival, ",
        clock!(),
        ") returning last_id, last_arrival"
    ))
    .bind(added)
    .fetch_one(&mut *connection)
    .await?;
    let packed = packed::pack(records, last_id - added + 1, &starts);
    sqlx::query(
        "insert into log_record (id, topic, record_offset, arrived_at, recorded_at, key, headers, payload)
         select value ->> 0, value ->> 1, value ->> 2, ?3, value ->> 3, substr(?2, value ->> 4, value ->> 5),
                substr(?2, value ->> 6, value ->> 7), substr(?2, value ->> 8, value ->> 9)
         from jsonb_each(?1)",
    )
    .bind(packed.rows)
    .bind(packed.bytes)
    .bind(arrived_at)
    .execute(&mut *connection)
    .await?;
    Ok(Appended::All)
}
