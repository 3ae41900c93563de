//! The worked example of OSS auth 9.6, the rules of 9.2 to 9.4, and that what is signed verifies.

use proptest::prelude::*;

use super::*;
use crate::request::route;
use crate::sign::SignOptions;
use model::OperationKind;
use model::Resource;

const NOW_MS: i64 = 1_704_164_645_000;
const SECRET: &str = "FakeSecretForSpecOnly000000000001";
const HOST: &str = "examplebucket.oss-cn-hangzhou.aliyuncs.com";
const U1: &str = "OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=";
const V4U: &str = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=AKIDEXAMPLE0001%2F20240102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-date=20240102T030405Z&x-oss-expires=3600";
const STORED: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1704164641000.ts\n#EXTINF:5.000,\n1704164646000.ts\n";

fn get(host: &str, target: &str) -> RawRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    RawRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        host: host.to_owned(),
        ..RawRequest::default()
    }
}

fn secret() -> SecretKey {
    SecretKey::new(SECRET.to_owned())
}

fn addressing() -> Addressing {
    Addressing {
        base_domains: vec!["oss.example.com".to_owned()],
        cnames: vec![("live.example.net".to_owned(), BucketName::parse("examplebucket").unwrap())],
        ..Addressing::default()
    }
}

/// Verifies a request for a playlist and signs `text` as its answer.
fn answer_with(raw: &RawRequest, text: &[u8], signs_tags: bool) -> Result<Vec<u8>, Error> {
    whole_answer(raw, text, signs_tags, false).map(|signed| signed.text)
}

fn whole_answer(
    raw: &RawRequest,
    text: &[u8],
    signs_tags: bool,
    signs_siblings: bool,
) -> Result<SignedPlaylist, Error> {
    let addressing = addressing();
    let route = route(raw, &addressing)?;
    assert_eq!(route.kind, OperationKind::GetSignedPlaylist);
    let credentials = Credentials::extract(raw, &route, &SignOptions::default(), NOW_MS)?;
    credentials.verify(&secret(), raw, &route)?;
    let Resource::Object(bucket, key) = &route.resource else { panic!("not an object") };
    check_request(raw, &credentials, key)?;
    sign_playlist(
        text,
        &SignContext {
            bucket,
            key,
            style: route.style,
            host: &raw.host,
            addressing: &addressing,
            credentials: &credentials,
            secret: &secret(),
            process: route.query.first("x-oss-process").unwrap(),
            signs_tags,
            signs_siblings,
            folder: &written_folder(&raw.path),
        },
    )
}

fn answer(raw: &RawRequest, text: &str) -> String {
    String::from_utf8(answer_with(raw, text.as_bytes(), true).unwrap()).unwrap()
}

fn u3() -> RawRequest {
    get(HOST, &format!("/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign&{U1}yevpYOxpZHA7iecHbw4yiVuN%2Bg8%3D"))
}

fn v4u3() -> RawRequest {
    get(
        HOST,
        &format!(
            "/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign&{V4U}&x-oss-signature=ff9ed3d519a0fdb38d54f668b2c7fd1d676abdf99df5ca53c577685957ca4b1b"
        ),
    )
}

fn in_path_style(raw: &RawRequest) -> RawRequest {
    RawRequest { host: "127.0.0.1:9000".to_owned(), path: format!("/examplebucket{}", raw.path), ..raw.clone() }
}

