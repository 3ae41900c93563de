"""How single SDKs word their requests, one test for each row of HTTP API 17 that is about requests. `docs/compatibility.md` lists
all rows. What Go, Java and ossutil send is sent here byte for byte, since those do not run in this suite."""

import subprocess
import time
from email.utils import formatdate

import alibabacloud_oss_v2 as oss
import pytest
import requests
from oss2.models import BucketCors, CorsRule

from millpond_test.accounts import new_user
from millpond_test.raw import ask, head, v4_authorization
from millpond_test.server import REGION
from test_multipart import PART, upload


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def v4_head(method, target, path, query="", headers=None, **options):
    """A request signed with V4 by hand; `target` is sent, `path` and `query` are signed."""
    headers = {"x-oss-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), **(headers or {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    headers["Authorization"] = v4_authorization(method, path, query, headers, **options)
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
    return method.encode() + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines + b"\r\n"


def test_sdk_quirk_17_java_signs_the_sign_of_equality(server):
    # As the Java SDK words GetBucketAcl when a value is the empty string, and when it is null.
    name = server.new_bucket().bucket_name.encode()
    for target, signed in ((b"/?acl=", b"/?acl="), (b"/?acl=", b"/?acl"), (b"/?acl", b"/?acl")):
        assert ask(server, head("GET", b"/" + name + target, b"/" + name + signed)).status == 200, target
    assert ask(server, head("GET", b"/" + name + b"/?acl", b"/" + name + b"/?acl=")).seen == (403, "SignatureDoesNotMatch")


def curl(*arguments) -> str:
    done = subprocess.run(["curl", "-s", "--max-time", "20", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sdk_quirk_18_an_upload_waits_to_be_asked_for_its_body(bucket, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(bytes(range(256)) * 8_000)
    asking = ["-H", "Expect: 100-continue", "--expect100-timeout", "15", "-T", str(path), "-o", str(tmp_path / "answer"), "-w"]
    assert curl(*asking, "%{http_code} %{size_upload}", bucket.sign_url("PUT", "key", 60)) == f"200 {path.stat().st_size}"
    assert bucket.get_object("key").read() == path.read_bytes()
    # A refusal comes before the body: curl sends none of it.
    wrong = bucket.sign_url("PUT", "key", 60).replace("/key", "/other").replace("%2Fkey", "%2Fother")
    assert curl(*asking, "%{http_code} %{size_upload}", wrong) == "403 0"


def test_sdk_quirk_22_go_signs_v4_with_the_text_of_date(server):
    name = server.new_bucket().bucket_name.encode()
    request = v4_head("GET", b"/" + name + b"/?acl", b"/" + name + b"/", "acl", {"Date": formatdate(usegmt=True), "x-oss-date": None})
    assert b"x-oss-date" not in request
    assert ask(server, request).status == 200


def test_sdk_quirk_31_browsers_may_read_the_tag_of_a_part(server, bucket):
    rule = CorsRule(allowed_origins=["https://a.example"], allowed_methods=["PUT"], allowed_headers=["*"], expose_headers=["ETag"])
    bucket.put_bucket_cors(BucketCors([rule]))
    upload_id = bucket.init_multipart_upload("key").upload_id
    url = bucket.sign_url("PUT", "key", 60, params={"partNumber": "1", "uploadId": upload_id})
    answer = requests.put(url, data=b"x", headers={"Origin": "https://a.example"}, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'"{bucket.list_parts("key", upload_id).parts[0].etag}"'
    assert "etag" in answer.headers["Access-Control-Expose-Headers"].lower()


@pytest.mark.parametrize("method", ["PUT", "GET", "POST", "DELETE"])
def test_sdk_quirk_37_browsers_ask_before_signed_requests(server, bucket, method):
    # The headers are those of the browser build of ali-oss, under V1 and V4.
    bucket.put_bucket_cors(BucketCors([CorsRule(allowed_origins=["*"], allowed_methods=["GET", "PUT", "POST", "DELETE"], allowed_headers=["*"])]))
    asked = "authorization,content-type,x-oss-content-sha256,x-oss-date,x-oss-user-agent"
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    answer = requests.options(server.url(f"{bucket.bucket_name}/key?uploads="), headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "http://localhost:3000")
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert set(asked.split(",")) <= allowed or allowed == {"*"}, allowed
    assert method in answer.headers["Access-Control-Allow-Methods"]


def test_sdk_quirk_38_the_newer_sdk_names_its_token_otherwise_under_v1(server):
    name = server.new_bucket().bucket_name
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    session = user.session()
    for version in ("v1", "v4"):
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(session.id, session.secret, session.token)
        config.region, config.endpoint, config.signature_version = REGION, server.endpoint, version
        client = oss.Client(config)
        client.put_object(oss.PutObjectRequest(bucket=name, key="key", body=version.encode()))
        assert client.get_object(oss.GetObjectRequest(bucket=name, key="key")).body.read() == version.encode()


def test_sdk_quirk_46_chunks_are_those_of_http_and_nothing_else(server, bucket):
    # A body that looks like the signed chunks of other services is content; trailers are nothing.
    signed = b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"1" * 64 + b"\r\n\r\n"
    path = f"/{bucket.bucket_name}/key".encode()
    own = {"x-oss-content-sha256": "UNSIGNED-PAYLOAD", "Content-Length": str(len(signed))}
    assert ask(server, v4_head("PUT", path, path, headers=own) + signed).status == 200
    assert bucket.get_object("key").read() == signed
    body = b"5\r\nhello\r\n0\r\nx-oss-meta-late: 1\r\n\r\n"
    assert ask(server, head("PUT", path, path, {"Transfer-Encoding": "chunked"}) + body).status == 200
    assert bucket.get_object("key").read() == b"hello"
    assert "x-oss-meta-late" not in bucket.head_object("key").headers


def test_sdk_quirk_47_what_ossutil_asks_for(server, bucket):
    # `ossutil stat`, `cp` of a large file, `cp` between buckets, `ls`: the requests of the Go SDK below it, which escapes slashes.
    name = bucket.bucket_name
    bucket.put_object("dir/key", b"body", headers={"x-oss-meta-a": "1"})
    here = f"/{name}/".encode()

    def go(method, key=b"", query=b"", signed_query=None, body=b"", headers=None):
        # Go asks for gzip and never sends `Expect` by itself.
        given = {"User-Agent": "aliyun-sdk-go/2.2.5", "Accept-Encoding": "gzip", **(headers or {})}
        if body or method in ("PUT", "POST"):
            given["Content-Length"] = str(len(body))
        target = here + key.replace(b"/", b"%2F") + (b"?" + query if query else b"")
        signed = query if signed_query is None else signed_query
        return ask(server, head(method, target, here + key + (b"?" + signed if signed else b""), given) + body, method)

    assert b"<Name>" + name.encode() in go("GET", query=b"bucketInfo").body
    stat = go("HEAD", b"dir/key")
    assert (stat.status, stat.headers["x-oss-meta-a"], stat.headers["Content-Length"]) == (200, "1", "4")
    assert b"<Grant>default</Grant>" in go("GET", b"dir/key", b"acl").body
    listed = go("GET", query=b"prefix=dir%2F&max-keys=100&encoding-type=url&delimiter=", signed_query=b"")
    assert b"<Key>dir/key</Key>" in listed.body
    begun = go("POST", b"big", b"uploads&encoding-type=url", b"uploads")
    upload_id = begun.body.split(b"<UploadId>")[1].split(b"<")[0]
    first = go("PUT", b"big", b"partNumber=1&uploadId=" + upload_id, body=b"a" * PART)
    source = {"x-oss-copy-source": f"/{name}/dir%2Fkey", "x-oss-copy-source-range": "bytes=1-2"}
    second = go("PUT", b"big", b"partNumber=2&uploadId=" + upload_id, headers=source)
    tags = [first.headers["ETag"], second.body.split(b"<ETag>")[1].split(b"</ETag>")[0].replace(b"&quot;", b'"').decode()]
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    done = go("POST", b"big", b"uploadId=" + upload_id, body=body)
    assert done.status == 200, done.body
    got = go("GET", b"big")
    assert (got.body, got.headers["x-oss-hash-crc64ecma"]) == (b"a" * PART + b"od", done.headers["x-oss-hash-crc64ecma"])
    assert go("DELETE", b"big").status == 204


def test_sdk_quirk_48_parameters_without_a_value_are_written_with_one(server):
    # oss2 writes `?acl=` and signs `?acl` under V1; ali-oss signs `acl=` under V4 (row 36).
    name = server.new_bucket().bucket_name
    path = f"/{name}/".encode()
    assert ask(server, head("GET", path + b"?acl=", path + b"?acl")).status == 200
    for keeps_equals in (False, True):
        assert ask(server, v4_head("GET", path + b"?acl=", path, "acl=", keeps_equals=keeps_equals)).status == 200
    refusal = ask(server, v4_head("GET", path + b"?acl", path, "acl=", keeps_equals=True))
    assert refusal.seen == (403, "SignatureDoesNotMatch")
