//! Names as NATS takes them: subjects with keys behind them, headers, streams and durable consumers.

/// Longest key that stands in a subject, in bytes after encoding. A server takes lines of 4,096 bytes unless it is
/// told otherwise, and the line also names the reply subject.
const MAX_KEY_BYTES: usize = 2_048;

/// Stands before the name of a header that would mean something to the server or to us, and came with a dead letter.
const ORIGINAL: &str = "original-";
/// Names of headers that mean something, by how they begin.
const MEANT_FOR_US: [&str; 2] = ["nats-", "holdfast-"];
/// The name of a header that has none: a name of no character cannot be written at all.
pub const UNNAMED: &str = "unnamed";

/// The subject of a topic and a key; `None` when the key is too long for a subject. A record without a key, or with an
/// empty one, goes to the topic's own subject.
pub fn subject(topic: &str, key: Option<&[u8]>) -> Option<String> {
    let Some(key) = key.filter(|key| !key.is_empty()) else { return Some(topic.to_owned()) };
    let token = encoded(key, is_legal_in_token);
    (token.len() <= MAX_KEY_BYTES).then(|| format!("{topic}.{token}"))
}

/// The key behind a topic in a subject. What an upstream publisher wrote with dots is taken with its dots.
pub fn key_of(topic: &str, subject: &str) -> Option<Vec<u8>> {
    subject.strip_prefix(topic)?.strip_prefix('.').map(decoded)
}

/// The subjects of a topic: its own, and those with a key behind it.
pub fn subjects(topic: &str) -> [String; 2] {
    [topic.to_owned(), format!("{topic}.>")]
}

/// The name of the stream of a topic.
pub fn stream(topic: &str) -> String {
    encoded(topic.as_bytes(), is_legal_in_name)
}

/// The name of the durable consumer that a group has for a topic.
pub fn durable(group: &str, topic: &str) -> String {
    encoded(format!("{group}-{topic}").as_bytes(), is_legal_in_name)
}

/// Whether a topic's name is a subject: no part between dots is empty.
pub fn is_subject(topic: &str) -> bool {
    topic.split('.').all(|token| !token.is_empty() && token.chars().all(is_legal_in_token))
}

/// A header's name as NATS writes it: attributes of CloudEvents with a dash, and nothing that the server would take for
/// an instruction.
pub fn header_name(name: &str) -> String {
    let is_meant = |prefix: &&str| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    let renamed = match name.strip_prefix("ce_") {
        Some(attribute) => format!("ce-{attribute}"),
        None if MEANT_FOR_US.iter().any(is_meant) => format!("{ORIGINAL}{name}"),
        None if name.is_empty() => UNNAMED.to_owned(),
        None => name.to_owned(),
    };
    encoded(renamed.as_bytes(), |letter| letter.is_ascii_graphic() && letter != ':')
}

/// A header's value: as it is where it is one line of text, percent-encoded where it is not.
pub fn header_value(value: &[u8]) -> String {
    let is_line = |text: &&str| !text.chars().any(char::is_control) && text.trim() == *text;
    match std::str::from_utf8(value).ok().filter(is_line) {
        Some(text) => text.to_owned(),
        None => header_value_encoded(value),
    }
}

/// A header's value, percent-encoded whatever it is: [`decoded`] gives the bytes back.
pub fn header_value_encoded(value: &[u8]) -> String {
    encoded(value, |letter| letter.is_ascii_graphic() && letter != '%')
}

/// A text in which every character that is not legal, and every byte that is no text, is written as `%` and two
/// hexadecimal digits a byte.
pub fn encoded(bytes: &[u8], is_legal: fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    let encode = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push_str(&format!("%{byte:02X}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_legal(letter) {
                text.push(letter);
            } else {
                encode(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        encode(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that were encoded. A `%` without two digits behind it stands for itself.
pub fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).map(|digit| digit as u8);
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, behind)) = rest.split_first() {
        match (first, digit(behind.first()), digit(behind.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

fn is_legal_in_token(letter: char) -> bool {
    !matches!(letter, '.' | '*' | '>' | '%') && !letter.is_whitespace() && !letter.is_control()
}

/// Streams and consumers are folders on the server.
fn is_legal_in_name(letter: char) -> bool {
    is_legal_in_token(letter) && !matches!(letter, '/' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_bytes_stands_in_a_subject_and_is_found_again() {
        for (key, expected) in [
            (&b"O-1001"[..], "t.O-1001"),
            (b"a.b*c>d%e f", "t.a%2Eb%2Ac%3Ed%25e%20f"),
            ("Größe/1".as_bytes(), "t.Größe/1"),
            (b"\xff\r\n", "t.%FF%0D%0A"),
        ] {
            let subject = subject("t", Some(key)).unwrap();
            assert_eq!(subject, expected);
            assert_eq!(key_of("t", &subject).as_deref(), Some(key));
        }
        assert_eq!(subject("t", None).as_deref(), Some("t"));
        assert_eq!(subject("t", Some(b"")).as_deref(), Some("t"));
        assert_eq!(subject("t", Some(&[b'.'; 1_000])), None);
    }

    #[test]
    fn keys_of_others_are_taken_as_they_are() {
        assert_eq!(key_of("shop.orders", "shop.orders"), None);
        assert_eq!(key_of("shop.orders", "shop.orders.eu.7").as_deref(), Some(&b"eu.7"[..]));
        assert_eq!(key_of("orders", "orders.50%").as_deref(), Some(&b"50%"[..]));
        assert_eq!(key_of("orders", "orders-x"), None);
    }

    #[test]
    fn names_of_streams_and_consumers_hold_no_dots_and_never_meet() {
        assert_eq!(stream("order-created"), "order-created");
        assert_eq!(stream("eu.orders"), "eu%2Eorders");
        assert_eq!(durable("holdfast", "order-created"), "holdfast-order-created");
        assert_ne!(durable("a.b", "t"), durable("a_b", "t"));
    }

    #[test]
    fn a_topic_with_an_empty_part_is_no_subject() {
        assert!(is_subject("eu.order-created"));
        for wrong in [".orders", "orders.", "a..b", ""] {
            assert!(!is_subject(wrong), "{wrong}");
        }
    }
}
