//! Every operation there is, asked for over HTTP of the real server by those who may not: strangers, users without a
//! policy, and keys that were disabled. The list is complete by construction: a new operation does not compile until
//! its request is written here.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod support;

use acceptance::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::OperationKind;
use model::name::BucketName;
use oss::request::{Addressing, RawRequest, route};
use oss::sign::presign::UnsignedRequest;
use serde_json::json;
use support::signed::pairs;
use support::{Connection, Management, ROOT, Request, md5_base64, now_s, signer, start};

const BUCKET: &str = "refusals";

type Parameters = &'static [(&'static str, Option<&'static str>)];

/// A request: method, bucket or none, key, parameters, headers, body.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    bucket: Option<&'static str>,
    key: &'static str,
    query: Parameters,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn asked(method: &'static str, bucket: Option<&'static str>, key: &'static str, query: Parameters) -> Asked {
    Asked { method, bucket, key, query, headers: Vec::new(), body: Vec::new() }
}

impl Asked {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-md5", &md5_base64(body))
    }
}

/// The request for an operation; `None` for what HTTP cannot ask for, or everybody may.
fn request(kind: OperationKind) -> Option<Asked> {
    use OperationKind as Kind;
    let service = |method, query| Some(asked(method, None, "", query));
    let bucket = |method, query| Some(asked(method, Some(BUCKET), "", query));
    let object = |method, query| Some(asked(method, Some(BUCKET), "secret", query));
    let channel = |method, query| Some(asked(method, Some(BUCKET), "channel", query));
    let copy = |asked: Option<Asked>| asked.map(|asked| asked.header("x-oss-copy-source", "/refusals/secret"));
    match kind {
        Kind::ListBuckets => service("GET", &[]),
        Kind::DescribeRegions => service("GET", &[("regions", None)]),
        Kind::PutBucket => Some(asked("PUT", Some("refusals-new"), "", &[])),
        Kind::HeadBucket => bucket("HEAD", &[]),
        Kind::DeleteBucket => bucket("DELETE", &[]),
        Kind::GetBucketInfo => bucket("GET", &[("bucketInfo", None)]),
        Kind::GetBucketLocation => bucket("GET", &[("location", None)]),
        Kind::GetBucketStat => bucket("GET", &[("stat", None)]),
        Kind::ListObjects => bucket("GET", &[]),
        Kind::ListObjectsV2 => bucket("GET", &[("list-type", Some("2"))]),
        Kind::ListObjectVersions => bucket("GET", &[("versions", None)]),
        Kind::PutBucketAcl => bucket("PUT", &[("acl", None)]),
        Kind::GetBucketAcl => bucket("GET", &[("acl", None)]),
        Kind::PutBucketCors => bucket("PUT", &[("cors", None)]),
        Kind::GetBucketCors => bucket("GET", &[("cors", None)]),
        Kind::DeleteBucketCors => bucket("DELETE", &[("cors", None)]),
        Kind::PutBucketReferer => bucket("PUT", &[("referer", None)]),
        Kind::GetBucketReferer => bucket("GET", &[("referer", None)]),
        Kind::DeleteBucketReferer => bucket("DELETE", &[("referer", None)]),
        Kind::PutBucketLifecycle => bucket("PUT", &[("lifecycle", None)]),
        Kind::GetBucketLifecycle => bucket("GET", &[("lifecycle", None)]),
        Kind::DeleteBucketLifecycle => bucket("DELETE", &[("lifecycle", None)]),
        Kind::PutBucketPolicy => bucket("PUT", &[("policy", None)]),
        Kind::GetBucketPolicy => bucket("GET", &[("policy", None)]),
        Kind::DeleteBucketPolicy => bucket("DELETE", &[("policy", None)]),
        Kind::GetBucketPolicyStatus => bucket("GET", &[("policyStatus", None)]),
        Kind::PutBucketLogging => bucket("PUT", &[("logging", None)]),
        Kind::GetBucketLogging => bucket("GET", &[("logging", None)]),
        Kind::DeleteBucketLogging => bucket("DELETE", &[("logging", None)]),
        Kind::PutBucketWebsite => bucket("PUT", &[("website", None)]),
        Kind::GetBucketWebsite => bucket("GET", &[("website", None)]),
        Kind::DeleteBucketWebsite => bucket("DELETE", &[("website", None)]),
        Kind::PutBucketTags => bucket("PUT", &[("tagging", None)]),
        Kind::GetBucketTags => bucket("GET", &[("tagging", None)]),
        Kind::DeleteBucketTags => bucket("DELETE", &[("tagging", None)]),
        Kind::PutBucketVersioning => bucket("PUT", &[("versioning", None)]),
        Kind::GetBucketVersioning => bucket("GET", &[("versioning", None)]),
        Kind::PutObject => object("PUT", &[]),
        Kind::GetObject => object("GET", &[]),
        Kind::HeadObject => object("HEAD", &[]),
        Kind::GetObjectMeta => object("HEAD", &[("objectMeta", None)]),
        Kind::DeleteObject => object("DELETE", &[]),
        Kind::DeleteMultipleObjects => bucket("POST", &[("delete", None)])
            .map(|asked| asked.body(b"<Delete><Object><Key>secret</Key></Object></Delete>")),
        Kind::CopyObject => copy(object("PUT", &[])),
        Kind::AppendObject => object("POST", &[("append", None), ("position", Some("0"))]),
        Kind::PutObjectAcl => object("PUT", &[("acl", None)]),
        Kind::GetObjectAcl => object("GET", &[("acl", None)]),
        Kind::PutSymlink => object("PUT", &[("symlink", None)]),
        Kind::GetSymlink => object("GET", &[("symlink", None)]),
        Kind::PutObjectTagging => object("PUT", &[("tagging", None)]),
        Kind::GetObjectTagging => object("GET", &[("tagging", None)]),
        Kind::DeleteObjectTagging => object("DELETE", &[("tagging", None)]),
        Kind::InitiateMultipartUpload => object("POST", &[("uploads", None)]),
        Kind::UploadPart => object("PUT", &[("partNumber", Some("1")), ("uploadId", Some("A"))]),
        Kind::UploadPartCopy => copy(object("PUT", &[("partNumber", Some("1")), ("uploadId", Some("A"))])),
        Kind::CompleteMultipartUpload => object("POST", &[("uploadId", Some("A"))]),
        Kind::AbortMultipartUpload => object("DELETE", &[("uploadId", Some("A"))]),
        Kind::ListParts => object("GET", &[("uploadId", Some("A"))]),
        Kind::ListMultipartUploads => bucket("GET", &[("uploads", None)]),
        Kind::PostObject => bucket("POST", &[]).map(|asked| {
            let form = "--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\nnew\r\n--b\r\ncontent-disposition: \
                        form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n";
            asked.header("content-type", "multipart/form-data; boundary=b").body(form.as_bytes())
        }),
        Kind::GetSignedPlaylist => object("GET", &[("x-oss-process", Some("hls/sign"))]),
        Kind::GetVideoSnapshot => object("GET", &[("x-oss-process", Some("video/snapshot,t_0"))]),
        Kind::GetLiveStill => object("GET", &[("x-oss-process", Some("live/still"))]),
        Kind::PostStoryboard => object("POST", &[("x-oss-process", Some("video/storyboard"))]),
        Kind::ProcessObject => object("GET", &[("x-oss-process", Some("image/info"))]),
        Kind::RestoreObject => object("POST", &[("restore", None)]),
        Kind::PutLiveChannel => channel("PUT", &[("live", None)]),
        Kind::PutLiveChannelStatus => channel("PUT", &[("live", None), ("status", Some("disabled"))]),
        Kind::GetLiveChannelInfo => channel("GET", &[("live", None)]),
        Kind::GetLiveChannelStat => channel("GET", &[("live", None), ("comp", Some("stat"))]),
        Kind::GetLiveChannelHistory => channel("GET", &[("live", None), ("comp", Some("history"))]),
        Kind::ListLiveChannel => bucket("GET", &[("live", None)]),
        Kind::DeleteLiveChannel => channel("DELETE", &[("live", None)]),
        Kind::PostVodPlaylist => Some(asked("POST", Some(BUCKET), "channel/vod.m3u8", &[("vod", None)])),
        Kind::GetVodPlaylist => channel("GET", &[("vod", None)]),
        Kind::GetSubResource => bucket("GET", &[("encryption", None)]),
        Kind::PutSubResource => bucket("PUT", &[("encryption", None)]),
        Kind::DeleteSubResource => bucket("DELETE", &[("encryption", None)]),
        // Everybody may ask whether a page may; pushes come over RTMP, and the tests of pushes refuse them.
        Kind::Preflight | Kind::PublishRtmpStream => None,
    }
}

