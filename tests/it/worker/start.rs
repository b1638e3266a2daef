//! What `holdfast run` says when it cannot start: one line that names the cause and the remedy.

use std::net::TcpListener;

use super::installation::{Installation, free_port};

/// Runs a worker that must not start; returns its exit code and what it said.
fn refused(installation: &Installation, more: &[&str]) -> (i32, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut arguments = vec!["run", "--log-level", "error"];
    arguments.extend(more);
    if !more.iter().any(|argument| argument.starts_with("http.listen=")) {
        arguments.extend(["--http-listen", &listen]);
    }
    let output = installation.output(&arguments);
    let said = String::from_utf8(output.stderr).expect("it should say text");
    (output.status.code().expect("no signal should end it"), said)
}

fn assert_one_line(said: &str, words: &[&str]) {
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("holdfast: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is missing in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_start_names_the_cause_and_the_remedy() {
    let mut installation = Installation::new().await;
    let (store_url, kafka) = (installation.store_url.clone(), installation.source_url.clone());

    installation.store_url = format!("postgres://nobody@127.0.0.1:{}/shop", free_port());
    let (code, said) = refused(&installation, &[]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &["database", "refused", "store.url"]);

    installation.store_url = format!("{store_url}_that_is_not_there");
    let (code, said) = refused(&installation, &[]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &["does not exist", "store.url"]);

    installation.store_url = store_url.clone();
    let (code, said) = refused(&installation, &["--set", "topics.names.order-created=nobody.made.this"]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &["nobody.made.this", "holdfast topics apply"]);

    // So are the topics that are written, all of them at once.
    let missing = ["low-stock", "inventory-dead-letters", "holdfast-progress"];
    let names = missing.map(|topic| format!("topics.names.{topic}=nobody.made.{topic}"));
    let arguments: Vec<&str> = names.iter().flat_map(|name| ["--set", name.as_str()]).collect();
    let (code, said) = refused(&installation, &arguments);
    assert_eq!(code, 1, "{said}");
    let missing = missing.map(|topic| format!("nobody.made.{topic}"));
    let words: Vec<&str> = missing.iter().map(String::as_str).chain(["holdfast topics apply"]).collect();
    assert_one_line(&said, &words);
    assert!(!said.contains("order-created"), "only what is missing is named: {said}");

    // On a cluster of their own they are looked for there.
    let elsewhere = format!("sink.url=kafka://localhost:{}", kafka.rsplit(':').next().expect("a port"));
    let (code, said) =
        refused(&installation, &["--set", &elsewhere, "--set", "topics.names.low-stock=nobody.made.this"]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &["localhost", "nobody.made.this", "holdfast topics apply"]);

    let (code, said) = refused(&installation, &["--set", "orders.deduct_onn=created"]);
    assert_eq!(code, 2, "{said}");
    assert_one_line(&said, &["orders.deduct_onn", "orders.deduct_on"]);

    let (code, said) = refused(&installation, &["--set", "orders.deduct_on=sometimes"]);
    assert_eq!(code, 2, "{said}");
    assert_one_line(&said, &["orders.deduct_on", "sometimes", "confirmed"]);

    let (code, said) = refused(&installation, &["--set", "store.url=postgres://h:notaport/x"]);
    assert_eq!(code, 2, "{said}");
    assert_one_line(&said, &["store.url", "invalid port number"]);
    let (code, said) = refused(&installation, &["--set", "store.url=postgres://h/x?passwd=hunter2"]);
    assert_eq!(code, 2, "{said}");
    assert_one_line(&said, &["store.url", "passwd"]);
    assert!(!said.contains("hunter2"), "{said}");
    for wrong in ["store.url=postgres://h:notaport/x", "registry.url=http://h:notaport/"] {
        let checked = installation.output(&["config", "check", "--set", wrong]);
        assert_eq!(checked.status.code(), Some(2), "{wrong}");
    }

    let (code, said) = refused(&installation, &["--set", "http.listen=0.0.0.0:8080"]);
    assert_eq!(code, 2, "{said}");
    assert_one_line(&said, &["http.listen", "authentication"]);

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let (code, said) = refused(&installation, &["--set", &format!("http.listen={address}")]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &[&address, "another port"]);

    let nobody = format!("127.0.0.1:{}", free_port());
    installation.source_url = format!("kafka://{nobody}");
    let (code, said) = refused(&installation, &[]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &[&nobody, "check the address"]);
    installation.source_url = kafka;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_an_empty_database_names_the_migrations_that_are_missing() {
    let mut installation = Installation::new().await;
    let server = crate::shop::shared_postgres();
    installation.store_url = server.url.clone();
    let (code, said) = refused(&installation, &[]);
    assert_eq!(code, 1, "{said}");
    assert_one_line(&said, &["lacks migration 1, 2", "holdfast migrate"]);
}
