//! The row of an operation: what belongs to it beside its method and its resource. A write that says more than its row
//! holds is refused, since what it asks for would not be done (HTTP API 0.3, 0.4, D22).

use model::{BucketAcl, Error, ErrorCode, OperationKind, Result};

use super::query::{QueryPair, shown};
use super::{Query, RawRequest, Route, not_implemented, sub_resource};

/// Query names that change nothing, whatever the operation: those of signatures, and those that OSS has for billing,
/// limits of rate, callbacks and the headers of an answer.
const HARMLESS: &[&str] = &[
    "Expires",
    "OSSAccessKeyId",
    "Signature",
    "callback",
    "callback-var",
    "security-token",
    "x-oss-access-key-id",
    "x-oss-additional-headers",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-request-payer",
    "x-oss-security-token",
    "x-oss-signature",
    "x-oss-signature-version",
    "x-oss-traffic-limit",
];
const HARMLESS_BEGINNINGS: &[&str] = &["response-", "x-oss-ac-"];

/// Names that mean something only beside another one.
const PARTNERS: &[&str] = &["comp", "endTime", "partNumber", "position", "startTime", "status"];

/// The `x-oss-*` headers that say what is stored, where, or what else is to happen to it. All others that are known
/// change nothing.
const SAYS_WHAT_IS_STORED: &[&str] = &[
    "x-oss-acl",
    "x-oss-agentic-bucket",
    "x-oss-bucket-tagging",
    "x-oss-bypass-governance-retention",
    "x-oss-complete-all",
    "x-oss-copy-source",
    "x-oss-copy-source-range",
    "x-oss-data-redundancy-type",
    "x-oss-dir",
    "x-oss-forbid-overwrite",
    "x-oss-hash-ctx",
    "x-oss-hns-status",
    "x-oss-md5-ctx",
    "x-oss-metadata-directive",
    "x-oss-notification",
    "x-oss-object-acl",
    "x-oss-object-restore-priority",
    "x-oss-persist-headers",
    "x-oss-request-route",
    "x-oss-request-token",
    "x-oss-server-side-data-encryption",
    "x-oss-sha1-ctx",
    "x-oss-sha256-ctx",
    "x-oss-storage-class",
    "x-oss-symlink-target",
    "x-oss-tagging",
    "x-oss-tagging-directive",
    "x-oss-target-redundancy-type",
    "x-oss-worm-id",
];
const SAYS_WHAT_IS_STORED_BEGINNINGS: &[&str] = &[
    "x-oss-access-point-",
    // Others that begin so say nothing: ali-oss sends each header of a copy a second time with this in front.
    "x-oss-copy-source-if-",
    "x-oss-delete-",
    "x-oss-fwd-",
    "x-oss-object-worm-",
    "x-oss-rename-",
    "x-oss-server-side-encryption",
];

/// Refuses a write that names more than its operation has. `bucket_acl` is the ACL of its bucket, if that exists. To be asked after the caller was found to be allowed, and
/// before anything is read or written. Reads may say what they like: nothing comes of it.
///
/// # Errors
/// `InvalidArgument` for two names that each select an operation, and for a name whose partner is missing;
/// `NotImplemented` with the element `Subresource` or `Header`.
pub fn check_row(route: &Route, raw: &RawRequest, bucket_acl: Option<BucketAcl>) -> Result<()> {
    let is_write = !matches!(raw.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if !is_write {
        return Ok(());
    }
    check_one_selects(&raw.method, &route.query)?;
    match route.kind {
        OperationKind::PutSubResource => return Err(not_implemented(route)),
        OperationKind::DeleteSubResource if !is_answered(route) => return Err(not_implemented(route)),
        _ => {}
    }
    let row = route.kind.row();
    let is_in_row =
        |pair: &QueryPair| row.query.iter().copied().chain(route.sub_resource).any(|name| pair.name == name.as_bytes());
    if let Some(pair) = route.query.pairs().iter().find(|pair| !is_in_row(pair) && !is_harmless(pair)) {
        let name = shown(&String::from_utf8_lossy(&pair.name));
        if route.sub_resource.is_none() && PARTNERS.contains(&name.as_str()) {
            let message = "The query parameter means something only together with another one, which is missing.";
            return Err(Error::new(ErrorCode::InvalidArgument)
                .message(message)
                .with("ArgumentName", name)
                .with("ArgumentValue", shown(pair.text())));
        }
        let message = format!("The query parameter {name} implies functionality that is not implemented.");
        return Err(Error::new(ErrorCode::NotImplemented).message(message).with("Subresource", name));
    }
    // ossfs says of every object that it is to be private, by the header that is for buckets. In a bucket that is private
    // itself that is what happens anyway.
    let is_private = route.resource.key().is_some() && bucket_acl == Some(BucketAcl::Private);
    check_headers(row.headers, &raw.headers, is_private)
}

/// Refuses a write with two names that each select an operation.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn check_one_selects(method: &str, query: &Query) -> Result<()> {
    match (method, sub_resource::selecting(query).as_slice()) {
        ("GET" | "HEAD", _) | (_, [] | [_]) => Ok(()),
        (_, [first, second, ..]) => {
            let message = format!("The query names two operations: {first} and {second}.");
            let value = query.first(second).map(shown).unwrap_or_default();
            Err(Error::argument(second, value, message))
        }
    }
}

