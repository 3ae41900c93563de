//! The chunk layer against bytes that real and hostile peers send.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::bits::WriteBytes;
use crate::rtmp::limits::Limits;
use crate::rtmp::message::{Message, MessageKind};
use crate::rtmp::stats::{Quirk, QuirkCounts};

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    match chunk_stream {
        2..64 => vec![format << 6 | chunk_stream as u8],
        64..320 => vec![format << 6, (chunk_stream - 64) as u8],
        _ => vec![format << 6 | 1, ((chunk_stream - 64) & 0xff) as u8, ((chunk_stream - 64) >> 8) as u8],
    }
}

/// A chunk of type 0: chunk stream, time, length, message type, then what follows the header.
fn type0(chunk_stream: u32, time: u32, length: usize, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = basic(0, chunk_stream);
    bytes.write_u24(time.min(EXTENDED));
    bytes.write_u24(length as u32);
    bytes.write_u8(kind);
    bytes.write_u32_le(1);
    if time >= EXTENDED {
        bytes.write_u32(time);
    }
    bytes.write_bytes(rest);
    bytes
}

fn type1(chunk_stream: u32, delta: u32, length: usize, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = basic(1, chunk_stream);
    bytes.write_u24(delta.min(EXTENDED));
    bytes.write_u24(length as u32);
    bytes.write_u8(kind);
    if delta >= EXTENDED {
        bytes.write_u32(delta);
    }
    bytes.write_bytes(rest);
    bytes
}

fn type2(chunk_stream: u32, delta: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = basic(2, chunk_stream);
    bytes.write_u24(delta.min(EXTENDED));
    if delta >= EXTENDED {
        bytes.write_u32(delta);
    }
    bytes.write_bytes(rest);
    bytes
}

fn type3(chunk_stream: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = basic(3, chunk_stream);
    bytes.write_bytes(rest);
    bytes
}

/// A type 3 chunk that repeats an extended timestamp.
fn type3_extended(chunk_stream: u32, time: u32, rest: &[u8]) -> Vec<u8> {
    type3(chunk_stream, &[&time.to_be_bytes(), rest].concat())
}

struct Outcome {
    messages: Vec<Message>,
    quirks: QuirkCounts,
    error: Option<ChunkError>,
    reader: ChunkReader,
}

fn read(chunk_size: u32, bytes: &[u8], split: usize) -> Outcome {
    read_within(&Limits::default(), chunk_size, bytes, split)
}

fn read_within(limits: &Limits, chunk_size: u32, bytes: &[u8], split: usize) -> Outcome {
    let mut reader = ChunkReader::new(limits);
    let mut quirks = QuirkCounts::default();
    reader.set_chunk_size(chunk_size, &mut quirks).unwrap();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(split) {
        input.extend_from_slice(piece);
        loop {
            match reader.next_message(&mut input, &mut quirks) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return Outcome { messages, quirks, error: Some(error), reader },
            }
        }
    }
    Outcome { messages, quirks, error: None, reader }
}

/// Reads `chunks` whole and byte by byte, and compares what comes out: type, time and body of each message, and the quirks.
fn check(chunk_size: u32, chunks: &[Vec<u8>], expected: &[(u8, u32, &[u8])], quirks: &[(Quirk, u64)]) {
    let bytes = chunks.concat();
    for split in [bytes.len(), 1, 3] {
        let outcome = read(chunk_size, &bytes, split);
        assert_eq!(outcome.error, None);
        let found: Vec<_> =
            outcome.messages.iter().map(|m| (m.kind.id(), m.timestamp_ms, m.payload.as_ref())).collect();
        assert_eq!(found, expected, "split every {split}");
        assert_eq!(outcome.quirks.iter().collect::<Vec<_>>(), quirks, "split every {split}");
        assert_eq!(outcome.reader.partial_bytes(), 0);
    }
}

