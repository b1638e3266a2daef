//! The example of the document for TLS with a password, taken as it stands there.

use std::io::Write;

use holdfast::app;
use holdfast::config::{BusAddress, Settings, Sources};

const WIRE: &str = include_str!("../../docs/wire.md");
const PASSWORD_FILE: &str = "/run/secrets/kafka-password";

#[test]
fn the_example_for_tls_with_a_password_reaches_both_clusters_and_shows_no_secret() {
    let example = WIRE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains(PASSWORD_FILE), "{example}");
    let mut password = tempfile::NamedTempFile::new().unwrap();
    password.write_all(b"hunter2\n").unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(example.replace(PASSWORD_FILE, password.path().to_str().unwrap()).as_bytes()).unwrap();
    let settings = Settings::load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() }).unwrap();

    let expected = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "hunter2"),
        ("sasl.username", "holdfast"),
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", "/etc/holdfast/ca.pem"),
    ];
    for bus in [settings.source_bus().unwrap(), settings.sink_bus().unwrap()] {
        let BusAddress::Kafka(address) = bus else { panic!("a Kafka address") };
        assert_eq!(address.properties.iter().collect::<Vec<_>>(), expected);
        let connection = app::kafka_connection(address).unwrap();
        assert_eq!(connection.servers(), "broker-1:9093,broker-2:9093");
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
    assert!(!settings.to_toml().unwrap().contains("hunter2"));
}
