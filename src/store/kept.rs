//! What a store keeps in the stored form of the wire module, read back: batches of the outbox, the last answer of a
//! claim.

use std::sync::Arc;

use crate::domain::announce::{AnnouncementBody, Answer};
use crate::domain::claim::ClaimKey;
use crate::domain::event::Cause;
use crate::domain::words::Timestamp;
use crate::ports::{OutboxBatch, OutboxPlace, QueryError, StoreError};
use crate::wire::encode::answer_json;
use crate::wire::stored;

/// A row of the outbox as it is kept.
pub(super) struct OutboxRow {
    pub number: i64,
    pub first_seq: i64,
    pub recorded_at: Timestamp,
    pub content: Vec<u8>,
}

/// Rows after the number `after`, as batches.
///
/// # Errors
/// [`StoreError::Fatal`] when a row is missing in between or cannot be read: going on would lose announcements.
pub(super) fn batches(after: i64, rows: Vec<OutboxRow>) -> Result<Vec<OutboxBatch>, StoreError> {
    let mut batches = Vec::with_capacity(rows.len());
    for (row, expected) in rows.into_iter().zip(after + 1..) {
        let OutboxRow { number, first_seq, recorded_at, content } = row;
        if number != expected {
            return Err(StoreError::Fatal(format!(
                "the outbox lacks batch {expected}: the next one is {number}; what it announced is lost to the relay"
            )));
        }
        let (announcements, dead_letters) = stored::decode_batch(&content)
            .map_err(|error| StoreError::Fatal(format!("outbox batch {number} cannot be read: {error}")))?;
        batches.push(OutboxBatch { number, first_seq, recorded_at, announcements, dead_letters });
    }
    Ok(batches)
}

/// Where the announcements behind `seq` stand, from the last numbers given, as (batch, seq), and the first batch that is
/// kept and reaches beyond `seq`, as (batch, first seq).
pub(super) fn place(seq: i64, last: (i64, i64), found: Option<(i64, i64)>) -> OutboxPlace {
    let (last_number, last_seq) = last;
    match found {
        _ if seq > last_seq => OutboxPlace::NotGiven,
        Some((number, first_seq)) if first_seq <= seq + 1 => OutboxPlace::Behind(number - 1),
        None if seq == last_seq => OutboxPlace::Behind(last_number),
        _ => OutboxPlace::Dropped,
    }
}

/// The last answer that a claim was given.
pub(super) struct KeptAnswer {
    answer: Answer,
    cause: Arc<Cause>,
    /// When it was given, which is when its transaction was recorded in the outbox.
    pub recorded_at: Timestamp,
}

impl KeptAnswer {
    /// Reads the answer in the row of the claim `key`.
    pub fn read(key: &ClaimKey, bytes: &[u8]) -> Result<Self, QueryError> {
        let (answer, cause, recorded_at) = stored::decode_answer(bytes)
            .map_err(|error| QueryError::Broken(format!("the answer of {key:?} cannot be read: {error}")))?;
        Ok(Self { answer, cause, recorded_at })
    }

    /// The body of its `reservation-result`. `transactions` are the rows of the outbox that were recorded at its
    /// instant, as (first seq, content): its number is known as long as the outbox keeps its transaction. A claim does
    /// not keep it: the number is taken after the claim is written, and writing the claim again would cost every order
    /// what only this question needs.
    pub fn as_json(&self, transactions: &[(i64, Vec<u8>)]) -> Result<serde_json::Value, QueryError> {
        let seq = self.seq(transactions)?;
        Ok(answer_json(&self.answer, &self.cause, self.recorded_at, seq))
    }

    fn seq(&self, transactions: &[(i64, Vec<u8>)]) -> Result<Option<i64>, QueryError> {
        for (first_seq, content) in transactions {
            let (announcements, _) = stored::decode_batch(content)
                .map_err(|error| QueryError::Broken(format!("an outbox row cannot be read: {error}")))?;
            let position = announcements.iter().position(|announcement| {
                *announcement.cause == *self.cause
                    && matches!(&announcement.body, AnnouncementBody::ReservationResult(known) if *known == self.answer)
            });
            if let Some(position) = position {
                return Ok(Some(first_seq + position as i64));
            }
        }
        Ok(None)
    }
}