fn check_error(chunk_size: u32, chunks: &[Vec<u8>], expected: ChunkError) {
    let bytes = chunks.concat();
    for split in [bytes.len(), 1] {
        assert_eq!(read(chunk_size, &bytes, split).error, Some(expected));
    }
}

#[test]
fn all_four_header_types() {
    check(
        128,
        &[
            type0(4, 1000, 2, VIDEO, b"ab"),
            type1(4, 40, 1, VIDEO, b"c"),
            type2(4, 33, b"d"),
            type3(4, b"e"),
            type3(4, b"f"),
            type1(4, 7, 2, AUDIO, b"gh"),
        ],
        &[
            (VIDEO, 1000, b"ab"),
            (VIDEO, 1040, b"c"),
            (VIDEO, 1073, b"d"),
            (VIDEO, 1106, b"e"),
            (VIDEO, 1139, b"f"),
            (AUDIO, 1146, b"gh"),
        ],
        &[],
    );
}

#[test]
fn interleaved_messages_stay_apart() {
    check(
        2,
        &[type0(4, 5, 5, VIDEO, b"ab"), type0(6, 6, 3, AUDIO, b"xy"), type3(4, b"cd"), type3(6, b"z"), type3(4, b"e")],
        &[(AUDIO, 6, b"xyz"), (VIDEO, 5, b"abcde")],
        &[],
    );
}

#[test]
fn time_wraps_at_32_bits_by_delta() {
    let start = u32::MAX - 20;
    check(
        128,
        &[type0(4, start, 1, VIDEO, b"a"), type1(4, 40, 1, VIDEO, b"b"), type2(4, 40, b"c"), type3(4, b"d")],
        &[(VIDEO, start, b"a"), (VIDEO, 19, b"b"), (VIDEO, 59, b"c"), (VIDEO, 99, b"d")],
        &[],
    );
}

#[test]
fn q15_fresh_chunk_stream_may_begin_with_type_1() {
    check(128, &[type1(2, 0, 4, 3, b"\0\0\x0b\xb8")], &[(3, 0, b"\0\0\x0b\xb8")], &[(Quirk::FreshType1, 1)]);
}

#[test]
fn q15_fresh_chunk_stream_cannot_begin_with_type_2_or_3() {
    check_error(128, &[type2(5, 0, b"abc")], ChunkError::NoEarlierHeader { chunk_stream: 5, format: 2 });
    check_error(128, &[type3(700, b"abc")], ChunkError::NoEarlierHeader { chunk_stream: 700, format: 3 });
}

#[test]
fn q16_type_3_begins_a_message_after_type_0() {
    check(
        128,
        &[type0(4, 10_000, 1, AUDIO, b"a"), type3(4, b"b"), type0(4, 10_023, 1, AUDIO, b"c"), type3(4, b"d")],
        &[(AUDIO, 10_000, b"a"), (AUDIO, 10_000, b"b"), (AUDIO, 10_023, b"c"), (AUDIO, 10_023, b"d")],
        &[(Quirk::Type3AfterType0Repeats, 2)],
    );
    check(
        128,
        &[type0(4, 0, 1, AUDIO, b"a"), type0(4, 23, 1, AUDIO, b"b"), type3(4, b"c"), type3(4, b"d")],
        &[(AUDIO, 0, b"a"), (AUDIO, 23, b"b"), (AUDIO, 46, b"c"), (AUDIO, 69, b"d")],
        &[(Quirk::Type3AfterType0Advances, 2)],
    );
}

const LATE: u32 = 20_000_000;

#[test]
fn q17_extended_timestamp_present_on_type_3() {
    check(
        2,
        &[
            type0(4, LATE, 5, VIDEO, b"ab"),
            type3_extended(4, LATE, b"cd"),
            type3_extended(4, LATE, b"e"),
            type1(4, 40, 3, VIDEO, b"fg"),
            type3(4, b"h"),
        ],
        &[(VIDEO, LATE, b"abcde"), (VIDEO, LATE + 40, b"fgh")],
        &[],
    );
}

