//! Parameters of the LiveChannel operations (LiveChannel 0.4, 1.2, 5.1).

use super::query::{parse_decimal, shown};
use super::{Query, Route};
use model::ChannelStatus;
use model::OperationKind;
use model::name::{ChannelName, ObjectKey};
use model::{Error, ErrorCode, Result};

/// The longest span of a VOD playlist, seconds.
const MAX_SPAN_SECONDS: u64 = 86_400;

/// The channel that a `live` or `vod` request names, in at most `max_bytes`.
///
/// # Errors
/// `InvalidArgument` with EC 0017-00000257 to 260, for GetVodPlaylist 0044-00000302. For the channel of
/// PostVodPlaylist see [`PlaylistTarget`].
pub fn parse_channel(route: &Route, max_bytes: usize) -> Result<ChannelName> {
    let path = route.channel_path.as_deref().unwrap_or_default();
    ChannelName::parse_within(path, max_bytes).map_err(|error| match route.kind {
        OperationKind::GetVodPlaylist => error.message("The live channel name is invalid.").ec("0044-00000302"),
        _ => error,
    })
}

/// Refuses a `comp` that means nothing. To be called after the channel's name was accepted.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_comp(query: &Query) -> Result<()> {
    match query.first("comp") {
        None | Some("stat" | "history") => Ok(()),
        Some(other) => Err(Error::argument("comp", shown(other), "The comp parameter must be stat or history.")),
    }
}

/// The status that PutLiveChannelStatus sets (LiveChannel 1.2).
///
/// # Errors
/// `InvalidArgument` with EC 0017-00000255.
pub fn parse_channel_status(query: &Query) -> Result<ChannelStatus> {
    let text = query.first("status").unwrap_or_default();
    ChannelStatus::parse(text).ok_or_else(|| {
        Error::argument("status", shown(text), "The live channel status must be enabled or disabled.")
            .ec("0017-00000255")
    })
}

/// What PostVodPlaylist names: a channel, and the object that receives the playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistTarget {
    /// The part before the last `/`.
    pub channel: ChannelName,
    /// The part after the last `/`.
    pub playlist: String,
    /// Both.
    pub key: ObjectKey,
}

impl PlaylistTarget {
    /// Reads the path of PostVodPlaylist; the channel's name has at most `max_bytes`.
    ///
    /// # Errors
    /// `InvalidArgument` about the channel, then `InvalidRequest` with EC 0044-00000403 about the playlist.
    pub fn parse(route: &Route, max_bytes: usize) -> Result<Self> {
        let path = route.channel_path.as_deref().unwrap_or_default();
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(path.len());
        let (channel, rest) = path.split_at_checked(slash).unwrap_or((path, &[]));
        let channel = ChannelName::parse_within(channel, max_bytes)?;
        let refuse = || {
            Error::new(ErrorCode::InvalidRequest).message("Playlist name must ends with \".m3u8\".").ec("0044-00000403")
        };
        let playlist = rest.strip_prefix(b"/").and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(refuse)?;
        let key = ObjectKey::parse(path).map_err(|_| refuse())?;
        if playlist.ends_with(".m3u8") {
            Ok(Self { channel, playlist: playlist.to_owned(), key })
        } else {
            Err(refuse())
        }
    }
}

/// The span of a VOD playlist, unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VodParameters {
    /// The first second.
    pub start_s: u64,
    /// The last second.
    pub end_s: u64,
}

