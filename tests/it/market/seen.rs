//! What a subscriber has seen so far.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast::bus::any::AnyTail;
use holdfast::ports::Record;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::worker::installation::DEADLINE;

/// Everything that was read of some topics, in order: `type`, `data`, and of dead letters `reason` and `body`.
pub struct Seen {
    events: Arc<Mutex<Vec<Value>>>,
    count: watch::Receiver<usize>,
}

impl Seen {
    /// Reads for as long as the runtime lives on which this is called.
    pub fn follow(mut tail: AnyTail) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let all = events.clone();
        tokio::spawn(async move {
            while let Some(record) = tail.next().await.expect("the bus should go on") {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(shown(&record));
                counted.send_replace(all.len());
            }
        });
        Self { events, count }
    }

    /// Looks at everything so far.
    pub fn now<T>(&self, look: impl FnOnce(&[Value]) -> T) -> T {
        look(&self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something holds of everything so far.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let mut count = self.count.clone();
        loop {
            count.mark_unchanged();
            if self.now(&holds) {
                return;
            }
            let changed = timeout(DEADLINE, count.changed()).await;
            changed.unwrap_or_else(|_| panic!("never: {what}")).expect("the reader should go on");
        }
    }
}

fn shown(record: &Record) -> Value {
    let header = |names: [&str; 2]| {
        let found = record.headers.iter().find(|(name, _)| names.contains(&name.as_str()));
        found.and_then(|(_, value)| value.as_deref()).map(String::from_utf8_lossy)
    };
    let body = record.payload.as_deref().unwrap_or_default();
    json!({
        // The names on Kafka and the embedded log, and on NATS.
        "type": header(["ce_type", "ce-type"]),
        "data": serde_json::from_slice::<Value>(body).ok(),
        "reason": header(["dead-letter-reason"; 2]),
        "body": String::from_utf8_lossy(body),
    })
}
