//! Bytes of a known layout to a tree.

use std::borrow::Cow;

use super::layout::{Layout, Node, TimeUnit};
use crate::wire::tree::{MAX_DEPTH, MAX_VALUES, Tree};

/// Reads one datum that fills `bytes` to the end. The error says what is wrong, for people. Never panics and never
/// takes more memory than a fixed multiple of the values that are there.
pub(crate) fn read<'a>(layout: &'a Layout, bytes: &'a [u8]) -> Result<Tree<'a>, String> {
    let mut reader = Reader { layout, rest: bytes, values_left: MAX_VALUES };
    let tree = reader.value(layout.root(), 0)?;
    match reader.rest.len() {
        0 => Ok(tree),
        left => Err(format!("{left} bytes follow the end of the Avro datum")),
    }
}

struct Reader<'a> {
    layout: &'a Layout,
    rest: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, index: usize, depth: usize) -> Result<Tree<'a>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the Avro datum nests deeper than {MAX_DEPTH} levels"));
        }
        self.values_left =
            self.values_left.checked_sub(1).ok_or_else(|| format!("there are more than {MAX_VALUES} values"))?;
        let layout = self.layout;
        Ok(match layout.node(index) {
            Node::Null => Tree::Null,
            Node::Boolean => match self.take(1)? {
                [0] => Tree::Boolean(false),
                [1] => Tree::Boolean(true),
                other => return Err(format!("{other:?} is no Avro boolean")),
            },
            Node::Int => match self.long()? {
                number if i32::try_from(number).is_ok() => Tree::Integer(number),
                number => return Err(format!("{number} does not fit into an Avro int")),
            },
            Node::Long => Tree::Integer(self.long()?),
            Node::Instant(unit) => Tree::Instant(microseconds(self.long()?, *unit)?),
            Node::Float => Tree::Float(f32::from_le_bytes(self.array()?).into()),
            Node::Double => Tree::Float(f64::from_le_bytes(self.array()?)),
            Node::Bytes => Tree::Bytes(self.sized()?),
            Node::Fixed(size) => Tree::Bytes(self.take(*size)?),
            Node::Text => Tree::Text(Cow::Borrowed(self.text()?)),
            Node::Enum(symbols) => {
                let position = self.long()?;
                let symbol = usize::try_from(position).ok().and_then(|position| symbols.get(position));
                Tree::Text(Cow::Borrowed(symbol.ok_or_else(|| format!("the Avro enum has no symbol {position}"))?))
            }
            Node::Union(variants) => {
                let position = self.long()?;
                let variant = usize::try_from(position).ok().and_then(|position| variants.get(position));
                self.value(*variant.ok_or_else(|| format!("the Avro union has no branch {position}"))?, depth + 1)?
            }
            Node::List(item) => self.list(*item, depth + 1)?,
            Node::Map(item) => self.map(*item, depth + 1)?,
            Node::Record(fields) => {
                let mut record = Vec::with_capacity(fields.len());
                for (name, field) in fields {
                    record.push((Cow::Borrowed(name.as_str()), self.value(*field, depth + 1)?));
                }
                Tree::Record(record)
            }
        })
    }

    fn list(&mut self, item: usize, depth: usize) -> Result<Tree<'a>, String> {
        let mut items = Vec::new();
        loop {
            match self.block()? {
                0 => return Ok(Tree::List(items)),
                count => {
                    // A count is only a claim: no more is reserved than bytes are left.
                    items.reserve(usize::try_from(count).unwrap_or(usize::MAX).min(self.rest.len()));
                    for _ in 0..count {
                        items.push(self.value(item, depth)?);
                    }
                }
            }
        }
    }

    fn map(&mut self, item: usize, depth: usize) -> Result<Tree<'a>, String> {
        let mut entries = Vec::new();
        loop {
            match self.block()? {
                0 => return Ok(Tree::Record(entries)),
                count => {
                    for _ in 0..count {
                        entries.push((Cow::Borrowed(self.text()?), self.value(item, depth)?));
                    }
                }
            }
        }
    }

    /// How many items the next block has; 0 ends the list. A negative count is followed by the block's bytes.
    fn block(&mut self) -> Result<u64, String> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.sized()?).map_err(|_| "an Avro string is not UTF-8".to_owned())
    }

    fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.long()?;
        self.take(usize::try_from(length).map_err(|_| format!("{length} is no length"))?)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A variable-length zig-zag integer.
    fn long(&mut self) -> Result<i64, String> {
        let mut bits: u64 = 0;
        for (position, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the one bit that is left of 64.
            if position == 9 && *byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[position + 1..];
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err(if self.rest.len() < 10 { truncated() } else { "an Avro integer is longer than 64 bits".to_owned() })
    }
}

