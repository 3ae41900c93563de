//! Addresses that answers tell to clients (HTTP API 10.4, LiveChannel 1.1.3).

use std::net::Ipv4Addr;

use super::{RawRequest, Route, Style, bare_host};
use model::name::{BucketName, ChannelName, ObjectKey};
use model::percent::percent_encode;

/// The address of an object, in the style of the request that made it: what `Location` elements say.
pub fn object_location(raw: &RawRequest, style: Style, bucket: &BucketName, key: &ObjectKey) -> String {
    let scheme = if raw.secure { "https" } else { "http" };
    let key = percent_encode(key.as_str().as_bytes(), true);
    match style {
        Style::Path => format!("{scheme}://{}/{bucket}/{key}", raw.host),
        Style::VirtualHosted | Style::CustomDomain => format!("{scheme}://{}/{key}", raw.host),
    }
}

/// The endpoint, `host[:port]`, that a request was sent to: its `Host`, without the bucket where that is in it
/// (HTTP API 1.6). `None` for requests that name no host.
pub fn endpoint_of<'a>(raw: &'a RawRequest, route: &Route) -> Option<&'a str> {
    // ali-oss asks the service at an address as `.127.0.0.1`, and a bucket there as `bucket.127.0.0.1` (HTTP API 1.5).
    let host = raw.host.trim_start_matches('.');
    let behind_bucket = route.bucket.as_ref().and_then(|bucket| {
        let (label, rest) = host.split_once('.')?;
        let is_in_host = route.style == Style::VirtualHosted || bare_host(rest).parse::<Ipv4Addr>().is_ok();
        (is_in_host && label.eq_ignore_ascii_case(bucket.as_str())).then_some(rest)
    });
    Some(behind_bucket.unwrap_or(host)).filter(|host| !host.is_empty())
}

/// What a server may choose about the addresses of channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelUrlRules {
    /// `host[:port]` of publish addresses instead of that of the request.
    pub rtmp_authority: Option<String>,
    /// Answer path-style requests with the bucket before the host, as test suites expect (LiveChannel 11.14).
    pub force_virtual_hosted: bool,
}

/// Where a channel is pushed to and played from, as returned to clients: raw text, not percent-encoded, and always `rtmp`
/// and `http` (LiveChannel 1.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelUrls {
    /// `rtmp://…/live/<channel>`.
    pub publish: String,
    /// `http://…/<channel>/<playlist>`.
    pub play: String,
}

impl ChannelUrls {
    /// The addresses in the style of a request.
    pub fn new(
        raw: &RawRequest,
        style: Style,
        rules: &ChannelUrlRules,
        bucket: &BucketName,
        channel: &ChannelName,
        playlist: &str,
    ) -> Self {
        let rtmp = rules.rtmp_authority.as_deref();
        let (publish, play) = match style {
            Style::Path if rules.force_virtual_hosted => {
                (format!("{bucket}.{}", rtmp.unwrap_or(&raw.host)), format!("{bucket}.{}", raw.host))
            }
            // A configured authority says nothing about buckets.
            Style::Path => (format!("{}/{bucket}", rtmp.unwrap_or(&raw.host)), format!("{}/{bucket}", raw.host)),
            Style::VirtualHosted | Style::CustomDomain => match rtmp {
                Some(authority) => (format!("{authority}/{bucket}"), raw.host.clone()),
                None => (raw.host.clone(), raw.host.clone()),
            },
        };
        Self {
            publish: format!("rtmp://{publish}/live/{channel}"),
            play: format!("http://{play}/{channel}/{playlist}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Addressing, route};
    use super::*;

    fn request(host: &str) -> RawRequest {
        RawRequest { host: host.into(), secure: true, ..RawRequest::default() }
    }

    fn check(host: &str, style: Style, rules: &ChannelUrlRules, publish: &str, play: &str) {
        let bucket = BucketName::parse("examplebucket").unwrap();
        let channel = ChannelName::parse("测试 1".as_bytes()).unwrap();
        let urls = ChannelUrls::new(&request(host), style, rules, &bucket, &channel, "playlist.m3u8");
        assert_eq!(urls.publish, format!("rtmp://{publish}/live/测试 1"));
        assert_eq!(urls.play, format!("http://{play}/测试 1/playlist.m3u8"));
    }

    #[test]
    fn channels_are_addressed_in_the_style_of_the_request() {
        let plain = ChannelUrlRules::default();
        let forced = ChannelUrlRules { force_virtual_hosted: true, ..plain.clone() };
        let moved = ChannelUrlRules { rtmp_authority: Some("push.example.com:1935".into()), ..plain.clone() };
        let virtual_host = "examplebucket.oss.example.com:9000";
        check(virtual_host, Style::VirtualHosted, &plain, virtual_host, virtual_host);
        check(virtual_host, Style::VirtualHosted, &forced, virtual_host, virtual_host);
        check(virtual_host, Style::VirtualHosted, &moved, "push.example.com:1935/examplebucket", virtual_host);
        check("live.example.net", Style::CustomDomain, &plain, "live.example.net", "live.example.net");
        let in_path = "127.0.0.1:9000/examplebucket";
        check("127.0.0.1:9000", Style::Path, &plain, in_path, in_path);
        check("127.0.0.1:9000", Style::Path, &moved, "push.example.com:1935/examplebucket", in_path);
        let before = "examplebucket.oss.example.com";
        check("oss.example.com", Style::Path, &forced, before, before);
    }

    #[test]
    fn the_endpoint_is_the_host_without_the_bucket() {
        let addressing = Addressing {
            base_domains: vec!["oss.example.com".to_owned()],
            cnames: vec![("media.example.net".to_owned(), BucketName::parse("media").unwrap())],
            ..Addressing::default()
        };
        for (host, path, expected) in [
            ("127.0.0.1:9000", "/", Some("127.0.0.1:9000")),
            ("127.0.0.1:9000", "/bkt", Some("127.0.0.1:9000")),
            ("[::1]:9000", "/bkt", Some("[::1]:9000")),
            (".127.0.0.1:9000", "/", Some("127.0.0.1:9000")),
            ("bkt.127.0.0.1:9000", "/bkt/", Some("127.0.0.1:9000")),
            ("BKT.oss.example.com:80", "/", Some("oss.example.com:80")),
            ("bkt.localhost:9000", "/key", Some("localhost:9000")),
            ("media.example.org:9000", "/media/", Some("media.example.org:9000")),
            ("media.example.net", "/", Some("media.example.net")),
            ("", "/bkt", None),
        ] {
            let raw = RawRequest { method: "GET".into(), path: path.into(), host: host.into(), ..request(host) };
            let route = route(&raw, &addressing).unwrap();
            assert_eq!(endpoint_of(&raw, &route), expected, "{host}{path}");
        }
    }

    #[test]
    fn objects_are_addressed_with_escapes() {
        let bucket = BucketName::parse("bkt").unwrap();
        let key = ObjectKey::parse(b"a b/c+d").unwrap();
        let location = |host, style| object_location(&request(host), style, &bucket, &key);
        assert_eq!(location("h:1", Style::Path), "https://h:1/bkt/a%20b/c%2Bd");
        assert_eq!(location("bkt.h", Style::VirtualHosted), "https://bkt.h/a%20b/c%2Bd");
    }
}
