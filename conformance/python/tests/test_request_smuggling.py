"""Requests on the wire that two readers could understand differently, and names that try to be other names: each is refused or
means exactly what its signature and its permissions were checked for, and the connection stays in step or closes (HTTP API 1,
2; RFC 9112 11)."""

import contextlib
import socket
import struct

import oss2
import pytest

SECRET = b"nobody may read this"
OPEN = b"everybody may read this"


class Wire:
    """One connection; answers are read one after the other."""

    def __init__(self, server):
        self.stream = socket.create_connection(("127.0.0.1", server.port), timeout=15)
        self.file = self.stream.makefile("rb")

    def send(self, data: bytes) -> "Wire":
        self.stream.sendall(data)
        return self

    def answer(self, is_head: bool = False):
        """Status, headers and body; `None` when the connection ends instead."""
        try:
            line = self.file.readline()
            if not line:
                return None
            status, headers = int(line.split()[1]), {}
            while (line := self.file.readline().strip()):
                name, value = line.decode().split(":", 1)
                headers[name.lower()] = value.strip()
            body = b"" if is_head else self.file.read(int(headers.get("content-length", 0)))
            return (status, headers, body)
        except (ConnectionError, ValueError):
            return None

    def answers(self):
        """All that come until the connection ends; the writing side is closed."""
        with contextlib.suppress(OSError):  # The server may have closed already.
            self.stream.shutdown(socket.SHUT_WR)
        found = []
        while (answer := self.answer()) is not None:
            found.append(answer)
        return found

    def close(self):
        self.file.close()
        self.stream.close()


@pytest.fixture(scope="module")
def names(server):
    """A private bucket and a public one, each with an object."""
    private, public = server.new_bucket(), server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    private.put_object("secret", SECRET)
    private.put_object("dir/secret", SECRET)
    public.put_object("open", OPEN)
    public.put_object("a/b", OPEN)
    return private.bucket_name, public.bucket_name


@pytest.fixture
def wire(server):
    connections = []

    def connect() -> Wire:
        connections.append(Wire(server))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


def request(target, host: str = "127.0.0.1", method: str = "GET", *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "")).encode("latin-1")


@pytest.mark.parametrize(
    "path",
    [
        "/{public}/../{private}/secret",
        "/{public}/%2e%2e/{private}/secret",
        "/{public}/%2e%2e%2f{private}/secret",
        "/{public}/..%2f{private}%2fsecret",
        "/{public}//../{private}/secret",
        "/{public}\\..\\{private}\\secret",
        "/{public}%5c..%5c{private}%5csecret",
        "/{public}%2f..%2f{private}%2fsecret",
        "/{public}%00/{private}/secret",
        "/{public}/%00../{private}/secret",
        "/{public}/..;/{private}/secret",
        "//{private}/secret",
        "/./{private}/secret",
        "/{private}//secret",
        "/{private}/./secret",
        "/{private}/%2e/secret",
        "/{private}%2fsecret",
        "/{private}/dir%2fsecret",
        "/{private}/dir/../secret",
        "/{private}/secret%00",
        "/{private}/secret%00.m3u8",
        "/{private}/%73ecret",
        "/%{hex}/secret",
        "/{private}/secret?",
        "/{private}/secret#x",
        "/{private}/secret;x",
        "/{upper}/secret",
        "/{private}./secret",
    ],
)
def test_no_spelling_of_a_path_opens_a_private_object(wire, names, path):
    private, public = names
    target = path.format(private=private, public=public, upper=private.upper(), hex=f"{ord(private[0]):02x}{private[1:]}")
    connection = wire().send(request(target))
    answer = connection.answer()
    if answer is not None:
        assert 400 <= answer[0] < 500, answer
        assert SECRET not in answer[2]
        if "close" not in answer[1].get("connection", ""):
            # The next request on the connection gets its own answer.
            assert connection.send(request(f"/{public}/open")).answer()[2] == OPEN


def test_an_escaped_slash_is_a_slash_of_the_key(wire, names):
    _, public = names
    for target in (f"/{public}/a/b", f"/{public}/a%2fb", f"/{public}/%61%2F%62"):
        assert wire().send(request(target)).answer()[::2] == (200, OPEN)
    # Nothing is folded: these are other keys, which do not exist.
    for target in (f"/{public}//a/b", f"/{public}/./a/b", f"/{public}/x/../a/b", f"/{public}/a\\b"):
        answer = wire().send(request(target)).answer()
        assert answer is None or answer[0] in (400, 404), (target, answer)


