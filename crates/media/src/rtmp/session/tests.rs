//! What a server session does with the bytes of clients, real and made up.

use proptest::prelude::*;

use super::super::amf0::Value;
use super::super::chunk::{ChunkReader, ChunkWriter, Outgoing};
use super::super::handshake::{HandshakeKind, tests as handshakes};
use super::super::metadata::CodecName;
use super::super::stats::QuirkCounts;
use super::*;
use crate::bits::WriteBytes;

const HANDSHAKE: usize = 1 + 2 * 1536;

/// A client that says what the test asks for, and a session that hears it.
struct Peer {
    session: ServerSession,
    writer: ChunkWriter,
    /// Reads the session's answers.
    reader: ChunkReader,
    answers: BytesMut,
}

/// An answer in a form that is easy to compare.
#[derive(Debug, PartialEq)]
enum Answer {
    Control(MessageKind, Vec<u8>),
    Command(u32, Command),
}

impl Peer {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let mut session = ServerSession::new(limits, handshakes::random());
        session.feed(&handshakes::hello(HandshakeKind::Plain));
        session.feed(&[0; 1536]);
        assert_eq!(session.next_event(), Ok(None));
        assert_eq!(session.take_output().len(), HANDSHAKE);
        Self {
            session,
            writer: ChunkWriter::default(),
            reader: ChunkReader::new(&Limits::default()),
            answers: BytesMut::new(),
        }
    }

    /// A peer that has connected to `live`.
    fn connected() -> Self {
        let mut peer = Self::new();
        peer.connect("live");
        assert!(matches!(peer.events().as_slice(), [Event::Connect(_)]));
        peer.answers();
        peer
    }

    /// A peer that publishes `chan` on stream 1.
    fn publishing() -> Self {
        let mut peer = Self::connected();
        peer.command(0, "createStream", 4.0, vec![Value::Null]);
        peer.publish(1, "chan");
        assert!(matches!(peer.events().as_slice(), [Event::Publish(_)]));
        peer.session.accept();
        peer.answers();
        peer
    }

    fn send(&mut self, kind: MessageKind, stream_id: u32, payload: &[u8]) {
        self.send_at(kind, stream_id, 0, payload);
    }

    fn send_at(&mut self, kind: MessageKind, stream_id: u32, timestamp_ms: u32, payload: &[u8]) {
        let mut bytes = BytesMut::new();
        let message = Outgoing { chunk_stream: 3, kind, timestamp_ms, stream_id, payload };
        self.writer.write(&message, &mut bytes).unwrap();
        self.session.feed(&bytes);
    }

    fn command(&mut self, stream_id: u32, name: &str, transaction: f64, values: Vec<Value>) {
        let body = Command::new(name, transaction, values).encode();
        self.send(MessageKind::Amf0Command, stream_id, &body);
    }

    fn connect(&mut self, app: &str) {
        let object = Value::object([
            ("app", Value::string(app)),
            ("tcUrl", Value::string(format!("rtmp://h:1935/{app}"))),
            ("flashVer", Value::string("FMLE/3.0")),
            ("fourCcList", Value::StrictArray(vec![Value::string("hvc1")])),
        ]);
        self.command(0, "connect", 1.0, vec![object]);
    }

    fn publish(&mut self, stream_id: u32, name: &str) {
        self.command(stream_id, "publish", 5.0, vec![Value::Null, Value::string(name), Value::string("live")]);
    }

    /// The events up to the first pause.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.session.next_event().unwrap() {
            events.push(event);
        }
        events
    }

    /// What the session has said since the last time.
    fn answers(&mut self) -> Vec<Answer> {
        self.answers.extend_from_slice(&self.session.take_output());
        let mut answers = Vec::new();
        let mut quirks = QuirkCounts::default();
        while let Some(message) = self.reader.next_message(&mut self.answers, &mut quirks).unwrap() {
            if message.kind == MessageKind::SetChunkSize {
                let size = crate::bits::Reader::new(&message.payload).u32().unwrap();
                self.reader.set_chunk_size(size, &mut quirks).unwrap();
            }
            answers.push(match message.kind {
                MessageKind::Amf0Command => {
                    let (command, _) = Command::parse(&message.payload, false, &Limits::default()).unwrap();
                    Answer::Command(message.stream_id, command)
                }
                kind => Answer::Control(kind, message.payload.to_vec()),
            });
        }
        answers
    }

    /// The answers as `stream name transaction [code]`.
    fn answer_lines(&mut self) -> Vec<String> {
        let line = |answer: Answer| match answer {
            Answer::Control(kind, payload) => format!("{kind:?} {payload:?}"),
            Answer::Command(stream, command) => {
                let code = command.info("code").map(|code| format!(" {code}")).unwrap_or_default();
                format!("{stream} {} {}{code}", command.name, command.transaction)
            }
        };
        self.answers().into_iter().map(line).collect()
    }

    fn count(&self, quirk: Quirk) -> u64 {
        self.session.stats().quirks.count(quirk)
    }
}

