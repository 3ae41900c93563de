//! The rules that a published playlist keeps, against itself and against the version before (decision D13).

use super::playlist::{MediaPlaylist, rounded_s};
use std::collections::HashSet;
use thiserror::Error;

/// A broken rule, or something worth a note.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A playlist without segments, which players take for an error.
    #[error("no segment")]
    Empty,
    /// TARGETDURATION is missing from the rules it has to bound (RFC 8216 4.3.3.1).
    #[error("target duration 0")]
    NoTarget,
    /// A segment rounds to more than the target (RFC 8216 4.3.3.1).
    #[error("{uri} lasts {duration_ms} ms, target {target_s} s")]
    BeyondTarget {
        /// The segment.
        uri: String,
        /// Its duration.
        duration_ms: u64,
        /// The target in seconds.
        target_s: u32,
    },
    /// A URI that is empty, breaks its line or looks like a tag.
    #[error("bad URI {0:?}")]
    BadUri(String),
    /// The same segment twice.
    #[error("{0} listed twice")]
    Twice(String),
    /// The target became smaller while segments stayed listed (RFC 8216 6.2.1).
    #[error("target fell from {from} s to {to} s")]
    TargetFell {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// A note: the target grew, which the standard forbids and a longer GOP enforces (decision D9).
    #[error("target rose from {from} s to {to} s")]
    TargetRose {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// MEDIA-SEQUENCE fell, or grew beyond the segments there were (RFC 8216 6.2.2).
    #[error("media sequence from {from} to {to}, with {listed} segments listed before")]
    MediaSequence {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
        /// Segments in the version before.
        listed: usize,
    },
    /// A segment that was listed changed or went missing from the middle (RFC 8216 6.2.1).
    #[error("segment {sequence} changed")]
    SegmentChanged {
        /// Its number.
        sequence: u64,
    },
    /// Newest segments were taken back (RFC 8216 6.2.1).
    #[error("list ends at {to} after it had ended at {from}")]
    Shortened {
        /// Number behind the last segment before.
        from: u64,
        /// The same now.
        to: u64,
    },
    /// DISCONTINUITY-SEQUENCE did not grow by the discontinuities removed (RFC 8216 6.2.2).
    #[error("discontinuity sequence {found}, expected {expected}")]
    DiscontinuitySequence {
        /// By the version before and what left it.
        expected: u64,
        /// What the new version says.
        found: u64,
    },
    /// A list that had ended changed (RFC 8216 4.3.3.4).
    #[error("changed after its end")]
    ChangedAfterEnd,
    /// A dated playlist without a date on its first segment or behind a discontinuity (decision D10).
    #[error("{0} has no PROGRAM-DATE-TIME")]
    Undated(String),
    /// A note: segments left while the list was shorter than three target durations (RFC 8216 6.2.2). FragCount wins.
    #[error("{total_ms} ms listed, three targets are {wanted_ms} ms")]
    ShortWindow {
        /// Duration of all listed segments.
        total_ms: u64,
        /// Three target durations.
        wanted_ms: u64,
    },
}

impl Violation {
    /// Whether it is worth counting but no reason to hold the playlist back: a switch or the channel's configuration
    /// asks for it.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::ShortWindow { .. } | Self::TargetRose { .. })
    }
}

/// What is wrong with `next` as the successor of `previous`, in the order of the list.
pub fn violations(previous: Option<&MediaPlaylist>, next: &MediaPlaylist) -> Vec<Violation> {
    let mut found = Vec::new();
    check_alone(next, &mut found);
    if let Some(previous) = previous {
        check_succession(previous, next, &mut found);
    }
    found
}

