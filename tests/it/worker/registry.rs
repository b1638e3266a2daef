//! A whole worker beside a real schema registry.

use std::time::Duration;

use apache_avro::Schema;
use holdfast::bus::kafka::{KafkaConnection, KafkaPublisher};
use holdfast::domain::words::Timestamp;
use holdfast::ports::OutputRecord;
use holdfast::wire::registry::Registry;
use holdfast::wire::schemas::SOURCES;
use serde::Deserialize;
use serde_json::{Value, json};

use super::installation::Installation;
use crate::kafka_support::Ground;
use crate::servers::Servers;

#[derive(Deserialize)]
struct RegistryAddress {
    url: String,
}

/// Registers the schema of an event as its publisher does, and frames a body by the id that it was given.
async fn framed(
    registry: &Registry,
    installation: &Installation,
    event_type: &str,
    id: &str,
    body: Value,
) -> OutputRecord {
    let source = SOURCES.iter().find(|source| source.name == event_type).expect("a schema");
    let topic = installation.topic(event_type);
    let schema_id = registry.register(&format!("{topic}-value"), source.current).await.expect("it should be taken");
    let schema = Schema::parse_str(source.current).expect("a schema");
    let value = apache_avro::to_value(&body).and_then(|value| value.resolve(&schema)).expect("a body of the schema");
    let datum = apache_avro::to_avro_datum(&schema, value).expect("a datum");
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    OutputRecord {
        topic: topic.into(),
        key: Some(b"A".to_vec()),
        headers: vec![header("ce_specversion", "1.0"), header("ce_id", id), header("ce_source", "/shop")],
        payload: Some([&[0][..], &schema_id.to_be_bytes(), &datum].concat()),
        timestamp: Timestamp(1_700_000_000_000_000),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_and_writes_bodies_that_a_real_registry_knows() {
    let servers = tokio::task::spawn_blocking(|| Servers::start(&["registry"])).await.expect("a registry");
    let RegistryAddress { url } = servers.address("registry");
    let mut installation = Installation::new().await;
    installation.environment = vec![
        ("HOLDFAST__REGISTRY__URL".to_owned(), url.clone()),
        ("HOLDFAST__SINK__ENCODING".to_owned(), "avro".to_owned()),
    ];
    let registry = Registry::new(&url).expect("an address");
    let registered = json!({
        "sku": "A", "location": null, "name": null, "safety_stock": null, "warning_threshold": null,
        "critical_threshold": null, "max_stock": null, "status": null, "initial": 10, "sku_version": null,
    });
    let ordered = json!({
        "order_id": "O-1", "order_version": null, "cart_id": null, "policy": null, "ttl_s": null,
        "lines": [{"sku": "A", "location": null, "quantity": 4}],
    });
    let server = installation.source_url.clone();
    let connection = KafkaConnection::new(&server, "test", Default::default()).expect("an address");
    let topics = [installation.topic("sku-registered"), installation.topic("order-created")];
    let publisher = KafkaPublisher::open(&connection, &topics).await.expect("a publisher");
    let first = framed(&registry, &installation, "sku-registered", "r-1", registered).await;
    publisher.send(first).await.expect("it should be taken");
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    publisher.send(framed(&registry, &installation, "order-created", "o-1", ordered).await).await.expect("taken");
    assert_eq!(publisher.finish().await.expect("a report").acknowledged, 2);
    installation.wait_until_handled(2).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));

    assert_eq!(installation.number("select count(*) from dead_letter").await, 0);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 6);
    let ground = Ground::shared();
    let changes = ground.read(&installation.topic("stock-changed"), 2).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    for change in changes {
        let payload = change.payload.expect("a body");
        let [0, a, b, c, d, ..] = payload[..] else { panic!("{payload:?} is not framed") };
        let id = u32::from_be_bytes([a, b, c, d]);
        let answer = client.get(format!("{url}/schemas/ids/{id}")).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert!(answer["schema"].as_str().expect("a schema").contains("\"StockChanged\""), "{answer}");
    }
    // Reads everything back through the registry.
    let published = installation.assert_sound().await;
    let answer = published.iter().find(|event| event["type"] == "reservation-result").expect("an answer");
    assert_eq!(answer["data"]["outcome"], "granted", "{answer}");
}