fn tag(kind: TagKind, timestamp_ms: u32, payload: &'static [u8]) -> Event {
    Event::Media(Tag { kind, timestamp_ms, payload: Bytes::from_static(payload) })
}

fn refusal(code: RefusalCode) -> Refusal {
    Refusal { code, description: "AccessDenied: No.".to_owned(), details: "chan".to_owned() }
}

#[test]
fn q09_connect_is_answered_with_window_bandwidth_and_chunk_size_first() {
    let mut peer = Peer::new();
    peer.connect("live");
    let events = peer.events();
    let [Event::Connect(request)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((request.app.as_str(), request.flash_version.as_deref()), ("live", Some("FMLE/3.0")));
    let window = [0, 0x26, 0x25, 0xa0];
    let answers = peer.answers();
    assert_eq!(answers[0], Answer::Control(MessageKind::WindowAcknowledgementSize, window.to_vec()));
    assert_eq!(answers[1], Answer::Control(MessageKind::SetPeerBandwidth, [window.as_slice(), &[2]].concat()));
    assert_eq!(answers[2], Answer::Control(MessageKind::SetChunkSize, vec![0, 0, 0xea, 0x60]));
    let Answer::Command(0, result) = &answers[3] else { panic!("{answers:?}") };
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    assert_eq!(result.info("code"), Some("NetConnection.Connect.Success"));
    assert_eq!(result.values[1].member("objectEncoding"), Some(&Value::Number(0.0)));
    assert_eq!(result.values[0].member("capabilities"), Some(&Value::Number(31.0)));
}

#[test]
fn connect_without_live_is_rejected_and_closed() {
    for app in ["", "vod", "bucket?x=/live"] {
        let mut peer = Peer::new();
        let object = Value::object([("app", Value::string(app))]);
        peer.command(0, "connect", 7.0, vec![object]);
        assert_eq!(peer.events(), []);
        assert_eq!(peer.answer_lines(), ["0 _error 7 NetConnection.Connect.Rejected"]);
        assert!(peer.session.is_closing());
        assert_eq!(peer.session.stats().refusals, 1);
    }
}

/// Sends commands in the order of one encoder, and compares the answers up to the acceptance.
fn check_flow(commands: &[(&str, f64)], answers: &[&str]) {
    let mut peer = Peer::connected();
    for &(name, transaction) in commands {
        let values = match name {
            "createStream" | "_checkbw" => vec![Value::Null],
            _ => vec![Value::Null, Value::string("chan?Signature=secret")],
        };
        let stream = u32::from(name == "publish");
        peer.command(stream, name, transaction, values);
    }
    let events = peer.events();
    let [Event::Publish(request)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((request.app.as_str(), request.name.as_str()), ("live", "chan?Signature=secret"));
    peer.session.accept();
    let bytes = peer.session.take_output();
    assert!(!String::from_utf8_lossy(&bytes).contains("secret"), "signatures are never echoed");
    peer.answers.extend_from_slice(&bytes);
    assert_eq!(peer.answer_lines(), answers);
}

const STARTED: [&str; 2] = ["UserControl [0, 0, 0, 0, 0, 1]", "1 onStatus 0 NetStream.Publish.Start"];

#[test]
fn q04_publish_flows_of_encoders() {
    let fmle = [("releaseStream", 2.0), ("FCPublish", 3.0), ("createStream", 4.0), ("publish", 5.0)];
    check_flow(
        &fmle,
        &[
            "0 _result 2",
            "0 _result 3",
            "0 onFCPublish 3 NetStream.Publish.Start",
            "0 _result 4",
            STARTED[0],
            STARTED[1],
        ],
    );
    check_flow(&[("createStream", 2.0), ("publish", 0.0)], &["0 _result 2", STARTED[0], STARTED[1]]);
    check_flow(
        &[("createStream", 2.0), ("_checkbw", 3.0), ("publish", 4.0)],
        &["0 _result 2", "0 _result 3", STARTED[0], STARTED[1]],
    );
}

#[test]
fn q04_unknown_commands_are_answered_when_they_expect_it() {
    let mut peer = Peer::connected();
    peer.command(0, "whatever", 9.0, vec![Value::Null]);
    peer.command(0, "notice", 0.0, vec![]);
    peer.command(0, "_result", 9.0, vec![Value::Null]);
    peer.command(0, "getStreamLength", 10.0, vec![Value::Null]);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.answer_lines(), ["0 _result 9", "0 _result 10"]);
    assert_eq!(peer.count(Quirk::UnknownCommand), 2);
    assert_eq!(peer.session.stats().last_unknown_command.as_deref(), Some("notice"));
}

#[test]
fn q05_transactions_are_echoed_and_may_be_zero() {
    let flow = [("releaseStream", 0.0), ("FCPublish", 0.0), ("createStream", 7.0), ("publish", 7.0)];
    check_flow(&flow, &["0 onFCPublish 0 NetStream.Publish.Start", "0 _result 7", STARTED[0], STARTED[1]]);
}

#[test]
fn q06_publish_type_means_nothing() {
    for values in [
        vec![Value::Null, Value::string("chan")],
        vec![Value::Null, Value::string("chan"), Value::string("record")],
        vec![Value::Null, Value::string("chan"), Value::Number(1.0)],
    ] {
        let mut peer = Peer::connected();
        peer.command(1, "publish", 5.0, values);
        assert!(matches!(peer.events().as_slice(), [Event::Publish(request)] if request.name == "chan"));
    }
}

#[test]
fn q06_empty_name_has_no_target_unless_the_app_has_it() {
    for (app, has_target) in [("live", false), ("live/chan?a=1", true)] {
        let mut peer = Peer::new();
        peer.connect(app);
        peer.publish(1, "");
        let events = peer.events();
        let [Event::Connect(_), Event::Publish(request)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(request.target().is_ok(), has_target);
    }
}

#[test]
fn q06_a_name_beyond_its_bound_is_refused() {
    let mut peer = Peer::connected();
    peer.publish(1, &"x".repeat(4097));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.answer_lines(), ["1 onStatus 0 NetStream.Publish.BadName"]);
    assert!(peer.session.is_closing());
}

#[test]
fn create_stream_counts_from_one() {
    let mut peer = Peer::connected();
    for _ in 0..2 {
        peer.command(0, "createStream", 4.0, vec![Value::Null]);
    }
    peer.events();
    let ids: Vec<_> = peer
        .answers()
        .into_iter()
        .map(|answer| match answer {
            Answer::Command(_, command) => command.number(0),
            Answer::Control(..) => None,
        })
        .collect();
    assert_eq!(ids, [Some(1.0), Some(2.0)]);
}

#[test]
fn nothing_is_read_before_the_publish_is_answered() {
    let mut peer = Peer::connected();
    peer.publish(1, "chan");
    peer.send(MessageKind::Video, 1, b"\x17\x00");
    assert!(matches!(peer.events().as_slice(), [Event::Publish(_)]));
    assert_eq!(peer.events(), []);
    peer.session.accept();
    assert_eq!(peer.events(), [tag(TagKind::Video, 0, b"\x17\x00")]);
}

#[test]
fn a_rejected_publish_gets_a_status_and_nothing_more() {
    for code in [RefusalCode::BadName, RefusalCode::Denied] {
        let mut peer = Peer::connected();
        peer.publish(1, "chan");
        peer.send(MessageKind::Video, 1, b"\x17\x00");
        peer.events();
        peer.session.reject(&refusal(code));
        assert!(peer.session.is_closing());
        let answers = peer.answers();
        let [Answer::Command(1, status)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((status.name.as_str(), status.transaction, &status.values[0]), ("onStatus", 0.0, &Value::Null));
        let info = ["level", "code", "description", "details"].map(|name| status.info(name).unwrap());
        assert_eq!(info, ["error", code.code(), "AccessDenied: No.", "chan"]);

        peer.publish(1, "chan");
        assert_eq!(peer.events(), []);
        assert!(peer.session.read_buffer().is_empty(), "input is drained");
        peer.session.ping(1);
        peer.session.accept();
        assert_eq!(peer.answers(), []);
    }
}

#[test]
fn a_revoked_publish_gets_a_status_and_no_unpublish() {
    let mut peer = Peer::publishing();
    peer.session.revoke(&refusal(RefusalCode::Denied));
    peer.command(0, "deleteStream", 6.0, vec![Value::Null, Value::Number(1.0)]);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.answer_lines(), ["1 onStatus 0 NetStream.Publish.Denied"]);
    assert!(peer.session.is_closing() && !peer.session.is_publishing());
}

#[test]
fn who_offers_it_is_asked_to_reconnect() {
    let cases = [(Some(1.0), true), (Some(7.0), true), (Some(2.0), false), (Some(f64::NAN), false), (None, false)];
    for (caps, is_asked) in cases {
        let mut peer = Peer::new();
        let caps_member = caps.map_or(Value::Null, Value::Number);
        let members = [("app", Value::string("live")), ("capsEx", caps_member)];
        peer.command(0, "connect", 1.0, vec![Value::object(members)]);
        peer.command(0, "createStream", 4.0, vec![Value::Null]);
        peer.publish(1, "chan");
        peer.events();
        assert!(!peer.session.request_reconnect("Soon."), "nothing is published yet");
        peer.session.accept();
        peer.answers();
        assert_eq!(peer.session.request_reconnect("Soon."), is_asked, "{caps:?}");
        let expected: &[&str] = if is_asked { &["0 onStatus 0 NetConnection.Connect.ReconnectRequest"] } else { &[] };
        assert_eq!(peer.answer_lines(), expected);
    }
}

#[test]
fn second_publish_of_the_same_name_is_ignored_and_of_another_refused() {
    let mut peer = Peer::publishing();
    peer.publish(1, "chan");
    peer.publish(1, "other");
    peer.send(MessageKind::Audio, 1, b"\xaf\x01");
    assert_eq!(peer.events(), [tag(TagKind::Audio, 0, b"\xaf\x01")]);
    assert_eq!(peer.answer_lines(), ["1 onStatus 0 NetStream.Publish.BadName"]);
    assert_eq!((peer.count(Quirk::PublishRepeated), peer.count(Quirk::PublishWhileLive)), (1, 1));
    assert!(!peer.session.is_closing());
}

#[test]
fn publish_before_connect_is_refused() {
    let mut peer = Peer::new();
    peer.publish(1, "chan");
    assert_eq!(peer.events(), []);
    assert_eq!(peer.answer_lines(), ["1 onStatus 0 NetStream.Publish.BadName"]);
    assert_eq!(peer.count(Quirk::CommandBeforeConnect), 1);
}

#[test]
fn play_is_refused_and_closed() {
    for name in ["play", "play2"] {
        let mut peer = Peer::connected();
        peer.command(1, name, 5.0, vec![Value::Null, Value::string("chan")]);
        assert_eq!(peer.events(), []);
        assert_eq!(peer.answer_lines(), ["1 onStatus 0 NetStream.Play.Failed"]);
        assert!(peer.session.is_closing());
    }
}

#[test]
fn play_beside_a_publish_is_refused_and_the_publish_goes_on() {
    let mut peer = Peer::publishing();
    peer.answer_lines();
    for (name, stream) in [("play", 1), ("play2", 1), ("play", 2)] {
        peer.command(stream, name, 5.0, vec![Value::Null, Value::string("chan")]);
        assert_eq!(peer.events(), []);
        assert_eq!(peer.answer_lines(), [format!("{stream} onStatus 0 NetStream.Play.Failed")]);
        assert!(!peer.session.is_closing() && peer.session.is_publishing());
    }
}

#[test]
fn q03_amf3_connect_and_publish() {
    let mut peer = Peer::new();
    let object = Value::object([("app", Value::string("live"))]);
    let wrapped = [vec![0], Command::new("connect", 1.0, [object]).encode()].concat();
    peer.send(MessageKind::Amf3Command, 0, &wrapped);
    // publish(5, null, "chan") in AMF3.
    peer.send(MessageKind::Amf3Command, 1, b"\x00\x06\x0fpublish\x04\x05\x01\x06\x09chan");
    let events = peer.events();
    let [Event::Connect(_), Event::Publish(request)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((request.name.as_str(), request.transaction), ("chan", 5.0));
    assert_eq!(peer.count(Quirk::Amf3Message), 2);

    let mut peer = Peer::new();
    peer.send(MessageKind::Amf3Command, 0, b"\x06\x0fconnect\x04\x01\x0a\x0b\x01\x07app\x06\x09live\x01");
    assert!(matches!(peer.events().as_slice(), [Event::Connect(request)] if request.app == "live"));
}

#[test]
fn q03_damaged_commands_never_end_the_session() {
    let mut peer = Peer::publishing();
    for body in [&b"\xff\xff"[..], b"\x02\x00\x09short", b"\x02\x00\x01a\x03\x00"] {
        peer.send(MessageKind::Amf0Command, 0, body);
        peer.send(MessageKind::Amf3Command, 0, body);
    }
    // A strict array that declares 2^32 - 1 entries.
    peer.send(MessageKind::Amf0Command, 0, b"\x02\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a\xff\xff\xff\xff");
    assert_eq!(peer.events(), []);
    assert!(!peer.session.is_closing());
    assert_eq!(peer.count(Quirk::DamagedAmf), 7);
}

fn metadata_body(names: &[&str], facts: Value) -> Vec<u8> {
    let mut body = Vec::new();
    for name in names {
        amf0::encode(&Value::string(*name), &mut body);
    }
    amf0::encode(&facts, &mut body);
    body
}

#[test]
fn q07_metadata_is_a_hint() {
    let facts = || {
        Value::object([
            ("width", Value::Number(320.0)),
            ("videocodecid", Value::Number(7.0)),
            ("encoder", Value::string("Larix")),
        ])
    };
    let mut peer = Peer::connected();
    peer.send(MessageKind::Amf0Data, 1, &metadata_body(&["onMetaData"], facts()));
    assert_eq!(peer.events(), [], "nothing before the publish");
    peer.publish(1, "chan");
    peer.events();
    peer.session.accept();

    let expected = Event::Metadata(Metadata {
        width: Some(320),
        video_codec: Some(CodecName::Id(7)),
        encoder: Some("Larix".to_owned()),
        ..Metadata::default()
    });
    for names in [&["@setDataFrame", "onMetaData"][..], &["onMetaData"]] {
        let mut body = metadata_body(names, facts());
        peer.send(MessageKind::Amf0Data, 1, &body);
        body.truncate(body.len() - 3);
        peer.send(MessageKind::Amf0Data, 1, &body);
        body.insert(0, 0);
        peer.send(MessageKind::Amf3Data, 1, &body);
        assert_eq!(peer.events(), [expected.clone(), expected.clone(), expected.clone()]);
    }
    assert_eq!(peer.session.stats().encoder_name(), Some("Larix"));

    peer.send(MessageKind::Amf0Data, 1, &[0, 0, 0, 0]);
    peer.send(MessageKind::Amf0Data, 1, b"\x02\x00\x03onX\x05");
    peer.send(MessageKind::Amf0Data, 1, &vec![2; 70_000]);
    assert_eq!(peer.events(), []);
    assert_eq!((peer.count(Quirk::NoOpData), peer.count(Quirk::OversizeSkipped)), (1, 1));
}

#[test]
fn q08_control_messages_at_any_moment() {
    let mut peer = Peer::publishing();
    peer.send(MessageKind::SetChunkSize, 0, &[0, 1, 0, 0]);
    peer.writer.set_chunk_size(65_536);
    peer.send_at(MessageKind::Video, 1, 40, &[0x17; 3000]);
    peer.send(MessageKind::SetChunkSize, 0, &[0, 0, 0, 1]);
    peer.writer.set_chunk_size(1);
    peer.send_at(MessageKind::Audio, 1, 41, b"\xaf\x01\x02");
    let events = peer.events();
    assert_eq!(events[0], tag(TagKind::Video, 40, &[0x17; 3000]));
    assert_eq!(events[1..], [tag(TagKind::Audio, 41, b"\xaf\x01\x02")]);
}

#[test]
fn q10_acknowledgements_count_all_bytes_at_half_the_window() {
    let limits = Limits { window: 20_000, ..Limits::default() };
    let mut peer = Peer::with(limits);
    let fed = (1 + 2 * 1536) as u64;
    assert_eq!(peer.session.stats().bytes_received, fed);
    peer.send(MessageKind::Other(99), 0, &[0; 5000]);
    peer.events();
    assert_eq!(peer.answers(), []);
    peer.send(MessageKind::Other(99), 0, &[0; 2000]);
    peer.events();
    let total = peer.session.stats().bytes_received;
    assert!(total >= 10_000);
    let expected = Answer::Control(MessageKind::Acknowledgement, (total as u32).to_be_bytes().to_vec());
    assert_eq!(peer.answers(), [expected]);
    assert_eq!(peer.session.stats().acknowledgements, 1);
}

#[test]
fn q10_window_zero_means_the_default_and_one_is_bearable() {
    let mut peer = Peer::new();
    peer.send(MessageKind::WindowAcknowledgementSize, 0, &[0; 4]);
    peer.send(MessageKind::Other(99), 0, &[0; 5000]);
    peer.events();
    assert_eq!((peer.answers(), peer.count(Quirk::WindowZero)), (vec![], 1));
    peer.send(MessageKind::WindowAcknowledgementSize, 0, &[0, 0, 0, 1]);
    for _ in 0..100 {
        peer.send(MessageKind::Other(99), 0, &[0; 10]);
    }
    peer.events();
    assert_eq!(peer.answers().len(), 1);
}

#[test]
fn q10_the_count_wraps() {
    let mut peer = Peer::new();
    peer.session.connection.stats.bytes_received = (1 << 32) + 5;
    peer.events();
    let answers = peer.answers();
    assert_eq!(answers, [Answer::Control(MessageKind::Acknowledgement, vec![0, 0, 0, 5])]);
}

#[test]
fn q11_pings_are_answered_and_the_rest_is_counted() {
    let mut peer = Peer::new();
    peer.send(MessageKind::UserControl, 0, &[0, 6, 1, 2, 3, 4]);
    peer.send(MessageKind::UserControl, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 0, 100]);
    peer.send(MessageKind::UserControl, 0, &[0, 99]);
    peer.send(MessageKind::UserControl, 0, &[0]);
    peer.send(MessageKind::WindowAcknowledgementSize, 0, &[0]);
    peer.send(MessageKind::Acknowledgement, 0, &[0, 0, 1, 0]);
    peer.send(MessageKind::Other(19), 0, b"shared object");
    assert_eq!(peer.events(), []);
    assert_eq!(peer.answers(), [Answer::Control(MessageKind::UserControl, vec![0, 7, 1, 2, 3, 4])]);
    let counts = [Quirk::UserControlIgnored, Quirk::ShortControl, Quirk::UnknownMessage].map(|quirk| peer.count(quirk));
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(peer.session.stats().last_unknown_message, Some(19));
}

#[test]
fn pings_ask_for_a_sign_of_life() {
    let mut fresh = ServerSession::new(Limits::default(), handshakes::random());
    fresh.ping(1);
    assert!(fresh.take_output().is_empty(), "nothing may come before the handshake");

    let mut peer = Peer::new();
    peer.session.ping(0x0102_0304);
    assert_eq!(peer.answers(), [Answer::Control(MessageKind::UserControl, vec![0, 6, 1, 2, 3, 4])]);
    peer.send(MessageKind::UserControl, 0, &[0, 7, 1, 2, 3, 4]);
    peer.events();
    assert_eq!((peer.session.stats().pings, peer.session.stats().pongs), (1, 1));
}

#[test]
fn q22_interleaved_audio_and_video() {
    let mut peer = Peer::publishing();
    let mut bytes = vec![4, 0, 0, 5, 0, 0, 200, 9, 1, 0, 0, 0];
    bytes.extend([0x27; 128]);
    bytes.extend([6, 0, 0, 6, 0, 0, 2, 8, 1, 0, 0, 0, 0xaf, 1]);
    bytes.push(0xc4);
    bytes.extend([0x27; 72]);
    peer.session.feed(&bytes);
    assert_eq!(peer.events(), [tag(TagKind::Audio, 6, b"\xaf\x01"), tag(TagKind::Video, 5, &[0x27; 200])]);
}

#[test]
fn q23_impossible_chunk_sizes_end_the_session() {
    for size in [0u32, 1 << 31] {
        let mut peer = Peer::new();
        peer.send(MessageKind::SetChunkSize, 0, &size.to_be_bytes());
        let error = peer.session.next_event().unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Chunk(ChunkError::ChunkSize(size)));
        assert!(peer.session.is_closing());
        assert_eq!(peer.session.next_event(), Ok(None));
    }
}

