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
        let Complete { installation, batch, seq } = self.complete?;
        Some(Progress { installation, batch, seq: seq.max(self.reached) })
    }
}

impl From<Progress> for Complete {
    fn from(progress: Progress) -> Self {
        let Progress { installation, batch, seq } = progress;
        Self { installation, batch, seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let progress = Progress { installation: Uuid::from_u128(7), batch: 3, seq: 40 };
        for (complete, read) in [(Some(progress.into()), Some(Progress { seq: 44, ..progress })), (None, None)] {
            let mark = Mark { writer: Uuid::from_u128(1), complete, reached: 44 };
            let mut headers = HeaderMap::new();
            mark.write(&mut headers);
            assert_eq!(Mark::read(&headers), Some(mark));
            assert_eq!(mark.progress(), read);
        }
        assert_eq!(Mark::read(&HeaderMap::new()), None);
    }
}
