//! The text of media playlists (RFC 8216 4), in the tag order of OSS (LiveChannel 4.4, 5.3).

use std::fmt::{self, Display, Formatter};

use ::time::UtcDateTime;

/// One media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// Number of the first segment (RFC 8216 4.3.3.2).
    pub media_sequence: u64,
    /// Discontinuities that have left the list (RFC 8216 4.3.3.3); the tag is absent for `None`.
    pub discontinuity_sequence: Option<u64>,
    /// Upper bound of the rounded segment durations, in seconds (RFC 8216 4.3.3.1).
    pub target_duration_s: u32,
    /// The segments, oldest first.
    pub segments: Vec<PlaylistSegment>,
    /// Whether nothing will be added any more (RFC 8216 4.3.3.4).
    pub end_list: bool,
    /// Whether it says that each segment can be decoded without any other (RFC 8216 4.3.5.1).
    pub independent_segments: bool,
    /// Whether it says that it is a VOD list (RFC 8216 4.3.3.5).
    pub is_vod: bool,
}

/// One segment of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaylistSegment {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// Its duration in milliseconds.
    pub duration_ms: u64,
    /// Whether it does not continue the one before (RFC 8216 4.3.2.3).
    pub discontinuity: bool,
    /// Wall-clock time of its first frame in Unix milliseconds (RFC 8216 4.3.2.6); the tag is absent for `None`.
    pub program_date_time_ms: Option<i64>,
}

impl MediaPlaylist {
    /// The text, with LF endings and one at the end.
    pub fn render(&self) -> String {
        self.to_string()
    }
}

impl Display for MediaPlaylist {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("#EXTM3U\n#EXT-X-VERSION:3\n")?;
        if self.independent_segments {
            out.write_str("#EXT-X-INDEPENDENT-SEGMENTS\n")?;
        }
        if self.is_vod {
            out.write_str("#EXT-X-PLAYLIST-TYPE:VOD\n")?;
        }
        writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", self.media_sequence)?;
        if let Some(sequence) = self.discontinuity_sequence {
            writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}")?;
        }
        writeln!(out, "#EXT-X-TARGETDURATION:{}", self.target_duration_s)?;
        for segment in &self.segments {
            if segment.discontinuity {
                out.write_str("#EXT-X-DISCONTINUITY\n")?;
            }
            if let Some(ms) = segment.program_date_time_ms {
                writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", UtcTime(ms))?;
            }
            let (seconds, ms) = (segment.duration_ms / 1000, segment.duration_ms % 1000);
            writeln!(out, "#EXTINF:{seconds}.{ms:03},\n{}", segment.uri)?;
        }
        if self.end_list {
            out.write_str("#EXT-X-ENDLIST\n")?;
        }
        Ok(())
    }
}

/// A duration as the standard compares it with the target: rounded to the nearest second (RFC 8216 4.3.3.1).
pub(super) fn rounded_s(duration_ms: u64) -> u32 {
    u32::try_from(duration_ms.saturating_add(500) / 1000).unwrap_or(u32::MAX)
}

/// One segment of a VOD playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VodSegment {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// Its duration in milliseconds.
    pub duration_ms: u64,
    /// Which session it belongs to; any number that differs between sessions.
    pub session: u64,
    /// Whether it was marked discontinuous within its session.
    pub discontinuity: bool,
    /// Wall-clock time of its first frame in Unix milliseconds.
    pub start_ms: i64,
}

/// The text of a VOD playlist over `segments` (LiveChannel 5.3), with PROGRAM-DATE-TIME on the first segment and after
/// discontinuities where `program_date_time` (decision D10).
pub fn vod_playlist(segments: &[VodSegment], program_date_time: bool) -> String {
    vod_list(segments, program_date_time).render()
}