#[test]
fn q25_empty_messages_are_counted() {
    let mut peer = Peer::publishing();
    for kind in [MessageKind::Audio, MessageKind::Video, MessageKind::Amf0Data, MessageKind::Amf0Command] {
        peer.send(kind, 1, b"");
    }
    assert_eq!(peer.events(), []);
    assert_eq!(peer.count(Quirk::EmptyMessage), 4);
}

#[test]
fn q26_abort_and_aggregate() {
    let mut peer = Peer::publishing();
    // A message on chunk stream 4 that is taken back, then a whole one.
    peer.session.feed(&[4, 0, 0, 5, 0, 1, 0, 9, 1, 0, 0, 0]);
    peer.session.feed(&[0x27; 128]);
    peer.send(MessageKind::Abort, 0, &[0, 0, 0, 4]);
    peer.session.feed(&[0x44, 0, 0, 1, 0, 0, 1, 9, 0x17]);

    let mut aggregate = Vec::new();
    for (kind, time, body) in
        [(9, 100, &b"\x27\x01"[..]), (8, 123, b"\xaf\x01"), (18, 124, b"\x02\x00\x01x"), (8, 9, b"")]
    {
        aggregate.write_u8(kind);
        aggregate.write_u24(body.len() as u32);
        aggregate.write_u24(time);
        aggregate.write_u32(0);
        aggregate.write_bytes(body);
        aggregate.write_u32(11 + body.len() as u32);
    }
    aggregate.write_bytes(b"torn");
    peer.send_at(MessageKind::Aggregate, 1, 1000, &aggregate);
    assert_eq!(
        peer.events(),
        [
            tag(TagKind::Video, 6, b"\x17"),
            tag(TagKind::Video, 1000, b"\x27\x01"),
            tag(TagKind::Audio, 1023, b"\xaf\x01"),
        ]
    );
    let counts = [Quirk::Abort, Quirk::Aggregate, Quirk::EmptyMessage, Quirk::DamagedAggregate].map(|q| peer.count(q));
    assert_eq!(counts, [1, 1, 1, 1]);
}

