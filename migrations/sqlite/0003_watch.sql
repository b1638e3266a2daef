-- What people look after: stock that runs low, and figures that differ. Neither is written by the transactions that
-- change stock today; the tables stand, so that what reads them can be built against one schema.

-- One row each time a stock row's level fell; one of them at most is not resolved.
create table alert (
    id blob not null,
    sku text not null,
    location text not null,
    level text not null,
    -- Units that could be promised when the level was reached.
    available integer not null,
    -- The version of the stock row that reached it.
    version integer not null,
    state text not null,
    opened_at integer not null,
    acknowledged_at integer,
    acknowledged_by text,
    resolved_at integer,
    constraint alert_key primary key (id),
    constraint alert_level_known check (level in ('unstocked', 'normal', 'low', 'critical', 'out')),
    constraint alert_state_known check (state in ('open', 'acknowledged', 'resolved')),
    constraint alert_acknowledged_when_said check (state <> 'acknowledged' or acknowledged_at is not null),
    constraint alert_resolved_when_said check ((state = 'resolved') = (resolved_at is not null))
) strict, without rowid;
create unique index alert_unresolved on alert (sku, location) where state <> 'resolved';

-- The open difference between our figure and another one: updated while it stands, gone when it is settled.
create table stock_diff (
    sku text not null,
    location text not null,
    -- Whose figure: another system's name, or the part of our own books.
    source text not null,
    field text not null,
    ours integer not null,
    -- Null when the other side has no figure: missing is not 0.
    theirs integer,
    first_seen_at integer not null,
    last_seen_at integer not null,
    constraint stock_diff_key primary key (sku, location, source),
    constraint stock_diff_seen_in_order check (first_seen_at <= last_seen_at)
) strict, without rowid;