/// The same as a value, to which tags may be added before it is rendered (`is_vod`, `independent_segments`).
pub fn vod_list(segments: &[VodSegment], program_date_time: bool) -> MediaPlaylist {
    let mut before: Option<&VodSegment> = None;
    let listed = segments.iter().map(|segment| {
        let discontinuity = before.is_some_and(|before| before.session != segment.session || segment.discontinuity);
        let dated = program_date_time && (before.is_none() || discontinuity);
        before = Some(segment);
        PlaylistSegment {
            uri: segment.uri.clone(),
            duration_ms: segment.duration_ms,
            discontinuity,
            program_date_time_ms: dated.then_some(segment.start_ms),
        }
    });
    MediaPlaylist {
        media_sequence: 0,
        discontinuity_sequence: None,
        segments: listed.collect(),
        target_duration_s: segments.iter().map(|segment| rounded_s(segment.duration_ms)).max().unwrap_or(0).max(1),
        end_list: true,
        ..MediaPlaylist::default()
    }
}

/// Unix milliseconds as ISO 8601 in UTC.
struct UtcTime(i64);

impl Display for UtcTime {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let nearest = if self.0 < 0 { UtcDateTime::MIN } else { UtcDateTime::MAX };
        let moment = UtcDateTime::from_unix_timestamp(self.0.div_euclid(1000)).unwrap_or(nearest);
        let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.as_hms());
        let (month, ms) = (u8::from(month), self.0.rem_euclid(1000));
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vod(uri: &str, duration_ms: u64, session: u64, start_ms: i64) -> VodSegment {
        VodSegment { uri: uri.to_owned(), duration_ms, session, discontinuity: false, start_ms }
    }

    #[test]
    fn vod_fixture_of_livechannel_10_is_byte_exact() {
        let segments = [vod("1543895706266.ts", 7_120, 1, 0), vod("1543895706468.ts", 13_320, 1, 0)];
        let text = vod_playlist(&segments, false);
        assert_eq!(text.len(), 154);
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:13\n#EXTINF:7.120,\n\
             1543895706266.ts\n#EXTINF:13.320,\n1543895706468.ts\n#EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn apples_tags_are_there_when_they_are_asked_for() {
        let list =
            MediaPlaylist { is_vod: true, independent_segments: true, ..vod_list(&[vod("a.ts", 2_000, 1, 0)], false) };
        assert_eq!(
            list.render(),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\na.ts\n#EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn vod_lists_mark_where_sessions_meet() {
        let mut flagged = vod("c.ts", 400, 2, 3);
        flagged.discontinuity = true;
        let mut first = vod("a.ts", 400, 1, 1_543_895_706_266);
        first.discontinuity = true;
        let text = vod_playlist(&[first, vod("b.ts", 400, 2, 1_543_895_706_468), flagged], true);
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:1\n\
             #EXT-X-PROGRAM-DATE-TIME:2018-12-04T03:55:06.266Z\n#EXTINF:0.400,\na.ts\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2018-12-04T03:55:06.468Z\n#EXTINF:0.400,\nb.ts\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.003Z\n#EXTINF:0.400,\nc.ts\n\
             #EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn live_fixture_of_livechannel_4_4() {
        let segment =
            |uri: &str, duration_ms| PlaylistSegment { uri: uri.to_owned(), duration_ms, ..Default::default() };
        let playlist = MediaPlaylist {
            media_sequence: 7,
            target_duration_s: 5,
            segments: vec![
                segment("1893456035123.ts", 5_000),
                segment("1893456040163.ts", 5_040),
                segment("1893456045210.ts", 4_960),
            ],
            ..Default::default()
        };
        assert_eq!(
            playlist.render(),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n\
             1893456035123.ts\n#EXTINF:5.040,\n1893456040163.ts\n#EXTINF:4.960,\n1893456045210.ts\n"
        );
    }

    #[test]
    fn dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_893_456_035_123, "2030-01-01T00:00:35.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(UtcTime(ms).to_string(), text);
        }
    }
}
