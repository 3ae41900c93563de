"""Objects through oss2 and on the wire: whole and in ranges, under conditions, with their metadata."""

import base64
import hashlib

import oss2
import pytest
import requests

from millpond_test.wire import check_common_headers, signed_request

BODY = bytes(range(256)) * 40


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def refused(call, status: int, code: str):
    with pytest.raises(oss2.exceptions.RequestError if status == 0 else oss2.exceptions.ServerError) as caught:
        call()
    assert (caught.value.status, caught.value.code) == (status, code), caught.value
    return caught.value


@pytest.mark.parametrize("body", [b"", b"x", BODY, b"y" * 3_000_000], ids=["empty", "one", "some", "large"])
def test_what_is_put_is_got(bucket, body):
    put = bucket.put_object("key", body)
    etag = hashlib.md5(body).hexdigest().upper()
    assert put.etag == etag
    got = bucket.get_object("key")
    assert got.read() == body
    assert (got.etag, got.content_length) == (etag, len(body))
    assert got.headers["x-oss-object-type"] == "Normal"
    head = bucket.head_object("key")
    assert (head.etag, head.content_length, head.content_type) == (etag, len(body), "application/octet-stream")
    assert head.headers["Accept-Ranges"] == "bytes"
    # The SDK compares this with its own sum of the body.
    assert head.headers["x-oss-hash-crc64ecma"] == put.headers["x-oss-hash-crc64ecma"]


@pytest.mark.parametrize(
    "key",
    ["plain", "a/b/c", "a//b", "a/../b", "folder/", "with space", "plus+plus", "per%cent", "ques?tion", "测试/键", "#&=;:@!$'()*,", "x" * 1023],
)
def test_keys_are_opaque(bucket, key):
    bucket.put_object(key, key.encode())
    assert bucket.get_object(key).read() == key.encode()
    assert [entry.key for entry in bucket.list_objects_v2().object_list] == [key]
    bucket.delete_object(key)
    assert not bucket.object_exists(key)


@pytest.mark.parametrize("key", ["/leading", "\\leading", "x" * 1024])
def test_illegal_keys_are_refused(bucket, key):
    refused(lambda: bucket.put_object(key, b""), 400, "InvalidObjectName")


def test_headers_and_metadata_come_back(bucket):
    headers = {
        "Content-Type": "text/x-test",
        "Cache-Control": "max-age=5",
        "Content-Disposition": "attachment; filename=x",
        "Content-Language": "zh-CN",
        "Expires": "Thu, 01 Jan 2032 00:00:00 GMT",
        "x-oss-meta-Author": "somebody",
        "x-oss-meta-two-words": "a b",
    }
    bucket.put_object("key", b"body", headers=headers)
    for answer in (bucket.head_object("key"), bucket.get_object("key")):
        for name, value in headers.items():
            assert answer.headers[name] == value, name
    bucket.put_object("key", b"body")
    assert "x-oss-meta-author" not in bucket.head_object("key").headers


@pytest.mark.parametrize(
    "text, standard, status, first, last",
    [
        ("bytes=0-9", False, 206, 0, 9),
        ("bytes=100-", False, 206, 100, 10239),
        ("bytes=-5", False, 206, 10235, 10239),
        ("bytes=10239-10239", False, 206, 10239, 10239),
        ("bytes=0-10239", False, 206, 0, 10239),
        ("bytes=10000-20000", False, 200, 0, 10239),
        ("bytes=10000-20000", True, 206, 10000, 10239),
        ("bytes=10240-", False, 200, 0, 10239),
        ("bytes=-20000", False, 200, 0, 10239),
        ("bytes=-20000", True, 206, 0, 10239),
        ("bytes=9-0", False, 200, 0, 10239),
        ("bytes=0-1,3-4", False, 200, 0, 10239),
        ("lines=0-9", False, 200, 0, 10239),
        ("bytes=x", False, 200, 0, 10239),
    ],
)
def test_sdk_quirk_27_ranges(server, version, text, standard, status, first, last):
    bucket = server.new_bucket("public-read", version)
    bucket.put_object("key", BODY)
    headers = {"Range": text, **({"x-oss-range-behavior": "standard"} if standard else {})}
    response = requests.get(server.url(f"{bucket.bucket_name}/key"), headers=headers, timeout=10)
    assert (response.status_code, response.content) == (status, BODY[first : last + 1])
    assert response.headers.get("Content-Range") == (f"bytes {first}-{last}/{len(BODY)}" if status == 206 else None)
    if status == 206:
        assert bucket.get_object("key", byte_range=(first, last)).read() == BODY[first : last + 1]


