-- What makes each event count once and each announcement go out once.

-- Which database this is. A sink that holds announcements of another one is not published to.
create table installation (
    only_row integer not null default 1,
    id blob not null,
    constraint installation_key primary key (only_row),
    constraint installation_only_row check (only_row = 1)
) strict, without rowid;
-- A random UUID: version 4, variant 1.
insert into installation (id)
select unhex(substr(digits, 1, 12) || '4' || substr(digits, 14, 3) || substr('89ab', 1 + (abs(random()) % 4), 1)
             || substr(digits, 18, 15))
from (select hex(randomblob(16)) as digits);

-- Names of publishers, by number: an inbox key is small.
create table source (
    id integer not null,
    name text not null,
    constraint source_key primary key (id),
    constraint source_name unique (name)
) strict;

-- The table of dedup keys. There are no partitions: the day stands first in the key, so that the keys of a day lie
-- together and are deleted from one end.
create table inbox (
    event_day integer not null,
    source integer not null,
    event_key blob not null,
    -- Digest of the decoded event: the same identity with another one is a conflict.
    fingerprint integer not null,
    -- 1 applied, 2 refused, 3 ignored.
    outcome integer not null,
    constraint inbox_key primary key (event_day, source, event_key),
    constraint inbox_outcome_known check (outcome between 1 and 3)
) strict, without rowid;

-- Which days are open, when the last key was written to them, and which days were dropped: an event of such a day
-- cannot be told from a repetition.
create table inbox_day (
    event_day integer not null,
    last_written_on integer not null,
    dropped_at integer,
    constraint inbox_day_key primary key (event_day)
) strict, without rowid;

-- Which records went to the dead-letter topic: a position goes there once.
create table dead_letter (
    id blob not null,
    topic text not null,
    partition integer not null,
    record_offset integer not null,
    reason text not null,
    detail text not null,
    recorded_at integer not null,
    constraint dead_letter_key primary key (id)
) strict, without rowid;
create index dead_letter_recorded_at on dead_letter (recorded_at);

-- The last numbers given: numbers have no hole and stand in commit order.
create table outbox_counter (
    only_row integer not null default 1,
    last_number integer not null,
    last_seq integer not null,
    constraint outbox_counter_key primary key (only_row),
    constraint outbox_counter_only_row check (only_row = 1)
) strict, without rowid;
insert into outbox_counter (last_number, last_seq) values (0, 0);

-- One row a transaction: what it announces, in order. A transaction that only buries dead letters uses no seq, so that
-- the key is a number of its own. It is the row number: batches are appended.
create table outbox (
    number integer not null,
    first_seq integer not null,
    announcements integer not null,
    recorded_at integer not null,
    content blob not null,
    constraint outbox_key primary key (number)
) strict;
-- Finds the seq of an answer that a claim remembers, and what is old enough to go.
create index outbox_recorded_at on outbox (recorded_at);

-- Who may publish, until when, and how far publishing has come.
create table relay (
    only_row integer not null default 1,
    holder blob,
    -- Raised with each takeover: a holder that was replaced finds another one.
    epoch integer not null,
    expires_at integer,
    published_number integer not null,
    published_seq integer not null,
    constraint relay_key primary key (only_row),
    constraint relay_only_row check (only_row = 1)
) strict, without rowid;
insert into relay (epoch, published_number, published_seq) values (0, 0, 0);
