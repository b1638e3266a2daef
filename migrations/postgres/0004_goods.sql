-- Corrections of stock: what made them, and what they did.
alter type event_type add value 'reconciliation';
alter type movement_kind add value 'adjust';
