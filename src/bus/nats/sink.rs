//! Announcements to NATS JetStream.

use std::collections::HashMap;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, HeaderMap, header};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::ports::{OutputRecord, Progress, Sink, SinkError};
use crate::wire::nats_names as names;
use crate::wire::progress::{Complete, Mark};
use crate::wire::sequence::sequence_of;

use super::admin::largest_message;
use super::connection::Link;
use super::error::NatsFailure;
use super::mark;
use super::message::{self, Outgoing};
use super::publishing::{Lane, Refused};
use super::settings::NatsSinkSettings;

/// How many dead letters an opening reads at most: more than one publication carries.
const MOST_LETTERS: u64 = 20_000;

/// A writer of the stream of announcements and of that of dead letters.
///
/// Exactly once rests on three things: every publication names the sequence that it must stand behind, so that one of
/// two writers always fails; the last message of the stream says how far publishing is, so that nothing needs to be
/// remembered elsewhere; and what stands in the stream beyond the last whole publication is not written again. Every
/// opening makes a new connection, and after a failure the sink must be opened again.
#[derive(Debug)]
pub struct NatsSink {
    settings: NatsSinkSettings,
    writer: Uuid,
    /// There from a successful opening until a call fails or is cancelled.
    open: Option<Open>,
    /// Whether the last publication failed or was cancelled, so that a part of it may stand in the streams.
    has_failed: bool,
}

#[derive(Debug)]
struct Open {
    client: Client,
    out: Lane,
    dead_letters: Lane,
    /// What the end of the stream says.
    end: End,
    /// The id of the last dead letter.
    last_dead_letter: Option<String>,
    /// The ids of dead letters that stand beyond the last whole publication, with their sequences.
    begun: HashMap<String, u64>,
    has_published: bool,
}

/// What the stream of announcements holds.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    complete: Option<Complete>,
    reached: i64,
}

impl NatsSink {
    /// A sink that is not open yet. Connects to nothing.
    pub fn new(settings: NatsSinkSettings) -> Self {
        Self { settings, writer: Uuid::new_v4(), open: None, has_failed: false }
    }

    async fn connect(&self) -> Result<(Open, Option<Progress>), SinkError> {
        let NatsSinkSettings { connection, out, dead_letters, at_least_once, open_timeout, .. } = &self.settings;
        let link = watch::Sender::new(Link::default());
        let client = connection.connect(*open_timeout, link).await.map_err(sink_error)?;
        let context = jetstream::new(client.clone());
        let out = lane(&context, connection.servers(), &names::stream(out), *at_least_once).await?;
        let dead_letters = lane(&context, connection.servers(), &names::stream(dead_letters), *at_least_once).await?;
        if *at_least_once {
            let end = End::default();
            let (last_dead_letter, begun, has_published) = (None, HashMap::new(), false);
            let open = Open { client, out, dead_letters, end, last_dead_letter, begun, has_published };
            return Ok((open, None));
        }
        let (mark, progress) = match last_message(&context, &out.stream).await? {
            Some(last) => read_mark(&out.stream, &last).map(|mark| (Some(mark), mark.progress()))?,
            None => (None, None),
        };
        let last_dead_letter = last_message(&context, &dead_letters.stream).await?.and_then(|last| id_of(&last));
        let end = mark.map_or_else(End::default, |mark| End { complete: mark.complete, reached: mark.reached });
        let last = dead_letters.last.unwrap_or_default();
        let whole = end.complete.map_or(0, |complete| complete.letters.unwrap_or(last));
        let begun = letters_beyond(&context, &dead_letters.stream, whole, last).await?;
        Ok((Open { client, out, dead_letters, end, last_dead_letter, begun, has_published: false }, progress))
    }

    /// Why a stream is not where it was left: another relay writes, or an answer of ours was lost. A relay that finds
    /// that before its first publication has only read too early.
    async fn explain(&self, open: &Open, said: String) -> SinkError {
        let context = jetstream::new(open.client.clone());
        let last = match last_message(&context, &open.out.stream).await {
            Ok(last) => last,
            Err(error) => return error,
        };
        let mark = last.and_then(|last| mark::read(&last.headers));
        match mark {
            Some(mark) if mark.writer != self.writer && open.has_published => SinkError::Fenced(said),
            _ => SinkError::Unclear(said),
        }
    }
}

