//! The examples of OSS auth 3.6, 4, 5.7, 6 and 12, the refusals of 8, and the properties of signing.

use proptest::prelude::*;

use super::presign::{Signer, UnsignedRequest};
use super::*;
use crate::name::BucketName;
use crate::request::{Addressing, percent_encode, route};

const NOW_S: i64 = 1_704_164_645;
const NOW_MS: i64 = NOW_S * 1000;
const DATE: (&str, &str) = ("date", "Tue, 02 Jan 2024 03:04:05 GMT");
const ID: &str = "AKIDEXAMPLE0001";
const SECRET: &str = "FakeSecretForSpecOnly000000000001";
const TOKEN: &str = "CAISfakeToken+/0001==";
const HOST: &str = "oss-cn-hangzhou.aliyuncs.com";
const SCOPE: &str = "20240102/cn-hangzhou/oss/aliyun_v4_request";

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

#[test]
fn v1_header_examples() {
    let check = |method, bucket, target, headers: &[(&str, &str)], signature, string: &str| {
        check_header(&request(method, bucket, target, headers), "OSS AKIDEXAMPLE0001:", signature, string);
    };
    let line = "Tue, 02 Jan 2024 03:04:05 GMT";
    check(
        "PUT",
        "examplebucket",
        "/docs/hello%20world.txt",
        &[
            ("content-md5", "M3szwC+JSTAmhDmD/ycqMA=="),
            ("content-type", "text/plain"),
            DATE,
            ("x-oss-object-acl", "private"),
            ("x-oss-meta-author", "alice"),
        ],
        "Gg1eH+7o1foAkb/CnxNDx5ESOAg=",
        &format!(
            "PUT\nM3szwC+JSTAmhDmD/ycqMA==\ntext/plain\n{line}\nx-oss-meta-author:alice\nx-oss-object-acl:private\n/examplebucket/docs/hello world.txt"
        ),
    );
    let get = |bucket, target, signature, resource: &str| {
        check("GET", bucket, target, &[DATE], signature, &format!("GET\n\n\n{line}\n{resource}"));
    };
    get("examplebucket", "/?acl", "xrio2nYZOr1f+1DL1uEWgaXSUw4=", "/examplebucket/?acl");
    get("examplebucket", "/?acl=", "xrio2nYZOr1f+1DL1uEWgaXSUw4=", "/examplebucket/?acl");
    get("examplebucket", "/?prefix=live/&max-keys=10", "dmyS6P1k5uhK4aWoJskHQuS6pPk=", "/examplebucket/");
    get("", "/", "ynJJODIH7WpAkeUM4FngdQTdGsg=", "/");
    get(
        "examplebucket",
        "/a.ts?response-content-type=video%2Fmp2t",
        "5DLEZwGqfPtf45ABrov66KVZngA=",
        "/examplebucket/a.ts?response-content-type=video/mp2t",
    );
    get(
        "examplebucket",
        "/%E8%A7%86%E9%A2%91/a%2Bb%20&c~*'()!.ts",
        "oR2thsV8kCEJ2WghkypTsWFk2D4=",
        "/examplebucket/视频/a+b &c~*'()!.ts",
    );
    check(
        "PUT",
        "examplebucket",
        "/big.bin?uploadId=0004B9894A22E5B1888A1E29F8236E2D&partNumber=2",
        &[("content-type", "application/octet-stream"), DATE, ("x-oss-security-token", TOKEN)],
        "HfeHn/JMmCYqsSXkrxvIl45Fv6A=",
        &format!(
            "PUT\n\napplication/octet-stream\n{line}\nx-oss-security-token:{TOKEN}\n/examplebucket/big.bin?partNumber=2&uploadId=0004B9894A22E5B1888A1E29F8236E2D"
        ),
    );
    check(
        "GET",
        "examplebucket",
        "/a.ts",
        &[("x-oss-date", line)],
        "W4K3MHBhuH0xgEGO13z/jWDEYTY=",
        &format!("GET\n\n\n{line}\nx-oss-date:{line}\n/examplebucket/a.ts"),
    );
}

