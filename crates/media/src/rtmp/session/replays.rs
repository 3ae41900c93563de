//! Whole connections replayed: the captures of real encoders, damaged ones, and bytes that mean nothing.

use proptest::prelude::*;

use super::super::client::{ClientConfig, ClientSession};
use super::super::handshake::{HandshakeKind, tests as handshakes};
use super::super::url::RtmpUrl;
use super::*;
use crate::flv_file::FlvFile;

struct Replay {
    events: Vec<Event>,
    stats: SessionStats,
    output: Vec<u8>,
}

/// Feeds a client's bytes in pieces of the given lengths, again and again, and accepts every publish.
fn replay(bytes: &[u8], pieces: &[usize]) -> Result<Replay, SessionError> {
    let mut session = ServerSession::new(Limits::default(), handshakes::random());
    let (mut events, mut output) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    for &piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at(piece.clamp(1, rest.len().max(1)).min(rest.len()));
        rest = later;
        session.feed(now);
        while let Some(event) = session.next_event()? {
            if matches!(event, Event::Publish(_)) {
                session.accept();
            }
            events.push(event);
        }
        output.extend_from_slice(&session.take_output());
        if rest.is_empty() {
            break;
        }
    }
    Ok(Replay { events, stats: session.stats().clone(), output })
}

const CAPTURES: [(&str, &[u8]); 4] = [
    ("ffmpeg-5.1", include_bytes!("../../../testdata/ffmpeg-5.1.c2s")),
    ("obs-29.0", include_bytes!("../../../testdata/obs-29.0.c2s")),
    ("gstreamer-1.22-rtmp2sink", include_bytes!("../../../testdata/gstreamer-1.22-rtmp2sink.c2s")),
    ("librtmp-2.4-rtmpsink", include_bytes!("../../../testdata/librtmp-2.4-rtmpsink.c2s")),
];

/// Odd streams, which the client of this crate sends as they stand in their files.
const INPUTS: [(&str, &[u8]); 6] = [
    ("0.2 fps with B-frames", include_bytes!("../../../testdata/0.2fps-b-frames.flv")),
    ("sound stamped 2 s early", include_bytes!("../../../testdata/sound-stamped-2s-early.flv")),
    ("GStreamer, live", include_bytes!("../../../testdata/gstreamer-live-b-frames.flv")),
    ("open GOP", include_bytes!("../../../testdata/open-gop.flv")),
    ("intra refresh", include_bytes!("../../../testdata/intra-refresh.flv")),
    ("enhanced RTMP, HEVC", include_bytes!("../../../testdata/enhanced-hevc.flv")),
];

/// All connections of the corpus: those that were captured, and what a client sends of the odd streams.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let captured = CAPTURES.iter().map(|(name, bytes)| (*name, bytes.to_vec()));
    captured.chain(INPUTS.iter().map(|(name, file)| (*name, sent(file)))).collect()
}

/// What a client sends to publish an FLV file.
fn sent(file: &'static [u8]) -> Vec<u8> {
    let url = RtmpUrl::parse("rtmp://127.0.0.1/examplebucket/live/test-channel").unwrap();
    let mut client = ClientSession::new(ClientConfig::new(&url), &handshakes::random());
    let mut server = ServerSession::new(Limits::default(), handshakes::random());
    let mut bytes = Vec::new();
    for _ in 0..20 {
        let output = client.take_output();
        bytes.extend_from_slice(&output);
        server.feed(&output);
        while let Some(event) = server.next_event().unwrap() {
            if matches!(event, Event::Publish(_)) {
                server.accept();
            }
        }
        client.feed(&server.take_output());
        while client.next_event().unwrap().is_some() {}
    }
    for tag in FlvFile::new(Bytes::from_static(file)).unwrap() {
        let tag = tag.unwrap();
        match tag.kind {
            TagKind::Audio => client.send_audio(tag.timestamp_ms, &tag.payload).unwrap(),
            TagKind::Video => client.send_video(tag.timestamp_ms, &tag.payload).unwrap(),
        }
    }
    bytes.extend_from_slice(&client.take_output());
    bytes
}