/// As [`check_row`] for the fields of a form, which say what headers say elsewhere (HTTP API 11).
///
/// # Errors
/// `NotImplemented` with the element `Header`.
pub(crate) fn check_form_headers(pairs: &[(String, Vec<u8>)]) -> Result<()> {
    check_headers(OperationKind::PostObject.row().body.form_fields(), pairs, false)
}

fn check_headers(obeyed: &[&str], pairs: &[(String, Vec<u8>)], is_private: bool) -> Result<()> {
    let begins = |name: &str| SAYS_WHAT_IS_STORED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    let counts = |name: &str| SAYS_WHAT_IS_STORED.contains(&name) || begins(name);
    let is_refused = |(name, value): &(String, Vec<u8>)| {
        counts(name) && !obeyed.contains(&name.as_str()) && !says_nothing(name, value, is_private)
    };
    match pairs.iter().find(|pair| is_refused(pair)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(ErrorCode::NotImplemented).with("Header", shown(name))),
    }
}

/// Whether a header asks for what happens anyway.
fn says_nothing(name: &str, value: &[u8], is_private: bool) -> bool {
    let value = value.trim_ascii();
    value.is_empty()
        || (name == "x-oss-forbid-overwrite" && value.eq_ignore_ascii_case(b"false"))
        || (name == "x-oss-acl" && is_private && value == b"private")
}

fn is_harmless(pair: &QueryPair) -> bool {
    let Ok(name) = std::str::from_utf8(&pair.name) else { return false };
    HARMLESS.contains(&name)
        || HARMLESS_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || (name == "versionId" && matches!(pair.text(), "" | "null"))
}

