//! The demo's way into the worker: the same requests that any other caller sends to the sidecar.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::error::DemoError;

/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest event of the stream: an answer about every SKU of the shop, many times over.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// A worker's sidecar.
#[derive(Clone, Debug)]
pub(super) struct SidecarClient {
    http: Client,
    address: String,
}

#[derive(Deserialize)]
struct Handled {
    outcome: String,
}

impl SidecarClient {
    /// The sidecar at an address such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When the system has no client for it.
    pub fn new(address: String) -> Result<Self, DemoError> {
        // The system's proxies are for the world outside, not for this machine.
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { http, address })
    }

    /// Whether the worker is ready to take events.
    pub async fn is_ready(&self) -> bool {
        let asked = self.http.get(format!("{}/readyz", self.address)).timeout(REQUEST_TIMEOUT).send().await;
        asked.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Hands events in; returns how each of them ended.
    ///
    /// # Errors
    /// When the worker did not answer or refused the request. The same events can be handed in again: their ids tell.
    pub async fn hand_in(&self, events: &[Value]) -> Result<Vec<String>, DemoError> {
        let request = self.http.post(format!("{}/api/v1/events", self.address)).timeout(REQUEST_TIMEOUT).json(events);
        let handled: Vec<Handled> = expect_ok(request.send().await?).await?.json().await?;
        Ok(handled.into_iter().map(|event| event.outcome).collect())
    }

    /// Listens to what is published after a number; 0 is the beginning.
    ///
    /// # Errors
    /// When the worker did not answer or refused the request.
    pub async fn listen(&self, behind: i64) -> Result<Announcements, DemoError> {
        let request = self.http.get(format!("{}/api/v1/events/stream", self.address)).header("last-event-id", behind);
        let response = expect_ok(request.send().await?).await?;
        Ok(Announcements { response, unread: Vec::new(), read_to: 0 })
    }
}

async fn expect_ok(response: Response) -> Result<Response, DemoError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(DemoError::Refused { status, body: response.text().await.unwrap_or_default() }),
    }
}

/// What is published, as it comes.
#[derive(Debug)]
pub(super) struct Announcements {
    response: Response,
    unread: Vec<u8>,
    /// How far `unread` was looked through for the end of a line.
    read_to: usize,
}

impl Announcements {
    /// The next announcement as a structured CloudEvent with its number; nothing when the worker ended the stream, which
    /// it does every few minutes. Cancel-safe: what was received stays.
    ///
    /// # Errors
    /// When the connection broke or what came is no announcement.
    pub async fn next(&mut self) -> Result<Option<(i64, Value)>, DemoError> {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(data) = line.strip_prefix("data:") {
                    return announcement(data).map(Some);
                }
            }
            if self.unread.len() > MAX_EVENT_BYTES {
                return Err(DemoError::Stream(format!("a line is longer than {MAX_EVENT_BYTES} bytes")));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.unread.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let Some(length) = self.unread[self.read_to..].iter().position(|byte| *byte == b'\n') else {
            self.read_to = self.unread.len();
            return None;
        };
        let rest = self.unread.split_off(self.read_to + length + 1);
        let line = std::mem::replace(&mut self.unread, rest);
        self.read_to = 0;
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn announcement(data: &str) -> Result<(i64, Value), DemoError> {
    let event: Value = serde_json::from_str(data).map_err(|error| DemoError::Stream(error.to_string()))?;
    // What has no number is a problem that the worker tells of in the stream.
    let seq = event["data"]["seq"].as_i64().ok_or_else(|| DemoError::Stream(data.to_owned()))?;
    Ok((seq, event))
}
