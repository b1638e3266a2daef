//! The forms that a store keeps: what is damaged is told, and what can be read is written back the same.

use std::fmt::Debug;

use holdfast::domain::claim::ClaimLine;
use holdfast::store::lines;
use holdfast::wire::stored::{self, Damaged};
use serde_json::Value;

/// One of the four stored forms, by the first byte; a digit from 0 to 3 does.
pub fn stored(input: &[u8]) -> bool {
    let Some((choice, document)) = input.split_first() else { return false };
    match choice % 4 {
        0 => holds(document, stored::decode_batch, |(announcements, letters)| {
            stored::encode_batch(announcements, letters)
        }),
        1 => holds(document, stored::decode_answer, |(answer, cause, recorded_at)| {
            stored::encode_answer(answer, cause, *recorded_at)
        }),
        2 => holds(document, stored::decode_remembered, |remembered| stored::encode_remembered(remembered)),
        // No headers at all are no document.
        _ => holds(
            document,
            |document| stored::decode_headers(Some(document).filter(|document| !document.is_empty())),
            |headers| stored::encode_headers(headers).unwrap_or_default(),
        ),
    }
}

/// What is read is written in a form that reads the same, and is written the same from then on.
fn holds<T: Debug + PartialEq>(
    document: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Damaged>,
    write: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Ok(content) = read(document) else { return false };
    let written = write(&content);
    let again = read(&written).expect("it was just written");
    assert_eq!(again, content);
    assert_eq!(write(&again), written);
    true
}

/// The lines of a claim as its row keeps them: none is lost but those of which nothing is left.
pub fn claim_lines(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(mut read) = lines::read(text) else { return false };
    let all: Vec<Value> = serde_json::from_str(text).expect("it was read");
    assert_eq!(read.len(), all.len());
    let written = lines::write(&read);
    read.retain(|_, line| *line != ClaimLine::default());
    assert_eq!(lines::read(&written).expect("it was just written"), read);
    assert_eq!(lines::write(&read), written);
    true
}