#[test]
fn q17_extended_timestamp_absent_on_type_3() {
    check(
        2,
        &[
            type0(4, LATE, 5, VIDEO, b"ab"),
            type3(4, b"cd"),
            type3(4, b"e"),
            type0(4, LATE + 40, 3, VIDEO, b"fg"),
            type3(4, b"h"),
        ],
        &[(VIDEO, LATE, b"abcde"), (VIDEO, LATE + 40, b"fgh")],
        &[(Quirk::ExtendedTimestampAbsent, 3)],
    );
}

#[test]
fn q17_last_bytes_of_a_message_do_not_wait_for_more() {
    let bytes = [type0(4, LATE, 3, VIDEO, b"ab"), type3(4, b"c")].concat();
    assert_eq!(read(2, &bytes, 1).messages.len(), 1);
}

#[test]
fn q17_a_habit_is_kept() {
    // After three chunks without the timestamp, payload that looks like one is payload.
    let lookalike = LATE.to_be_bytes();
    check(
        4,
        &[
            type0(4, LATE, 16, VIDEO, b"abcd"),
            type3(4, b"efgh"),
            type3(4, b"ijkl"),
            type3(4, b"mnop"),
            type0(4, LATE, 8, VIDEO, b"abcd"),
            type3(4, &lookalike),
        ],
        &[(VIDEO, LATE, b"abcdefghijklmnop"), (VIDEO, LATE, &[b"abcd".as_slice(), &lookalike].concat())],
        &[(Quirk::ExtendedTimestampAbsent, 4)],
    );
    // After three with it, one that differs is still a timestamp.
    check(
        1,
        &[
            type0(4, LATE, 4, VIDEO, b"a"),
            type3_extended(4, LATE, b"b"),
            type3_extended(4, LATE, b"c"),
            type3_extended(4, LATE, b"d"),
            type0(4, LATE, 2, VIDEO, b"e"),
            type3_extended(4, 1, b"f"),
        ],
        &[(VIDEO, LATE, b"abcd"), (VIDEO, LATE, b"ef")],
        &[(Quirk::ExtendedTimestampDiffers, 1)],
    );
}

#[test]
fn q17_type_3_that_begins_a_message() {
    // ffmpeg repeats the extended delta.
    check(
        128,
        &[type0(4, 0, 1, VIDEO, b"a"), type1(4, LATE, 1, VIDEO, b"b"), type3_extended(4, LATE, b"c")],
        &[(VIDEO, 0, b"a"), (VIDEO, LATE, b"b"), (VIDEO, 2 * LATE, b"c")],
        &[],
    );
    // Others write the time of the new message.
    check(
        128,
        &[type0(4, LATE, 1, VIDEO, b"a"), type3_extended(4, LATE + 40, b"b")],
        &[(VIDEO, LATE, b"a"), (VIDEO, LATE + 40, b"b")],
        &[],
    );
    // Old ones leave it out.
    check(
        128,
        &[type0(4, LATE, 4, VIDEO, b"abcd"), type3(4, b"efgh")],
        &[(VIDEO, LATE, b"abcd"), (VIDEO, LATE, b"efgh")],
        &[(Quirk::Type3AfterType0Repeats, 1), (Quirk::ExtendedTimestampAbsent, 1)],
    );
}

#[test]
fn q18_extended_delta_that_is_a_time() {
    check(
        128,
        &[type0(4, LATE, 1, VIDEO, b"a"), type1(4, LATE + 40, 1, VIDEO, b"b"), type1(4, 40, 1, VIDEO, b"c")],
        &[(VIDEO, LATE, b"a"), (VIDEO, LATE + 40, b"b"), (VIDEO, LATE + 80, b"c")],
        &[(Quirk::ExtendedDeltaAbsolute, 1)],
    );
}

