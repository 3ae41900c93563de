//! The worked examples of LiveChannel 3.5, the checks of 3.9, and the spellings of SDKs.

use proptest::prelude::*;

use super::*;
use crate::request::Query;

const ID: &str = "LTAI5tFakeKeyForSpec0001";
const SECRET: &str = "FakeSecretForSpecOnly0000000001";
const EXPIRES: i64 = 1_893_456_000;
const TOKEN_VALUE: &str = "CAISfakeTOKEN/for+spec==";

fn parameters(query: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Query::parse(query).pairs().iter().map(|pair| (text(&pair.name), text(&pair.value))).collect()
}

/// The whole way of a worked example: string, signature, URL, and back.
fn check_example(channel: &str, sent: &[(&str, &str)], token: Option<&str>, string: &str, signature: &str, url: &str) {
    let (id, secret) = (AccessKeyId::parse(ID).unwrap(), SecretKey::new(SECRET.to_owned()));
    let mut sorted = sent.to_vec();
    sorted.extend(token.map(|token| (TOKEN, token)));
    sorted.sort();
    assert_eq!(string_to_sign("1893456000", &sorted, "examplebucket", channel), string);
    assert_eq!(sign_sha1(&secret, string.as_bytes()), signature);
    let to_sign = RtmpUrl {
        host: "oss.example.com",
        style: RtmpStyle::VirtualHosted,
        bucket: "examplebucket",
        channel,
        parameters: sent,
    };
    let signed = sign_rtmp_url(&to_sign, &id, &secret, token, EXPIRES);
    assert_eq!(signed, url);
    let query = url.split_once('?').unwrap().1;
    assert!(verifies(query, channel), "{url}");
    assert!(!verifies(query, "other"), "{url}");
}

fn verifies(query: &str, channel: &str) -> bool {
    PublishCredentials::extract(&parameters(query), EXPIRES).unwrap().verify(
        &SecretKey::new(SECRET.to_owned()),
        "examplebucket",
        channel,
    )
}

const START: &str = "rtmp://examplebucket.oss.example.com/live/";

#[test]
fn worked_examples() {
    let end = |signature: &str| format!("OSSAccessKeyId={ID}&Expires=1893456000&Signature={signature}");
    let playlist = [("playlistName", "playlist.m3u8")];
    check_example(
        "test-channel",
        &[],
        None,
        "1893456000\n/examplebucket/test-channel",
        "2ShlRV+EbAQ+5PjhbV74GDwSIVk=",
        &format!("{START}test-channel?{}", end("2ShlRV%2BEbAQ%2B5PjhbV74GDwSIVk%3D")),
    );
    check_example(
        "test-channel",
        &playlist,
        None,
        "1893456000\nplaylistName:playlist.m3u8\n/examplebucket/test-channel",
        "Qkj/4G3IP1/JfPpNuZ5zUAfQrtI=",
        &format!("{START}test-channel?playlistName=playlist.m3u8&{}", end("Qkj%2F4G3IP1%2FJfPpNuZ5zUAfQrtI%3D")),
    );
    check_example(
        "live channel 2",
        &[("playlistName", "播放 列表.m3u8")],
        None,
        "1893456000\nplaylistName:播放 列表.m3u8\n/examplebucket/live channel 2",
        "v/Zlj0yjUJPu/nS/TErbx6jh+0o=",
        &format!(
            "{START}live%20channel%202?playlistName=%E6%92%AD%E6%94%BE%20%E5%88%97%E8%A1%A8.m3u8&{}",
            end("v%2FZlj0yjUJPu%2FnS%2FTErbx6jh%2B0o%3D")
        ),
    );
    check_example(
        "test-channel",
        &[("Zone", "eu"), ("app-ver", "1.0+b2"), ("empty", ""), ("playlistName", "playlist.m3u8")],
        None,
        "1893456000\nZone:eu\napp-ver:1.0+b2\nempty:\nplaylistName:playlist.m3u8\n/examplebucket/test-channel",
        "ZdoZPOz2227r62TFUlbVN/jR/E4=",
        &format!(
            "{START}test-channel?Zone=eu&app-ver=1.0%2Bb2&empty&playlistName=playlist.m3u8&{}",
            end("ZdoZPOz2227r62TFUlbVN%2FjR%2FE4%3D")
        ),
    );
    check_example(
        "test-channel",
        &playlist,
        Some(TOKEN_VALUE),
        "1893456000\nplaylistName:playlist.m3u8\nsecurity-token:CAISfakeTOKEN/for+spec==\n/examplebucket/test-channel",
        "ud8IUQeU7cPg6lC69MzM2/RZtz8=",
        &format!(
            "{START}test-channel?playlistName=playlist.m3u8&security-token=CAISfakeTOKEN%2Ffor%2Bspec%3D%3D&{}",
            end("ud8IUQeU7cPg6lC69MzM2%2FRZtz8%3D")
        ),
    );
    check_example(
        "测试通过",
        &playlist,
        None,
        "1893456000\nplaylistName:playlist.m3u8\n/examplebucket/测试通过",
        "CqGeIhwXj0bNVGX0RtUAJZa0mcE=",
        &format!(
            "{START}%E6%B5%8B%E8%AF%95%E9%80%9A%E8%BF%87?playlistName=playlist.m3u8&{}",
            end("CqGeIhwXj0bNVGX0RtUAJZa0mcE%3D")
        ),
    );
}

