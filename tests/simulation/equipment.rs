//! What workers are built with and never change: made once, since schemas take longer to read than a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast::metrics::Metrics;
use holdfast::wire::decode::Decoder;
use holdfast::wire::encode::Encoder;
use holdfast::wire::schemas::KnownSchemas;
use holdfast::wire::topics::Topics;

/// Bodies above this are refused unread. Everything well formed is far below it.
pub const MAX_EVENT_BYTES: usize = 10_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Equipment {
    /// The topics.
    pub topics: Arc<Topics>,
    /// Reads events.
    pub decoder: Arc<Decoder>,
    /// Writes announcements.
    pub encoder: Encoder,
    /// Counts what nobody looks at here.
    pub metrics: Metrics,
}

impl Equipment {
    /// Reads what is to be read.
    pub fn new() -> Self {
        let topics = Arc::new(Topics::new("", &BTreeMap::new(), "").expect("the names of the contract are legal"));
        let schemas = Arc::new(KnownSchemas::load());
        Self {
            decoder: Arc::new(Decoder::new(topics.clone(), schemas, None, MAX_EVENT_BYTES)),
            encoder: Encoder::json(topics.clone(), "holdfast"),
            metrics: Metrics::new(),
            topics,
        }
    }
}
