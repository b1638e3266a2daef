//! What operators and the clock ask for.

use std::path::Path;

use holdfast::ports::StoreError;
use holdfast::store::{MaintenanceReport, Migration, Upkeep, Verification};

use super::{ModelStore, verify};

impl Upkeep for ModelStore {
    async fn check_integrity(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn migration(&self) -> Result<Migration, StoreError> {
        Ok(Migration::Current)
    }

    async fn maintain(&self) -> Result<MaintenanceReport, StoreError> {
        Ok(self.database.change(|tables| {
            // A batch that was read before must not be written under days that are gone.
            tables.writes += 1;
            let (now, retention) = (tables.clock, &self.retention);
            let mut report = MaintenanceReport::default();
            for (day, open) in &mut tables.days {
                let last = (*day).max(open.last_written_on);
                if !open.is_dropped && last.0 < now.day().0 - retention.inbox_keep_days {
                    open.is_dropped = true;
                    report.days_dropped += 1;
                }
            }
            let days = &tables.days;
            tables.inbox.retain(|(day, _, _), _| !days.get(day).is_some_and(|open| open.is_dropped));
            let (published, oldest) = (tables.mark.number, now.plus_seconds(-retention.keep_published_seconds));
            let before = tables.outbox.len();
            // The newest that is published stays: from it on, numbers are followed.
            // Where the clock was set back a later batch may be the older one: none is deleted behind one that stays.
            let first_young =
                tables.outbox.iter().find(|(_, batch)| batch.recorded_at >= oldest).map(|(number, _)| *number);
            let first_kept = first_young.unwrap_or(published).min(published);
            tables.outbox.retain(|number, _| *number >= first_kept);
            report.batches_deleted = (before - tables.outbox.len()) as u64;
            let oldest = now.plus_seconds(-86_400 * i64::from(retention.dead_letter_keep_days));
            let before = tables.dead_letters.len();
            tables.dead_letters.retain(|_, letter| letter.recorded_at >= oldest);
            report.positions_deleted = (before - tables.dead_letters.len()) as u64;
            let oldest = now.plus_seconds(-86_400 * i64::from(retention.alert_keep_days));
            let before = tables.alerts.len();
            tables.alerts.retain(|_, alert| alert.resolved_at.is_none_or(|resolved_at| resolved_at >= oldest));
            report.alerts_deleted = (before - tables.alerts.len()) as u64;
            report
        }))
    }

    async fn verify_with(
        &self,
        ignore_cart_holds: bool,
        begins: impl FnMut(usize, &'static str) + Send,
    ) -> Result<Vec<Verification>, StoreError> {
        Ok(self.database.look(|tables| verify::run_checks(tables, ignore_cart_holds, begins)))
    }

    async fn backup(&self, _file: &Path) -> Result<u64, StoreError> {
        Err(StoreError::Fatal("a store in memory is copied with its process".to_owned()))
    }

    async fn close(&self) {}
}
