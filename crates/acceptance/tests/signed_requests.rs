//! Signed requests of every kind on the wire. With one byte changed they are always refused, never served and never an
//! error of the server; what may change without being noticed is listed in [`canonical`], and nothing else is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation of a test is a panic")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use acceptance::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use media::rtmp::RtmpUrl;
use model::name::BucketName;
use oss::sign::presign::{Signer, UnsignedRequest};
use oss::sign::rtmp::{RtmpStyle, sign_rtmp_url};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use support::flip::{Case, Part, Random, SEED, flip};
use support::signed::{
    BUCKET, PRIVATE, Parameters, V1, V1_URL, V4, V4_URL, pairs, publish, signed, signers, signers_with_secrets,
};
use support::{
    Answer, Connection, Management, REGION, ROOT, Request, management_headers, md5_base64, now_s, signer, start,
};

/// Changes of each request over HTTP, and of each push, which costs a handshake.
const FLIPS: usize = 250;
const PUSH_FLIPS: usize = 80;
const URL_ENCODED: &str = "application/x-www-form-urlencoded";
/// The request without what may be written in several ways. These are all:
///
/// * the hex digits of a percent escape, in either case, also in a form that is a body;
/// * a plus in the `Signature` of a V1 URL or of a form, also written as a space, because some clients unescape it too
///   often (OSS auth 4);
/// * spaces, tabs and further commas between the items of a V4 `Authorization` (OSS auth 5);
/// * the case of the names in its `AdditionalHeaders` (OSS auth 5.6);
/// * a fragment, which is no part of a request.
fn canonical(request: &Request) -> Request {
    let mut request = request.clone();
    for text in [&mut request.path, &mut request.query] {
        *text = upper_escapes(text.split('#').next().unwrap());
    }
    if request.headers.iter().any(|(_, value)| value == URL_ENCODED) {
        request.body = upper_escapes(&String::from_utf8_lossy(&request.body)).into_bytes();
    }
    let field = b"name=\"Signature\"\r\n\r\n";
    if let Some(at) = request.body.windows(field.len()).position(|window| window == field) {
        let value = request.body[at + field.len()..].iter_mut().take_while(|byte| **byte != b'\r');
        value.filter(|byte| **byte == b' ').for_each(|byte| *byte = b'+');
    }
    request.query = request
        .query
        .split('&')
        .map(|pair| match pair.strip_prefix("Signature=") {
            Some(value) => format!("Signature={}", value.replace("%20", "+").replace("%2B", "+")),
            None => pair.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("&");
    for (name, value) in &mut request.headers {
        if name == "authorization" && value.starts_with("OSS4-HMAC-SHA256 ") {
            let items = value.split(',').map(|item| item.trim_matches([' ', '\t'])).filter(|item| !item.is_empty());
            let lower = |item: &str| match item.strip_prefix("AdditionalHeaders=") {
                Some(names) => format!("AdditionalHeaders={}", names.to_ascii_lowercase()),
                None => item.to_owned(),
            };
            *value = items.map(lower).collect::<Vec<_>>().join(",");
        }
    }
    request
}

fn upper_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        out.push('%');
        let (digits, tail) = after.split_at_checked(2).unwrap_or((after, ""));
        out.push_str(&digits.to_ascii_uppercase());
        rest = tail;
    }
    out + rest
}

/// Sends the request as it is, then with one byte changed, many times, then as it is again.
fn check(address: &str, case: &Case, expected: u16, is_repeatable: bool) {
    let mut connection = Connection::new(address);
    let mut random = Random(SEED);
    let right = |connection: &mut Connection| -> Answer {
        let answer = connection.send(&case.request);
        assert_eq!(answer.status, expected, "{}: {:?} {answer:?}", case.name, case.request);
        answer
    };
    if is_repeatable {
        right(&mut connection);
    }
    let mut tried = 0;
    while tried < FLIPS {
        let part = case.parts[tried % case.parts.len()];
        let changed = flip(&case.request, part, &mut random);
        if canonical(&changed) == canonical(&case.request) {
            continue;
        }
        tried += 1;
        let answer = connection.send(&changed);
        assert!((400..500).contains(&answer.status), "{}, {part:?}: {changed:?} {answer:?}", case.name);
        assert!(!answer.body.windows(PRIVATE.len()).any(|window| window == PRIVATE), "{}: {changed:?}", case.name);
    }
    right(&mut connection);
}

