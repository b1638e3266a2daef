//! The form in which the database keeps announcements, answers and remembered events: compact, versioned, apart
//! from the wire, so that either can change alone.
//!
//! A document is `version, kind, method, content`. The content is compressed when that makes it smaller, and holds
//! tables of what repeats (texts, stock keys, causes) before what refers to them by number.

mod bytes;
mod entries;
mod event;
mod headers;
mod reconciliation;
mod tables;
mod vocabulary;

use std::sync::Arc;

use bytes::{Reader, Writer};
pub use headers::{decode_headers, encode_headers};
use tables::{ReadTables, Tables};

use crate::domain::announce::{Announcement, Answer};
use crate::domain::claim::Remembered;
use crate::domain::event::{Cause, Trace};
use crate::domain::words::Timestamp;
use crate::ports::DeadLetter;

/// The version that is written. Older ones stay readable as long as rows of them may exist.
const VERSION: u8 = 1;
/// Below it, compression costs more than it saves, in bytes.
const COMPRESSED_FROM: usize = 200;
/// LZ4 cannot make more of a byte than this; a document that claims more is damaged.
const MOST_BYTES_OF_ONE: usize = 255;

/// A document that this program did not write, or that was changed since.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored document is damaged: {0}")]
pub struct Damaged(pub(crate) String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    Batch = 1,
    Answer = 2,
    Remembered = 3,
}

/// The announcements and dead letters of one transaction.
pub fn encode_batch(announcements: &[Announcement], dead_letters: &[DeadLetter]) -> Vec<u8> {
    let mut tables = Tables::default();
    let mut body = Writer::default();
    body.size(announcements.len());
    for announcement in announcements {
        entries::write_announcement(&mut body, &mut tables, announcement);
    }
    body.size(dead_letters.len());
    for letter in dead_letters {
        entries::write_dead_letter(&mut body, letter);
    }
    seal(Document::Batch, &tables, &body)
}

/// What [`encode_batch`] wrote. Never panics; takes no more memory than the document calls for.
pub fn decode_batch(document: &[u8]) -> Result<(Vec<Announcement>, Vec<DeadLetter>), Damaged> {
    let content = open(Document::Batch, document)?;
    let mut reader = Reader::new(&content);
    let tables = ReadTables::read(&mut reader)?;
    let announcements = reader.list(|reader| entries::read_announcement(reader, &tables))?;
    let dead_letters = reader.list(entries::read_dead_letter)?;
    reader.end()?;
    Ok((announcements, dead_letters))
}

/// The last answer of a claim, with its cause and when it was recorded.
pub fn encode_answer(answer: &Answer, cause: &Cause, recorded_at: Timestamp) -> Vec<u8> {
    let no_trace = Trace::default();
    let mut tables = Tables::default();
    let mut body = Writer::default();
    body.number(recorded_at.0);
    let place = tables.cause(cause, &no_trace);
    body.size(place);
    entries::write_answer(&mut body, &mut tables, cause, answer);
    seal(Document::Answer, &tables, &body)
}

/// What [`encode_answer`] wrote.
pub fn decode_answer(document: &[u8]) -> Result<(Answer, Arc<Cause>, Timestamp), Damaged> {
    let content = open(Document::Answer, document)?;
    let mut reader = Reader::new(&content);
    let tables = ReadTables::read(&mut reader)?;
    let recorded_at = Timestamp(reader.number()?);
    let (cause, _) = tables.cause(reader.size()?)?;
    let answer = entries::read_answer(&mut reader, &tables, &cause)?;
    reader.end()?;
    Ok((answer, cause, recorded_at))
}

/// The events that wait on a claim.
pub fn encode_remembered(remembered: &[Remembered]) -> Vec<u8> {
    let mut tables = Tables::default();
    let mut body = Writer::default();
    body.size(remembered.len());
    for one in remembered {
        let place = tables.cause(&one.cause, &one.trace);
        body.size(place);
        event::write(&mut body, &mut tables, &one.event);
    }
    seal(Document::Remembered, &tables, &body)
}

/// What [`encode_remembered`] wrote.
pub fn decode_remembered(document: &[u8]) -> Result<Vec<Remembered>, Damaged> {
    let content = open(Document::Remembered, document)?;
    let mut reader = Reader::new(&content);
    let tables = ReadTables::read(&mut reader)?;
    let remembered = reader.list(|reader| {
        let (cause, trace) = tables.cause(reader.size()?)?;
        Ok(Remembered { cause, trace, event: event::read(reader, &tables)? })
    })?;
    reader.end()?;
    Ok(remembered)
}

fn seal(kind: Document, tables: &Tables<'_>, body: &Writer) -> Vec<u8> {
    let mut content = Writer::default();
    tables.write(&mut content);
    content.append(body);
    let content = content.into_bytes();
    let mut document = Writer::default();
    document.byte(VERSION);
    document.byte(kind as u8);
    if content.len() >= COMPRESSED_FROM {
        let compressed = lz4_flex::block::compress(&content);
        if compressed.len() < content.len() {
            document.byte(1);
            document.size(content.len());
            document.raw(&compressed);
            return document.into_bytes();
        }
    }
    document.byte(0);
    document.raw(&content);
    document.into_bytes()
}

fn open(kind: Document, document: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut reader = Reader::new(document);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(Damaged(format!("its version is {version}, but this program reads {VERSION}")));
    }
    let found = reader.byte()?;
    if found != kind as u8 {
        return Err(Damaged(format!("its kind is {found}, but {} was asked for", kind as u8)));
    }
    match reader.byte()? {
        0 => Ok(reader.rest().to_vec()),
        1 => {
            let size = reader.size()?;
            let compressed = reader.rest();
            if size / MOST_BYTES_OF_ONE > compressed.len() {
                return Err(Damaged(format!("{} bytes cannot hold {size}", compressed.len())));
            }
            let content = lz4_flex::block::decompress(compressed, size).map_err(|error| Damaged(error.to_string()))?;
            match content.len() == size {
                true => Ok(content),
                false => Err(Damaged(format!("it holds {} bytes, but claims {size}", content.len()))),
            }
        }
        method => Err(Damaged(format!("its method is {method}, but this program reads 0 and 1"))),
    }
}
