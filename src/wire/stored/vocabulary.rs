//! The words of the contract as single bytes. A word's byte is its place in its list, so lists only ever grow at
//! their end.

use super::Damaged;
use super::bytes::{Reader, Writer};
use crate::domain::announce::{AnswerKind, AnswerOutcome, Reason};
use crate::domain::claim::{ClaimKind, ClaimState};
use crate::domain::event::{EventType, Policy};
use crate::domain::stock::{Level, Status};
use crate::ports::DeadLetterReason;

/// A word that is stored as one byte.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every word, in the order of their bytes.
    const WORDS: &'static [Self];
}

pub(super) fn write<W: Word>(writer: &mut Writer, word: W) {
    let place = W::WORDS.iter().position(|known| *known == word);
    writer.byte(place.expect("a test finds every word in its list") as u8);
}

pub(super) fn read<W: Word>(reader: &mut Reader<'_>) -> Result<W, Damaged> {
    let place = reader.byte()?;
    W::WORDS.get(usize::from(place)).copied().ok_or_else(|| Damaged(format!("no word has the number {place}")))
}

pub(super) fn write_optional<W: Word>(writer: &mut Writer, word: Option<W>) {
    writer.byte(word.is_some().into());
    if let Some(word) = word {
        write(writer, word);
    }
}

pub(super) fn read_optional<W: Word>(reader: &mut Reader<'_>) -> Result<Option<W>, Damaged> {
    reader.optional(read)
}

impl Word for Status {
    const WORDS: &'static [Self] = &[Self::Active, Self::Inactive, Self::Locked];
}

impl Word for Level {
    const WORDS: &'static [Self] = &[Self::Unstocked, Self::Normal, Self::Low, Self::Critical, Self::Out];
}

impl Word for Policy {
    const WORDS: &'static [Self] = &[Self::All, Self::Partial, Self::Backorder];
}

impl Word for ClaimKind {
    const WORDS: &'static [Self] = &[Self::Cart, Self::Order, Self::Receipt];
}

impl Word for AnswerKind {
    const WORDS: &'static [Self] = &[Self::Order, Self::Cart, Self::Return, Self::Stock];
}

impl Word for AnswerOutcome {
    const WORDS: &'static [Self] = &[
        Self::Granted,
        Self::Partial,
        Self::Refused,
        Self::Released,
        Self::Cancelled,
        Self::Confirmed,
        Self::Shipped,
        Self::Returned,
        Self::Expired,
        Self::Lost,
        Self::Conflict,
    ];
}

impl Word for Reason {
    const WORDS: &'static [Self] = &[
        Self::UnknownSku,
        Self::NotSellable,
        Self::TooOld,
        Self::OverCap,
        Self::InsufficientStock,
        Self::OverMax,
        Self::Cancelled,
        Self::Closed,
        Self::VersionMismatch,
        Self::InvalidThresholds,
    ];
}

impl Word for ClaimState {
    const WORDS: &'static [Self] = &[
        Self::Awaited,
        Self::Held,
        Self::Released,
        Self::Converted,
        Self::Expired,
        Self::Reserved,
        Self::Confirmed,
        Self::Deducted,
        Self::Shipped,
        Self::Refused,
        Self::Cancelled,
        Self::Received,
    ];
}

impl Word for EventType {
    const WORDS: &'static [Self] = &[
        Self::OrderCreated,
        Self::CartUpdated,
        Self::OrderCancelled,
        Self::OrderConfirmed,
        Self::OrderShipped,
        Self::SkuRegistered,
        Self::StockReceived,
        Self::ClaimExpired,
    ];
}

impl Word for DeadLetterReason {
    const WORDS: &'static [Self] = &[
        Self::Undecodable,
        Self::UnknownSchema,
        Self::UnknownType,
        Self::MissingId,
        Self::MissingKeyField,
        Self::InvalidQuantity,
        Self::InvalidField,
        Self::TooLarge,
        Self::DayClosed,
        Self::PayloadConflict,
        Self::ImpossibleTime,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete<W: Word + std::fmt::Debug>(all: &[W]) {
        for word in all {
            assert_eq!(W::WORDS.iter().filter(|known| *known == word).count(), 1, "{word:?}");
        }
        assert_eq!(W::WORDS.len(), all.len());
    }

    #[test]
    fn every_word_has_one_byte() {
        complete(&Status::ALL);
        complete(&Level::ALL);
        complete(&ClaimKind::ALL);
        complete(&AnswerKind::ALL);
        complete(&AnswerOutcome::ALL);
        complete(&Reason::ALL);
        complete(&ClaimState::ALL);
        complete(&DeadLetterReason::ALL);
        complete(&[Policy::All, Policy::Partial, Policy::Backorder]);
        complete(&[&EventType::INPUT[..], &[EventType::ClaimExpired]].concat());
    }
}