#[test]
fn q18_extended_delta_below_its_threshold() {
    let mut small = basic(1, 4);
    small.write_u24(EXTENDED);
    small.write_u24(1);
    small.write_u8(VIDEO);
    small.write_u32(40);
    small.write_u8(b'b');
    check(128, &[type0(4, 5000, 1, VIDEO, b"a"), small], &[(VIDEO, 5000, b"a"), (VIDEO, 5040, b"b")], &[]);
}

/// A type 0 chunk of an encoder that does not know extended timestamps.
fn type0_masked(chunk_stream: u32, time: u32, length: usize, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = basic(0, chunk_stream);
    bytes.write_u24(time & EXTENDED);
    bytes.write_u24(length as u32);
    bytes.write_u8(kind);
    bytes.write_u32_le(1);
    bytes.write_bytes(rest);
    bytes
}

#[test]
fn q19_24_bit_time_wraps() {
    let wrap = 1 << 24;
    check(
        128,
        &[
            type0_masked(4, wrap - 41, 4, VIDEO, b"abcd"),
            type0_masked(4, wrap - 1, 5, VIDEO, b"\x27\x01\x00\x00\x00"),
            type0_masked(6, wrap - 2, 1, AUDIO, b"i"),
            type0_masked(4, wrap + 39, 1, VIDEO, b"j"),
            type0_masked(6, wrap + 21, 1, AUDIO, b"k"),
            type1(4, 40, 1, VIDEO, b"l"),
        ],
        &[
            (VIDEO, wrap - 41, b"abcd"),
            (VIDEO, wrap - 1, b"\x27\x01\x00\x00\x00"),
            (AUDIO, wrap - 2, b"i"),
            (VIDEO, wrap + 39, b"j"),
            (AUDIO, wrap + 21, b"k"),
            (VIDEO, wrap + 79, b"l"),
        ],
        &[(Quirk::Wrapped24Bit, 2)],
    );
}

#[test]
fn q19_a_full_time_field_of_a_peer_that_knows_extension() {
    let full = EXTENDED;
    check(
        128,
        &[
            type0(4, full - 500, 1, VIDEO, b"a"),
            type0(4, full, 1, VIDEO, b"b"),
            type0(4, full + 70_000, 1, VIDEO, b"c"),
        ],
        &[(VIDEO, full - 500, b"a"), (VIDEO, full, b"b"), (VIDEO, full + 70_000, b"c")],
        &[],
    );
    check(
        128,
        &[type0(4, full - 500, 1, VIDEO, b"a"), type0(4, full + 600_000, 1, VIDEO, b"c")],
        &[(VIDEO, full - 500, b"a"), (VIDEO, full + 600_000, b"c")],
        &[],
    );
}

#[test]
fn q20_times_near_the_wrap_pass_as_sent() {
    check(
        128,
        &[type0(4, u32::MAX - 5, 1, VIDEO, b"a"), type0(4, 34, 1, VIDEO, b"b"), type0(4, 1 << 31, 1, VIDEO, b"c")],
        &[(VIDEO, u32::MAX - 5, b"a"), (VIDEO, 34, b"b"), (VIDEO, 1 << 31, b"c")],
        &[],
    );
}

#[test]
fn q21_all_chunk_stream_ids() {
    for id in [2, 3, 63, 64, 65, 319, 320, 5000, 65_599] {
        check(
            1,
            &[type0(id, 7, 2, VIDEO, b"a"), type3(id, b"b"), type1(id, 1, 1, VIDEO, b"c")],
            &[(VIDEO, 7, b"ab"), (VIDEO, 8, b"c")],
            &[],
        );
    }
    // The same id in its three byte form.
    let long = [vec![0x01, 0, 0], type0(4, 7, 1, VIDEO, b"a")[1..].to_vec()].concat();
    check(128, &[long, type2(64, 3, b"b")], &[(VIDEO, 7, b"a"), (VIDEO, 10, b"b")], &[]);
}

