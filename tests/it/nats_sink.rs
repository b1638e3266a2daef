//! Publishing to a real NATS server.

use std::time::Duration;

use holdfast::bus::nats::{NatsAdmin, NatsConnection, NatsSink, NatsSinkSettings};
use holdfast::ports::{OutputRecord, Sink, SinkError};

use crate::nats_support::{Ground, announcement, dead_letter, open_again, output, progress, texts};

fn bodies(seqs: impl IntoIterator<Item = i64>) -> Vec<String> {
    seqs.into_iter().map(|seq| format!("{{\"seq\":{seq}}}")).collect()
}

fn announcements(topic: &str, seqs: std::ops::RangeInclusive<i64>) -> Vec<OutputRecord> {
    seqs.map(|seq| announcement(topic, seq)).collect()
}

/// The stream without what lets several messages be published as one.
async fn without_batches(ground: &Ground) -> NatsSinkSettings {
    let settings = ground.sink_settings().await;
    let context = ground.context().await;
    let stream = context.get_stream(ground.name("out")).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.allow_atomic_publish = false;
    context.update_stream(config).await.unwrap();
    settings
}

/// Those of a relay that announces at least once to streams that are there.
fn sink_settings_of(ground: &Ground) -> NatsSinkSettings {
    let (out, dead, progress) = (ground.name("out"), ground.name("dead"), ground.name("progress"));
    NatsSinkSettings { at_least_once: true, ..NatsSinkSettings::new(ground.connection(), &out, &dead, &progress) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_is_read_back() {
    let ground = Ground::shared().await;
    for settings in [ground.sink_settings().await, without_batches(&Ground::shared().await).await] {
        let topic = settings.out.replace("out-", "stock-");
        let mut sink = NatsSink::new(settings.clone());
        assert_eq!(sink.open().await.unwrap(), None);
        for batch in 1..=3 {
            // The last one is large enough to be atomic where the stream takes that.
            let seqs = if batch < 3 { batch * 10 - 9..=batch * 10 } else { 21..=700 };
            let last = *seqs.end();
            sink.publish(announcements(&topic, seqs), progress(batch, last)).await.unwrap();
        }
        assert_eq!(sink.open().await.unwrap(), Some(progress(3, 700)));
        // A batch that announces nothing.
        sink.publish(Vec::new(), progress(4, 700)).await.unwrap();
        sink.close().await;
        let mut sink = NatsSink::new(settings);
        assert_eq!(sink.open().await.unwrap(), Some(progress(4, 700)));
        sink.publish(announcements(&topic, 701..=701), progress(5, 701)).await.unwrap();
        let ground = Ground::shared().await;
        let read = ground.read(&[&topic]).await;
        assert_eq!(texts(&read), bodies(1..=701));
        let id = ("Nats-Msg-Id".to_owned(), Some(b"event-1".to_vec()));
        assert!(read[0].headers.contains(&id), "{:?}", read[0].headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_has_published_and_finds_another_stops() {
    let ground = Ground::shared().await;
    let topic = ground.name("stock");
    let settings = ground.sink_settings().await;
    let (mut one, mut other) = (NatsSink::new(settings.clone()), NatsSink::new(settings));
    one.open().await.unwrap();
    one.publish(announcements(&topic, 1..=2), progress(1, 2)).await.unwrap();
    other.open().await.unwrap();
    other.publish(announcements(&topic, 3..=4), progress(2, 4)).await.unwrap();
    let fenced = one.publish(announcements(&topic, 3..=4), progress(2, 4)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    // One that read too early has lost nothing: it reads again and goes on.
    let mut early = NatsSink::new(ground.sink_settings().await);
    early.open().await.unwrap();
    other.publish(announcements(&topic, 5..=5), progress(3, 5)).await.unwrap();
    let unclear = early.publish(announcements(&topic, 5..=5), progress(3, 5)).await.unwrap_err();
    assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
    assert_eq!(early.open().await.unwrap(), Some(progress(3, 5)));
    early.publish(announcements(&topic, 6..=6), progress(4, 6)).await.unwrap();
    assert_eq!(texts(&ground.read(&[&topic]).await), bodies(1..=6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_broke_off_is_completed_and_nothing_of_it_repeated() {
    for is_atomic in [true, false] {
        let ground = Ground::shared().await;
        let topic = ground.name("stock");
        let dead = ground.name("dead");
        let settings = if is_atomic { ground.sink_settings().await } else { without_batches(&ground).await };
        let mut sink = NatsSink::new(settings.clone());
        sink.open().await.unwrap();
        sink.publish(announcements(&topic, 1..=10), progress(1, 10)).await.unwrap();
        // More than one atomic batch, so that a part of it can stand alone; cancelled at different places.
        let whole: Vec<OutputRecord> = announcements(&topic, 11..=2_510)
            .into_iter()
            .chain((0..5).map(|offset| dead_letter(&dead, offset)))
            .collect();
        let mut patience = Duration::from_millis(1);
        loop {
            let publishing = sink.publish(whole.clone(), progress(2, 2_510));
            match tokio::time::timeout(patience, publishing).await {
                Ok(Ok(())) => break,
                // What was cancelled may arrive between the reading and the publication.
                Ok(Err(SinkError::Unclear(_))) => {
                    open_again(&mut sink).await;
                }
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => {
                    let refused = sink.publish(Vec::new(), progress(2, 2_510)).await.unwrap_err();
                    assert!(matches!(refused, SinkError::Unclear(_)), "{refused}");
                    let (batch, seq) = open_again(&mut sink).await;
                    assert!(seq >= 10, "the tail went back to {seq}");
                    if batch == 2 {
                        break;
                    }
                }
            }
            patience *= 2;
        }
        assert_eq!(open_again(&mut sink).await, (2, 2_510));
        assert_eq!(texts(&ground.read(&[&topic]).await), bodies(1..=2_510), "atomic: {is_atomic}");
        let letters: Vec<String> = (0..5).map(|offset| format!("dead:{offset}")).collect();
        assert_eq!(texts(&ground.read(&[&dead]).await), letters);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_alone_are_published_once_and_counted_as_progress() {
    let ground = Ground::shared().await;
    let dead = ground.name("dead");
    let mut sink = NatsSink::new(ground.sink_settings().await);
    sink.open().await.unwrap();
    sink.publish(vec![dead_letter(&dead, 1), dead_letter(&dead, 2)], progress(1, 0)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(1, 0)));
    // A relay that died between the letters and what says so publishes both again, and one more.
    let again = (1..=3).map(|offset| dead_letter(&dead, offset)).collect();
    sink.publish(again, progress(2, 0)).await.unwrap();
    assert_eq!(texts(&ground.read(&[&dead]).await), ["dead:1", "dead:2", "dead:3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_confirms_every_record_and_reads_no_tail() {
    let ground = Ground::shared().await;
    let topic = ground.name("stock");
    let settings = NatsSinkSettings { at_least_once: true, ..ground.sink_settings().await };
    let mut sink = NatsSink::new(settings);
    assert_eq!(sink.open().await.unwrap(), None);
    sink.publish(announcements(&topic, 1..=1_500), progress(1, 1_500)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), None);
    assert_eq!(texts(&ground.read(&[&topic]).await), bodies(1..=1_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_buries_dead_letters_that_no_announcement_comes_with() {
    let ground = Ground::shared().await;
    let (topic, dead) = (ground.name("stock"), ground.name("dead"));
    let settings = NatsSinkSettings { at_least_once: true, ..ground.sink_settings().await };
    let mut sink = NatsSink::new(settings);
    sink.open().await.unwrap();
    sink.publish(vec![dead_letter(&dead, 1), dead_letter(&dead, 2)], progress(1, 0)).await.unwrap();
    sink.publish(Vec::new(), progress(2, 0)).await.unwrap();
    sink.publish(vec![announcement(&topic, 1), dead_letter(&dead, 3)], progress(3, 1)).await.unwrap();
    assert_eq!(texts(&ground.read(&[&dead]).await), ["dead:1", "dead:2", "dead:3"]);
    // Nothing was written that says how far publishing is.
    assert_eq!(texts(&ground.read(&[&topic]).await), bodies(1..=1));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_keeps_the_order_when_a_message_in_the_middle_is_refused() {
    let ground = Ground::shared().await;
    let topic = ground.name("stock");
    let settings = NatsSinkSettings { at_least_once: true, ..ground.sink_settings().await };
    let mut sink = NatsSink::new(settings);
    sink.open().await.unwrap();
    let context = ground.context().await;
    let limit = |bytes| {
        let (context, stream) = (context.clone(), ground.name("out"));
        async move {
            let mut config = context.get_stream(stream).await.unwrap().cached_info().config.clone();
            config.max_message_size = bytes;
            context.update_stream(config).await.unwrap();
        }
    };
    let mut records = announcements(&topic, 1..=300);
    let large = format!("{{\"seq\":150,\"pad\":\"{}\"}}", "x".repeat(10_000));
    records[149].payload = Some(large.clone().into_bytes());
    let mut expected = bodies(1..=300);
    expected[149] = large;
    // The sink has seen the stream without a limit, so the server is the one to refuse.
    limit(5_000).await;
    let refused = sink.publish(records.clone(), progress(1, 300)).await.unwrap_err();
    assert!(matches!(refused, SinkError::TooLarge(_)), "{refused}");
    limit(-1).await;
    sink.open().await.unwrap();
    sink.publish(records.clone(), progress(1, 300)).await.unwrap();
    assert_eq!(texts(&ground.read(&[&topic]).await), expected);

    // What others wrote in between does not stop one that sends again what is there already.
    context.publish(topic.clone(), "other".into()).await.unwrap().await.unwrap();
    records.extend(announcements(&topic, 301..=310));
    let mut heir = NatsSink::new(sink_settings_of(&ground));
    heir.open().await.unwrap();
    heir.publish(records.clone(), progress(2, 310)).await.unwrap_err();
    heir.open().await.unwrap();
    heir.publish(records, progress(2, 310)).await.unwrap();
    expected.push("other".to_owned());
    expected.extend(bodies(301..=310));
    assert_eq!(texts(&ground.read(&[&topic]).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_streams_foreign_messages_and_large_records_are_errors_that_name_the_remedy() {
    let ground = Ground::shared().await;
    let topic = ground.name("stock");
    let unmade = NatsSinkSettings::new(ground.connection(), "no-out", "no-dead", "no-progress");
    let missing = NatsSink::new(unmade).open().await.unwrap_err();
    assert!(matches!(&missing, SinkError::Fatal(text) if text.contains("holdfast topics apply")), "{missing}");

    let mut sink = NatsSink::new(ground.sink_settings().await);
    sink.open().await.unwrap();
    let large = OutputRecord { payload: Some(vec![b'x'; 10_000_000]), ..output(&topic, "k", 1) };
    let refused = sink.publish(vec![large], progress(1, 1)).await.unwrap_err();
    assert!(matches!(&refused, SinkError::TooLarge(text) if text.contains("max_payload")), "{refused}");

    ground.context().await.publish(topic, "not ours".into()).await.unwrap().await.unwrap();
    let foreign = sink.open().await.unwrap_err();
    assert!(matches!(&foreign, SinkError::Fatal(text) if text.contains("not written by a relay")), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_unclear_and_named() {
    let connection = NatsConnection::new("nats://127.0.0.1:1", "test", Default::default()).unwrap();
    let settings = NatsSinkSettings::new(connection, "out", "dead", "progress");
    let mut sink = NatsSink::new(NatsSinkSettings { open_timeout: Duration::from_millis(500), ..settings });
    let unreachable = sink.open().await.unwrap_err();
    assert!(matches!(&unreachable, SinkError::Unclear(text) if text.contains("127.0.0.1:1")), "{unreachable}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_made_once_and_every_difference_is_named() {
    let ground = Ground::shared().await;
    let admin = NatsAdmin::new(ground.connection());
    let specs = ground.out_streams();
    assert_eq!(admin.check(&specs).await.unwrap().len(), 2);
    ground.sink_settings().await;
    assert_eq!(admin.check(&specs).await.unwrap(), []);
    let context = ground.context().await;
    let mut config = context.get_stream(ground.name("out")).await.unwrap().cached_info().config.clone();
    config.max_age = Duration::from_secs(600);
    context.update_stream(config).await.unwrap();
    let said: Vec<String> = admin.check(&specs).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(said, [format!("stream {} has max_age=600s instead of 0s", ground.name("out"))]);
}
