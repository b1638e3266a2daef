//! Messages into one stream, each behind the one that must stand before it.

use std::time::Duration;

use async_nats::{Client, HeaderValue, header};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::ports::SinkError;

use super::conversation::{Answer, Complaint, Conversation, too_large_or_unclear, unclear};
use super::message::Outgoing;

/// How many messages one atomic batch holds; traps: a server takes no more than 1,000.
const ATOMIC_MESSAGES: usize = 1_000;
/// From how many messages on a batch is atomic. The server writes it apart first and syncs that, which takes some 10 ms
/// more than the messages alone; measured, it costs nothing beside a thousand messages, and ten times the rest for thirty.
const ATOMIC_FROM: usize = 500;
/// What publishing adds to the headers of a message at most.
const ADDED_BYTES: usize = 1_024;
/// How many publications wait for their acknowledgement at a time.
const IN_FLIGHT: usize = 512;

/// A stream that this sink alone writes, as far as it knows.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its name.
    pub stream: String,
    /// The sequence of its last message; `None` when it does not matter what stands before.
    pub last: Option<u64>,
    /// Whether it takes several messages as one.
    pub is_atomic: bool,
    /// Whether each message waits for the answer to the one before. That keeps the order however much of them the stream
    /// holds already, where no sequence is expected.
    pub one_by_one: bool,
    /// The largest message that it takes, in bytes with headers.
    pub largest: usize,
}

/// What went wrong, by what is known of the stream.
#[derive(Debug)]
pub(super) enum Refused {
    /// Somebody wrote to it, or an answer was lost: read its end.
    Moved(String),
    /// As it says.
    Other(SinkError),
}

impl From<SinkError> for Refused {
    fn from(error: SinkError) -> Self {
        Self::Other(error)
    }
}

impl Lane {
    /// Looks whether the stream takes each of these, before any is on its way: a part that is there already would stand
    /// there twice once what is too large was made smaller.
    pub fn demand_room(&self, messages: &[Outgoing]) -> Result<(), SinkError> {
        let most = self.largest.saturating_sub(ADDED_BYTES);
        let Some(large) = messages.iter().find(|message| message.bytes() > most) else { return Ok(()) };
        let (stream, subject, bytes) = (&self.stream, &large.subject, large.bytes());
        Err(SinkError::TooLarge(format!(
            "a record of {bytes} bytes to {subject} is larger than stream {stream} takes, which is {most}; raise \
             max_payload of the server, and max_msg_size of the stream where it has one"
        )))
    }

    /// Publishes messages in order and returns when each is confirmed. `finish` is called on each message that ends a
    /// part of them which the stream holds whole or not at all, with the number of messages up to there. Not
    /// cancel-safe.
    pub async fn publish(
        &mut self,
        client: &Client,
        mut messages: Vec<Outgoing>,
        finish: impl Fn(&mut Outgoing, usize),
        patience: Duration,
    ) -> Result<(), Refused> {
        let deadline = Instant::now() + patience;
        let mut done = 0;
        while !messages.is_empty() {
            let size = messages.len().min(ATOMIC_MESSAGES);
            let is_whole = self.is_atomic && size >= ATOMIC_FROM;
            let mut part: Vec<Outgoing> = messages.drain(..if is_whole { size } else { messages.len() }).collect();
            let before = done;
            done += part.len();
            if !is_whole {
                part.iter_mut().zip(before + 1..).for_each(|(message, count)| finish(message, count));
                self.publish_singly(client, part, deadline).await?;
                continue;
            }
            if let Some(last) = part.last_mut() {
                finish(last, done);
            }
            self.publish_whole(client, part, deadline).await?;
        }
        Ok(())
    }

