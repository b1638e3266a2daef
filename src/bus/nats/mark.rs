//! How far publishing has come, written into the stream of announcements together with them: a header of every message
//! that ends a publication, whole or in part. What it says stands in [`wire::progress`](crate::wire::progress).

use async_nats::HeaderMap;

use crate::wire::progress::Mark;

/// The header.
const MARK: &str = "Holdfast-Progress";

/// Writes a mark on a message.
pub(super) fn write(mark: &Mark, headers: &mut HeaderMap) {
    if let Ok(value) = mark.text().parse::<async_nats::HeaderValue>() {
        headers.insert(MARK, value);
    }
}

/// Reads the mark off a message; `None` when there is none, or none that could be ours.
pub(super) fn read(headers: &HeaderMap) -> Option<Mark> {
    Mark::parse(headers.get(MARK)?.as_str())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_mark_is_read_off_the_message_that_it_was_written_on() {
        let mark = Mark { writer: Uuid::from_u128(1), complete: None, reached: 44 };
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), None);
        write(&mark, &mut headers);
        assert_eq!(read(&headers), Some(mark));
    }
}
