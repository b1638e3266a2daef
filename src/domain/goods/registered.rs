//! `sku-registered`: what is kept, and under which settings.

use super::answer;
use crate::domain::announce::{AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::event::SkuRegistered;
use crate::domain::orders::{Conclusion, IGNORED};
use crate::domain::stock::{Counters, Level, Status, StockRow};
use crate::domain::verdict::Verdict;
use crate::domain::words::Reference;

/// Applies `sku-registered`: creates the row, or changes the settings that the event names.
pub(in crate::domain) fn registered(work: &mut Work<'_, '_>, event: &SkuRegistered) -> Result<Conclusion, Broken> {
    let known = work.row(&event.key);
    let last = known.and_then(|row| row.sku_version);
    if event.version.zip(last).is_some_and(|(version, last)| version <= last) {
        return Ok(IGNORED);
    }
    let creates = known.is_none();
    let mut row = known.cloned().unwrap_or_else(|| unregistered(work, event));
    let before = row.clone();
    row.name = event.name.clone().or(row.name);
    row.warning_threshold = event.warning_threshold.unwrap_or(row.warning_threshold);
    row.critical_threshold = event.critical_threshold.unwrap_or(row.critical_threshold);
    row.max_stock = event.max_stock.or(row.max_stock);
    row.status = event.status.unwrap_or(row.status);
    row.sku_version = event.version.or(row.sku_version);
    row.counters.safety_stock = event.safety_stock.unwrap_or(row.counters.safety_stock);
    if creates {
        row.counters.on_hand = event.initial.unwrap_or(0);
    }
    if row.critical_threshold > row.warning_threshold {
        let reason = Some(Reason::InvalidThresholds);
        let reference = Reference::new(event.key.sku.as_str());
        return Ok((
            Verdict::Refused(reason),
            Some(answer(reference, AnswerOutcome::Refused, reason, Vec::new(), event.version)),
        ));
    }
    let verdict = if !creates && row == before { Verdict::Ignored } else { Verdict::Applied };
    work.put_row(row);
    Ok((verdict, None))
}

fn unregistered(work: &Work<'_, '_>, event: &SkuRegistered) -> StockRow {
    StockRow {
        key: event.key.clone(),
        name: None,
        counters: Counters::default(),
        warning_threshold: 0,
        critical_threshold: 0,
        max_stock: None,
        status: Status::Active,
        level: Level::Unstocked,
        version: 0,
        sku_version: None,
        updated_at: work.now(),
    }
}
