//! Carries announcements from the worker's stream to the view.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::DemoError;
use super::sidecar::SidecarClient;

/// The wait before a stream that ended is taken up again.
const PAUSE: Duration = Duration::from_millis(50);

/// Carries every announcement from the first one on until `stop` is set or nobody wants them. A stream that the worker
/// ends, as it does every few minutes, is taken up where it was.
///
/// # Errors
/// See [`DemoError`].
pub(super) async fn listen(
    client: SidecarClient,
    sender: mpsc::Sender<Value>,
    stop: CancellationToken,
) -> Result<(), DemoError> {
    stop.run_until_cancelled(carry(client, sender)).await.unwrap_or(Ok(()))
}

async fn carry(client: SidecarClient, sender: mpsc::Sender<Value>) -> Result<(), DemoError> {
    let mut last = 0;
    loop {
        let mut stream = client.listen(last).await?;
        while let Some((seq, announcement)) = stream.next().await? {
            last = seq;
            if sender.send(announcement).await.is_err() {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
