//! What a signature covers, free of how the request was addressed, and the parts that several algorithms share.

use std::borrow::Cow;

use crate::request::{QueryPair, RawRequest, Route};
use model::name::BucketName;

/// A request as the algorithms see it: the resource always with its bucket, every value decoded once.
#[derive(Debug, Clone)]
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    /// `/`, `/bucket/` or `/bucket/key`, not percent-encoded.
    pub(super) resource: Vec<u8>,
    /// Whether a bucket was addressed as `/bucket`, without the slash after it.
    pub(super) is_bare_bucket: bool,
    /// Names in lower case.
    pub(super) headers: &'a [(String, Vec<u8>)],
    pub(super) host: &'a str,
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// One parameter of the query, decoded.
#[derive(Debug, Clone)]
pub(super) struct Parameter<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
    /// Whether an empty value arrived as `name=` and not as `name`.
    pub(super) has_equals: bool,
    /// Whether it selects the operation, as `uploads` does.
    pub(super) is_selector: bool,
}

impl<'a> Parameter<'a> {
    pub(super) fn new(name: &'a str, value: &'a str) -> Self {
        Self { name: name.as_bytes().into(), value: value.as_bytes().into(), has_equals: false, is_selector: false }
    }

    pub(super) fn of(pair: &'a QueryPair, selector: Option<&str>) -> Self {
        Self {
            name: (&*pair.name).into(),
            value: (&*pair.value).into(),
            has_equals: pair.raw_value.is_some(),
            is_selector: selector.is_some_and(|selector| *pair.name == *selector.as_bytes()),
        }
    }

    /// Empty, and spelled in the way that some SDKs sign as they spell it.
    pub(super) fn is_empty_with_equals(&self) -> bool {
        self.has_equals && self.value.is_empty()
    }
}

impl<'a> Signable<'a> {
    pub(super) fn new(raw: &'a RawRequest, route: &'a Route) -> Self {
        Self {
            method: &raw.method,
            resource: resource(route.bucket.as_ref().map(BucketName::as_str), &route.path_below_bucket),
            is_bare_bucket: route.bucket_without_slash && route.path_below_bucket.is_empty(),
            headers: &raw.headers,
            host: &raw.host,
            parameters: route.query.pairs().iter().map(|pair| Parameter::of(pair, route.sub_resource)).collect(),
        }
    }

    /// The resource; without the slash behind the bucket if that is asked for, and is how the bucket was addressed.
    pub(super) fn resource(&self, bare_bucket: bool) -> &[u8] {
        match self.resource.split_last() {
            Some((b'/', bucket)) if bare_bucket && self.is_bare_bucket => bucket,
            _ => &self.resource,
        }
    }

    /// The value of a header as signed: trimmed, and empty when there is none.
    pub(super) fn header(&self, name: &str) -> &'a [u8] {
        self.headers.iter().find(|(n, _)| n == name).map_or(&[], |(_, value)| value.trim_ascii())
    }

    /// Writes `name:value` lines of the chosen headers, sorted by name. Values of one name are joined with commas.
    pub(super) fn push_headers(&self, out: &mut Vec<u8>, is_chosen: impl Fn(&str) -> bool) {
        let mut chosen: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .filter(|(name, _)| is_chosen(name))
            .map(|(name, value)| (name.as_str(), value.trim_ascii()))
            .collect();
        // HTTP/2 has no Host header, and some servers take it out of the list: its value is known all the same.
        if is_chosen("host") && !chosen.iter().any(|(name, _)| *name == "host") && !self.host.is_empty() {
            chosen.push(("host", self.host.trim().as_bytes()));
        }
        chosen.sort_by_key(|(name, _)| *name);
        for (index, (name, value)) in chosen.iter().enumerate() {
            let is_repeated =
                index.checked_sub(1).and_then(|i| chosen.get(i)).is_some_and(|(before, _)| before == name);
            if is_repeated {
                out.pop();
                out.push(b',');
            } else {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    }
}

/// The resource of a bucket and what lies below it; the service without a bucket.
pub(super) fn resource(bucket: Option<&str>, below: &[u8]) -> Vec<u8> {
    let mut out = vec![b'/'];
    if let Some(bucket) = bucket {
        out.extend_from_slice(bucket.as_bytes());
        out.push(b'/');
        out.extend_from_slice(below);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], host: &str, wanted: &[&str], expected: &str) {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let signable = Signable {
            method: "GET",
            resource: resource(None, b""),
            is_bare_bucket: false,
            headers: &headers,
            host,
            parameters: Vec::new(),
        };
        let mut out = Vec::new();
        signable.push_headers(&mut out, |name| wanted.contains(&name));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn headers_are_sorted_trimmed_and_joined() {
        check(
            &[("x-oss-b", " 2 "), ("x-oss-a", "1"), ("y", "0")],
            "",
            &["x-oss-a", "x-oss-b"],
            "x-oss-a:1\nx-oss-b:2\n",
        );
        check(
            &[("x-oss-a", "2"), ("x-oss-b", "x"), ("x-oss-a", " 1")],
            "",
            &["x-oss-a", "x-oss-b"],
            "x-oss-a:2,1\nx-oss-b:x\n",
        );
        check(&[("a", "")], "h:1", &["a", "host"], "a:\nhost:h:1\n");
        check(&[("host", "sent")], "h:1", &["host"], "host:sent\n");
        check(&[], "", &["host"], "");
    }
}