impl Open {
    async fn publish(
        &mut self,
        records: Vec<OutputRecord>,
        progress: Progress,
        writer: Uuid,
        settings: &NatsSinkSettings,
    ) -> Result<(), Refused> {
        let patience = settings.publish_timeout;
        let is_letter = |record: &OutputRecord| *record.topic == *settings.dead_letters;
        let (letters, announcements): (Vec<_>, Vec<_>) = records.into_iter().partition(is_letter);
        let (letters, last_letter) = self.unburied(letters);
        let before = self.end;
        let (mut messages, seqs): (Vec<Outgoing>, Vec<Option<i64>>) =
            announcements.into_iter().filter_map(|record| announcement(record, before.reached)).unzip();
        if messages.is_empty() && !settings.at_least_once {
            // Nothing to announce, or all of it stands there: only how far publishing is.
            let (subject, headers) = (settings.progress.clone(), HeaderMap::new());
            messages.push(Outgoing { subject, headers, payload: Vec::new() });
        }
        self.dead_letters.demand_room(&letters)?;
        self.out.demand_room(&messages)?;
        // What says how far publishing is comes behind them.
        if let Some(last) = last_letter {
            self.dead_letters.publish(&self.client, letters, |_, _| {}, patience).await?;
            self.last_dead_letter = Some(last);
        }
        // Those that are left belong to batches that come later.
        let begun = self.begun.values().min().map(|first| first.saturating_sub(1));
        let complete = Some(Complete::new(progress, begun.or(self.dead_letters.last)));
        // Up to each message: the last `seq` in the stream once it stands there.
        let reached: Vec<i64> = seqs
            .iter()
            .scan(before.reached, |reached, seq| {
                *reached = seq.unwrap_or(*reached).max(*reached);
                Some(*reached)
            })
            .collect();
        let reached = |count: usize| count.checked_sub(1).and_then(|last| reached.get(last)).copied();
        let size = messages.len();
        let finish = |message: &mut Outgoing, count: usize| {
            let complete = if count == size { complete } else { before.complete };
            let mark = Mark { writer, complete, reached: reached(count).unwrap_or(before.reached) };
            mark::write(&mark, &mut message.headers);
        };
        self.out.publish(&self.client, messages, finish, patience).await?;
        self.end = End { complete, reached: reached(size).unwrap_or(before.reached) };
        self.has_published = true;
        Ok(())
    }

    /// The messages of dead letters, without those that stand in the stream already, and the id of the last one.
    fn unburied(&mut self, letters: Vec<OutputRecord>) -> (Vec<Outgoing>, Option<String>) {
        let mut letters: Vec<(String, OutputRecord)> =
            letters.into_iter().map(|letter| (letter_id(&letter), letter)).collect();
        let there = self.last_dead_letter.as_ref().and_then(|last| letters.iter().rposition(|(id, _)| id == last));
        let there = there.map_or(0, |index| index + 1);
        let mut index = 0;
        letters.retain(|(id, _)| {
            index += 1;
            self.begun.remove(id).is_none() && index > there
        });
        let last = letters.last().map(|(id, _)| id.clone());
        let message = |(id, letter): (String, OutputRecord)| {
            let mut message = message::outgoing(letter);
            message.headers.insert(header::NATS_MESSAGE_ID, id.as_str());
            message
        };
        (letters.into_iter().map(message).collect(), last)
    }
}

impl Sink for NatsSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        self.open = None;
        match timeout(self.settings.open_timeout, self.connect()).await {
            Ok(connected) => {
                let (open, progress) = connected?;
                self.open = Some(open);
                Ok(progress)
            }
            Err(_) => {
                let waited_ms = self.settings.open_timeout.as_millis();
                let servers = self.settings.connection.servers();
                Err(SinkError::Unclear(format!("NATS at {servers} did not answer within {waited_ms} ms")))
            }
        }
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        // Put back only when all went well, so that a cancelled or failed call leaves the sink closed.
        let Some(mut open) = self.open.take() else {
            return Err(SinkError::Unclear("the sink is not open".to_owned()));
        };
        let one_by_one = self.settings.at_least_once && std::mem::replace(&mut self.has_failed, true);
        (open.out.one_by_one, open.dead_letters.one_by_one) = (one_by_one, one_by_one);
        match open.publish(records, progress, self.writer, &self.settings).await {
            Ok(()) => {
                self.has_failed = false;
                self.open = Some(open);
                Ok(())
            }
            Err(Refused::Other(error)) => Err(error),
            Err(Refused::Moved(said)) => Err(self.explain(&open, said).await),
        }
    }

    async fn close(self) {}
}

