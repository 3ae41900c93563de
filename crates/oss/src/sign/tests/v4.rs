//! The examples of OSS auth 5.7, 6 and 12 for version 4.

use super::*;

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
fn v4_spellings_of_sdks() {
    let derived = SigningKey::derive(&secret(), "20240102", "cn-hangzhou");
    let check = |target: &str, canonical_query: &str, given: &str, listed: &str, expected: bool| {
        let headers = [("x-oss-date", "20240102T030405Z"), ("range", "bytes=0-1")];
        let raw = request("GET", "examplebucket", target, &headers);
        let range = if given.is_empty() { "" } else { "range:bytes=0-1\n" };
        let canonical = format!(
            "GET\n/examplebucket/\n{canonical_query}\n{range}x-oss-date:20240102T030405Z\n\n{listed}\nUNSIGNED-PAYLOAD"
        );
        let hash = secret::sha256_hex(canonical.as_bytes());
        let string = format!("OSS4-HMAC-SHA256\n20240102T030405Z\n{SCOPE}\n{hash}");
        let signature = derived.sign(string.as_bytes());
        let value = format!("OSS4-HMAC-SHA256 Credential={ID}/{SCOPE},AdditionalHeaders={given},Signature={signature}");
        assert_eq!(authenticate(&with_authorization(&raw, &value)).is_ok(), expected, "{canonical}");
    };
    // ali-oss signs an empty value as it was written; the canonical form leaves the sign of equality out.
    check("/?acl=", "acl=", "", "", true);
    check("/?acl=", "acl", "", "", true);
    check("/?acl", "acl", "", "", true);
    check("/?acl", "acl=", "", "", false);
    // When it lists uploads it leaves that out of the parameter that selects the operation, but of no other.
    check("/?acl=&a=", "a=&acl", "", "", true);
    check("/?acl=&a=", "a&acl=", "", "", false);
    // Names of additional headers as they were given, or in lower case.
    check("/?acl", "acl", "Range", "range", true);
    check("/?acl", "acl", "Range", "Range", true);
    check("/?acl", "acl", "range", "Range", false);
    check("/?acl", "acl", "range", "", false);
}
