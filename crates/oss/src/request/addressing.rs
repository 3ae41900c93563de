//! Which bucket and which style a host name means (HTTP API 1.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use model::name::BucketName;
use model::{Error, ErrorCode};

/// What to make of a host that is neither known nor an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostFallback {
    /// Path style, so that single names of container networks work.
    #[default]
    Path,
    /// `NonStandardHostForbidden`.
    Reject,
}

/// The names under which the server is reached.
#[derive(Debug, Clone, Default)]
pub struct Addressing {
    /// Endpoint domains, lower case, without port. The domains of the official service and `localhost` are always known.
    pub base_domains: Vec<String>,
    /// Custom domains, lower case, without port, and the bucket each stands for.
    pub cnames: Vec<(String, BucketName)>,
    /// What to make of any other host.
    pub host_fallback: HostFallback,
    /// Refuse path style on base domains, as the official service does.
    pub force_virtual_hosted: bool,
}

/// How a request names its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// `bucket.domain/key`.
    VirtualHosted,
    /// `host/bucket/key`.
    Path,
    /// `domain-of-the-bucket/key`.
    CustomDomain,
}

/// What the host alone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostMeaning<'a> {
    /// The bucket is the first segment of the path; `base_domain` when the host is exactly an endpoint.
    Path { base_domain: bool },
    /// The bucket stands before an endpoint domain; the name is not checked yet. `built_in` when that domain is one of
    /// the official service.
    Bucket { name: &'a str, built_in: bool },
    /// The service itself: the host began with a dot, as ali-oss sends it for ListBuckets through an IP endpoint.
    Service,
    /// The host is a configured custom domain.
    Custom(&'a BucketName),
}

impl Addressing {
    /// The bucket that a host alone names, as for RTMP (LiveChannel 3.8 step 5); `None` when it names none, or none
    /// that is legal.
    pub fn bucket_of_host(&self, host: &str) -> Option<BucketName> {
        match self.meaning(&bare_host(host)).ok()? {
            HostMeaning::Custom(bucket) => Some(bucket.clone()),
            HostMeaning::Bucket { name, .. } => BucketName::parse(name).ok(),
            HostMeaning::Path { .. } | HostMeaning::Service => None,
        }
    }

    /// Whether a host shares its origin with the pages under `/-/`: it is not the name of one bucket, whose keys may
    /// begin with `-/` (D27).
    pub fn has_pages(&self, host: &str) -> bool {
        match self.meaning(&bare_host(host)) {
            Ok(HostMeaning::Custom(_)) => false,
            Ok(HostMeaning::Bucket { name, .. }) => BucketName::parse(name).is_err(),
            Ok(HostMeaning::Path { .. } | HostMeaning::Service) | Err(_) => true,
        }
    }

    pub(super) fn meaning<'a>(&'a self, host: &'a str) -> Result<HostMeaning<'a>, Error> {
        if let Some((_, bucket)) = self.cnames.iter().find(|(domain, _)| domain == host) {
            return Ok(HostMeaning::Custom(bucket));
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if literal.parse::<Ipv4Addr>().is_ok() || literal.parse::<Ipv6Addr>().is_ok() {
            return Ok(HostMeaning::Path { base_domain: false });
        }
        let configured = self.base_domains.iter().filter_map(|base| Some((host.strip_suffix(base.as_str())?, false)));
        let localhost = host.strip_suffix("localhost").map(|before| (before, false));
        let official = before_official_domain(host).map(|before| (before, true));
        // The longest domain wins, so that `a.oss.example.com` may be an endpoint beside `example.com`.
        let found = configured
            .chain(localhost)
            .chain(official)
            .filter(|(before, _)| before.is_empty() || before.ends_with('.'))
            .min_by_key(|(before, _)| before.len());
        match found {
            Some(("", _)) => Ok(HostMeaning::Path { base_domain: true }),
            Some((".", _)) => Ok(HostMeaning::Service),
            Some((before, built_in)) => {
                Ok(HostMeaning::Bucket { name: before.strip_suffix('.').unwrap_or(before), built_in })
            }
            None => match self.host_fallback {
                HostFallback::Path => Ok(HostMeaning::Path { base_domain: false }),
                HostFallback::Reject => Err(Error::new(ErrorCode::NonStandardHostForbidden)),
            },
        }
    }
}

/// What stands before `oss.aliyuncs.com` or `oss-<region>.aliyuncs.com`.
fn before_official_domain(host: &str) -> Option<&str> {
    let before = host.strip_suffix(".aliyuncs.com")?;
    let (_, endpoint) = before.rsplit_once('.').unwrap_or(("", before));
    if endpoint == "oss" || endpoint.strip_prefix("oss-").is_some_and(|region| !region.is_empty()) {
        before.get(..before.len().checked_sub(endpoint.len())?)
    } else {
        None
    }
}

/// The host in lower case without its port and trailing dot; an IPv6 literal keeps its brackets.
pub fn bare_host(host: &str) -> String {
    let host = host.trim();
    let name = match host.rsplit_once(':') {
        // A colon inside brackets, or one of several without brackets, belongs to an IPv6 address.
        Some((before, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (before.ends_with(']') || !before.contains(':')) =>
        {
            before
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressing() -> Addressing {
        Addressing {
            base_domains: vec!["example.com".into(), "oss.example.com".into()],
            cnames: vec![("live.example.net".into(), BucketName::parse("examplebucket").unwrap())],
            ..Addressing::default()
        }
    }

    fn check(host: &str, expected: HostMeaning<'_>) {
        let (addressing, host) = (addressing(), bare_host(host));
        assert_eq!(addressing.meaning(&host).unwrap(), expected, "{host}");
    }

    #[test]
    fn hosts_mean_what_the_algorithm_says() {
        let bucket = |name, built_in| HostMeaning::Bucket { name, built_in };
        let literal = HostMeaning::Path { base_domain: false };
        check("live.example.net:80", HostMeaning::Custom(&BucketName::parse("examplebucket").unwrap()));
        check("127.0.0.1:9000", literal);
        check("[::1]:9000", literal);
        check("[::1]", literal);
        check("::1", literal);
        check("LOCALHOST:9000", HostMeaning::Path { base_domain: true });
        check("oss.example.com.", HostMeaning::Path { base_domain: true });
        check("b.oss.example.com:9000", bucket("b", false));
        check("b.localhost", bucket("b", false));
        check("bucket.oss-cn-hangzhou.aliyuncs.com", bucket("bucket", true));
        check("oss-a.oss-cn-hangzhou-internal.aliyuncs.com", bucket("oss-a", true));
        check("b.oss.aliyuncs.com", bucket("b", true));
        check("oss-cn-hangzhou.aliyuncs.com", HostMeaning::Path { base_domain: true });
        check(".oss-cn-hangzhou.aliyuncs.com", HostMeaning::Service);
        check("a.b.oss.example.com", bucket("a.b", false));
        check("oss-server:9000", literal);
        check("xoss.example.org", literal);
        check("", literal);
    }

    #[test]
    fn hosts_name_buckets_for_rtmp_too() {
        for (host, bucket) in [
            ("Bkt.oss.example.com:1935", Some("bkt")),
            ("live.example.net", Some("examplebucket")),
            ("a.b.oss.example.com", None),
            ("127.0.0.1:1935", None),
            ("oss.example.com", None),
        ] {
            assert_eq!(addressing().bucket_of_host(host).as_ref().map(BucketName::as_str), bucket, "{host}");
        }
    }

    #[test]
    fn hosts_of_one_bucket_have_no_pages() {
        for (host, has_pages) in [
            ("127.0.0.1:9000", true),
            ("[::1]:9000", true),
            ("oss.example.com", true),
            ("localhost", true),
            ("oss-server:9000", true),
            ("", true),
            ("live.example.net:80", false),
            ("LIVE.example.net.", false),
            ("b-kt.oss.example.com:9000", false),
            ("bkt.localhost", false),
            ("bkt.oss-cn-hangzhou.aliyuncs.com", false),
            // No bucket can have such a name.
            ("a.b.localhost", true),
        ] {
            assert_eq!(addressing().has_pages(host), has_pages, "{host}");
        }
        let strict = Addressing { host_fallback: HostFallback::Reject, ..addressing() };
        assert!(strict.has_pages("oss-server"), "nothing but pages is answered there");
    }

    #[test]
    fn other_hosts_can_be_refused() {
        let addressing = Addressing { host_fallback: HostFallback::Reject, ..addressing() };
        let error = addressing.meaning("oss-server").unwrap_err();
        assert_eq!(error.code, ErrorCode::NonStandardHostForbidden);
        assert!(addressing.meaning("notexample.com").is_err());
    }
}