/// A server with a private bucket and something in it.
fn server() -> Server {
    let server = start("warn");
    let root = signer(ROOT, None);
    let mut connection = Connection::new(&server.http);
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\nseg 1.ts\n";
    for (key, body) in
        [("", &b""[..]), ("dir/private file", PRIVATE), ("live/a.m3u8", playlist), ("live/seg 1.ts", PRIVATE)]
    {
        let answer = connection.send(&signed(&root, V1, "PUT", key, &[], &[], body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    server
}

#[test]
fn no_byte_of_a_read_can_change() {
    let server = server();
    for (who, signer) in signers(&server) {
        for scheme in [V1, V4, V1_URL, V4_URL] {
            let plain = signed(&signer, scheme, "GET", "dir/private file", &[], &[("x-oss-meta-a", "b c")], b"");
            check(&server.http, &Case::new(who, plain), 200, true);
            let query: Parameters<'_> =
                &[("response-content-type", Some("video/mp2t")), ("x-oss-traffic-limit", Some("819200"))];
            let asked = signed(&signer, scheme, "GET", "dir/private file", query, &[], b"");
            check(&server.http, &Case::new(who, asked), 200, true);
        }
    }
}

/// A read of the private object that signs more headers than it must (OSS auth 5.2), as the SDKs do when they are asked to.
fn read_with_additional_headers(server: &Server, signer: &Signer, secret: &str, in_url: bool) -> Request {
    let date = basic_date();
    let scope = format!("{}/{REGION}/oss/aliyun_v4_request", &date[..8]);
    let credential = format!("{}/{scope}", signer.access_key);
    let mut headers: Vec<(String, String)> = [
        ("cache-control", "no-store"),
        ("host", server.http.as_str()),
        ("range", "bytes=0-38"),
        ("user-agent", "a  player"),
        ("x-oss-meta-a", "b c"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut parameters = Vec::new();
    let token = signer.token.clone().map(|token| ("x-oss-security-token".to_owned(), token));
    if in_url {
        let own = [
            ("x-oss-additional-headers", "cache-control;host;range;user-agent"),
            ("x-oss-credential", credential.as_str()),
            ("x-oss-date", date.as_str()),
            ("x-oss-expires", "600"),
            ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
        ];
        parameters.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        parameters.extend(token);
        parameters.sort();
    } else {
        headers.push(("x-oss-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
        headers.push(("x-oss-date".to_owned(), date.clone()));
        headers.extend(token);
        headers.sort();
    }
    let encode = |text: &str| model::percent::percent_encode(text.as_bytes(), false);
    let query =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path = format!("/{BUCKET}/dir/private%20file");
    let canonical = format!("GET\n{path}\n{query}\n{lines}\ncache-control;host;range;user-agent\nUNSIGNED-PAYLOAD");
    let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let signature = v4_signature(secret, &date[..8], &text);
    let query = if in_url { format!("{query}&x-oss-signature={signature}") } else { query };
    if !in_url {
        let value = format!(
            "OSS4-HMAC-SHA256 Credential={credential}, AdditionalHeaders=cache-control;host;range;user-agent, Signature={signature}"
        );
        headers.push(("authorization".to_owned(), value));
    }
    Request { method: "GET".to_owned(), path, query, headers, body: Vec::new() }
}

#[test]
fn no_byte_of_an_additional_header_can_change() {
    let server = server();
    for (who, signer, secret) in signers_with_secrets(&server) {
        for in_url in [false, true] {
            let request = read_with_additional_headers(&server, &signer, &secret, in_url);
            check(&server.http, &Case::new(who, request.clone()), 206, true);
            // Nor can one be left out, or sent a second time.
            for (at, (name, value)) in request.headers.iter().enumerate() {
                let mut without = request.clone();
                without.headers.remove(at);
                let mut twice = request.clone();
                twice.headers.push((name.clone(), value.clone()));
                for changed in [without, twice] {
                    let answer = Connection::new(&server.http).send(&changed);
                    // The connection of these tests sends a host of its own where there is none, and it is the same.
                    let is_same = name == "host" && changed.headers.len() < request.headers.len();
                    assert_eq!((400..500).contains(&answer.status), !is_same, "{name}: {changed:?} {answer:?}");
                }
            }
        }
    }
}

#[test]
fn no_byte_of_a_signed_playlist_or_its_lines_can_change() {
    let server = server();
    for (who, signer) in signers(&server) {
        for scheme in [V1_URL, V4_URL] {
            let process: Parameters<'_> = &[("x-oss-process", Some("hls/sign"))];
            let playlist = signed(&signer, scheme, "GET", "live/a.m3u8", process, &[], b"");
            let answer = Connection::new(&server.http).send(&playlist);
            check(&server.http, &Case::new(who, playlist), 200, true);
            let lines = String::from_utf8(answer.body).unwrap();
            let (file, query) = lines.lines().last().unwrap().split_once('?').unwrap();
            let segment = Request {
                method: "GET".to_owned(),
                path: format!("/{BUCKET}/live/{}", file.replace(' ', "%20")),
                query: query.to_owned(),
                ..Request::default()
            };
            check(&server.http, &Case::new(who, segment), 200, true);
        }
    }
}

#[test]
fn no_byte_of_a_write_or_its_digest_can_change() {
    let server = server();
    let body = b"<CORSConfiguration><CORSRule><AllowedOrigin>http://a.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
                 </CORSRule></CORSConfiguration>";
    let (md5, sha256) = (md5_base64(body), hex(&Sha256::digest(body)));
    for (who, signer) in signers(&server) {
        for scheme in [V1, V4, V1_URL, V4_URL] {
            let own = [("content-type", "application/xml"), ("content-md5", md5.as_str())];
            let object = signed(&signer, scheme, "PUT", "new", &[], &own, body);
            check(&server.http, &Case::new(who, object).with_body(), 200, true);
            let cors = signed(&signer, scheme, "PUT", "", &[("cors", None)], &own, body);
            check(&server.http, &Case::new(who, cors).with_body(), 200, true);
        }
        let own = [("content-type", "application/xml"), ("x-oss-content-sha256", sha256.as_str())];
        for (key, query) in [("new", &[][..]), ("", &[("cors", None)])] {
            let request = signed(&signer, V4, "PUT", key, query, &own, body);
            check(&server.http, &Case::new(who, request).with_body(), 200, true);
        }
        let policy = br#"{"Version":"1","Statement":[{"Effect":"Deny","Action":"oss:GetObject","Principal":"*","Resource":"acs:oss:*:*:flipped/none"}]}"#;
        let sha256 = hex(&Sha256::digest(policy));
        let own = [("x-oss-content-sha256", sha256.as_str())];
        let request = signed(&signer, V4, "PUT", "", &[("policy", None)], &own, policy);
        check(&server.http, &Case::new(who, request).with_body(), 200, true);
    }
}

#[test]
fn no_byte_of_a_management_call_can_change() {
    let server = start("warn");
    server.manage("POST", "users", &json!({"name": "anna"}));
    let body = br#"{"enabled":false}"#;
    let bucket = BucketName::parse("api").unwrap();
    for is_v4 in [false, true] {
        let mut headers = management_headers();
        headers.push(("content-md5".to_owned(), md5_base64(body).into_bytes()));
        let unsigned = UnsignedRequest {
            method: "PATCH",
            bucket: Some(&bucket),
            key: "v1/users/anna",
            query: &[],
            headers: &headers,
        };
        let root = signer(ROOT, None);
        let added =
            if is_v4 { root.v4_headers(&unsigned, REGION, now_s()) } else { root.v1_headers(&unsigned, now_s()) };
        headers.extend(added);
        let request = Request {
            method: "PATCH".to_owned(),
            path: "/api/v1/users/anna".to_owned(),
            query: String::new(),
            headers: pairs(headers),
            body: body.to_vec(),
        };
        let case = Case::new("management", request.clone()).with_body();
        check(&server.admin, &case, 200, false);
        // Once is enough.
        let again = Connection::new(&server.admin).send(&request);
        assert_eq!(again.status, 403, "{again:?}");
        assert!(String::from_utf8_lossy(&again.body).contains("was made before"), "{again:?}");
    }
}

/// The parameters of an AssumeRole call, signed as the official SDKs do (OSS auth 11), in order.
fn assume_role() -> Vec<(&'static str, String)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut parameters = vec![
        ("AccessKeyId", ROOT.0.to_owned()),
        ("Action", "AssumeRole".to_owned()),
        ("DurationSeconds", "900".to_owned()),
        ("Format", "JSON".to_owned()),
        ("RoleArn", "acs:ram::1000000000000001:role/anna".to_owned()),
        ("RoleSessionName", "night@shift".to_owned()),
        ("SignatureMethod", "HMAC-SHA1".to_owned()),
        ("SignatureNonce", format!("nonce {}", NUMBER.fetch_add(1, Ordering::Relaxed))),
        ("SignatureVersion", "1.0".to_owned()),
        ("Timestamp", model::date::format_iso8601(now_s() * 1000).replace(".000", "")),
        ("Version", "2015-04-01".to_owned()),
    ];
    let canonical = encoded(&parameters);
    let text = format!("POST&%2F&{}", model::percent::percent_encode(canonical.as_bytes(), false));
    let signature = sha1_signature(&format!("{}&", ROOT.1), &text);
    parameters.push(("Signature", signature));
    parameters
}

fn encoded(parameters: &[(&str, String)]) -> String {
    let pairs = parameters.iter().map(|(n, v)| format!("{n}={}", model::percent::percent_encode(v.as_bytes(), false)));
    pairs.collect::<Vec<_>>().join("&")
}

#[test]
fn no_byte_of_an_assume_role_call_can_change() {
    let server = start("warn");
    server.manage("POST", "users", &json!({"name": "anna"}));
    let root = signer(ROOT, None);
    let once = |case: Case| {
        check(&server.admin, &case, 200, false);
        let again = Connection::new(&server.admin).send(&case.request);
        assert_eq!(again.status, 403, "{again:?}");
        assert!(String::from_utf8_lossy(&again.body).contains("was made before"), "{again:?}");
    };
    let post = |query: String, headers: Vec<(String, String)>, body: String| Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query,
        headers,
        body: body.into_bytes(),
    };
    let form = vec![("content-type".to_owned(), URL_ENCODED.to_owned())];
    // All in the query.
    let parts = vec![Part::Method, Part::Path, Part::Query];
    let request = post(encoded(&assume_role()), Vec::new(), String::new());
    once(Case { name: "in the query", request, parts: parts.clone() });
    // The role in the body, or everything but what says where the call goes.
    let (wish, rest): (Vec<_>, Vec<_>) = assume_role().into_iter().partition(|(name, _)| name.starts_with("Role"));
    let body = encoded(&wish);
    let parts = [parts, vec![Part::Body(0, body.len())]].concat();
    once(Case { name: "with a form", request: post(encoded(&rest), form.clone(), body), parts });
    // Everything in the body.
    let body = encoded(&assume_role());
    let parts = vec![Part::Method, Part::Path, Part::Body(0, body.len())];
    once(Case { name: "in a form", request: post(String::new(), form, body), parts });
    // Signed with version 4.
    let query: Parameters<'_> = &[
        ("Action", Some("AssumeRole")),
        ("RoleArn", Some("acs:ram::1000000000000001:role/anna")),
        ("RoleSessionName", Some("night@shift")),
    ];
    let unsigned = UnsignedRequest { method: "POST", bucket: None, key: "", query, headers: &[] };
    let pairs_of_query: Vec<(&str, String)> = query.iter().map(|(n, v)| (*n, v.unwrap().to_owned())).collect();
    let headers = pairs(root.v4_headers(&unsigned, REGION, now_s()));
    once(Case::new("signed with version 4", post(encoded(&pairs_of_query), headers, String::new())));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The moment as V4 writes it.
fn basic_date() -> String {
    model::date::format_iso8601(now_s() * 1000).replace(['-', ':'], "").replace(".000", "")
}

/// The fields that make a form a signed one (OSS auth 7).
fn form_signature(
    signer: &Signer,
    secret: &str,
    is_v4: bool,
    policy: &str,
    date: String,
) -> Vec<(&'static str, String)> {
    if !is_v4 {
        let signature = sha1_signature(secret, policy);
        return vec![("OSSAccessKeyId", signer.access_key.to_string()), ("Signature", signature)];
    }
    let day = &date[..8];
    vec![
        ("x-oss-signature-version", "OSS4-HMAC-SHA256".to_owned()),
        ("x-oss-credential", format!("{}/{day}/{REGION}/oss/aliyun_v4_request", signer.access_key)),
        ("x-oss-signature", v4_signature(secret, day, policy)),
        ("x-oss-date", date),
    ]
}

/// The last step of V4 (OSS auth 5.1), in hex digits.
fn v4_signature(secret: &str, day: &str, text: &str) -> String {
    let mut key = format!("aliyun_v4{secret}").into_bytes();
    for part in [day, REGION, "oss", "aliyun_v4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    hex(&hmac_sha256(&key, text.as_bytes()))
}

/// HMAC-SHA1 in base64, as V1 and the official management services sign.
fn sha1_signature(secret: &str, text: &str) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn no_byte_of_a_signed_form_can_change() {
    let server = server();
    let [account, temporary] = signers_with_secrets(&server);
    for ((who, signer, secret), is_v4) in [(&account, false), (&account, true), (&temporary, false), (&temporary, true)]
    {
        let expiration = model::date::format_iso8601((now_s() + 600) * 1000);
        let date = basic_date();
        let mut conditions = vec![
            json!({"bucket": BUCKET}),
            json!({"key": "form/file"}),
            json!({"x-oss-object-acl": "private"}),
            json!(["eq", "$content-type", "text/plain"]),
        ];
        // Only the policy is signed (OSS auth 7): it has to name the date, as those of the SDKs do.
        conditions.extend(is_v4.then(|| json!({"x-oss-date": date})));
        let policy = STANDARD.encode(json!({"expiration": expiration, "conditions": conditions}).to_string());
        let mut fields = vec![
            ("key", "form/file".to_owned()),
            ("policy", policy.clone()),
            ("x-oss-object-acl", "private".to_owned()),
            ("content-type", "text/plain".to_owned()),
        ];
        fields.extend(form_signature(signer, secret, is_v4, &policy, date));
        fields.extend(signer.token.clone().map(|token| ("x-oss-security-token", token)));
        let mut body = Vec::new();
        let mut covered = Vec::new();
        for (name, value) in &fields {
            body.extend_from_slice(
                format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
            );
            covered.push(Part::Body(body.len(), body.len() + value.len()));
            body.extend_from_slice(format!("{value}\r\n").as_bytes());
        }
        body.extend_from_slice(b"--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n");
        let request = Request {
            method: "POST".to_owned(),
            path: format!("/{BUCKET}/"),
            headers: vec![("content-type".to_owned(), "multipart/form-data; boundary=b".to_owned())],
            query: String::new(),
            body,
        };
        check(&server.http, &Case { name: who, request, parts: covered }, 204, true);
    }
}

#[test]
fn no_byte_of_a_publish_url_can_change() {
    let server = server();
    let channel = b"<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>";
    let request = signed(&signer(ROOT, None), V1, "PUT", "camera", &[("live", None)], &[], channel);
    assert_eq!(Connection::new(&server.http).send(&request).status, 200);
    for (who, signer) in signers(&server) {
        let unsigned = oss::sign::rtmp::RtmpUrl {
            host: &server.http,
            style: RtmpStyle::Path,
            bucket: BUCKET,
            channel: "camera",
            parameters: &[("playlistName", "list.m3u8"), ("note", "a b/c")],
        };
        let url = sign_rtmp_url(&unsigned, &signer.access_key, &signer.secret, signer.token.as_deref(), now_s() + 600);
        let url = RtmpUrl::parse(&url).unwrap();
        // The publisher before may still be leaving.
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Some(refusal) = publish(&server.http, &url.app, &url.name) {
            assert!(refusal.contains("ChannelStillLive") && Instant::now() < deadline, "{who}: {refusal}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut random = Random(SEED);
        let mut tried = 0;
        while tried < PUSH_FLIPS {
            let part = if tried % 8 == 0 { Part::Path } else { Part::Query };
            let whole = Request { path: url.app.clone(), query: url.name.clone(), ..Request::default() };
            let changed = flip(&whole, part, &mut random);
            if upper_escapes(&changed.query) == upper_escapes(&url.name) && changed.path == url.app {
                continue;
            }
            tried += 1;
            let refusal = publish(&server.http, &changed.path, &changed.query);
            let refusal = refusal.unwrap_or_else(|| panic!("{who}: {changed:?} was accepted"));
            let is_expected = [
                "AccessDenied",
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "InvalidArgument",
                "NoSuchBucket",
                "Security",
                "AccessKeyIdAndSecurityTokenNotMatch",
                "Rejected",
                "closed",
            ]
            .iter()
            .any(|code| refusal.contains(code));
            assert!(is_expected, "{who}: {changed:?}: {refusal}");
        }
    }
}

#[test]
fn what_may_change_is_the_same_request() {
    let server = server();
    let root = signer(ROOT, None);
    let mut connection = Connection::new(&server.http);
    let mut accepted = |request: &Request| {
        let answer = connection.send(request);
        assert_eq!((answer.status, answer.body.as_slice()), (200, PRIVATE), "{request:?} {answer:?}");
    };
    let mut header = signed(&root, V4, "GET", "dir/private file", &[], &[], b"");
    header.path = header.path.replace('/', "%2f").replacen("%2f", "/", 2);
    let at = header.headers.iter().position(|(name, _)| name == "authorization").unwrap();
    header.headers[at].1 = header.headers[at].1.replace(", Signature", ",,\t Signature");
    accepted(&header);
    // Until there is a plus in the signature.
    let url = (0..200)
        .map(|n| {
            let query: Parameters<'_> = &[("x-oss-n", Some(["0", "1"][n % 2]))];
            let bucket = BucketName::parse(BUCKET).unwrap();
            let unsigned =
                UnsignedRequest { method: "GET", bucket: Some(&bucket), key: "dir/private file", query, headers: &[] };
            root.v1_url_query(&unsigned, now_s() + 600 + i64::try_from(n).unwrap())
        })
        .find(|query| query.contains("%2B"))
        .unwrap();
    let path = format!("/{BUCKET}/dir/private%20file");
    for query in
        [url.replace("%2B", "+"), url.replace("%2B", "%20"), url.replace("%2B", "%2b"), format!("{url}#fragment")]
    {
        accepted(&Request { method: "GET".to_owned(), path: path.clone(), query, ..Request::default() });
    }
}
