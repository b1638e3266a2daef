//! What buses keep and carry in forms of their own: progress, marks, and names as NATS takes them.

use holdfast::wire::nats_names::{
    decoded, durable, header_name, header_value, header_value_encoded, is_subject, key_of, stream, subject, subjects,
};
use holdfast::wire::progress::{Mark, decode_progress, encode_progress};
use serde_json::{Map, Value};

/// Longest encoded key that may stand in a subject, in bytes.
const MAX_KEY_BYTES: usize = 2_048;

/// A mark of NATS, or behind a `k` the record of progress on Kafka: what is read is written in a form that reads the
/// same, and a text that says less than all of what is complete is not read.
pub fn progress(input: &[u8]) -> bool {
    if let Some(body) = input.strip_prefix(b"k") {
        let Ok(progress) = decode_progress(body) else { return false };
        assert_eq!(decode_progress(&encode_progress(progress)).expect("it was just written"), progress);
        return true;
    }
    let Some((text, mark)) = std::str::from_utf8(input).ok().and_then(|text| Some((text, Mark::parse(text)?))) else {
        return false;
    };
    let written = mark.text();
    assert!(!written.chars().any(char::is_control), "a header is one line: {written:?}");
    assert_eq!(Mark::parse(&written), Some(mark));
    // Serde takes fields by their place as well; whoever writes marks does not.
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) else { return true };
    let said = ["installation", "batch", "seq"].map(|name| fields.get(name).is_some_and(|value| !value.is_null()));
    assert_eq!(said, [mark.complete.is_some(); 3], "{text}");
    match (mark.complete, mark.progress()) {
        (Some(complete), Some(progress)) => {
            assert_eq!((progress.installation, progress.batch), (complete.installation, complete.batch));
            assert!(progress.seq >= mark.reached && progress.seq >= complete.seq, "{progress:?}");
        }
        (None, None) => {}
        (complete, progress) => panic!("{complete:?} is {progress:?}"),
    }
    true
}

/// A topic, a NUL, and a key: the same bytes also stand for the name and the value of a header. Nothing that a publisher
/// wrote tells the server anything, and what is encoded can be read back.
pub fn nats_names(input: &[u8]) -> bool {
    let at = input.iter().position(|byte| *byte == 0);
    let (topic, key) = at.map_or((input, &[][..]), |at| (&input[..at], &input[at + 1..]));
    let Ok(topic) = std::str::from_utf8(topic) else { return false };
    assert_header(topic, key);
    for (name, expected) in [(stream(topic), topic), (durable("group", topic), &format!("group-{topic}"))] {
        assert_eq!(decoded(&name), expected.as_bytes());
        assert!(!name.chars().any(|it| it.is_whitespace() || it.is_control() || ".*>/\\".contains(it)), "{name:?}");
    }
    if !is_subject(topic) {
        return false;
    }
    let Some(subject) = subject(topic, Some(key)) else {
        assert!(key.len() * 3 > MAX_KEY_BYTES, "a key of {} bytes has room in a subject", key.len());
        return true;
    };
    let is_token = |token: &str| {
        !token.is_empty() && !token.chars().any(|it| it.is_whitespace() || it.is_control() || "*>".contains(it))
    };
    assert!(subject.split('.').all(is_token) && subject.len() <= topic.len() + 1 + MAX_KEY_BYTES, "{subject:?}");
    // An empty key is none.
    assert_eq!(key_of(topic, &subject).unwrap_or_default(), key);
    let [own, keyed] = subjects(topic);
    let is_taken = subject == own || keyed.strip_suffix('>').is_some_and(|prefix| subject.starts_with(prefix));
    assert!(is_taken, "{subject:?} is none of {own:?} and {keyed:?}");
    true
}

fn assert_header(name: &str, value: &[u8]) {
    let legal = header_name(name);
    assert!(!legal.is_empty() && legal.chars().all(|it| it.is_ascii_graphic() && it != ':'), "{legal:?}");
    let lower = legal.to_ascii_lowercase();
    assert!(!lower.starts_with("nats-") && !lower.starts_with("holdfast-"), "{name:?} is written as {legal:?}");
    let line = header_value(value);
    assert!(!line.chars().any(char::is_control) && line.trim() == line, "{line:?}");
    assert!(line.as_bytes() == value || decoded(&line) == value, "{value:?} is written as {line:?}");
    assert_eq!(decoded(&header_value_encoded(value)), value);
}
