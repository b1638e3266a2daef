-- Corrections of stock: what made them, and what they did. A CHECK cannot be changed, so that the ledger is written anew.

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
    constraint movement_kind_known check (kind in ('register', 'restock', 'reserve', 'release', 'deduct', 'adjust')),
    constraint movement_cause_type_known check (cause_type in (
        'order-created', 'cart-updated', 'order-cancelled', 'order-confirmed', 'order-shipped', 'sku-registered',
        'stock-received', 'claim-expired', 'reconciliation'
    ))
) strict, without rowid;

insert into movement (
    recorded_at, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change, cart_held_change,
    order_reserved_change, safety_stock_change, kind, cause_type, cause_source, cause_key, sku, location, reference, cause_id,
    reason, operator, trace_parent
) select
    recorded_at, version, on_hand, cart_held, order_reserved, safety_stock, on_hand_change, cart_held_change,
    order_reserved_change, safety_stock_change, kind, cause_type, cause_source, cause_key, sku, location, reference, cause_id,
    reason, operator, trace_parent
from movement_before;
drop table movement_before;