impl VodParameters {
    /// Reads `startTime` and `endTime`.
    ///
    /// # Errors
    /// `InvalidArgument` with EC 0044-00000304 to 307, in that order.
    pub fn parse(query: &Query) -> Result<Self> {
        let second = |name: &'static str, ec: &'static str, message: &'static str| {
            let text = query.first(name).unwrap_or_default();
            parse_decimal(text).ok_or_else(|| Error::argument(name, shown(text), message).ec(ec))
        };
        let start_s = second("startTime", "0044-00000304", "startTime is missing or invalid.")?;
        let end_s = second("endTime", "0044-00000305", "endTime is missing or invalid.")?;
        let Some(span) = end_s.checked_sub(start_s) else {
            let message = "startTime must not be later than endTime.";
            return Err(Error::argument("startTime", start_s.to_string(), message).ec("0044-00000306"));
        };
        if span > MAX_SPAN_SECONDS {
            let message = "The time span must not exceed one day.";
            return Err(Error::argument("endTime", end_s.to_string(), message).ec("0044-00000307"));
        }
        Ok(Self { start_s, end_s })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Addressing, RawRequest, route};
    use super::*;
    use proptest::prelude::*;

    fn find(method: &str, target: &str) -> Route {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let raw = RawRequest {
            method: method.into(),
            host: "bkt.localhost".into(),
            path: path.into(),
            query: query.into(),
            ..RawRequest::default()
        };
        route(&raw, &Addressing::default()).unwrap()
    }

    #[test]
    fn spans_name_the_broken_rule() {
        for (raw, ec) in [
            ("vod&startTime=1&endTime=1", None),
            ("startTime=0&endTime=86400", None),
            ("endTime=1", Some("0044-00000304")),
            ("startTime=&endTime=x", Some("0044-00000304")),
            ("startTime=-1&endTime=1", Some("0044-00000304")),
            ("startTime=1&endTime=1.5", Some("0044-00000305")),
            ("startTime=1", Some("0044-00000305")),
            ("startTime=2&endTime=1", Some("0044-00000306")),
            ("startTime=0&endTime=86401", Some("0044-00000307")),
            ("startTime=1&endTime=99999999999999999999999", Some("0044-00000305")),
        ] {
            assert_eq!(VodParameters::parse(&Query::parse(raw)).err().and_then(|e| e.ec), ec, "{raw}");
        }
    }

    #[test]
    fn playlists_are_split_at_the_last_slash() {
        for (target, expected) in [
            ("/lc%2Ftest.m3u8?vod", Ok(("lc", "test.m3u8"))),
            ("/lc/.m3u8?vod", Ok(("lc", ".m3u8"))),
            ("/?vod", Err("0017-00000257")),
            ("/a/b/c.m3u8?vod", Err("0017-00000260")),
            ("/lc/test.txt?vod", Err("0044-00000403")),
            ("/test.m3u8?vod", Err("0044-00000403")),
            ("/lc/?vod", Err("0044-00000403")),
            ("/lc/%ff.m3u8?vod", Err("0044-00000403")),
            ("/%2Ftest.m3u8?vod", Err("0017-00000257")),
        ] {
            let found = PlaylistTarget::parse(&find("POST", target), ChannelName::DEFAULT_MAX_BYTES);
            let found = found.as_ref().map(|t| (t.channel.as_str(), t.playlist.as_str())).map_err(|e| e.ec.unwrap());
            assert_eq!(found, expected, "{target}");
        }
        let long = format!("/lc/{}.m3u8?vod", "a".repeat(1020));
        let long = PlaylistTarget::parse(&find("POST", &long), ChannelName::DEFAULT_MAX_BYTES);
        assert_eq!(long.unwrap_err().ec, Some("0044-00000403"));
    }

    #[test]
    fn channels_are_named_in_the_path() {
        for (method, target, ec) in [
            ("PUT", "/%E6%B5%8B%E8%AF%95?live", None),
            ("PUT", "/?live", Some("0017-00000257")),
            ("GET", "/?live&comp=stat", Some("0017-00000257")),
            ("GET", "/?live&comp=", Some("0017-00000257")),
            ("DELETE", &format!("/{}?live", "a".repeat(65)), Some("0017-00000258")),
            ("GET", "/a%2Fb?live", Some("0017-00000260")),
            ("GET", "/a%2Fb?vod", Some("0044-00000302")),
        ] {
            let parsed = parse_channel(&find(method, target), ChannelName::DEFAULT_MAX_BYTES);
            assert_eq!(parsed.err().and_then(|e| e.ec), ec, "{method} {target}");
        }
    }

    #[test]
    fn statuses_are_spelled_exactly() {
        for (raw, ok) in
            [("status=enabled", true), ("status=disabled", true), ("status=idle", false), ("status", false)]
        {
            let found = parse_channel_status(&Query::parse(raw));
            assert_eq!(found.is_ok(), ok, "{raw}");
            assert!(found.is_ok() || found.unwrap_err().ec == Some("0017-00000255"));
        }
        assert!(check_comp(&Query::parse("live&comp=stat")).is_ok());
        assert!(check_comp(&Query::parse("live&comp=x")).is_err());
        assert!(check_comp(&Query::parse("live&comp")).is_err());
    }

    proptest! {
        #[test]
        fn any_path_is_a_target_or_not(path in "/[a-z/%0-9A-F.]{0,20}", value: String) {
            let route = find("POST", &format!("{path}?vod"));
            let _ = (PlaylistTarget::parse(&route, 63), parse_channel(&route, 63));
            let query = Query::parse(&format!("startTime={value}&endTime={value}&status={value}&comp={value}"));
            let _ = (VodParameters::parse(&query), parse_channel_status(&query), check_comp(&query));
        }
    }
}
