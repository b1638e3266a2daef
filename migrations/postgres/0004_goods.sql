-- Returns, corrections, syncs and counts: facts that count once, and what they do to the ledger. `reconciliation` is the
-- cause of what the worker corrects by itself.

alter type claim_kind add value 'return';
alter type claim_kind add value 'adjustment';
alter type claim_kind add value 'sync';
alter type claim_kind add value 'count';

alter type event_type add value 'return-received';
alter type event_type add value 'stock-adjusted';
alter type event_type add value 'stock-synced';
alter type event_type add value 'stock-counted';
alter type event_type add value 'reconciliation';

alter type movement_kind add value 'adjust';
alter type movement_kind add value 'count';
alter type movement_kind add value 'return';