#[test]
fn v1_vectors_of_documents_and_sdks() {
    let check = |id: &str, secret: &str, raw: &RawRequest, now: i64, signature: &str| {
        let raw = with_authorization(raw, &format!("OSS {id}:{signature}"));
        let secret = SecretKey::new(secret.to_owned());
        assert_eq!(authenticate_at(&raw, &secret, &SignOptions::default(), now * 1000), Ok(()));
    };
    let raw = request(
        "PUT",
        "oss-example",
        "/nelson",
        &[
            ("content-md5", "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM="),
            ("content-type", "text/html"),
            ("date", "Thu, 17 Nov 2005 18:49:58 GMT"),
            ("x-oss-meta-author", "foo@bar.com"),
            ("x-oss-magic", "abracadabra"),
        ],
    );
    check(
        "44CF9590006BF252F707",
        "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV",
        &raw,
        1_132_253_398,
        "26NBxoKdsyly4EDv6inkoDft/yA=",
    );
    let date = "Wed, 28 Dec 2022 10:27:41 GMT";
    let upload = [
        ("content-md5", "eB5eJF1ptWaXm4bijSPyxw=="),
        ("content-type", "text/html"),
        ("x-oss-date", date),
        ("date", date),
        ("x-oss-meta-author", "alice"),
        ("x-oss-meta-magic", "abracadabra"),
    ];
    let dates = [("x-oss-date", date), ("date", date)];
    for (method, target, headers, signature) in [
        ("PUT", "/nelson", &upload[..], "kSHKmLxlyEAKtZPkJhG9bZb5k7M="),
        ("PUT", "/nelson?acl", &upload[..], "/afkugFbmWDQ967j1vr6zygBLQk="),
        ("GET", "/?resourceGroup", &dates[..], "vkQmfuUDyi1uDi3bKt67oemssIs="),
        ("GET", "/?resourceGroup&acl", &dates[..], "x3E5TgOvl/i7PN618s5mEvpJDYk="),
    ] {
        check("ak", "sk", &request(method, "examplebucket", target, headers), 1_672_223_261, signature);
    }
}

#[test]
fn v1_spellings_of_sdks() {
    let check = |raw: &RawRequest, string: &str, expected: bool| {
        let raw = with_authorization(raw, &format!("OSS {ID}:{}", secret::sign_sha1(&secret(), string.as_bytes())));
        assert_eq!(authenticate(&raw).is_ok(), expected, "{string:?}");
    };
    let line = DATE.1;
    let bucket = |path: &str| RawRequest { host: "127.0.0.1".to_owned(), ..request("GET", "", path, &[DATE]) };
    // Java writes `name=` and signs it so; others write it and sign the bare name.
    for (resource, expected) in [("?acl=", true), ("?acl", true), ("?acl=x", false), ("", false)] {
        check(&bucket("/examplebucket/?acl="), &format!("GET\n\n\n{line}\n/examplebucket/{resource}"), expected);
    }
    check(&bucket("/examplebucket/?acl"), &format!("GET\n\n\n{line}\n/examplebucket/?acl="), false);
    // OpenDAL in path style.
    check(&bucket("/examplebucket?acl"), &format!("GET\n\n\n{line}\n/examplebucket?acl"), true);
    check(&bucket("/examplebucket?acl"), &format!("GET\n\n\n{line}\n/examplebucket/?acl"), true);
    check(&bucket("/examplebucket/?acl"), &format!("GET\n\n\n{line}\n/examplebucket?acl"), false);
    // Go and Java sign `Date` although they send `x-oss-date` too.
    let both = request("GET", "", "/", &[("date", "Tue, 02 Jan 2024 03:04:04 GMT"), ("x-oss-date", line)]);
    check(&both, &format!("GET\n\n\n{line}\nx-oss-date:{line}\n/"), true);
    check(&both, &format!("GET\n\n\nTue, 02 Jan 2024 03:04:04 GMT\nx-oss-date:{line}\n/"), true);
    check(&both, &format!("GET\n\n\n\nx-oss-date:{line}\n/"), false);
    let basic = request("GET", "", "/", &[("x-oss-date", "20240102T030405Z")]);
    check(&basic, "GET\n\n\n20240102T030405Z\nx-oss-date:20240102T030405Z\n/", true);
    // The first of several parameters with one name counts.
    check(&bucket("/examplebucket/?acl=1&acl=2"), &format!("GET\n\n\n{line}\n/examplebucket/?acl=1"), true);
}

