//! Reconciliation in a document.

use std::sync::Arc;

use super::Damaged;
use super::bytes::{Reader, Writer};
use super::tables::{ReadTables, Tables};
use crate::domain::event::{Comparison, Reconciliation, ReconciliationTask, Taking};
use crate::domain::reconciliation::Decision;

const COMPARE_BOOKS: u8 = 0;
const COMPARE_FIGURE: u8 = 1;
const REBUILD: u8 = 2;
const TAKE_THEIRS: u8 = 3;

pub(super) fn write<'v>(writer: &mut Writer, tables: &mut Tables<'v>, event: &'v Reconciliation) {
    writer.size(tables.key(&event.key));
    match &event.task {
        ReconciliationTask::CompareBooks => writer.byte(COMPARE_BOOKS),
        ReconciliationTask::CompareFigure(comparison) => {
            writer.byte(COMPARE_FIGURE);
            writer.text(&comparison.source);
            writer.optional_number(comparison.theirs);
            writer.number(comparison.tolerance);
            writer.optional_number(comparison.alert_threshold);
            writer.byte(comparison.use_ours.is_some().into());
            if let Some(decision) = &comparison.use_ours {
                write_decision(writer, decision);
            }
        }
        ReconciliationTask::Rebuild { version, decision } => {
            writer.byte(REBUILD);
            writer.number(*version);
            write_decision(writer, decision);
        }
        ReconciliationTask::TakeTheirs(taking) => {
            writer.byte(TAKE_THEIRS);
            writer.text(&taking.source);
            for number in [taking.ours, taking.theirs, taking.version, taking.max_amount] {
                writer.number(number);
            }
            writer.byte(taking.may_raise.into());
            write_decision(writer, &taking.decision);
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, tables: &ReadTables) -> Result<Reconciliation, Damaged> {
    let key = tables.key(reader.size()?)?;
    let task = match reader.byte()? {
        COMPARE_BOOKS => ReconciliationTask::CompareBooks,
        COMPARE_FIGURE => ReconciliationTask::CompareFigure(Comparison {
            source: reader.text()?.into(),
            theirs: reader.optional_number()?,
            tolerance: reader.number()?,
            alert_threshold: reader.optional_number()?,
            use_ours: reader.optional(read_decision)?,
        }),
        REBUILD => ReconciliationTask::Rebuild { version: reader.number()?, decision: read_decision(reader)? },
        TAKE_THEIRS => ReconciliationTask::TakeTheirs(Taking {
            source: reader.text()?.into(),
            ours: reader.number()?,
            theirs: reader.number()?,
            version: reader.number()?,
            max_amount: reader.number()?,
            may_raise: reader.flag()?,
            decision: read_decision(reader)?,
        }),
        other => return Err(Damaged(format!("no task of reconciliation has the number {other}"))),
    };
    Ok(Reconciliation { key, task })
}

fn write_decision(writer: &mut Writer, decision: &Decision) {
    writer.optional_text(decision.operator.as_deref());
    writer.text(&decision.reason);
}

fn read_decision(reader: &mut Reader<'_>) -> Result<Decision, Damaged> {
    let operator = reader.optional(Reader::text)?.map(Arc::from);
    Ok(Decision { operator, reason: reader.text()?.into() })
}
