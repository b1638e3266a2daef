//! One task a topic: asks the durable consumer for whatever waits, and hands it over.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Client, Message, StatusCode, Subject, Subscriber, jetstream};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::backlog::Waiting;
use super::connection::Link;
use super::error::NatsFailure;
use super::handover::Handover;
use super::message;

/// How long the server remembers a request.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it remembers one.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A request that nothing was heard of for this long is forgotten, by us or by the server.
const SILENCE: Duration = Duration::from_secs(11);
/// The header of a request's end that says how many messages it would still have taken.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";
/// The same in bytes.
const PENDING_BYTES: &str = "Nats-Pending-Bytes";
/// After a refusal.
const PAUSE: Duration = Duration::from_millis(500);
/// What a message may have beside its payload, in bytes: the server counts subject and headers, too.
const ENVELOPE_BYTES: usize = 64 * 1024;
/// The bytes of a request that a message of any size fits into.
const NO_LIMIT: usize = 0;

/// What a puller works with.
pub(super) struct Puller {
    /// The topic as records name it.
    pub topic: Arc<str>,
    /// Its place among the topics.
    pub index: usize,
    /// Its durable consumer.
    pub consumer: PullConsumer,
    /// What messages are read with.
    pub context: Context,
    /// How many messages may wait.
    pub most_waiting: usize,
    /// Where they go.
    pub handover: Arc<Handover>,
    /// What is known of the connection.
    pub link: watch::Receiver<Link>,
    /// Says what goes wrong; `None` when it goes well again.
    pub trouble: watch::Sender<Option<Arc<str>>>,
    /// Ends the task.
    pub closing: CancellationToken,
}

/// What was asked for and has not come.
struct Asked {
    messages: usize,
    /// Until when something must be heard.
    deadline: Instant,
    /// Until when nothing is asked for.
    pause: Instant,
    /// Whether the next message is larger than any request allows. It is asked for alone, however large.
    is_too_large: bool,
}

/// Why the server ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It was answered as far as it goes: the next one may follow at once.
    Usual,
    /// The next message is larger than it allowed.
    TooLarge,
    /// It was not, or cannot be answered: another one would fare no better.
    Refused,
}

/// What ended a wait.
enum Woken {
    Message(Option<Box<Message>>),
    Room,
    Link,
    Silence,
    Closing,
}

impl Puller {
    /// Pulls until it is told to close. What was delivered before that is handed over.
    ///
    /// # Errors
    /// When there is no subscription to be had.
    pub async fn run(mut self, client: Client) -> Result<(), NatsFailure> {
        let doing = format!("pulling from {}", self.topic);
        let inbox: Subject = client.new_inbox().into();
        let mut subscriber = client.subscribe(inbox.clone()).await.map_err(NatsFailure::client(doing.as_str()))?;
        // The server refuses a request that its next message does not fit into. Asked for only when half of it is free.
        let most_bytes = 2 * (client.max_payload() + ENVELOPE_BYTES);
        let now = Instant::now();
        let mut asked = Asked { messages: 0, deadline: now, pause: now, is_too_large: false };
        let mut made = self.link.borrow_and_update().made;
        loop {
            if let Some((messages, bytes)) = self.wish(&asked, most_bytes) {
                match self.consumer.request_batch(request(messages, bytes), inbox.clone()).await {
                    Ok(()) => asked.begin(messages),
                    Err(error) => asked.refused(&self, &error.to_string()),
                }
            }
            match self.wait(&mut subscriber, &asked).await {
                Woken::Message(Some(message)) => self.receive(*message, &mut asked, most_bytes),
                // The subscription is gone only with the client.
                Woken::Message(None) | Woken::Closing => break,
                Woken::Room => {}
                Woken::Link => {
                    let now_made = self.link.borrow_and_update().made;
                    // A new connection: the server has forgotten what was asked for over the old one.
                    if std::mem::replace(&mut made, now_made) != now_made {
                        asked.messages = 0;
                    }
                }
                Woken::Silence => {
                    if asked.messages > 0 {
                        self.complain("the NATS server is silent");
                    }
                    asked.messages = 0;
                }
            }
        }
        // What is in flight comes before the end of the subscription.
        if subscriber.unsubscribe().await.is_ok() {
            while let Some(message) = subscriber.next().await {
                self.receive(message, &mut asked, most_bytes);
            }
        }
        Ok(())
    }

    /// How many messages and bytes to ask for, [`NO_LIMIT`] for any bytes; `None` while enough was asked for, or there is no room.
    fn wish(&self, asked: &Asked, most_bytes: usize) -> Option<(usize, usize)> {
        let (waiting, bytes) = self.handover.held(self.index);
        let wish = self.most_waiting.saturating_sub(waiting + asked.messages);
        let is_low = asked.messages == 0 || asked.messages < self.most_waiting / 4 && wish >= self.most_waiting / 4;
        let has_room = wish > 0 && bytes <= most_bytes / 2;
        let is_time = is_low && has_room && Instant::now() >= asked.pause;
        is_time.then(|| if asked.is_too_large { (1, NO_LIMIT) } else { (wish, most_bytes - bytes) })
    }

