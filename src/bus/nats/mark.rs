//! How far publishing has come, written into the stream of announcements together with them: a header of every message
//! that ends a publication, whole or in part. So the stream's last message tells where to go on.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ports::Progress;

/// The header.
const MARK: &str = "Holdfast-Progress";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Who wrote it: another one since our last message means that another relay publishes.
    pub writer: Uuid,
    /// The last publication that is complete.
    #[serde(flatten)]
    pub complete: Option<Complete>,
    /// The last `seq` in the stream. Above that of `complete` where a publication broke off.
    pub reached: i64,
}

/// A publication that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Complete {
    pub installation: Uuid,
    pub batch: i64,
    pub seq: i64,
    /// The sequence of the last dead letter that belongs to it, in their stream; none in marks of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<u64>,
}

impl Mark {
    /// Writes it on a message.
    pub fn write(&self, headers: &mut HeaderMap) {
        let text = serde_json::json!(self).to_string();
        if let Ok(value) = text.parse::<async_nats::HeaderValue>() {
            headers.insert(MARK, value);
        }
    }

    /// Reads it off a message; `None` when there is none, or none that could be ours.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        serde_json::from_str(headers.get(MARK)?.as_str()).ok()
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

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let progress = Progress { installation: Uuid::from_u128(7), batch: 3, seq: 40 };
        let with = |letters| Some(Complete::new(progress, letters));
        let read_back = Some(Progress { seq: 44, ..progress });
        for (complete, read) in [(with(Some(12)), read_back), (with(None), read_back), (None, None)] {
            let mark = Mark { writer: Uuid::from_u128(1), complete, reached: 44 };
            let mut headers = HeaderMap::new();
            mark.write(&mut headers);
            assert_eq!(Mark::read(&headers), Some(mark));
            assert_eq!(mark.progress(), read);
        }
        assert_eq!(Mark::read(&HeaderMap::new()), None);
    }
}
