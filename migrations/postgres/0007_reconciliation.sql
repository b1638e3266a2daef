-- What reconciliation finds, and whose turn it is. Nothing was written to stock_diff before.

-- Several figures of a row can differ from one part of the books.
alter table stock_diff drop constraint stock_diff_key;
alter table stock_diff add constraint stock_diff_key primary key (sku, location, source, field);
alter table stock_diff
    -- The version of the row for which the figures were compared.
    add column version bigint not null,
    add column is_alert boolean not null,
    -- How it was settled by us, by whom (nobody where the settings decide) and why.
    add column resolution text,
    add column operator text,
    add column reason text,
    add constraint stock_diff_resolution_known check (resolution in ('use_ours')),
    add constraint stock_diff_settled_for_a_reason check ((resolution is null) = (reason is null)),
    add constraint stock_diff_operator_settles check (operator is null or resolution is not null);

-- When each job began last: one worker of all takes its turn.
create table reconciliation (
    job text not null,
    started_at timestamptz not null,
    constraint reconciliation_key primary key (job)
);