#[test]
fn q27_an_error_tells_where_it_is() {
    let mut peer = Peer::new();
    peer.session.feed(&[0xc9, 1, 2, 3]);
    let error = peer.session.next_event().unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Chunk(ChunkError::NoEarlierHeader { chunk_stream: 9, format: 3 }));
    assert_eq!((error.offset, error.nearby.as_ref()), (1 + 2 * 1536, &[0xc9, 1, 2, 3][..]));
    assert_eq!(error.to_string(), "chunk stream 9 begins with a type 3 header, at byte 3073");
}

fn check_unpublish(commands: &[(u32, &str, Vec<Value>)], answers: &[&str]) {
    let mut peer = Peer::publishing();
    for (stream, name, values) in commands {
        peer.command(*stream, name, 6.0, values.clone());
    }
    peer.send(MessageKind::Audio, 1, b"\xaf\x01");
    assert_eq!(peer.events(), [Event::Unpublish], "{commands:?}");
    assert_eq!(peer.answer_lines(), answers, "{commands:?}");
    assert_eq!(peer.count(Quirk::MediaOutsidePublish), 1);

    peer.publish(1, "again");
    assert!(matches!(peer.events().as_slice(), [Event::Publish(_)]), "the connection may publish again");
    peer.session.accept();
    peer.send(MessageKind::Audio, 1, b"\xaf\x01");
    assert_eq!(peer.events(), [tag(TagKind::Audio, 0, b"\xaf\x01")]);
    assert_eq!(peer.session.stats().publishes, 2);
}

