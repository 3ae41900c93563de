//! Any bytes as a recording: no panic, bounded memory, and the same answer however the bytes are cut.
//!
//! The first byte is the time in steps of 20 ms, the second the mode and the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pictures::{FindError, FindLimits, Found, FrameFinder, Mode, Progress};

fn find(stream: &[u8], piece: usize, time_ms: u64, mode: Mode) -> Result<Found, FindError> {
    let mut finder = FrameFinder::new(time_ms, mode, FindLimits { unit_bytes: 4096, bytes: 8192, units: 20 });
    for bytes in stream.chunks(piece.max(1)) {
        if finder.push(bytes)? == Progress::Done {
            break;
        }
    }
    finder.finish()
}

fuzz_target!(|data: &[u8]| {
    let [time, how, stream @ ..] = data else { return };
    let mode = if how % 2 == 0 { Mode::Exact } else { Mode::KeyFrame };
    let time_ms = u64::from(*time) * 20;
    let pieces = find(stream, usize::from(how / 2) + 1, time_ms, mode);
    if let Ok(found) = &pieces {
        assert!(!found.units.is_empty() && found.units.iter().map(|unit| unit.len()).sum::<usize>() <= 8192);
        // What is found does not depend on the pieces; an error may be noticed earlier or later.
        if let Ok(whole) = find(stream, stream.len(), time_ms, mode) {
            assert_eq!(found, &whole);
        }
    }
});