#[test]
fn q21_messages_in_flight_are_capped() {
    let mut bytes: Vec<u8> = (2..66).flat_map(|id| type0(id, 0, 9_000_000, VIDEO, b"a")).collect();
    assert_eq!(read(1, &bytes, 100).error, None);
    bytes.extend(type0(66, 0, 9_000_000, VIDEO, b"a"));
    assert_eq!(read(1, &bytes, 100).error, Some(ChunkError::TooManyPartialMessages { limit: 64 }));
}

#[test]
fn q22_a_header_in_mid_message_restarts_it() {
    let restarted = &[(Quirk::MessageRestarted, 1)];
    check(
        2,
        &[type0(4, 5, 5, VIDEO, b"ab"), type0(4, 6, 1, VIDEO, b"x"), type2(4, 1, b"y")],
        &[(VIDEO, 6, b"x"), (VIDEO, 7, b"y")],
        restarted,
    );
    check(
        2,
        &[type0(4, 5, 5, VIDEO, b"ab"), type1(4, 3, 3, VIDEO, b"xy"), type3(4, b"z")],
        &[(VIDEO, 8, b"xyz")],
        restarted,
    );
    check(2, &[type0(4, 5, 3, VIDEO, b"ab"), type2(4, 3, b"xy"), type3(4, b"z")], &[(VIDEO, 8, b"xyz")], restarted);
}

#[test]
fn q23_chunk_sizes() {
    let mut quirks = QuirkCounts::default();
    let mut reader = ChunkReader::new(&Limits::default());
    for size in [1, 64, 127, 65_537, 1_000_000, MAX_CHUNK_SIZE, i32::MAX as u32] {
        assert_eq!(reader.set_chunk_size(size, &mut quirks), Ok(()));
    }
    assert_eq!(quirks.count(Quirk::ChunkSizeClamped), 1);
    for size in [0, 1 << 31, u32::MAX] {
        assert_eq!(reader.set_chunk_size(size, &mut quirks), Err(ChunkError::ChunkSize(size)));
    }
}

#[test]
fn q23_chunk_size_changes_in_mid_message() {
    let mut quirks = QuirkCounts::default();
    let mut reader = ChunkReader::new(&Limits::default());
    let mut input = BytesMut::from(type0(4, 5, 300, VIDEO, &[1; 128]).as_slice());
    assert_eq!(reader.next_message(&mut input, &mut quirks), Ok(None));
    reader.set_chunk_size(200, &mut quirks).unwrap();
    input.extend_from_slice(&type3(4, &[2; 172]));
    let message = reader.next_message(&mut input, &mut quirks).unwrap().unwrap();
    assert_eq!((message.payload.len(), quirks.count(Quirk::ChunkSizeMidMessage)), (300, 1));
}

#[test]
fn q24_memory_grows_with_received_bytes() {
    let mut reader = ChunkReader::new(&Limits::default());
    let mut quirks = QuirkCounts::default();
    let mut input = BytesMut::new();
    for id in 2..66 {
        input.extend_from_slice(&type0(id, 0, 0xff_ffff, VIDEO, &[0; 128]));
        assert_eq!(reader.next_message(&mut input, &mut quirks), Ok(None));
    }
    assert_eq!(reader.partial_bytes(), 64 * 128);
    let limits = Limits { max_partial_bytes: 1000, ..Limits::default() };
    let bytes: Vec<u8> = (2..20).flat_map(|id| type0(id, 0, 9_000_000, VIDEO, &[0; 128])).collect();
    let outcome = read_within(&limits, 128, &bytes, 50);
    assert_eq!(outcome.error, Some(ChunkError::TooManyPartialBytes { limit: 1000 }));
    assert!(outcome.reader.partial_bytes() <= 1000);
}

