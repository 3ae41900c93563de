//! Apple's authoring rules for HLS, as far as a playlist and the answer that brings it can be judged by themselves.

use std::collections::HashSet;
use thiserror::Error;

/// What a playlist, or the answer that brought it, does against the rules.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AuthoringIssue {
    /// It does not begin with EXTM3U (RFC 8216 4.3.1.1).
    #[error("the first line is not #EXTM3U")]
    NoHeader,
    /// A tag that is to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A tag that is to be there once.
    #[error("{0} stands there twice")]
    Repeated(&'static str),
    /// A value that cannot be read.
    #[error("line {line} cannot be read: {text}")]
    Unreadable {
        /// Counted from 1.
        line: usize,
        /// The line, cut where it is long.
        text: String,
    },
    /// A URI without EXTINF before it (RFC 8216 4.3.2.1).
    #[error("line {0} names a segment without EXTINF")]
    NoDuration(usize),
    /// A segment that rounds to more than the target (RFC 8216 4.3.3.1).
    #[error("{uri} lasts {duration_s:.3} s, the target is {target_s} s")]
    BeyondTarget {
        /// The segment.
        uri: String,
        /// EXTINF.
        duration_s: f64,
        /// TARGETDURATION.
        target_s: u64,
    },
    /// A target above ten seconds; six are recommended.
    #[error("a target of {0} s is long; 6 s are recommended")]
    LongTarget(u64),
    /// A live list with fewer than six segments.
    #[error("a live list has six segments at least; here are {0}")]
    FewSegments(usize),
    /// The same segment twice.
    #[error("{0} is listed twice")]
    Twice(String),
    /// A variant without an attribute that players choose by.
    #[error("a variant has no {0}")]
    Variant(&'static str),
    /// Another media type than those of playlists.
    #[error("the media type is {0:?}; application/vnd.apple.mpegurl is expected")]
    MediaType(String),
    /// Text that is not compressed though the client asked.
    #[error("the playlist is not sent with gzip to a client that takes it")]
    NotCompressed,
}

/// No more lines than this are looked at.
const MAX_LINES: usize = 200_000;

/// What a playlist does against the rules, in the order of its lines. A master list is judged by its variants, a media list
/// with EXT-X-ENDLIST as VOD, one without as live.
pub fn authoring_issues(text: &str) -> Vec<AuthoringIssue> {
    let mut seen = PlaylistFacts::default();
    for (line, number) in text.lines().take(MAX_LINES).zip(1..) {
        seen.line(line.trim_end(), number);
    }
    seen.finish()
}

/// What the answer that brought a playlist does against the rules: its Content-Type, and whether it was compressed for a
/// client that takes gzip.
pub fn authoring_issues_of_answer(content_type: &str, is_gzip: bool) -> Vec<AuthoringIssue> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut issues = Vec::new();
    if kind != "application/vnd.apple.mpegurl" && kind != "audio/mpegurl" {
        issues.push(AuthoringIssue::MediaType(short(content_type)));
    }
    if !is_gzip {
        issues.push(AuthoringIssue::NotCompressed);
    }
    issues
}

#[derive(Default)]
struct PlaylistFacts<'a> {
    issues: Vec<AuthoringIssue>,
    tags: HashSet<&'a str>,
    target_s: Option<u64>,
    duration_s: Option<f64>,
    segments: Vec<(&'a str, f64)>,
    variants: usize,
}

/// Tags that stand once in a list.
const ONCE: [&str; 7] = [
    "#EXT-X-VERSION",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    "#EXT-X-ENDLIST",
];

