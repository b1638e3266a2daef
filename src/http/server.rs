//! Connections: how many, how long, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the head of a request may take, and how long a connection may idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How old a connection grows before it is closed after its running request: one that is not read from must not keep
/// its place for ever.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
/// The wait after the system had no file or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the sidecar cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("the sidecar cannot listen on {address}: {cause}; {remedy}")]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    cause: io::Error,
    remedy: &'static str,
}

impl BindError {
    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }
}

/// How much the sidecar takes at a time.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections; more wait in the system's queue.
    pub max_connections: usize,
    /// How long running requests may go on after the stop.
    pub drain_timeout: Duration,
    /// How long the last request of a connection that grew too old may take.
    pub request_timeout: Duration,
}

/// Takes the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|cause| {
        let remedy = match cause.kind() {
            io::ErrorKind::AddrInUse => "something else listens there: end it, or set http.listen to another port",
            io::ErrorKind::PermissionDenied => "set http.listen to a port above 1023",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address: set http.listen to 127.0.0.1:8080",
            _ => "set http.listen to another address",
        };
        BindError { address, cause, remedy }
    })
}

/// Serves until `stop` is set, then lets running requests end within `drain_timeout`. Returns when every connection
/// is closed.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    while let Some(Ok(place)) = stop.run_until_cancelled(Arc::clone(&places).acquire_owned()).await {
        match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                let connection = Connection { stream, place, limits, stop: stop.clone(), abort: abort.clone() };
                connections.spawn(connection.run(router.clone()));
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time and are cut off");
        abort.cancel();
        connections.wait().await;
    }
}

struct Connection {
    stream: TcpStream,
    /// Given back when the connection ends.
    place: OwnedSemaphorePermit,
    limits: ServerLimits,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Connection {
    async fn run(self, router: Router) {
        let Self { stream, place: _place, limits, stop, abort } = self;
        let service = TowerToHyperService::new(router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // How a connection ended is the caller's affair: they went away, or sent no HTTP.
        let last_timeout = tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => limits.drain_timeout,
            () = tokio::time::sleep(MAX_CONNECTION_AGE) => limits.request_timeout.saturating_mul(2),
        };
        connection.as_mut().graceful_shutdown();
        let last = tokio::time::timeout(last_timeout, connection);
        let _ = abort.run_until_cancelled(last).await;
    }
}
