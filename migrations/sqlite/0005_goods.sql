-- Returns, corrections, syncs and counts: facts that count once, and what they do to the ledger. `reconciliation` is the
-- cause of what the worker corrects by itself. A CHECK cannot be changed, so that the tables are made anew; nothing else
-- of them differs. `claim_line` stays: none of these sets anything aside.

alter table claim rename to claim_before;
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
    constraint claim_kind_known check (kind in (
        'cart', 'order', 'receipt', 'return', 'adjustment', 'sync', 'count'
    )),
    constraint claim_state_known check (state in (
        'awaited', 'held', 'released', 'converted', 'expired', 'reserved', 'confirmed', 'deducted', 'shipped',
        'refused', 'cancelled', 'received'
    )),
    constraint claim_confirmed_known check (confirmed in (0, 1)),
    constraint claim_revision_positive check (revision >= 1)
) strict;
insert into claim (version, updated_time, first_held_at, expires_at, kind, state, revision, confirmed,
                   reference, lines, answer, shipments, remembered)
select version, updated_time, first_held_at, expires_at, kind, state, revision, confirmed, reference, lines,
       answer, shipments, remembered
from claim_before order by rowid;
drop table claim_before;
create index claim_due on claim (expires_at) where expires_at is not null;

alter table movement rename to movement_before;
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
    constraint movement_kind_known check (kind in (
        'register', 'restock', 'reserve', 'release', 'deduct', 'adjust', 'count', 'return'
    )),
    constraint movement_cause_type_known check (cause_type in (
        'order-created', 'cart-updated', 'order-cancelled', 'order-confirmed', 'order-shipped', 'sku-registered',
        'stock-received', 'claim-expired', 'return-received', 'stock-adjusted', 'stock-synced', 'stock-counted',
        'reconciliation'
    ))
) strict, without rowid;
insert into movement (recorded_at, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change,
                      cart_held_change, order_reserved_change, safety_stock_change, kind, cause_type,
                      cause_source, cause_key, sku, location, reference, cause_id, reason, operator,
                      trace_parent)
select recorded_at, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change, cart_held_change,
       order_reserved_change, safety_stock_change, kind, cause_type, cause_source, cause_key, sku, location,
       reference, cause_id, reason, operator, trace_parent
from movement_before order by sku, location, version;
drop table movement_before;
