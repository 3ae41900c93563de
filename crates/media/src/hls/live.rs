//! The sliding window of one channel: what its playlist lists, across sessions (LiveChannel 4.4, 4.5, decisions D9 to D12).

use super::playlist::{MediaPlaylist, PlaylistSegment, rounded_s};
use std::collections::VecDeque;

/// A stored segment of a live channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSegment {
    /// Bare object name (LiveChannel 4.4).
    pub uri: String,
    /// Its duration in milliseconds.
    pub duration_ms: u64,
    /// Whether it does not continue the one before.
    pub discontinuity: bool,
    /// Wall-clock time of its first frame in Unix milliseconds; `None` while the switch of decision D10 is off.
    pub program_date_time_ms: Option<i64>,
    /// Whether it can be decoded without any other
    /// ([`SegmentClosing::independent`](crate::remux::SegmentClosing::independent)).
    pub independent: bool,
}

/// The window's state, pure and plain, so that a store can keep it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveWindow {
    /// Number of the next segment; counts over all sessions of the channel (LiveChannel 4.4).
    pub next_sequence: u64,
    /// Discontinuities that have left the list, over all sessions (LiveChannel 4.5).
    pub discontinuities_gone: u64,
    /// Sessions that produced at least one segment.
    pub sessions: u64,
    /// At most so many segments are listed; at least one is.
    pub frag_count: u32,
    /// FragDuration of the running session, in seconds.
    pub frag_duration_s: u32,
    /// TARGETDURATION in force, in seconds; 0 until the first playlist (decision D9).
    pub target_duration_s: u32,
    /// How often a longer segment forced the target up (decision D9).
    pub target_rises: u64,
    /// What the next segment meets.
    pub session: SessionState,
    /// Whether the list has ended (decision D12).
    pub ended: bool,
    /// The segments listed, oldest first.
    pub segments: VecDeque<LiveSegment>,
}

/// Where the running session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Its first segment is to come and replaces the list of the session before (LiveChannel 4.5).
    #[default]
    StartsFresh,
    /// Its first segment is to come and continues the list within the reconnect window (decision D11).
    Continues,
    /// It has segments in the list.
    Running,
}

impl LiveWindow {
    /// Begins a session. With `continues` (a push that returned within the reconnect window, decision D11) its segments
    /// follow those listed; else they replace them, once the first is complete. Until then the playlist stays as it is.
    pub fn begin_session(&mut self, frag_count: u32, frag_duration_s: u32, continues: bool) {
        self.frag_count = frag_count.max(1);
        self.frag_duration_s = frag_duration_s.max(1);
        let continues = continues && !self.ended && !self.segments.is_empty();
        self.session = if continues { SessionState::Continues } else { SessionState::StartsFresh };
    }

    /// Adds a stored segment, and returns how many older ones left the list.
    pub fn push(&mut self, mut segment: LiveSegment) -> usize {
        let mut left = 0;
        // Nothing may change behind an end, so what follows is a list of its own (RFC 8216 4.3.3.4).
        if self.ended {
            self.session = SessionState::StartsFresh;
        }
        if self.session != SessionState::Running {
            if self.session == SessionState::StartsFresh {
                left += self.remove_oldest(self.segments.len());
                self.target_duration_s = 0;
            }
            // A new session does not continue the one before; the first of a channel has none before it.
            segment.discontinuity = self.sessions > 0;
            self.sessions += 1;
            self.session = SessionState::Running;
            self.ended = false;
        }
        if self.target_duration_s == 0 {
            self.target_duration_s = self.frag_duration_s.max(rounded_up_s(segment.duration_ms)).max(1);
        } else if rounded_s(segment.duration_ms) > self.target_duration_s {
            self.target_duration_s = rounded_up_s(segment.duration_ms);
            self.target_rises += 1;
        }
        self.segments.push_back(segment);
        self.next_sequence += 1;
        let count = usize::try_from(self.frag_count.max(1)).unwrap_or(usize::MAX);
        left + self.remove_oldest(self.segments.len().saturating_sub(count))
    }