#[test]
fn the_published_answer_of_the_cpp_client() {
    let sent = parameters(
        "Expires=1706289617&OSSAccessKeyId=ak&Signature=Y1LCM2PzyECssQhTdi%2BGKra7iXE%3D&playlistName=test.m3u8",
    );
    let credentials = PublishCredentials::extract(&sent, 1_706_289_617).unwrap();
    let secret = SecretKey::new("sk".to_owned());
    assert!(credentials.verify(&secret, "cpp-sdk-live-channel-bucket", "channel"));
    assert!(PublishCredentials::extract(&sent, 1_706_289_618).is_err());
}

#[test]
fn every_candidate_string_is_tried_and_nothing_else() {
    let signed = |string: &str, rest: &str| {
        let signature = sign_sha1(&SecretKey::new(SECRET.to_owned()), string.as_bytes());
        let signature = percent_encode(signature.as_bytes(), false);
        format!("OSSAccessKeyId={ID}&Expires=1893456000&Signature={signature}&{rest}")
    };
    let c = "/examplebucket/c";
    for (string, rest, expected) in [
        (format!("1893456000\n{c}"), "", true),
        (format!("1893456000\n{c}"), "security-token=t", true),
        (format!("1893456000\nsecurity-token:t\n{c}"), "security-token=t", true),
        (format!("1893456000\n{c}"), "SecurityToken=t", true),
        (format!("1893456000\nSecurityToken:t\n{c}"), "SecurityToken=t", false),
        (format!("1893456000\n{c}"), "vhost=examplebucket&domain=d&bucket=b", true),
        (format!("1893456000\nvhost:examplebucket\n{c}"), "vhost=examplebucket", true),
        (format!("1893456000\na:1\nB:2\n{c}"), "B=2&a=1", true),
        (format!("1893456000\nB:2\na:1\n{c}"), "a=1&B=2", true),
        (format!("1893456000\nb:2\na:1\n{c}"), "a=1&b=2", false),
        (format!("1893456000\na:1\n{c}"), "a=1&a=2", true),
        (format!("1893456000\n{c}"), "a=1", false),
        (format!("1893456000\na:\n{c}"), "a", true),
        (format!("1893456001\n{c}"), "", false),
    ] {
        assert_eq!(verifies(&signed(&string, rest), "c"), expected, "{string:?} {rest}");
    }
}

