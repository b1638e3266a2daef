-- Alerts are fed from here on: by the batches that change levels. A row that was low before has none until its level
-- changes.

-- Lists, the newest first: of all, of those that are not resolved, and of one SKU.
create index alert_opened_at on alert (opened_at, id);
create index alert_unresolved_opened_at on alert (opened_at, id) where state <> 'resolved';
create index alert_row on alert (sku, opened_at, id);
-- What is old enough to go.
create index alert_resolved_at on alert (resolved_at) where resolved_at is not null;

-- Since when a claim holds units of a row without a break: who holds it, newest first. Null for what was set aside
-- before, of which it is not known.
alter table claim_line add column held_since integer;
