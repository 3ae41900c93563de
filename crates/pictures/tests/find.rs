//! Pictures at times of recorded transport streams, found and decoded.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{frames, md5, transport, units};
use pictures::{FindError, FindLimits, Found, FrameFinder, Job, Mode, Output, Progress, decode};
use proptest::prelude::*;

fn find(stream: &[u8], piece: usize, time_ms: u64, mode: Mode) -> Result<Found, FindError> {
    let mut finder = FrameFinder::new(time_ms, mode, FindLimits::default());
    for bytes in stream.chunks(piece) {
        if finder.push(bytes)? == Progress::Done {
            break;
        }
    }
    finder.finish()
}

fn digest(found: &Found) -> String {
    md5(&decode(&Job::new(found.units.clone(), Output::default()), 1 << 24).unwrap())
}

/// For each access unit its place in the order of showing: where its picture is in ffmpeg's list.
fn order(name: &str, units: &[Bytes]) -> Vec<usize> {
    let expected = frames(name);
    let digests: Vec<String> = (0..units.len())
        .map(|index| {
            let start = (0..=index).rev().find(|at| common::is_idr(&units[*at])).unwrap();
            md5(&decode(&Job::new(units[start..=index].to_vec(), Output::default()), 1 << 24).unwrap())
        })
        .collect();
    digests.iter().map(|digest| expected.iter().position(|frame| frame == digest).unwrap()).collect()
}

#[test]
fn every_time_gives_its_frame() {
    for name in ["baseline", "high-8x8dct", "slices", "open-gop"] {
        let units = units(name);
        let (shown, expected) = (order(name, &units), frames(name));
        // Near the end of the clock's 33 bits, so that it wraps within.
        for start in [0, 90_000, (1 << 33) - 3600 * 4] {
            let stream = transport(&units, &shown, start);
            for (index, frame) in expected.iter().enumerate() {
                for offset in [0, 39] {
                    let time_ms = index as u64 * 40 + offset;
                    let found = find(&stream, 1000, time_ms, Mode::Exact).unwrap();
                    assert_eq!(&digest(&found), frame, "{name} at {time_ms} ms from {start}");
                    assert_eq!(found.time_ms, index as u64 * 40, "{name}");
                }
            }
            let beyond = find(&stream, 1000, 3_600_000, Mode::Exact).unwrap();
            assert_eq!((digest(&beyond), beyond.is_last), (expected.last().unwrap().clone(), true), "{name}");
        }
    }
}

#[test]
fn fast_gives_the_key_frame_before() {
    let units = units("main-cabac");
    let shown = order("main-cabac", &units);
    let stream = transport(&units, &shown, 0);
    let keys: Vec<usize> = (0..units.len()).filter(|index| common::is_idr(&units[*index])).collect();
    assert_eq!(keys, [0, 6]);
    for (time_ms, frame) in [(0, 0), (239, 0), (240, 6), (300, 6), (99_999, 6)] {
        let found = find(&stream, 188 * 3, time_ms, Mode::KeyFrame).unwrap();
        assert_eq!((found.units.len(), digest(&found)), (1, frames("main-cabac")[frame].clone()), "{time_ms}");
    }
}

#[test]
fn pictures_that_nothing_refers_to_are_not_decoded() {
    let units = units("main-cabac");
    let stream = transport(&units, &order("main-cabac", &units), 0);
    let last = find(&stream, 4096, 200, Mode::Exact).unwrap();
    assert!(last.units.len() < 6, "{} of 6 are decoded", last.units.len());
}

/// What is not looked at costs nothing: a finder that has its picture asks for no more.
#[test]
fn reading_stops_behind_the_picture() {
    let units = units("baseline");
    let stream = transport(&units, &order("baseline", &units), 0);
    let mut finder = FrameFinder::new(0, Mode::Exact, FindLimits::default());
    let pieces = stream.chunks(188).take_while(|piece| finder.push(piece) == Ok(Progress::More)).count();
    // The clock of decoding runs two pictures ahead, and the first picture is the largest of the eight.
    assert!(pieces * 188 < stream.len() * 3 / 4, "{pieces} packets of {}", stream.len() / 188);
}

#[test]
fn what_is_no_recording_is_named() {
    let text = "not a transport stream ".repeat(500);
    assert_eq!(find(text.as_bytes(), 1000, 0, Mode::Exact), Err(FindError::NotTransportStream));
    assert_eq!(find(&[], 1, 0, Mode::Exact), Err(FindError::NotTransportStream));
    let zeros_and_syncs: Vec<u8> = (0..60_000_u32).map(|at| if at % 200 == 0 { 0x47 } else { 0 }).collect();
    assert_eq!(find(&zeros_and_syncs, 997, 0, Mode::Exact), Err(FindError::NotTransportStream));
    let units = units("baseline");
    let stream = transport(&units[1..6], &[1, 2, 3, 4, 5], 0);
    assert_eq!(find(&stream, 500, 0, Mode::Exact), Err(FindError::NoKeyFrame));
    // The stream type of HEVC in the map of an otherwise equal stream; the checksum is not looked at.
    let mut hevc = transport(&units, &[0, 1, 2, 3, 4, 5, 6, 7], 0);
    let at = hevc.windows(3).position(|window| window == [0x1B, 0xE1, 0x00]).expect("a map");
    hevc[at] = 0x24;
    assert_eq!(find(&hevc, 500, 0, Mode::Exact), Err(FindError::NoVideo(Some(0x24))));
}

#[test]
fn memory_is_bounded() {
    let units = units("baseline");
    let stream = transport(&units, &order("baseline", &units), 0);
    let limited = |limits| {
        let mut finder = FrameFinder::new(10_000, Mode::Exact, limits);
        finder.push(&stream).and_then(|_| finder.finish()).map(|found| found.units.len())
    };
    assert_eq!(limited(FindLimits { units: 4, ..FindLimits::default() }), Err(FindError::TooMuch));
    assert_eq!(limited(FindLimits { bytes: 1500, ..FindLimits::default() }), Err(FindError::TooMuch));
    assert_eq!(limited(FindLimits { unit_bytes: 500, ..FindLimits::default() }), Err(FindError::TooMuch));
    assert_eq!(limited(FindLimits::default()), Ok(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same(piece in 1_usize..2000, time_ms in 0_u64..400) {
        let units = units("baseline");
        let stream = transport(&units, &[0, 1, 2, 3, 4, 5, 6, 7], 0);
        prop_assert_eq!(find(&stream, piece, time_ms, Mode::Exact), find(&stream, stream.len(), time_ms, Mode::Exact));
    }

    #[test]
    fn damage_never_panics(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30), time_ms in 0_u64..400) {
        let units = units("slices-by-size");
        let mut stream = transport(&units, &[0, 1, 2, 3, 4, 5, 6, 7], 0);
        for (index, byte) in at {
            let length = stream.len();
            stream[index.index(length)] = byte;
        }
        let _ = find(&stream, 700, time_ms, Mode::Exact);
    }
}
