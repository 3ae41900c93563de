//! Where a segment ends (LiveChannel 4.2, decision D9).

mod cutter;

pub use cutter::{Consumer, CutStats, Cutter, Event, SegmentEnd, SegmentOpening};

use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};

/// Whether a segment may grow until the next key frame, or never beyond its target (decision D9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Segmenting {
    /// As OSS does: wait for a key frame up to max(2 x FragDuration, 60 s).
    #[default]
    Oss,
    /// Cut before the segment would round to more than FragDuration, at a frame that is no key frame if need be.
    Strict,
}

/// Why a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutReason {
    /// A key frame came, and FragDuration had passed (LiveChannel 4.2 rule 1).
    KeyFrame,
    /// No key frame came in time (LiveChannel 4.2 rule 2).
    Forced,
    /// Parameters, tracks or the time line changed; the next segment is discontinuous.
    Discontinuity,
    /// The segment would have become longer than its target ([`Segmenting::Strict`]).
    Strict,
    /// The take ended.
    End,
}

/// Lets a GOP of 1.999 s satisfy a FragDuration of 2 s (LiveChannel 4.2).
const TOLERANCE: MediaDuration = MediaDuration::from_ms(20);

/// What is shown decides at most this much against what is decoded.
const SHOWN_TOLERANCE: MediaDuration = MediaDuration::from_ms(300);

/// No forced cut comes earlier than this (LiveChannel 4.2 rule 2).
const LEAST_FORCED_CUT: MediaDuration = MediaDuration::from_ms(60_000);

/// The longest duration that rounds to FragDuration's whole seconds, rounded up.
const fn longest(frag_duration_ms: i64) -> MediaDuration {
    MediaDuration::from_ms((frag_duration_ms + 999) / 1000 * 1000 + 499)
}

impl Segmenting {
    /// The longest that a segment may be for a FragDuration in seconds; `None` where the target gives way.
    pub fn longest(self, frag_duration_s: u32) -> Option<MediaDuration> {
        match self {
            Segmenting::Oss => None,
            Segmenting::Strict => Some(longest(i64::from(frag_duration_s) * 1000)),
        }
    }
}

/// A frame that may open the next segment.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// When it is decoded.
    pub at: Timestamp,
    /// When it is shown.
    pub shown: Timestamp,
    /// Whether it is a key frame.
    pub key_frame: bool,
    /// Whether decoding may start here, key frame or not (quirk Q42).
    pub entry: bool,
    /// When the frame behind it is decoded, or an estimate.
    pub next: Timestamp,
}

/// Decides, frame by frame, whether a segment ends. Pure arithmetic on media time.
#[derive(Clone, Debug)]
pub struct Segmenter {
    segmenting: Segmenting,
    fragment: MediaDuration,
    forced: MediaDuration,
    longest: MediaDuration,
    start: Option<Timestamp>,
    /// When the picture is shown with which the open segment begins.
    shown: Option<Timestamp>,
    /// The open segment has a picture.
    has_picture: bool,
    discontinuity: bool,
    last_key: Option<Timestamp>,
    key_distance: Option<MediaDuration>,
    /// The same for pictures at which decoding may start.
    last_entry: Option<Timestamp>,
    entry_distance: Option<MediaDuration>,
}

saved!(
    enum Segmenting {
        Oss = 0,
        Strict = 1,
    }
);
saved!(struct Segmenter {
    segmenting,
    fragment,
    forced,
    longest,
    start,
    shown,
    has_picture,
    discontinuity,
    last_key,
    key_distance,
    last_entry,
    entry_distance
});

impl Segmenter {
    /// A segmenter for a FragDuration in milliseconds; at least 1 ms and at most a day are used.
    pub fn new(frag_duration_ms: u64, segmenting: Segmenting) -> Self {
        let ms = i64::try_from(frag_duration_ms.clamp(1, 86_400_000)).unwrap_or(86_400_000);
        let fragment = MediaDuration::from_ms(ms);
        Self {
            segmenting,
            fragment,
            forced: MediaDuration::from_ms(2 * ms).max(LEAST_FORCED_CUT),
            longest: longest(ms),
            start: None,
            shown: None,
            has_picture: false,
            discontinuity: false,
            last_key: None,
            key_distance: None,
            last_entry: None,
            entry_distance: None,
        }
    }

    /// Start of the open segment.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// Asks for a discontinuity at the next key frame.
    pub fn request_discontinuity(&mut self) {
        self.discontinuity = true;
    }

