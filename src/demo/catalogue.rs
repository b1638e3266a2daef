//! The orders of a real shop, read from the file that the project carries: what the demo's customers buy.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};

use flate2::read::GzDecoder;

/// A year of orders; its source and licence are told in `examples/retail/README.md`.
const ORDERS: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/retail/online-retail-2010-2011.csv.gz"));
/// Invoices that are read: enough for minutes without a repetition, and few enough to be read in no time.
const MOST_INVOICES: usize = 2_500;
/// SKUs that the demo's shop keeps, the most sold ones: a table that can be looked at.
const MOST_SKUS: usize = 48;
/// Units of a line are cut to this: the file is a wholesaler's.
const MOST_UNITS: i64 = 12;

/// What the demo's shop sells and what was bought of it.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// The SKUs, the most sold first.
    pub skus: Vec<String>,
    /// What customers do, in the order of the file; never empty.
    pub invoices: Vec<Invoice>,
}

/// One visit of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invoice {
    /// An order.
    Bought(Order),
    /// An order that came before is called off: wholly, or these units of it.
    CalledOff {
        /// The number of the order.
        order: String,
        /// Units by SKU; nothing for the whole order.
        parts: Option<BTreeMap<String, i64>>,
    },
}

/// One order of the file, with what the demo's shop keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Its number.
    pub number: String,
    /// Units by SKU.
    pub lines: BTreeMap<String, i64>,
}

/// An invoice as the file has it.
struct Raw {
    number: String,
    customer: String,
    lines: BTreeMap<String, i64>,
}

impl Catalogue {
    /// Reads the file that is part of the binary.
    ///
    /// # Errors
    /// When it is not what it was when the binary was made.
    pub fn load() -> io::Result<Self> {
        Self::read(GzDecoder::new(ORDERS))
    }

    fn read(file: impl Read) -> io::Result<Self> {
        let invoices = invoices(file)?;
        let skus = most_sold(&invoices);
        let known: HashSet<&str> = skus.iter().map(String::as_str).collect();
        let mut standing: HashMap<String, Vec<Order>> = HashMap::new();
        let visits = invoices.into_iter().filter_map(|mut raw| {
            raw.lines.retain(|sku, _| known.contains(sku.as_str()));
            raw.lines.values_mut().for_each(|units| *units = (*units).clamp(-MOST_UNITS, MOST_UNITS));
            if raw.number.starts_with('C') { called_off(&raw, &standing) } else { bought(raw, &mut standing) }
        });
        let invoices: Vec<Invoice> = visits.collect();
        if invoices.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of orders holds no order"));
        }
        Ok(Self { skus, invoices })
    }

    /// Units of a SKU in the first orders of the catalogue.
    pub fn units_in_first(&self, orders: usize, sku: &str) -> i64 {
        let bought = self.invoices.iter().filter_map(|invoice| match invoice {
            Invoice::Bought(order) => Some(order),
            Invoice::CalledOff { .. } => None,
        });
        bought.take(orders).filter_map(|order| order.lines.get(sku)).sum()
    }
}

fn invoices(file: impl Read) -> io::Result<Vec<Raw>> {
    let mut invoices: Vec<Raw> = Vec::new();
    for line in BufReader::new(file).lines().skip(1) {
        let line = line?;
        let mut fields = line.split(',');
        let [Some(number), Some(sku), Some(units), Some(_), Some(customer)] = std::array::from_fn(|_| fields.next())
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no line of an invoice: {line:?}")));
        };
        let units: i64 = units.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if invoices.last().is_none_or(|last| last.number != number) {
            if invoices.len() == MOST_INVOICES {
                break;
            }
            invoices.push(Raw { number: number.to_owned(), customer: customer.to_owned(), lines: BTreeMap::new() });
        }
        if let Some(last) = invoices.last_mut() {
            *last.lines.entry(sku.to_owned()).or_default() += units;
        }
    }
    Ok(invoices)
}

fn most_sold(invoices: &[Raw]) -> Vec<String> {
    let mut orders: HashMap<&str, usize> = HashMap::new();
    for (sku, units) in invoices.iter().flat_map(|invoice| &invoice.lines) {
        *orders.entry(sku).or_default() += usize::from(*units > 0);
    }
    let mut ranked: Vec<(&str, usize)> = orders.into_iter().collect();
    ranked.sort_by_key(|(sku, orders)| (std::cmp::Reverse(*orders), *sku));
    ranked.into_iter().take(MOST_SKUS).map(|(sku, _)| sku.to_owned()).collect()
}

fn bought(mut raw: Raw, standing: &mut HashMap<String, Vec<Order>>) -> Option<Invoice> {
    raw.lines.retain(|_, units| *units > 0);
    if raw.lines.is_empty() {
        return None;
    }
    let order = Order { number: raw.number, lines: raw.lines };
    if !raw.customer.is_empty() {
        standing.entry(raw.customer).or_default().push(order.clone());
    }
    Some(Invoice::Bought(order))
}

/// The customer's latest order that has all of these lines; an invoice that matches none is left out.
fn called_off(raw: &Raw, standing: &HashMap<String, Vec<Order>>) -> Option<Invoice> {
    let parts: BTreeMap<String, i64> = raw.lines.iter().map(|(sku, units)| (sku.clone(), units.abs())).collect();
    let has = |order: &&Order| parts.iter().all(|(sku, units)| order.lines.get(sku).is_some_and(|of| of >= units));
    let order = standing.get(&raw.customer)?.iter().rev().find(has)?;
    let whole = order.lines == parts;
    (!parts.is_empty()).then(|| Invoice::CalledOff { order: order.number.clone(), parts: (!whole).then_some(parts) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_project_is_a_shop_with_orders_and_cancellations() {
        let catalogue = Catalogue::load().unwrap();
        assert_eq!(catalogue.skus.len(), MOST_SKUS);
        let called_off = |invoice: &&Invoice| matches!(invoice, Invoice::CalledOff { .. });
        let cancellations = catalogue.invoices.iter().filter(called_off).count();
        assert!(cancellations > 20 && catalogue.invoices.len() > 1_000, "{cancellations}");
        assert!(catalogue.skus.iter().all(|sku| catalogue.units_in_first(1_000, sku) > 0));
    }

    #[test]
    fn a_cancellation_is_matched_to_an_order_that_has_its_lines() {
        let file = "invoice,sku,quantity,invoiced_at,customer\n\
                    1,A,5,2010-12-01T08:26:00Z,9\n1,B,50,2010-12-01T08:26:00Z,9\n2,A,-3,2010-12-01T08:26:00Z,\n\
                    C3,A,-2,2010-12-01T08:26:00Z,9\nC4,A,-7,2010-12-01T08:26:00Z,9\nC5,A,-5,2010-12-01T08:26:00Z,9\n";
        let catalogue = Catalogue::read(file.as_bytes()).unwrap();
        let lines = BTreeMap::from([("A".to_owned(), 5), ("B".to_owned(), MOST_UNITS)]);
        let part = |units| Some(BTreeMap::from([("A".to_owned(), units)]));
        let expected = [
            Invoice::Bought(Order { number: "1".to_owned(), lines }),
            Invoice::CalledOff { order: "1".to_owned(), parts: part(2) },
            Invoice::CalledOff { order: "1".to_owned(), parts: part(5) },
        ];
        assert_eq!(catalogue.invoices, expected);
        assert!(Catalogue::read("invoice\nx".as_bytes()).is_err());
    }
}
