//! The body of each event type to its domain event.

use std::collections::HashMap;

use super::fields::{Fields, Malformed};
use crate::domain::event::{
    CartUpdated, Event, EventType, OrderCancelled, OrderCreated, OrderShipped, Policy, SkuRegistered, StockReceived,
};
use crate::domain::stock::Status;
use crate::domain::words::{DEFAULT_LOCATION, Line, Location, MAX_LINE_QUANTITY, MAX_LINES, StockKey};
use crate::ports::DeadLetterReason;

/// The words of `policy`.
const POLICIES: [(&str, Policy); 3] =
    [("all", Policy::All), ("partial", Policy::Partial), ("backorder", Policy::Backorder)];

/// The type that a name on the wire means, when it has rules and may come from outside.
pub(crate) fn input_type(name: &str) -> Option<EventType> {
    EventType::INPUT.into_iter().find(|input| input.as_str() == name)
}

/// Reads bodies. Holds the text that most lines share.
#[derive(Debug)]
pub(crate) struct EventReader {
    default_location: Location,
}

impl EventReader {
    pub(crate) fn new() -> Self {
        Self { default_location: Location::from(DEFAULT_LOCATION) }
    }

    /// The event of a body, its lines as they were written: not yet one a stock row.
    pub(crate) fn read(&self, event_type: EventType, body: &Fields<'_, '_>) -> Result<Event, Malformed> {
        Ok(match event_type {
            EventType::OrderCreated => Event::OrderCreated(OrderCreated {
                order: body.key("order_id")?,
                version: body.count("order_version")?,
                cart: body.reference("cart_id")?,
                policy: body.word("policy", &POLICIES)?.unwrap_or_default(),
                ttl_seconds: body.count("ttl_s")?,
                lines: self.required_lines(body, 1)?,
            }),
            EventType::CartUpdated => Event::CartUpdated(CartUpdated {
                cart: body.key("cart_id")?,
                version: body.count("cart_version")?,
                ttl_seconds: body.count("ttl_s")?,
                lines: self.required_lines(body, 0)?,
            }),
            EventType::OrderCancelled => Event::OrderCancelled(OrderCancelled {
                order: body.key("order_id")?,
                version: body.count("order_version")?,
                reason: body.free_text("reason")?,
                lines: self.lines(body, 1)?,
            }),
            EventType::OrderConfirmed => Event::OrderConfirmed { order: body.key("order_id")? },
            EventType::OrderShipped => Event::OrderShipped(OrderShipped {
                order: body.key("order_id")?,
                shipment: body.key("shipment_id")?,
                lines: self.lines(body, 1)?,
            }),
            EventType::SkuRegistered => Event::SkuRegistered(self.registration(body)?),
            EventType::StockReceived => Event::StockReceived(StockReceived {
                receipt: body.key("receipt_id")?,
                lines: self.required_lines(body, 1)?,
            }),
            EventType::ClaimExpired => {
                return Err(Malformed::new(DeadLetterReason::UnknownType, "claim-expired does not come from outside"));
            }
        })
    }

    fn registration(&self, body: &Fields<'_, '_>) -> Result<SkuRegistered, Malformed> {
        Ok(SkuRegistered {
            key: self.stock_key(body)?,
            name: body.free_text("name")?,
            safety_stock: body.quantity("safety_stock", 0)?,
            warning_threshold: body.quantity("warning_threshold", 0)?,
            critical_threshold: body.quantity("critical_threshold", 0)?,
            max_stock: body.quantity("max_stock", 0)?,
            status: body.word("status", &Status::ALL.map(|status| (status.as_str(), status)))?,
            initial: body.quantity("initial", 0)?,
            version: body.count("sku_version")?,
        })
    }

    fn required_lines(&self, body: &Fields<'_, '_>, least: usize) -> Result<Vec<Line>, Malformed> {
        self.lines(body, least)?.ok_or_else(|| Malformed::invalid_field("lines is absent, but must be a list"))
    }

    fn lines(&self, body: &Fields<'_, '_>, least: usize) -> Result<Option<Vec<Line>>, Malformed> {
        let Some(items) = body.list("lines")? else { return Ok(None) };
        if !(least..=MAX_LINES).contains(&items.len()) {
            return Err(Malformed::invalid_field(format!(
                "lines has {} entries, but must have {least} to {MAX_LINES}",
                items.len()
            )));
        }
        let mut lines = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            let fields = Fields::of_line(item, position)?;
            let key = self.stock_key(&fields)?;
            lines.push(Line { key, quantity: fields.required_quantity("quantity", 1)? });
        }
        Ok(Some(lines))
    }

    fn stock_key(&self, fields: &Fields<'_, '_>) -> Result<StockKey, Malformed> {
        let sku = fields.sku("sku")?;
        let location = fields.location("location")?.unwrap_or_else(|| self.default_location.clone());
        Ok(StockKey { sku, location })
    }
}

/// Makes the lines of an event one a stock row, in order of first mention.
pub(crate) fn sum_lines(event: &mut Event) -> Result<(), Malformed> {
    match event {
        Event::OrderCreated(OrderCreated { lines, .. })
        | Event::CartUpdated(CartUpdated { lines, .. })
        | Event::StockReceived(StockReceived { lines, .. }) => sum(lines),
        Event::OrderCancelled(OrderCancelled { lines, .. }) | Event::OrderShipped(OrderShipped { lines, .. }) => {
            lines.as_mut().map_or(Ok(()), sum)
        }
        Event::OrderConfirmed { .. } | Event::SkuRegistered(_) | Event::ClaimExpired(_) => Ok(()),
    }
}

fn sum(lines: &mut Vec<Line>) -> Result<(), Malformed> {
    /// Up to so many lines, looking through all of them is faster than hashing.
    const FEW: usize = 8;
    let mut summed: Vec<Line> = Vec::with_capacity(lines.len());
    let mut places: HashMap<StockKey, usize> = HashMap::new();
    let few = lines.len() <= FEW;
    for line in lines.drain(..) {
        let place =
            if few { summed.iter().position(|other| other.key == line.key) } else { places.get(&line.key).copied() };
        match place {
            // At most 10,000 lines of 31 bits each: this cannot overflow.
            Some(place) => summed[place].quantity += line.quantity,
            None => {
                if !few {
                    places.insert(line.key.clone(), summed.len());
                }
                summed.push(line);
            }
        }
    }
    *lines = summed;
    match lines.iter().find(|line| line.quantity > MAX_LINE_QUANTITY) {
        None => Ok(()),
        Some(line) => Err(Malformed::new(
            DeadLetterReason::InvalidQuantity,
            format!("the lines of {} add up to {}, more than {MAX_LINE_QUANTITY}", line.key, line.quantity),
        )),
    }
}
