"""Uploads by browser forms, and uploads that tell an application's server."""

import base64
import datetime
import hashlib
import hmac
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import oss2
import pytest
import requests

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from test_multipart import PART, crc64, refused, upload
from test_tls import make_certificate


def policy(bucket, *conditions, lifetime_s=300):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lifetime_s)
    document = {"expiration": end.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "conditions": [{"bucket": bucket}, *conditions]}
    return base64.b64encode(json.dumps(document).encode()).decode()


def signed_v1(text):
    digest = hmac.new(ACCESS_KEY_SECRET.encode(), text.encode(), hashlib.sha1).digest()
    return {"OSSAccessKeyId": ACCESS_KEY_ID, "policy": text, "Signature": base64.b64encode(digest).decode()}


def signed_v4(bucket, *conditions):
    now = datetime.datetime.now(datetime.timezone.utc)
    date, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    credential = f"{ACCESS_KEY_ID}/{day}/cn-hangzhou/oss/aliyun_v4_request"
    text = policy(bucket, {"x-oss-credential": credential}, {"x-oss-date": date}, *conditions)
    key = b"aliyun_v4" + ACCESS_KEY_SECRET.encode()
    for part in (day, "cn-hangzhou", "oss", "aliyun_v4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return {
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": credential,
        "x-oss-date": date,
        "policy": text,
        "x-oss-signature": hmac.new(key, text.encode(), hashlib.sha256).hexdigest(),
    }


def post(server, bucket, fields, body=b"content", filename="a b.txt", content_type="text/x"):
    return requests.post(
        server.url(bucket.bucket_name), data=fields, files={"file": (filename, body, content_type)}, timeout=10, allow_redirects=False
    )


@pytest.fixture
def bucket(server):
    return server.new_bucket()


@pytest.mark.parametrize("body", [b"", b"content", bytes(range(256)) * 5000 + b"\r\n--"], ids=["empty", "small", "large"])
@pytest.mark.parametrize("sign", [lambda name: signed_v1(policy(name)), signed_v4], ids=["v1", "v4"])
def test_a_form_stores_its_file(server, bucket, sign, body):
    fields = {"key": "up/${filename}", **sign(bucket.bucket_name), "x-oss-meta-a": "1", "Cache-Control": "no-cache"}
    answer = post(server, bucket, fields, body)
    assert (answer.status_code, answer.content) == (204, b""), answer.text
    got = bucket.get_object("up/a b.txt")
    assert (got.read(), got.content_type, got.headers["x-oss-meta-a"]) == (body, "text/x", "1")
    assert got.headers["Cache-Control"] == "no-cache"
    assert answer.headers["ETag"].strip('"') == got.etag == hashlib.md5(body).hexdigest().upper()
    assert answer.headers["x-oss-hash-crc64ecma"] == crc64(body)


def test_how_success_is_answered(server, bucket):
    signature = signed_v1(policy(bucket.bucket_name))
    send = lambda **more: post(server, bucket, {"key": "k", **signature, **more})  # noqa: E731
    assert send(success_action_status="200").status_code == 200
    created = send(success_action_status="201")
    assert (created.status_code, "<Key>k</Key>" in created.text) == (201, True)
    moved = send(success_action_redirect="http://x.example/done?a=b")
    assert moved.status_code == 303
    assert moved.headers["Location"].startswith(f"http://x.example/done?a=b&bucket={bucket.bucket_name}&key=k&etag=%22")


@pytest.mark.parametrize(
    "change, conditions, status, code",
    [
        ({"Signature": "AAAA"}, [], 403, "SignatureDoesNotMatch"),
        ({"OSSAccessKeyId": "nobody0000000000"}, [], 403, "InvalidAccessKeyId"),
        ({"key": "other"}, [["starts-with", "$key", "up/"]], 403, "AccessDenied"),
        ({}, [["content-length-range", 100, 200]], 400, "EntityTooSmall"),
        ({}, [["content-length-range", 1, 3]], 400, "EntityTooLarge"),
        ({"x-oss-object-acl": "open"}, [], 400, "InvalidArgument"),
        ({"key": ""}, [], 400, "InvalidObjectName"),
    ],
)
def test_what_a_form_is_refused_for(server, bucket, change, conditions, status, code):
    fields = {"key": "up/k", **signed_v1(policy(bucket.bucket_name, *conditions)), **change}
    answer = post(server, bucket, fields)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text
    assert not bucket.object_exists("up/k")


