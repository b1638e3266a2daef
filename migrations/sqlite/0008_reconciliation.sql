-- What reconciliation finds, and whose turn it is. Nothing was written to stock_diff before, so that it is made anew.
drop table stock_diff;

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
    -- The version of the row for which the figures were compared.
    version integer not null,
    is_alert integer not null,
    -- How it was settled by us, by whom (nobody where the settings decide) and why.
    resolution text,
    operator text,
    reason text,
    first_seen_at integer not null,
    last_seen_at integer not null,
    constraint stock_diff_key primary key (sku, location, source, field),
    constraint stock_diff_seen_in_order check (first_seen_at <= last_seen_at),
    constraint stock_diff_alert_known check (is_alert in (0, 1)),
    constraint stock_diff_resolution_known check (resolution in ('use_ours')),
    constraint stock_diff_settled_for_a_reason check ((resolution is null) = (reason is null)),
    constraint stock_diff_operator_settles check (operator is null or resolution is not null)
) strict, without rowid;

-- When each job began last: one worker of all takes its turn.
create table reconciliation (
    job text not null,
    started_at integer not null,
    constraint reconciliation_key primary key (job)
) strict, without rowid;