@pytest.mark.parametrize("text, standard", [("bytes=-0", False), ("bytes=10240-", True), ("bytes=10240-10250", True)])
def test_sdk_quirk_27_ranges_that_cannot_be_satisfied(server, text, standard):
    bucket = server.new_bucket("public-read")
    bucket.put_object("key", BODY)
    headers = {"Range": text, **({"x-oss-range-behavior": "standard"} if standard else {})}
    response = requests.get(server.url(f"{bucket.bucket_name}/key"), headers=headers, timeout=10)
    assert (response.status_code, response.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")
    assert "<Code>InvalidRange</Code>" in response.text


PAST, FUTURE = "Mon, 01 Jan 2001 00:00:00 GMT", "Thu, 01 Jan 2032 00:00:00 GMT"
ETAG = hashlib.md5(BODY).hexdigest().upper()


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"If-Match": f'"{ETAG}"'}, 200),
        ({"If-Match": ETAG.lower()}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"0"'}, 412),
        ({"If-None-Match": f'"{ETAG}"'}, 304),
        ({"If-None-Match": '"0"'}, 200),
        ({"If-Modified-Since": PAST}, 200),
        ({"If-Modified-Since": FUTURE}, 304),
        ({"If-Unmodified-Since": PAST}, 412),
        ({"If-Unmodified-Since": FUTURE}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": '"0"', "If-None-Match": f'"{ETAG}"'}, 412),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(server, method, headers, status):
    bucket = server.new_bucket("public-read")
    bucket.put_object("key", BODY)
    response = requests.request(method, server.url(f"{bucket.bucket_name}/key"), headers=headers, timeout=10)
    check_common_headers(response)
    assert response.status_code == status
    if status == 304:
        assert response.content == b""
        assert response.headers["ETag"] == f'"{ETAG}"'
        assert "Last-Modified" in response.headers
    if status == 412 and method == "GET":
        assert "<Code>PreconditionFailed</Code>" in response.text


def test_deleting_twice_is_fine(bucket):
    bucket.put_object("key", b"body")
    assert bucket.delete_object("key").status == 204
    assert bucket.delete_object("key").status == 204
    refused(lambda: bucket.get_object("key"), 404, "NoSuchKey")


def test_a_missing_object_is_not_found_also_without_a_body(bucket):
    error = refused(lambda: bucket.get_object("nothing"), 404, "NoSuchKey")
    assert error.message == "The specified key does not exist."
    with pytest.raises(oss2.exceptions.NotFound) as caught:
        bucket.head_object("nothing")
    assert caught.value.status == 404


def test_a_head_error_carries_its_document_in_a_header(server, bucket):
    response = signed_request(server, "HEAD", bucket.bucket_name, "nothing")
    assert (response.status_code, response.content) == (404, b"")
    document = base64.b64decode(response.headers["x-oss-err"]).decode()
    assert "<Code>NoSuchKey</Code>" in document


def test_a_wrong_digest_stores_nothing(bucket):
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused(lambda: bucket.put_object("key", BODY, headers={"Content-MD5": wrong}), 400, "InvalidDigest")
    assert not bucket.object_exists("key")


def test_forbidding_to_overwrite(bucket):
    bucket.put_object("key", b"first")
    error = refused(lambda: bucket.put_object("key", b"second", headers={"x-oss-forbid-overwrite": "true"}), 409, "FileAlreadyExists")
    assert error.status == 409
    assert bucket.get_object("key").read() == b"first"


def test_an_object_acl_overrides_the_bucket(server, bucket):
    bucket.put_object("open", b"body", headers={"x-oss-object-acl": "public-read"})
    bucket.put_object("closed", b"body")
    assert server.get(f"{bucket.bucket_name}/open").content == b"body"
    assert server.get(f"{bucket.bucket_name}/closed").status_code == 403


def test_a_presigned_url_reads_and_writes(bucket):
    written = requests.put(bucket.sign_url("PUT", "dir/key", 60), data=BODY, timeout=10)
    assert written.status_code == 200, written.text
    assert requests.get(bucket.sign_url("GET", "dir/key", 60), timeout=10).content == BODY
    assert requests.get(bucket.sign_url("GET", "dir/key", 60, slash_safe=True), timeout=10).content == BODY
    assert requests.get(bucket.sign_url("GET", "dir/key", 60).replace("dir", "another"), timeout=10).status_code == 403


def test_response_headers_can_be_overridden_by_a_signed_url(bucket):
    bucket.put_object("key", BODY)
    url = bucket.sign_url("GET", "key", 60, params={"response-content-type": "text/plain", "response-cache-control": "no-store"})
    response = requests.get(url, timeout=10)
    assert (response.headers["Content-Type"], response.headers["Cache-Control"]) == ("text/plain", "no-store")


def test_a_chunked_upload(bucket):
    def chunks():
        for _ in range(5):
            yield BODY

    bucket.put_object("key", oss2.SizedFileAdapter(_Reader(chunks()), len(BODY) * 5))
    assert bucket.get_object("key").read() == BODY * 5
    written = requests.put(bucket.sign_url("PUT", "chunked", 60), data=chunks(), timeout=10)
    assert written.status_code == 200, written.text
    assert bucket.get_object("chunked").read() == BODY * 5


class _Reader:
    def __init__(self, chunks):
        self.data = b"".join(chunks)
        self.position = 0

    def read(self, amount=None):
        amount = len(self.data) if amount is None or amount < 0 else amount
        part = self.data[self.position : self.position + amount]
        self.position += len(part)
        return part


def test_a_download_survives_the_overwriting_of_its_object(server):
    bucket = server.new_bucket("public-read")
    old, new = b"o" * 8_000_000, b"n" * 8_000_000
    bucket.put_object("key", old)
    with requests.get(server.url(f"{bucket.bucket_name}/key"), stream=True, timeout=10) as response:
        first = response.raw.read(1000)
        bucket.put_object("key", new)
        bucket.delete_object("key")
        assert first + response.raw.read() == old
