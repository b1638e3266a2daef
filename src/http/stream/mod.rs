//! `GET /api/v1/events/stream`: what is published, as server-sent events.
//!
//! One poller ([`poller`]) reads what the store marks as published and hands it to all streams at once; a stream that
//! begins earlier, or whose reader is slow, reads the pages that it lacks by itself ([`follower`]).

mod follower;
mod frame;
mod poller;

use std::fmt;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

use self::follower::{Follower, Start};
use self::frame::Stretch;
use super::parameters::Parameters;
use super::problem::{Code, Problem};
use super::router::Sidecar;
use crate::ports::{OutboxLimit, OutboxPlace, Queries};
use crate::wire::shown::Showcase;
use crate::wire::topics::OutputType;

/// The most streams at a time. Each keeps a connection for minutes and, when its reader is slow, a page in memory.
pub const MAX_STREAMS: usize = 32;
/// Stretches that wait for the slowest stream that reads along; one that is slower reads the outbox by itself.
const WAITING_STRETCHES: usize = 16;
/// What is read at a time: some megabytes as text.
const PAGE: OutboxLimit = OutboxLimit { batches: 32, announcements: 2_000 };
/// The header with which a browser says what it saw last.
const LAST_EVENT_ID: &str = "last-event-id";

/// What all streams share.
pub struct EventStream {
    showcase: Showcase,
    live: broadcast::Sender<Arc<Stretch>>,
    /// Wakes the poller when a stream begins.
    wanted: Notify,
    places: Arc<Semaphore>,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventStream").field("streams", &self.live.receiver_count()).finish_non_exhaustive()
    }
}

impl EventStream {
    /// At most `streams` at a time.
    pub fn new(showcase: Showcase, streams: usize) -> Self {
        let (live, _) = broadcast::channel(WAITING_STRETCHES);
        Self { showcase, live, wanted: Notify::new(), places: Arc::new(Semaphore::new(streams)) }
    }

    fn take_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let full = |_| Problem::unavailable("too many streams run already; end one, or try again").retry_after(5);
        Arc::clone(&self.places).try_acquire_owned().map_err(full)
    }

    /// Reads along from now on.
    fn follow(&self) -> broadcast::Receiver<Arc<Stretch>> {
        let live = self.live.subscribe();
        self.wanted.notify_one();
        live
    }

    /// What the named topics hold; everything when none is named.
    fn wanted_types(&self, topics: &[String]) -> Result<Vec<OutputType>, Problem> {
        if topics.is_empty() {
            return Ok(OutputType::ALL.to_vec());
        }
        let mut types = Vec::new();
        for topic in topics {
            let on_it = self.showcase.types_on(topic);
            if on_it.is_empty() {
                let known = OutputType::ALL.map(OutputType::as_str).join(", ");
                return Err(Problem::invalid(format!("topic must be one of those that are published: {known}")));
            }
            types.extend(on_it);
        }
        Ok(types)
    }
}

/// `GET /api/v1/events/stream`.
pub(super) async fn stream<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    if sidecar.stop.is_cancelled() {
        return Err(Problem::unavailable("the worker stops; another one will go on").retry_after(5));
    }
    let types = sidecar.stream.wanted_types(&parameters.many("topic"))?;
    let seen = last_event_id(&headers, parameters.one("last_event_id")?)?;
    parameters.done()?;
    let place = sidecar.stream.take_place()?;
    // Whatever is marked after this comes along; whatever was marked before it is read from the outbox.
    let live = sidecar.stream.follow();
    let mark = sidecar.ask(sidecar.queries.published_mark()).await?;
    let start = match seen {
        None => Start { number: mark.number, seq: mark.seq, known: false, published: mark.number },
        Some(seq) => {
            let number = begin(seq, sidecar.ask(sidecar.queries.outbox_place(seq)).await?)?;
            Start { number, seq, known: true, published: mark.number }
        }
    };
    let follower = Follower::new(sidecar, live, types, start, place);
    let frames = stream::unfold(follower, |mut follower| async move {
        let frame: Bytes = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), follower))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response())
}

/// The batch behind which a stream goes on.
fn begin(seq: i64, place: OutboxPlace) -> Result<i64, Problem> {
    let gone = |detail: String| Err(Problem::new(StatusCode::GONE, Code::NotFound, detail));
    match place {
        OutboxPlace::Behind(number) => Ok(number),
        OutboxPlace::Dropped => gone(format!(
            "what follows {seq} is not kept any more: read the stock anew and begin without a last event id"
        )),
        OutboxPlace::NotGiven => gone(format!(
            "{seq} was never published by this database: read the stock anew and begin without a last event id"
        )),
    }
}

/// The number that the reader saw last. The header counts before the parameter: a browser that reconnects sends the
/// newer number in it, to the same address.
fn last_event_id(headers: &HeaderMap, parameter: Option<String>) -> Result<Option<i64>, Problem> {
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").to_owned());
    let Some(text) = header.or(parameter) else { return Ok(None) };
    let seq = text.parse().ok().filter(|seq| *seq >= 0);
    let wrong = || Problem::invalid("the last event id must be the id of an event of this stream, or 0");
    seq.map(Some).ok_or_else(wrong)
}
