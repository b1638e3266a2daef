//! Streams and consumers on a real NATS server, and reading what is in them.

use std::time::Duration;

use holdfast::bus::nats::{ConsumerSpec, NatsAdmin, NatsTail, NatsTailSettings, StreamSpec};
use holdfast::bus::tail::TailStart;
use holdfast::ports::Source;

use crate::nats_support::{ACK_WAIT, Ground, output, take, text, texts};

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
async fn a_topic_that_is_no_subject_is_refused_by_name() {
    let ground = Ground::shared().await;
    let refused = NatsAdmin::new(ground.connection()).check(&[StreamSpec::read("a..b", None, None)]).await;
    assert!(refused.unwrap_err().to_string().contains("\"a..b\" cannot be a NATS subject"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_where_it_is_told_to_and_follows() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    ground.publish((0..5).map(|number| output(&topic, "k", number)).collect()).await;
    let third = ground.read(&[&topic]).await[2].timestamp.unwrap();
    let open = |from| {
        let topics = vec![topic.clone()];
        NatsTail::open(NatsTailSettings { connection: ground.connection(), topics, from, until_end: false })
    };
    let mut since = open(TailStart::Time(third)).await.unwrap();
    let mut new = open(TailStart::End).await.unwrap();
    ground.publish(vec![output(&topic, "k", 5)]).await;
    let mut records = Vec::new();
    while records.len() < 4 {
        records.extend(since.next().await.unwrap());
    }
    assert!(texts(&records).ends_with(&["k:4".to_owned(), "k:5".to_owned()]), "{:?}", texts(&records));
    assert_eq!(text(&new.next().await.unwrap().unwrap()), "k:5");
    let nowhere = NatsTailSettings {
        connection: ground.connection(),
        topics: vec![ground.name("nowhere")],
        from: TailStart::Start,
        until_end: true,
    };
    let missing = NatsTail::open(nowhere).await.unwrap_err().to_string();
    assert!(missing.contains("holdfast topics apply"), "{missing}");
}