    async fn wait(&mut self, subscriber: &mut Subscriber, asked: &Asked) -> Woken {
        let silent = if asked.messages == 0 { asked.pause.max(Instant::now() + PAUSE) } else { asked.deadline };
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Woken::Closing,
            message = subscriber.next() => Woken::Message(message.map(Box::new)),
            () = self.handover.room_made(self.index) => Woken::Room,
            Ok(()) = self.link.changed() => Woken::Link,
            () = sleep_until(silent) => Woken::Silence,
        }
    }

    fn receive(&self, message: Message, asked: &mut Asked, most_bytes: usize) {
        asked.deadline = Instant::now() + SILENCE;
        match message.status {
            None | Some(StatusCode::OK) => {
                asked.messages = asked.messages.saturating_sub(1);
                asked.is_too_large = false;
                self.deliver(message);
            }
            Some(StatusCode::IDLE_HEARTBEAT) => self.settle_down(),
            Some(StatusCode::NO_RESPONDERS) => asked.refused(self, "nobody answers for the consumer"),
            Some(status) => self.end(status, &message, asked, most_bytes),
        }
    }

    /// A request has ended, one way or another.
    fn end(&self, status: StatusCode, message: &Message, asked: &mut Asked, most_bytes: usize) {
        let pending = |name: &str| -> Option<usize> {
            message.headers.as_ref().and_then(|headers| headers.get(name)).and_then(|left| left.as_str().parse().ok())
        };
        let said = message.description.as_deref().unwrap_or_default();
        // A whole message fits into the least that is asked for.
        let has_room = pending(PENDING_BYTES).is_none_or(|left| left >= most_bytes / 2);
        match ending(status, said, has_room) {
            Ending::Refused => return asked.refused(self, said),
            Ending::TooLarge if asked.is_too_large => return asked.refused(self, said),
            Ending::TooLarge => asked.is_too_large = true,
            Ending::Usual => {}
        }
        asked.messages = asked.messages.saturating_sub(pending(PENDING_MESSAGES).unwrap_or(usize::MAX));
    }

    fn deliver(&self, message: Message) {
        let Some(reply) = message.reply.clone() else { return };
        let message = jetstream::Message { message, context: self.context.clone() };
        let info = match message.info() {
            Ok(info) => info,
            // Not from a stream: nobody waits for its acknowledgement.
            Err(error) => return tracing::warn!(topic = %self.topic, %error, "a message that no stream sent"),
        };
        let (sequence, at_end, stored) = (info.stream_sequence, info.pending == 0, message::published(&info));
        let record = message::record(self.topic.clone(), message.message, sequence, stored);
        self.handover.push(self.index, sequence, Waiting { record, stored, reply }, at_end);
        self.settle_down();
    }

    fn settle_down(&self) {
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
    }

    /// Says what goes wrong, and logs it once for as long as it stays the same.
    fn complain(&self, trouble: &str) {
        if self.trouble.borrow().as_deref() != Some(trouble) {
            tracing::warn!(topic = %self.topic, trouble, "pulling from NATS");
            self.trouble.send_replace(Some(trouble.into()));
        }
    }
}

impl Asked {
    fn begin(&mut self, messages: usize) {
        self.messages += messages;
        self.deadline = Instant::now() + SILENCE;
    }

    fn refused(&mut self, puller: &Puller, cause: &str) {
        puller.complain(cause);
        self.messages = 0;
        self.pause = Instant::now() + PAUSE;
    }
}

/// What the end of a request means. `has_room` says whether it would still have taken a message of the usual size.
fn ending(status: StatusCode, said: &str, has_room: bool) -> Ending {
    // The server's words; there is nothing else that tells them apart.
    match (status.as_u16(), said) {
        (408, _) | (409, "Leadership Change" | "Server Shutdown" | "Batch Completed") => Ending::Usual,
        (409, "Message Size Exceeds MaxBytes") if has_room => Ending::TooLarge,
        (409, "Message Size Exceeds MaxBytes") => Ending::Usual,
        _ => Ending::Refused,
    }
}

fn request(messages: usize, bytes: usize) -> BatchConfig {
    BatchConfig {
        batch: messages,
        max_bytes: bytes,
        expires: Some(EXPIRES),
        idle_heartbeat: HEARTBEAT,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_answered_is_asked_for_again_at_once() {
        for (status, said, has_room, expected) in [
            (408, "Request Timeout", true, Ending::Usual),
            (408, "Interest Expired", true, Ending::Usual),
            (409, "Leadership Change", true, Ending::Usual),
            (409, "Server Shutdown", true, Ending::Usual),
            (409, "Batch Completed", true, Ending::Usual),
            (409, "Message Size Exceeds MaxBytes", false, Ending::Usual),
            (409, "Message Size Exceeds MaxBytes", true, Ending::TooLarge),
            (409, "Exceeded MaxRequestBatch of 10", true, Ending::Refused),
            (409, "Exceeded MaxWaiting", true, Ending::Refused),
            (409, "Consumer Deleted", true, Ending::Refused),
            (409, "Consumer is push based", true, Ending::Refused),
            (400, "Bad Request", true, Ending::Refused),
            (404, "No Messages", true, Ending::Refused),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(ending(status, said, has_room), expected, "{status} {said}");
        }
    }
}