#[test]
fn claims_are_checked_in_order() {
    for (query, ec) in [
        ("SignatureVersion=", "0002-00000808"),
        ("SignatureVersion=OSS4-HMAC-SHA256&OSSAccessKeyId=a", "0002-00000808"),
        ("Signature=", "0002-00000801"),
        ("Credential=", "0002-00000809"),
        ("Credential=a%20b/20300101/cn-hangzhou/oss/aliyun_v4_request", "0002-00000809"),
        ("Credential=a", "0002-00000810"),
        ("Credential=a/2030-01-01/cn-hangzhou/oss/aliyun_v4_request", "0002-00000810"),
        ("Credential=a/20300132/cn-hangzhou/oss/aliyun_v4_request", "0002-00000810"),
        ("Credential=a/20291224/cn-hangzhou/oss/aliyun_v4_request", "0002-00000810"),
        ("Credential=a/20300109/cn-hangzhou/oss/aliyun_v4_request", "0002-00000810"),
        ("Credential=a/20291225/cn-hangzhou/oss/aws4_request", "0002-00000811"),
        ("Credential=a/20300108/cn-hangzhou/aliyun_v4_request", "0002-00000811"),
        ("Credential=a/20300101/cn-hangzhou/oss/aliyun_v4_request/", "0002-00000811"),
        ("Credential=a/20300101/cn-hangzhou/oss/aliyun_v4_request", "0002-00000801"),
        ("Credential=a%2F20300101%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&Signature=x", "0002-00000801"),
        ("Credential=a%20b&OSSAccessKeyId=", "0002-00000801"),
        ("Credential=a%20b&SignatureVersion=OSS4-HMAC-SHA256", "0002-00000808"),
        ("OSSAccessKeyId=", "0002-00000801"),
        ("OSSAccessKeyId=a%20b", "0002-00000802"),
        ("OSSAccessKeyId=a", "0002-00000803"),
        ("OSSAccessKeyId=a&Expires=", "0002-00000803"),
        ("OSSAccessKeyId=a&Expires=1.5", "0002-00000804"),
        ("OSSAccessKeyId=a&Expires=1893455999", "0002-00000805"),
        ("OSSAccessKeyId=a&Expires=-1", "0002-00000805"),
        ("OSSAccessKeyId=a&Expires=1893456000", "0002-00000806"),
    ] {
        let refusal = PublishCredentials::extract(&parameters(query), EXPIRES).unwrap_err();
        assert_eq!((refusal.code, refusal.ec), (ErrorCode::AccessDenied, Some(ec)), "{query}");
    }
    for query in ["", "playlistName=p.m3u8", "Expires=1"] {
        let credentials = PublishCredentials::extract(&parameters(query), EXPIRES).unwrap();
        assert_eq!(credentials, PublishCredentials::Unsigned, "{query}");
        assert!(!credentials.verify(&SecretKey::new(SECRET.to_owned()), "examplebucket", "c"));
    }
}

#[test]
fn keys_are_checked_before_the_signature() {
    let credentials =
        PublishCredentials::extract(&parameters("OSSAccessKeyId=a&Expires=1893456000&Signature=x"), 0).unwrap();
    let secret = SecretKey::new(SECRET.to_owned());
    let key = KnownKey { secret: &secret, is_enabled: true, user_is_enabled: true, session: None };
    let refuse = |key: Option<KnownKey<'_>>| credentials.admit(key.as_ref(), "examplebucket", "c", 0).unwrap_err().ec;
    assert_eq!(refuse(None), Some("0002-00000902"));
    assert_eq!(refuse(Some(KnownKey { is_enabled: false, ..key })), Some("0002-00000904"));
    assert_eq!(refuse(Some(key)), Some("0002-00000807"));
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_any_other_does_not(
        channel in "[a-z0-9 字%+&=?]{1,20}",
        sent in proptest::collection::btree_map("[A-Za-z-]{1,6}", "\\PC{0,8}", 0..4),
        flip in 0..64_usize,
    ) {
        let (id, secret) = (AccessKeyId::parse(ID).unwrap(), SecretKey::new(SECRET.to_owned()));
        let sent: Vec<_> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let url = RtmpUrl { host: "h:1935", style: RtmpStyle::Path, bucket: "examplebucket", channel: &channel, parameters: &sent };
        let url = sign_rtmp_url(&url, &id, &secret, None, EXPIRES);
        let mut received = parameters(url.split_once('?').unwrap().1);
        let verify = |received: &[(String, String)]| PublishCredentials::extract(received, 0)
            .is_ok_and(|credentials| credentials.verify(&secret, "examplebucket", &channel));
        prop_assert!(verify(&received), "{}", url);
        let index = flip % received.len();
        received[index].1.push('x');
        // The id is not signed: it chooses the secret.
        let is_free = received[index].0 == "OSSAccessKeyId" || HELPERS.contains(&received[index].0.as_str());
        prop_assert!(is_free || !verify(&received), "{}", url);
    }

    #[test]
    fn no_parameters_panic(sent: Vec<(String, String)>, now: i64) {
        if let Ok(credentials) = PublishCredentials::extract(&sent, now) {
            credentials.verify(&SecretKey::new(String::new()), "b", "c");
        }
    }
}
