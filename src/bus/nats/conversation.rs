//! Publications and the answers to them, many at a time.

use std::collections::VecDeque;

use async_nats::{Client, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde::Deserialize;

use crate::ports::SinkError;

use super::message::Outgoing;

/// Messages that are sent without waiting for the answer to the one before. Traps: an acknowledgement that is not
/// awaited loses errors, so every message has its number and every number is waited for.
#[derive(Debug)]
pub(super) struct Conversation {
    inbox: String,
    answers: Subscriber,
    most: usize,
    sent: u64,
    /// Numbers without an answer, in the order of sending.
    waiting: VecDeque<u64>,
}

/// What a stream says to a message.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// Where it stands.
    pub seq: Option<u64>,
    /// Whether its id was known, so that it was not stored again.
    #[serde(default)]
    pub duplicate: bool,
    /// Why it was not stored.
    pub error: Option<Complaint>,
}

/// Why a message was not stored.
#[derive(Debug, Deserialize)]
pub(super) struct Complaint {
    /// The server's number for it.
    pub err_code: u64,
    /// In words.
    pub description: String,
}

impl Conversation {
    /// Begins one with at most so many unanswered messages.
    pub async fn begin(client: &Client, most: usize) -> Result<Self, SinkError> {
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|error| unclear(&error.to_string()))?;
        Ok(Self { inbox, answers, most, sent: 0, waiting: VecDeque::new() })
    }

    /// Whether an answer has to come before the next message may go.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.most
    }

    /// Whether every message was answered.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many messages have no answer.
    pub fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a message; the first has number 0, and one that cannot be sent has a number as well.
    pub async fn say(&mut self, client: &Client, message: Outgoing) -> Result<(), SinkError> {
        let Outgoing { subject, headers, payload } = message;
        let number = self.sent;
        self.sent += 1;
        let reply = format!("{}.{number}", self.inbox);
        let sent = client.publish_with_reply_and_headers(subject, reply, headers, payload.into()).await;
        sent.map_err(|error| too_large_or_unclear(&error.to_string()))?;
        self.waiting.push_back(number);
        Ok(())
    }

    /// Waits for the next answer, and says which message it is for. Cancel-safe.
    pub async fn hear(&mut self) -> (u64, Result<Answer, SinkError>) {
        loop {
            let Some(message) = self.answers.next().await else {
                return (self.waiting.pop_front().unwrap_or_default(), Err(unclear("the NATS client ended")));
            };
            let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
            let place = number.and_then(|number: u64| self.waiting.iter().position(|waiting| *waiting == number));
            // Nobody else knows the inbox; an answer that nothing waits for came twice.
            let Some(number) = place.and_then(|place| self.waiting.remove(place)) else { continue };
            let answer = match message.status {
                Some(StatusCode::NO_RESPONDERS) => Err(unclear("no stream takes the message; is JetStream away?")),
                _ => serde_json::from_slice(&message.payload)
                    .map_err(|error| unclear(&format!("the NATS server gave an answer that is none: {error}"))),
            };
            return (number, answer);
        }
    }
}

/// A message that the server does not take, or one that may have come through.
pub(super) fn too_large_or_unclear(said: &str) -> SinkError {
    match said.contains("max payload") {
        true => {
            SinkError::TooLarge(format!("a record is larger than the server takes ({said}); raise its max_payload"))
        }
        false => unclear(said),
    }
}

/// It may or may not have been published.
pub(super) fn unclear(said: &str) -> SinkError {
    SinkError::Unclear(said.to_owned())
}
