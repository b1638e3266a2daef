//! Records that no well-behaved client writes, put together byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::kafka_support::{Ground, output, text};

#[tokio::test]
async fn a_header_whose_name_is_no_text_is_replaced_and_its_record_comes_through() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 1).await;
    let headers: [(&[u8], &[u8]); 3] = [(b"before", b"1"), (b"\xff\xfe", b"lost"), (b"after", b"2")];
    produce(&ground.kafka.bootstrap, &topic, &record(b"poison", &headers));
    ground.publish(vec![output(&topic, "k", 1)]).await;
    let read = ground.read(&topic, 2).await;
    let kept = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    assert_eq!(text(&read[0]), "poison");
    assert_eq!(
        read[0].headers,
        [kept("before", Some(b"1")), kept("unreadable-header", None), kept("after", Some(b"2"))]
    );
    assert_eq!(text(&read[1]), "k:1");
}

/// One record of the log's format 2, without a key.
fn record(payload: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut record = vec![0];
    for number in [0, 0, -1] {
        varint(&mut record, number);
    }
    lengthened(&mut record, payload);
    varint(&mut record, headers.len() as i64);
    for (name, value) in headers {
        lengthened(&mut record, name);
        lengthened(&mut record, value);
    }
    let mut whole = Vec::new();
    lengthened(&mut whole, &record);
    whole
}

/// Sends a batch of one record, with version 3 of the request, and reads the broker's verdict.
fn produce(bootstrap: &str, topic: &str, record: &[u8]) {
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes());
    checked.extend(0_i32.to_be_bytes());
    checked.extend([1_500_000_000_000_i64.to_be_bytes(); 2].concat());
    checked.extend((-1_i64).to_be_bytes());
    checked.extend((-1_i16).to_be_bytes());
    checked.extend((-1_i32).to_be_bytes());
    checked.extend(1_i32.to_be_bytes());
    checked.extend(record);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend((checked.len() as i32 + 9).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);

    let mut request = Vec::new();
    // Produce, version 3, correlation 1, client "test"; no transaction, all replicas, 10 s; one topic, one partition.
    request.extend([0_i16.to_be_bytes(), 3_i16.to_be_bytes()].concat());
    request.extend(1_i32.to_be_bytes());
    string(&mut request, "test");
    request.extend([(-1_i16).to_be_bytes(), (-1_i16).to_be_bytes()].concat());
    request.extend([10_000_i32.to_be_bytes(), 1_i32.to_be_bytes()].concat());
    string(&mut request, topic);
    request.extend([1_i32.to_be_bytes(), 0_i32.to_be_bytes(), (batch.len() as i32).to_be_bytes()].concat());
    request.extend(batch);

    let mut broker = TcpStream::connect(bootstrap).unwrap();
    broker.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    broker.write_all(&request).unwrap();
    // Length, correlation, number of topics, name, number of partitions, partition; then the error.
    let mut answer = vec![0; 4 + 4 + 4 + 2 + topic.len() + 4 + 4 + 2];
    broker.read_exact(&mut answer).unwrap();
    assert_eq!(answer[answer.len() - 2..], [0, 0], "the broker refused the record");
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as i16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn lengthened(bytes: &mut Vec<u8>, part: &[u8]) {
    varint(bytes, part.len() as i64);
    bytes.extend(part);
}

fn varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |value: u32, _| if value & 1 == 1 { (value >> 1) ^ 0x82F6_3B78 } else { value >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}
