//! The demo's way into the worker: the same requests that any other caller sends to the sidecar.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

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
    pub fn new(address: String) -> Result<Self, reqwest::Error> {
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
    /// A sentence when the worker did not answer or refused the request. The same events can be handed in again: their
    /// ids tell.
    pub async fn hand_in(&self, events: &[Value]) -> Result<Vec<String>, String> {
        let request = self.http.post(format!("{}/api/v1/events", self.address)).timeout(REQUEST_TIMEOUT).json(events);
        let response = request.send().await.map_err(|error| error.to_string())?;
        let response = expect_ok(response).await?;
        let handled: Vec<Handled> = response.json().await.map_err(|error| error.to_string())?;
        Ok(handled.into_iter().map(|event| event.outcome).collect())
    }

    /// Listens to what is published, from the first announcement on.
    ///
    /// # Errors
    /// A sentence when the worker did not answer or refused the request.
    pub async fn listen(&self) -> Result<Announcements, String> {
        let request = self.http.get(format!("{}/api/v1/events/stream", self.address)).header("last-event-id", "0");
        let response = request.send().await.map_err(|error| error.to_string())?;
        Ok(Announcements { response: expect_ok(response).await?, unread: Vec::new(), read_to: 0 })
    }
}

async fn expect_ok(response: Response) -> Result<Response, String> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    Err(format!("the worker answered {status}: {body}"))
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
    /// The next announcement as a structured CloudEvent; nothing when the worker ended the stream. Cancel-safe: what
    /// was received stays.
    ///
    /// # Errors
    /// A sentence when the connection broke or what came is no stream of events.
    pub async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(data) = line.strip_prefix("data:") {
                    return serde_json::from_str(data).map(Some).map_err(|error| error.to_string());
                }
            }
            if self.unread.len() > MAX_EVENT_BYTES {
                return Err(format!("a line of the stream is longer than {MAX_EVENT_BYTES} bytes"));
            }
            match self.response.chunk().await.map_err(|error| error.to_string())? {
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
