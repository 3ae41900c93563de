//! The examples of OSS auth 3.6, 4, 5.7, 6 and 12, the refusals of 8, and the properties of signing.

mod properties;
mod v1;
mod v4;

use super::presign::{Signer, UnsignedRequest};
use super::*;
use crate::request::{Addressing, route};
use model::name::BucketName;

const NOW_S: i64 = 1_704_164_645;
const NOW_MS: i64 = NOW_S * 1000;
const DATE: (&str, &str) = ("date", "Tue, 02 Jan 2024 03:04:05 GMT");
const ID: &str = "AKIDEXAMPLE0001";
const SECRET: &str = "FakeSecretForSpecOnly000000000001";
const TOKEN: &str = "CAISfakeToken+/0001==";
const HOST: &str = "oss-cn-hangzhou.aliyuncs.com";
const SCOPE: &str = "20240102/cn-hangzhou/oss/aliyun_v4_request";

const CLAIM: &str = "OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=";

fn secret() -> SecretKey {
    SecretKey::new(SECRET.to_owned())
}

/// A request for a target such as `/key?query` of a bucket, by virtual host; of the service without a bucket.
fn request(method: &str, bucket: &str, target: &str, headers: &[(&str, &str)]) -> RawRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    RawRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect(),
        host: if bucket.is_empty() { HOST.to_owned() } else { format!("{bucket}.{HOST}") },
        secure: false,
    }
}

/// The same request in path style.
fn in_path_style(raw: &RawRequest) -> RawRequest {
    let path = match raw.host.strip_suffix(HOST) {
        Some("") | None => raw.path.clone(),
        Some(bucket) => format!("/{}{}", bucket.trim_end_matches('.'), raw.path),
    };
    RawRequest { host: "127.0.0.1:9000".to_owned(), path, ..raw.clone() }
}

fn with_authorization(raw: &RawRequest, value: &str) -> RawRequest {
    let mut raw = raw.clone();
    raw.headers.push(("authorization".to_owned(), value.as_bytes().to_vec()));
    raw
}

fn authenticate_at(raw: &RawRequest, secret: &SecretKey, options: &SignOptions, now_ms: i64) -> Result<(), Error> {
    let route = route(raw, &Addressing::default())?;
    let credentials = Credentials::extract(raw, &route, options, now_ms)?;
    credentials.verify(secret, raw, &route)
}

fn authenticate(raw: &RawRequest) -> Result<(), Error> {
    authenticate_at(raw, &secret(), &SignOptions::default(), NOW_MS)
}

fn element<'e>(error: &'e Error, name: &str) -> Option<&'e str> {
    error.elements.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

/// A valid header is accepted in both styles; with any byte of the signature changed the answer shows the string.
fn check_header(raw: &RawRequest, authorization: &str, signature: &str, string: &str) {
    for raw in [raw.clone(), in_path_style(raw)] {
        let signed = with_authorization(&raw, &format!("{authorization}{signature}"));
        assert_eq!(authenticate(&signed), Ok(()), "{signed:?}");
        for at in 0..signature.len() {
            let mut wrong = signature.as_bytes().to_vec();
            wrong[at] ^= 1;
            let wrong = format!("{authorization}{}", String::from_utf8(wrong).unwrap());
            let error = authenticate(&with_authorization(&raw, &wrong)).unwrap_err();
            assert!(matches!(error.code, ErrorCode::SignatureDoesNotMatch | ErrorCode::InvalidArgument), "{error:?}");
            if error.code == ErrorCode::SignatureDoesNotMatch {
                assert_eq!(element(&error, "StringToSign"), Some(string));
                assert!(error.elements.iter().all(|(_, value)| !value.contains(signature)));
            }
        }
    }
}

fn auth(value: &str) -> [(&str, &str); 2] {
    [("authorization", value), DATE]
}

