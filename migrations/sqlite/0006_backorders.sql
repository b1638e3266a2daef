-- Orders that wait for units. The table and the column are those of PostgreSQL.

-- Units that orders wait for. It raises no version.
alter table stock
    add column waiting integer not null default 0 constraint stock_waiting_not_negative check (waiting >= 0);

-- Who waits for a stock row, in the order of the tickets; the units stand in the lines of the claims. A ticket is higher
-- than those of all who wait when it is given.
create table waiting_line (
    ticket integer not null,
    sku text not null,
    location text not null,
    reference text not null,
    constraint waiting_line_key primary key (sku, location, ticket),
    constraint waiting_line_ticket_positive check (ticket >= 1)
) strict, without rowid;
