//! Every odd stream at hand, flushed and broken at random: nothing is lost, and every segment and playlist keeps its rules.

use super::source::{flv_tags, slices_of, sounds_of};
use super::*;
use proptest::prelude::*;

const INPUTS: [(&str, &[u8]); 5] = [
    ("0.2 fps with B-frames", include_bytes!("../../../testdata/0.2fps-b-frames.flv")),
    ("sound stamped 2 s early", include_bytes!("../../../testdata/sound-stamped-2s-early.flv")),
    ("GStreamer, live", include_bytes!("../../../testdata/gstreamer-live-b-frames.flv")),
    ("open GOP", include_bytes!("../../../testdata/open-gop.flv")),
    ("intra refresh", include_bytes!("../../../testdata/intra-refresh.flv")),
];

fn check(name: &str, tags: &[Tag], config: RemuxConfig, flushes: &[usize], breaks: &[usize]) {
    let mut remuxer = Remuxer::new(config);
    let mut outputs = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        remuxer.push(tag);
        flushes.iter().filter(|at| **at == index).for_each(|_| remuxer.flush());
        if breaks.contains(&index) {
            let suspended = remuxer.suspend();
            outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
            remuxer = Remuxer::resume(&suspended).expect("what was written");
        }
        outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    }
    remuxer.finish();
    outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    let take = Take { segments: segments(outputs), stats: remuxer.stats(), facts: remuxer.facts().clone() };
    assert_eq!(take.slices(), slices_of(tags), "{name}");
    assert_eq!(take.sounds(), sounds_of(tags), "{name}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Forty rounds over nine streams.
    #[test]
    fn the_corpus_survives_every_rhythm(
        flushes in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        breaks in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        strict in any::<bool>(),
        recovery_points_start_segments in any::<bool>(),
    ) {
        let segmenting = if strict { Segmenting::Strict } else { Segmenting::Oss };
        let inputs = INPUTS.iter().map(|(name, file)| (*name, flv_tags(file)));
        let captures = (0..4).map(|index| ("capture", super::captures::capture(index)));
        for (name, tags) in inputs.chain(captures) {
            let places = |at: &[prop::sample::Index]| at.iter().map(|at| at.index(tags.len())).collect::<Vec<_>>();
            let config = RemuxConfig { segmenting, recovery_points_start_segments, ..config(2_000) };
            check(name, &tags, config, &places(&flushes), &places(&breaks));
        }
    }
}