fn check_alone(list: &MediaPlaylist, found: &mut Vec<Violation>) {
    if list.segments.is_empty() {
        found.push(Violation::Empty);
    }
    if list.target_duration_s == 0 {
        found.push(Violation::NoTarget);
    }
    let dated = list.segments.iter().any(|segment| segment.program_date_time_ms.is_some());
    let mut seen = HashSet::new();
    for (index, segment) in list.segments.iter().enumerate() {
        let uri = &segment.uri;
        if rounded_s(segment.duration_ms) > list.target_duration_s {
            found.push(Violation::BeyondTarget {
                uri: uri.clone(),
                duration_ms: segment.duration_ms,
                target_s: list.target_duration_s,
            });
        }
        if uri.is_empty() || uri.starts_with('#') || uri.contains(['\n', '\r']) {
            found.push(Violation::BadUri(uri.clone()));
        }
        if !seen.insert(uri) {
            found.push(Violation::Twice(uri.clone()));
        }
        if dated && (index == 0 || segment.discontinuity) && segment.program_date_time_ms.is_none() {
            found.push(Violation::Undated(uri.clone()));
        }
    }
}

fn check_succession(previous: &MediaPlaylist, next: &MediaPlaylist, found: &mut Vec<Violation>) {
    let (from, to) = (previous.media_sequence, next.media_sequence);
    let listed = previous.segments.len();
    let Some(removed) =
        to.checked_sub(from).and_then(|removed| usize::try_from(removed).ok()).filter(|removed| *removed <= listed)
    else {
        found.push(Violation::MediaSequence { from, to, listed });
        return;
    };
    let (gone, kept) = previous.segments.split_at(removed);
    check_discontinuities(previous, gone, next, found);
    if kept.is_empty() {
        // Nothing of the old list is left: a new session may have its own target, also after an end (decision D9).
        return;
    }
    if previous.end_list && next != previous {
        found.push(Violation::ChangedAfterEnd);
    }
    let (old, new) = (previous.target_duration_s, next.target_duration_s);
    if new < old {
        found.push(Violation::TargetFell { from: old, to: new });
    } else if new > old {
        found.push(Violation::TargetRose { from: old, to: new });
    }
    if next.segments.len() < kept.len() {
        let end = |list: &MediaPlaylist| list.media_sequence.saturating_add(list.segments.len() as u64);
        found.push(Violation::Shortened { from: end(previous), to: end(next) });
    }
    for ((before, now), sequence) in kept.iter().zip(&next.segments).zip(to..) {
        // A date may appear when a segment becomes the first, but it never moves.
        let same_date = match (before.program_date_time_ms, now.program_date_time_ms) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        };
        if before.uri != now.uri
            || before.duration_ms != now.duration_ms
            || before.discontinuity != now.discontinuity
            || !same_date
        {
            found.push(Violation::SegmentChanged { sequence });
        }
    }
    if removed > 0 {
        let total_ms = next.segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.duration_ms));
        let wanted_ms = u64::from(next.target_duration_s) * 3000;
        if total_ms < wanted_ms {
            found.push(Violation::ShortWindow { total_ms, wanted_ms });
        }
    }
}

fn check_discontinuities(
    previous: &MediaPlaylist,
    gone: &[super::PlaylistSegment],
    next: &MediaPlaylist,
    found: &mut Vec<Violation>,
) {
    let removed = gone.iter().filter(|segment| segment.discontinuity).count() as u64;
    let expected = previous.discontinuity_sequence.unwrap_or(0).saturating_add(removed);
    let sequence = next.discontinuity_sequence.unwrap_or(0);
    if sequence != expected {
        found.push(Violation::DiscontinuitySequence { expected, found: sequence });
    }
}

#[cfg(test)]
mod tests {
    use super::super::PlaylistSegment;
    use super::*;

    /// `first` is the media sequence, each segment `(uri, ms, discontinuity)`.
    fn list(first: u64, discontinuities: u64, target: u32, segments: &[(&str, u64, bool)]) -> MediaPlaylist {
        MediaPlaylist {
            media_sequence: first,
            discontinuity_sequence: (discontinuities > 0).then_some(discontinuities),
            target_duration_s: target,
            segments: segments
                .iter()
                .map(|(uri, duration_ms, discontinuity)| PlaylistSegment {
                    uri: (*uri).to_owned(),
                    duration_ms: *duration_ms,
                    discontinuity: *discontinuity,
                    program_date_time_ms: None,
                })
                .collect(),
            end_list: false,
            ..MediaPlaylist::default()
        }
    }

