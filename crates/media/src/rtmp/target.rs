//! What a publish wants to publish to: bucket, channel and parameters, wherever the client put them (LiveChannel 3.7 and
//! 3.8, quirk Q2).

use thiserror::Error;

use super::url::split_authority;

/// The word that every path has as its application.
const APP: &str = "live";

/// A place where a client can put parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterPlace {
    /// The publish name, also when a slash in it has moved a part to the application.
    Name,
    /// The application.
    App,
    /// The URL of the application.
    TcUrl,
}

/// A parsed publish name, together with what `connect` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishTarget {
    /// The host of `tcUrl` in lower case, an IPv6 address without brackets. `None` when there is no readable one.
    pub host: Option<String>,
    /// The port of `tcUrl`.
    pub port: Option<u16>,
    /// The bucket that the path names.
    pub bucket: Option<String>,
    /// The channel: percent-decoded, without the prefix `mp4:` or `flv:`.
    pub channel: String,
    /// The names to look up, in that order, the first being `channel` (LiveChannel 3.8, step 6).
    pub channel_variants: Vec<String>,
    /// The parameters, decoded, in the order name, application, `tcUrl`; each name once, the first of several.
    pub parameters: Vec<(String, String)>,
    /// Where parameters were found, for the session report.
    pub parameter_places: Vec<ParameterPlace>,
}

/// Why a publish has no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The path names no channel.
    #[error("the publish name is empty")]
    NoChannel,
    /// The path has another shape than `live/channel`, `bucket/live/channel` or `live/bucket/channel`.
    #[error("unknown application: the path is live/channel or bucket/live/channel")]
    UnknownApplication,
    /// A segment holds an encoded slash.
    #[error("bucket and channel cannot contain a slash")]
    SlashInSegment,
}