#[test]
fn q47_any_end_ends_the_publish_once() {
    let name = || vec![Value::Null, Value::string("chan")];
    let stream = |id: f64| vec![Value::Null, Value::Number(id)];
    let success = "1 onStatus 0 NetStream.Unpublish.Success";
    let fc = ["0 _result 6", "0 onFCUnpublish 6 NetStream.Unpublish.Success", success];
    check_unpublish(&[(0, "FCUnpublish", name())], &fc);
    check_unpublish(&[(0, "FCUnpublish", name()), (0, "deleteStream", stream(1.0))], &fc);
    check_unpublish(&[(1, "closeStream", vec![Value::Null])], &[success]);
    check_unpublish(&[(0, "deleteStream", stream(1.0))], &[]);
    check_unpublish(&[(0, "deleteStream", stream(f64::NAN))], &[]);
    check_unpublish(&[(0, "deleteStream", vec![Value::Null])], &[]);
    check_unpublish(&[(0, "closeStream", vec![Value::Null]), (0, "deleteStream", stream(1.0))], &[success]);
    check_unpublish(&[(1, "publish", vec![Value::Null, Value::Boolean(false)])], &[success]);
}

#[test]
fn q47_the_end_of_another_stream_is_none() {
    let mut peer = Peer::publishing();
    peer.command(0, "createStream", 4.0, vec![Value::Null]);
    peer.command(0, "deleteStream", 6.0, vec![Value::Null, Value::Number(2.0)]);
    peer.command(2, "closeStream", 0.0, vec![Value::Null]);
    assert_eq!(peer.events(), []);
    assert!(peer.session.is_publishing());
}

