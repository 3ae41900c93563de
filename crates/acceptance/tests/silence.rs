//! Nothing that would let others sign or call is shown in the log, in the numbers or in a refusal, at any level.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation of a test is a panic")]

mod support;

use media::rtmp::RtmpUrl;
use oss::sign::rtmp::{RtmpStyle, sign_rtmp_url};
use serde_json::json;
use support::flip::{Case, Random, SEED, flip};
use support::signed::{BUCKET, PRIVATE, V1, V1_URL, V4, V4_URL, publish, signed};
use support::{Connection, Management, ROOT, Request, now_s, signer, start};

/// Everything that a request or a push proves itself with, as it may appear in a text.
fn proofs(request: &Request) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in &request.headers {
        if name == "authorization" {
            found.push(value.rsplit([':', '=']).find(|piece| piece.len() > 20).unwrap_or(value).to_owned());
        }
    }
    for pair in request.query.split('&') {
        if let Some((_, value)) =
            pair.split_once('=').filter(|(name, _)| matches!(*name, "Signature" | "x-oss-signature"))
        {
            found.push(value.to_owned());
            found.push(String::from_utf8(model::percent::percent_decode(value)).unwrap());
        }
    }
    found
}

#[test]
fn nothing_that_signs_is_told() {
    let server = start("trace");
    let mut connection = Connection::new(&server.http);
    let root = signer(ROOT, None);
    let playlist = b"#EXTM3U\n#EXTINF:5.000,\nseg.ts\n";
    let channel = b"<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>";
    for (key, query, body) in [
        ("", &[][..], &b""[..]),
        ("dir/private file", &[], PRIVATE),
        ("live/a.m3u8", &[], playlist),
        ("camera", &[("live", None)], channel),
    ] {
        assert_eq!(connection.send(&signed(&root, V1, "PUT", key, query, &[], body)).status, 200);
    }
    let made = server.manage("POST", "sessions", &json!({"user": "root"}));
    server.manage("POST", "users", &json!({"name": "anna"}));
    let key = server.manage("POST", "users/anna/keys", &json!({}));
    let text = |made: &serde_json::Value, name: &str| made[name].as_str().unwrap().to_owned();
    let (secret, token) = (text(&made, "access_key_secret"), text(&made, "security_token"));
    let (id, user_secret) = (text(&made, "access_key_id"), text(&key, "access_key_secret"));
    let session = signer((&id, &secret), Some(&token));
    let user_id = text(&key, "access_key_id");
    let user = signer((&user_id, &user_secret), None);
    let mut proof = Vec::new();
    let mut told = String::new();
    let mut random = Random(SEED);
    for (signer, allowed) in [(&root, true), (&session, true), (&user, false)] {
        for scheme in [V1, V4, V1_URL, V4_URL] {
            for (key, query) in [("dir/private file", &[][..]), ("live/a.m3u8", &[("x-oss-process", Some("hls/sign"))])]
            {
                let request = signed(signer, scheme, "GET", key, query, &[], b"");
                proof.extend(proofs(&request));
                let answer = connection.send(&request);
                let is_served = allowed && (query.is_empty() || scheme.1);
                assert_eq!(answer.status == 200, is_served, "{request:?} {answer:?}");
                if answer.status != 200 {
                    told.push_str(&String::from_utf8_lossy(&answer.body));
                }
                let case = Case::new("told", request);
                for part in case.parts.iter().cycle().take(24) {
                    let answer = connection.send(&flip(&case.request, *part, &mut random));
                    if answer.status != 200 {
                        told.push_str(&String::from_utf8_lossy(&answer.body));
                    }
                }
            }
        }
        let url = oss::sign::rtmp::RtmpUrl {
            host: &server.http,
            style: RtmpStyle::Path,
            bucket: BUCKET,
            channel: "camera",
            parameters: &[("playlistName", "list.m3u8")],
        };
        let url = sign_rtmp_url(&url, &signer.access_key, &signer.secret, signer.token.as_deref(), now_s() + 600);
        let url = RtmpUrl::parse(&url).unwrap();
        let query = url.name.split_once('?').unwrap().1.to_owned();
        proof.extend(proofs(&Request { query, ..Request::default() }));
        told.push_str(&publish(&server.http, &url.app, &url.name).unwrap_or_default());
        for name in [url.name.replace("list.m3u8", "tsil.m3u8"), url.name.replace("Signature=", "Signature=A")] {
            told.push_str(&publish(&server.http, &url.app, &name).expect("a refusal"));
        }
    }
    assert!(proof.len() > 30 && proof.iter().all(|text| text.len() > 20), "{proof:?}");
    let numbers = Connection::new(&server.admin).send(&Request {
        method: "GET".to_owned(),
        path: "/metrics".to_owned(),
        ..Request::default()
    });
    let numbers = String::from_utf8(numbers.body).unwrap();
    let log = server.log();
    assert!(log.contains("\"DEBUG\"") && log.contains("http request"), "the log tells everything it can");
    assert!(numbers.contains("millpond_http_requests_total") && told.contains("SignatureDoesNotMatch"));
    let secrets = [ROOT.1, &secret, &user_secret];
    for (place, text) in [("the log", &log), ("the numbers", &numbers), ("a refusal", &told)] {
        for secret in secrets {
            assert!(!text.contains(secret), "{place} tells a secret");
        }
    }
    // A refusal repeats to its caller what that caller sent; nobody else may read it anywhere.
    for (place, text) in [("the log", &log), ("the numbers", &numbers)] {
        assert!(!text.contains(&token), "{place} tells a token");
        for signature in &proof {
            let line = text.lines().find(|line| line.contains(signature.as_str()));
            assert_eq!(line, None, "{place} tells a signature");
        }
    }
}
