//! Announcements, answers and dead letters in a document.

use std::sync::Arc;

use super::Damaged;
use super::bytes::{Reader, Writer};
use super::tables::{ReadTables, Tables};
use super::vocabulary::{self, read_optional, write_optional};
use crate::domain::announce::{Announcement, AnnouncementBody, Answer, AnswerLine};
use crate::domain::event::Cause;
use crate::domain::stock::{Counters, Snapshot};
use crate::domain::words::{Reference, Timestamp};
use crate::ports::{DeadLetter, Position, Record};

const STOCK_CHANGED: u8 = 0;
const LOW_STOCK: u8 = 1;
const RESERVATION_RESULT: u8 = 2;

/// What follows the numbers of an answer's line, as bits of one byte. Lines that were written before any could wait have
/// the first bit or none.
const HAS_REASON: u8 = 1;
const IS_WAITING: u8 = 2;

pub(super) fn write_announcement<'v>(writer: &mut Writer, tables: &mut Tables<'v>, announcement: &'v Announcement) {
    let cause = tables.cause(&announcement.cause, &announcement.trace);
    writer.size(cause);
    match &announcement.body {
        AnnouncementBody::StockChanged { key, version, before, after } => {
            writer.byte(STOCK_CHANGED);
            writer.size(tables.key(key));
            writer.number(*version);
            write_counters(writer, &before.counters);
            write_counters(writer, &difference(&after.counters, &before.counters));
            for snapshot in [before, after] {
                vocabulary::write(writer, snapshot.status);
                vocabulary::write(writer, snapshot.level);
            }
        }
        AnnouncementBody::LowStock {
            key,
            version,
            level,
            previous_level,
            available,
            warning_threshold,
            critical_threshold,
        } => {
            writer.byte(LOW_STOCK);
            writer.size(tables.key(key));
            writer.number(*version);
            vocabulary::write(writer, *level);
            vocabulary::write(writer, *previous_level);
            writer.number(*available);
            writer.number(*warning_threshold);
            writer.number(*critical_threshold);
        }
        AnnouncementBody::ReservationResult(answer) => {
            writer.byte(RESERVATION_RESULT);
            write_answer(writer, tables, &announcement.cause, answer);
        }
    }
}

pub(super) fn read_announcement(reader: &mut Reader<'_>, tables: &ReadTables) -> Result<Announcement, Damaged> {
    let (cause, trace) = tables.cause(reader.size()?)?;
    let body = match reader.byte()? {
        STOCK_CHANGED => {
            let key = tables.key(reader.size()?)?;
            let version = reader.number()?;
            let before = read_counters(reader)?;
            let after = sum(&before, &read_counters(reader)?);
            AnnouncementBody::StockChanged {
                key,
                version,
                before: read_snapshot(reader, before)?,
                after: read_snapshot(reader, after)?,
            }
        }
        LOW_STOCK => AnnouncementBody::LowStock {
            key: tables.key(reader.size()?)?,
            version: reader.number()?,
            level: vocabulary::read(reader)?,
            previous_level: vocabulary::read(reader)?,
            available: reader.number()?,
            warning_threshold: reader.number()?,
            critical_threshold: reader.number()?,
        },
        RESERVATION_RESULT => AnnouncementBody::ReservationResult(read_answer(reader, tables, &cause)?),
        other => return Err(Damaged(format!("no announcement has the number {other}"))),
    };
    Ok(Announcement { cause, trace, body })
}

