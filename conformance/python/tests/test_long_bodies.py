"""Bodies of some megabytes: files that the kernel sends, checksums that another thread computes."""

import base64
import hashlib
import os
import random
import socket
import time

import oss2
import pytest

from millpond_test import media

MIB = 1 << 20


@pytest.fixture(scope="module")
def stored(server):
    """A public bucket with a long object, its bytes, and a small one."""
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    body = random.Random(4).randbytes(3 * MIB + 12_345)
    bucket.put_object("long", body)
    bucket.put_object("small", b"small body")
    # Read once, it is in the page cache, from where it is sent.
    assert bucket.get_object("long").read() == body
    return bucket, body


RANGES = [(0, 0), (0, MIB - 1), (MIB - 1, MIB), (5, 2 * MIB + 7), (40_000, 80_000), (3 * MIB, 3 * MIB + 12_344)]


@pytest.mark.parametrize("first, last", RANGES)
def test_any_range_of_a_long_object(stored, first, last):
    bucket, body = stored
    assert bucket.get_object("long", byte_range=(first, last)).read() == body[first : last + 1]


class Raw:
    """Answers read from a connection that nobody hides."""

    def __init__(self, server):
        host, port = server.http_address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.stream = self.socket.makefile("rb")

    def send(self, name, *requests):
        lines = (f"{method} /{name}/{key} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n" for method, key, more in requests)
        self.socket.sendall("".join(lines).encode())

    def answer(self, has_body=True):
        status = int(self.stream.readline().split()[1])
        headers = {}
        while line := self.stream.readline().strip():
            key, value = line.decode().split(": ", 1)
            headers[key.lower()] = value
        return status, self.stream.read(int(headers["content-length"])) if has_body else b""


def test_answers_of_one_connection_keep_their_order(server, stored):
    bucket, body = stored
    raw = Raw(server)
    raw.send(
        bucket.bucket_name,
        ("GET", "long", ""),
        ("GET", "small", ""),
        ("HEAD", "long", ""),
        ("GET", "long", "Range: bytes=100-2000099\r\n"),
        ("GET", "nothing", ""),
        ("GET", "long", "Range: bytes=-1500000\r\n"),
    )
    assert raw.answer() == (200, body)
    assert raw.answer() == (200, b"small body")
    assert raw.answer(has_body=False) == (200, b"")
    assert raw.answer() == (206, body[100:2000100])
    assert raw.answer()[0] == 404
    assert raw.answer() == (206, body[-1_500_000:])


def test_a_slow_reader_gets_everything(server, stored):
    bucket, body = stored
    raw = Raw(server)
    # More than the sockets of both sides hold, so that the server has to wait within a file.
    count = 6
    raw.send(bucket.bucket_name, *[("GET", "long", "")] * count)
    time.sleep(0.5)
    for _ in range(count):
        assert raw.answer() == (200, body)


def test_a_reader_that_leaves_disturbs_nobody(server, stored):
    bucket, body = stored
    for _ in range(5):
        raw = Raw(server)
        raw.send(bucket.bucket_name, ("GET", "long", ""))
        raw.stream.read(1000)
        raw.stream.close()
        raw.socket.close()
    assert bucket.get_object("long").read() == body


def test_http2_without_tls_gets_the_bytes(server, stored, tmp_path):
    bucket, body = stored
    url = f"http://{server.http_address}/{bucket.bucket_name}/long"
    shown = media.run(["curl", "-s", "-o", str(tmp_path / "body"), "-w", "%{http_version}", "--http2-prior-knowledge", url])
    assert shown.stdout == "2"
    assert (tmp_path / "body").read_bytes() == body


def blob_files(server):
    return [path for path in (server.data / "blobs").rglob("*") if path.is_file() and path.name != "hold"]


@pytest.mark.parametrize("size", [100_000, 2 * MIB, 2 * MIB + 1])
def test_a_long_body_with_a_wrong_digest_leaves_no_trace(fresh_server, size):
    server = fresh_server()
    bucket = server.new_bucket()
    body = os.urandom(size)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("key", body, headers={"Content-MD5": wrong})
    assert (caught.value.status, caught.value.code) == (400, "InvalidDigest")
    assert not bucket.object_exists("key")
    assert blob_files(server) == []
    right = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = bucket.put_object("key", body, headers={"Content-MD5": right})
    assert answer.etag == hashlib.md5(body).hexdigest().upper()
    assert len(blob_files(server)) == 1
    assert bucket.get_object("key").read() == body


def test_an_upload_that_breaks_off_leaves_no_trace(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    for sent in (1000, 300_000, 3 * MIB):
        raw = Raw(server)
        raw.send(bucket.bucket_name, ("PUT", "key", f"Content-Length: {4 * MIB}\r\n"))
        raw.socket.sendall(b"x" * sent)
        raw.stream.close()
        raw.socket.close()
    deadline = time.monotonic() + 20
    while blob_files(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert blob_files(server) == []
    assert not bucket.object_exists("key")
