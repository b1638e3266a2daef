-- What people look after: stock that runs low, and figures that differ. Neither is written by the transactions that
-- change stock today; the tables stand, so that what reads them can be built against one schema.

create type alert_state as enum ('open', 'acknowledged', 'resolved');

-- One row each time a stock row's level fell; one of them at most is not resolved.
create table alert (
    id uuid not null,
    sku text not null,
    location text not null,
    level stock_level not null,
    -- Units that could be promised when the level was reached.
    available bigint not null,
    -- The version of the stock row that reached it.
    version bigint not null,
    state alert_state not null,
    opened_at timestamptz not null,
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at timestamptz,
    constraint alert_key primary key (id),
    constraint alert_acknowledged_when_said check (state <> 'acknowledged' or acknowledged_at is not null),
    constraint alert_resolved_when_said check ((state = 'resolved') = (resolved_at is not null))
);
create unique index alert_unresolved on alert (sku, location) where state <> 'resolved';

-- The open difference between our figure and another one: updated while it stands, gone when it is settled.
create table stock_diff (
    sku text not null,
    location text not null,
    -- Whose figure: another system's name, or the part of our own books.
    source text not null,
    field text not null,
    ours bigint not null,
    -- Null when the other side has no figure: missing is not 0.
    theirs bigint,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    constraint stock_diff_key primary key (sku, location, source),
    constraint stock_diff_seen_in_order check (first_seen_at <= last_seen_at)
);
