//! What a crash leaves of a segment, and that it is as long as if the take had ended there (decision D8, LiveChannel 4.3).

use super::properties::{session, stretch};
use super::source::{Source, sounds_of};
use super::*;
use crate::recover::Recovery;
use proptest::prelude::*;

#[test]
fn recovery_loses_at_most_the_torn_access_unit() {
    // Pictures around and beyond what PES_packet_length can say.
    let source = Source { length_ms: 600, gop: 5, picture_bytes: 9_000, ..Source::default() };
    let take = take(config(2_000), &source.tags());
    let bytes = &take.segments[0].bytes;
    let whole = recover(bytes);
    assert_eq!((whole.frames, whole.duration_ms, whole.key_frame), (15, 600, true));
    let mut last = recover(&[]);
    assert_eq!(last, crate::recover::Recovered::default());
    let step = 47;
    for length in (0..bytes.len() - 400).step_by(step).chain(bytes.len() - 400..=bytes.len()) {
        let prefix = &bytes[..length];
        let found = recover(prefix);
        assert!(found.valid_len <= length);
        if found.valid_len > 0 {
            let probe = Probe::default().segment(&prefix[..found.valid_len]);
            assert_eq!(probe.video.len() as u64, found.frames);
            assert_eq!(
                probe.video.iter().map(|unit| &unit.data).collect::<Vec<_>>(),
                take.segments[0].probe.video[..probe.video.len()].iter().map(|unit| &unit.data).collect::<Vec<_>>(),
                "whole pictures only"
            );
        }
        // What lies behind is less than one access unit, and a clock packet.
        assert!(length - found.valid_len < 95_000 + 188, "{} of {length}", found.valid_len);
        assert!(found.frames >= last.frames);
        last = found;
    }
}

#[test]
fn recovery_stops_at_garbage() {
    let take = take(config(2_000), &Source { length_ms: 600, ..Source::default() }.tags());
    let bytes = &take.segments[0].bytes;
    for at in (188 * 3..bytes.len()).step_by(188 * 5 + 1) {
        let mut torn = bytes.clone();
        torn[at..].fill(0);
        let found = recover(&torn);
        // Nothing in a packet tells that its own end is missing.
        assert!(found.valid_len <= at.next_multiple_of(188), "{} with zeros from {at}", found.valid_len);
    }
    assert_eq!(recover(b"not a transport stream at all").valid_len, 0);
}

#[test]
fn q33_sound_that_went_on_without_pictures_counts() {
    // A second of pictures, then 26 s of sound alone, and a crash.
    let source = Source { length_ms: 27_000, ..Source::default() };
    let tags: Vec<Tag> =
        source.tags().into_iter().filter(|tag| tag.kind == TagKind::Audio || tag.timestamp_ms < 1_000).collect();
    let take = take_flushed(config(60_000), &tags, 5);
    let torn: Vec<u8> = take.segments.iter().flat_map(|segment| segment.bytes.clone()).collect();
    let found = recover(&torn);
    assert_eq!(found.frames, 25);
    assert_eq!(found.audio_frames, sounds_of(&tags).len() as u64);
    assert_eq!(vec![found.duration_ms], take.durations());
    assert!(found.duration_ms > 26_900, "{}", found.duration_ms);
}

#[test]
fn recovery_needs_no_more_memory_than_a_packet() {
    let take = take(config(60_000), &Source { length_ms: 20_000, picture_bytes: 9_000, ..Source::default() }.tags());
    let bytes = &take.segments[0].bytes;
    for piece in [1, 7, 187, 188, 189, 4_096, bytes.len()] {
        let mut recovery = Recovery::default();
        assert!(bytes.chunks(piece).all(|piece| recovery.feed(piece)), "{piece}");
        assert_eq!(recovery.result(), recover(bytes), "{piece}");
    }
    let mut recovery = Recovery::default();
    recovery.feed(&bytes[..188 * 20]);
    let whole = recovery.result();
    assert!(!recovery.feed(&[0; 400]), "nothing behind garbage counts");
    assert!(!recovery.feed(&bytes[188 * 20..]));
    assert_eq!(recovery.result(), whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The only segment of a take is as long when its bytes are all that is left. Behind other segments a take knows more
    /// of how long its last picture stands than the bytes of one segment tell.
    #[test]
    fn the_end_and_a_crash_agree(stretches in prop::collection::vec(stretch(), 1..3), flush_every in 0_usize..20) {
        let tags = session(&stretches, 0);
        let take = take_flushed(config(1_000_000), &tags, flush_every);
        if let [segment] = &take.segments[..] {
            let found = recover(&segment.bytes);
            // Parameters tell how long an only picture stands.
            let known = segment.probe.video.iter().filter(|unit| unit.dts.is_some()).count() != 1;
            prop_assert!(!known || found.duration_ms.abs_diff(segment.closing.duration_ms) <= 1,
                "{} recovered, {} closed", found.duration_ms, segment.closing.duration_ms);
        }
    }
}
