//! How far publishing has come, as a bus keeps it: the record of Kafka's compacted topic, and the mark that stands in a
//! header of NATS's stream of announcements.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ports::Progress;

/// The body of the record that keeps it on Kafka.
#[derive(Serialize, Deserialize)]
struct Body {
    installation: Uuid,
    batch: i64,
    seq: i64,
}

/// Progress as the body of a record.
pub fn encode_progress(progress: Progress) -> Vec<u8> {
    let Progress { installation, batch, seq } = progress;
    serde_json::json!(Body { installation, batch, seq }).to_string().into_bytes()
}

/// What [`encode_progress`] wrote.
///
/// # Errors
/// When it did not write it.
pub fn decode_progress(body: &[u8]) -> Result<Progress, serde_json::Error> {
    let Body { installation, batch, seq } = serde_json::from_slice(body)?;
    Ok(Progress { installation, batch, seq })
}

/// What the mark says. It stands on every message that ends a publication, whole or in part, so that the stream's last
/// message tells where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who wrote it: another one since our last message means that another relay publishes.
    pub writer: Uuid,
    /// The last publication that is complete.
    pub complete: Option<Complete>,
    /// The last `seq` in the stream. Above that of `complete` where a publication broke off.
    pub reached: i64,
}

/// A publication that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The database whose outbox it is of.
    pub installation: Uuid,
    /// Its number.
    pub batch: i64,
    /// Its last `seq`.
    pub seq: i64,
    /// The sequence of the last dead letter that belongs to it, in their stream; none in marks of earlier versions.
    pub letters: Option<u64>,
}

/// A mark as text: one object, with the fields of what is complete beside the others.
#[derive(Serialize, Deserialize)]
struct MarkText {
    writer: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    letters: Option<u64>,
    reached: i64,
}

impl Mark {
    /// The mark as one line of text.
    pub fn text(&self) -> String {
        let Self { writer, complete, reached } = *self;
        let text = MarkText {
            writer,
            installation: complete.map(|complete| complete.installation),
            batch: complete.map(|complete| complete.batch),
            seq: complete.map(|complete| complete.seq),
            letters: complete.and_then(|complete| complete.letters),
            reached,
        };
        serde_json::json!(text).to_string()
    }

    /// Reads a text; `None` when it is none that could be ours. What says only a part of what is complete is not: taken
    /// for a stream where nothing is, everything would be published again.
    pub fn parse(text: &str) -> Option<Self> {
        let MarkText { writer, installation, batch, seq, letters, reached } = serde_json::from_str(text).ok()?;
        let complete = match (installation, batch, seq, letters) {
            (Some(installation), Some(batch), Some(seq), letters) => {
                Some(Complete { installation, batch, seq, letters })
            }
            (None, None, None, None) => None,
            (_, _, _, _) => return None,
        };
        Some(Self { writer, complete, reached })
    }

    /// How far publishing has come. What stands in the stream beyond the last whole batch counts for `seq`: a database
    /// that never gave that number is behind its sink.
    pub fn progress(&self) -> Option<Progress> {
        let Complete { installation, batch, seq, .. } = self.complete?;
        Some(Progress { installation, batch, seq: seq.max(self.reached) })
    }
}

impl Complete {
    /// A publication, with the sequence of the last dead letter when it was complete.
    pub fn new(progress: Progress, letters: Option<u64>) -> Self {
        let Progress { installation, batch, seq } = progress;
        Self { installation, batch, seq, letters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRESS: Progress = Progress { installation: Uuid::from_u128(7), batch: 3, seq: 40 };

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let with = |letters| Some(Complete::new(PROGRESS, letters));
        let read_back = Some(Progress { seq: 44, ..PROGRESS });
        for (complete, read) in [(with(Some(12)), read_back), (with(None), read_back), (None, None)] {
            let mark = Mark { writer: Uuid::from_u128(1), complete, reached: 44 };
            assert_eq!(Mark::parse(&mark.text()), Some(mark));
            assert_eq!(mark.progress(), read);
        }
    }

    #[test]
    fn marks_of_earlier_versions_are_read_and_damaged_ones_are_not() {
        let id = "00000000-0000-0000-0000-000000000007";
        let earlier = format!(r#"{{"writer":"{id}","installation":"{id}","batch":3,"seq":40,"reached":40}}"#);
        assert_eq!(Mark::parse(&earlier).and_then(|mark| mark.progress()), Some(PROGRESS));
        for damaged in [
            String::new(),
            format!(r#"{{"writer":"{id}"}}"#),
            format!(r#"{{"writer":"{id}","reached":"40"}}"#),
            format!(r#"{{"writer":"{id}","batch":3,"seq":40,"reached":40}}"#),
            format!(r#"{{"writer":"{id}","installation":"{id}","batch":"3","seq":40,"reached":40}}"#),
            format!(r#"{{"writer":"{id}","installation":"","batch":3,"seq":40,"reached":40}}"#),
            format!(r#"{{"writer":"{id}","letters":3,"reached":40}}"#),
        ] {
            assert_eq!(Mark::parse(&damaged), None, "{damaged}");
        }
    }

    #[test]
    fn the_record_of_progress_is_read_as_it_was_written() {
        assert_eq!(decode_progress(&encode_progress(PROGRESS)).ok(), Some(PROGRESS));
        assert!(decode_progress(b"").is_err());
        assert!(decode_progress(br#"{"batch":3,"seq":40}"#).is_err());
    }
}