/// One line per event kind, readable enough to review.
fn summary(name: &str, bytes: &[u8]) -> String {
    let replay = replay(bytes, &[4096]).unwrap();
    let mut lines = vec![format!("{name} {:?}", replay.stats.handshake.unwrap())];
    let mut tracks = [(TagKind::Video, Vec::new()), (TagKind::Audio, Vec::new())];
    for event in &replay.events {
        match event {
            Event::Connect(connect) => lines.push(format!("connect {} {:?}", connect.app, connect.flash_version)),
            Event::Publish(publish) => {
                let target = publish.target().unwrap();
                assert_eq!(target.bucket.as_deref(), Some("examplebucket"), "{name}");
                assert_eq!(target.channel, "test-channel", "{name}");
                assert_eq!(target.parameter("playlistName"), Some("playlist.m3u8"), "{name}");
                assert_eq!(target.parameter("OSSAccessKeyId"), Some("LTAI5tFakeKeyForSpec0001"), "{name}");
                assert_eq!(target.parameter("Expires"), Some("1893456000"), "{name}");
                assert_eq!(target.parameter("Signature"), Some("Qkj/4G3IP1/JfPpNuZ5zUAfQrtI="), "{name}");
                lines.push(format!("publish on {} as {:?}", publish.stream_id, publish.publish_type));
            }
            Event::Metadata(facts) => lines.push(format!(
                "metadata {:?}x{:?} {:?} {:?} {:?} {:?}",
                facts.width,
                facts.height,
                facts.frame_rate,
                facts.video_codec,
                facts.audio_codec,
                facts.audio_sample_rate
            )),
            Event::Media(tag) => {
                let track = &mut tracks[usize::from(tag.kind == TagKind::Audio)].1;
                if track.is_empty() {
                    let head = &tag.payload[..2];
                    assert!(head == [0x17, 0] || head == [0xaf, 0], "{name}: sequence headers come first");
                }
                track.push(tag.timestamp_ms);
            }
            Event::Unpublish => lines.push("unpublish".to_owned()),
        }
    }
    for (kind, times) in tracks {
        assert!(times.is_sorted(), "{name}: {kind:?} times rise");
        lines.push(format!("{kind:?} {} from {} to {}", times.len(), times[0], times[times.len() - 1]));
    }
    let mut lines = with_counts(&lines);
    let quirks: Vec<_> = replay.stats.quirks.iter().map(|(quirk, count)| format!("{}={count}", quirk.name())).collect();
    lines.push(format!("quirks {quirks:?}"));
    lines.join("\n") + "\n"
}

/// The lines, each once in a row, with its count where it is repeated.
fn with_counts(lines: &[String]) -> Vec<String> {
    let line = |run: &[String]| match run {
        [line] => line.clone(),
        run => format!("{} times {}", run.len(), run[0]),
    };
    lines.chunk_by(|a, b| a == b).map(line).collect()
}

/// `UPDATE_EXPECT=1` rewrites the expected text.
#[test]
fn captures_of_real_encoders() {
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/rtmp-captures.txt");
    let found: Vec<String> = CAPTURES.iter().map(|(name, bytes)| summary(name, bytes)).collect();
    let found = found.join("\n");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(expected, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(expected).unwrap());
}

#[test]
fn q01_captures_dribbled_byte_by_byte() {
    for (name, bytes) in CAPTURES {
        let start = &bytes[..12_000];
        let (whole, dribbled) = (replay(start, &[12_000]).unwrap(), replay(start, &[1]).unwrap());
        assert_eq!(whole.events, dribbled.events, "{name}");
        assert_eq!(whole.output, dribbled.output, "{name}");
        assert!(whole.events.len() > 3, "{name}");
    }
    for (name, bytes) in corpus() {
        let (whole, dribbled) = (replay(&bytes, &[bytes.len()]).unwrap(), replay(&bytes, &[1]).unwrap());
        assert!(whole.events == dribbled.events, "{name}");
        let media = whole.events.iter().filter(|event| matches!(event, Event::Media(_))).count();
        assert!(media > 20, "{name}: {media}");
    }
}

#[test]
fn a_digest_client_is_served() {
    for kind in [HandshakeKind::DigestFirst, HandshakeKind::DigestSecond] {
        let (_, capture) = CAPTURES[0];
        let bytes = [&handshakes::hello(kind), &capture[1537..]].concat();
        let replay = replay(&bytes, &[1000]).unwrap();
        assert_eq!(replay.stats.handshake, Some(kind));
        assert!(replay.stats.video_messages > 100);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_events(pieces in prop::collection::vec(1usize..9000, 1..20)) {
        static CORPUS: std::sync::LazyLock<Vec<(&str, Vec<u8>, Replay)>> = std::sync::LazyLock::new(|| {
            let replayed = |(name, bytes): (&'static str, Vec<u8>)| {
                let whole = replay(&bytes, &[bytes.len()]).unwrap();
                (name, bytes, whole)
            };
            corpus().into_iter().map(replayed).collect()
        });
        for (name, bytes, whole) in CORPUS.iter() {
            let parts = replay(bytes, &pieces).unwrap();
            prop_assert!(whole.events == parts.events, "{} in {:?}", name, pieces);
            prop_assert_eq!(&whole.stats.quirks, &parts.stats.quirks);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damaged_captures_never_panic(
        flips in prop::collection::vec((0usize..200_000, any::<u8>()), 1..50),
        which in 0usize..4,
    ) {
        let mut bytes = CAPTURES[which].1.to_vec();
        for (place, value) in flips {
            let place = 3073 + place % 8000;
            bytes[place] = value;
        }
        match replay(&bytes, &[1500]) {
            Ok(replay) => prop_assert!(replay.stats.bytes_received == bytes.len() as u64),
            Err(error) => prop_assert!(error.offset <= bytes.len() as u64),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_served_or_refused(
        is_late in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        pieces in prop::collection::vec(1usize..400, 1..5),
    ) {
        let start = if is_late { CAPTURES[0].1[..3073].to_vec() } else { vec![3] };
        let bytes = [start, bytes].concat();
        if let Err(error) = replay(&bytes, &pieces) {
            prop_assert!(error.offset <= bytes.len() as u64 && error.nearby.len() <= 64);
        }
    }
}
