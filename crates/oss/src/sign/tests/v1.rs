//! The examples of OSS auth 3.6, 4 and 12 for version 1, and the spellings of SDKs.

use super::*;

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
