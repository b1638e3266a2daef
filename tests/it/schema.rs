//! The schema of each store: what the documents name is there, and every constraint has a name that somebody chose.

use sqlx::{Connection, PgConnection};

use crate::shop::{OnSqlite, StoreKind, new_database};

const TABLES: [&str; 16] = [
    "_sqlx_migrations",
    "alert",
    "claim",
    "claim_line",
    "dead_letter",
    "inbox",
    "inbox_day",
    "installation",
    "movement",
    "outbox",
    "outbox_counter",
    "relay",
    "source",
    "stock",
    "stock_diff",
    "waiting_line",
];

async fn names(query: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(&new_database().await).await.expect("it should connect");
    sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("the catalogue should answer")
}

async fn names_in_file(query: &'static str) -> Vec<String> {
    let (file, _folder) = OnSqlite::new_database().await;
    let mut connection = OnSqlite::connection(&file).await;
    sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("the catalogue should answer")
}

#[tokio::test]
async fn every_table_of_the_design_is_there() {
    let tables = names(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not relispartition order by relname",
    )
    .await;
    assert_eq!(tables, TABLES);
    let tables = names_in_file("select name from sqlite_schema where type = 'table' order by name").await;
    let (log, tables): (Vec<String>, Vec<String>) = tables.into_iter().partition(|name| name.starts_with("log_"));
    assert_eq!(tables, TABLES);
    // The embedded log is in the file only.
    assert_eq!(log, ["log_end", "log_group", "log_offset", "log_progress", "log_record", "log_topic"]);
}

#[tokio::test]
async fn both_stores_have_the_same_columns() {
    let columns = names(
        "select c.table_name || '.' || c.column_name from information_schema.columns c
         join pg_class t on t.relname = c.table_name and t.relnamespace = 'public'::regnamespace
         where c.table_schema = 'public' and c.table_name <> '_sqlx_migrations' and not t.relispartition
         order by (c.table_name || '.' || c.column_name) collate \"C\"",
    )
    .await;
    let in_file = names_in_file(
        "select t.name || '.' || c.name from sqlite_schema t, pragma_table_info(t.name) c
         where t.type = 'table' and t.name <> '_sqlx_migrations' and t.name not glob 'log_*' order by 1",
    )
    .await;
    assert_eq!(in_file, columns);
}

#[tokio::test]
async fn every_constraint_has_a_name_that_tells_its_table_and_no_hot_table_has_a_foreign_key() {
    // What PostgreSQL names itself ends in _check, _pkey and the like.
    let unnamed = names(
        "select conname::text from pg_constraint c join pg_class t on t.oid = c.conrelid
         where c.connamespace = 'public'::regnamespace and t.relname <> '_sqlx_migrations' and not t.relispartition
           and (conname not like t.relname || '\\_%' or conname ~ '_(check[0-9]*|pkey|key1|fkey)$')",
    )
    .await;
    assert_eq!(unnamed, [""; 0]);
    let foreign = names("select conname::text from pg_constraint where contype = 'f'").await;
    assert_eq!(foreign, [""; 0]);
}

#[tokio::test]
async fn every_constraint_of_the_file_has_a_name_that_tells_its_table() {
    let tables = names_in_file(
        "select sql from sqlite_schema where type = 'table' and name <> '_sqlx_migrations' order by name",
    )
    .await;
    for sql in tables {
        let table = sql.split_whitespace().nth(2).expect("create table NAME");
        let count = |text: &str| sql.matches(text).count();
        let rules = count(" check (") + count(" primary key (") + count(" unique (");
        assert_eq!(count(&format!("constraint {table}_")), rules, "{sql}");
        assert_eq!(count(" references "), 0, "{sql}");
    }
}