#[test]
fn strangers_hold_little() {
    let limits = Limits { max_early_bytes: 1000, max_early_chunk_streams: 3, ..Limits::default() };
    let mut quirks = QuirkCounts::default();
    let mut early = |bytes: &[u8]| {
        let mut reader = ChunkReader::new(&limits);
        reader.set_early(true);
        let outcome = reader.next_message(&mut BytesMut::from(bytes), &mut quirks);
        (outcome.map(|message| message.map(|message| message.payload.len())), reader.partial_bytes())
    };
    // Long media is passed over, long commands are refused.
    assert_eq!(early(&type0(4, 0, 1001, VIDEO, &[0; 128])), (Ok(None), 0));
    let command = early(&type0(4, 0, 1001, 20, &[0; 128])).0;
    assert_eq!(command, Err(ChunkError::MessageTooLong { kind: 20, length: 1001, limit: 1000 }));
    let flight: Vec<u8> = (2..20).flat_map(|id| type0(id, 0, 1000, VIDEO, &[0; 128])).collect();
    assert_eq!(early(&flight).0, Err(ChunkError::TooManyPartialBytes { limit: 1000 }));
    let everywhere: Vec<u8> = (64..70).flat_map(|id| type0(id, 0, 129, VIDEO, &[0; 128])).collect();
    assert_eq!(early(&everywhere).0, Err(ChunkError::TooManyChunkStreams { limit: 3 }));
}

#[test]
fn media_that_has_begun_when_a_publish_ends_is_given_up() {
    let limits = Limits { max_early_bytes: 200, ..Limits::default() };
    let mut reader = ChunkReader::new(&limits);
    let mut quirks = QuirkCounts::default();
    let mut input = BytesMut::from(&type0(4, 0, 300, VIDEO, &[1; 128])[..]);
    input.extend_from_slice(&type0(3, 0, 150, 20, &[2; 128]));
    assert_eq!(reader.next_message(&mut input, &mut quirks), Ok(None));
    assert_eq!(reader.partial_bytes(), 256);
    reader.set_early(true);
    assert_eq!(reader.partial_bytes(), 128);
    input.extend_from_slice(&type3(3, &[2; 22]));
    let command = reader.next_message(&mut input, &mut quirks).unwrap().unwrap();
    assert_eq!(command.payload, [2; 150].as_slice());
    input.extend_from_slice(&[type3(4, &[1; 128]), type3(4, &[1; 44])].concat());
    let video = reader.next_message(&mut input, &mut quirks).unwrap().unwrap();
    assert_eq!((video.length, video.payload.len()), (300, 0));
}

#[test]
fn q24_large_messages_arrive_whole() {
    let payload: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
    let mut bytes = Vec::new();
    let mut writer = ChunkWriter::default();
    let message =
        Outgoing { chunk_stream: 6, kind: MessageKind::Video, timestamp_ms: 3, stream_id: 1, payload: &payload };
    writer.write(&message, &mut bytes).unwrap();
    for split in [bytes.len(), 1460] {
        let outcome = read(INITIAL_CHUNK_SIZE, &bytes, split);
        assert!(outcome.messages.len() == 1 && outcome.messages[0].payload == payload);
    }
}

#[test]
fn lengths_are_bounded_by_kind() {
    let limits = Limits { max_message: 200_000, ..Limits::default() };
    let error = |length: usize, kind: u8| read_within(&limits, 128, &type0(4, 0, length, kind, b""), 100).error;
    assert_eq!(error(200_000, VIDEO), None);
    let limit = 200_000;
    assert_eq!(error(200_001, VIDEO), Some(ChunkError::MessageTooLong { kind: VIDEO, length: 200_001, limit }));
    assert_eq!(error(200_001, 22), Some(ChunkError::MessageTooLong { kind: 22, length: 200_001, limit }));
    let limit = 65_536;
    for kind in [1, 4, 17, 20] {
        assert_eq!(error(65_537, kind), Some(ChunkError::MessageTooLong { kind, length: 65_537, limit }));
    }
}

