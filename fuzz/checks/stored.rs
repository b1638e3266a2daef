//! The forms that a store keeps: what is damaged is told, and what can be read is written back the same.

use std::fmt::Debug;

use holdfast::wire::stored::{self, Damaged};

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
