//! Events as the text of a stream.

use axum::body::Bytes;
use serde_json::json;

use crate::ports::OutboxBatch;
use crate::wire::shown::Showcase;
use crate::wire::topics::OutputType;

/// How long a browser waits before it reconnects, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// What is published behind one batch up to another.
pub(super) struct Stretch {
    /// The batch behind which it begins.
    pub(super) behind: i64,
    /// The batch with which it ends.
    pub(super) number: i64,
    /// Its announcements, in order.
    pub(super) frames: Vec<Frame>,
}

/// One announcement.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) seq: i64,
    pub(super) event_type: OutputType,
    pub(super) text: Bytes,
}

impl Stretch {
    /// The stretch that ends with the last of these batches, which follow `behind` without a hole.
    pub(super) fn of(showcase: &Showcase, behind: i64, batches: &[OutboxBatch]) -> Self {
        let events = batches.iter().flat_map(|batch| showcase.show(batch));
        let frames = events.map(|event| Frame {
            seq: event.seq,
            event_type: event.event_type,
            text: format!("id: {}\nevent: {}\ndata: {}\n\n", event.seq, event.event_type.as_str(), event.text).into(),
        });
        Self { behind, number: batches.last().map_or(behind, |batch| batch.number), frames: frames.collect() }
    }

    /// Nothing, at a batch: tells streams that publishing has come so far.
    pub(super) fn at(number: i64) -> Self {
        Self { behind: number, number, frames: Vec::new() }
    }
}

/// What a stream begins with. A reader that named no number is given the one that it would go on from.
pub(super) fn greeting(seq: Option<i64>) -> Bytes {
    let id = seq.map(|seq| format!("id: {seq}\n")).unwrap_or_default();
    format!("retry: {RETRY_MS}\n{id}\n").into()
}

/// What keeps a quiet connection open. A number stands in it when the reader has passed announcements that it did not
/// ask for: it need not go through them again.
pub(super) fn heartbeat(seq: Option<i64>) -> Bytes {
    let id = seq.map(|seq| format!("id: {seq}\n")).unwrap_or_default();
    format!(": heartbeat\n{id}\n").into()
}

/// The end of a stream that cannot go on without a hole.
pub(super) fn gone(seq: i64) -> Bytes {
    let detail = format!("what follows {seq} is not kept any more: read the stock anew");
    let body = json!({ "type": "about:blank", "title": "Gone", "status": 410, "code": "INV_001", "detail": detail });
    format!("event: gone\ndata: {body}\n\n").into()
}
