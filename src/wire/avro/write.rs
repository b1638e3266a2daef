//! Serialisable values to Avro bytes, without a schema at hand.
//!
//! A body's Rust type has the fields of its schema in the same order, which a test holds together; so the bytes
//! follow from the type alone: an `Option` is the union of null and the value, a skipped field is its null.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Impossible};

/// Appends the Avro form of a value. The error names a Rust type that no schema of ours has.
pub(crate) fn write(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), WriteError> {
    value.serialize(Writer { out })
}

/// A value that has no Avro form here.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as Avro: {0}")]
pub(crate) struct WriteError(String);

impl ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn unsupported<T>(what: &str) -> Result<T, WriteError> {
    Err(WriteError(format!("{what} is not used by any schema")))
}

/// Appends a variable-length zig-zag integer.
fn long(out: &mut Vec<u8>, number: i64) {
    let mut bits = ((number << 1) ^ (number >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> ser::Serializer for Writer<'o> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Items<'o>;
    type SerializeTuple = Impossible<(), WriteError>;
    type SerializeTupleStruct = Impossible<(), WriteError>;
    type SerializeTupleVariant = Impossible<(), WriteError>;
    type SerializeMap = Impossible<(), WriteError>;
    type SerializeStruct = Fields<'o>;
    type SerializeStructVariant = Impossible<(), WriteError>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, truth: bool) -> Result<(), WriteError> {
        self.out.push(truth.into());
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Result<(), WriteError> {
        long(self.out, number);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), WriteError> {
        long(self.out, text.len() as i64);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        long(self.out, 0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        long(self.out, 1);
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items<'o>, WriteError> {
        match length {
            None => return unsupported("a list of unknown length"),
            Some(0) => {}
            Some(length) => long(self.out, length as i64),
        }
        Ok(Items { out: self.out })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'o>, WriteError> {
        Ok(Fields { out: self.out })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_i8(self, number: i8) -> Result<(), WriteError> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<(), WriteError> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<(), WriteError> {
        self.serialize_i64(number.into())
    }

    fn serialize_u8(self, _: u8) -> Result<(), WriteError> {
        unsupported("an unsigned integer")
    }

    fn serialize_u16(self, _: u16) -> Result<(), WriteError> {
        unsupported("an unsigned integer")
    }

    fn serialize_u32(self, _: u32) -> Result<(), WriteError> {
        unsupported("an unsigned integer")
    }

    fn serialize_u64(self, _: u64) -> Result<(), WriteError> {
        unsupported("an unsigned integer")
    }

    fn serialize_f32(self, _: f32) -> Result<(), WriteError> {
        unsupported("a floating-point number")
    }

    fn serialize_f64(self, _: f64) -> Result<(), WriteError> {
        unsupported("a floating-point number")
    }

    fn serialize_char(self, _: char) -> Result<(), WriteError> {
        unsupported("a character")
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), WriteError> {
        unsupported("a byte string")
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        unsupported("a unit")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), WriteError> {
        unsupported(name)
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, _: &'static str) -> Result<(), WriteError> {
        unsupported(name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), WriteError> {
        unsupported(name)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, WriteError> {
        unsupported("a tuple")
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, WriteError> {
        unsupported(name)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        unsupported(name)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, WriteError> {
        unsupported("a map")
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        unsupported(name)
    }
}

struct Items<'o> {
    out: &'o mut Vec<u8>,
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), WriteError> {
        long(self.out, 0);
        Ok(())
    }
}

struct Fields<'o> {
    out: &'o mut Vec<u8>,
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(Writer { out: self.out })
    }

    fn skip_field(&mut self, _: &'static str) -> Result<(), WriteError> {
        long(self.out, 0);
        Ok(())
    }

    fn end(self) -> Result<(), WriteError> {
        Ok(())
    }
}
