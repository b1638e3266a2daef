//! The database's schema: what the documents name is there, and every constraint has a name that somebody chose.

use sqlx::{Connection, PgConnection};

use crate::shop::new_database;

async fn names(query: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(&new_database().await).await.expect("it should connect");
    sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("the catalogue should answer")
}

#[tokio::test]
async fn every_table_of_the_design_is_there() {
    let tables = names(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not relispartition order by relname",
    )
    .await;
    let expected = [
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
    ];
    assert_eq!(tables, expected);
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
