-- Orders that wait for units.

-- Units that orders wait for. It raises no version and changes seldom, so that it stands behind what changes with each
-- event.
alter table stock
    add column waiting bigint not null default 0,
    add constraint stock_waiting_not_negative check (waiting >= 0);

-- Who waits for a stock row, in the order of the tickets; the units stand in the lines of the claims. A ticket is higher
-- than those of all who wait when it is given. Read and written under the lock of the stock row.
create table waiting_line (
    ticket bigint not null,
    sku text not null,
    location text not null,
    reference text not null,
    constraint waiting_line_key primary key (sku, location, ticket),
    constraint waiting_line_ticket_positive check (ticket >= 1)
);
