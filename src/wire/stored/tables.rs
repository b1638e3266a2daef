//! What repeats within a document, written once and referred to by number.

use std::collections::HashMap;
use std::hash::Hash;
use std::ptr;
use std::sync::Arc;

use super::Damaged;
use super::bytes::{Reader, Writer};
use super::vocabulary;
use crate::domain::event::{Cause, Trace};
use crate::domain::words::{Location, Reference, Sku, StockKey};

/// The tables while a document is written.
#[derive(Default)]
pub(super) struct Tables<'v> {
    /// Sources and locations: few, each of them often.
    texts: Interned<&'v str>,
    keys: Interned<&'v StockKey>,
    /// The parts of a stock key that were interned for it.
    locations: Vec<usize>,
    causes: Vec<CauseEntry<'v>>,
    /// Announcements of one event share its cause, which is therefore known by where it stands in memory.
    cause_places: HashMap<(*const Cause, *const u8, *const u8), usize>,
}

struct CauseEntry<'v> {
    cause: &'v Cause,
    source: usize,
    trace: &'v Trace,
}

struct Interned<K> {
    places: HashMap<K, usize>,
    items: Vec<K>,
}

impl<K> Default for Interned<K> {
    fn default() -> Self {
        Self { places: HashMap::new(), items: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Interned<K> {
    fn place(&mut self, item: K) -> usize {
        let next = self.items.len();
        let place = *self.places.entry(item).or_insert(next);
        if place == next {
            self.items.push(item);
        }
        place
    }
}

impl<'v> Tables<'v> {
    /// The number of a stock key.
    pub(super) fn key(&mut self, key: &'v StockKey) -> usize {
        let place = self.keys.place(key);
        if place == self.locations.len() {
            self.locations.push(self.texts.place(key.location.as_str()));
        }
        place
    }

    /// The number of a cause with its trace context.
    pub(super) fn cause(&mut self, cause: &'v Cause, trace: &'v Trace) -> usize {
        let address = |text: &Option<Arc<str>>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let identity = (ptr::from_ref(cause), address(&trace.parent), address(&trace.state));
        if let Some(place) = self.cause_places.get(&identity) {
            return *place;
        }
        let source = self.texts.place(&cause.source);
        let place = self.causes.len();
        self.causes.push(CauseEntry { cause, source, trace });
        self.cause_places.insert(identity, place);
        place
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.size(self.texts.items.len());
        self.texts.items.iter().for_each(|text| writer.text(text));
        writer.size(self.keys.items.len());
        for (key, location) in self.keys.items.iter().zip(&self.locations) {
            writer.text(key.sku.as_str());
            writer.size(*location);
        }
        writer.size(self.causes.len());
        for CauseEntry { cause, source, trace } in &self.causes {
            vocabulary::write(writer, cause.event_type);
            writer.id(&cause.id);
            writer.size(*source);
            writer.byte(cause.reference.is_some().into());
            if let Some(reference) = &cause.reference {
                writer.id(reference.as_str());
            }
            writer.optional_text(trace.parent.as_deref());
            writer.optional_text(trace.state.as_deref());
        }
    }
}

/// The tables of a document that is read. What is referred to twice is shared.
#[derive(Debug)]
pub(super) struct ReadTables {
    keys: Vec<StockKey>,
    causes: Vec<(Arc<Cause>, Trace)>,
}

impl ReadTables {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let texts: Vec<Arc<str>> = reader.list(|reader| reader.text().map(Arc::from))?;
        let text = |place: usize| texts.get(place).cloned().ok_or_else(|| missing("text", place));
        let keys = reader.list(|reader| {
            let sku = Sku::new(reader.text()?);
            Ok(StockKey { sku, location: Location::new(text(reader.size()?)?) })
        })?;
        let causes = reader.list(|reader| {
            let event_type = vocabulary::read(reader)?;
            let id = reader.id()?.into();
            let source = text(reader.size()?)?;
            let reference = reader.optional(Reader::id)?.map(Reference::new);
            let parent = reader.optional(Reader::text)?.map(Arc::from);
            let state = reader.optional(Reader::text)?.map(Arc::from);
            Ok((Arc::new(Cause { event_type, id, source, reference }), Trace { parent, state }))
        })?;
        Ok(Self { keys, causes })
    }

    pub(super) fn key(&self, place: usize) -> Result<StockKey, Damaged> {
        self.keys.get(place).cloned().ok_or_else(|| missing("stock key", place))
    }

    pub(super) fn cause(&self, place: usize) -> Result<(Arc<Cause>, Trace), Damaged> {
        self.causes.get(place).cloned().ok_or_else(|| missing("cause", place))
    }
}

fn missing(what: &str, place: usize) -> Damaged {
    Damaged(format!("it has no {what} number {place}"))
}
