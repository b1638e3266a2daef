//! What becomes of a record on its way.

use holdfast::bus::tail::TailStart;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{OutputRecord, Sink};

use super::Bus;
use crate::buses::{BusKind, announcement, close, event, progress, rest, take_and_settle, wait_for_lag};

/// As large as an event may be, and more than a broker takes that was not told to.
const LARGE: usize = 8 * 1024 * 1024;

/// Cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_headers_and_payload_are_carried_or_missing_as_the_contract_says() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let sent = [
        OutputRecord {
            headers: vec![
                header("ce_id", Some(b"e-1")),
                header("ce_type", Some("größer".as_bytes())),
                header("empty", Some(b"")),
                header("missing", None),
                header("raw", Some(&[0, 255])),
                header("twice", Some(b"1")),
                header("twice", Some(b"2")),
            ],
            ..event(&topic, "key with spaces, dots... and % signs", 0)
        },
        // A tombstone.
        OutputRecord { payload: None, ..event(&topic, "k", 1) },
        OutputRecord { payload: Some(Vec::new()), ..event(&topic, "k", 2) },
        OutputRecord { key: None, ..event(&topic, "k", 3) },
        OutputRecord { key: Some(vec![0xff, b'.', 0, b'*']), ..event(&topic, "k", 4) },
        OutputRecord { payload: Some((0..=255).collect()), ..event(&topic, "k", 5) },
        OutputRecord { timestamp: Timestamp(1_600_000_000_123_000), ..event(&topic, "k", 6) },
    ];
    bus.publish(sent.to_vec()).await;
    let mut source = bus.reader(&topic).await;
    let read = take_and_settle(&mut source, sent.len()).await;
    for (index, (read, sent)) in read.into_iter().zip(sent).enumerate() {
        let OutputRecord { topic, key, headers, payload, timestamp } = Bus::carried(sent);
        assert_eq!((&read.position.topic, read.position.partition), (&topic, 0));
        assert_eq!(read.position.offset, Bus::FIRST_OFFSET + index as i64);
        assert_eq!((read.key, read.headers, read.payload), (key, headers, payload), "record {index}");
        assert!(read.timestamp.is_some_and(|time| !Bus::KEEPS_TIME || time == timestamp), "{:?}", read.timestamp);
    }
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_8_mib_is_carried_whole() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let large = OutputRecord { payload: Some(noise(LARGE)), ..event(&topic, "k", 1) };
    bus.publish(vec![event(&topic, "k", 0), large.clone(), large, event(&topic, "k", 3)]).await;
    let mut source = bus.reader(&topic).await;
    let sizes: Vec<usize> = take_and_settle(&mut source, 4)
        .await
        .into_iter()
        .map(|record| {
            let payload = record.payload.expect("a payload");
            assert!(payload.len() == 3 || payload == noise(LARGE), "it came as another one");
            payload.len()
        })
        .collect();
    assert_eq!(sizes, [3, LARGE, LARGE, 3]);
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_of_8_mib_is_carried_whole() {
    let bus = Bus::open().await;
    let padding = "x".repeat(LARGE);
    let large = |seq: i64| OutputRecord {
        payload: Some(format!("{{\"seq\":{seq},\"padding\":\"{padding}\"}}").into_bytes()),
        ..announcement(&bus.stock(), seq)
    };
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    let records = vec![announcement(&bus.stock(), 1), large(2), announcement(&bus.stock(), 3)];
    sink.publish(records.clone(), progress(1, 3)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(1, 3)));
    let tail = bus.tail(&[bus.stock()], TailStart::Start, true, true).await.unwrap();
    let read: Vec<_> = rest(tail).await.into_iter().map(|record| record.payload).collect();
    assert!(read == records.into_iter().map(|record| record.payload).collect::<Vec<_>>(), "it came as another one");
}
