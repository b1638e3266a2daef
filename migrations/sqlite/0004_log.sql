-- The embedded log: what a broker keeps elsewhere. Instants are microseconds since 1970-01-01T00:00:00Z.

-- A topic has one partition, number 0.
create table log_topic (
    id integer not null,
    name text not null,
    -- How long records are kept, in milliseconds; -1 for ever.
    retention_ms integer not null,
    -- Where the next record will stand.
    next_offset integer not null default 0,
    constraint log_topic_key primary key (id),
    constraint log_topic_name unique (name),
    constraint log_topic_retention_known check (retention_ms >= -1),
    constraint log_topic_next_offset_not_negative check (next_offset >= 0)
) strict;

-- The last id given, and when: ids are never given again, and time never goes back from one id to the next.
create table log_end (
    only_row integer not null default 1,
    last_id integer not null,
    last_arrival integer not null,
    constraint log_end_key primary key (only_row),
    constraint log_end_only_row check (only_row = 1)
) strict, without rowid;
insert into log_end (last_id, last_arrival) values (0, 0);

-- The records of all topics in the order of their arrival, which is the order of commits. What is short stands first,
-- so that a reader who passes over a record does not touch its body.
create table log_record (
    id integer not null,
    topic integer not null,
    record_offset integer not null,
    -- By the clock of this file; says when the record is old.
    arrived_at integer not null,
    -- As the publisher says.
    recorded_at integer not null,
    key blob,
    -- In the stored form of the wire module; null where there are none.
    headers blob,
    payload blob,
    constraint log_record_key primary key (id),
    constraint log_record_place unique (topic, record_offset)
) strict;

-- The consumer groups, and who reads for each: one member at a time.
create table log_group (
    id integer not null,
    name text not null,
    holder blob,
    -- For people: which process it is.
    member text,
    -- Raised with each takeover: a member that was replaced finds another one.
    epoch integer not null default 0,
    expires_at integer,
    constraint log_group_key primary key (id),
    constraint log_group_name unique (name)
) strict;

-- The offset of the record that a group is to read next. A group without a row begins at the first record.
create table log_offset (
    group_id integer not null,
    topic integer not null,
    next_offset integer not null,
    constraint log_offset_key primary key (group_id, topic),
    constraint log_offset_not_negative check (next_offset >= 0)
) strict, without rowid;

-- How far announcements were published to this log, by the name of the installation's progress topic.
create table log_progress (
    name text not null,
    -- Raised with each opening: a publisher that was replaced finds another one.
    epoch integer not null default 0,
    installation blob,
    batch integer,
    seq integer,
    constraint log_progress_key primary key (name),
    constraint log_progress_whole check ((installation is null) = (batch is null) and (batch is null) = (seq is null))
) strict, without rowid;