def test_the_host_and_the_path_cannot_name_two_buckets(wire, names):
    private, public = names
    for host, target in (
        (f"{private}.localhost", f"/{public}/open"),
        (f"{private}.localhost", "/secret"),
        (f"{public}.localhost", f"/{private}/secret"),
        (f"{public}.localhost", f"/../{private}/secret"),
        (f"{public}.oss-cn-hangzhou.aliyuncs.com", f"/{private}/secret"),
        (f"{private}.oss-cn-hangzhou.aliyuncs.com", f"/{private}/secret"),
        (f"{public}.{private}.localhost", "/secret"),
    ):
        answer = wire().send(request(target, host)).answer()
        assert 400 <= answer[0] < 500, (host, target, answer)
        assert SECRET not in answer[2] and OPEN not in answer[2]
    assert wire().send(request("/open", f"{public}.localhost:1")).answer()[2] == OPEN


def test_the_target_and_the_host_header_agree(wire, names):
    private, public = names
    ours = "127.0.0.1"
    assert wire().send(request(f"http://{ours}/{public}/open", ours)).answer()[2] == OPEN
    for target, host in (
        (f"http://{private}.localhost/secret", f"{public}.localhost"),
        (f"http://{public}.localhost/open", f"{private}.localhost"),
        (f"http://{public}.localhost/open", ours),
        (f"http://{ours}@{public}.localhost/open", ours),
    ):
        answer = wire().send(request(target, host)).answer()
        assert answer is None or answer[0] == 400, (target, host, answer)
        assert answer is None or "close" in answer[1]["connection"]
    for host in (f"user@{public}.localhost", f"{public}.localhost/open", f"{public}.localhost, {private}.localhost", "a b"):
        answer = wire().send(request("/open", host)).answer()
        assert answer is None or answer[0] == 400, (host, answer)
    assert wire().send(b"GET /%s/open HTTP/1.1\r\n\r\n" % public.encode()).answer()[0] == 400
    assert wire().send(b"GET /%s/open HTTP/1.0\r\n\r\n" % public.encode()).answer()[2] == OPEN


