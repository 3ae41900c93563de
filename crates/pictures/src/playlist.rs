//! Where in a recording a moment lies: the segments that a media playlist lists (RFC 8216 4.3.2.1).

/// A segment of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Milliseconds of the segments before it.
    pub start_ms: u64,
    /// Its own duration in milliseconds.
    pub duration_ms: u64,
    /// Where it is, as the playlist says it.
    pub uri: String,
}

/// No segment is longer: sums stay far from the end of the numbers.
const MAX_SEGMENT_MS: u64 = 24 * 3600 * 1000;

/// The segments of a media playlist, at most `most`. Empty for what is no playlist, and for one of playlists.
pub fn listed(text: &str, most: usize) -> Vec<Listed> {
    let mut lines = text.lines().map(str::trim);
    if lines.next().is_none_or(|first| first.trim_start_matches('\u{feff}') != "#EXTM3U") {
        return Vec::new();
    }
    let (mut found, mut start_ms, mut duration) = (Vec::new(), 0_u64, None);
    for line in lines {
        if let Some(info) = line.strip_prefix("#EXTINF:") {
            duration = milliseconds(info.split(',').next().unwrap_or_default());
        } else if !line.is_empty() && !line.starts_with('#') {
            // Without a duration it is a playlist, or nothing that can be found in time.
            let Some(duration_ms) = duration.take() else { continue };
            if found.len() >= most {
                break;
            }
            found.push(Listed { start_ms, duration_ms, uri: line.to_owned() });
            start_ms = start_ms.saturating_add(duration_ms);
        }
    }
    found
}

/// Decimal seconds as milliseconds, what is finer cut off.
fn milliseconds(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let thousandths: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    Some(seconds.checked_mul(1000)?.saturating_add(thousandths).min(MAX_SEGMENT_MS))
}

/// The segment that shows a moment, and the moment within it; beyond the end the last segment. `None` for no segments.
pub fn segment_at(segments: &[Listed], time_ms: u64) -> Option<(&Listed, u64)> {
    let index = segments.partition_point(|segment| segment.start_ms <= time_ms).checked_sub(1)?;
    let segment = segments.get(index)?;
    Some((segment, time_ms.saturating_sub(segment.start_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2.000,\na.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.04,title\n\nb.ts\n#EXTINF:3\nc.ts\n#EXT-X-ENDLIST\n";

    #[test]
    fn moments_are_found() {
        let segments = listed(TEXT, 10);
        for (ms, uri, within) in
            [(0, "a.ts", 0), (1999, "a.ts", 1999), (2000, "b.ts", 0), (3040, "c.ts", 0), (99_999, "c.ts", 96_959)]
        {
            let found = segment_at(&segments, ms).map(|(segment, within)| (segment.uri.as_str(), within));
            assert_eq!(found, Some((uri, within)), "{ms}");
        }
        assert_eq!(listed(TEXT, 2).len(), 2);
        assert_eq!(segment_at(&[], 0), None);
    }

    #[test]
    fn what_is_no_media_playlist_lists_nothing() {
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
        for text in
            ["", "a.ts", "#EXTINF:1,\na.ts\n", master, "#EXTM3U\n#EXTINF:-1,\na.ts\n", "#EXTM3U\n#EXTINF:x,\na.ts"]
        {
            assert!(listed(text, 10).is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(#EXTM3U\n)?(#EXTINF:[0-9.]{0,22},?\n|[a-z#é.\n]{0,9})*", time in any::<u64>()) {
            let segments = listed(&text, 100);
            prop_assert!(segments.windows(2).all(|pair| pair[0].start_ms <= pair[1].start_ms));
            let _ = segment_at(&segments, time);
        }
    }
}
