//! The schema registry, played by a small server that counts what it is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use holdfast::domain::words::Timestamp;
use holdfast::ports::{DeadLetterReason, Delivery, Record};
use holdfast::wire::decode::{Decoded, Decoder};
use holdfast::wire::encode::Encoder;
use holdfast::wire::registry::{Registry, RegistryError};
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{MAX_EVENT_BYTES, RECEIVED_AT, datum, record, schema, topics};

/// What the server answers by path, and what it was asked.
#[derive(Default)]
struct Played {
    answers: HashMap<String, (u16, String)>,
    asked: Vec<String>,
    authorization: Option<String>,
    registered: Vec<Value>,
}

struct Server {
    played: Arc<Mutex<Played>>,
    address: String,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answers: &[(&str, u16, Value)]) -> Self {
        let answers =
            answers.iter().map(|(path, status, body)| ((*path).to_owned(), (*status, body.to_string()))).collect();
        let played = Arc::new(Mutex::new(Played { answers, ..Played::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(played.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { played, address, task }
    }

    fn decoder(&self) -> Decoder {
        let registry = Registry::new(&format!("http://worker:s3cret@{}/apis/ccompat/v7/", self.address)).unwrap();
        Decoder::new(topics(), Arc::new(KnownSchemas::load()), Some(Arc::new(registry)), MAX_EVENT_BYTES)
    }

    fn set(&self, path: &str, status: u16, body: &Value) {
        self.played.lock().unwrap().answers.insert(path.to_owned(), (status, body.to_string()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.played.lock().unwrap().asked)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(played): State<Arc<Mutex<Played>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut played = played.lock().unwrap();
    let path = uri.path().strip_prefix("/apis/ccompat/v7").unwrap_or("outside").to_owned();
    played.authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    if method == Method::POST {
        played.registered.push(serde_json::from_slice(&body).unwrap());
    }
    played.asked.push(format!("{method} {path}"));
    let (status, body) = played.answers.get(&path).cloned().unwrap_or((404, r#"{"error_code":40403}"#.to_owned()));
    (StatusCode::from_u16(status).unwrap(), body)
}

fn framed(id: u32, datum: &[u8]) -> Record {
    record("order-confirmed", &[("ce_id", "e")], [&[0][..], &id.to_be_bytes(), datum].concat())
}

async fn decode(decoder: &Decoder, records: &[Record]) -> Result<Vec<Result<(), DeadLetterReason>>, RegistryError> {
    let deliveries: Vec<Delivery> = records.iter().cloned().map(Delivery::Record).collect();
    let schemas = decoder.writer_schemas(&deliveries).await?;
    let decoded = deliveries.into_iter().map(|delivery| match decoder.decode(delivery, &schemas, RECEIVED_AT) {
        Decoded::Event(..) => Ok(()),
        Decoded::DeadLetter(letter) => Err(letter.reason),
    });
    Ok(decoded.collect())
}

fn text_of(name: &str) -> &'static str {
    SOURCES.iter().find(|source| source.name == name).unwrap().current
}

#[tokio::test]
async fn a_schema_is_asked_for_once_and_an_unknown_id_is_poison() {
    let server = Server::start(&[("/schemas/ids/7", 200, json!({"schema": text_of("order-confirmed")}))]).await;
    let decoder = server.decoder();
    let good = framed(7, &datum(&schema("order-confirmed"), &json!({"order_id": "O-1"})));
    let unknown = framed(8, &[2, b'O']);
    let batch = [good.clone(), unknown.clone(), good.clone()];
    let expected = [Ok(()), Err(DeadLetterReason::UnknownSchema), Ok(())];
    assert_eq!(decode(&decoder, &batch).await.unwrap(), expected);
    assert_eq!(server.asked(), ["GET /schemas/ids/7", "GET /schemas/ids/8"]);
    let authorization = server.played.lock().unwrap().authorization.clone();
    assert_eq!(authorization.as_deref(), Some("Basic d29ya2VyOnMzY3JldA=="));
    // The known one is remembered; the unknown one may have been registered since.
    server.set("/schemas/ids/8", 200, &json!({"schema": text_of("order-confirmed"), "schemaType": "AVRO"}));
    assert_eq!(decode(&decoder, &[good, unknown]).await.unwrap(), [Ok(()), Ok(())]);
    assert_eq!(server.asked(), ["GET /schemas/ids/8"]);
}

#[tokio::test]
async fn writers_with_older_and_newer_schemas_are_read_by_name() {
    let older = r#"{"type":"record","name":"Confirmed","fields":[{"name":"order_id","type":"string"}]}"#;
    let newer = r#"{"type":"record","name":"OrderConfirmed","namespace":"shop","fields":[
        {"name":"event_id","type":{"type":"string","logicalType":"uuid"}},
        {"name":"total","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],"default":null},
        {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"order_id","type":["string","long"]}]}"#;
    let server = Server::start(&[
        ("/schemas/ids/1", 200, json!({"schema": older})),
        ("/schemas/ids/2", 200, json!({"schema": newer})),
    ])
    .await;
    let decoder = server.decoder();
    let id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    let mut datum = vec![72];
    datum.extend(id.as_bytes());
    datum.extend([2, 2, 0x2a, 0xd0, 0x0f, 0, 6, b'O', b'-', b'1']);
    let mut second = framed(2, &datum);
    second.headers.clear();
    let deliveries: Vec<Delivery> = [framed(1, b"\x06O-1"), second].into_iter().map(Delivery::Record).collect();
    let schemas = decoder.writer_schemas(&deliveries).await.unwrap();
    let mut events = Vec::new();
    for delivery in deliveries {
        let Decoded::Event(envelope, _) = decoder.decode(delivery, &schemas, RECEIVED_AT) else { panic!() };
        events.push(*envelope);
    }
    assert_eq!(events[0].event, events[1].event);
    assert_eq!((&*events[1].cause.id, events[1].told_at.time()), (id, Some(Timestamp(1_000_000))));
}

#[tokio::test]
async fn schemas_that_refer_to_others_are_put_together() {
    let root = r#"{"type":"record","name":"OrderCreated","namespace":"a","fields":[
        {"name":"order_id","type":"string"},{"name":"lines","type":{"type":"array","items":"b.Line"}}]}"#;
    let line = r#"{"type":"record","name":"Line","namespace":"b","fields":[
        {"name":"sku","type":"string"},{"name":"quantity","type":"Count"}]}"#;
    let count = r#"{"type":"record","name":"Count","namespace":"b","fields":[{"name":"n","type":"int"}]}"#;
    let to = |subject: &str| json!([{"name": subject, "subject": subject, "version": 1}]);
    let server = Server::start(&[
        ("/schemas/ids/1", 200, json!({"schema": root, "references": to("line")})),
        ("/subjects/line/versions/1", 200, json!({"schema": line, "references": to("count")})),
        ("/subjects/count/versions/1", 200, json!({"schema": count})),
        ("/schemas/ids/2", 200, json!({"schema": root, "references": to("gone")})),
    ])
    .await;
    let created = |id: u32| {
        let payload = [&[0][..], &id.to_be_bytes(), &[2, b'O', 2, 2, b'A', 6, 0]].concat();
        record("order-created", &[("ce_id", "e")], payload)
    };
    let decoder = server.decoder();
    // The quantity is a record here, which no quantity is: the line was read through both references.
    let expected = [Err(DeadLetterReason::InvalidQuantity), Err(DeadLetterReason::UnknownSchema)];
    assert_eq!(decode(&decoder, &[created(1), created(2)]).await.unwrap(), expected);
}

#[tokio::test]
async fn trouble_with_the_registry_is_no_dead_letter() {
    let id = "/schemas/ids/7";
    let server = Server::start(&[]).await;
    let decoder = server.decoder();
    for (status, body) in [
        (500, json!({})),
        (503, json!({})),
        (401, json!({})),
        (403, json!({})),
        (429, json!({})),
        (407, json!({})),
        (200, json!("a page of a proxy")),
        (500, json!({"message": "x".repeat(2 << 20)})),
    ] {
        server.set(id, status, &body);
        let error = decode(&decoder, &[framed(7, b"\x06O-1")]).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable { .. }), "{status}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    server.set(id, 200, &json!({"schema": text_of("order-confirmed")}));
    assert_eq!(decode(&decoder, &[framed(7, b"\x06O-1")]).await.unwrap(), [Ok(())], "the same batch, later");
    // What a publisher can bring about by the id that it writes is no trouble: it would hold up everybody.
    for (status, body) in [
        (400, json!({"error_code": 400})),
        (410, json!({})),
        (422, json!({"error_code": 42201, "message": "Invalid schema"})),
        (200, json!({"schema": "x".repeat(2 << 20)})),
        (200, json!({"id": 7})),
        (200, json!({"schema": {"type": "string"}})),
    ] {
        server.set("/schemas/ids/8", status, &body);
        let read = decode(&decoder, &[framed(8, b"\x06O-1"), framed(7, b"\x06O-1")]).await.unwrap();
        assert_eq!(read, [Err(DeadLetterReason::UnknownSchema), Ok(())], "{status}");
    }
    for (schema, kind) in [("{}", "AVRO"), ("{\"type\":\"record\"}", "AVRO"), ("{}", "JSON"), ("syntax", "PROTOBUF")] {
        server.set("/schemas/ids/9", 200, &json!({"schema": schema, "schemaType": kind}));
        let read = decode(&decoder, &[framed(9, b"\x06O-1")]).await.unwrap();
        assert_eq!(read, [Err(DeadLetterReason::UnknownSchema)], "{schema} {kind}");
    }
}

#[tokio::test]
async fn no_detail_of_a_dead_letter_holds_a_nul_whatever_the_registry_says() {
    let found = json!({"schema": "{}", "schemaType": "SOME\0THING"});
    let server = Server::start(&[("/schemas/ids/9", 200, found)]).await;
    let decoder = server.decoder();
    let delivery = [Delivery::Record(framed(9, b"\x06O-1"))];
    let schemas = decoder.writer_schemas(&delivery).await.unwrap();
    let [delivery] = delivery;
    let Decoded::DeadLetter(letter) = decoder.decode(delivery, &schemas, RECEIVED_AT) else { panic!() };
    assert!(letter.detail.contains("SOME\u{fffd}THING"), "{:?}", letter.detail);
}

#[tokio::test]
async fn a_registry_that_is_gone_is_unavailable_and_nothing_is_asked_without_need() {
    let gone = Registry::new("http://worker:s3cret@127.0.0.1:1/?api_key=s3cret").unwrap();
    assert!(!format!("{gone:?}").contains("s3cret"));
    let decoder = Decoder::new(topics(), Arc::new(KnownSchemas::load()), Some(Arc::new(gone)), MAX_EVENT_BYTES);
    let error = decode(&decoder, &[framed(7, b"\x06O-1")]).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && !error.contains("s3cret"), "{error}");
    let plain = record("order-confirmed", &[("ce_id", "e")], r#"{"order_id":"O-1"}"#);
    let too_large = framed(7, &vec![0; MAX_EVENT_BYTES]);
    assert_eq!(decode(&decoder, &[plain, too_large]).await.unwrap(), [Ok(()), Err(DeadLetterReason::TooLarge)]);
    for address in ["", "localhost:8081", "ftp://host", "http://", "kafka://worker:s3cret@host"] {
        let error = Registry::new(address).unwrap_err();
        assert!(matches!(error, RegistryError::Address(_)), "{address}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn what_is_published_is_registered_once_and_framed_by_its_id() {
    let subjects = ["stock-changed", "low-stock", "reservation-result", "stock-shortage"];
    let paths = subjects.map(|subject| format!("/subjects/{subject}-value/versions"));
    let server = Server::start(&[
        (&paths[0], 200, json!({"id": 258})),
        (&paths[1], 200, json!({"id": 2})),
        (&paths[2], 200, json!({"id": 3})),
        (&paths[3], 200, json!({"id": 4})),
    ])
    .await;
    let registry = Registry::new(&format!("http://{}/apis/ccompat/v7", server.address)).unwrap();
    let encoder = Encoder::registered(topics(), "holdfast", &registry).await.unwrap();
    assert_eq!(server.asked(), paths.clone().map(|path| format!("POST {path}")));
    let registered = server.played.lock().unwrap().registered.clone();
    assert_eq!(registered, subjects.map(|subject| json!({"schema": text_of(subject)})));
    let records = encoder.encode(&super::encode::everything());
    assert_eq!(records[0].payload.as_ref().unwrap()[..5], [0, 0, 0, 1, 2]);
    assert_eq!(records[1].payload.as_ref().unwrap()[..5], [0, 0, 0, 0, 2]);

    server.set(&paths[1], 409, &json!({"message": "incompatible"}));
    let error = Encoder::registered(topics(), "holdfast", &registry).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }));
    assert!(error.to_string().contains("low-stock-value") && error.to_string().contains("incompatible"), "{error}");
}
