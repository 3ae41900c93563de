//! A take that is suspended between any two tags and resumed by another value leaves the same segments.

use super::properties::{session, stretch};
use super::source::Source;
use super::*;
use crate::saved::ResumeError;
use proptest::prelude::*;

/// As [`take_flushed`], with breaks after the tags given by their numbers.
fn outputs(config: RemuxConfig, tags: &[Tag], flush_every: usize, breaks: &[usize]) -> (Vec<Output>, RemuxStats) {
    let mut remuxer = Remuxer::new(config);
    let mut outputs = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        remuxer.push(tag);
        if flush_every > 0 && (index + 1) % flush_every == 0 {
            remuxer.flush();
        }
        if breaks.contains(&index) {
            let suspended = remuxer.suspend();
            outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
            remuxer = Remuxer::resume(&Suspended::from_bytes(suspended.bytes().clone())).expect("what was written");
            assert_eq!(remuxer.suspend(), suspended, "nothing is lost on the way");
        }
        outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    }
    remuxer.finish();
    outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    (outputs, remuxer.stats())
}

/// The outputs with the data of each segment joined, since its pieces say nothing.
fn joined(outputs: Vec<Output>) -> Vec<(Vec<u8>, Option<Output>)> {
    let mut joined: Vec<(Vec<u8>, Option<Output>)> = vec![(Vec::new(), None)];
    for output in outputs {
        match output {
            Output::Data(data) => joined.last_mut().expect("never empty").0.extend_from_slice(&data),
            other => joined.push((Vec::new(), Some(other))),
        }
    }
    joined
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_break_anywhere_changes_no_byte(
        stretches in prop::collection::vec(stretch(), 1..5),
        breaks in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        strict in any::<bool>(),
        flush_every in 0_usize..20,
    ) {
        let tags = session(&stretches, 0);
        let breaks: Vec<usize> = breaks.iter().map(|at| at.index(tags.len().max(1))).collect();
        let segmenting = if strict { Segmenting::Strict } else { Segmenting::Oss };
        let config = RemuxConfig { segmenting, flush_bytes: 10_000, ..config(2_000) };
        let (whole, stats) = outputs(config.clone(), &tags, flush_every, &[]);
        let (broken, broken_stats) = outputs(config, &tags, flush_every, &breaks);
        prop_assert_eq!(joined(whole), joined(broken));
        prop_assert_eq!(stats, broken_stats);
    }

    #[test]
    fn a_damaged_state_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<prop::sample::Index>()) {
        let mut remuxer = Remuxer::new(config(2_000));
        Source { length_ms: 1_000, ..Source::default() }.tags().iter().for_each(|tag| remuxer.push(tag));
        let state = remuxer.suspend();
        let mut bytes = state.bytes().to_vec();
        bytes[at.index(state.bytes().len())] ^= 1 << bit;
        prop_assert!(Remuxer::<Ts>::resume(&Suspended::from_bytes(bytes.into())).is_err());
        let torn = state.bytes().slice(..cut.index(state.bytes().len()));
        prop_assert!(Remuxer::<Ts>::resume(&Suspended::from_bytes(torn)).is_err());
    }
}

#[test]
fn captures_broken_after_every_tag_are_the_same() {
    let tags = super::captures::capture(0);
    let every: Vec<usize> = (0..tags.len()).collect();
    assert_eq!(joined(outputs(config(2_000), &tags, 0, &[]).0), joined(outputs(config(2_000), &tags, 0, &every).0));
}

#[test]
fn the_state_of_a_stream_in_order_is_small() {
    let mut remuxer = Remuxer::new(config(2_000));
    for tag in Source::default().tags() {
        remuxer.push(&tag);
        let state = remuxer.suspend();
        assert!(state.bytes().len() < 8 * 1024 + 11_000, "{} bytes", state.bytes().len());
    }
    let other = Suspended::from_bytes(Bytes::from_static(&[9; 100]));
    assert_eq!(Remuxer::<Ts>::resume(&other).err(), Some(ResumeError::Version(9)));
}
