//! Whatever is signed verifies, any change does not, and nothing panics.

use proptest::prelude::*;

use super::*;
use model::percent::percent_encode;

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

/// A request without what may be written in several ways: hex digits of escapes in either case, a plus in the signature
/// of a V1 URL as a space (OSS auth 4), further commas in a V4 `Authorization` (OSS auth 5).
fn canonical(raw: &RawRequest) -> RawRequest {
    let escapes = |text: &str| {
        let mut pieces = text.split('%');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
            out.push_str(&format!("%{}{rest}", digits.to_ascii_uppercase()));
        }
        out
    };
    let mut raw = raw.clone();
    raw.path = escapes(&raw.path);
    raw.query = escapes(&raw.query);
    if let Some((before, signature)) = raw.query.split_once("&Signature=") {
        let (signature, rest) = signature.split_once('&').unwrap_or((signature, ""));
        raw.query = format!("{before}&Signature={}&{rest}", signature.replace("%20", "+").replace("%2B", "+"));
    }
    for (name, value) in &mut raw.headers {
        if name == "authorization" && value.starts_with(b"OSS4") {
            *value = String::from_utf8_lossy(value).replace(",,", ", ").into_bytes();
        }
    }
    raw
}

/// The id is not signed itself: another one finds another secret, or none.
fn names_another_key(raw: &RawRequest) -> bool {
    let claim = route(raw, &Addressing::default())
        .and_then(|route| Credentials::extract(raw, &route, &SignOptions::default(), NOW_MS));
    claim.is_ok_and(|claim| claim.access_key_id().is_some_and(|id| id.as_str() != ID))
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
    fn no_byte_that_is_signed_can_change(
        scheme in 0..4_u8,
        token in prop::option::of("[A-Za-z0-9+/=]{1,12}"),
        part in 0..4_usize,
        at: prop::sample::Index,
        byte in 0x21..0x7f_u8,
    ) {
        let bucket = BucketName::parse("examplebucket").unwrap();
        let headers = vec![("x-oss-meta-a".to_owned(), b"b c".to_vec()), ("content-md5".to_owned(), b"1B2M2Y8AsgTpgAmY7PhCfg==".to_vec())];
        let query = [("versionId", Some("a/b")), ("acl", None)];
        let unsigned = UnsignedRequest { method: "PUT", bucket: Some(&bucket), key: "dir/a b", query: &query, headers: &headers };
        let mut raw = request("PUT", "examplebucket", &unsigned.encoded_path(), &[]);
        raw.headers = headers.clone();
        raw.query = "versionId=a%2Fb&acl".to_owned();
        let raw = sign(scheme, &signer(token.as_deref()), &unsigned, &raw);
        prop_assert_eq!(authenticate(&raw), Ok(()));
        let mut changed = raw.clone();
        {
            let header = at.index(changed.headers.len());
            let text = match part {
                0 => &mut changed.method,
                1 => &mut changed.path,
                2 => &mut changed.query,
                _ => {
                    let value = &mut changed.headers[header].1;
                    let at = at.index(value.len());
                    value[at] = byte;
                    &mut String::new()
                }
            };
            let mut bytes = std::mem::take(text).into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            *text = String::from_utf8(bytes).unwrap();
        }
        let parts = |raw: RawRequest| (raw.method, raw.path, raw.query, raw.headers);
        prop_assume!(parts(canonical(&changed)) != parts(canonical(&raw)));
        prop_assert!(authenticate(&changed).is_err() || names_another_key(&changed), "{:?}", changed);
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
