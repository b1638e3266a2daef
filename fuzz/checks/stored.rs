//! The forms that a store keeps: what is damaged is told, and what can be read is written back the same.

use holdfast::wire::stored;

/// One of the three stored forms, by the first byte.
pub fn stored(input: &[u8]) {
    let Some((choice, document)) = input.split_first() else { return };
    match choice % 3 {
        0 => {
            if let Ok((announcements, letters)) = stored::decode_batch(document) {
                let again = stored::encode_batch(&announcements, &letters);
                assert_eq!(stored::decode_batch(&again).expect("it was just written"), (announcements, letters));
            }
        }
        1 => {
            if let Ok((answer, cause, recorded_at)) = stored::decode_answer(document) {
                let again = stored::encode_answer(&answer, &cause, recorded_at);
                assert_eq!(stored::decode_answer(&again).expect("it was just written"), (answer, cause, recorded_at));
            }
        }
        _ => {
            if let Ok(remembered) = stored::decode_remembered(document) {
                let again = stored::encode_remembered(&remembered);
                assert_eq!(stored::decode_remembered(&again).expect("it was just written"), remembered);
            }
        }
    }
}