const CLAIM: &str = "OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=";

#[test]
fn v1_url_examples() {
    let check = |method, target: &str, headers: &[(&str, &str)], string: &str| {
        let raw = request(method, "examplebucket", target, headers);
        for raw in [raw.clone(), in_path_style(&raw)] {
            assert_eq!(authenticate(&raw), Ok(()), "{target}");
            for (from, to) in
                [("Expires=1704171845", "Expires=1704171846"), ("%3D", "A%3D"), ("Signature=", "Signature=A")]
            {
                let wrong = RawRequest { query: raw.query.replacen(from, to, 1), ..raw.clone() };
                let error = authenticate(&wrong).unwrap_err();
                assert_eq!((error.code, error.ec), (ErrorCode::SignatureDoesNotMatch, Some("0002-00000040")));
            }
        }
        let wrong = RawRequest { query: raw.query.replacen("Signature=", "Signature=A", 1), ..raw };
        assert_eq!(element(&authenticate(&wrong).unwrap_err(), "StringToSign"), Some(string));
    };
    let playlist = "/live/ch1/playlist.m3u8";
    check(
        "GET",
        &format!("{playlist}?{CLAIM}tGkbNzh0peG%2FKKuQT9NYczi7zuk%3D"),
        &[],
        "GET\n\n\n1704171845\n/examplebucket/live/ch1/playlist.m3u8",
    );
    check(
        "PUT",
        &format!("/live/ch1/1.ts?{CLAIM}IHbFPoz4z5CUbNre72%2Fmp3ffl6Y%3D"),
        &[("content-type", "video/mp2t")],
        "PUT\n\nvideo/mp2t\n1704171845\n/examplebucket/live/ch1/1.ts",
    );
    let signed = "GET\n\n\n1704171845\n/examplebucket/live/ch1/playlist.m3u8?x-oss-process=hls/sign";
    let signature = "yevpYOxpZHA7iecHbw4yiVuN%2Bg8%3D";
    // Forms A, B and C of 9.7, and parameters in another order.
    check("GET", &format!("{playlist}?x-oss-process=hls%2Fsign&{CLAIM}{signature}"), &[], signed);
    check("GET", &format!("{playlist}?x-oss-process=hls/sign&{CLAIM}{signature}"), &[], signed);
    check("GET", &format!("/live%2Fch1%2Fplaylist.m3u8?x-oss-process=hls/sign&{CLAIM}{signature}"), &[], signed);
    check("GET", &format!("{playlist}?{CLAIM}{signature}&x-oss-process=hls/sign"), &[], signed);
    // Form D: the parameters are part of the key, and the string to sign is the same.
    let raw = format!("/live%2Fch1%2Fplaylist.m3u8%3Fx-oss-process%3Dhls%2Fsign?{CLAIM}{signature}");
    check("GET", &raw, &[], signed);
    check(
        "GET",
        &format!(
            "{playlist}?x-oss-process=hls%2Fsign&security-token=CAISfakeToken%2B%2F0001%3D%3D&{CLAIM}qhDGGL9jmxnSTewri0FmSy5VodQ%3D"
        ),
        &[],
        "GET\n\n\n1704171845\n/examplebucket/live/ch1/playlist.m3u8?security-token=CAISfakeToken+/0001==&x-oss-process=hls/sign",
    );
    check(
        "GET",
        &format!(
            "/vod/a.mp4?response-content-disposition=attachment%3B%20filename%3D%22a%20b.mp4%22&response-content-type=video%2Fmp4&{CLAIM}EYXMKdd%2Fm2ooGdNmH6w9cXR0vls%3D"
        ),
        &[],
        "GET\n\n\n1704171845\n/examplebucket/vod/a.mp4?response-content-disposition=attachment; filename=\"a b.mp4\"&response-content-type=video/mp4",
    );
}