/// Sends a request, signed when there is a key; status and body, of which HEAD has only what a header says.
fn send(address: &str, asked: &Asked, key: Option<(&str, &str)>) -> (u16, String) {
    let bucket = asked.bucket.map(|name| BucketName::parse(name).unwrap());
    let unsigned = UnsignedRequest {
        method: asked.method,
        bucket: bucket.as_ref(),
        key: asked.key,
        query: asked.query,
        headers: &asked.headers,
    };
    let mut headers = asked.headers.clone();
    if let Some((id, secret)) = key {
        headers.extend(signer((id, secret), None).v1_headers(&unsigned, now_s()));
    }
    let target = target(asked);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let answer = Connection::new(address).send(&Request {
        method: asked.method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: pairs(headers),
        body: asked.body.clone(),
    });
    let in_header = answer.head.lines().find_map(|line| line.strip_prefix("x-oss-err: "));
    let body = in_header.map_or(answer.body, |encoded| STANDARD.decode(encoded).unwrap());
    (answer.status, String::from_utf8(body).unwrap())
}

fn target(asked: &Asked) -> String {
    let bucket = asked.bucket.map(|bucket| format!("/{bucket}")).unwrap_or_default();
    let mut target = format!("{bucket}/{}", asked.key);
    for (index, (name, value)) in asked.query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(name);
        target.extend(value.iter().map(|value| format!("={value}")));
    }
    target
}

