-- What is kept, what is set aside of it, and the ledger of every change. The tables are those of PostgreSQL.
-- Instants are microseconds since 1970-01-01T00:00:00Z, days are days since then: datetime(x / 1000000, 'unixepoch') and
-- date(x * 86400, 'unixepoch') show them. Words are texts under a CHECK where PostgreSQL has a type.

-- One row a SKU and location, in the order of its key.
create table stock (
    sku text not null,
    location text not null,
    name text,
    warning_threshold integer not null default 0,
    critical_threshold integer not null default 0,
    max_stock integer,
    status text not null,
    sku_version integer,
    safety_stock integer not null default 0,
    level text not null,
    on_hand integer not null,
    cart_held integer not null,
    order_reserved integer not null,
    version integer not null,
    updated_at integer not null,
    constraint stock_key primary key (sku, location),
    constraint stock_status_known check (status in ('active', 'inactive', 'locked')),
    constraint stock_level_known check (level in ('unstocked', 'normal', 'low', 'critical', 'out')),
    constraint stock_on_hand_not_negative check (on_hand >= 0),
    constraint stock_cart_held_not_negative check (cart_held >= 0),
    constraint stock_order_reserved_not_negative check (order_reserved >= 0),
    constraint stock_safety_stock_not_negative check (safety_stock >= 0),
    constraint stock_max_stock_not_negative check (max_stock >= 0),
    constraint stock_thresholds_ordered check (0 <= critical_threshold and critical_threshold <= warning_threshold),
    constraint stock_version_positive check (version >= 1)
) strict, without rowid;

-- One row a cart, order or receipt: its state, its tombstone, its last answer. With a row number, unlike the others:
-- rows are long and their keys come in any order, so that a new one is put at the end and only its short key is sorted in.
create table claim (
    version integer,
    updated_time integer,
    first_held_at integer,
    expires_at integer,
    kind text not null,
    state text not null,
    -- Counts the writes of the row.
    revision integer not null,
    confirmed integer not null,
    reference text not null,
    -- One JSON object a stock row: sku, location unless it is the default one, requested, and what is not 0 of reserved,
    -- deducted, released, shipped, returned, lapsed.
    lines text not null,
    -- The last answer, in the stored form of the wire module.
    answer blob,
    -- A JSON list of texts.
    shipments text,
    -- Events that came before their order, in the stored form of the wire module.
    remembered blob,
    constraint claim_key primary key (kind, reference),
    constraint claim_kind_known check (kind in ('cart', 'order', 'receipt')),
    constraint claim_state_known check (state in (
        'awaited', 'held', 'released', 'converted', 'expired', 'reserved', 'confirmed', 'deducted', 'shipped',
        'refused', 'cancelled', 'received'
    )),
    constraint claim_confirmed_known check (confirmed in (0, 1)),
    constraint claim_revision_positive check (revision >= 1)
) strict;

-- The sweeper's queue.
create index claim_due on claim (expires_at) where expires_at is not null;

-- What claims have set aside of a stock row now: who holds it. A line that holds nothing any more has no row here.
create table claim_line (
    kind text not null,
    reserved integer not null,
    sku text not null,
    location text not null,
    reference text not null,
    constraint claim_line_key primary key (sku, location, kind, reference),
    constraint claim_line_kind_known check (kind in ('cart', 'order', 'receipt')),
    constraint claim_line_reserved_positive check (reserved > 0)
) strict, without rowid;

-- The ledger: one immutable row a change, in the order of its key, which serves the history of a row. A number that is
-- null is 0. There are no partitions, and no index by time: it would cost each change another place to write.
create table movement (
    recorded_at integer not null,
    version integer not null,
    on_hand integer,
    cart_held integer,
    order_reserved integer,
    safety_stock integer,
    on_hand_change integer,
    cart_held_change integer,
    order_reserved_change integer,
    safety_stock_change integer,
    kind text not null,
    cause_type text not null,
    cause_source integer not null,
    -- The event's key in the inbox, which is its id when that is a UUID; only other ids are written out.
    cause_key blob not null,
    sku text not null,
    location text not null,
    reference text,
    cause_id text,
    reason text,
    operator text,
    trace_parent text,
    constraint movement_key primary key (sku, location, version),
    constraint movement_kind_known check (kind in ('register', 'restock', 'reserve', 'release', 'deduct')),
    constraint movement_cause_type_known check (cause_type in (
        'order-created', 'cart-updated', 'order-cancelled', 'order-confirmed', 'order-shipped', 'sku-registered',
        'stock-received', 'claim-expired'
    ))
) strict, without rowid;