#[test]
fn v1_url_vectors_of_sdks() {
    let check = |bucket, target: &str, now: i64| {
        let secret = SecretKey::new("sk".to_owned());
        let raw = request("GET", bucket, target, &[]);
        assert_eq!(authenticate_at(&raw, &secret, &SignOptions::default(), now * 1000), Ok(()), "{target}");
        let late = authenticate_at(&raw, &secret, &SignOptions::default(), (now + 1) * 1000).unwrap_err();
        assert_eq!((late.code, late.ec), (ErrorCode::AccessDenied, Some("0002-00000069")));
    };
    check(
        "bucket",
        "/key?versionId=versionId&Expires=1699807420&OSSAccessKeyId=ak&Signature=dcLTea%2BYh9ApirQ8o8dOPqtvJXQ%3D",
        1_699_807_420,
    );
    check(
        "bucket",
        "/key%2B123?versionId=versionId&security-token=token&Expires=1699808204&OSSAccessKeyId=ak&Signature=jzKYRrM5y6Br0dRFPaTGOsbrDhY%3D",
        1_699_808_204,
    );
    // A plus sign that was not escaped, in a token or a signature, and spaces that stand for it.
    check(
        "bucket",
        "/key?versionId=versionId&Expires=1699807420&OSSAccessKeyId=ak&Signature=dcLTea+Yh9ApirQ8o8dOPqtvJXQ=",
        1_699_807_420,
    );
    check(
        "bucket",
        "/key?versionId=versionId&Expires=1699807420&OSSAccessKeyId=ak&Signature=dcLTea%20Yh9ApirQ8o8dOPqtvJXQ=",
        1_699_807_420,
    );
}