impl PublishTarget {
    /// Joins what the client split, in any of the known ways. The lengths of the arguments are the caller's to bound.
    pub fn parse(app: &str, tc_url: &str, name: &str) -> Result<Self, TargetError> {
        let app = app.trim_start_matches('/');
        let name = name.trim_start_matches('/');
        let (host, port, tc_query) = split_tc_url(tc_url);

        let (path, queries) = match app.split_once('?') {
            Some((head, query)) if is_whole_app(head) => {
                let (name_path, name_query) = split_query(name);
                (
                    format!("{head}/{name_path}"),
                    vec![(ParameterPlace::Name, name_query.to_owned()), (ParameterPlace::App, query.to_owned())],
                )
            }
            _ => {
                // A raw slash in the query makes ffmpeg cut there, so both parts are one again before they are read.
                let joined = if name.is_empty() { app.to_owned() } else { format!("{app}/{name}") };
                let (path, query) = split_query(&joined);
                (path.to_owned(), vec![(ParameterPlace::Name, query.to_owned())])
            }
        };

        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut parameter_places = Vec::new();
        for (place, query) in queries.into_iter().chain([(ParameterPlace::TcUrl, tc_query.to_owned())]) {
            for (name, value) in query_pairs(&query) {
                if parameters.iter().all(|(earlier, _)| *earlier != name) {
                    parameters.push((name, value));
                    if !parameter_places.contains(&place) {
                        parameter_places.push(place);
                    }
                }
            }
        }

        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (bucket, raw) = match segments.as_slice() {
            [APP, raw] => (None, *raw),
            [bucket, APP, raw] | [APP, bucket, raw] => (Some(decode(bucket)), *raw),
            [] | [APP] | [_, APP] => return Err(TargetError::NoChannel),
            _ => return Err(TargetError::UnknownApplication),
        };
        let decoded = decode(raw);
        if decoded.contains('/') || bucket.as_ref().is_some_and(|bucket| bucket.contains('/')) {
            return Err(TargetError::SlashInSegment);
        }

        let mut channel_variants: Vec<String> = Vec::new();
        for variant in [without_prefix(&decoded), without_prefix(raw), &decoded, raw] {
            if !variant.is_empty() && channel_variants.iter().all(|earlier| earlier != variant) {
                channel_variants.push(variant.to_owned());
            }
        }
        let channel = channel_variants.first().cloned().ok_or(TargetError::NoChannel)?;
        Ok(Self { host, port, bucket, channel, channel_variants, parameters, parameter_places })
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The bucket that `vhost`, `domain` or `bucket` name: the text up to the first dot (LiveChannel 3.8, step 5).
    pub fn bucket_hint(&self) -> Option<&str> {
        ["vhost", "domain", "bucket"]
            .iter()
            .filter_map(|name| self.parameter(name))
            .map(|value| value.split(['.', ':']).next().unwrap_or_default())
            .find(|bucket| !bucket.is_empty())
    }
}

/// Whether this part of an application before its `?` leaves the channel to the publish name: `live` or `bucket/live`.
fn is_whole_app(head: &str) -> bool {
    let segments: Vec<&str> = head.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [APP] => true,
        // `live/live?..` is channel `live` with a query that was cut at a slash.
        [bucket, APP] => *bucket != APP,
        _ => false,
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn split_tc_url(tc_url: &str) -> (Option<String>, Option<u16>, &str) {
    let Some((_, rest)) = tc_url.split_once("://") else { return (None, None, split_query(tc_url).1) };
    let (before, query) = split_query(rest);
    let authority = before.split('/').next().unwrap_or_default();
    match split_authority(authority) {
        Ok((host, port)) => (Some(host.trim_end_matches('.').to_ascii_lowercase()), port, query),
        Err(_) => (None, None, query),
    }
}

fn without_prefix(name: &str) -> &str {
    name.strip_prefix("mp4:").or_else(|| name.strip_prefix("flv:")).unwrap_or(name)
}

fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// Percent-decodes. An escape that is none stays as it is, and so does a text that would not be UTF-8 afterwards. A `+`
/// stays a `+`, because people paste raw base64 (LiveChannel 3.3).
fn decode(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        if escaped.is_some() {
            rest = after.get(2..).unwrap_or_default();
        }
        decoded.push(escaped.unwrap_or(first));
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Row {
        case: &'static str,
        app: &'static str,
        tc_url: &'static str,
        name: &'static str,
        bucket: Option<&'static str>,
        variants: &'static [&'static str],
        parameters: &'static [(&'static str, &'static str)],
    }

    fn check(row: &Row) {
        let target =
            PublishTarget::parse(row.app, row.tc_url, row.name).unwrap_or_else(|e| panic!("{}: {e}", row.case));
        assert_eq!(target.bucket.as_deref(), row.bucket, "{}", row.case);
        assert_eq!(target.channel_variants, row.variants, "{}", row.case);
        assert_eq!(target.channel, row.variants[0], "{}", row.case);
        let parameters: Vec<_> =
            target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(parameters, row.parameters, "{}", row.case);
    }

    fn row(
        case: &'static str,
        (app, tc_url, name): (&'static str, &'static str, &'static str),
        bucket: Option<&'static str>,
        variants: &'static [&'static str],
        parameters: &'static [(&'static str, &'static str)],
    ) -> Row {
        Row { case, app, tc_url, name, bucket, variants, parameters }
    }

    const VHOST: &str = "rtmp://examplebucket.oss.example.com:1935/live";
    const B: Option<&str> = Some("examplebucket");

    #[test]
    fn sdk_shapes() {
        let parameters: &[_] = &[("playlistName", "p.m3u8"), ("Signature", "ab/cd=")];
        let query = "test-channel?playlistName=p.m3u8&Signature=ab%2Fcd%3D";
        for row in [
            row("virtual host", ("live", VHOST, query), None, &["test-channel"], parameters),
            row("path style", ("examplebucket/live", "", query), B, &["test-channel"], parameters),
            row(
                "C++",
                ("live/examplebucket", "rtmp://127.0.0.1:9000/live/examplebucket", query),
                B,
                &["test-channel"],
                parameters,
            ),
            row(
                "Java, PHP, Node: no bucket",
                ("live", "rtmp://127.0.0.1/live", query),
                None,
                &["test-channel"],
                parameters,
            ),
            row(
                "encoded channel",
                ("live", VHOST, "live%20channel%202"),
                None,
                &["live channel 2", "live%20channel%202"],
                &[],
            ),
            row("raw channel", ("live", VHOST, "live channel 2"), None, &["live channel 2"], &[]),
            row(
                "CJK channel",
                ("live", VHOST, "%E6%B5%8B%E8%AF%95%E9%80%9A%E8%BF%87?a"),
                None,
                &["测试通过", "%E6%B5%8B%E8%AF%95%E9%80%9A%E8%BF%87"],
                &[("a", "")],
            ),
            row(
                "librtmp decodes",
                ("live", VHOST, "c?Signature=Qkj/4G+3=&x=1"),
                None,
                &["c"],
                &[("Signature", "Qkj/4G+3="), ("x", "1")],
            ),
        ] {
            check(&row);
        }
    }

    #[test]
    fn traps() {
        for row in [
            row(
                "1 raw slash in the query",
                ("live/chan?Signature=ab", "rtmp://h:1935/live/chan?Signature=ab", "cd="),
                None,
                &["chan"],
                &[("Signature", "ab/cd=")],
            ),
            row(
                "1 channel named live",
                ("live/live?Signature=ab", "", "cd="),
                None,
                &["live"],
                &[("Signature", "ab/cd=")],
            ),
            row(
                "2 query on the app",
                ("live?vhost=examplebucket", "", "test-channel"),
                None,
                &["test-channel"],
                &[("vhost", "examplebucket")],
            ),
            row(
                "2 query on the app, path style",
                ("examplebucket/live?a=1", "", "test-channel?a=2&b=3"),
                B,
                &["test-channel"],
                &[("a", "2"), ("b", "3")],
            ),
            row(
                "2 query on tcUrl",
                ("live", "rtmp://h/live?vhost=b&x=tc", "c?x=1"),
                None,
                &["c"],
                &[("x", "1"), ("vhost", "b")],
            ),
            row(
                "3 everything in the server field",
                ("live/test-channel?a=1", "", ""),
                None,
                &["test-channel"],
                &[("a", "1")],
            ),
            row("3 query alone in the name", ("live/test-channel", "", "?a=1"), None, &["test-channel"], &[("a", "1")]),
            row("4 prefix of ffmpeg", ("live", "", "mp4:x.mp4"), None, &["x.mp4", "mp4:x.mp4"], &[]),
            row("4 prefix, encoded", ("live", "", "flv:a%20b"), None, &["a b", "a%20b", "flv:a b", "flv:a%20b"], &[]),
            row("5 slashes", ("/examplebucket//live/", "", "//chan/"), B, &["chan"], &[]),
            row("first of duplicates", ("live", "", "c?a=1&a=2&A=3"), None, &["c"], &[("a", "1"), ("A", "3")]),
            row("bad escapes stay", ("live", "", "100%?a=%zz%4"), None, &["100%"], &[("a", "%zz%4")]),
            row("no UTF-8 stays raw", ("live", "", "%ff"), None, &["%ff"], &[]),
            row("plus is plus", ("live", "", "a+b?v=1.0+b2&e=%2B"), None, &["a+b"], &[("v", "1.0+b2"), ("e", "+")]),
            row("question mark in a value", ("live", "", "c?a=b?c"), None, &["c"], &[("a", "b?c")]),
            row("equals sign in a value", ("live", "", "c?&a=b=c&&d"), None, &["c"], &[("a", "b=c"), ("d", "")]),
        ] {
            check(&row);
        }
    }

    #[test]
    fn q02_places_of_parameters_are_told() {
        let target = PublishTarget::parse("live?b=1", "rtmp://h/live?b=2&c=3", "c?a=1").unwrap();
        assert_eq!(target.parameter_places, [ParameterPlace::Name, ParameterPlace::App, ParameterPlace::TcUrl]);
        let target = PublishTarget::parse("live?b=1", "rtmp://h/live?b=1", "c").unwrap();
        assert_eq!(target.parameter_places, [ParameterPlace::App]);
    }

    #[test]
    fn no_target() {
        let error = |app: &str, name: &str| PublishTarget::parse(app, "", name).unwrap_err();
        assert_eq!(error("live", ""), TargetError::NoChannel);
        assert_eq!(error("live", "?a=1"), TargetError::NoChannel);
        assert_eq!(error("live?a=1", ""), TargetError::NoChannel);
        assert_eq!(error("bucket/live", ""), TargetError::NoChannel);

        assert_eq!(error("vod", "c"), TargetError::UnknownApplication);
        assert_eq!(error("a/b/live", "c"), TargetError::UnknownApplication);
        assert_eq!(error("live", "a/b/c"), TargetError::UnknownApplication);
        assert_eq!(error("live", "a%2Fb"), TargetError::SlashInSegment);
        assert_eq!(error("a%2fb/live", "c"), TargetError::SlashInSegment);
    }

    #[test]
    fn hosts() {
        let host = |tc_url: &str| {
            let target = PublishTarget::parse("live", tc_url, "c").unwrap();
            (target.host, target.port)
        };
        let some = |host: &str| Some(host.to_owned());
        assert_eq!(
            host("rtmp://ExampleBucket.OSS.example.com.:9000/live"),
            (some("examplebucket.oss.example.com"), Some(9000))
        );
        assert_eq!(host("rtmps://[::1]:443/live"), (some("::1"), Some(443)));
        assert_eq!(host("rtmp://h?x=1"), (some("h"), None));
        assert_eq!(host("rtmp://h:99999/live"), (None, None));
        assert_eq!(host(""), (None, None));
    }

    #[test]
    fn bucket_hints() {
        let hint = |query: &str| {
            let target = PublishTarget::parse(&format!("live?{query}"), "", "c").unwrap();
            target.bucket_hint().map(str::to_owned)
        };
        assert_eq!(hint("vhost=b1.anything"), Some("b1".to_owned()));
        assert_eq!(hint("vhost=.x&bucket=b2"), Some("b2".to_owned()));
        assert_eq!(hint("bucket=b2&domain=b3"), Some("b3".to_owned()));
        assert_eq!(hint("x=b2"), None);
    }

    proptest! {
        #[test]
        fn any_texts_parse_or_are_refused(app in "[live/?&=%a ]{0,20}", tc_url in "[rtmp:/?@\\[\\]é0-9]{0,20}", name in ".{0,20}") {
            if let Ok(target) = PublishTarget::parse(&app, &tc_url, &name) {
                prop_assert!(!target.channel.is_empty() && !target.channel.contains('/'));
                prop_assert_eq!(&target.channel_variants[0], &target.channel);
            }
        }
    }
}