@pytest.mark.parametrize(
    "first, second",
    [
        ("Host: 127.0.0.1", "Host: x.localhost"),
        ("Authorization: OSS a:b", "Authorization: OSS c:d"),
        ("Date: Tue, 02 Jan 2024 03:04:05 GMT", "Date: Tue, 02 Jan 2024 03:04:06 GMT"),
        ("x-oss-date: 20240102T030405Z", "x-oss-date: 20240102T030406Z"),
        ("Content-MD5: M3szwC+JSTAmhDmD/ycqMA==", "Content-MD5: AAAAwC+JSTAmhDmD/ycqMA=="),
        ("Content-Type: text/plain", "Content-Type: text/html"),
        ("x-oss-security-token: a", "x-oss-security-token: b"),
        ("x-oss-content-sha256: UNSIGNED-PAYLOAD", "x-oss-content-sha256: x"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Content-Length: 0", "Content-Length: 1"),
    ],
)
def test_headers_that_decide_come_once(wire, names, first, second):
    lines = [first, second] if first.startswith("Host") else ["Host: 127.0.0.1", first, second]
    body = "0\r\n\r\n" if first.startswith("Transfer") else ""
    connection = wire().send("\r\n".join([f"GET /{names[1]}/open HTTP/1.1", *lines, "", body]).encode())
    answer = connection.answer()
    assert answer[0] == 400, answer
    assert answer[1].get("connection") == "close"
    assert connection.answer() is None


def test_of_several_parameters_the_first_counts(server, wire, names):
    private, public = names
    bucket = server.bucket(private)
    url = bucket.sign_url("GET", "secret", 600)
    path, query = url.split(server.http_address)[1].split("?")
    own = dict(part.split("=", 1) for part in query.split("&"))
    assert wire().send(request(f"{path}?{query}")).answer()[2] == SECRET
    wrong = {"Signature": "AAAA", "Expires": "9999999999", "OSSAccessKeyId": "nobody"}
    for name, value in wrong.items():
        assert wire().send(request(f"{path}?{query}&{name}={value}")).answer()[2] == SECRET
        answer = wire().send(request(f"{path}?{name}={value}&{query}")).answer()
        assert answer[0] == 403 and SECRET not in answer[2], (name, answer)
    # What selects the operation is signed, wherever it stands.
    for added in ("acl", "acl&acl", "x-oss-process=hls/sign", "uploadId=1", "versionId=null"):
        for target in (f"{path}?{query}&{added}", f"{path}?{added}&{query}"):
            answer = wire().send(request(target)).answer()
            assert answer[0] in (400, 403) and SECRET not in answer[2], (added, answer)
    assert set(own) == {"OSSAccessKeyId", "Expires", "Signature"}
    v4 = server.bucket(private, "v4").sign_url("GET", "secret", 600).split(server.http_address)[1]
    assert wire().send(request(v4)).answer()[2] == SECRET
    for added in ("&x-oss-expires=1", "&x-oss-signature-version=OSS4-HMAC-SHA256", "&a=b", "&x-oss-credential=x"):
        assert wire().send(request(v4 + added)).answer()[0] == 403, added
    assert wire().send(request(v4 + "&x-oss-signature=0")).answer()[2] == SECRET


HIDDEN = b"GET /-/hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def put(public: str, *lines: str, body: bytes) -> bytes:
    return request(f"/{public}/upload", "127.0.0.1", "PUT", *lines) + body


@pytest.mark.parametrize(
    "name, lines, body, most",
    [
        # A length and chunks: chunks count, and the connection ends after the answer.
        ("CL.TE", ["Content-Length: 5", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + HIDDEN, 1),
        ("TE.CL", ["Transfer-Encoding: chunked", "Content-Length: 5"], b"0\r\n\r\n" + HIDDEN, 1),
        ("TE.CL long", ["Transfer-Encoding: chunked", "Content-Length: 500"], b"0\r\n\r\n" + HIDDEN, 1),
        # Encodings that are not chunked, or hide it.
        ("xchunked", ["Transfer-Encoding: xchunked"], HIDDEN, 1),
        ("identity", ["Transfer-Encoding: identity", "Content-Length: 0"], HIDDEN, 1),
        ("chunked twice", ["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n" + HIDDEN, 1),
        ("gzip, chunked", ["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n" + HIDDEN, 1),
        ("chunked, identity", ["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n" + HIDDEN, 1),
        ("quoted", ['Transfer-Encoding: "chunked"'], b"0\r\n\r\n" + HIDDEN, 1),
        ("vertical tab", ["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n" + HIDDEN, 1),
        # Lengths that are none.
        ("+5", ["Content-Length: +5"], b"12345" + HIDDEN, 1),
        ("-1", ["Content-Length: -1"], HIDDEN, 1),
        ("0x5", ["Content-Length: 0x5"], b"12345" + HIDDEN, 1),
        ("5, 5", ["Content-Length: 5, 5"], b"12345" + HIDDEN, 1),
        ("two lengths", ["Content-Length: 5", "Content-Length: 6"], b"123456" + HIDDEN, 1),
        ("overflow", ["Content-Length: 18446744073709551621"], b"12345" + HIDDEN, 1),
        # Header lines that another reader sees differently.
        ("space before the colon", ["Content-Length : 5"], b"12345" + HIDDEN, 1),
        ("folded", ["X-A: b", " Content-Length: 5"], b"12345" + HIDDEN, 1),
        ("folded encoding", ["Transfer-Encoding:", " chunked"], b"0\r\n\r\n" + HIDDEN, 1),
        ("a bare CR", ["X-A: b\rContent-Length: 5"], b"12345" + HIDDEN, 1),
        ("a NUL", ["X-A: b\0", "Content-Length: 0"], HIDDEN, 1),
        ("no name", [": 5", "Content-Length: 0"], HIDDEN, 1),
        ("no colon", ["Content-Length 5"], HIDDEN, 1),
        # Chunks.
        ("a size that is none", ["Transfer-Encoding: chunked"], b"zz\r\n\r\n" + HIDDEN, 1),
        ("a negative size", ["Transfer-Encoding: chunked"], b"-1\r\n\r\n" + HIDDEN, 1),
        ("a size too large", ["Transfer-Encoding: chunked"], b"fffffffffffffffff\r\n\r\n" + HIDDEN, 1),
        ("a chunk without its end", ["Transfer-Encoding: chunked"], b"1\r\nab\r\n0\r\n\r\n" + HIDDEN, 1),
        ("an endless extension", ["Transfer-Encoding: chunked"], b"1;" + b"a" * 40_000 + b"\r\nx\r\n0\r\n\r\n" + HIDDEN, 1),
        ("a line feed in an extension", ["Transfer-Encoding: chunked"], b"0;a\n\r\n\r\n" + HIDDEN, 1),
        # In order: the hidden request is simply the next one.
        ("a length", ["Content-Length: 5"], b"12345" + HIDDEN, 2),
        ("chunks", ["Transfer-Encoding: chunked"], b"5\r\n12345\r\n0\r\n\r\n" + HIDDEN, 2),
        ("an extension", ["Transfer-Encoding: chunked"], b"5;a=b\r\n12345\r\n0\r\n\r\n" + HIDDEN, 2),
        ("trailers", ["Transfer-Encoding: chunked"], b"0\r\nHost: x\r\nAuthorization: OSS a:b\r\n\r\n" + HIDDEN, 2),
    ],
)
def test_a_request_cannot_hide_in_another(server, wire, names, name, lines, body, most):
    answers = wire().send(put(names[1], *lines, body=body)).answers()
    assert len(answers) <= most, (name, answers)
    assert all(400 <= status < 500 for status, _, _ in answers), (name, answers)
    if most == 1 and answers:
        assert "close" in answers[-1][1].get("connection", "close"), (name, answers)
    if most == 2:
        # An anonymous upload is refused, and what follows gets its own answer: there is no such page.
        assert [status for status, _, _ in answers] == [403, 404], (name, answers)
    assert server.running()


def test_lines_may_end_in_a_bare_line_feed_and_mean_the_same(wire, names):
    private, public = names
    for target, expected in ((f"/{public}/open", OPEN), (f"/{private}/secret", None)):
        answer = wire().send(f"GET {target} HTTP/1.1\nHost: 127.0.0.1\n\n".encode()).answer()
        assert answer is None or (answer[2] == expected if expected else answer[0] == 403), answer


def test_older_and_stranger_versions_are_refused(wire, names):
    private, public = names
    for line in (f"GET /{private}/secret\r\n\r\n", f"GET /{public}/open\r\n\r\n", f"GET /{public}/open HTTP/0.9\r\n\r\n",
                 f"GET /{public}/open HTTP/1.2\r\nHost: a\r\n\r\n", f"GET /{public}/open HTTP/2.0\r\nHost: a\r\n\r\n",
                 f"GET  /{public}/open HTTP/1.1\r\nHost: a\r\n\r\n", f"GET /{public}/open HTTP/1.1 x\r\nHost: a\r\n\r\n",
                 f"GET /{public}/op en HTTP/1.1\r\nHost: a\r\n\r\n", f"G\x00T /{public}/open HTTP/1.1\r\nHost: a\r\n\r\n"):  # fmt: skip
        answers = wire().send(line.encode()).answers()
        assert len(answers) <= 1 and all(400 <= status < 500 for status, _, _ in answers), (line, answers)
        assert not any(OPEN in body or SECRET in body for _, _, body in answers)


# HTTP/2, by hand: a client library would not write what is wanted here.


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """A header field without compression."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def ask_h2(wire, fields, body: bytes = b"") -> "tuple[bool, bytes]":
    """Whether the request was answered with a head, and all bytes of its body."""
    connection = wire()
    block = b"".join(field(name, value) for name, value in fields)
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
    connection.send(frame(1, 4 if body else 5, 1, block) + (frame(0, 1, 1, body) if body else b""))
    answered, received = False, b""
    while True:
        head = connection.file.read(9)
        if len(head) < 9:
            return answered, received
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        payload = connection.file.read(length)
        if kind in (3, 7):
            return answered, received
        if kind == 4 and not flags & 1:
            connection.send(frame(4, 1, 0, b""))
        if stream == 1 and kind == 1:
            answered = True
        if stream == 1 and kind == 0:
            received += payload
        if stream == 1 and kind in (0, 1) and flags & 1:
            return answered, received


def test_pseudo_headers_of_http2_are_unambiguous(wire, names):
    private, public = names
    path, ours = f"/{public}/open".encode(), b"127.0.0.1"
    get = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path), (b":authority", ours)]
    assert ask_h2(wire, get) == (True, OPEN)
    assert ask_h2(wire, [*get, (b"host", ours)]) == (True, OPEN)
    vhost = f"{public}.localhost".encode()
    assert ask_h2(wire, [*get[:2], (b":path", b"/open"), (b":authority", vhost)]) == (True, OPEN)
    secret = f"/{private}/secret".encode()
    for fields in (
        [*get, (b"host", f"{private}.localhost".encode())],
        [*get, (b":path", secret)],
        [(b":path", secret), *get],
        [*get[:2], (b":path", secret), (b":authority", ours)],
        [*get[:2], (b":path", b"/secret"), (b":authority", f"{private}.localhost".encode())],
        [*get[:2], (b":path", f"http://{private}.localhost/secret".encode()), (b":authority", ours)],
        [*get[:2], (b":path", path + b" HTTP/1.1\r\nx: y"), (b":authority", ours)],
        [(b":method", b"GET / HTTP/1.1\r\nx:"), *get[1:]],
        [*get, (b"x", b"a\r\nhost: b")],
        [*get, (b"transfer-encoding", b"chunked")],
        [*get, (b"connection", b"close")],
        [*get, (b"Upper", b"case")],
        [*get, (b":unknown", b"x")],
        [(b"x", b"y"), *get],
        [*get[:2], (b":authority", ours)],
        [*get, (b"content-length", b"5")],
    ):
        _, received = ask_h2(wire, fields)
        assert SECRET not in received and OPEN not in received, (fields, received)
    put_fields = [(b":method", b"PUT"), *get[1:], (b"content-length", b"2")]
    _, received = ask_h2(wire, put_fields, b"more than two")
    assert OPEN not in received
    assert ask_h2(wire, get) == (True, OPEN)