/// Whether deleting what is not built succeeds, because there is never anything to delete (HTTP API 15). Of objects it
/// does not: whoever hears that a deletion succeeded believes that the object is gone.
fn is_answered(route: &Route) -> bool {
    route.resource.key().is_none() && route.sub_resource.is_some_and(|name| sub_resource::absence(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::{Addressing, route};
    use super::*;
    use proptest::prelude::*;

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> RawRequest {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        RawRequest {
            method: method.into(),
            host: "localhost".into(),
            path: path.into(),
            query: query.into(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            ..RawRequest::default()
        }
    }

    fn check(method: &str, target: &str, headers: &[(&str, &str)], expected: Result<(), (ErrorCode, &str)>) {
        let raw = request(method, target, headers);
        let found = route(&raw, &Addressing::default()).and_then(|route| check_row(&route, &raw, None));
        let found = match &found {
            Ok(()) => Ok(()),
            Err(error) => Err((error.code, error.elements.first().map_or("", |(_, text)| text.as_str()))),
        };
        assert_eq!(found, expected, "{method} {target} {headers:?}");
    }

    #[test]
    fn a_write_is_what_its_row_says() {
        let unbuilt = |name| Err((ErrorCode::NotImplemented, name));
        let wrong = |name| Err((ErrorCode::InvalidArgument, name));
        for (method, target, expected) in [
            ("PUT", "/bkt/k", Ok(())),
            ("PUT", "/bkt/k?legalHold", unbuilt("legalHold")),
            ("PUT", "/bkt/k?encryption", unbuilt("encryption")),
            ("PUT", "/bkt/k?utm_source=a", unbuilt("utm_source")),
            ("PUT", "/bkt/k?ACL", unbuilt("ACL")),
            ("PUT", "/bkt/k?x-oss-storage-class=IA", unbuilt("x-oss-storage-class")),
            ("PUT", "/bkt?utm_source=a", unbuilt("utm_source")),
            ("POST", "/bkt?append", unbuilt("append")),
            ("DELETE", "/bkt?overwriteConfig", unbuilt("overwriteConfig")),
            ("DELETE", "/bkt?uploadId=U", unbuilt("uploadId")),
            ("DELETE", "/bkt?policy&comp=callback", unbuilt("comp")),
            ("DELETE", "/bkt/k?seal", unbuilt("seal")),
            ("DELETE", "/bkt/k?versionId=x", Ok(())),
            ("PUT", "/bkt/k?versionId=x", unbuilt("versionId")),
            ("PUT", "/bkt/k?versionId=null&response-expires=x&x-oss-ac-vpc-id=1&security-token=a", Ok(())),
            ("PUT", "/bkt/k?acl&tagging", wrong("tagging")),
            ("PUT", "/bkt/k?acl&legalHold", wrong("legalHold")),
            ("PUT", "/bkt/k?partNumber=1", wrong("partNumber")),
            ("PUT", "/bkt/k?status=disabled", wrong("status")),
            ("DELETE", "/bkt/k?comp=stat", wrong("comp")),
            ("PUT", "/bkt/k?acl&partNumber=1", unbuilt("partNumber")),
            ("PUT", "/bkt/k?partNumber=1&uploadId=U", Ok(())),
            ("PUT", "/bkt?metaQuery&comp=add", unbuilt("metaQuery")),
            ("DELETE", "/bkt?style&styleName=a", Ok(())),
            ("DELETE", "/bkt?style&more", unbuilt("more")),
            ("GET", "/bkt/k?utm_source=a&_=1&partNumber=2", Ok(())),
            ("GET", "/bkt/k?acl&tagging", Ok(())),
            ("OPTIONS", "/bkt/k?legalHold", Ok(())),
        ] {
            check(method, target, &[], expected);
        }
    }

    #[test]
    fn headers_that_say_what_is_stored_are_obeyed_or_refused() {
        let unbuilt = |name| Err((ErrorCode::NotImplemented, name));
        for (method, target, name, value, expected) in [
            ("PUT", "/bkt", "x-oss-server-side-encryption", "AES256", unbuilt("x-oss-server-side-encryption")),
            ("PUT", "/bkt", "x-oss-storage-class", "IA", unbuilt("x-oss-storage-class")),
            ("PUT", "/bkt", "x-oss-acl", "private", Ok(())),
            ("PUT", "/bkt/k", "x-oss-acl", "private", unbuilt("x-oss-acl")),
            ("PUT", "/bkt/k", "x-oss-object-worm-mode", "GOVERNANCE", unbuilt("x-oss-object-worm-mode")),
            ("PUT", "/bkt/k", "x-oss-metadata-directive", "REPLACE", unbuilt("x-oss-metadata-directive")),
            ("PUT", "/bkt/k", "x-oss-meta-worm", "1", Ok(())),
            ("PUT", "/bkt/k", "x-oss-some-day", "1", Ok(())),
            ("PUT", "/bkt/k", "x-oss-hash-crc64ecma", "1", Ok(())),
            ("PUT", "/bkt/k?acl", "x-oss-storage-class", "IA", unbuilt("x-oss-storage-class")),
            ("PUT", "/bkt/k?acl", "x-oss-forbid-overwrite", "false", Ok(())),
            ("POST", "/bkt/k.m3u8?vod", "x-oss-forbid-overwrite", "true", unbuilt("x-oss-forbid-overwrite")),
            ("PUT", "/bkt/k?partNumber=1&uploadId=U", "x-oss-storage-class", "IA", Ok(())),
            ("GET", "/bkt/k", "x-oss-storage-class", "IA", Ok(())),
        ] {
            check(method, target, &[(name, value)], expected);
        }
        let copied = [("x-oss-copy-source", "/bkt/a"), ("x-oss-copy-source-range", "bytes=0-1")];
        check("PUT", "/bkt/k", &copied, unbuilt("x-oss-copy-source-range"));
        check("PUT", "/bkt/k?partNumber=1&uploadId=U", &copied, Ok(()));
        check("PUT", "/bkt/k?symlink", &copied, unbuilt("x-oss-copy-source"));
    }

    /// What a form says of its object stands in its fields; the same in the headers of its request would be lost.
    #[test]
    fn fields_of_a_form_are_obeyed_and_headers_beside_it_refused() {
        for name in ["x-oss-forbid-overwrite", "x-oss-server-side-encryption", "x-oss-storage-class", "x-oss-tagging"] {
            assert_eq!(check_form_headers(&[(name.to_owned(), b"x".to_vec())]), Ok(()), "{name}");
            check("POST", "/bkt", &[(name, "x")], Err((ErrorCode::NotImplemented, name)));
        }
        assert_eq!(check_form_headers(&[("x-oss-object-acl".to_owned(), b"private".to_vec())]), Ok(()));
        check("POST", "/bkt", &[("x-oss-object-acl", "private")], Ok(()));
        assert!(check_form_headers(&[("x-oss-acl".to_owned(), b"private".to_vec())]).is_err());
    }

    #[test]
    fn rows_hold_what_counts() {
        for kind in OperationKind::ALL {
            for header in kind.row().headers.iter().chain(kind.row().body.form_fields()) {
                let only = [((*header).to_owned(), b"x".to_vec())];
                assert!(check_headers(model::row::PLAIN, &only, false).is_err(), "{kind} {header}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_unknown_name_runs_as_a_write(
            method in "PUT|DELETE|POST",
            path in "/bkt|/bkt/k",
            name in "[a-zA-Z_-]{1,12}",
            value in "[a-z0-9]{0,9}",
        ) {
            let raw = request(&method, &format!("{path}?{name}={value}"), &[]);
            if let Ok(route) = route(&raw, &Addressing::default()) {
                let pair = Query::parse(&format!("{name}=")).pairs()[0].clone();
                let is_known = route.kind.row().query.contains(&name.as_str()) || is_harmless(&pair);
                prop_assert_eq!(check_row(&route, &raw, None).is_ok(), is_known || is_answered(&route), "{}", raw.query);
            }
        }
    }
}