    fn check(name: &str, previous: Option<&MediaPlaylist>, next: &MediaPlaylist, expected: &[Violation]) {
        assert_eq!(violations(previous, next), expected, "{name}");
    }

    #[test]
    fn alone() {
        check("good", None, &list(0, 0, 5, &[("a", 5_499, false)]), &[]);
        let long = Violation::BeyondTarget { uri: "a".to_owned(), duration_ms: 5_500, target_s: 5 };
        check("too long", None, &list(0, 0, 5, &[("a", 5_500, false)]), &[long]);
        check("empty", None, &list(0, 0, 0, &[]), &[Violation::Empty, Violation::NoTarget]);
        check("twice", None, &list(0, 0, 5, &[("a", 1, false), ("a", 1, false)]), &[Violation::Twice("a".to_owned())]);
        check("URI", None, &list(0, 0, 5, &[("a\nb", 1, false)]), &[Violation::BadUri("a\nb".to_owned())]);
        let mut dated = list(0, 0, 5, &[("a", 1, false), ("b", 1, true)]);
        dated.segments[0].program_date_time_ms = Some(1);
        check("date missing", None, &dated, &[Violation::Undated("b".to_owned())]);
    }

    #[test]
    fn succession() {
        let old = list(7, 1, 2, &[("a", 2000, true), ("b", 2000, false), ("c", 2000, false)]);
        let after = |first, discontinuities, target, segments: &[_]| list(first, discontinuities, target, segments);
        let (b, c, d) = (("b", 2000, false), ("c", 2000, false), ("d", 2000, false));
        check("slides", Some(&old), &after(8, 2, 2, &[b, c, d]), &[]);
        check("grows", Some(&old), &after(7, 1, 2, &[("a", 2000, true), b, c, d]), &[]);
        check("fresh list", Some(&old), &after(10, 2, 9, &[("x", 9000, true)]), &[]);
        check(
            "a segment is skipped",
            Some(&old),
            &after(11, 2, 2, &[d]),
            &[Violation::MediaSequence { from: 7, to: 11, listed: 3 }],
        );
        check(
            "runs backwards",
            Some(&old),
            &after(6, 1, 2, &[b]),
            &[Violation::MediaSequence { from: 7, to: 6, listed: 3 }],
        );
        check(
            "discontinuity not counted",
            Some(&old),
            &after(8, 1, 2, &[b, c, d]),
            &[Violation::DiscontinuitySequence { expected: 2, found: 1 }],
        );
        check(
            "segment changed",
            Some(&old),
            &after(8, 2, 2, &[b, ("c", 2040, false), d]),
            &[Violation::SegmentChanged { sequence: 9 }],
        );
        check(
            "target falls",
            Some(&old),
            &after(8, 2, 1, &[b, c, d]),
            &[
                Violation::BeyondTarget { uri: "b".to_owned(), duration_ms: 2000, target_s: 1 },
                Violation::BeyondTarget { uri: "c".to_owned(), duration_ms: 2000, target_s: 1 },
                Violation::BeyondTarget { uri: "d".to_owned(), duration_ms: 2000, target_s: 1 },
                Violation::TargetFell { from: 2, to: 1 },
            ],
        );
        check(
            "target rises",
            Some(&old),
            &after(8, 2, 3, &[b, c, ("d", 3000, false), ("e", 3000, false)]),
            &[Violation::TargetRose { from: 2, to: 3 }],
        );
        check(
            "short window",
            Some(&old),
            &after(9, 2, 2, &[c, d]),
            &[Violation::ShortWindow { total_ms: 4000, wanted_ms: 6000 }],
        );
        check(
            "shortened",
            Some(&old),
            &after(7, 1, 2, &[("a", 2000, true), b]),
            &[Violation::Shortened { from: 10, to: 9 }],
        );
        let mut ended = old.clone();
        ended.end_list = true;
        check("end", Some(&old), &ended, &[]);
        check("the same after the end", Some(&ended), &ended, &[]);
        check("change after the end", Some(&ended), &after(8, 2, 2, &[b, c, d]), &[Violation::ChangedAfterEnd]);
    }
}
