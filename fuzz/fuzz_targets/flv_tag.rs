//! The media of a publisher: whatever the tags hold, what comes out is whole transport packets in whole segments, recovery finds
//! all of a segment that was written to its end, and the playlist keeps the rules.
//!
//! The input is a list of tags: kind (8 audio, 9 video, else a flush), time stamp and length as little-endian `u32` and `u16`, payload.
#![no_main]

use std::collections::HashMap;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::hls::{LiveSegment, LiveWindow, violations};
use media::recover::recover;
use media::remux::{Output, RemuxConfig, Remuxer};
use media::rtmp::{Tag, TagKind};
use media::segmenter::Segmenting;

const PACKET: usize = 188;

fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let config = RemuxConfig {
        frag_duration_ms: 2_000,
        segmenting: if first & 0x80 == 0 { Segmenting::Oss } else { Segmenting::Strict },
        flush_bytes: 1024,
        recovery_points_start_segments: first & 0x40 != 0,
        ..RemuxConfig::default()
    };
    let mut remuxer = Remuxer::new(config);
    let mut out = Written::default();
    // The first byte is the kind of the first tag too, so that recordings are seeds as they are.
    let mut kind = first & 0x3f;
    while let Some((head, after)) = rest.split_first_chunk::<6>() {
        let timestamp_ms = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = usize::from(u16::from_le_bytes([head[4], head[5]])).min(after.len());
        let (payload, after) = after.split_at(length);
        let payload = Bytes::copy_from_slice(payload);
        match kind {
            8 => remuxer.push(&Tag { kind: TagKind::Audio, timestamp_ms, payload }),
            9 => remuxer.push(&Tag { kind: TagKind::Video, timestamp_ms, payload }),
            _ => remuxer.flush(),
        }
        out.take(&mut remuxer);
        let Some((&next, after)) = after.split_first() else { break };
        kind = next & 0x3f;
        rest = after;
    }
    remuxer.finish();
    out.take(&mut remuxer);
    assert!(!out.open, "the last segment was not closed");
});

/// What was written so far, and its invariants.
#[derive(Default)]
struct Written {
    open: bool,
    discontinuity: bool,
    segment: Vec<u8>,
    continuity: HashMap<u16, u8>,
    window: LiveWindow,
    count: u64,
}

impl Written {
    fn take(&mut self, remuxer: &mut Remuxer) {
        while let Some(output) = remuxer.next_output() {
            match output {
                Output::Open(opening) => {
                    assert!(!self.open, "a segment in a segment");
                    self.open = true;
                    self.discontinuity = opening.discontinuity;
                    self.segment.clear();
                }
                Output::Data(data) => {
                    assert!(self.open, "data outside a segment");
                    self.segment.extend_from_slice(&data);
                }
                Output::Close(closing) => {
                    assert!(self.open, "an end without a beginning");
                    self.open = false;
                    assert_eq!(closing.bytes, self.segment.len() as u64);
                    self.check_packets();
                    self.check_recovery();
                    self.list(closing.duration_ms);
                }
            }
        }
    }

    fn check_packets(&mut self) {
        assert!(!self.segment.is_empty(), "an empty segment");
        assert_eq!(self.segment.len() % PACKET, 0);
        for packet in self.segment.chunks_exact(PACKET) {
            assert_eq!(packet[0], 0x47);
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let counter = packet[3] & 15;
            let has_payload = packet[3] & 0x10 != 0;
            if let Some(last) = self.continuity.insert(pid, counter) {
                assert_eq!(counter, if has_payload { (last + 1) & 15 } else { last }, "continuity of PID {pid}");
            }
        }
    }

    fn check_recovery(&self) {
        let whole = recover(&self.segment);
        let rest = self.segment.get(whole.valid_len..).unwrap_or_default();
        // Behind the last access unit only clock references may follow.
        assert!(rest.chunks_exact(PACKET).all(|packet| packet[3] & 0x10 == 0), "a finished segment recovers whole");
        let torn = self.segment.len() / 2 + 31;
        let part = recover(self.segment.get(..torn).unwrap_or(&self.segment));
        assert!(part.valid_len <= torn && part.valid_len % PACKET == 0);
        assert!(part.frames <= whole.frames);
    }

    fn list(&mut self, duration_ms: u64) {
        let before = self.window.playlist();
        if self.count == 0 {
            self.window.begin_session(3, 2, false);
        }
        self.count += 1;
        self.window.push(LiveSegment {
            uri: format!("{}.ts", 1_700_000_000_000 + self.count),
            duration_ms,
            discontinuity: self.discontinuity,
            program_date_time_ms: Some(1_700_000_000_000),
            independent: self.discontinuity,
        });
        let Some(after) = self.window.playlist() else { panic!("a segment and no playlist") };
        let broken: Vec<_> =
            violations(before.as_ref(), &after).into_iter().filter(|violation| !violation.is_note()).collect();
        assert!(broken.is_empty(), "{broken:?}\n{}", after.render());
    }
}
