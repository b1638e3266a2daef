//! What SIGTERM and Ctrl-C do.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::Failure;

/// Waits for signals. The first sets `stop`; where the command drains, it goes on until a second one. Returns when the
/// command is to be ended as it is.
pub(super) async fn watch(stop: CancellationToken, drains: bool) -> Failure {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return Failure::Failed(format!("signals cannot be received: {error}")),
    };
    let name = either(&mut terminate, &mut interrupt).await;
    stop.cancel();
    if !drains {
        return Failure::Failed(format!("ended by {name}"));
    }
    tracing::info!(signal = name, "ending in good order; a second signal ends it at once");
    let name = either(&mut terminate, &mut interrupt).await;
    Failure::Failed(format!("ended at once by a second signal ({name}); what was acknowledged is committed"))
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