fn truncated() -> String {
    "the Avro datum is cut off".to_owned()
}

fn microseconds(count: i64, unit: TimeUnit) -> Result<i64, String> {
    match unit {
        TimeUnit::Microsecond => Ok(count),
        TimeUnit::Nanosecond => Ok(count.div_euclid(1_000)),
        TimeUnit::Millisecond => count.checked_mul(1_000).ok_or_else(|| format!("{count} ms is no time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(schema: &str) -> Layout {
        Layout::parse(schema, &[]).unwrap()
    }

    #[test]
    fn every_type_is_read() {
        let schema = r#"{"type":"record","name":"a.R","fields":[
            {"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},
            {"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"y","type":"bytes"},
            {"name":"x","type":{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":2}},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["p","q"]}},{"name":"e2","type":"a.E"},
            {"name":"m","type":{"type":"map","values":"long"}},
            {"name":"l","type":{"type":"array","items":["null","string"]}},
            {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"next","type":["null","R"]}]}"#;
        let mut bytes = vec![1, 3];
        bytes.extend(1.5f32.to_le_bytes());
        bytes.extend(2.5f64.to_le_bytes());
        // bytes "z", fixed, enum q, enum p, map {k: 1}, list by a negative count ["s", null], 2 ms, no next
        bytes.extend([2, b'z', 7, 8, 2, 0, 2, 2, b'k', 2, 0, 3, 6, 2, 2, b's', 0, 0, 4, 0]);
        let layout = layout(schema);
        let Tree::Record(fields) = read(&layout, &bytes).unwrap() else { panic!("no record") };
        let read: Vec<Tree<'_>> = fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            read[..7],
            [
                Tree::Null,
                Tree::Boolean(true),
                Tree::Integer(-2),
                Tree::Float(1.5),
                Tree::Float(2.5),
                Tree::Bytes(b"z"),
                Tree::Bytes(&[7, 8]),
            ]
        );
        assert_eq!(read[7..9], [Tree::Text("q".into()), Tree::Text("p".into())]);
        assert_eq!(read[9], Tree::Record(vec![("k".into(), Tree::Integer(1))]));
        assert_eq!(read[10], Tree::List(vec![Tree::Text("s".into()), Tree::Null]));
        assert_eq!(read[11..], [Tree::Instant(2_000), Tree::Null]);
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_an_error() {
        let schema = layout(
            r#"{"type":"record","name":"R","fields":[
            {"name":"s","type":["null","string"]},{"name":"l","type":["null","string"]}]}"#,
        );
        let whole = [2, 2, b'a', 0];
        assert!(read(&schema, &whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&schema, &whole[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&schema, &[0, 0, 0]).unwrap_err().contains("1 bytes follow"));
    }

    #[test]
    fn lies_about_sizes_cost_nothing() {
        let nulls = layout(r#"{"type":"array","items":"null"}"#);
        let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(read(&nulls, &huge).unwrap_err().contains("more than"));
        let texts = layout(r#"{"type":"array","items":"string"}"#);
        assert!(read(&texts, &huge).is_err());
        let recursive = layout(r#"{"type":"record","name":"R","fields":[{"name":"r","type":["R","null"]}]}"#);
        assert!(read(&recursive, &[0; 1_000]).unwrap_err().contains("deeper"));
    }
}