#[test]
fn media_outside_a_publish_is_counted_and_on_another_stream_taken() {
    let mut peer = Peer::connected();
    peer.send(MessageKind::Video, 1, b"\x17\x00");
    assert_eq!((peer.events(), peer.count(Quirk::MediaOutsidePublish)), (vec![], 1));
    let mut peer = Peer::publishing();
    peer.send(MessageKind::Video, 7, b"\x17\x00");
    assert_eq!((peer.events().len(), peer.count(Quirk::MediaOnOtherStream)), (1, 1));
}

#[test]
fn what_comes_before_a_publish_is_not_held() {
    static LONG: [u8; 40_000] = [0x17; 40_000];
    let mut peer = Peer::connected();
    for kind in [MessageKind::Audio, MessageKind::Video, MessageKind::Aggregate, MessageKind::Amf0Data] {
        peer.send(kind, 1, &LONG);
    }
    // The end of each is found all the same.
    peer.command(0, "createStream", 4.0, vec![Value::Null]);
    peer.publish(1, "chan");
    // Sent before the answer is known, as cameras do.
    peer.send(MessageKind::Video, 1, &LONG);
    assert!(matches!(peer.events().as_slice(), [Event::Publish(_)]));
    assert_eq!(peer.count(Quirk::OversizeSkipped), 4);
    peer.session.accept();
    assert_eq!(peer.events(), [tag(TagKind::Video, 0, &LONG)]);

    peer.command(0, "FCUnpublish", 5.0, vec![Value::Null, Value::string("chan")]);
    peer.send(MessageKind::Video, 1, &LONG);
    assert_eq!(peer.events(), [Event::Unpublish]);
    assert_eq!(peer.count(Quirk::OversizeSkipped), 5);
}