#[test]
fn v4_header_examples() {
    let check = |method, bucket, target, headers: &[(&str, &str)], additional: &str, hash: &str, signature: &str| {
        let raw = request(method, bucket, target, headers);
        let authorization = format!("OSS4-HMAC-SHA256 Credential={ID}/{SCOPE},{additional}Signature=");
        let timestamp = headers.iter().find(|(n, _)| *n == "x-oss-date").map_or(DATE.1, |(_, value)| value);
        let string = format!("OSS4-HMAC-SHA256\n{timestamp}\n{SCOPE}\n{hash}");
        let raws = if additional.is_empty() { vec![raw.clone(), in_path_style(&raw)] } else { vec![raw.clone()] };
        for raw in raws {
            let signed = with_authorization(&raw, &format!("{authorization}{signature}"));
            assert_eq!(authenticate(&signed), Ok(()), "{target}");
        }
        let wrong = with_authorization(&raw, &format!("{authorization}{}", signature.replacen(['0', '1'], "2", 1)));
        let error = authenticate(&wrong).unwrap_err();
        assert_eq!(element(&error, "StringToSign"), Some(string.as_str()), "{:?}", element(&error, "CanonicalRequest"));
        element(&error, "CanonicalRequest").unwrap().to_owned()
    };
    let common = [("x-oss-content-sha256", "UNSIGNED-PAYLOAD"), ("x-oss-date", "20240102T030405Z")];
    let mut upload = vec![
        ("content-md5", "M3szwC+JSTAmhDmD/ycqMA=="),
        ("content-type", "text/plain"),
        ("x-oss-meta-author", "alice"),
    ];
    upload.extend(common);
    let canonical = check(
        "PUT",
        "examplebucket",
        "/docs/hello%20world.txt",
        &upload,
        "",
        V4H1_HASH,
        "d91110253a423ddea369307e3c4f8177075c9db7f97f0743f5bf97c852f62b5f",
    );
    assert_eq!(
        canonical,
        "PUT\n/examplebucket/docs/hello%20world.txt\n\ncontent-md5:M3szwC+JSTAmhDmD/ycqMA==\ncontent-type:text/plain\nx-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20240102T030405Z\nx-oss-meta-author:alice\n\n\nUNSIGNED-PAYLOAD"
    );
    check(
        "GET",
        "examplebucket",
        "/?acl",
        &common,
        "",
        "8bd902d70e94ad80b323c919306ae6ce45b7aa659182ba5f77d028b600cd6d13",
        "481c32f260e359010f4444077c073cbc27050b3aea970eb17fd306f87aa499ce",
    );
    let canonical = check(
        "GET",
        "examplebucket",
        "/?list-type=2&prefix=live/ch1/&delimiter=/&max-keys=100&encoding-type=url",
        &common,
        "AdditionalHeaders=host, ",
        "3b52c6755f3d9d21ff121b016ac6ab59338fb543a79aa12b04a0b6de4408cb6d",
        "6edc80791836b759d091a32790cd5e00075ce5cdf266f5fb38be251c2694b7ee",
    );
    assert_eq!(
        canonical,
        "GET\n/examplebucket/\ndelimiter=%2F&encoding-type=url&list-type=2&max-keys=100&prefix=live%2Fch1%2F\nhost:examplebucket.oss-cn-hangzhou.aliyuncs.com\nx-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20240102T030405Z\n\nhost\nUNSIGNED-PAYLOAD"
    );
    check(
        "GET",
        "",
        "/",
        &common,
        "",
        "586e838585fae620d917f9bfe8c39d0fc65fc5042737e0e12f95ba30f33fecbc",
        "8ca84d889eed1ef2347871428d6e07f4ddb5efef540d69f40637f5c5d497c46e",
    );
    check(
        "GET",
        "examplebucket",
        "/%E8%A7%86%E9%A2%91/a%2Bb%20&c~*'()!.ts",
        &common,
        "AdditionalHeaders=, ",
        "1d0a9f21936847779db9a623eb0b67d8f4633cd1c1fc93bd244785830a750dc8",
        "01a0103a82d1a9eb18de25dbd3cf0e9204cc90f88466c3c209880c94e4a9ebe6",
    );
    check(
        "GET",
        "examplebucket",
        "/a.ts",
        &[common[0], DATE],
        "",
        "82f79b934171889c16c604ec792254b4e6f2b9e961a123fc9fad5e09a393fa7a",
        "207fe4245d529df9ad1a299dcbea9b974ec48e40bf1e5f036d7aec33c39e7bf9",
    );
}

const V4H1_HASH: &str = "a322ba83a409b49abc8c5ffbb0d2976360d0038a98af220b270783b66ac608b9";
const SDK_TARGET: &str =
    "/1234%2B-/123/1.txt?param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2&%7Cparam2&param2";