#[test]
fn the_worked_example() {
    let expected = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1704164641000.ts?{U1}IQ53F3267POXCEbkt7OsLuV9YIY%3D\n#EXTINF:5.000,\n1704164646000.ts?{U1}ZhzISuzR8TobALEBaXrlogd5luw%3D\n"
    );
    assert_eq!(answer(&u3(), STORED), expected);
    assert_eq!(answer(&in_path_style(&u3()), STORED), expected);
    let escaped = RawRequest { path: "/live%2Fch1%2Fplaylist.m3u8".to_owned(), ..u3() };
    // To the reader of this address, the folder is the root; to others it is not.
    let led = expected.replace("\n17041646", "\n/live/ch1/17041646");
    assert_eq!(answer(&escaped, STORED), led);
    assert_eq!(
        answer(&u3(), "720p.m3u8"),
        format!("720p.m3u8?x-oss-process=hls%2Fsign&{U1}JHhIKF6zfaxa%2FdaMnW5WfDVyZ%2BM%3D")
    );
    let token = "security-token=CAISfakeToken%2B%2F0001%3D%3D";
    let u4 = get(
        HOST,
        &format!("/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign&{token}&{U1}qhDGGL9jmxnSTewri0FmSy5VodQ%3D"),
    );
    assert_eq!(
        answer(&u4, "1704164641000.ts"),
        format!("1704164641000.ts?{U1}3N1DWTSO4O0qK3YkdoYsBUgv%2Bk0%3D&{token}")
    );
    let claim = "x-oss-credential=AKIDEXAMPLE0001%2F20240102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-date=20240102T030405Z&x-oss-expires=3600";
    let version = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=";
    assert_eq!(
        answer(&v4u3(), "1704164641000.ts\n1704164646000.ts"),
        format!(
            "1704164641000.ts?{claim}&{version}4658e7b67f8a8f2133d08c939e400207683545b0d0622634c98956b67528bfba\n1704164646000.ts?{claim}&{version}d8645f1f335cc2965059dd31ffe87ec54bc0a6d039496569714b2e15a9289e3d"
        )
    );
    assert_eq!(
        answer(&v4u3(), "720p.m3u8"),
        format!(
            "720p.m3u8?{claim}&x-oss-process=hls%2Fsign&{version}f91b1d1b3c678b7314992b0010d6df61aae274e70d902bdb1566726e8c7cd914"
        )
    );
}

#[test]
fn a_folder_that_was_written_as_one_word_stands_before_its_objects() {
    for (path, folder) in [
        ("/live/ch1/a.m3u8", ""),
        ("/bucket/live%2Fch1%2Fa.m3u8", "/bucket/live/ch1/"),
        ("/bucket/live/ch1%2fa.m3u8", "/bucket/live/ch1/"),
        ("/bucket/li:ve%2F%C3%A9%2Fa.m3u8", "/bucket/li%3Ave/%C3%A9/"),
        ("/bucket/live%2F..%2Fch1%2Fa.m3u8", "/bucket/live%2F..%2Fch1%2F"),
        ("/bucket/live%2F%2Fa.m3u8", "/bucket/live%2F%2F"),
        ("/bucket/%2Fa.m3u8", "/bucket/%2F"),
        ("/bucket/live%2Fa.m3u8%3Fx-oss-process=hls%2Fsign", "/bucket/live/"),
        ("/bucket/live%2Fa.m3u8%3fx-oss-process%3Dhls/sign", "/bucket/live/"),
        ("/bucket/live/a.m3u8%3Fx-oss-process=hls/sign", "/bucket/live/"),
        ("/a.m3u8", ""),
        ("", ""),
    ] {
        assert_eq!(written_folder(path), folder, "{path}");
    }
    let escaped = RawRequest { path: "/live%2Fch1%2Fplaylist.m3u8".to_owned(), ..u3() };
    let text = "#EXT-X-MAP:URI=\"i.mp4\"\n../b.ts\n/live/ch1/c.ts\nd.ts?acl\nhttp://cdn.example/e.ts\n";
    let signed = answer(&escaped, text);
    let starts: Vec<&str> = signed.lines().map(|line| line.split(['?', '&']).next().unwrap()).collect();
    let expected = [
        "#EXT-X-MAP:URI=\"/live/ch1/i.mp4",
        "/live/ch1/../b.ts",
        "/live/ch1/c.ts",
        "/live/ch1/d.ts",
        "http://cdn.example/e.ts",
    ];
    assert_eq!(starts, expected);
    let untouched = answer_with(&escaped, text.as_bytes(), false).unwrap();
    assert!(String::from_utf8(untouched).unwrap().starts_with("#EXT-X-MAP:URI=\"/live/ch1/i.mp4\"\n"));
    // What is signed leads to the object that was meant, and verifies.
    let raw = follow(&escaped, signed.lines().nth(2).unwrap());
    assert_eq!(raw.path, "/live/ch1/c.ts");
}