    /// Ends the list (decision D12). The next session starts a fresh one.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The playlist as it is to be published; `None` before the first segment of the channel.
    ///
    /// Beyond the tags of OSS it has EXT-X-INDEPENDENT-SEGMENTS while that is true of every segment listed, and
    /// EXT-X-DISCONTINUITY-SEQUENCE also while it is 0: a player that joined before the first discontinuity need not guess.
    pub fn playlist(&self) -> Option<MediaPlaylist> {
        let first = self.segments.front()?;
        let dated = first.program_date_time_ms.is_some();
        let segments = self.segments.iter().enumerate().map(|(index, segment)| PlaylistSegment {
            uri: segment.uri.clone(),
            duration_ms: segment.duration_ms,
            discontinuity: segment.discontinuity,
            program_date_time_ms: segment
                .program_date_time_ms
                .filter(|_| dated && (index == 0 || segment.discontinuity)),
        });
        let needed = self.segments.iter().map(|segment| rounded_s(segment.duration_ms)).max().unwrap_or(0);
        Some(MediaPlaylist {
            media_sequence: self.next_sequence.saturating_sub(self.segments.len() as u64),
            discontinuity_sequence: Some(self.discontinuities_gone),
            // A restored window whose target does not fit its segments is repaired here (decision D13).
            target_duration_s: self.target_duration_s.max(needed).max(1),
            segments: segments.collect(),
            end_list: self.ended,
            independent_segments: self.segments.iter().all(|segment| segment.independent),
            is_vod: false,
        })
    }

    fn remove_oldest(&mut self, count: usize) -> usize {
        for segment in self.segments.drain(..count.min(self.segments.len())) {
            self.discontinuities_gone += u64::from(segment.discontinuity);
        }
        count
    }
}