    /// Whether a frame of the video track ends the open segment, and why. The segment's first frame never does.
    pub fn cut_at(&mut self, frame: Candidate) -> Option<CutReason> {
        if frame.key_frame {
            self.key_distance = self.last_key.map(|last| frame.at - last);
            self.last_key = Some(frame.at);
        }
        if frame.entry || frame.key_frame {
            self.entry_distance = self.last_entry.map(|last| frame.at - last);
            self.last_entry = Some(frame.at);
        }
        let start = self.start?;
        let returns = !std::mem::replace(&mut self.has_picture, true);
        // A duration of 0 ms would help nobody.
        if frame.at.to_ms() <= start.to_ms() {
            return None;
        }
        let passed = frame.at - start;
        // Pictures return in a segment that sound began: where they can be decoded, a segment begins.
        if frame.key_frame && returns {
            return Some(if self.discontinuity { CutReason::Discontinuity } else { CutReason::KeyFrame });
        }
        if frame.key_frame && self.discontinuity {
            return Some(CutReason::Discontinuity);
        }
        if frame.key_frame && self.fragment_has_passed(frame, passed) {
            return Some(CutReason::KeyFrame);
        }
        match self.segmenting {
            Segmenting::Oss => (passed >= self.forced).then_some(CutReason::Forced),
            Segmenting::Strict if frame.key_frame && self.is_too_late(self.key_distance, passed) => {
                Some(CutReason::KeyFrame)
            }
            // Better than in the middle, where nothing can be decoded.
            Segmenting::Strict
                if frame.entry
                    && (self.fragment_has_passed(frame, passed) || self.is_too_late(self.entry_distance, passed)) =>
            {
                Some(CutReason::Strict)
            }
            Segmenting::Strict => (frame.next - start > self.longest).then_some(CutReason::Strict),
        }
    }

    /// Whether audio alone, up to `end`, ends the open segment (quirk Q33): no key frame can come while there is no video,
    /// so there is nothing to wait for beyond FragDuration.
    pub fn cut_in_audio(&self, at: Timestamp, end: Timestamp) -> Option<CutReason> {
        let start = self.start?;
        if at.to_ms() <= start.to_ms() {
            return None;
        }
        if self.segmenting == Segmenting::Strict && end - start > self.longest {
            return Some(CutReason::Strict);
        }
        ((at - start).0 + TOLERANCE.0 >= self.fragment.0).then_some(CutReason::Forced)
    }

    /// The latest moment at which the open segment may end without becoming longer than its target; `None` where the
    /// target gives way ([`Segmenting::Oss`]).
    pub fn latest_end(&self) -> Option<Timestamp> {
        let start = self.start.filter(|_| self.segmenting == Segmenting::Strict)?;
        Some(start + self.longest)
    }

    /// Opens a segment at `at`. A key frame brings the discontinuity that was asked for; says whether it did.
    pub fn open(&mut self, at: Timestamp, key_frame: bool) -> bool {
        self.has_picture = true;
        self.shown = None;
        let first = self.start.replace(at).is_none();
        let discontinuity = key_frame && std::mem::take(&mut self.discontinuity);
        discontinuity && !first
    }

    /// Opens a segment with a picture. See [`open`](Self::open).
    pub fn open_at(&mut self, picture: Candidate) -> bool {
        let discontinuity = self.open(picture.at, picture.key_frame);
        self.shown = Some(picture.shown);
        discontinuity
    }

    /// Opens a segment at `at` with sound, because there are no pictures.
    pub fn open_in_audio(&mut self, at: Timestamp) -> bool {
        let discontinuity = self.open(at, false);
        self.has_picture = false;
        discontinuity
    }

    /// Closes the open segment for good and returns its start.
    pub fn close(&mut self) -> Option<Timestamp> {
        self.start.take()
    }

    /// Whether FragDuration has passed from picture to picture, as they are decoded or as they are shown: muxers that push
    /// decoding times around for the sake of interleaving leave the others alone.
    fn fragment_has_passed(&self, frame: Candidate, passed: MediaDuration) -> bool {
        let shown = self.shown.map_or(passed, |shown| frame.shown - shown);
        passed.max(shown.min(MediaDuration(passed.0.saturating_add(SHOWN_TOLERANCE.0)))).0 + TOLERANCE.0
            >= self.fragment.0
    }