/// Writes an answer; its reference is mostly that of its cause, which is then not repeated.
pub(super) fn write_answer<'v>(writer: &mut Writer, tables: &mut Tables<'v>, cause: &Cause, answer: &'v Answer) {
    vocabulary::write(writer, answer.kind);
    let own = Some(&answer.reference).filter(|own| cause.reference.as_ref() != Some(own));
    writer.byte(own.is_some().into());
    if let Some(own) = own {
        writer.id(own.as_str());
    }
    writer.optional_number(answer.request_version);
    vocabulary::write(writer, answer.outcome);
    write_optional(writer, answer.state);
    write_optional(writer, answer.reason);
    writer.optional_number(answer.expires_at.map(|instant| instant.0));
    writer.size(answer.lines.len());
    for line in &answer.lines {
        writer.size(tables.key(&line.key));
        writer.number(line.requested);
        writer.number(line.granted);
        writer.number(line.available);
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        writer.byte(bit(line.reason.is_some(), HAS_REASON) | bit(line.waiting != 0, IS_WAITING));
        if let Some(reason) = line.reason {
            vocabulary::write(writer, reason);
        }
        if line.waiting != 0 {
            writer.number(line.waiting);
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>, tables: &ReadTables, cause: &Cause) -> Result<Answer, Damaged> {
    let kind = vocabulary::read(reader)?;
    let reference = match (reader.optional(Reader::id)?, &cause.reference) {
        (Some(own), _) => Reference::new(own),
        (None, Some(of_cause)) => of_cause.clone(),
        (None, None) => return Err(Damaged("an answer has no reference".to_owned())),
    };
    Ok(Answer {
        kind,
        reference,
        request_version: reader.optional_number()?,
        outcome: vocabulary::read(reader)?,
        state: read_optional(reader)?,
        reason: read_optional(reader)?,
        expires_at: reader.optional_number()?.map(Timestamp),
        lines: reader.list(|reader| read_answer_line(reader, tables))?,
    })
}

fn read_answer_line(reader: &mut Reader<'_>, tables: &ReadTables) -> Result<AnswerLine, Damaged> {
    let key = tables.key(reader.size()?)?;
    let (requested, granted, available) = (reader.number()?, reader.number()?, reader.number()?);
    let follows = reader.byte()?;
    if follows > HAS_REASON | IS_WAITING {
        return Err(Damaged(format!("{follows} does not say what follows in a line")));
    }
    let reason = if follows & HAS_REASON == 0 { None } else { Some(vocabulary::read(reader)?) };
    let waiting = if follows & IS_WAITING == 0 { 0 } else { reader.number()? };
    Ok(AnswerLine { key, requested, granted, available, reason, waiting })
}

pub(super) fn write_dead_letter(writer: &mut Writer, letter: &DeadLetter) {
    let DeadLetter { record, reason, detail } = letter;
    vocabulary::write(writer, *reason);
    writer.text(detail);
    writer.text(&record.position.topic);
    writer.number(record.position.partition.into());
    writer.number(record.position.offset);
    writer.optional_bytes(record.key.as_deref());
    writer.size(record.headers.len());
    for (name, value) in &record.headers {
        writer.text(name);
        writer.optional_bytes(value.as_deref());
    }
    writer.optional_bytes(record.payload.as_deref());
    writer.optional_number(record.timestamp.map(|instant| instant.0));
}

pub(super) fn read_dead_letter(reader: &mut Reader<'_>) -> Result<DeadLetter, Damaged> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let reason = vocabulary::read(reader)?;
    let detail: Arc<str> = reader.text()?.into();
    let topic = reader.text()?.into();
    let partition = reader.number()?;
    let partition = i32::try_from(partition).map_err(|_| Damaged(format!("{partition} is no partition")))?;
    let position = Position { topic, partition, offset: reader.number()? };
    let key = owned(reader.optional(Reader::bytes)?);
    let headers = reader.list(|reader| Ok((reader.text()?.to_owned(), owned(reader.optional(Reader::bytes)?))))?;
    let payload = owned(reader.optional(Reader::bytes)?);
    let timestamp = reader.optional_number()?.map(Timestamp);
    Ok(DeadLetter { record: Record { position, key, headers, payload, timestamp }, reason, detail })
}

fn write_counters(writer: &mut Writer, counters: &Counters) {
    for number in [counters.on_hand, counters.cart_held, counters.order_reserved, counters.safety_stock] {
        writer.number(number);
    }
}

fn read_counters(reader: &mut Reader<'_>) -> Result<Counters, Damaged> {
    Ok(Counters {
        on_hand: reader.number()?,
        cart_held: reader.number()?,
        order_reserved: reader.number()?,
        safety_stock: reader.number()?,
    })
}

fn read_snapshot(reader: &mut Reader<'_>, counters: Counters) -> Result<Snapshot, Damaged> {
    Ok(Snapshot { counters, status: vocabulary::read(reader)?, level: vocabulary::read(reader)? })
}

/// Differences wrap: writing is total, and reading damaged bytes must not overflow.
fn difference(after: &Counters, before: &Counters) -> Counters {
    combine(after, before, i64::wrapping_sub)
}

fn sum(before: &Counters, change: &Counters) -> Counters {
    combine(before, change, i64::wrapping_add)
}

fn combine(one: &Counters, other: &Counters, with: fn(i64, i64) -> i64) -> Counters {
    Counters {
        on_hand: with(one.on_hand, other.on_hand),
        cart_held: with(one.cart_held, other.cart_held),
        order_reserved: with(one.order_reserved, other.order_reserved),
        safety_stock: with(one.safety_stock, other.safety_stock),
    }
}
