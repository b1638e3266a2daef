//! The envelope: CloudEvents attributes from headers (binary mode) or from the body (structured mode).

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Fields, Malformed};
use super::json;
use super::tree::{Tree, shortened};
use crate::domain::event::Trace;
use crate::ports::{Header, Record};

/// The content type of structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Longest trace context that is carried on, in bytes: what the W3C recommendation asks everybody to keep.
const MAX_TRACE_BYTES: usize = 512;

/// A record taken out of its envelope.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) trace: Trace,
    pub(crate) body: Body<'a>,
}

/// The attributes that were there.
#[derive(Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) specversion: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) source: Option<Cow<'a, str>>,
    pub(crate) event_type: Option<Cow<'a, str>>,
    pub(crate) time: Option<Cow<'a, str>>,
}

/// What the envelope held.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// Bytes whose first ones tell their encoding.
    Bytes(Cow<'a, [u8]>),
    /// JSON that was read together with its envelope.
    Tree(Tree<'a>),
}

/// Opens a record of either mode; one without attributes is open already.
pub(crate) fn open(record: &Record) -> Result<Opened<'_>, Malformed> {
    let payload = record.payload.as_deref().ok_or_else(|| Malformed::undecodable("the record has no body"))?;
    let opened = match content_type(&record.headers) {
        Some(kind) if kind == STRUCTURED => open_structured(record, payload)?,
        Some(kind) if kind.starts_with("application/cloudevents") => {
            return Err(Malformed::undecodable(format!(
                "the content type {:?} is not read; use {STRUCTURED} or binary mode",
                shortened(&kind)
            )));
        }
        _ => open_binary(record, payload)?,
    };
    match opened.attributes.specversion.as_deref() {
        Some(version) if !is_version_one(version) => {
            let detail = format!("specversion is {:?}, but must be 1.0", shortened(version));
            Err(Malformed::undecodable(detail))
        }
        _ => Ok(opened),
    }
}

/// CloudEvents promises that minor versions of 1 are read alike.
fn is_version_one(version: &str) -> bool {
    let minor = version.strip_prefix("1.").unwrap_or("");
    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
}

/// The media type of a record in lower case, without parameters.
pub(crate) fn content_type(headers: &[Header]) -> Option<String> {
    let (_, value) = headers.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    let text = std::str::from_utf8(value.as_deref()?).ok()?;
    Some(text.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

fn open_binary<'a>(record: &'a Record, payload: &'a [u8]) -> Result<Opened<'a>, Malformed> {
    let mut attributes = Attributes::default();
    for (name, value) in &record.headers {
        let (Some(attribute), Some(value)) = (without_prefix(name), value) else { continue };
        let slot = match attribute {
            name if name.eq_ignore_ascii_case("specversion") => &mut attributes.specversion,
            name if name.eq_ignore_ascii_case("id") => &mut attributes.id,
            name if name.eq_ignore_ascii_case("source") => &mut attributes.source,
            name if name.eq_ignore_ascii_case("type") => &mut attributes.event_type,
            name if name.eq_ignore_ascii_case("time") => &mut attributes.time,
            _ => continue,
        };
        let text = std::str::from_utf8(value)
            .map_err(|_| Malformed::invalid_field(format!("the header {:?} is not UTF-8", shortened(name))))?;
        *slot = Some(Cow::Borrowed(text));
    }
    Ok(Opened { attributes, trace: header_trace(&record.headers), body: Body::Bytes(Cow::Borrowed(payload)) })
}

/// Trace context stands in headers of its own name; the CloudEvents extension writes it as an attribute.
fn header_trace(headers: &[Header]) -> Trace {
    let find = |wanted: &str| {
        let matches = |name: &str| without_prefix(name).unwrap_or(name).eq_ignore_ascii_case(wanted);
        let (_, value) = headers.iter().find(|(name, _)| matches(name))?;
        trace_text(std::str::from_utf8(value.as_deref()?).ok()?)
    };
    Trace { parent: find("traceparent"), state: find("tracestate") }
}

/// The attribute that a header names: `ce_` on Kafka, `ce-` elsewhere.
fn without_prefix(name: &str) -> Option<&str> {
    let (prefix, attribute) = name.split_at_checked(3)?;
    (prefix.eq_ignore_ascii_case("ce_") || prefix.eq_ignore_ascii_case("ce-")).then_some(attribute)
}

fn open_structured<'a>(record: &'a Record, payload: &'a [u8]) -> Result<Opened<'a>, Malformed> {
    let text = std::str::from_utf8(payload).map_err(|_| Malformed::undecodable("the CloudEvent is not UTF-8"))?;
    let tree = json::read(text).map_err(|error| Malformed::undecodable(format!("the CloudEvent {error}")))?;
    let fields = Fields::of(&tree)?;
    let attribute = |name: &str| Ok(fields.text(name, 0..=usize::MAX)?.map(|text| Cow::Owned(text.to_owned())));
    let attributes = Attributes {
        specversion: attribute("specversion")?,
        id: attribute("id")?,
        source: attribute("source")?,
        event_type: attribute("type")?,
        time: attribute("time")?,
    };
    let carried = header_trace(&record.headers);
    let trace_of = |name: &str| match fields.get(name) {
        Ok(Some(Tree::Text(text))) => trace_text(text),
        _ => None,
    };
    let trace =
        Trace { parent: trace_of("traceparent").or(carried.parent), state: trace_of("tracestate").or(carried.state) };
    let body = match (fields.get("data")?, fields.get("data_base64")?) {
        (Some(_), Some(_)) => return Err(Malformed::undecodable("the CloudEvent has both data and data_base64")),
        (None, None) => return Err(Malformed::undecodable("the CloudEvent has no data")),
        (Some(_), None) => None,
        (None, Some(Tree::Text(text))) => Some(STANDARD.decode(text.as_bytes()).map_err(|error| {
            Malformed::undecodable(format!("data_base64 of the CloudEvent is not base64: {error}"))
        })?),
        (None, Some(_)) => return Err(Malformed::undecodable("data_base64 of the CloudEvent is no text")),
    };
    let body = match body {
        Some(bytes) => Body::Bytes(Cow::Owned(bytes)),
        None => Body::Tree(take_field(tree, "data")),
    };
    Ok(Opened { attributes, trace, body })
}

fn take_field<'a>(tree: Tree<'a>, name: &str) -> Tree<'a> {
    match tree {
        Tree::Record(entries) => {
            entries.into_iter().find(|(entry, _)| entry == name).map_or(Tree::Null, |(_, value)| value)
        }
        _ => Tree::Null,
    }
}

/// Trace context is carried when it can be and dropped when not: it is never a reason to refuse an event.
fn trace_text(text: &str) -> Option<Arc<str>> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (!text.is_empty() && text.len() <= MAX_TRACE_BYTES && printable).then(|| text.into())
}
