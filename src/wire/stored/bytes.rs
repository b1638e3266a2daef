//! Numbers, texts and lists as bytes.

use uuid::Uuid;

use super::Damaged;

/// Items that room is made for before they are read.
const ROOM: usize = 4_096;

/// Appends values.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number of things, or the place of one: seven bits a byte.
    pub(super) fn size(&mut self, size: usize) {
        self.bits(size as u64);
    }

    /// A signed number; small ones of either sign are short.
    pub(super) fn number(&mut self, number: i64) {
        self.bits(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(super) fn optional_number(&mut self, number: Option<i64>) {
        self.byte(number.is_some().into());
        if let Some(number) = number {
            self.number(number);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn optional_bytes(&mut self, bytes: Option<&[u8]>) {
        self.byte(bytes.is_some().into());
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        self.optional_bytes(text.map(str::as_bytes));
    }

    /// A text that is often a UUID in its canonical form, which then takes 17 bytes instead of 37.
    pub(super) fn id(&mut self, id: &str) {
        let uuid = (id.len() == 36).then(|| Uuid::try_parse(id).ok()).flatten();
        match uuid.filter(|_| !id.bytes().any(|byte| byte.is_ascii_uppercase())) {
            Some(uuid) => {
                self.byte(1);
                self.raw(uuid.as_bytes());
            }
            None => {
                self.byte(0);
                self.text(id);
            }
        }
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.raw(&other.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn bits(&mut self, mut bits: u64) {
        while bits >= 0x80 {
            self.0.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        self.0.push(bits as u8);
    }
}

/// Takes values off the front. Every method fails on bytes that no [`Writer`] wrote.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, Damaged> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Damaged(format!("{other} is neither yes nor no"))),
        }
    }

    pub(super) fn size(&mut self) -> Result<usize, Damaged> {
        let bits = self.bits()?;
        usize::try_from(bits).map_err(|_| Damaged(format!("{bits} is no size")))
    }

    pub(super) fn number(&mut self) -> Result<i64, Damaged> {
        let bits = self.bits()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<i64>, Damaged> {
        self.optional(Self::number)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let size = self.size()?;
        self.take(size)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("a text is not UTF-8".to_owned()))
    }

    pub(super) fn id(&mut self) -> Result<String, Damaged> {
        match self.flag()? {
            true => Ok(Uuid::from_bytes(self.array()?).hyphenated().to_string()),
            false => self.text().map(str::to_owned),
        }
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        self.flag()?.then(|| read(self)).transpose()
    }

    /// A number of items, then the items. Each takes at least a byte, so that no count is believed beyond the end.
    /// Room is made for the first ones only: an item may be far larger in memory than in the document.
    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let count = self.size()?;
        if count > self.rest.len() {
            return Err(Damaged(format!("{} bytes cannot hold {count} entries", self.rest.len())));
        }
        let mut items = Vec::with_capacity(count.min(ROOM));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn end(self) -> Result<(), Damaged> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Damaged(format!("{left} bytes follow its end"))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or_else(|| Damaged("it is cut off".to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn bits(&mut self) -> Result<u64, Damaged> {
        let mut bits: u64 = 0;
        for position in 0..10 {
            let byte = self.byte()?;
            // The tenth byte holds the one bit that is left of 64.
            if position == 9 && byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
        }
        Err(Damaged("a number is longer than 64 bits".to_owned()))
    }
}
