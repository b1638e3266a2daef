//! One stream: where its reader is, and what comes next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::PAGE;
use super::frame::{self, Frame, Stretch};
use crate::http::router::Sidecar;
use crate::ports::Queries;
use crate::wire::topics::OutputType;

/// How long a stream is silent: well below the half minute after which proxies give a connection up.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// How old a stream grows before it ends and its reader reconnects: younger than the connection, which the server
/// closes when it is old, so that the end is a clean one.
const MAX_STREAM_AGE: Duration = Duration::from_secs(240);

/// Where a stream begins.
pub(super) struct Start {
    /// The last batch that the reader has.
    pub(super) number: i64,
    /// The last `seq` that the reader has; it may stand inside of the next batch.
    pub(super) seq: i64,
    /// Whether the reader knows that number.
    pub(super) known: bool,
    /// The last batch that was published before the stream began to read along.
    pub(super) published: i64,
}

/// One stream. What is not asked for is not read, so that a slow reader holds one page and no more.
pub(super) struct Follower<Q> {
    sidecar: Arc<Sidecar<Q>>,
    live: Receiver<Arc<Stretch>>,
    types: Vec<OutputType>,
    /// The last batch that is shown or waits in `frames`.
    number: i64,
    /// The last `seq` that is shown or waits in `frames`.
    seq: i64,
    /// The last `seq` that the reader was told.
    told: i64,
    /// The batch up to which the outbox is to be read, because it was published before this stream read along.
    published: i64,
    frames: VecDeque<Bytes>,
    /// When the reader was last sent anything.
    heard_at: Instant,
    /// A live stretch that begins behind what was read so far.
    waiting: Option<Arc<Stretch>>,
    ended: bool,
    ends_at: Instant,
    /// Given back when the stream ends.
    _place: OwnedSemaphorePermit,
}

impl<Q: Queries> Follower<Q> {
    pub(super) fn new(
        sidecar: Arc<Sidecar<Q>>,
        live: Receiver<Arc<Stretch>>,
        types: Vec<OutputType>,
        start: Start,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let Start { number, seq, known, published } = start;
        let frames = VecDeque::from([frame::greeting((!known).then_some(seq))]);
        let ends_at = Instant::now() + MAX_STREAM_AGE;
        let waiting = None;
        Self {
            sidecar,
            live,
            types,
            number,
            seq,
            told: seq,
            published,
            frames,
            heard_at: Instant::now(),
            waiting,
            ended: false,
            ends_at,
            _place: place,
        }
    }

    /// The next piece of text; `None` at the end of the stream, which is soon after a stop however much there is to be
    /// shown.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.sidecar.stop.is_cancelled() {
                return None;
            }
            if let Some(frame) = self.frames.pop_front() {
                self.heard_at = Instant::now();
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            let now = Instant::now();
            if now >= self.ends_at {
                // Its last word is how far it came, so that a reader who wants little of much still gets on.
                self.ended = true;
                self.tell_place();
            } else if now >= self.heard_at + HEARTBEAT_INTERVAL {
                self.tell_place();
            } else if self.number < self.published {
                self.read_page().await?;
            } else if let Some(stretch) = self.waiting.take() {
                self.take(&stretch);
            } else {
                self.listen().await?;
            }
        }
    }

    /// Tells the reader that the stream lives, and how far it came where nothing of that was asked for.
    fn tell_place(&mut self) {
        let passed = (self.seq > self.told).then_some(self.seq);
        self.told = self.seq;
        self.frames.push_back(frame::heartbeat(passed));
    }

    /// Waits for what is published, until a heartbeat or the end is due. `None` when nothing more comes.
    async fn listen(&mut self) -> Option<()> {
        let stop = self.sidecar.stop.clone();
        let until = (self.heard_at + HEARTBEAT_INTERVAL).min(self.ends_at);
        let waiting = tokio::time::timeout_at(until, self.live.recv());
        match stop.run_until_cancelled(waiting).await? {
            Ok(Ok(stretch)) if stretch.number <= self.number => {}
            Ok(Ok(stretch)) => {
                self.published = stretch.behind;
                self.waiting = Some(stretch);
            }
            // The next stretch tells from where on; what lies between is read from the outbox.
            Ok(Err(RecvError::Lagged(_))) => {}
            Ok(Err(RecvError::Closed)) => return None,
            // Something is due.
            Err(_) => {}
        }
        Some(())
    }

    /// Reads what lies between the reader and what comes along. `None` when it cannot be read now: the stream ends and
    /// its reader comes back.
    async fn read_page(&mut self) -> Option<()> {
        let sidecar = Arc::clone(&self.sidecar);
        let asking = sidecar.ask(sidecar.queries.published_behind(self.number, PAGE));
        let batches = sidecar.stop.run_until_cancelled(asking).await?.ok()?;
        if batches.is_empty() {
            self.frames.push_back(frame::gone(self.seq));
            self.ended = true;
        } else {
            self.take(&Stretch::of(&sidecar.stream.showcase, self.number, &batches));
        }
        Some(())
    }

    /// Takes of a stretch what the reader asked for and does not have.
    fn take(&mut self, stretch: &Stretch) {
        let wanted = |frame: &&Frame| frame.seq > self.seq && self.types.contains(&frame.event_type);
        self.frames.extend(stretch.frames.iter().filter(wanted).map(|frame| frame.text.clone()));
        if let Some(last) = stretch.frames.iter().rev().find(wanted) {
            self.told = last.seq;
        }
        self.seq = stretch.frames.last().map_or(self.seq, |frame| frame.seq.max(self.seq));
        self.number = self.number.max(stretch.number);
    }
}