/// A stream as it is now.
async fn lane(context: &Context, servers: &str, name: &str, at_least_once: bool) -> Result<Lane, SinkError> {
    match context.get_stream(name).await {
        Ok(stream) => {
            let info = stream.cached_info();
            let last = (!at_least_once).then_some(info.state.last_sequence);
            let largest = largest_message(context, &info.config);
            let is_atomic = info.config.allow_atomic_publish && !at_least_once;
            Ok(Lane { stream: name.to_owned(), last, is_atomic, one_by_one: false, largest })
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                let missing = vec![format!("stream {name}")];
                Err(SinkError::Fatal(NatsFailure::Missing { servers: servers.to_owned(), missing }.to_string()))
            }
            _ => Err(SinkError::Unclear(format!("looking for stream {name}: {error}"))),
        },
    }
}

/// The last message of a stream; `None` when it is empty.
async fn last_message(context: &Context, stream: &str) -> Result<Option<StreamMessage>, SinkError> {
    let unclear = |error: &dyn std::fmt::Display| {
        SinkError::Unclear(format!("reading the last message of stream {stream}: {error}"))
    };
    let handle = context.get_stream_no_info(stream).await.map_err(|error| unclear(&error))?;
    match handle.get_last_raw_message_by_subject(">").await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unclear(&error)),
    }
}

/// The ids of dead letters behind a sequence, up to the last one. A publication that broke off left them, and what comes
/// next may take its batches apart, so that the last one alone does not tell which of them are there.
async fn letters_beyond(
    context: &Context,
    stream: &str,
    whole: u64,
    last: u64,
) -> Result<HashMap<String, u64>, SinkError> {
    let unclear = |error: &dyn std::fmt::Display| SinkError::Unclear(format!("reading stream {stream}: {error}"));
    let handle = context.get_stream_no_info(stream).await.map_err(|error| unclear(&error))?;
    let mut ids = HashMap::new();
    for sequence in whole.max(last.saturating_sub(MOST_LETTERS)) + 1..=last {
        match handle.get_raw_message(sequence).await {
            Ok(letter) => ids.extend(id_of(&letter).map(|id| (id, sequence))),
            // Deleted, or too old to be kept.
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {}
            Err(error) => return Err(unclear(&error)),
        }
    }
    Ok(ids)
}

fn id_of(message: &StreamMessage) -> Option<String> {
    message.headers.get(header::NATS_MESSAGE_ID).map(|id| id.as_str().to_owned())
}

fn read_mark(stream: &str, last: &StreamMessage) -> Result<Mark, SinkError> {
    mark::read(&last.headers).ok_or_else(|| {
        let StreamMessage { sequence, subject, .. } = last;
        SinkError::Fatal(format!(
            "message {sequence} at the end of stream {stream} (subject {subject}) was not written by a relay: delete \
             it, and keep others from publishing there"
        ))
    })
}

/// The message of an announcement and its `seq`; `None` when it stands in the stream already.
fn announcement(record: OutputRecord, reached: i64) -> Option<(Outgoing, Option<i64>)> {
    let seq = record.payload.as_deref().and_then(sequence_of);
    if seq.is_some_and(|seq| seq <= reached) {
        return None;
    }
    let id = record.headers.iter().find(|(name, _)| name == "ce_id").and_then(|(_, id)| id.clone());
    let mut message = message::outgoing(record);
    if let Some(id) = id.and_then(|id| String::from_utf8(id).ok()) {
        message.headers.insert(header::NATS_MESSAGE_ID, id.as_str());
    }
    Some((message, seq))
}

/// A dead letter is known by where it stood and what it was, once.
fn letter_id(letter: &OutputRecord) -> String {
    let mut digest = Sha256::new();
    for (name, value) in letter.headers.iter().filter(|(name, _)| {
        matches!(name.as_str(), "dead-letter-topic" | "dead-letter-partition" | "dead-letter-offset")
    }) {
        let value = value.as_deref().unwrap_or_default();
        for part in [name.as_bytes(), value] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    digest.update(letter.payload.as_deref().unwrap_or_default());
    let digest = digest.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    Uuid::new_v8(first).to_string()
}

/// A server that is away may come back.
fn sink_error(failure: NatsFailure) -> SinkError {
    match failure {
        NatsFailure::Unreachable { .. } | NatsFailure::Client { .. } => SinkError::Unclear(failure.to_string()),
        NatsFailure::Refused { .. }
        | NatsFailure::NoJetStream { .. }
        | NatsFailure::Missing { .. }
        | NatsFailure::Unsafe { .. }
        | NatsFailure::NoSubject(_) => SinkError::Fatal(failure.to_string()),
    }
}
