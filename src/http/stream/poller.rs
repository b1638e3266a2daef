//! One look at the outbox for all streams.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::frame::Stretch;
use super::{EventStream, PAGE};
use crate::ports::{Queries, QueryError};

/// How often the store is asked while somebody reads: one question by key, and nobody sees the delay.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long the store is left alone after it did not answer.
const AWAY_INTERVAL: Duration = Duration::from_secs(1);

impl EventStream {
    /// Hands what is published to every stream until `stop` is set. Asks nothing while there is no stream.
    pub async fn poll<Q: Queries>(self: Arc<Self>, queries: Q, stop: CancellationToken) {
        let mut position = None;
        let mut away = false;
        while stop.run_until_cancelled(self.until_wanted(&mut position)).await.is_some() {
            let Some(looked) = stop.run_until_cancelled(self.look(&queries, &mut position)).await else { return };
            let pause = match looked {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL_INTERVAL,
                Err(_) => AWAY_INTERVAL,
            };
            // Streams stay open meanwhile: they go on where they are.
            match &looked {
                Err(error) if !away => tracing::warn!(%error, "the outbox cannot be read; streams wait"),
                Ok(_) if away => tracing::info!("the outbox can be read again"),
                _ => {}
            }
            away = looked.is_err();
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Returns at once while there are streams. The place is forgotten when there are none.
    async fn until_wanted(&self, position: &mut Option<i64>) {
        while self.live.receiver_count() == 0 {
            *position = None;
            self.wanted.notified().await;
        }
    }

    /// Hands on the next stretch; whether there was one. Cancel-safe: the position moves last.
    async fn look<Q: Queries>(&self, queries: &Q, position: &mut Option<i64>) -> Result<bool, QueryError> {
        let Some(number) = *position else {
            let mark = queries.published_mark().await?;
            self.hand_on(Stretch::at(mark.number));
            *position = Some(mark.number);
            return Ok(false);
        };
        if queries.published_mark().await?.number <= number {
            return Ok(false);
        }
        let batches = queries.published_behind(number, PAGE).await?;
        if batches.is_empty() {
            // Emptied under a place that is far behind: streams find out for themselves when they hear of the mark.
            *position = None;
            return Ok(true);
        }
        let stretch = Stretch::of(&self.showcase, number, &batches);
        let reached = stretch.number;
        self.hand_on(stretch);
        *position = Some(reached);
        Ok(true)
    }

    fn hand_on(&self, stretch: Stretch) {
        // Nobody reads any more: then nobody misses it.
        let _ = self.live.send(Arc::new(stretch));
    }
}
