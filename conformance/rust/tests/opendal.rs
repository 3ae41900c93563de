//! Apache OpenDAL's OSS service over everything it can do: path style, virtual-hosted and through a custom domain, V1
//! and V4 (HTTP API 1.5; 17, rows 40 to 43).

use std::collections::BTreeMap;
use std::time::Duration;

use millpond_conformance::{Client, Server};
use opendal::{EntryMode, ErrorKind, Operator};

/// Keys that have to be escaped somewhere: in the path, in a query, in XML, in a signature.
const ODD_KEYS: &[&str] =
    &["a b", "a+b", "a%2Fb", "测试/键", "&<>\"'", "q?x=1#f", "dir//x", "~!@$*()_-.,;:=[]{}|^`", "é\u{301}"];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Runs a check with every client of a new server; what fails says with which one.
async fn with_every_client(check: impl AsyncFn(&Client)) {
    let server = Server::start();
    for client in server.clients().await {
        eprintln!("as {}", client.label);
        check(&client).await;
    }
}

async fn refusal<T: std::fmt::Debug>(call: impl IntoFuture<Output = opendal::Result<T>>) -> ErrorKind {
    call.await.expect_err("the call must be refused").kind()
}

#[tokio::test]
async fn what_is_written_is_read() {
    with_every_client(async |client| {
        let op = &client.operator;
        for len in [0, 1, 20_000, 3_000_000] {
            let body = pattern(len);
            op.write("dir/key", body.clone()).await.unwrap();
            assert_eq!(op.read("dir/key").await.unwrap().to_vec(), body);
            let stat = op.stat("dir/key").await.unwrap();
            assert_eq!((stat.mode(), stat.content_length()), (EntryMode::FILE, len as u64));
            assert_eq!(stat.content_type(), Some("application/octet-stream"));
            assert!(stat.etag().is_some_and(|etag| etag.len() == 34) && stat.last_modified().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn keys_are_what_they_are() {
    with_every_client(async |client| {
        let op = &client.operator;
        for key in ODD_KEYS {
            // OpenDAL itself takes a doubled slash away before it asks.
            let body = key.as_bytes().to_vec();
            op.write(key, body.clone()).await.unwrap();
            assert_eq!(op.read(key).await.unwrap().to_vec(), body, "{key}");
            assert_eq!(op.stat(key).await.unwrap().content_length(), body.len() as u64, "{key}");
        }
        let mut expected: Vec<String> = ODD_KEYS.iter().map(|key| key.replace("//", "/")).collect();
        expected.sort();
        assert_eq!(files(op, "").await, expected);
        op.delete_iter(ODD_KEYS.iter().map(|key| (*key).to_owned())).await.unwrap();
        assert_eq!(files(op, "").await, Vec::<String>::new());
    })
    .await;
}

/// The paths of all files below a folder, sorted.
async fn files(op: &Operator, path: &str) -> Vec<String> {
    let entries = op.list_with(path).recursive(true).await.unwrap();
    let mut found: Vec<String> =
        entries.iter().filter(|e| e.metadata().is_file()).map(|entry| entry.path().to_owned()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn headers_and_metadata_come_back() {
    with_every_client(async |client| {
        let op = &client.operator;
        // Written at once, and in parts.
        for (key, len) in [("small", 10), ("large", 500_000)] {
            let metadata =
                BTreeMap::from([("author".to_owned(), "me".to_owned()), ("two-words".to_owned(), "a b".to_owned())]);
            let mut writer = op
                .writer_with(key)
                .chunk(200_000)
                .content_type("text/x-test")
                .cache_control("max-age=5")
                .content_disposition("attachment; filename=x")
                .content_encoding("identity")
                .user_metadata(if key == "small" { metadata.clone() } else { BTreeMap::new() })
                .await
                .unwrap();
            writer.write(pattern(len)).await.unwrap();
            writer.close().await.unwrap();
            let stat = op.stat(key).await.unwrap();
            assert_eq!(stat.content_type(), Some("text/x-test"));
            assert_eq!(stat.cache_control(), Some("max-age=5"));
            assert_eq!(stat.content_disposition(), Some("attachment; filename=x"));
            assert_eq!(stat.content_encoding(), Some("identity"));
            if key == "small" {
                let kept = stat.user_metadata().expect("there is metadata");
                assert_eq!((kept.get("author"), kept.get("two-words"), kept.len()), (Some("me"), Some("a b"), 2));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn ranges_are_cut_as_http_says() {
    with_every_client(async |client| {
        let op = &client.operator;
        let body = pattern(100_000);
        op.write("key", body.clone()).await.unwrap();
        for (from, to) in [(0, 10), (10, 11), (99_990, 100_000), (5, 100_000), (0, 100_000)] {
            let got = op.read_with("key").range(from as u64..to as u64).await.unwrap();
            assert_eq!(got.to_vec(), body[from..to], "{from}..{to}");
        }
        assert_eq!(op.read_with("key").range(90_000..).await.unwrap().to_vec(), body[90_000..]);
        // OpenDAL asks for ranges with `x-oss-range-behavior: standard`: what begins behind the end is 416.
        let refused = op.read_with("key").range(100_000..100_010).await.expect_err("there is nothing");
        assert!(refused.to_string().contains("InvalidRange"), "{refused}");
        let reader = op.reader_with("key").chunk(7_000).concurrent(4).await.unwrap();
        assert_eq!(reader.read(..).await.unwrap().to_vec(), body);
        let pieces = reader.fetch(vec![0..5, 50_000..50_010, 99_999..100_000]).await.unwrap();
        assert_eq!(pieces[1].to_vec(), body[50_000..50_010]);
    })
    .await;
}

#[tokio::test]
async fn lists_are_flat_recursive_and_begin_anywhere() {
    with_every_client(async |client| {
        let op = &client.operator;
        let keys = ["a", "dir/1", "dir/2", "dir/sub/3", "dir/sub/4", "dir2/5", "z z"];
        for key in keys {
            op.write(key, key).await.unwrap();
        }
        let names = |entries: Vec<opendal::Entry>| entries.iter().map(|e| e.path().to_owned()).collect::<Vec<_>>();
        let mut flat = names(op.list("").await.unwrap());
        flat.sort();
        assert_eq!(flat, ["a", "dir/", "dir2/", "z z"]);
        let mut below = names(op.list("dir/").await.unwrap());
        below.sort();
        assert_eq!(below, ["dir/1", "dir/2", "dir/sub/"]);
        assert_eq!(files(op, "").await, keys);
        assert_eq!(files(op, "dir/").await, ["dir/1", "dir/2", "dir/sub/3", "dir/sub/4"]);
        // Pages of one, two and all.
        for limit in [1, 2, 1000] {
            assert_eq!(names(op.list_with("").recursive(true).limit(limit).await.unwrap()), keys, "{limit}");
        }
        let rest = names(op.list_with("").recursive(true).start_after("dir/sub/3").await.unwrap());
        assert_eq!(rest, ["dir/sub/4", "dir2/5", "z z"]);
        let entry = &op.list_with("").recursive(true).start_after("dir2/5").await.unwrap()[0];
        assert_eq!(entry.metadata().content_length(), 3);
        let versions = op.list_with("dir/").versions(true).recursive(true).await.unwrap();
        let seen: Vec<_> =
            versions.iter().map(|e| (e.path(), e.metadata().version(), e.metadata().is_current())).collect();
        assert_eq!(seen[0], ("dir/1", Some("null"), Some(true)), "{seen:?}");
        assert_eq!(op.list("nothing/").await.unwrap().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn deletes_one_by_one_and_in_batches() {
    with_every_client(async |client| {
        let op = &client.operator;
        op.write("one", "x").await.unwrap();
        op.delete("one").await.unwrap();
        op.delete("one").await.unwrap();
        assert!(!op.exists("one").await.unwrap());
        for number in 0..12 {
            op.write(&format!("many/{number} &"), "x").await.unwrap();
        }
        // More than one request takes; absent keys are deleted keys.
        op.delete_iter((0..1_200).map(|number| format!("many/{number} &"))).await.unwrap();
        assert_eq!(files(op, "").await, Vec::<String>::new());
        op.write("tree/a", "x").await.unwrap();
        op.write("tree/b/c", "x").await.unwrap();
        op.delete_with("tree/").recursive(true).await.unwrap();
        assert_eq!(files(op, "").await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn copies() {
    with_every_client(async |client| {
        let op = &client.operator;
        for body in [pattern(0), pattern(50), pattern(400_000)] {
            op.write_with("from 测试", body.clone()).content_type("text/x").await.unwrap();
            op.copy("from 测试", "dir/to").await.unwrap();
            op.delete("from 测试").await.unwrap();
            assert_eq!(op.read("dir/to").await.unwrap().to_vec(), body);
            assert_eq!(op.stat("dir/to").await.unwrap().content_type(), Some("text/x"));
        }
        assert_eq!(refusal(op.copy("absent", "to")).await, ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn large_writes_go_in_parts() {
    with_every_client(async |client| {
        let op = &client.operator;
        let body = pattern(1_100_001);
        let mut writer = op.writer_with("big").chunk(200 * 1024).concurrent(4).await.unwrap();
        for piece in body.chunks(77_777) {
            writer.write(piece.to_vec()).await.unwrap();
        }
        let written = writer.close().await.unwrap();
        let stat = op.stat("big").await.unwrap();
        assert_eq!((stat.etag(), stat.content_length()), (written.etag(), body.len() as u64));
        assert!(stat.etag().is_some_and(|etag| etag.ends_with("-6\"")), "{:?}", stat.etag());
        assert_eq!(op.read("big").await.unwrap().to_vec(), body);
        let mut given_up = op.writer_with("given up").chunk(200 * 1024).await.unwrap();
        given_up.write(pattern(500_000)).await.unwrap();
        given_up.abort().await.unwrap();
        assert!(!op.exists("given up").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn appends() {
    with_every_client(async |client| {
        let op = &client.operator;
        let mut whole = Vec::new();
        for len in [10, 20_000, 300_000, 1] {
            let piece = pattern(len);
            op.write_with("log", piece.clone()).append(true).await.unwrap();
            whole.extend(piece);
            assert_eq!(op.read("log").await.unwrap().to_vec(), whole);
        }
        let mut writer = op.writer_with("log").append(true).await.unwrap();
        for piece in [&b"one "[..], b"two ", b"three"] {
            writer.write(piece).await.unwrap();
            whole.extend(piece);
        }
        writer.close().await.unwrap();
        assert_eq!(op.read("log").await.unwrap().to_vec(), whole);
        op.write("plain", "x").await.unwrap();
        assert!(op.write_with("plain", "y").append(true).await.is_err());
        assert_eq!(op.read("plain").await.unwrap().to_vec(), b"x");
    })
    .await;
}

#[tokio::test]
async fn presigned_requests_need_no_key() {
    with_every_client(async |client| {
        let op = &client.operator;
        let (minute, body) = (Duration::from_secs(60), pattern(30_000));
        let put = op.presign_write_with("dir/a b", minute).content_type("text/x").await.unwrap();
        assert_eq!(client.send(put, &body).await.status, 200);
        let got = client.send(op.presign_read("dir/a b", minute).await.unwrap(), b"").await;
        assert_eq!(
            (got.status, got.body == body, &got.headers["content-type"]),
            (200, true, &"text/x".parse().unwrap())
        );
        let head = client.send(op.presign_stat("dir/a b", minute).await.unwrap(), b"").await;
        assert_eq!((head.status, &head.headers["content-length"]), (200, &"30000".parse().unwrap()));
        let named = op.presign_read_with("dir/a b", minute).override_content_disposition("attachment").await.unwrap();
        assert_eq!(client.send(named, b"").await.headers["content-disposition"], "attachment");
        let missing = client.send(op.presign_read("absent", minute).await.unwrap(), b"").await;
        assert_eq!(missing.status, 404);
    })
    .await;
}

#[tokio::test]
async fn conditions_hold_or_not() {
    with_every_client(async |client| {
        let op = &client.operator;
        op.write("key", "body").await.unwrap();
        let stat = op.stat("key").await.unwrap();
        let (etag, other) = (stat.etag().unwrap().to_owned(), "\"00000000000000000000000000000000\"");
        let modified = stat.last_modified().unwrap();
        let (before, after) = (modified - Duration::from_secs(60), modified + Duration::from_secs(60));
        let failed = ErrorKind::ConditionNotMatch;
        assert_eq!(op.read_with("key").if_match(&etag).await.unwrap().to_vec(), b"body");
        assert_eq!(refusal(op.read_with("key").if_match(other)).await, failed);
        assert_eq!(op.read_with("key").if_none_match(other).await.unwrap().to_vec(), b"body");
        assert_eq!(refusal(op.read_with("key").if_none_match(&etag)).await, failed);
        assert_eq!(op.read_with("key").if_modified_since(before).await.unwrap().to_vec(), b"body");
        assert_eq!(refusal(op.read_with("key").if_modified_since(after)).await, failed);
        assert_eq!(op.read_with("key").if_unmodified_since(after).await.unwrap().to_vec(), b"body");
        assert_eq!(refusal(op.read_with("key").if_unmodified_since(before)).await, failed);
        op.stat_with("key").if_match(&etag).await.unwrap();
        assert_eq!(refusal(op.stat_with("key").if_match(other)).await, failed);
        assert_eq!(refusal(op.stat_with("key").if_none_match(&etag)).await, failed);
        op.stat_with("key").version("null").await.unwrap();
        assert_eq!(refusal(op.write_with("key", "new").if_not_exists(true)).await, failed);
        op.write_with("new", "new").if_not_exists(true).await.unwrap();
        let mut parts = op.writer_with("key").chunk(150_000).if_not_exists(true).await.unwrap();
        let written = async {
            parts.write(pattern(400_000)).await?;
            parts.close().await
        };
        assert_eq!(refusal(written).await, failed);
        assert_eq!(op.read("key").await.unwrap().to_vec(), b"body");
    })
    .await;
}

#[tokio::test]
async fn refusals_are_understood() {
    let server = Server::start();
    for client in server.clients().await {
        let op = &client.operator;
        assert_eq!(refusal(op.read("absent")).await, ErrorKind::NotFound, "{}", client.label);
        assert_eq!(refusal(op.stat("absent")).await, ErrorKind::NotFound, "{}", client.label);
    }
    for version in ["v1", "v4"] {
        for style in ["path", "virtual"] {
            let bucket = format!("opendal-{style}-{version}");
            let stranger = server.client(style, version, &bucket, "not the secret").operator;
            assert_eq!(refusal(stranger.read("key")).await, ErrorKind::PermissionDenied);
            assert_eq!(refusal(stranger.list("")).await, ErrorKind::PermissionDenied);
            let nowhere =
                server.client(style, version, "opendal-no-such-bucket", millpond_conformance::ACCESS_KEY_SECRET);
            assert_eq!(refusal(nowhere.operator.stat("key")).await, ErrorKind::NotFound);
            assert!(nowhere.operator.list("").await.is_err());
        }
    }
}

#[tokio::test]
async fn sdk_quirk_40_lists_in_path_style_are_signed_without_a_slash() {
    let server = Server::start();
    server.clients().await;
    // `/bucket?list-type=2`, and `/bucket` in what is signed, under V1 and V4.
    for version in ["v1", "v4"] {
        let bucket = format!("opendal-path-{version}");
        let op = server.client("path", version, &bucket, millpond_conformance::ACCESS_KEY_SECRET).operator;
        op.write("dir/key", "x").await.unwrap();
        assert_eq!(files(&op, "").await, ["dir/key"], "{version}");
        assert_eq!(files(&op, "dir/").await, ["dir/key"], "{version}");
    }
}

#[tokio::test]
async fn sdk_quirk_41_every_header_is_signed_under_v4() {
    let server = Server::start();
    for client in server.clients().await.iter().filter(|client| client.label.ends_with("v4")) {
        let op = &client.operator;
        // Signed beside the usual ones: content-length, cache-control, content-disposition; range; none at all.
        op.write_with("key", "0123456789").cache_control("no-cache").content_disposition("inline").await.unwrap();
        assert_eq!(op.read_with("key").range(2..4).await.unwrap().to_vec(), b"23", "{}", client.label);
        assert_eq!(op.stat("key").await.unwrap().cache_control(), Some("no-cache"), "{}", client.label);
        // In a URL: content-length and host.
        let put = op.presign_write("signed", Duration::from_secs(60)).await.unwrap();
        assert_eq!(client.send(put, b"body").await.status, 200, "{}", client.label);
    }
}

#[tokio::test]
async fn sdk_quirk_42_lists_without_url_encoding_are_read() {
    with_every_client(async |client| {
        let op = &client.operator;
        for key in ["a&b<c>\"'", "测试/键 1", "]]>", "e\u{301}", "tab\there"] {
            op.write(key, "x").await.unwrap();
        }
        let expected = ["]]>", "a&b<c>\"'", "e\u{301}", "tab\there", "测试/键 1"];
        assert_eq!(files(op, "").await, expected);
        assert_eq!(files(op, "测试/").await, ["测试/键 1"]);
    })
    .await;
}

#[tokio::test]
async fn sdk_quirk_43_deletes_and_writes_have_the_status_that_is_looked_for() {
    with_every_client(async |client| {
        let op = &client.operator;
        op.write("key", "x").await.unwrap();
        op.delete("key").await.unwrap();
        op.delete("key").await.unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(client.send(op.presign_write("key", minute).await.unwrap(), b"x").await.status, 200);
    })
    .await;
}