/// The request that a player makes for a signed URI in an answer to `raw`.
fn follow(raw: &RawRequest, uri: &str) -> RawRequest {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query = query.split('#').next().unwrap_or(query);
    let schemed = path.split_once("://").filter(|(scheme, _)| !scheme.is_empty());
    let absolute = schemed.map(|(_, rest)| rest).or(path.strip_prefix("//"));
    if let Some(rest) = absolute {
        let at = rest.find('/').unwrap();
        return get(&rest[..at], &format!("{}?{query}", &rest[at..]));
    }
    let directory = raw.path.rsplit_once('/').unwrap().0;
    let joined = match path {
        "" => raw.path.clone(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{directory}/{path}"),
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in joined.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if joined.ends_with("/.") || joined.ends_with("/..") {
        segments.push("");
    }
    get(&raw.host, &format!("/{}?{query}", segments.join("/")))
}

fn verifies(raw: &RawRequest) -> bool {
    let route = route(raw, &addressing()).unwrap();
    Credentials::extract(raw, &route, &SignOptions::default(), NOW_MS)
        .is_ok_and(|credentials| credentials.verify(&secret(), raw, &route).is_ok())
}

/// A URI is left alone, or gets parameters after what it had, with which the player's request verifies.
fn check_uri(raw: &RawRequest, uri: &str, kept: Option<&str>) {
    let signed = answer(raw, uri);
    match kept {
        None => assert_eq!(signed, uri),
        Some(kept) => {
            assert!(signed.starts_with(kept), "{signed}");
            assert!(verifies(&follow(raw, &signed)), "{signed}");
            assert!(!verifies(&follow(raw, &signed.replacen(".ts", ".tt", 1))) || !uri.contains(".ts"), "{signed}");
        }
    }
}

#[test]
fn uris_lead_into_the_bucket_or_are_left_alone() {
    for raw in [u3(), v4u3()] {
        for (uri, kept) in [
            ("seg.ts", Some("seg.ts?")),
            ("./seg.ts", Some("./seg.ts?")),
            ("sub/seg.ts", Some("sub/seg.ts?")),
            ("../x/seg.ts", None),
            ("../ch10/seg.ts", None),
            ("../ch1.ts", None),
            ("../../seg.ts", None),
            ("../../../seg.ts", None),
            ("a/../../seg.ts", None),
            ("a/../seg.ts", Some("a/../seg.ts?")),
            ("../ch1/seg.ts", Some("../ch1/seg.ts?")),
            ("%2e%2e/seg.ts", None),
            ("%2E%2e%2fseg.ts", None),
            ("a%2f..%2f..%2fseg.ts", None),
            ("a/%2e/seg.ts", None),
            ("..%5cseg.ts", None),
            ("..\\seg.ts", None),
            ("a\\..\\..\\seg.ts", None),
            ("\\\\other.example\\seg.ts", None),
            ("%E8%A7%86%20a.ts", Some("%E8%A7%86%20a.ts?")),
            ("视频.ts", Some("视频.ts?")),
            ("a%2Fb.ts", Some("a%2Fb.ts?")),
            ("a+b.ts", Some("a+b.ts?")),
            ("seg.ts?versionId=null&foo=b%20ar", Some("seg.ts?versionId=null&foo=b%20ar&")),
            ("seg.ts?acl=", None),
            ("seg.ts?acl", None),
            ("seg.ts?a&%61cl&b", None),
            ("seg.ts?tagging", None),
            ("seg.ts?uploadId=1", None),
            ("seg.ts?live&comp=stat", None),
            ("seg.ts?vod&startTime=1&endTime=2", None),
            ("seg.ts?symlink", None),
            ("seg.ts?objectMeta", None),
            ("seg.ts?x-oss-traffic-limit=1", None),
            ("seg.ts?versionId=1", None),
            ("p.m3u8?acl", None),
            ("seg.ts?response-content-type=video%2Fmp2t", Some("seg.ts?response-content-type=video%2Fmp2t&")),
            ("seg.ts?a&Expires=1&%53ignature=x&x-oss-date=y&b", Some("seg.ts?a&b&")),
            ("seg.ts?security-token=t&OSSAccessKeyId=a", Some("seg.ts?")),
            ("seg.ts?x-oss-process=video/snapshot", None),
            ("seg.ts?x-oss-process=hls/sign", None),
            ("seg.ts?x-oss-async-process=a", None),
            ("http://other.example/seg.ts", None),
            ("//other.example/seg.ts", None),
            ("https://user@live.example.net/seg.ts", None),
            ("data:video/mp2t;base64,AAAA", None),
            ("urn:x:seg.ts", None),
            ("http://live.example.net/a/seg.ts", None),
            ("http://live.example.net/live/ch1/seg.ts", Some("http://live.example.net/live/ch1/seg.ts?")),
            (
                "HTTPS://live.example.net:8443/live/ch1/a/seg.ts",
                Some("HTTPS://live.example.net:8443/live/ch1/a/seg.ts?"),
            ),
            (
                "//examplebucket.oss.example.com/live/ch1/seg.ts",
                Some("//examplebucket.oss.example.com/live/ch1/seg.ts?"),
            ),
            ("//examplebucket.oss.example.com/live/ch2/seg.ts", None),
            ("http://otherbucket.oss.example.com/live/ch1/seg.ts", None),
            (
                "http://oss.example.com/examplebucket/live/ch1/seg.ts",
                Some("http://oss.example.com/examplebucket/live/ch1/seg.ts?"),
            ),
            ("http://oss.example.com/otherbucket/live/ch1/seg.ts", None),
            ("http://single-name/examplebucket/live/ch1/seg.ts", None),
            ("http://10.0.0.1/examplebucket/live/ch1/seg.ts", None),
            ("http://live.example.net", None),
        ] {
            check_uri(&raw, uri, kept);
        }
        check_uri(&raw, "/live/ch1/x/seg.ts", Some("/live/ch1/x/seg.ts?"));
        check_uri(&raw, "/x/seg.ts", None);
        check_uri(&raw, "/../seg.ts", None);
        let path_style = in_path_style(&raw);
        let own = "/examplebucket/live/ch1/x/seg.ts";
        check_uri(&path_style, own, Some("/examplebucket/live/ch1/x/seg.ts?"));
        check_uri(&path_style, "/examplebucket/x/seg.ts", None);
        check_uri(&path_style, "/live/ch1/x/seg.ts", None);
        check_uri(&path_style, "/examplebucketx/live/ch1/seg.ts", None);
        let absolute = format!("http://127.0.0.1:9000{own}");
        check_uri(&path_style, &absolute, Some(&format!("{absolute}?")));
        check_uri(&path_style, "http://127.0.0.1:9000/examplebucket/seg.ts", None);
        check_uri(&path_style, &format!("http://127.0.0.2:9000{own}"), None);
    }
    let signed = answer(&u3(), "seg.ts?a=1#t=5");
    assert!(signed.starts_with("seg.ts?a=1&OSSAccessKeyId=") && signed.ends_with("#t=5"), "{signed}");
}

/// A request for the playlist `key`, signed for real.
fn request_for(key: &str) -> RawRequest {
    let signer = crate::sign::presign::Signer {
        access_key: model::name::AccessKeyId::parse("AKIDEXAMPLE0001").unwrap(),
        secret: secret(),
        token: None,
    };
    let bucket = BucketName::parse("examplebucket").unwrap();
    let query = [("x-oss-process", Some("hls/sign"))];
    let unsigned = crate::sign::presign::UnsignedRequest {
        method: "GET",
        bucket: Some(&bucket),
        key,
        query: &query,
        headers: &[],
    };
    RawRequest { query: signer.v1_url_query(&unsigned, 1_704_171_845), ..get(HOST, &format!("/{key}")) }
}

#[test]
fn masters_list_siblings_where_that_is_allowed() {
    // Playlist, URI, signed by default, signed in a bucket of masters.
    for (key, uri, by_default, for_masters) in [
        ("show/master/m.m3u8", "720p/i.m3u8", true, true),
        ("show/master/m.m3u8", "../720p/i.m3u8", false, true),
        ("show/master/m.m3u8", "../i.m3u8", false, true),
        ("show/master/m.m3u8", "../../other/i.m3u8", false, false),
        ("show/master/m.m3u8", "../%2e%2e/other/i.m3u8", false, false),
        ("show/master/m.m3u8", "../720p/i.m3u8?acl", false, false),
        ("show/m.m3u8", "../i.m3u8", false, true),
        ("show/m.m3u8", "../other/a/i.m3u8", false, true),
        // Segments come from the folder of the playlist that lists them.
        ("show/m.m3u8", "../other/1.ts", false, false),
        ("show/m.m3u8", "../other/i.m3u8/../1.ts", false, false),
        // In the root everything is below: what stands beside is meant.
        ("m.m3u8", "1.ts", true, true),
        ("m.m3u8", "i.m3u8", true, true),
        ("m.m3u8", "camera/i.m3u8", false, true),
        ("m.m3u8", "camera/1.ts", false, false),
        ("m.m3u8", "./a/../1.ts", true, true),
    ] {
        for (signs_siblings, expected) in [(false, by_default), (true, for_masters)] {
            let signed = whole_answer(&request_for(key), uri.as_bytes(), true, signs_siblings).unwrap();
            let text = String::from_utf8(signed.text).unwrap();
            assert_eq!(text != uri, expected, "{key}: {uri}, siblings {signs_siblings}");
            assert_eq!(signed.left == Left::default(), expected, "{key}: {uri}: {:?}", signed.left);
        }
    }
}

#[test]
fn what_stays_unsigned_is_told() {
    let text =
        "http://cdn.example/1.ts\n../a.ts?Signature=secret\nb.ts?acl\nc.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"../k\"\n";
    let left = whole_answer(&u3(), text.as_bytes(), true, false).unwrap().left;
    assert_eq!(left, Left { elsewhere: 1, outside: 2, operations: 1, example: Some("../a.ts".to_owned()) });
    let untouched = whole_answer(&u3(), text.as_bytes(), false, false).unwrap().left;
    assert_eq!(untouched.outside, 1, "tags are nobody's business then");
    let long = format!("../{}", "x".repeat(1000));
    let left = whole_answer(&u3(), long.as_bytes(), true, false).unwrap().left;
    assert_eq!(left.example.map(|text| text.len()), Some(MAX_EXAMPLE_BYTES));
}

#[test]
fn playlists_pass_the_process_on() {
    let plain = "/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign%2Clive_1";
    let secret = secret();
    let signer = crate::sign::presign::Signer {
        access_key: model::name::AccessKeyId::parse("AKIDEXAMPLE0001").unwrap(),
        secret,
        token: None,
    };
    let bucket = BucketName::parse("examplebucket").unwrap();
    let query = [("x-oss-process", Some("hls/sign,live_1"))];
    let unsigned = crate::sign::presign::UnsignedRequest {
        method: "GET",
        bucket: Some(&bucket),
        key: "live/ch1/playlist.m3u8",
        query: &query,
        headers: &[],
    };
    let raw = RawRequest { query: signer.v1_url_query(&unsigned, 1_704_171_845), ..get(HOST, plain) };
    let signed = answer(&raw, "720P.M3U8?x-oss-process=old&q=1");
    assert!(signed.starts_with("720P.M3U8?q=1&x-oss-process=hls%2Fsign%2Clive_1&OSSAccessKeyId="), "{signed}");
    let child = follow(&raw, &signed);
    assert!(verifies(&child));
    assert_eq!(route(&child, &addressing()).unwrap().kind, OperationKind::GetSignedPlaylist);
}

#[test]
fn everything_but_uris_stays() {
    let text = "\u{feff}#EXTM3U\r\n\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.bin\",IV=0x1\r\n#EXT-X-MAP:URI=\"init.mp4\"\n# comment URI=\"x\"\n#EXT-X-DATERANGE:URI=\"x\"\n  seg.ts \r\n   \n#EXT-X-ENDLIST";
    let signed = answer(&u3(), text);
    let mut without = signed.clone();
    for (key, end) in [("k.bin", "\""), ("init.mp4", "\""), ("seg.ts", " ")] {
        let start = without.find(&format!("{key}?{U1}")).unwrap() + key.len();
        let length = without[start..].find(end).unwrap();
        without.replace_range(start..start + length, "");
    }
    assert_eq!(without, text);
    let untouched = String::from_utf8(answer_with(&u3(), text.as_bytes(), false).unwrap()).unwrap();
    assert!(untouched.contains("URI=\"k.bin\"") && untouched.contains("seg.ts?"));
    let master = "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"audio.m3u8\"\nvideo.m3u8\n";
    assert_eq!(answer(&u3(), master).matches("?x-oss-process=hls%2Fsign&").count(), 2);
}

#[test]
fn sizes_and_mixtures_are_refused() {
    let check = |text: &str, ec: Option<&str>| {
        let outcome = answer_with(&u3(), text.as_bytes(), true);
        assert_eq!(outcome.err().map(|e| (e.code, e.ec)), ec.map(|ec| (ErrorCode::InvalidRequest, Some(ec))));
    };
    check("", Some("0044-00000404"));
    check(&"#".repeat(MAX_PLAYLIST_BYTES + 1), Some("0044-00000404"));
    check(&format!("a.ts\n{}", "#".repeat(MAX_PLAYLIST_BYTES - 5)), None);
    check(&"a.ts\n".repeat(10_000), None);
    check(&"a.ts\n".repeat(10_001), Some("0044-00000406"));
    check(&"a.m3u8\n".repeat(100), None);
    check(&"a.m3u8\n".repeat(101), Some("0044-00000407"));
    check("#EXTM3U\n\n", Some("0044-00000408"));
    check("#EXT-X-MAP:URI=\"a.ts\"\n", Some("0044-00000408"));
    check("a.ts\nb.m3u8\n", Some("0044-00000409"));
    for (bytes, ok) in [(0, false), (1, true), (1_048_576, true), (1_048_577, false)] {
        assert_eq!(check_size(bytes).is_ok(), ok);
    }
}

#[test]
fn only_signed_urls_of_playlists_are_answered() {
    let check = |raw: &RawRequest, credentials: &Credentials, key: &str, ec: Option<&str>| {
        let key = ObjectKey::parse(key.as_bytes()).unwrap();
        let outcome = check_request(raw, credentials, &key);
        assert_eq!(outcome.err().map(|e| (e.code, e.ec)), ec.map(|ec| (ErrorCode::InvalidRequest, Some(ec))));
    };
    let raw = u3();
    let route = route(&raw, &addressing()).unwrap();
    let credentials = Credentials::extract(&raw, &route, &SignOptions::default(), NOW_MS).unwrap();
    check(&raw, &credentials, "a.m3u8", None);
    check(&raw, &credentials, "a.M3U8", Some("0044-00000403"));
    check(&raw, &Credentials::Anonymous, "a.m3u8", Some("0044-00000410"));
    for (token, ec) in [
        ("a_B-9.".to_owned(), None),
        ("a".repeat(100), None),
        ("a".repeat(101), Some("0044-00000401")),
        ("a b".to_owned(), Some("0044-00000402")),
    ] {
        let mut raw = raw.clone();
        raw.headers.push(("x-oss-hls-sign-token".to_owned(), token.into_bytes()));
        check(&raw, &credentials, "a.m3u8", ec);
    }
    assert!(ChildSigner::new(&Credentials::Anonymous, &secret()).is_none());
}

#[test]
fn keys_with_parameters_are_split() {
    let check = |key: &str, expected: Option<(&str, &[(&str, &str)])>| {
        let found = split_process_key(&ObjectKey::parse(key.as_bytes()).unwrap());
        let found = found.as_ref().map(|(key, parameters)| {
            (key.as_str(), parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>())
        });
        assert_eq!(found, expected.map(|(key, parameters)| (key, parameters.to_vec())), "{key}");
    };
    check("live/ch1/p.m3u8?x-oss-process=hls/sign", Some(("live/ch1/p.m3u8", &[("x-oss-process", "hls/sign")])));
    check(
        "a?b?x-oss-process=hls/sign&response-expires=x&c",
        Some(("a?b", &[("x-oss-process", "hls/sign"), ("response-expires", "x"), ("c", "")])),
    );
    check("a?x-oss-process", None);
    check("a?y=1&x-oss-process=hls/sign", None);
    check("?x-oss-process=hls/sign", None);
    for (value, expected) in [
        ("hls/sign", true),
        ("hls/sign,live_1", true),
        ("hls/sign,foo_2,bar", true),
        ("hls/signs", false),
        ("hls%2Fsign", false),
        ("image/resize", false),
        ("", false),
    ] {
        assert_eq!(crate::request::is_sign_process(value), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered_and_signed_uris_verify(
        lines in prop::collection::vec("(#EXT-X-KEY:URI=\"[a-z./?=%&]{0,12}\"|[a-z0-9./?=%&#:+-]{0,16})", 0..6),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        for raw in [u3(), v4u3()] {
            let text = lines.join(end);
            let Ok(signed) = answer_with(&raw, text.as_bytes(), true) else { continue };
            let signed = String::from_utf8(signed).unwrap();
            prop_assert_eq!(signed.split(end).count(), text.split(end).count());
            for (before, after) in text.split(end).zip(signed.split(end)) {
                if before.starts_with('#') || before == after {
                    continue;
                }
                let request = follow(&raw, after);
                prop_assert!(verifies(&request), "{} {} {:?}", before, after, request);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = answer_with(&u3(), &bytes, true);
    }
}