    /// In strict mode a key frame before the limit is better than a cut between key frames, unless the segment would
    /// be less than half as long as wanted: whether the next, `distance` away, comes behind the limit.
    fn is_too_late(&self, distance: Option<MediaDuration>, passed: MediaDuration) -> bool {
        distance.is_some_and(|distance| passed.0.saturating_add(distance.0) > self.longest.0)
            && passed.0 >= self.fragment.0 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds frames `(ms, key)` and lists the cuts as `(ms, reason)`.
    fn cuts(frag_ms: u64, segmenting: Segmenting, frames: &[(i64, bool)]) -> Vec<(i64, CutReason)> {
        let mut segmenter = Segmenter::new(frag_ms, segmenting);
        let mut cuts = Vec::new();
        for (index, &(ms, key_frame)) in frames.iter().enumerate() {
            let next = frames.get(index + 1).map_or(ms + 40, |next| next.0);
            let frame = candidate(ms, key_frame, next);
            let cut = segmenter.cut_at(frame);
            if cut.is_some() || segmenter.start().is_none() {
                segmenter.open(frame.at, key_frame);
            }
            cuts.extend(cut.map(|reason| (ms, reason)));
        }
        cuts
    }

    fn candidate(ms: i64, key_frame: bool, next: i64) -> Candidate {
        let at = Timestamp::from_ms(ms);
        Candidate { at, shown: at, key_frame, entry: key_frame, next: Timestamp::from_ms(next) }
    }

    fn gop(seconds: i64, gop_ms: i64) -> Vec<(i64, bool)> {
        (0..seconds * 25).map(|index| (index * 40, index * 40 % gop_ms == 0)).collect()
    }

    fn check(name: &str, frag_ms: u64, segmenting: Segmenting, frames: &[(i64, bool)], expected: &[(i64, CutReason)]) {
        assert_eq!(cuts(frag_ms, segmenting, frames), expected, "{name}");
    }

    #[test]
    fn livechannel_4_2() {
        use CutReason::*;
        use Segmenting::Oss;
        check("key frame at FragDuration", 2000, Oss, &gop(5, 1000), &[(2000, KeyFrame), (4000, KeyFrame)]);
        check("FragDuration is a minimum", 2000, Oss, &gop(11, 5000), &[(5000, KeyFrame), (10_000, KeyFrame)]);
        check(
            "1.999 s is 2 s",
            2000,
            Oss,
            &[(0, true), (1999, true), (3979, true), (5958, true)],
            &[(1999, KeyFrame), (3979, KeyFrame)],
        );
        check("forced after 60 s", 5000, Oss, &gop(130, 1_000_000), &[(60_000, Forced), (120_000, Forced)]);
        check("forced after twice 100 s", 100_000, Oss, &gop(250, 1_000_000), &[(200_000, Forced)]);
    }

    #[test]
    fn d9_strict_never_exceeds_its_target() {
        use CutReason::*;
        use Segmenting::Strict as S;
        check("GOP fits", 2000, S, &gop(5, 2000), &[(2000, KeyFrame), (4000, KeyFrame)]);
        check(
            "a key frame early beats no key frame",
            5000,
            S,
            &gop(13, 4000),
            &[(4000, KeyFrame), (8000, KeyFrame), (12_000, KeyFrame)],
        );
        check("long GOP", 2000, S, &gop(6, 100_000), &[(2480, Strict), (4960, Strict)]);
    }

    #[test]
    fn a_discontinuity_waits_for_the_key_frame() {
        let mut segmenter = Segmenter::new(2000, Segmenting::Oss);
        let frame = |ms, key_frame| candidate(ms, key_frame, ms + 40);
        assert!(!segmenter.open(Timestamp(0), true));
        segmenter.request_discontinuity();
        assert_eq!(segmenter.cut_at(frame(40, false)), None);
        assert_eq!(segmenter.cut_at(frame(80, true)), Some(CutReason::Discontinuity));
        assert!(segmenter.open(Timestamp::from_ms(80), true));
        assert_eq!(segmenter.cut_at(frame(120, true)), None);
    }

    #[test]
    fn q33_audio_alone_cuts_too() {
        let mut segmenter = Segmenter::new(2000, Segmenting::Oss);
        segmenter.open(Timestamp(0), true);
        let audio =
            |segmenter: &Segmenter, ms| segmenter.cut_in_audio(Timestamp::from_ms(ms), Timestamp::from_ms(ms + 23));
        assert_eq!(audio(&segmenter, 1_979), None);
        assert_eq!(audio(&segmenter, 1_980), Some(CutReason::Forced));
        let mut segmenter = Segmenter::new(2000, Segmenting::Strict);
        segmenter.open(Timestamp(0), true);
        assert_eq!(audio(&segmenter, 1_979), None);
        assert_eq!(audio(&segmenter, 1_980), Some(CutReason::Forced));
        assert_eq!(audio(&segmenter, 2477), Some(CutReason::Strict));
    }

    proptest! {
        #[test]
        fn strict_segments_round_to_at_most_frag_duration(frag in 1_u64..20, gop in 1_usize..400, steps in prop::collection::vec(1_i64..500, 1..500)) {
            let mut at = 0;
            let frames: Vec<_> = steps.iter().enumerate().map(|(index, step)| { at += step; (at, index % gop == 0) }).collect();
            let mut start = frames[0].0;
            for (cut, _) in cuts(frag * 1000, Segmenting::Strict, &frames) {
                prop_assert!(cut - start <= i64::try_from(frag * 1000 + 499).unwrap(), "{start} to {cut}");
                start = cut;
            }
        }
    }
}
