//! Streams and consumers on a real NATS server, and reading what is in them.

use std::time::Duration;

use holdfast::bus::nats::{ConsumerSpec, NatsAdmin, StreamSpec};
use holdfast::ports::Source;

use crate::nats_support::{ACK_WAIT, Ground, output, take, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_the_subject_already_is_used() {
    let ground = Ground::shared().await;
    let topic = format!("{}.orders", ground.name("shop"));
    let theirs = async_nats::jetstream::stream::Config {
        name: ground.name("theirs"),
        subjects: vec![format!("{}.>", ground.name("shop"))],
        ..Default::default()
    };
    ground.context().await.create_stream(theirs).await.unwrap();
    let admin = NatsAdmin::new(ground.connection());
    let consumer = ConsumerSpec::new(&ground.name("group"), &topic, ACK_WAIT);
    let specs = [StreamSpec::read(&topic, Some(consumer.clone()), None)];
    let said = |specs| {
        let admin = admin.clone();
        async move { admin.check(specs).await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>() }
    };
    let stream = ground.name("theirs");
    assert_eq!(said(&specs).await, [format!("consumer {} of stream {stream} does not exist", consumer.name)]);
    let made: Vec<String> = admin.apply(&specs).await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(made, [format!("stream {stream}"), format!("consumer {} of stream {stream}", consumer.name)]);
    assert_eq!(said(&specs).await, [""; 0]);

    // The stream counts what others write there, too, and only the topic is read.
    let context = ground.context().await;
    context.publish(format!("{}.other", ground.name("shop")), "no".into()).await.unwrap().await.unwrap();
    ground.publish(vec![output(&topic, "k", 1)]).await;
    let mut source = ground.source(&[&topic]).await;
    let (records, _) = take(&mut source, 1).await;
    assert_eq!((text(&records[0]), records[0].position.offset), ("k:1".to_owned(), 2));
    source.close().await.unwrap();

    let other = ConsumerSpec { ack_wait: Duration::from_secs(60), ..consumer.clone() };
    let difference = format!("consumer {} of stream {stream} has ack_wait=2s instead of 60s", consumer.name);
    assert_eq!(said(&[StreamSpec::read(&topic, Some(other), None)]).await, [difference]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_too_small_messages_is_told_of_and_used() {
    let ground = Ground::shared().await;
    ground.sink_settings().await;
    let admin = NatsAdmin::new(ground.connection());
    let specs = |largest| ground.out_streams().into_iter().map(|spec| spec.with_largest(largest)).collect::<Vec<_>>();
    assert_eq!(admin.require(&specs(9_000_000)).await.unwrap(), []);
    let small = admin.require(&specs(16_000_000)).await.unwrap();
    assert_eq!(small, admin.check(&specs(16_000_000)).await.unwrap());
    assert_eq!(small.len(), 2);
    let said = small[0].to_string();
    assert!(said.contains("raise max_payload") && said.contains("lower max_event_bytes"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_no_subject_is_refused_by_name() {
    let ground = Ground::shared().await;
    let refused = NatsAdmin::new(ground.connection()).check(&[StreamSpec::read("a..b", None, None)]).await;
    assert!(refused.unwrap_err().to_string().contains("\"a..b\" cannot be a NATS subject"));
}
