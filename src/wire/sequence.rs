//! The `seq` of what is published, read without decoding the whole.

use serde::Deserialize;

use crate::ports::Record;

/// The `seq` of an announcement in any encoding; `None` for a record that is none. Every published schema has it as
/// its first field, which a test holds, so that no schema is needed to find it.
pub fn sequence_number(record: &Record) -> Option<i64> {
    sequence_of(record.payload.as_deref()?)
}

/// The `seq` that a body begins with; see [`sequence_number`].
pub fn sequence_of(body: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: i64,
    }
    match body {
        [0, _, _, _, _, datum @ ..] => first_long(datum),
        [0xc3, 0x01, rest @ ..] => first_long(rest.get(8..)?),
        body @ [b'{', ..] => serde_json::from_slice(body).ok().map(|Numbered { seq }| seq),
        _ => None,
    }
    .filter(|seq| *seq > 0)
}

/// An Avro long: seven bits a byte, the lowest first, zigzag.
fn first_long(datum: &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for (index, byte) in datum.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::domain::announce::{Announcement, AnnouncementBody};
    use crate::domain::event::{Cause, EventType, Trace};
    use crate::domain::stock::Level;
    use crate::domain::words::{StockKey, Timestamp};
    use crate::ports::{OutboxBatch, Position};
    use crate::wire::encode::Encoder;
    use crate::wire::schemas::KnownSchemas;
    use crate::wire::topics::{OutputType, Topics};

    fn record(payload: Option<Vec<u8>>) -> Record {
        let position = Position { topic: "low-stock".into(), partition: 0, offset: 0 };
        Record { position, key: None, headers: Vec::new(), payload, timestamp: None }
    }

    fn batch(first_seq: i64) -> OutboxBatch {
        let cause =
            Cause { event_type: EventType::StockReceived, id: "e".into(), source: "shop".into(), reference: None };
        let body = AnnouncementBody::LowStock {
            key: StockKey::new("A", "default"),
            version: 3,
            level: Level::Low,
            previous_level: Level::Normal,
            available: 2,
            warning_threshold: 5,
            critical_threshold: 1,
        };
        let announcement = Announcement { cause: Arc::new(cause), trace: Trace::default(), body };
        OutboxBatch {
            number: 1,
            first_seq,
            recorded_at: Timestamp(1),
            announcements: vec![announcement],
            dead_letters: Vec::new(),
        }
    }

    #[test]
    fn the_number_is_found_in_every_encoding() {
        let topics = Arc::new(Topics::new("", &BTreeMap::new(), "").unwrap());
        let schemas = KnownSchemas::load();
        for seq in [1, 63, 64, 8_191, 8_192, 1 << 40, i64::MAX - 1] {
            let json = Encoder::json(topics.clone(), "holdfast").encode(&batch(seq));
            assert_eq!(sequence_number(&record(json[0].payload.clone())), Some(seq));
            let avro = Encoder::avro(topics.clone(), "holdfast", &schemas).encode(&batch(seq));
            assert_eq!(sequence_number(&record(avro[0].payload.clone())), Some(seq));
            let datum = &avro[0].payload.as_deref().unwrap()[10..];
            let registered = [&[0, 0, 0, 0, 7][..], datum].concat();
            assert_eq!(sequence_number(&record(Some(registered))), Some(seq));
        }
    }

    #[test]
    fn what_is_no_announcement_has_no_number() {
        for payload in [&b""[..], b"{}", b"{\"seq\":\"1\"}", b"\xc3\x01", b"\0\0\0\0\x01", b"text", b"\0\0\0\0\x01\xff"]
        {
            assert_eq!(sequence_number(&record(Some(payload.to_vec()))), None, "{payload:?}");
        }
        let endless = [&[0; 5][..], &[0xff; 20]].concat();
        assert_eq!(sequence_number(&record(Some(endless))), None);
        assert_eq!(sequence_number(&record(None)), None);
    }

    #[test]
    fn every_published_schema_begins_with_the_number() {
        for output in OutputType::ALL {
            let path = format!("{}/schemas/{}.avsc", env!("CARGO_MANIFEST_DIR"), output.as_str());
            let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let first = &schema["fields"][0];
            assert_eq!((&first["name"], &first["type"]), (&"seq".into(), &"long".into()), "{}", output.as_str());
        }
    }
}