    /// All or none.
    async fn publish_whole(
        &mut self,
        client: &Client,
        mut messages: Vec<Outgoing>,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let batch = Uuid::new_v4().simple().to_string();
        if let (Some(first), Some(last)) = (messages.first_mut(), self.last) {
            first.headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last));
        }
        let size = messages.len();
        for (index, mut message) in messages.into_iter().enumerate() {
            message.headers.insert(header::NATS_EXPECTED_STREAM, self.stream.as_str());
            message.headers.insert(header::NATS_BATCH_ID, batch.as_str());
            message.headers.insert(header::NATS_BATCH_SEQUENCE, HeaderValue::from(index as u64 + 1));
            if index + 1 < size {
                let Outgoing { subject, headers, payload } = message;
                let sent = client.publish_with_headers(subject, headers, payload.into());
                match timeout_at(deadline, sent).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(too_large_or_unclear(&error.to_string()).into()),
                    Err(_) => return Err(unclear("the NATS server takes nothing").into()),
                }
            } else {
                message.headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_FINAL);
                let mut conversation = Conversation::begin(client, 1).await?;
                conversation.say(client, message).await?;
                self.hear(&mut conversation, deadline).await?;
            }
        }
        Ok(())
    }

    /// One after the other, without waiting for the answer to one before the next is sent. So each but the first also
    /// names the id that must stand before it: where another relay has written meanwhile, the sequence alone would fit
    /// again for some later message, and leave a hole before it. Where no sequence is expected, the id keeps what comes
    /// behind a message that was refused from standing before it once it is sent again.
    async fn publish_singly(
        &mut self,
        client: &Client,
        messages: Vec<Outgoing>,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let most = if self.one_by_one { 1 } else { IN_FLIGHT };
        let mut conversation = Conversation::begin(client, most).await?;
        let mut expected = self.last;
        let mut before: Option<HeaderValue> = None;
        for mut message in messages {
            message.headers.insert(header::NATS_EXPECTED_STREAM, self.stream.as_str());
            if let Some(last) = expected {
                message.headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last));
                expected = Some(last + 1);
            }
            if let Some(before) = before.take().filter(|_| !self.one_by_one) {
                message.headers.insert(header::NATS_EXPECTED_LAST_MESSAGE_ID, before);
            }
            before = message.headers.get(header::NATS_MESSAGE_ID).cloned();
            while conversation.is_full() {
                self.hear(&mut conversation, deadline).await?;
            }
            match timeout_at(deadline, conversation.say(client, message)).await {
                Ok(said) => said?,
                Err(_) => return Err(unclear("the NATS server takes nothing").into()),
            }
        }
        while !conversation.is_over() {
            self.hear(&mut conversation, deadline).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, conversation: &mut Conversation, deadline: Instant) -> Result<(), Refused> {
        let answer = match timeout_at(deadline, conversation.hear()).await {
            Ok((_, answer)) => answer?,
            Err(_) => return Err(unclear("a message may or may not have been taken: no answer in time").into()),
        };
        let sequence = self.judge(answer)?;
        self.last = self.last.and(Some(sequence));
        Ok(())
    }

    /// The sequence of a message that the stream holds now.
    fn judge(&self, answer: Answer) -> Result<u64, Refused> {
        let stream = &self.stream;
        let Answer { seq, duplicate, error } = answer;
        let Some(Complaint { err_code, description }) = error else {
            return match seq {
                Some(_) if duplicate && self.last.is_some() => {
                    Err(Refused::Moved(format!("stream {stream} held a message already")))
                }
                Some(sequence) => Ok(sequence),
                None => Err(unclear(&format!("stream {stream} gave an answer without a sequence")).into()),
            };
        };
        let said = format!("stream {stream}: {description}");
        match err_code {
            // Wrong last sequence, in two wordings; wrong last message id; a message id that is known.
            10_070 | 10_071 | 10_164 | 10_201 => Err(Refused::Moved(said)),
            10_054 => Err(SinkError::TooLarge(format!("{said}; raise max_msg_size of the stream")).into()),
            10_060 => Err(SinkError::Fatal(format!("{said}; another stream has its subjects")).into()),
            10_174 => Err(SinkError::Fatal(format!("{said}; compare the stream with: holdfast topics check")).into()),
            _ => Err(unclear(&said).into()),
        }
    }
}
