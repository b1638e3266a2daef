-- What makes each event count once and each announcement go out once.

-- Which database this is. A sink that holds announcements of another one is not published to.
create table installation (
    only_row boolean not null default true,
    id uuid not null,
    constraint installation_key primary key (only_row),
    constraint installation_only_row check (only_row)
);
insert into installation (id) values (gen_random_uuid());

-- Names of publishers, by number: an inbox key is small.
create table source (
    id integer generated always as identity,
    name text not null,
    constraint source_key primary key (id),
    constraint source_name unique (name)
);

-- The table of dedup keys, one partition a day of the events themselves, so that one event always meets itself and an
-- old day is dropped, not deleted. The day stands last in the key: within a partition it tells nothing.
create table inbox (
    event_day date not null,
    source integer not null,
    event_key uuid not null,
    -- Digest of the decoded event: the same identity with another one is a conflict.
    fingerprint bigint not null,
    -- 1 applied, 2 refused, 3 ignored.
    outcome smallint not null,
    constraint inbox_key primary key (event_key, source, event_day),
    constraint inbox_outcome_known check (outcome between 1 and 3)
) partition by range (event_day);

-- Which days have a partition, when the last key was written to it, and which days were dropped: an event of such a
-- day cannot be told from a repetition.
create table inbox_day (
    event_day date not null,
    last_written_on date not null,
    dropped_at timestamptz,
    constraint inbox_day_key primary key (event_day)
);

-- Which records went to the dead-letter topic: a position goes there once.
create table dead_letter (
    id uuid not null,
    topic text not null,
    partition integer not null,
    record_offset bigint not null,
    reason text not null,
    detail text not null,
    recorded_at timestamptz not null,
    constraint dead_letter_key primary key (id)
);
create index dead_letter_recorded_at on dead_letter using brin (recorded_at);

-- The last numbers given. Its row is locked by the last statement before COMMIT: numbers have no hole and stand in
-- commit order.
create table outbox_counter (
    only_row boolean not null default true,
    last_number bigint not null,
    last_seq bigint not null,
    constraint outbox_counter_key primary key (only_row),
    constraint outbox_counter_only_row check (only_row)
) with (fillfactor = 10);
insert into outbox_counter (last_number, last_seq) values (0, 0);

-- One row a transaction: what it announces, in order. A transaction that only buries dead letters uses no seq, so that
-- the key is a number of its own.
create table outbox (
    number bigint not null,
    first_seq bigint not null,
    announcements integer not null,
    recorded_at timestamptz not null,
    content bytea not null,
    constraint outbox_key primary key (number)
);
-- The content is compressed before it comes here.
alter table outbox alter column content set storage external;
-- Finds the seq of an answer that a claim remembers, and what is old enough to go.
create index outbox_recorded_at on outbox (recorded_at);

-- Who may publish, until when, and how far publishing has come.
create table relay (
    only_row boolean not null default true,
    holder uuid,
    -- Raised with each takeover: a holder that was replaced finds another one.
    epoch bigint not null,
    expires_at timestamptz,
    published_number bigint not null,
    published_seq bigint not null,
    constraint relay_key primary key (only_row),
    constraint relay_only_row check (only_row)
) with (fillfactor = 10);
insert into relay (epoch, published_number, published_seq) values (0, 0, 0);