#[test]
fn skipped_messages_hold_no_memory() {
    for kind in [AUDIO, 15, 18, 16, 19, 99] {
        let length = 100_000;
        let head = type0(4, 0, length, kind, &[7; 128]);
        let mut bytes = head.clone();
        let mut left = length - 128;
        while left > 0 {
            let part = left.min(128);
            bytes.extend(type3(4, &vec![7; part]));
            left -= part;
        }
        let half = read(128, &bytes[..50_000], 1000);
        assert_eq!(half.reader.partial_bytes(), 0);
        let outcome = read(128, &bytes, 1000);
        let message = &outcome.messages[0];
        assert_eq!((message.length as usize, message.payload.len()), (length, 0));
    }
}

#[test]
fn q25_empty_messages_come_out_empty() {
    check(
        128,
        &[type0(4, 5, 0, AUDIO, b""), type1(4, 3, 0, VIDEO, b""), type3(4, b""), type1(4, 1, 1, VIDEO, b"a")],
        &[(AUDIO, 5, b""), (VIDEO, 8, b""), (VIDEO, 11, b""), (VIDEO, 12, b"a")],
        &[],
    );
}

#[test]
fn q26_abort_forgets_a_message() {
    for id in [4, 400] {
        let mut quirks = QuirkCounts::default();
        let mut reader = ChunkReader::new(&Limits::default());
        let mut input = BytesMut::from(type0(id, 5, 300, VIDEO, &[1; 128]).as_slice());
        assert_eq!(reader.next_message(&mut input, &mut quirks), Ok(None));
        reader.abort(id);
        reader.abort(999);
        assert_eq!(reader.partial_bytes(), 0);
        input.extend_from_slice(&type1(id, 3, 1, VIDEO, b"x"));
        let message = reader.next_message(&mut input, &mut quirks).unwrap().unwrap();
        assert_eq!((message.timestamp_ms, message.payload), (8, Bytes::from_static(b"x")));
        assert_eq!(quirks, QuirkCounts::default());
    }
}

#[test]
fn a_message_in_one_chunk_is_not_copied() {
    let mut input = BytesMut::from(type0(4, 5, 100, VIDEO, &[1; 100]).as_slice());
    let place = input[12..].as_ptr();
    let mut reader = ChunkReader::new(&Limits::default());
    let message = reader.next_message(&mut input, &mut QuirkCounts::default()).unwrap().unwrap();
    assert_eq!(message.payload.as_ptr(), place);
}

/// Chunks that mostly fit together, with any times.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![2u32..6, Just(64u32), Just(400u32)];
    let time = prop_oneof![0u32..100, 0xff_fff0u32..0x100_0010, any::<u32>()];
    let body = prop::collection::vec(any::<u8>(), 0..20);
    let kind = prop_oneof![Just(AUDIO), Just(VIDEO), 0u8..24];
    (0u8..4, id, time, 0usize..40, kind, body).prop_map(|(format, id, time, length, kind, body)| match format {
        0 => type0(id, time, length, kind, &body),
        1 => type1(id, time, length, kind, &body),
        2 => type2(id, time, &body),
        _ => type3(id, &body),
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        chunk_size in 1u32..30,
        chunks in prop::collection::vec(chunks(), 0..30),
        split in 1usize..40,
    ) {
        let bytes = chunks.concat();
        let whole = read(chunk_size, &bytes, bytes.len().max(1));
        let parts = read(chunk_size, &bytes, split);
        prop_assert_eq!(whole.messages, parts.messages);
        prop_assert_eq!(whole.quirks, parts.quirks);
        prop_assert_eq!(whole.error, parts.error);
        prop_assert_eq!(whole.reader.partial_bytes(), parts.reader.partial_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(chunk_size in 1u32..300, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let outcome = read(chunk_size, &bytes, 7);
        prop_assert!(outcome.reader.partial_bytes() <= bytes.len());
    }
}
