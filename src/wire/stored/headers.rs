//! The headers of a record that is kept as it is.

use super::Damaged;
use super::bytes::{Reader, Writer};
use crate::ports::Header;

/// The version that is written.
const VERSION: u8 = 1;

/// The headers of one record; `None` where there are none.
pub fn encode_headers(headers: &[Header]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let mut writer = Writer::default();
    writer.byte(VERSION);
    writer.size(headers.len());
    for (name, value) in headers {
        writer.text(name);
        writer.optional_bytes(value.as_deref());
    }
    Some(writer.into_bytes())
}

/// What [`encode_headers`] wrote. Never panics; takes no more memory than the document calls for.
pub fn decode_headers(document: Option<&[u8]>) -> Result<Vec<Header>, Damaged> {
    let Some(document) = document else { return Ok(Vec::new()) };
    let mut reader = Reader::new(document);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(Damaged(format!("the version of its headers is {version}, but this program reads {VERSION}")));
    }
    let header =
        |reader: &mut Reader<'_>| Ok((reader.text()?.to_owned(), reader.optional(Reader::bytes)?.map(<[u8]>::to_vec)));
    let headers = reader.list(header)?;
    reader.end()?;
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written() {
        let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        for headers in [
            vec![],
            vec![header("content-type", Some(b"application/json"))],
            vec![header("", None), header("b", Some(&[0, 255])), header("b", Some(b""))],
        ] {
            let document = encode_headers(&headers);
            assert_eq!(decode_headers(document.as_deref()), Ok(headers));
        }
        assert!(decode_headers(Some(&[1, 2, 0])).is_err());
        assert!(decode_headers(Some(&[9])).is_err());
    }
}
