//! Events in a document: what a claim remembers.

use std::sync::Arc;

use super::Damaged;
use super::bytes::{Reader, Writer};
use super::tables::{ReadTables, Tables};
use super::vocabulary::{self, read_optional, write_optional};
use crate::domain::claim::ClaimKey;
use crate::domain::event::{
    CartUpdated, ClaimExpired, Event, EventType, OrderCancelled, OrderCreated, OrderShipped, ReturnReceived,
    SkuRegistered, StockAdjusted, StockCounted, StockReceived, StockSynced,
};
use crate::domain::words::{Line, Reference, Timestamp};

pub(super) fn write<'v>(writer: &mut Writer, tables: &mut Tables<'v>, event: &'v Event) {
    vocabulary::write(writer, event.event_type());
    match event {
        Event::OrderCreated(event) => {
            writer.id(event.order.as_str());
            writer.optional_number(event.version);
            write_optional_reference(writer, event.cart.as_ref());
            vocabulary::write(writer, event.policy);
            writer.optional_number(event.ttl_seconds);
            write_lines(writer, tables, &event.lines);
        }
        Event::CartUpdated(event) => {
            writer.id(event.cart.as_str());
            writer.optional_number(event.version);
            writer.optional_number(event.ttl_seconds);
            write_lines(writer, tables, &event.lines);
        }
        Event::OrderCancelled(event) => {
            writer.id(event.order.as_str());
            writer.optional_number(event.version);
            writer.optional_text(event.reason.as_deref());
            write_optional_lines(writer, tables, event.lines.as_deref());
        }
        Event::OrderConfirmed { order } => writer.id(order.as_str()),
        Event::OrderShipped(event) => {
            writer.id(event.order.as_str());
            writer.id(event.shipment.as_str());
            write_optional_lines(writer, tables, event.lines.as_deref());
        }
        Event::SkuRegistered(event) => {
            writer.size(tables.key(&event.key));
            writer.optional_text(event.name.as_deref());
            writer.optional_number(event.safety_stock);
            writer.optional_number(event.warning_threshold);
            writer.optional_number(event.critical_threshold);
            writer.optional_number(event.max_stock);
            write_optional(writer, event.status);
            writer.optional_number(event.initial);
            writer.optional_number(event.version);
        }
        Event::StockReceived(event) => {
            writer.id(event.receipt.as_str());
            write_lines(writer, tables, &event.lines);
        }
        Event::ReturnReceived(event) => {
            writer.id(event.id.as_str());
            writer.id(event.order.as_str());
            write_lines(writer, tables, &event.lines);
            writer.byte(event.resellable.into());
        }
        Event::StockAdjusted(event) => {
            writer.id(event.adjustment.as_str());
            writer.size(tables.key(&event.key));
            vocabulary::write(writer, event.mode);
            writer.number(event.quantity);
            writer.optional_number(event.expected_version);
            writer.text(&event.reason);
            writer.optional_text(event.operator.as_deref());
        }
        Event::StockSynced(event) => {
            writer.id(event.trace.as_str());
            writer.size(tables.key(&event.key));
            writer.number(event.delta);
            write_optional_reference(writer, event.order.as_ref());
            writer.optional_text(event.reason.as_deref());
        }
        Event::StockCounted(event) => {
            writer.id(event.count.as_str());
            writer.size(tables.key(&event.key));
            writer.number(event.quantity);
            writer.number(event.counted_at.0);
        }
        Event::ClaimExpired(event) => {
            vocabulary::write(writer, event.claim.kind);
            writer.id(event.claim.reference.as_str());
            writer.number(event.deadline.0);
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, tables: &ReadTables) -> Result<Event, Damaged> {
    Ok(match vocabulary::read(reader)? {
        EventType::OrderCreated => Event::OrderCreated(OrderCreated {
            order: read_reference(reader)?,
            version: reader.optional_number()?,
            cart: reader.optional(read_reference)?,
            policy: vocabulary::read(reader)?,
            ttl_seconds: reader.optional_number()?,
            lines: read_lines(reader, tables)?,
        }),
        EventType::CartUpdated => Event::CartUpdated(CartUpdated {
            cart: read_reference(reader)?,
            version: reader.optional_number()?,
            ttl_seconds: reader.optional_number()?,
            lines: read_lines(reader, tables)?,
        }),
        EventType::OrderCancelled => Event::OrderCancelled(OrderCancelled {
            order: read_reference(reader)?,
            version: reader.optional_number()?,
            reason: reader.optional(Reader::text)?.map(Arc::from),
            lines: reader.optional(|reader| read_lines(reader, tables))?,
        }),
        EventType::OrderConfirmed => Event::OrderConfirmed { order: read_reference(reader)? },
        EventType::OrderShipped => Event::OrderShipped(OrderShipped {
            order: read_reference(reader)?,
            shipment: read_reference(reader)?,
            lines: reader.optional(|reader| read_lines(reader, tables))?,
        }),
        EventType::SkuRegistered => Event::SkuRegistered(SkuRegistered {
            key: tables.key(reader.size()?)?,
            name: reader.optional(Reader::text)?.map(Arc::from),
            safety_stock: reader.optional_number()?,
            warning_threshold: reader.optional_number()?,
            critical_threshold: reader.optional_number()?,
            max_stock: reader.optional_number()?,
            status: read_optional(reader)?,
            initial: reader.optional_number()?,
            version: reader.optional_number()?,
        }),
        EventType::StockReceived => {
            Event::StockReceived(StockReceived { receipt: read_reference(reader)?, lines: read_lines(reader, tables)? })
        }
        EventType::ReturnReceived => Event::ReturnReceived(ReturnReceived {
            id: read_reference(reader)?,
            order: read_reference(reader)?,
            lines: read_lines(reader, tables)?,
            resellable: reader.flag()?,
        }),
        EventType::StockAdjusted => Event::StockAdjusted(StockAdjusted {
            adjustment: read_reference(reader)?,
            key: tables.key(reader.size()?)?,
            mode: vocabulary::read(reader)?,
            quantity: reader.number()?,
            expected_version: reader.optional_number()?,
            reason: reader.text()?.into(),
            operator: reader.optional(Reader::text)?.map(Arc::from),
        }),
        EventType::StockSynced => Event::StockSynced(StockSynced {
            trace: read_reference(reader)?,
            key: tables.key(reader.size()?)?,
            delta: reader.number()?,
            order: reader.optional(read_reference)?,
            reason: reader.optional(Reader::text)?.map(Arc::from),
        }),
        EventType::StockCounted => Event::StockCounted(StockCounted {
            count: read_reference(reader)?,
            key: tables.key(reader.size()?)?,
            quantity: reader.number()?,
            counted_at: Timestamp(reader.number()?),
        }),
        EventType::ClaimExpired => Event::ClaimExpired(ClaimExpired {
            claim: ClaimKey { kind: vocabulary::read(reader)?, reference: read_reference(reader)? },
            deadline: Timestamp(reader.number()?),
        }),
    })
}

fn write_optional_reference(writer: &mut Writer, reference: Option<&Reference>) {
    writer.byte(reference.is_some().into());
    if let Some(reference) = reference {
        writer.id(reference.as_str());
    }
}

fn read_reference(reader: &mut Reader<'_>) -> Result<Reference, Damaged> {
    reader.id().map(Reference::new)
}

fn write_lines<'v>(writer: &mut Writer, tables: &mut Tables<'v>, lines: &'v [Line]) {
    writer.size(lines.len());
    for line in lines {
        writer.size(tables.key(&line.key));
        writer.number(line.quantity);
    }
}

fn write_optional_lines<'v>(writer: &mut Writer, tables: &mut Tables<'v>, lines: Option<&'v [Line]>) {
    writer.byte(lines.is_some().into());
    if let Some(lines) = lines {
        write_lines(writer, tables, lines);
    }
}

fn read_lines(reader: &mut Reader<'_>, tables: &ReadTables) -> Result<Vec<Line>, Damaged> {
    reader.list(|reader| Ok(Line { key: tables.key(reader.size()?)?, quantity: reader.number()? }))
}
