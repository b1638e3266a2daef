//! Records packed for one statement of the embedded log: a table of numbers as JSON, and all bytes in one piece that
//! the table points into. The statement is the same for any number of records.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::stored::encode_headers;
use crate::ports::OutputRecord;

/// Where the records of one topic begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicStart {
    /// The number of the topic in the log.
    pub topic: i64,
    /// The offset of the first of the new records.
    pub offset: i64,
}

/// Records for one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRecords {
    /// A JSON array, a row a record: id, topic, offset, time in microseconds, then start (from 1) and length of key,
    /// headers and payload in [`bytes`](Self::bytes); a length is null where there is none of it.
    pub rows: String,
    /// Keys, headers and payloads, one behind the other.
    pub bytes: Vec<u8>,
}

/// How many records go to each topic.
pub fn counted(records: &[OutputRecord]) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(&*record.topic).or_default() += 1;
    }
    counts
}

/// Packs records, numbered from `first_id` in their order. Every topic must be among `starts`; a record whose topic is
/// not is left out, so that whoever inserts compares the numbers.
pub fn pack(records: &[OutputRecord], first_id: i64, starts: &HashMap<String, TopicStart>) -> PackedRecords {
    let mut starts = starts.clone();
    let mut bytes = Vec::new();
    let mut rows = Vec::with_capacity(records.len());
    for (record, id) in records.iter().zip(first_id..) {
        let Some(start) = starts.get_mut(&*record.topic) else { continue };
        let headers = encode_headers(&record.headers);
        let mut put = |part: Option<&[u8]>| {
            let at = bytes.len() + 1;
            bytes.extend_from_slice(part.unwrap_or_default());
            (at, part.map(<[u8]>::len))
        };
        let (key, headers, payload) =
            (put(record.key.as_deref()), put(headers.as_deref()), put(record.payload.as_deref()));
        let time = record.timestamp.0;
        rows.push(Row(id, start.topic, start.offset, time, key.0, key.1, headers.0, headers.1, payload.0, payload.1));
        start.offset += 1;
    }
    let rows = serde_json::to_string(&rows).expect("numbers are always valid JSON");
    PackedRecords { rows, bytes }
}

type Length = Option<usize>;

#[derive(Serialize)]
struct Row(i64, i64, i64, i64, usize, Length, usize, Length, usize, Length);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::words::Timestamp;

    #[test]
    fn records_are_numbered_and_placed_by_topic() {
        let record = |topic: &str, key: Option<&str>, payload: Option<&str>| OutputRecord {
            topic: topic.into(),
            key: key.map(|key| key.as_bytes().to_vec()),
            headers: Vec::new(),
            payload: payload.map(|payload| payload.as_bytes().to_vec()),
            timestamp: Timestamp(5),
        };
        let records =
            [record("b", Some("k"), Some("one")), record("a", None, None), record("b", Some(""), Some("two"))];
        assert_eq!(counted(&records), BTreeMap::from([("a", 1), ("b", 2)]));
        let starts = HashMap::from([
            ("a".to_owned(), TopicStart { topic: 7, offset: 0 }),
            ("b".to_owned(), TopicStart { topic: 8, offset: 40 }),
        ]);
        let packed = pack(&records, 100, &starts);
        assert_eq!(packed.bytes, b"konetwo");
        assert_eq!(
            packed.rows,
            "[[100,8,40,5,1,1,2,null,2,3],[101,7,0,5,5,null,5,null,5,null],[102,8,41,5,5,0,5,null,5,3]]"
        );
    }
}
