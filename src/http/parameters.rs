//! What stands in a path or behind its `?`, checked before anything is asked.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;

use super::problem::Problem;
use crate::domain::reconciliation::FigureSource;
use crate::domain::words::{
    DEFAULT_LOCATION, Location, MAX_REFERENCE_CHARACTERS, MAX_SKU_CHARACTERS, Reference, Sku, Timestamp,
};
use crate::wire::{MAX_TEXT_CHARACTERS, instant};

/// Items of a page when the caller does not say.
const DEFAULT_PAGE: u32 = 50;
/// The most items of a page.
const MAX_PAGE: u32 = 500;
/// The most SKUs that one list may name: a page's worth.
const MAX_SKUS: usize = MAX_PAGE as usize;

/// Parameters of the query string; each is taken once, and what nobody took is refused.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<Vec<(String, String)>>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|_| Problem::invalid("the query string cannot be read"))?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// A parameter that may stand once.
    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.many(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::invalid(format!("{name} may stand only once"))),
        }
    }

    /// A parameter that may stand several times.
    pub(super) fn many(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(found, _)| found == name).map(|(_, value)| value).collect()
    }

    /// `limit`.
    pub(super) fn limit(&mut self) -> Result<u32, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(DEFAULT_PAGE) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
        limit.ok_or_else(|| Problem::invalid(format!("limit must be a whole number from 1 to {MAX_PAGE}")))
    }

    /// `location`, as a filter.
    pub(super) fn location(&mut self) -> Result<Option<Location>, Problem> {
        let Some(text) = self.one("location")? else { return Ok(None) };
        checked(&text, "location", MAX_SKU_CHARACTERS)?;
        Ok(Some(Location::new(text)))
    }

    /// `location`, or the default one.
    pub(super) fn location_or_default(&mut self) -> Result<Location, Problem> {
        Ok(self.location()?.unwrap_or_else(|| Location::new(DEFAULT_LOCATION)))
    }

    /// `as_of`: an instant.
    pub(super) fn as_of(&mut self) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.one("as_of")? else { return Ok(None) };
        let wrong = "as_of must be a time in RFC 3339, like 2026-11-21T15:45:00Z; a + in it is written as %2B";
        instant::parse(&text).map(Some).ok_or_else(|| Problem::invalid(wrong))
    }

    /// `prefix`: the beginning of a SKU.
    pub(super) fn prefix(&mut self) -> Result<Option<Sku>, Problem> {
        let Some(text) = self.one("prefix")? else { return Ok(None) };
        checked(&text, "prefix", MAX_SKU_CHARACTERS)?;
        Ok(Some(Sku::new(text)))
    }

    /// Every `sku`.
    pub(super) fn skus(&mut self) -> Result<Vec<Sku>, Problem> {
        let texts = self.many("sku");
        if texts.len() > MAX_SKUS {
            return Err(Problem::invalid(format!("sku may stand at most {MAX_SKUS} times")));
        }
        texts.into_iter().map(sku).collect()
    }

    /// `source`: a part of our own books, or another system.
    pub(super) fn figure_source(&mut self) -> Result<Option<FigureSource>, Problem> {
        let Some(text) = self.one("source")? else { return Ok(None) };
        checked(&text, "source", MAX_SKU_CHARACTERS)?;
        Ok(Some(FigureSource::named(&text)))
    }

    /// Refuses whatever was not taken: a parameter that is misspelled must not change an answer in silence.
    pub(super) fn done(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(50).collect();
                Err(Problem::invalid(format!("unknown parameter {name:?}; /openapi.json lists those that are known")))
            }
        }
    }
}

/// The text of the one variable segment of a path.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Problem::invalid("the path is not UTF-8 text"))?;
        Ok(Self(text))
    }
}

/// Reads a SKU.
pub(super) fn sku(text: String) -> Result<Sku, Problem> {
    checked(&text, "sku", MAX_SKU_CHARACTERS)?;
    Ok(Sku::new(text))
}

/// Reads the name of an order or a cart.
pub(super) fn reference(text: String) -> Result<Reference, Problem> {
    checked(&text, "reference", MAX_REFERENCE_CHARACTERS)?;
    Ok(Reference::new(text))
}

/// Reads the name of a person.
pub(super) fn operator(text: String) -> Result<String, Problem> {
    checked(&text, "operator", MAX_TEXT_CHARACTERS)?;
    Ok(text)
}

fn checked(text: &str, name: &str, most: usize) -> Result<(), Problem> {
    let right = (1..=most).contains(&text.chars().count()) && !text.contains('\0');
    if right { Ok(()) } else { Err(Problem::invalid(format!("{name} must have 1 to {most} characters and no NUL"))) }
}
