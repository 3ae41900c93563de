//! Signing the URIs of a playlist that a user stored: no text panics, only URIs change, signing twice is signing once, and what was
//! signed verifies.
//!
//! The first input byte chooses signature version, addressing style, and whether tags and siblings are signed; the rest is the
//! playlist.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::name::{BucketName, ObjectKey};
use oss::playlist_sign::{SignContext, SignedPlaylist, check_request, sign_playlist, split_process_key, written_folder};
use oss::request::{Addressing, RawRequest, is_sign_process, route};
use oss::sign::{Credentials, SecretKey, SignOptions};

const NOW_MS: i64 = 1_704_164_645_000;
const V1: &str =
    "x-oss-process=hls%2Fsign&OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=abc%3D&security-token=a%2Bb";
const V4: &str = "x-oss-process=hls%2Fsign&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20240102T030405Z&x-oss-expires=3600\
                  &x-oss-credential=AKIDEXAMPLE0001%2F20240102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request\
                  &x-oss-signature=4658e7b67f8a8f2133d08c939e400207683545b0d0622634c98956b67528bfba";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else { return };
    let is_path = choice & 2 == 0;
    let request = RawRequest {
        method: "GET".to_owned(),
        path: if is_path { "/examplebucket/live/ch1/playlist.m3u8" } else { "/live/ch1/playlist.m3u8" }.to_owned(),
        query: if choice & 1 == 0 { V1 } else { V4 }.to_owned(),
        host: if is_path { "127.0.0.1:9000" } else { "examplebucket.oss.example.com" }.to_owned(),
        ..RawRequest::default()
    };
    let addressing = Addressing { base_domains: vec!["oss.example.com".to_owned()], ..Addressing::default() };
    let found = route(&request, &addressing).expect("the request is well formed");
    let credentials = Credentials::extract(&request, &found, &SignOptions::default(), NOW_MS)
        .expect("the credentials are well formed");
    let secret = SecretKey::new("secret".to_owned());
    let bucket = BucketName::parse("examplebucket").expect("a bucket name");
    let key = ObjectKey::parse(b"live/ch1/playlist.m3u8").expect("a key");
    check_request(&request, &credentials, &key).expect("a signed request for a playlist");
    let context = SignContext {
        bucket: &bucket,
        key: &key,
        folder: "",
        style: found.style,
        host: &request.host,
        addressing: &addressing,
        credentials: &credentials,
        secret: &secret,
        process: "hls/sign",
        signs_tags: choice & 4 == 0,
        signs_siblings: choice & 8 != 0,
    };

    let name = String::from_utf8_lossy(text);
    let _ = is_sign_process(&name);
    let _ = written_folder(&name);
    if let Ok(key) = ObjectKey::parse(text) {
        drop(split_process_key(&key));
    }

    let Ok(SignedPlaylist { text: signed, left }) = sign_playlist(text, &context) else { return };
    if let Ok(again) = sign_playlist(&signed, &context) {
        assert_eq!(again.text, signed, "signing twice is not signing once");
        assert_eq!(again.left, left, "what was signed cannot be signed again");
    }
    let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (before, after) = (lines(text), lines(&signed));
    assert_eq!(before.len(), after.len(), "a line came or went");
    for (old, new) in before.iter().zip(&after) {
        if old.starts_with(b"#") && !context.signs_tags {
            assert_eq!(old, new, "a tag changed");
        }
        if is_plain_segment(old) {
            check_segment(&request, &addressing, &secret, new, is_path);
        }
    }
});

/// A bare object name, whose address needs no resolving.
fn is_plain_segment(line: &[u8]) -> bool {
    line.ends_with(b".ts")
        && line.first() != Some(&b'.')
        && line.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.')
}

/// A player that follows the line is let in.
fn check_segment(playlist: &RawRequest, addressing: &Addressing, secret: &SecretKey, line: &[u8], is_path: bool) {
    let line = String::from_utf8(line.to_vec()).expect("a signed plain name is text");
    let (uri, query) = line.split_once('?').expect("a signature");
    let request = RawRequest {
        path: format!("{}/live/ch1/{uri}", if is_path { "/examplebucket" } else { "" }),
        query: query.to_owned(),
        ..playlist.clone()
    };
    let found = route(&request, addressing).expect("the segment's address is well formed");
    let credentials =
        Credentials::extract(&request, &found, &SignOptions::default(), NOW_MS).expect("the segment's credentials");
    credentials.verify(secret, &request, &found).expect("what was signed verifies");
}