fn new_key(server: &Server, user: &str) -> (String, String) {
    let made = server.manage("POST", &format!("users/{user}/keys"), &json!({}));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("access_key_id"), text("access_key_secret"))
}

#[test]
fn each_operation_refuses_strangers_users_without_rights_and_disabled_keys() {
    let server = start("warn");
    let root = |asked: Asked| {
        let (status, body) = send(&server.http, &asked, Some(ROOT));
        assert_eq!(status, 200, "{body}");
    };
    root(asked("PUT", Some(BUCKET), "", &[]));
    root(asked("PUT", Some(BUCKET), "secret", &[]).body(b"what nobody may read"));
    let channel = "<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>";
    root(asked("PUT", Some(BUCKET), "channel", &[("live", None)]).body(channel.as_bytes()));

    for user in ["foreign", "disabled"] {
        server.manage("POST", "users", &json!({"name": user}));
    }
    server.manage(
        "PUT",
        "users/disabled/policies/all",
        &json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:*", "Resource": "*"}]}),
    );
    let (foreign, disabled, of_disabled) =
        (new_key(&server, "foreign"), new_key(&server, "disabled"), new_key(&server, "disabled"));
    let key = |(id, secret): &(String, String)| -> (String, String) { (id.clone(), secret.clone()) };
    let (id, secret) = key(&disabled);
    let (status, body) = send(&server.http, &request(OperationKind::GetObject).unwrap(), Some((&id, &secret)));
    assert_eq!((status, body.as_str()), (200, "what nobody may read"));
    server.manage("PATCH", &format!("users/disabled/keys/{id}"), &json!({"enabled": false}));

    let mut checked = 0;
    let mut check = |kind: OperationKind, who: &str, key: Option<&(String, String)>, expected: (u16, &str)| {
        let asked = request(kind).unwrap();
        let (status, body) = send(&server.http, &asked, key.map(|(id, secret)| (id.as_str(), secret.as_str())));
        let code = oss::xml::read_error(body.as_bytes()).map(|refusal| refusal.code).unwrap_or_default();
        assert_eq!((status, code.as_str()), expected, "{who}, {}: {body}", kind.name());
        checked += 1;
    };
    for kind in OperationKind::ALL.iter().copied().filter(|kind| request(*kind).is_some()) {
        // A signed playlist wants its signature in the URL before anything else (OSS auth 9.2).
        let denied = match kind {
            OperationKind::GetSignedPlaylist => (400, "InvalidRequest"),
            _ => (403, "AccessDenied"),
        };
        check(kind, "a stranger", None, denied);
        // A form carries its own credentials: headers do not count (OSS auth 2).
        if kind != OperationKind::PostObject {
            check(kind, "a user without rights", Some(&foreign), denied);
            check(kind, "a disabled key", Some(&disabled), (403, "InvalidAccessKeyId"));
        }
    }
    server.manage("PATCH", "users/disabled", &json!({"enabled": false}));
    for kind in [OperationKind::GetObject, OperationKind::PutBucketAcl, OperationKind::DeleteLiveChannel] {
        check(kind, "a disabled user", Some(&of_disabled), (403, "UserDisable"));
    }
    assert_eq!(checked, (OperationKind::ALL.len() - 2) * 3 - 2 + 3);
    // Nothing was done in spite of a refusal.
    for kind in [OperationKind::GetObject, OperationKind::GetLiveChannelInfo] {
        assert_eq!(send(&server.http, &request(kind).unwrap(), Some(ROOT)).0, 200);
    }
}

#[test]
fn each_request_asks_for_its_operation() {
    for &kind in OperationKind::ALL {
        let Some(asked) = request(kind) else { continue };
        let whole = target(&asked);
        let (path, query) = whole.split_once('?').unwrap_or((&whole, ""));
        let raw = RawRequest {
            method: asked.method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: asked.headers.clone(),
            host: "127.0.0.1:9000".to_owned(),
            secure: false,
        };
        assert_eq!(route(&raw, &Addressing::default()).unwrap().kind, kind);
    }
}