fn rounded_up_s(duration_ms: u64) -> u32 {
    u32::try_from(duration_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Violation, violations};
    use super::*;
    use proptest::prelude::*;

    fn segment(name: u64, duration_ms: u64) -> LiveSegment {
        LiveSegment {
            uri: format!("{name}.ts"),
            duration_ms,
            discontinuity: false,
            program_date_time_ms: None,
            independent: false,
        }
    }

    fn check(name: &str, window: &LiveWindow, expected: &str) {
        assert_eq!(window.playlist().map(|list| list.render()).unwrap_or_default(), expected, "{name}");
    }

    #[test]
    fn livechannel_4_5_next_push() {
        let mut window = LiveWindow::default();
        window.begin_session(2, 5, false);
        check("nothing yet", &window, "");
        window.push(segment(1, 5_000));
        window.push(segment(2, 5_040));
        window.push(segment(3, 4_960));
        check(
            "first session",
            &window,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.040,\n2.ts\n#EXTINF:4.960,\n3.ts\n",
        );
        let before = window.playlist();
        window.begin_session(2, 2, false);
        assert_eq!(window.playlist(), before, "left as it was until the first new segment is complete");
        window.push(segment(4, 2_000));
        check(
            "fresh list",
            &window,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-TARGETDURATION:2\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\n4.ts\n",
        );
        window.push(segment(5, 2_000));
        window.push(segment(6, 2_000));
        check(
            "discontinuity scrolled out",
            &window,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:4\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\n5.ts\n#EXTINF:2.000,\n6.ts\n",
        );
    }

    #[test]
    fn d11_a_quick_reconnect_continues_the_list() {
        let mut window = LiveWindow::default();
        window.begin_session(3, 2, false);
        window.push(segment(1, 2_000));
        window.begin_session(3, 2, true);
        window.push(segment(2, 2_000));
        check(
            "continued",
            &window,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\n1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\n2.ts\n",
        );
        window.end();
        assert!(window.playlist().is_some_and(|list| list.end_list));
        window.begin_session(3, 2, true);
        window.push(segment(3, 2_000));
        let list = window.playlist().expect("a segment");
        assert_eq!((list.segments.len(), list.end_list, list.media_sequence), (1, false, 2));
    }

    #[test]
    fn segments_are_called_independent_while_all_of_them_are() {
        let mut window = LiveWindow::default();
        window.begin_session(3, 2, false);
        let mut before = None;
        for (name, independent, is_said) in
            [(1, true, true), (2, false, false), (3, true, false), (4, true, false), (5, true, true)]
        {
            window.push(LiveSegment { independent, ..segment(name, 2_000) });
            let list = window.playlist().expect("a segment");
            assert_eq!(list.independent_segments, is_said, "{name}");
            assert_eq!(list.render().contains("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n"), is_said);
            assert_eq!(violations(before.as_ref(), &list), [], "the tag may come and go while a list goes on");
            before = Some(list);
        }
    }

    #[test]
    fn d9_target_is_fixed_by_the_first_playlist() {
        let mut window = LiveWindow::default();
        window.begin_session(3, 2, false);
        let targets: Vec<u32> = [2_002, 2_900, 3_499, 3_500, 1_000]
            .into_iter()
            .zip(0..)
            .map(|(ms, name)| {
                window.push(segment(name, ms));
                window.playlist().map_or(0, |list| list.target_duration_s)
            })
            .collect();
        assert_eq!((targets, window.target_rises), (vec![3, 3, 3, 4, 4], 1));
    }

    #[test]
    fn d10_dates_stand_first_and_behind_discontinuities() {
        let mut window = LiveWindow::default();
        window.begin_session(3, 2, false);
        for (name, discontinuity) in [(1, false), (2, false), (3, true), (4, false)] {
            let ms = i64::try_from(name * 2000).ok();
            window.push(LiveSegment { discontinuity, program_date_time_ms: ms, ..segment(name, 2_000) });
        }
        let dates: Vec<_> =
            window.playlist().expect("segments").segments.iter().map(|s| s.program_date_time_ms).collect();
        assert_eq!(dates, [Some(4000), Some(6000), None]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Session { frag_count: u32, frag_duration_s: u32, continues: bool },
        Segment { duration_ms: u64, discontinuity: bool },
        End,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                1 => (1_u32..6, 1_u32..12, any::<bool>()).prop_map(|(frag_count, frag_duration_s, continues)| Step::Session { frag_count, frag_duration_s, continues }),
                8 => (1_u64..70_000, any::<bool>()).prop_map(|(duration_ms, discontinuity)| Step::Segment { duration_ms, discontinuity }),
                1 => Just(Step::End),
            ],
            1..80,
        )
    }

    proptest! {
        #[test]
        fn no_history_breaks_a_rule(steps in steps(), dated in any::<bool>()) {
            let mut window = LiveWindow::default();
            window.begin_session(3, 5, false);
            let mut previous: Option<MediaPlaylist> = None;
            for (step, name) in steps.into_iter().zip(0_u64..) {
                match step {
                    Step::Session { frag_count, frag_duration_s, continues } => window.begin_session(frag_count, frag_duration_s, continues),
                    Step::Segment { duration_ms, discontinuity } => {
                        let date = dated.then(|| i64::try_from(name).unwrap_or(0) * 1000);
                        window.push(LiveSegment { discontinuity, program_date_time_ms: date, ..segment(name, duration_ms) });
                    }
                    Step::End => window.end(),
                }
                let Some(next) = window.playlist() else { continue };
                let found: Vec<Violation> = violations(previous.as_ref(), &next).into_iter().filter(|v| !v.is_note()).collect();
                prop_assert!(found.is_empty(), "{:?}\n{:?}\n{:?}", found, previous, next);
                previous = Some(next);
            }
        }
    }
}
