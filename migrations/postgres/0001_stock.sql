-- What is kept, what is set aside of it, and the ledger of every change.
-- No foreign keys: on these tables they cost a quarter of the throughput; `holdfast verify` proves what they would.

create type stock_status as enum ('active', 'inactive', 'locked');
create type stock_level as enum ('unstocked', 'normal', 'low', 'critical', 'out');

-- One row a SKU and location. No index on a column that changes with each event, and room on each page, so that an
-- update stays in its page. The columns that change together stand together, which keeps their log records small.
create table stock (
    sku text not null,
    location text not null,
    name text,
    warning_threshold bigint not null default 0,
    critical_threshold bigint not null default 0,
    max_stock bigint,
    status stock_status not null,
    sku_version bigint,
    safety_stock bigint not null default 0,
    level stock_level not null,
    on_hand bigint not null,
    cart_held bigint not null,
    order_reserved bigint not null,
    version bigint not null,
    updated_at timestamptz not null,
    constraint stock_key primary key (sku, location),
    constraint stock_on_hand_not_negative check (on_hand >= 0),
    constraint stock_cart_held_not_negative check (cart_held >= 0),
    constraint stock_order_reserved_not_negative check (order_reserved >= 0),
    constraint stock_safety_stock_not_negative check (safety_stock >= 0),
    constraint stock_max_stock_not_negative check (max_stock >= 0),
    constraint stock_thresholds_ordered check (0 <= critical_threshold and critical_threshold <= warning_threshold),
    constraint stock_version_positive check (version >= 1)
) with (fillfactor = 70);

create type claim_kind as enum ('cart', 'order', 'receipt');
create type claim_state as enum (
    'awaited', 'held', 'released', 'converted', 'expired', 'reserved', 'confirmed', 'deducted', 'shipped', 'refused',
    'cancelled', 'received'
);

-- One row a cart, order or receipt: its lock, its state, its tombstone, its last answer.
create table claim (
    version bigint,
    updated_time timestamptz,
    first_held_at timestamptz,
    expires_at timestamptz,
    kind claim_kind not null,
    state claim_state not null,
    -- Counts the writes of the row.
    revision integer not null,
    confirmed boolean not null,
    reference text not null,
    -- One object a stock row: sku, location unless it is the default one, requested, and what is not 0 of reserved,
    -- deducted, released, shipped, returned, lapsed.
    lines json not null,
    -- The last answer, in the stored form of the wire module.
    answer bytea,
    shipments text[],
    -- Events that came before their order, in the stored form of the wire module.
    remembered bytea,
    constraint claim_key primary key (kind, reference),
    constraint claim_revision_positive check (revision >= 1)
) with (fillfactor = 85);

-- The sweeper's queue.
create index claim_due on claim (expires_at) where expires_at is not null;

-- What claims have set aside of a stock row now: who holds it. A line that holds nothing any more has no row here; the
-- whole of a claim's lines stands in the claim, which a deducted order touches once instead of once a line.
create table claim_line (
    kind claim_kind not null,
    reserved integer not null,
    sku text not null,
    location text not null,
    reference text not null,
    constraint claim_line_key primary key (sku, location, kind, reference),
    constraint claim_line_reserved_positive check (reserved > 0)
) with (fillfactor = 85);

create type event_type as enum (
    'order-created', 'cart-updated', 'order-cancelled', 'order-confirmed', 'order-shipped', 'sku-registered',
    'stock-received', 'claim-expired'
);
create type movement_kind as enum ('register', 'restock', 'reserve', 'release', 'deduct');

-- The ledger: one immutable row a change, in monthly partitions that are made ahead. Its key serves the history of a
-- row, newest first. A number that is null is 0: a movement changes one number or two, and most rows have nothing set
-- aside, so that this saves a fifth of the row.
create table movement (
    recorded_at timestamptz not null,
    version bigint not null,
    on_hand bigint,
    cart_held bigint,
    order_reserved bigint,
    safety_stock bigint,
    on_hand_change bigint,
    cart_held_change bigint,
    order_reserved_change bigint,
    safety_stock_change bigint,
    kind movement_kind not null,
    cause_type event_type not null,
    cause_source integer not null,
    -- The event's key in the inbox, which is its id when that is a UUID; only other ids are written out.
    cause_key uuid not null,
    sku text not null,
    location text not null,
    reference text,
    cause_id text,
    reason text,
    operator text,
    trace_parent text,
    constraint movement_key primary key (sku, location, version, recorded_at)
) partition by range (recorded_at);

-- Costs nothing to keep and finds a span of time.
create index movement_recorded_at on movement using brin (recorded_at);
