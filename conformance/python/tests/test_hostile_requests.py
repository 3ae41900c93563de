"""Requests beyond their limits: heads, metadata, documents and bodies that lie about their length. Each gets its error, costs
bounded memory, and leaves nothing behind (HTTP API 1.1, 2, 5.6, 16)."""

import base64
import hashlib
import socket
import struct
from pathlib import Path

import pytest

from millpond_test.raw import Connection, ask, head
from millpond_test.server import wait_for
from test_multipart import PART, refused, upload

MEBIBYTE = 1 << 20


@pytest.fixture
def bucket(server):
    return server.new_bucket()


def put(bucket, key=b"key", **headers):
    """The head of a signed PutObject; names of headers have underscores for dashes."""
    path = f"/{bucket.bucket_name}/".encode() + key
    return head("PUT", path, path, {name.replace("_", "-"): value for name, value in headers.items()})


def peak_bytes(server) -> int:
    """The most memory that the process ever held."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.parametrize("size, expected", [(8 * 1024, (200, "")), (8 * 1024 + 1, (400, "InvalidArgument"))])
def test_metadata_has_a_limit(server, bucket, size, expected):
    # The name counts without its prefix, and the value.
    headers = {"x-oss-meta-name": "v" * (size - 4)}
    assert ask(server, put(bucket, **headers, Content_Length="0")).seen == expected
    assert bucket.object_exists("key") == (expected[0] == 200)


def test_many_metadata_headers_share_the_limit(server, bucket):
    few = {f"x-oss-meta-{number:04}": "v" * 60 for number in range(60)}
    many = {f"x-oss-meta-{number:04}": "v" * 200 for number in range(60)}
    assert ask(server, put(bucket, **few, Content_Length="0")).status == 200
    assert ask(server, put(bucket, **many, Content_Length="0")).seen == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /" + b"k" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"v" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: v\r\n" % number for number in range(5_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBroken header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nNul: a\0b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 1000,
    ],
    ids=[
        "long target", "long header", "many headers", "no colon", "NUL", "space in the target", "version", "two lengths", "negative length",
        "absurd length", "TLS", "zeros",
    ],
)  # fmt: skip
def test_heads_that_are_none_end_their_connection(server, request_head):
    before = server.resident_bytes()
    with Connection(server) as connection:
        connection.send_until_refused([request_head])
        # An answer is a 4xx; a peer that does not speak HTTP may also just be left.
        answer = connection.rest()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    assert server.resident_bytes() - before < 16 * MEBIBYTE
    assert server.get("-/play").status_code == 200


def parts_document(count):
    """A CompleteMultipartUpload of so many parts, in pieces."""
    tag = hashlib.md5(b"").hexdigest().upper()
    yield b"<CompleteMultipartUpload>"
    for start in range(1, count + 1, 1000):
        numbers = range(start, min(start + 1000, count + 1))
        yield b"".join(b"<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>" % (n, tag.encode()) for n in numbers)
    yield b"</CompleteMultipartUpload>"


def chunked(pieces):
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_million_parts_are_refused_within_bounded_memory(fresh_server, framing):
    server = fresh_server()
    bucket = server.new_bucket()
    upload_id, parts = upload(bucket, "key", {1: b"a" * PART, 2: b"b"})
    path = f"/{bucket.bucket_name}/key?uploadId={upload_id}".encode()
    body = list(parts_document(1_000_000))
    length = sum(map(len, body))
    assert length > 70 * MEBIBYTE
    before = peak_bytes(server)
    framing_header = {"Content-Length": str(length)} if framing == "length" else {"Transfer-Encoding": "chunked"}
    with Connection(server) as connection:
        connection.send(head("POST", path, path, framing_header))
        connection.send_until_refused(body if framing == "length" else chunked(body))
        assert connection.answer().seen == (400, "MalformedXML")
    # The document may be 2 MiB; a little is read of what follows, so that the refusal is seen.
    assert peak_bytes(server) - before < 24 * MEBIBYTE
    # The upload is as it was.
    bucket.complete_multipart_upload("key", upload_id, parts)
    assert bucket.get_object("key").read() == b"a" * PART + b"b"


def test_ten_thousand_parts_are_read(server, bucket):
    # The most that the limits allow is understood: the parts are missed, not the document.
    upload_id, _ = upload(bucket, "key", {1: b"a" * PART})
    path = f"/{bucket.bucket_name}/key?uploadId={upload_id}".encode()
    for count, expected in ((10_000, (400, "InvalidPart")), (10_001, (400, "MalformedXML"))):
        body = b"".join(parts_document(count))
        request = head("POST", path, path, {"Content-Length": str(len(body))}) + body
        assert ask(server, request).seen == expected, count


LAUGHS = "".join(f'<!ENTITY a{n} "{("&a" + str(n - 1) + ";") * 10}">' for n in range(1, 10))
BOMBS = {
    "a billion laughs": f'<!DOCTYPE D [<!ENTITY a0 "ha">{LAUGHS}]><Delete><Object><Key>&a9;</Key></Object></Delete>',
    "an external entity": '<!DOCTYPE D [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>',
    "an external DTD": '<!DOCTYPE D SYSTEM "http://127.0.0.1:1/x.dtd"><Delete><Object><Key>k</Key></Object></Delete>',
    "a parameter entity": '<!DOCTYPE D [<!ENTITY % p SYSTEM "file:///dev/zero"> %p;]><Delete><Object><Key>k</Key></Object></Delete>',
    "an unknown entity": "<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
    "deep nesting": "<Delete>" + "<Object>" * 100_000 + "</Object>" * 100_000 + "</Delete>",
    "deep nesting without an end": "<Delete>" * 200_000,
    "too many elements": "<Delete>" + "<Object/>" * 200_000 + "</Delete>",
    "attributes without end": "<Delete " + " ".join(f'a{n}="v"' for n in range(150_000)) + "><Object/></Delete>",
    "a comment without an end": "<Delete><!--" + "-" * 1_000_000,
    "CDATA without an end": "<Delete><Object><Key><![CDATA[" + "x" * 1_000_000,
    "another root": "<Create><Object><Key>k</Key></Object></Create>",
    "two roots": "<Delete><Object><Key>k</Key></Object></Delete><Delete/>",
    "another encoding": "<Delete><Object><Key>k</Key></Object></Delete>".encode("utf-16"),
    "no UTF-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "nothing": "",
    "a huge key": "<Delete><Object><Key>" + "k" * 1_900_000 + "</Key></Object></Delete>",
}


@pytest.mark.parametrize("document", BOMBS.values(), ids=BOMBS.keys())
def test_documents_that_are_bombs(server, bucket, document):
    bucket.put_object("k", b"x")
    body = document.encode() if isinstance(document, str) else document
    before = server.resident_bytes()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    path = f"/{bucket.bucket_name}/?delete".encode()
    answer = ask(server, head("POST", path, path, {"Content-Length": str(len(body)), "Content-MD5": md5}) + body)
    assert (answer.status, answer.code in ("MalformedXML", "InvalidObjectName")) == (400, True), answer.body
    assert len(answer.body) < 4096
    assert server.resident_bytes() - before < 64 * MEBIBYTE
    assert bucket.object_exists("k")


@pytest.mark.parametrize("name", ["cors", "referer", "lifecycle", "logging", "website", "tagging", "versioning"])
def test_every_configuration_refuses_bombs(bucket, name):
    for document in (BOMBS["a billion laughs"], BOMBS["deep nesting without an end"], "<", "x" * 600_000):
        refused(lambda: bucket._Bucket__do_bucket("PUT", data=document.encode(), params={name: ""}), 400, "MalformedXML")


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["no number", "negative", "too long", "absurd", "endless extension", "empty", "two numbers"],
)
def test_chunks_that_are_none_store_nothing(server, bucket, body):
    with Connection(server) as connection:
        connection.send_until_refused([put(bucket, Transfer_Encoding="chunked") + body])
        assert connection.answer().seen == (400, "IncompleteBody")
        assert connection.is_closed()
    assert not bucket.object_exists("key")


def test_a_chunked_body_may_be_odd_but_right(server, bucket):
    # Extensions, leading zeros, upper case, trailers.
    body = b"0005;ext=1\r\nhello\r\nA\r\n, chunked!\r\n0\r\nX-Trailer: ignored\r\n\r\n"
    assert ask(server, put(bucket, Transfer_Encoding="chunked") + body).status == 200
    assert bucket.get_object("key").read() == b"hello, chunked!"


def test_a_length_beside_chunks_smuggles_nothing(server, bucket):
    # What follows the body, by either reading, must not become a request of its own.
    smuggled = b"0\r\n\r\nGET /-/play HTTP/1.1\r\nHost: x\r\n\r\n"
    with Connection(server) as connection:
        connection.send_until_refused([put(bucket, Transfer_Encoding="chunked", Content_Length=str(len(smuggled))) + smuggled])
        first = connection.answer()
        assert first.status in (200, 400), first.body
        if first.status == 200:
            # Chunked wins (RFC 9112 6.3), and the connection is not used again.
            assert bucket.get_object("key").read() == b""
        assert b"<html" not in connection.rest().lower()


def test_what_follows_the_body_is_the_next_request(server, bucket):
    bucket.put_object("other", b"other")
    path = f"/{bucket.bucket_name}/other".encode()
    with Connection(server) as connection:
        connection.send(put(bucket, Content_Length="4") + b"body" + head("GET", path, path))
        assert connection.answer().status == 200
        assert connection.answer().body == b"other"
    assert bucket.get_object("key").read() == b"body"


@pytest.mark.parametrize("declared", ["5368709121", "999999999999999"])
def test_a_body_beyond_the_limit_is_refused_by_its_length(server, bucket, declared):
    with Connection(server) as connection:
        connection.send(put(bucket, Content_Length=declared, Expect="100-continue"))
        assert connection.answer().seen == (400, "EntityTooLarge")


def blob_bytes(server) -> int:
    """Bytes in files of the store."""
    return sum(path.stat().st_size for path in (server.data / "blobs").rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["close", "reset", "half close"])
def test_disconnects_within_a_body_leave_nothing(fresh_server, how):
    server = fresh_server()
    bucket = server.new_bucket()
    bucket.put_object("old", b"o" * 100_000)
    bucket.append_object("log", 0, b"l" * 30_000)
    upload_id = bucket.init_multipart_upload("parts").upload_id
    kept = blob_bytes(server)
    name = bucket.bucket_name
    form = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n--b\r\n' + (
        b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    bucket.put_bucket_acl("public-read-write")
    requests = {
        "put": ("PUT", f"/{name}/new", {}, b""),
        "overwrite": ("PUT", f"/{name}/old", {}, b""),
        "append": ("POST", f"/{name}/log?append&position=30000", {}, b""),
        "part": ("PUT", f"/{name}/parts?partNumber=1&uploadId={upload_id}", {}, b""),
        "form": ("POST", f"/{name}/", {"Content-Type": "multipart/form-data; boundary=b"}, form),
    }
    for method, path, headers, first in requests.values():
        for length, sent in ((1_000_000, 0), (1_000_000, 10), (1_000_000, 999_999 - len(first)), (10_000_000, 3_000_000)):
            connection = Connection(server)
            resource = None if first else path.encode()
            connection.send(head(method, path.encode(), resource, {**headers, "Content-Length": str(length)}) + first + b"n" * sent)
            if how == "reset":
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how == "half close":
                connection.socket.shutdown(socket.SHUT_WR)
                assert connection.answer().seen == (400, "IncompleteBody"), (method, path, sent)
            connection.close()
    wait_for(lambda: blob_bytes(server) == kept, "the bytes of broken uploads are gone")
    assert bucket.get_object("old").read() == b"o" * 100_000
    assert bucket.get_object("log").read() == b"l" * 30_000
    assert bucket.list_parts("parts", upload_id).parts == []
    assert sorted(entry.key for entry in bucket.list_objects().object_list) == ["log", "old"]
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout
    assert ", 0 blobs without a name" in findings.stdout or "0 faults, 0 blobs" in findings.stdout, findings.stdout


def test_a_body_that_is_longer_than_it_said_is_cut(server, bucket):
    # The rest is no request; the connection ends with an error, and the object is what was announced.
    with Connection(server) as connection:
        connection.send_until_refused([put(bucket, Content_Length="4") + b"body and more\r\n\r\n"])
        assert connection.answer().status == 200
        rest = connection.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400"), rest
    assert bucket.get_object("key").read() == b"body"
