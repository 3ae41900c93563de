//! A client session against a server session, in memory.

use proptest::prelude::*;

use super::super::command::{Refusal, RefusalCode};
use super::super::handshake::tests::random;
use super::super::message::{Tag, TagKind};
use super::super::session::{Event, ServerSession};
use super::*;

struct Pair {
    client: ClientSession,
    server: ServerSession,
}

impl Pair {
    fn new(url: &str, chunk_size: u32) -> Self {
        let config = ClientConfig { chunk_size, ..ClientConfig::new(&RtmpUrl::parse(url).unwrap()) };
        Self { client: ClientSession::new(config, &random()), server: ServerSession::new(Limits::default(), random()) }
    }

    /// Passes bytes to and fro until both are silent or the server waits for an answer.
    fn run(&mut self) -> (Vec<ClientEvent>, Vec<Event>) {
        let (mut client_events, mut server_events) = (Vec::new(), Vec::new());
        loop {
            let to_server = self.client.take_output();
            self.server.feed(&to_server);
            while let Some(event) = self.server.next_event().unwrap() {
                server_events.push(event);
            }
            let to_client = self.server.take_output();
            self.client.feed(&to_client);
            while let Some(event) = self.client.next_event().unwrap() {
                client_events.push(event);
            }
            if to_server.is_empty() && to_client.is_empty() {
                return (client_events, server_events);
            }
        }
    }
}

const URL: &str = "rtmp://127.0.0.1:9000/examplebucket/live/test-channel?playlistName=p.m3u8";

#[test]
fn a_publish_from_beginning_to_end() {
    let mut pair = Pair::new(URL, 60_000);
    let (client, server) = pair.run();
    assert_eq!(client, []);
    let [Event::Connect(connect), Event::Publish(publish)] = server.as_slice() else { panic!("{server:?}") };
    assert_eq!(connect.app, "examplebucket/live");
    assert_eq!((publish.stream_id, publish.name.as_str()), (1, "test-channel?playlistName=p.m3u8"));

    pair.server.accept();
    assert_eq!(pair.run(), (vec![ClientEvent::Publishing], vec![]));
    pair.client.send_metadata(&[("width", Value::Number(64.0)), ("encoder", Value::string("demo"))]).unwrap();
    let (_, server) = pair.run();
    assert!(matches!(server.as_slice(), [Event::Metadata(facts)] if facts.width == Some(64)));

    pair.client.unpublish();
    assert_eq!(pair.run(), (vec![ClientEvent::Ended], vec![Event::Unpublish]));
}

#[test]
fn refusals_reach_the_client() {
    let refusal = Refusal {
        code: RefusalCode::Denied,
        description: "SignatureDoesNotMatch: No.".to_owned(),
        details: "test-channel".to_owned(),
    };
    let refused = |code: &str, description: &str| {
        vec![ClientEvent::Refused { code: code.to_owned(), description: description.to_owned() }]
    };
    let mut pair = Pair::new(URL, 128);
    pair.run();
    pair.server.reject(&refusal);
    assert_eq!(pair.run().0, refused("NetStream.Publish.Denied", "SignatureDoesNotMatch: No."));

    let mut pair = Pair::new(URL, 128);
    pair.run();
    pair.server.accept();
    pair.run();
    pair.server.revoke(&refusal);
    assert_eq!(pair.run().0, refused("NetStream.Publish.Denied", "SignatureDoesNotMatch: No."));

    let mut pair = Pair::new("rtmp://h/vod/x", 128);
    let (client, server) = pair.run();
    assert_eq!(client, refused("NetConnection.Connect.Rejected", "the application is live, or bucket/live"));
    assert_eq!(server, []);
}

#[test]
fn garbage_from_a_server_is_an_error() {
    let mut client = ClientSession::new(ClientConfig::new(&RtmpUrl::parse(URL).unwrap()), &random());
    client.feed(b"HTTP/1.1 400 Bad Request\r\n");
    assert!(client.next_event().is_err());
    assert_eq!(client.next_event(), Ok(None));
}

#[test]
fn the_client_answers_pings() {
    let mut pair = Pair::new(URL, 128);
    pair.run();
    pair.server.accept();
    pair.run();
    pair.server.ping(7);
    pair.run();
    assert_eq!(pair.server.stats().pongs, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn media_arrives_as_sent(
        chunk_size in prop_oneof![1u32..200, Just(60_000u32), Just(0xff_ffffu32)],
        start in any::<u32>(),
        tags in prop::collection::vec((any::<bool>(), 0u32..100, prop::collection::vec(any::<u8>(), 1..3000)), 1..20),
    ) {
        let mut pair = Pair::new(URL, chunk_size);
        pair.run();
        pair.server.accept();
        pair.run();
        let mut time = start;
        let mut sent = Vec::new();
        for (is_video, step, payload) in tags {
            time = time.wrapping_add(step);
            let payload = Bytes::from(payload);
            let kind = if is_video {
                pair.client.send_video(time, &payload).unwrap();
                TagKind::Video
            } else {
                pair.client.send_audio(time, &payload).unwrap();
                TagKind::Audio
            };
            sent.push(Event::Media(Tag { kind, timestamp_ms: time, payload }));
        }
        prop_assert_eq!(pair.run().1, sent);
    }
}