#[test]
fn schemes_are_told_apart() {
    let check = |headers: &[(&str, &str)], target: &str, code: Option<ErrorCode>, message: &str| {
        let raw = request("GET", "examplebucket", target, headers);
        let route = route(&raw, &Addressing::default()).unwrap();
        match (Credentials::extract(&raw, &route, &SignOptions::default(), NOW_MS), code) {
            (Err(error), Some(code)) => {
                assert_eq!(error.code, code, "{headers:?} {target}");
                assert_eq!(error.message, message, "{headers:?} {target}");
            }
            (outcome, expected) => assert_eq!(outcome.err().map(|e| e.code), expected, "{headers:?} {target}"),
        }
    };
    let argument = Some(ErrorCode::InvalidArgument);
    let invalid = "Authorization header is invalid.";
    check(&[], "/", None, "");
    check(&[], "/?Expires=1", None, "");
    check(&auth(""), "/", argument, "Authorization header value is empty.");
    check(&auth("  "), "/", argument, "Authorization header value is empty.");
    check(&auth("AWS a:b"), "/", argument, invalid);
    check(&auth("oss a:b"), "/", argument, invalid);
    check(&auth("OSS"), "/", argument, invalid);
    check(&auth("OSS2 AccessKeyId:a,Signature:b"), "/", argument, invalid);
    check(&auth("OSS   a:b"), "/", None, "");
    check(&auth("OSS a:b"), "/?Signature=x", argument, "Invalid Argument.");
    check(&auth("OSS a:b"), "/?x-oss-signature=x", argument, "Invalid Argument.");
    let items = "Authorization header is invalid, bad num of Items in Authorization header.";
    check(&auth("OSS ab"), "/", argument, items);
    check(&auth("OSS a:b:c"), "/", argument, items);
    let missing = "AccessKeyId or Signature is missing in Authorization header value.";
    check(&auth("OSS :b"), "/", argument, missing);
    check(&auth("OSS a:"), "/", argument, missing);
    check(&auth("OSS4-HMAC-SHA256 Signature=a"), "/", argument, invalid);
    check(&auth(&format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE}")), "/", argument, missing);
    check(&auth(&format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=")), "/", argument, missing);
    check(
        &auth(&format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=a,X=y")),
        "/",
        argument,
        "Unknown parameter in Authorization header.",
    );
    check(&auth(&format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=a,Signature=b")), "/", argument, invalid);
    check(&auth(&format!("OSS4-HMAC-SHA256 Signature=a ,  Credential = AK/{SCOPE}")), "/", None, "");
    check(
        &auth("OSS4-HMAC-SHA256 Credential=AK/20240103/r/oss/aliyun_v4_request,Signature=a"),
        "/",
        argument,
        "Invalid signing date in Authorization header.",
    );
    check(
        &[("authorization", "OSS a:b")],
        "/",
        Some(ErrorCode::AccessDenied),
        "OSS authentication requires a valid Date.",
    );
    check(
        &[("authorization", "OSS a:b"), ("date", "now")],
        "/",
        Some(ErrorCode::AccessDenied),
        "OSS authentication requires a valid Date.",
    );
    check(
        &[("authorization", "OSS a:b"), ("x-oss-date", "now"), DATE],
        "/",
        Some(ErrorCode::AccessDenied),
        "OSS authentication requires a valid Date.",
    );
    check(
        &[("authorization", &format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=a"))],
        "/",
        Some(ErrorCode::AccessDenied),
        "OSS authentication requires a valid Date.",
    );
    let payload = [
        ("authorization", "OSS4-HMAC-SHA256 Credential=AK/20240102/r/oss/aliyun_v4_request,Signature=a"),
        DATE,
        ("x-oss-content-sha256", "x"),
    ];
    check(&payload, "/", argument, "The x-oss-content-sha256 must be UNSIGNED-PAYLOAD or 64 hex digits.");
    check(
        &auth("OSS a b:c"),
        "/",
        Some(ErrorCode::InvalidAccessKeyId),
        &model::name::AccessKeyId::parse("a b").unwrap_err().message,
    );
    check(&[], "/?x-oss-signature-version=OSS2&x-oss-signature=x", argument, invalid);

    let incomplete = "Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters";
    let denied = Some(ErrorCode::AccessDenied);
    check(&[], "/?Signature=a", denied, incomplete);
    check(&[], "/?OSSAccessKeyId=a&Expires=1704171845", denied, incomplete);
    check(&[], "/?Signature=a&Expires=1704171845", denied, incomplete);
    check(&[], "/?OSSAccessKeyId=a&Signature=a&Expires=", denied, incomplete);
    check(&[], "/?OSSAccessKeyId=a&Signature=a&Expires=abc", denied, "Invalid date (should be seconds since epoch).");
    check(&[], "/?OSSAccessKeyId=a&Signature=a&Expires=1704164644", denied, "Request has expired.");
    check(&[], "/?OSSAccessKeyId=a&Signature=a&Expires=1704164645", None, "");
    check(&[], "/?OSSAccessKeyId=a&Signature=a&Expires=99999999999999999999999", None, "");
    check(
        &[("x-oss-security-token", "t")],
        "/?OSSAccessKeyId=a&Signature=a&Expires=1704164645&security-token=t",
        argument,
        "Invalid Argument.",
    );
    check(
        &[("x-oss-security-token", "t")],
        "/?OSSAccessKeyId=a&Signature=a&Expires=1704164645&security-token=",
        None,
        "",
    );
    check(
        &[("x-oss-security-token", "t")],
        "/p.m3u8?OSSAccessKeyId=a&Signature=a&Expires=1704164645&x-oss-process=hls/sign",
        Some(ErrorCode::InvalidRequest),
        "Security-token must be provided by query string parameter.",
    );

    let preflight =
        RawRequest { method: "OPTIONS".to_owned(), ..request("", "examplebucket", "/?Signature=a", &auth("")) };
    let route = route(&preflight, &Addressing::default()).unwrap();
    assert_eq!(Credentials::extract(&preflight, &route, &SignOptions::default(), 0), Ok(Credentials::Anonymous));
}

#[test]
fn clocks_may_differ_by_15_minutes() {
    let check = |now_ms: i64, expected: Option<ErrorCode>| {
        for value in ["OSS a:b".to_owned(), format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=a")] {
            let raw = request("GET", "", "/", &[("authorization", &value), DATE]);
            let route = route(&raw, &Addressing::default()).unwrap();
            let outcome = Credentials::extract(&raw, &route, &SignOptions::default(), now_ms);
            assert_eq!(outcome.err().map(|e| e.code), expected);
        }
    };
    check(NOW_MS + 900_999, None);
    check(NOW_MS - 900_000, None);
    check(NOW_MS + 901_000, Some(ErrorCode::RequestTimeTooSkewed));
    check(NOW_MS - 900_001, Some(ErrorCode::RequestTimeTooSkewed));
    let raw = request("GET", "", "/", &[("authorization", "OSS a:b"), DATE]);
    let error = authenticate_at(&raw, &secret(), &SignOptions::default(), NOW_MS + 1_000_000).unwrap_err();
    let elements: Vec<_> = error.elements.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let expected = [
        ("MaxAllowedSkewMilliseconds", "900000"),
        ("RequestTime", "2024-01-02T03:04:05.000Z"),
        ("ServerTime", "2024-01-02T03:20:45.000Z"),
    ];
    assert_eq!(elements, expected);
}

#[test]
fn regions_are_judged_after_the_key() {
    let strict = SignOptions { accepted_regions: vec!["cn-beijing".to_owned()] };
    let any = SignOptions { accepted_regions: vec!["*".to_owned()] };
    let signer = signer(None);
    let bucket = BucketName::parse("examplebucket").unwrap();
    let unsigned = UnsignedRequest { method: "GET", bucket: Some(&bucket), key: "a", ..UnsignedRequest::default() };
    let mut by_header = request("GET", "examplebucket", "/a", &[]);
    by_header.headers = signer.v4_headers(&unsigned, "cn-hangzhou", NOW_S);
    let mut by_url = request("GET", "examplebucket", "/a", &[]);
    by_url.query = signer.v4_url_query(&unsigned, "cn-hangzhou", NOW_S, 60);
    for (raw, message) in [
        (by_header, "Invalid signing region in Authorization header."),
        (by_url, "Invalid signing region in credential."),
    ] {
        let route = route(&raw, &Addressing::default()).unwrap();
        let credentials = Credentials::extract(&raw, &route, &strict, NOW_MS).unwrap();
        assert_eq!(credentials.admit(None, &raw, &route, NOW_MS).unwrap_err().code, ErrorCode::InvalidAccessKeyId);
        let known = secret();
        let key = KnownKey { secret: &known, is_enabled: true, user_is_enabled: true, session: None };
        let error = credentials.admit(Some(&key), &raw, &route, NOW_MS).unwrap_err();
        assert_eq!((error.code, error.ec), (ErrorCode::InvalidArgument, Some("0002-00000226")));
        assert_eq!(error.message, message);
        assert_eq!(authenticate_at(&raw, &known, &any, NOW_MS), Ok(()));
        assert_eq!(authenticate_at(&raw, &known, &SignOptions::default(), NOW_MS), Ok(()));
        let (day, region) = credentials.signing_scope().unwrap();
        assert_eq!((day, region), ("20240102", "cn-hangzhou"));
        let derived = SigningKey::derive(&known, day, region);
        let credentials = Credentials::extract(&raw, &route, &any, NOW_MS).unwrap();
        assert_eq!(credentials.verify_with(&derived, &raw, &route), Ok(()));
    }
    let product = "OSS4-HMAC-SHA256 Credential=AK/20240102/r/s3/aliyun_v4_request,Signature=a";
    let error = authenticate(&with_authorization(&request("GET", "", "/", &[DATE]), product)).unwrap_err();
    assert_eq!(error.ec, Some("0002-00000227"));
}

#[test]
fn mismatches_tell_what_was_signed_in_hex_too() {
    let raw = request("GET", "examplebucket", &format!("/a.ts?{CLAIM}x"), &[]);
    let error = authenticate(&raw).unwrap_err();
    let elements: Vec<_> = error.elements.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let hex =
        "47 45 54 0A 0A 0A 31 37 30 34 31 37 31 38 34 35 0A 2F 65 78 61 6D 70 6C 65 62 75 63 6B 65 74 2F 61 2E 74 73";
    let expected = [
        ("OSSAccessKeyId", ID),
        ("SignatureProvided", "x"),
        ("StringToSign", "GET\n\n\n1704171845\n/examplebucket/a.ts"),
        ("StringToSignBytes", hex),
    ];
    assert_eq!(elements, expected);
}

#[test]
fn a_signed_body_hash_is_told() {
    let hash = "ab".repeat(32);
    let headers = [("authorization", format!("OSS4-HMAC-SHA256 Credential=AK/{SCOPE},Signature=a"))];
    let check = |payload: Option<&str>, expected: Option<[u8; 32]>| {
        let mut all = vec![(headers[0].0, headers[0].1.as_str()), DATE];
        all.extend(payload.map(|payload| ("x-oss-content-sha256", payload)));
        let raw = request("PUT", "examplebucket", "/a", &all);
        let route = route(&raw, &Addressing::default()).unwrap();
        let credentials = Credentials::extract(&raw, &route, &SignOptions::default(), NOW_MS).unwrap();
        assert_eq!(credentials.payload_sha256(), expected);
    };
    check(None, None);
    check(Some("UNSIGNED-PAYLOAD"), None);
    check(Some(&hash), Some([0xab; 32]));
}

#[test]
fn what_is_logged_does_not_sign() {
    for raw in [
        with_authorization(&request("GET", "", "/", &[DATE, ("x-oss-security-token", "hush")]), "OSS a:hush"),
        with_authorization(
            &request("GET", "", "/", &[DATE]),
            &format!("OSS4-HMAC-SHA256 Credential=a/{SCOPE},Signature=hush"),
        ),
        request(
            "GET",
            "examplebucket",
            "/?OSSAccessKeyId=a&Expires=9999999999&Signature=hush&security-token=hush",
            &[],
        ),
        request(
            "GET",
            "examplebucket",
            &format!(
                "/?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=a/{SCOPE}&x-oss-date=20240102T030405Z&x-oss-expires=1&x-oss-signature=hush&x-oss-security-token=hush"
            ),
            &[],
        ),
    ] {
        let route = route(&raw, &Addressing::default()).unwrap();
        let shown = format!("{:?}", Credentials::extract(&raw, &route, &SignOptions::default(), NOW_MS).unwrap());
        assert!(shown.contains("AccessKeyId(\"a\")") && !shown.contains("hush"), "{shown}");
    }
}

#[test]
fn anonymous_callers_are_never_verified() {
    let raw = request("GET", "examplebucket", "/a", &[]);
    assert_eq!(authenticate(&raw).unwrap_err().code, ErrorCode::AccessDenied);
    let post = request(
        "POST",
        "examplebucket",
        "/?Signature=x",
        &[("content-type", "multipart/form-data; boundary=x"), ("authorization", "")],
    );
    let route = route(&post, &Addressing::default()).unwrap();
    assert_eq!(Credentials::extract(&post, &route, &SignOptions::default(), 0), Ok(Credentials::Form));
}

fn signer(token: Option<&str>) -> Signer {
    Signer { access_key: AccessKeyId::parse(ID).unwrap(), secret: secret(), token: token.map(str::to_owned) }
}