#[test]
fn v4_header_vectors_of_sdks() {
    let check = |now: i64, more: &[(&str, &str)], additional: &str, signature: &str| {
        let timestamp = date::format_basic(now);
        let mut headers = vec![
            ("x-oss-head1", "value"),
            ("content-type", "text/plain"),
            ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-oss-date", &timestamp),
        ];
        headers.extend(more);
        let raw = request("PUT", "bucket", SDK_TARGET, &headers);
        let day = &timestamp[..8];
        let raw = with_authorization(
            &raw,
            &format!(
                "OSS4-HMAC-SHA256 Credential=ak/{day}/cn-hangzhou/oss/aliyun_v4_request,{additional}Signature={signature}"
            ),
        );
        let secret = SecretKey::new("sk".to_owned());
        assert_eq!(authenticate_at(&raw, &secret, &SignOptions::default(), now * 1000), Ok(()));
        let strict = SignOptions { accepted_regions: vec!["cn-hangzhou".to_owned()] };
        assert_eq!(authenticate_at(&raw, &secret, &strict, now * 1000), Ok(()));
    };
    check(1_702_743_657, &[], "", "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe");
    check(
        1_702_784_856,
        &[("x-oss-security-token", "token")],
        "",
        "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    );
    let more = [("zabc", "value"), ("abc", "value")];
    let signature = "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f";
    check(1_702_747_512, &more, "AdditionalHeaders=abc;zabc,", signature);
    check(1_702_747_512, &more, "AdditionalHeaders=ZABC;abc;x-oss-head1, ", signature);
}

#[test]
fn v4_url_examples() {
    let claim = |day: &str, id: &str| {
        format!(
            "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential={id}%2F{day}%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
        )
    };
    let check = |raw: &RawRequest, secret: &str, now: i64| {
        let secret = SecretKey::new(secret.to_owned());
        let options = SignOptions::default();
        assert_eq!(authenticate_at(raw, &secret, &options, now * 1000), Ok(()), "{}", raw.query);
        let wrong = RawRequest { query: raw.query.replace("x-oss-expires=", "x-oss-expires=1"), ..raw.clone() };
        assert_eq!(
            authenticate_at(&wrong, &secret, &options, now * 1000).unwrap_err().code,
            ErrorCode::SignatureDoesNotMatch
        );
    };
    let example = |method, target: &str, headers: &[(&str, &str)], rest: &str, signature: &str| {
        let separator = if target.contains('?') { '&' } else { '?' };
        let claim = claim("20240102", ID);
        let target = format!(
            "{target}{separator}{claim}&x-oss-date=20240102T030405Z&x-oss-expires=3600{rest}&x-oss-signature={signature}"
        );
        request(method, "examplebucket", &target, headers)
    };
    let segment = "/live/ch1/1704164641000.ts";
    let url1 = "4658e7b67f8a8f2133d08c939e400207683545b0d0622634c98956b67528bfba";
    let plain = example("GET", segment, &[], "", url1);
    check(&plain, SECRET, NOW_S);
    check(&in_path_style(&plain), SECRET, NOW_S);
    check(&plain, SECRET, NOW_S - 900);
    check(&plain, SECRET, NOW_S + 3600);
    // A payload header that was added later is not part of the signature, one that was there before is.
    check(&example("GET", segment, &[("x-oss-content-sha256", "UNSIGNED-PAYLOAD")], "", url1), SECRET, NOW_S);
    let hosted = example(
        "GET",
        &format!("/examplebucket{segment}"),
        &[],
        "&x-oss-additional-headers=host",
        "324d6e7e640ee593ddfbe009e26d78d059af9137b14bd9994f948a1fa8e0638d",
    );
    check(&RawRequest { host: "127.0.0.1:9000".to_owned(), ..hosted.clone() }, SECRET, NOW_S);
    let elsewhere = RawRequest { host: "127.0.0.1:9001".to_owned(), ..hosted };
    assert_eq!(authenticate(&elsewhere).unwrap_err().code, ErrorCode::SignatureDoesNotMatch);
    let playlist = "ff9ed3d519a0fdb38d54f668b2c7fd1d676abdf99df5ca53c577685957ca4b1b";
    check(&example("GET", "/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign", &[], "", playlist), SECRET, NOW_S);
    check(&example("GET", "/live/ch1/playlist.m3u8?x-oss-process=hls/sign", &[], "", playlist), SECRET, NOW_S);
    let form_e = "0eabac6107c1e3967e86d8ad9a7e52ff4357bd172dba6003efe5fce55f77d90d";
    check(&example("GET", "/live%2Fch1%2Fplaylist.m3u8%3Fx-oss-process%3Dhls%2Fsign", &[], "", form_e), SECRET, NOW_S);
    // Form F: un-escaping form E makes another request of it.
    let form_f = example("GET", "/live/ch1/playlist.m3u8?x-oss-process=hls/sign", &[], "", form_e);
    assert_eq!(authenticate(&form_f).unwrap_err().code, ErrorCode::SignatureDoesNotMatch);
    let token = "&x-oss-security-token=CAISfakeToken%2B%2F0001%3D%3D";
    let signature = "cb2c30fdf1c5e48c67b08b8bac901ec2c1a160ce63fea1941473887ce72a0078";
    check(&example("GET", segment, &[], token, signature), SECRET, NOW_S);
    let signature = "c56a6fa4ab6eb2ffac8ffbb0c41bf657cca2058f1a5820364ab90449be1efd58";
    check(&example("PUT", "/live/ch1/1.ts", &[("content-type", "video/mp2t")], "", signature), SECRET, NOW_S);

    for (now, headers, rest, signature) in [
        (1_702_781_677, &[][..], "", "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe"),
        (
            1_702_785_388,
            &[],
            "&x-oss-security-token=token",
            "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5",
        ),
        (
            1_702_783_809,
            &[("abc", "value"), ("zabc", "value")],
            "&x-oss-additional-headers=abc%3Bzabc",
            "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7",
        ),
    ] {
        let timestamp = date::format_basic(now);
        let claim = claim(&timestamp[..8], "ak");
        let target =
            format!("{SDK_TARGET}&{claim}&x-oss-date={timestamp}&x-oss-expires=599{rest}&x-oss-signature={signature}");
        let mut all = vec![("x-oss-head1", "value"), ("content-type", "application/octet-stream")];
        all.extend(headers);
        check(&request("PUT", "bucket", &target, &all), "sk", now);
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
        &crate::name::AccessKeyId::parse("a b").unwrap_err().message,
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
fn v4_urls_name_the_missing_part() {
    let check = |target: &str, now: i64, code: ErrorCode, ec: Option<&str>| {
        let raw =
            request("GET", "examplebucket", &format!("/a?x-oss-signature-version=OSS4-HMAC-SHA256&{target}"), &[]);
        let route = route(&raw, &Addressing::default()).unwrap();
        let error = Credentials::extract(&raw, &route, &SignOptions::default(), now * 1000).unwrap_err();
        assert_eq!((error.code, error.ec), (code, ec), "{target}");
    };
    let argument = ErrorCode::InvalidArgument;
    let all = |credential: &str, date: &str, expires: &str, signature: &str| {
        format!("x-oss-credential={credential}&x-oss-date={date}&x-oss-expires={expires}&x-oss-signature={signature}")
    };
    let credential = format!("AK/{SCOPE}");
    let date = "20240102T030405Z";
    check("x-oss-date=20240102T030405Z", NOW_S, argument, Some("0002-00000213"));
    check(&all("AK", date, "1", "a"), NOW_S, argument, Some("0002-00000213"));
    check(&all(&credential, "", "1", "a"), NOW_S, argument, None);
    check(&all(&credential, "Tue", "1", "a"), NOW_S, argument, None);
    check(&all(&credential, date, "", "a"), NOW_S, argument, Some("0002-00000215"));
    check(&all(&credential, date, "1h", "a"), NOW_S, argument, Some("0002-00000215"));
    check(&all(&credential, date, "0", "a"), NOW_S, argument, Some("0002-00000232"));
    check(&all(&credential, date, "-1", "a"), NOW_S, argument, Some("0002-00000232"));
    check(&all(&credential, date, "604801", "a"), NOW_S, argument, Some("0002-00000232"));
    check(&all(&credential, date, "1", ""), NOW_S, argument, Some("0002-00000219"));
    check(&all(&credential, "20240103T030405Z", "1", "a"), NOW_S, argument, Some("0002-00000212"));
    check(&all(&credential, date, "600", "a"), NOW_S + 601, ErrorCode::AccessDenied, None);
    check(&all(&credential, date, "600", "a"), NOW_S - 901, ErrorCode::RequestTimeTooSkewed, Some("0002-00000504"));
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

/// The four ways to sign one request.
fn sign(scheme: u8, signer: &Signer, unsigned: &UnsignedRequest<'_>, raw: &RawRequest) -> RawRequest {
    let mut raw = raw.clone();
    match scheme {
        0 => raw.headers.extend(signer.v1_headers(unsigned, NOW_S)),
        1 => raw.headers.extend(signer.v4_headers(unsigned, "cn-hangzhou", NOW_S)),
        2 => raw.query = signer.v1_url_query(unsigned, NOW_S + 60),
        _ => raw.query = signer.v4_url_query(unsigned, "cn-hangzhou", NOW_S, 60),
    }
    raw
}

proptest! {
    #[test]
    fn whatever_is_signed_verifies_and_any_change_does_not(
        scheme in 0..4_u8,
        method in prop::sample::select(vec!["GET", "PUT", "DELETE"]),
        key in "[a-zA-Z0-9 +%?&=~*'()!/字_.-]{1,24}".prop_filter("keys do not begin with a slash", |key| !key.starts_with('/')),
        value in "\\PC{0,8}",
        meta in "[ -~]{0,8}",
        token in prop::option::of("[A-Za-z0-9+/=]{1,12}"),
        path_style: bool,
        change in 0..5_u8,
        at: usize,
    ) {
        let bucket = BucketName::parse("examplebucket").unwrap();
        let headers = vec![("x-oss-meta-a".to_owned(), meta.into_bytes()), ("content-type".to_owned(), b"text/plain".to_vec())];
        let query = [("versionId", Some(value.as_str())), ("response-expires", None)];
        let unsigned = UnsignedRequest { method, bucket: Some(&bucket), key: &key, query: &query, headers: &headers };
        let mut raw = request(method, "examplebucket", &unsigned.encoded_path(), &[]);
        raw.headers = headers.clone();
        raw.query = format!("versionId={}&response-expires", percent_encode(value.as_bytes(), false));
        let raw = sign(scheme, &signer(token.as_deref()), &unsigned, &raw);
        let raw = if path_style { in_path_style(&raw) } else { raw };
        prop_assert_eq!(authenticate(&raw), Ok(()));

        let mut changed = raw.clone();
        match change {
            0 => changed.method = if method == "PUT" { "GET" } else { "PUT" }.to_owned(),
            1 => changed.path.push('x'),
            2 => changed.query = changed.query.replacen("versionId=", "versionId=x", 1),
            3 => changed.headers[0].1.push(b'x'),
            _ => {
                let carrier = raw.headers.iter().position(|(name, _)| name == "authorization");
                let text = match carrier {
                    Some(index) => &mut changed.headers[index].1,
                    None => &mut changed.query.clone().into_bytes(),
                };
                let signature_at = String::from_utf8(text.clone()).unwrap().rfind(['=', ':', ',']).unwrap();
                let at = signature_at + 1 + at % (text.len() - signature_at - 1).max(1);
                if let Some(byte) = text.get_mut(at) { *byte = if *byte == b'a' { b'b' } else { b'a' } }
                if carrier.is_none() { changed.query = String::from_utf8(text.clone()).unwrap() }
                if changed.query == raw.query && changed.headers == raw.headers { changed.path.push('x') }
            }
        }
        prop_assert!(authenticate(&changed).is_err(), "{:?}", changed);
    }

    #[test]
    fn no_request_panics(
        method in "[A-Z]{0,7}",
        path in "/[ -~]{0,20}",
        query in "([A-Za-z-]{0,12}=?[ -~]{0,8}&?){0,4}",
        known in prop::collection::vec((prop::sample::select(vec![
            "OSSAccessKeyId", "Expires", "Signature", "x-oss-signature-version", "x-oss-credential", "x-oss-date",
            "x-oss-expires", "x-oss-signature", "x-oss-additional-headers", "security-token",
        ]), prop::sample::select(vec![
            "", "1", "OSS4-HMAC-SHA256", "AK/20240102/r/oss/aliyun_v4_request", "20240102T030405Z", "9999999999", "%ff", "host;;Range",
        ])), 0..8),
        authorization in prop::option::of("(OSS |OSS4-HMAC-SHA256 |)[ -~]{0,60}"),
        header in prop::collection::vec(any::<u8>(), 0..20),
        now_ms: i64,
    ) {
        let mut raw = request(&method, "examplebucket", &path, &[DATE]);
        raw.query = query;
        for (name, value) in known {
            raw.query.push_str(&format!("&{name}={value}"));
        }
        raw.headers.push(("x-oss-x".to_owned(), header));
        if let Some(authorization) = authorization {
            raw = with_authorization(&raw, &authorization);
        }
        for now_ms in [now_ms, NOW_MS] {
            let _ = authenticate_at(&raw, &secret(), &SignOptions::default(), now_ms);
        }
    }
}