impl<'a> PlaylistFacts<'a> {
    fn line(&mut self, line: &'a str, number: usize) {
        if number == 1 && line != "#EXTM3U" {
            self.issues.push(AuthoringIssue::NoHeader);
        }
        if line.is_empty() || line.starts_with('#') && !line.starts_with("#EXT") {
            return;
        }
        if !line.starts_with('#') {
            self.uri(line, number);
            return;
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        if !self.tags.insert(tag)
            && let Some(once) = ONCE.into_iter().find(|once| *once == tag)
        {
            self.issues.push(AuthoringIssue::Repeated(once));
        }
        match tag {
            "#EXT-X-TARGETDURATION" => match value.parse() {
                Ok(target) => self.target_s = Some(target),
                Err(_) => self.unreadable(line, number),
            },
            "#EXTINF" => match value.split(',').next().unwrap_or_default().parse::<f64>() {
                Ok(duration) if duration.is_finite() && duration >= 0.0 => self.duration_s = Some(duration),
                _ => self.unreadable(line, number),
            },
            "#EXT-X-STREAM-INF" => self.variant(value),
            _ => {}
        }
    }

    fn uri(&mut self, uri: &'a str, number: usize) {
        if self.variants > 0 {
            return;
        }
        match self.duration_s.take() {
            Some(duration) => self.segments.push((uri, duration)),
            None => self.issues.push(AuthoringIssue::NoDuration(number)),
        }
    }

    fn variant(&mut self, attributes: &str) {
        self.variants += 1;
        for name in ["BANDWIDTH", "CODECS", "RESOLUTION"] {
            let has = attributes
                .match_indices(name)
                .any(|(at, _)| attributes[at + name.len()..].starts_with('=') && !attributes[..at].ends_with('-'));
            if !has {
                self.issues.push(AuthoringIssue::Variant(name));
            }
        }
    }

    fn unreadable(&mut self, text: &str, line: usize) {
        self.issues.push(AuthoringIssue::Unreadable { line, text: short(text) });
    }

    fn finish(mut self) -> Vec<AuthoringIssue> {
        if self.variants > 0 {
            self.require("#EXT-X-INDEPENDENT-SEGMENTS");
            return self.issues;
        }
        let is_vod = self.tags.contains("#EXT-X-ENDLIST");
        for tag in ["#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-INDEPENDENT-SEGMENTS"] {
            self.require(tag);
        }
        if is_vod {
            self.require("#EXT-X-PLAYLIST-TYPE");
        } else {
            for tag in ["#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-PROGRAM-DATE-TIME"] {
                self.require(tag);
            }
            if self.segments.len() < 6 {
                self.issues.push(AuthoringIssue::FewSegments(self.segments.len()));
            }
        }
        self.check_durations();
        self.issues
    }

    fn require(&mut self, tag: &'static str) {
        if !self.tags.contains(tag) {
            self.issues.push(AuthoringIssue::Missing(tag));
        }
    }

    fn check_durations(&mut self) {
        let mut names = HashSet::new();
        for (uri, duration_s) in &self.segments {
            if !names.insert(*uri) {
                self.issues.push(AuthoringIssue::Twice(short(uri)));
            }
            // Seconds of playlists are far below what a double counts exactly.
            #[expect(clippy::cast_precision_loss)]
            if let Some(target_s) = self.target_s.filter(|target| duration_s.round() > *target as f64) {
                let duration_s = *duration_s;
                self.issues.push(AuthoringIssue::BeyondTarget { uri: short(uri), duration_s, target_s });
            }
        }
        if let Some(target_s) = self.target_s.filter(|target| *target > 10) {
            self.issues.push(AuthoringIssue::LongTarget(target_s));
        }
    }
}

/// Text of a peer, cut to what a person reads.
fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{LiveSegment, LiveWindow, VodSegment, vod_list};
    use super::AuthoringIssue::*;
    use super::*;
    use proptest::prelude::*;

    fn window(segments: u64, independent: bool) -> LiveWindow {
        let mut window = LiveWindow::default();
        window.begin_session(6, 2, false);
        for number in 0..segments {
            window.push(LiveSegment {
                uri: format!("{number}.ts"),
                duration_ms: 2_000,
                discontinuity: number == 3,
                program_date_time_ms: Some(1_893_456_000_000),
                independent,
            });
        }
        window
    }

    fn render(window: &LiveWindow) -> String {
        window.playlist().map(|list| list.render()).unwrap_or_default()
    }

    #[test]
    fn live_lists_of_ours_keep_the_rules() {
        assert_eq!(authoring_issues(&render(&window(6, true))), []);
        assert_eq!(authoring_issues(&render(&window(30, true))), []);
        assert_eq!(authoring_issues(&render(&window(5, true))), [FewSegments(5)]);
        assert_eq!(authoring_issues(&render(&window(6, false))), [Missing("#EXT-X-INDEPENDENT-SEGMENTS")]);
    }

    #[test]
    fn vod_lists_of_ours_with_apples_tags_keep_the_rules() {
        let segment = VodSegment { uri: "a.ts".to_owned(), duration_ms: 2_000, ..VodSegment::default() };
        let mut list = vod_list(&[segment], false);
        assert_eq!(
            authoring_issues(&list.render()),
            [Missing("#EXT-X-INDEPENDENT-SEGMENTS"), Missing("#EXT-X-PLAYLIST-TYPE"),]
        );
        (list.is_vod, list.independent_segments) = (true, true);
        assert_eq!(authoring_issues(&list.render()), []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = "#EXT-X-VERSION:3\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:12\n\
                     #EXT-X-PLAYLIST-TYPE:VOD\nx.ts\n#EXTINF:abc,\n#EXTINF:12.6,\na.ts\n#EXTINF:2,\na.ts\n#EXT-X-ENDLIST\n";
        assert_eq!(
            authoring_issues(wrong),
            [
                NoHeader,
                Repeated("#EXT-X-VERSION"),
                NoDuration(6),
                Unreadable { line: 7, text: "#EXTINF:abc,".to_owned() },
                BeyondTarget { uri: "a.ts".to_owned(), duration_s: 12.6, target_s: 12 },
                Twice("a.ts".to_owned()),
                LongTarget(12),
            ]
        );
        let master =
            "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1,RESOLUTION=1x1\na.m3u8\n";
        assert_eq!(authoring_issues(master), [Variant("BANDWIDTH"), Variant("CODECS")]);
    }

    #[test]
    fn answers_are_typed_and_compressed() {
        assert_eq!(authoring_issues_of_answer("application/vnd.apple.mpegurl", true), []);
        assert_eq!(authoring_issues_of_answer("application/vnd.apple.mpegurl; charset=utf-8", true), []);
        assert_eq!(
            authoring_issues_of_answer("application/x-mpegURL", false),
            [MediaType("application/x-mpegURL".to_owned()), NotCompressed,]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(#EXT[A-Z-]{0,12}:?[0-9a-zé=,.]{0,12}\n|[ -~é]{0,20}\n){0,40}") {
            let _ = authoring_issues(&text);
        }
    }
}