def test_forms_that_are_none(server, bucket):
    url = server.url(bucket.bucket_name)
    old = signed_v1(policy(bucket.bucket_name, lifetime_s=-1))
    assert "Policy expired" in post(server, bucket, {"key": "k", **old}).text
    assert "RequestIsNotMultiPartContent" in requests.post(url, data=b"x", timeout=10).text
    no_file = requests.post(url, files={"key": (None, "k")}, timeout=10)
    assert "IncorrectNumberOfFilesInPOSTRequest" in no_file.text
    no_key = post(server, bucket, signed_v1(policy(bucket.bucket_name)))
    assert "Bucket POST must contain a field named" in no_key.text
    assert "AccessDenied" in post(server, bucket, {"key": "k"}).text


def test_anybody_may_post_to_an_open_bucket(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    assert post(server, bucket, {"key": "k"}).status_code == 204
    again = post(server, bucket, {"key": "k", "x-oss-forbid-overwrite": "true"})
    assert (again.status_code, "FileAlreadyExists" in again.text) == (409, True)
    assert bucket.get_object("k").read() == b"content"


@pytest.fixture
def listener():
    """An application's server; it answers what `listener.answer` says and remembers what it was told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.told.append((self.path, self.headers, body.decode()))
            status, text = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.told, server.answer = [], (200, b'{"Status":"OK"}')
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def callback(listener, **more):
    document = {
        "callbackUrl": f"http://127.0.0.1:{listener.server_port}/told?x=y",
        "callbackBody": "bucket=${bucket}&object=${object}&etag=${etag}&size=${size}&mimeType=${mimeType}&var=${x:var}",
        **more,
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


VARIABLES = base64.b64encode(json.dumps({"x:var": "a b&c"}).encode()).decode()


@pytest.fixture
def open_server(fresh_server):
    return fresh_server(settings="callback_allow_private = true\n")


def test_an_upload_tells(open_server, listener):
    bucket = open_server.new_bucket()
    headers = {"x-oss-callback": callback(listener), "x-oss-callback-var": VARIABLES, "Content-Type": "text/x"}
    put = bucket.put_object("dir/k", b"content", headers=headers)
    assert (put.status, json.loads(put.resp.read())) == (200, {"Status": "OK"})
    assert put.headers["Content-Type"] == "application/json"
    path, sent, body = listener.told.pop()
    assert (path, sent["Content-Type"]) == ("/told?x=y", "application/x-www-form-urlencoded")
    etag = hashlib.md5(b"content").hexdigest().upper()
    assert body == f"bucket={bucket.bucket_name}&object=dir%2Fk&etag={etag}&size=7&mimeType=text%2Fx&var=a%20b%26c"

    upload_id, parts = upload(bucket, "big", {1: b"a" * PART, 2: b"b"})
    as_json = callback(listener, callbackBody='{"size":${size},"key":${object}}', callbackBodyType="application/json", callbackHost="app.example")
    bucket.complete_multipart_upload("big", upload_id, parts, headers={"x-oss-callback": as_json})
    _, sent, body = listener.told.pop()
    assert (json.loads(body), sent["Host"]) == ({"size": PART + 1, "key": "big"}, "app.example")

    fields = {"key": "form", **signed_v1(policy(bucket.bucket_name)), "callback": callback(listener), "x:var": "v"}
    answer = post(open_server, bucket, fields)
    assert (answer.status_code, answer.json()) == (200, {"Status": "OK"})
    assert listener.told.pop()[2].endswith("&var=v")


@pytest.mark.parametrize(
    "answer, detail", [((502, b"{}"), "Error status : 502."), ((200, b"no json"), "Response body is not valid json format.")]
)
def test_sdk_quirk_45_a_callback_that_fails_leaves_the_object(open_server, listener, answer, detail):
    listener.answer = answer
    bucket = open_server.new_bucket()
    url = bucket.sign_url("PUT", "k", 60, headers={"x-oss-callback": callback(listener)})
    put = requests.put(url, data=b"content", headers={"x-oss-callback": callback(listener)}, timeout=10)
    assert (put.status_code, "CallbackFailed" in put.text, detail in put.text) == (203, True, True)
    assert bucket.get_object("k").read() == b"content"


def test_addresses_are_tried_in_order(open_server, listener):
    bucket = open_server.new_bucket()
    urls = f"http://127.0.0.1:1/nobody;127.0.0.1:{listener.server_port}/second"
    bucket.put_object("k", b"x", headers={"x-oss-callback": callback(listener, callbackUrl=urls)})
    assert [path for path, _, _ in listener.told] == ["/second"]


def test_callbacks_do_not_reach_the_own_network(server, listener):
    bucket = server.new_bucket()
    for url, status, code in [
        (f"http://127.0.0.1:{listener.server_port}/", 400, "InvalidArgument"),
        ("http://localhost:1/", 400, "InvalidArgument"),
        ("http://[::ffff:10.0.0.1]/", 400, "InvalidArgument"),
        ("http://169.254.169.254/latest", 400, "InvalidArgument"),
        (f"https://127.0.0.1:{listener.server_port}/", 400, "InvalidArgument"),
        ("https://169.254.169.254/latest", 400, "InvalidArgument"),
    ]:
        headers = {"x-oss-callback": callback(listener, callbackUrl=url)}
        refused(lambda: bucket.put_object("k", b"x", headers=headers), status, code)
    refused(lambda: bucket.put_object("k", b"x", headers={"x-oss-callback": "%%%"}), 400, "InvalidArgument")
    assert not bucket.object_exists("k")
    assert listener.told == []


@pytest.fixture
def secure_listener(listener, tmp_path):
    """The same application's server behind TLS, and the folder of its certificate; it remembers the names it was asked for."""
    # Of a server and not of an authority: rustls tells the two apart.
    certificate, key = make_certificate(tmp_path, "application", "-addext", "basicConstraints=critical,CA:FALSE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener.asked_for = []
    context.sni_callback = lambda _socket, name, _context: listener.asked_for.append(name)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    listener.certificate = certificate
    return listener


def over_tls(listener, host, **more):
    return callback(listener, callbackUrl=f"https://{host}:{listener.server_port}/told", **more)


def test_an_upload_tells_over_tls(fresh_server, secure_listener):
    trusting = fresh_server(settings="callback_allow_private = true\n", environment={"SSL_CERT_FILE": str(secure_listener.certificate)})
    bucket = trusting.new_bucket()
    for host, sni in (("127.0.0.1", False), ("localhost", False), ("localhost", True)):
        put = bucket.put_object("k", b"x", headers={"x-oss-callback": over_tls(secure_listener, host, callbackSNI=sni)})
        assert (put.status, json.loads(put.resp.read())) == (200, {"Status": "OK"})
    assert len(secure_listener.told) == 3
    assert [name for name in secure_listener.asked_for if name] == ["localhost"]


def test_a_server_that_nobody_vouches_for_is_told_nothing(fresh_server, secure_listener, tmp_path):
    other, _ = make_certificate(tmp_path, "another")
    doubting = fresh_server(settings="callback_allow_private = true\n", environment={"SSL_CERT_FILE": str(other)})
    bucket = doubting.new_bucket()
    url = bucket.sign_url("PUT", "k", 60, headers={"x-oss-callback": over_tls(secure_listener, "127.0.0.1")})
    put = requests.put(url, data=b"content", headers={"x-oss-callback": over_tls(secure_listener, "127.0.0.1")}, timeout=20)
    assert (put.status_code, "CallbackFailed" in put.text, "cannot be trusted" in put.text) == (203, True, True), put.text
    assert secure_listener.told == []
    assert bucket.get_object("k").read() == b"content"