#[test]
fn a_long_command_before_a_publish_ends_the_session() {
    let limit = Limits::default().max_early_bytes;
    let long = Command::new("unknown", 1.0, [Value::string("x".repeat(limit))]).encode();
    let mut peer = Peer::new();
    peer.send(MessageKind::Amf0Command, 0, &long);
    let error = peer.session.next_event().unwrap_err();
    assert!(matches!(error.kind, SessionErrorKind::Chunk(ChunkError::MessageTooLong { kind: 20, .. })), "{error}");
    let mut peer = Peer::publishing();
    peer.send(MessageKind::Amf0Command, 0, &long);
    assert_eq!(peer.events(), []);
}

/// Bodies that commands of clients are made of.
fn commands() -> impl Strategy<Value = (u32, Command)> {
    let name = prop::sample::select(vec![
        "connect",
        "createStream",
        "publish",
        "FCPublish",
        "FCUnpublish",
        "closeStream",
        "deleteStream",
        "play",
        "x",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        Just(Value::string("live")),
        (0.0..3.0f64).prop_map(Value::Number),
        Just(Value::Boolean(false)),
        Just(Value::object([("app", Value::string("live"))])),
    ];
    (0u32..3, name, 0.0..9.0f64, prop::collection::vec(value, 0..4))
        .prop_map(|(stream, name, transaction, values)| (stream, Command::new(name, transaction, values)))
}

proptest! {
    #[test]
    fn any_commands_keep_publishes_in_order(commands in prop::collection::vec(commands(), 0..40)) {
        let mut peer = Peer::connected();
        let mut is_live = false;
        for (stream, command) in commands {
            peer.send(MessageKind::Amf0Command, stream, &command.encode());
            while let Some(event) = peer.session.next_event().unwrap() {
                match event {
                    Event::Publish(_) => {
                        prop_assert!(!is_live, "a publish inside a publish");
                        peer.session.accept();
                        is_live = true;
                    }
                    Event::Unpublish => {
                        prop_assert!(is_live, "an end without a beginning");
                        is_live = false;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(peer.session.is_publishing(), is_live);
            peer.answers();
        }
    }
}
