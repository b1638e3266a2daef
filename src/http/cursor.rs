//! Where a list goes on. Opaque to callers: what they send back is checked to be what was given.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::problem::Problem;
use crate::domain::alert::AlertId;
use crate::domain::claim::{ClaimKey, ClaimKind};
use crate::domain::reconciliation::{DifferenceKey, Figure, FigureSource};
use crate::domain::words::{Reference, StockKey, Timestamp};
use crate::ports::{AlertPlace, HolderPlace};

/// Bytes of the digest that tells a cursor of ours from other text.
const DIGEST_BYTES: usize = 4;

/// The last item that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Cursor {
    /// Of a list of stock rows.
    #[serde(rename = "s")]
    Stock(String, String),
    /// Of a list of movements.
    #[serde(rename = "m")]
    Movement(i64),
    /// Of a list of claims: since when they hold, kind, reference.
    #[serde(rename = "h")]
    Holder(Option<i64>, String, String),
    /// Of a list of differences: SKU, location, source, field.
    #[serde(rename = "d")]
    Difference(String, String, String, String),
    /// Of a list of alerts: when they were opened, id.
    #[serde(rename = "a")]
    Alert(i64, Uuid),
}

impl Cursor {
    /// The cursor behind a stock row.
    pub(super) fn behind(key: &StockKey) -> Self {
        Self::Stock(key.sku.as_str().to_owned(), key.location.as_str().to_owned())
    }

    /// The text for callers.
    pub(super) fn encode(&self) -> String {
        let body = serde_json::to_vec(self).expect("texts and numbers always serialize");
        let digest = Sha256::digest(&body);
        URL_SAFE_NO_PAD.encode([&body, &digest[..DIGEST_BYTES]].concat())
    }

    /// Reads a text back.
    pub(super) fn decode(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::invalid("cursor is none that was given here; leave it out to start at the beginning");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let split = bytes.len().checked_sub(DIGEST_BYTES).ok_or_else(wrong)?;
        let (body, digest) = bytes.split_at(split);
        if Sha256::digest(body)[..DIGEST_BYTES] != *digest {
            return Err(wrong());
        }
        serde_json::from_slice(body).map_err(|_| wrong())
    }

    /// The stock row behind which a list goes on.
    pub(super) fn stock(text: &str) -> Result<StockKey, Problem> {
        match Self::decode(text)? {
            Self::Stock(sku, location) => Ok(StockKey::new(sku, location)),
            _ => Err(Problem::invalid("cursor belongs to another list")),
        }
    }

    /// The cursor behind a claim.
    pub(super) fn behind_holder(place: &HolderPlace) -> Self {
        let since = place.held_since.map(|since| since.0);
        Self::Holder(since, place.key.kind.as_str().to_owned(), place.key.reference.to_string())
    }

    /// The claim behind which a list goes on.
    pub(super) fn holder(text: &str) -> Result<HolderPlace, Problem> {
        let other = || Problem::invalid("cursor belongs to another list");
        let Self::Holder(since, kind, reference) = Self::decode(text)? else { return Err(other()) };
        let kind = ClaimKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(other)?;
        let key = ClaimKey { kind, reference: Reference::new(reference) };
        Ok(HolderPlace { held_since: since.map(Timestamp), key })
    }

    /// The cursor behind an alert.
    pub(super) fn behind_alert(place: &AlertPlace) -> Self {
        Self::Alert(place.opened_at.0, Uuid::from_bytes(place.id.0))
    }

    /// The alert behind which a list goes on.
    pub(super) fn alert(text: &str) -> Result<AlertPlace, Problem> {
        match Self::decode(text)? {
            Self::Alert(opened_at, id) => {
                Ok(AlertPlace { opened_at: Timestamp(opened_at), id: AlertId(id.into_bytes()) })
            }
            _ => Err(Problem::invalid("cursor belongs to another list")),
        }
    }

    /// The cursor behind a difference.
    pub(super) fn behind_difference(place: &DifferenceKey) -> Self {
        let StockKey { sku, location } = &place.key;
        let (source, field) = (place.source.as_str().to_owned(), place.field.as_str().to_owned());
        Self::Difference(sku.to_string(), location.to_string(), source, field)
    }

    /// The difference behind which a list goes on.
    pub(super) fn difference(text: &str) -> Result<DifferenceKey, Problem> {
        let other = || Problem::invalid("cursor belongs to another list");
        let Self::Difference(sku, location, source, field) = Self::decode(text)? else { return Err(other()) };
        let field = Figure::parse(&field).ok_or_else(other)?;
        Ok(DifferenceKey { key: StockKey::new(sku, location), source: FigureSource::named(&source), field })
    }

    /// The version below which a history goes on.
    pub(super) fn movement(text: &str) -> Result<i64, Problem> {
        match Self::decode(text)? {
            Self::Movement(version) => Ok(version),
            _ => Err(Problem::invalid("cursor belongs to another list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        let key = StockKey::new("säge \"7\"", "default");
        let text = Cursor::behind(&key).encode();
        assert_eq!(Cursor::stock(&text).unwrap(), key);
        assert_eq!(Cursor::movement(&Cursor::Movement(i64::MAX).encode()).unwrap(), i64::MAX);
        let place = AlertPlace { opened_at: Timestamp(-1), id: AlertId([7; 16]) };
        assert_eq!(Cursor::alert(&Cursor::behind_alert(&place).encode()).unwrap(), place);
        assert!(Cursor::alert(&text).is_err());
        for held_since in [None, Some(Timestamp(-1))] {
            let key = ClaimKey { kind: ClaimKind::Cart, reference: Reference::new("C \"1\"") };
            let place = HolderPlace { held_since, key };
            assert_eq!(Cursor::holder(&Cursor::behind_holder(&place).encode()).unwrap(), place);
        }
        for source in ["ledger", "wms"] {
            let source = FigureSource::named(source);
            let place = DifferenceKey { key: key.clone(), source, field: Figure::Level };
            assert_eq!(Cursor::difference(&Cursor::behind_difference(&place).encode()).unwrap(), place);
        }
        assert!(Cursor::difference(&text).is_err());
        assert!(Cursor::holder(&text).is_err());
        assert!(Cursor::stock(&Cursor::Movement(1).encode()).is_err());
        assert!(Cursor::movement(&text).is_err());
        let mut changed = text.clone();
        changed.replace_range(10..11, if &text[10..11] == "A" { "B" } else { "A" });
        for wrong in ["", "0", "zz", "00000000", &text[1..], &text[..text.len() - 2], &changed, &"0".repeat(10_000)] {
            assert!(Cursor::decode(wrong).is_err(), "{wrong}");
        }
    }
}
