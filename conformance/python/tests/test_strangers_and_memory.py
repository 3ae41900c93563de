"""What strangers can make the server hold: KiB each, whatever they send or do not read, and what is left over for
everybody together is bounded by `[memory]`."""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from millpond_test.http2 import Http2
from millpond_test.raw import Connection, head
from millpond_test.server import wait_for
from test_forms_and_callbacks import policy, post, signed_v1
from test_tls import make_certificate

MIB = 1 << 20
OBJECT = bytes(range(256)) * (32 * 1024)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Growth:
    """How much larger the process becomes while something goes on."""

    def __init__(self, server):
        self.server = server
        # What a first request leaves behind is not the stranger's doing.
        server.get("-/play")
        server.admin("/metrics")
        self.before = self.most = server.resident_bytes()

    def look(self) -> int:
        self.most = max(self.most, self.server.resident_bytes())
        return self.most - self.before

    def watch(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.05)
        return self.look()


@contextlib.contextmanager
def many(count, make):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


def metric(server, name, **labels):
    wanted = "".join(f'(?=[^}}]*{key}="{value}")' for key, value in labels.items())
    found = re.findall(rf"^{name}(?:{{{wanted}[^}}]*}})? ([0-9.e+-]+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(float(value) for value in found)


# RTMP.


class Rtmp:
    """A peer that has shaken hands."""

    def __init__(self, server):
        host, port = server.rtmp_address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 20)
        self.socket.sendall(b"\x03" + bytes(1536))
        left = 1 + 2 * 1536
        while left:
            left -= len(self.socket.recv(left))
        self.socket.sendall(bytes(1536))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Whether the server took it all."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return False


def basic_header(chunk_stream: int) -> bytes:
    if chunk_stream < 64:
        return bytes([chunk_stream])
    if chunk_stream < 320:
        return bytes([0, chunk_stream - 64])
    return bytes([1]) + struct.pack("<H", chunk_stream - 64)


def message_head(chunk_stream: int, kind: int, length: int) -> bytes:
    return basic_header(chunk_stream) + bytes(3) + length.to_bytes(3, "big") + bytes([kind]) + bytes(4)


CHUNKS_OF_16_MIB = message_head(2, 1, 4) + struct.pack(">I", 0xFFFFFF)


@pytest.mark.parametrize("kind", [8, 9, 18, 20, 22], ids=["audio", "video", "data", "command", "aggregate"])
def test_media_before_a_publish_is_not_held(fresh_server, kind):
    server = fresh_server()
    growth = Growth(server)
    length = 64_000 if kind in (8, 18, 20) else 0xFFFFFF
    with many(30, lambda: Rtmp(server)) as peers:
        for peer in peers:
            # All but its last byte.
            peer.send(CHUNKS_OF_16_MIB + message_head(4, kind, length) + bytes(length - 1))
        assert growth.watch(1) < 20 * MIB


@pytest.mark.parametrize("kind, length", [(9, 0x80000), (18, 0xF000), (20, 0xF000)], ids=["video", "data", "command"])
def test_messages_in_flight_before_a_publish_are_not_held(fresh_server, kind, length):
    server = fresh_server()
    growth = Growth(server)
    flight = b"".join(message_head(4 + number, kind, length) + bytes(length - 1) for number in range(50))
    # Each chunk is as long as what has been sent of its message.
    flight = message_head(2, 1, 4) + struct.pack(">I", length - 1) + flight
    with many(30, lambda: Rtmp(server)) as peers:
        for peer in peers:
            peer.send(flight)
        assert growth.watch(1) < 20 * MIB


def test_chunk_streams_before_a_publish_are_few(fresh_server):
    server = fresh_server()
    growth = Growth(server)
    everywhere = b"".join(message_head(number, 9, 0) for number in range(64, 65_599))
    with many(30, lambda: Rtmp(server)) as peers:
        for peer in peers:
            peer.send(everywhere)
        assert growth.watch(1) < 20 * MIB


# Forms.


BOUNDARY = "b"
FORM = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "30000000"}


def field(name: str, value: bytes) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"


@pytest.mark.parametrize("acl", ["private", "public-read-write"])
def test_fields_of_strangers_are_not_held(fresh_server, acl):
    server = fresh_server()
    bucket = server.new_bucket(acl)
    growth = Growth(server)
    fields = b"".join(field(f"x:{number}", b"v" * 2_000_000) for number in range(9)) + field("x:9", b"v" * 1_900_000)[:-2]
    with many(20, lambda: Connection(server)) as peers:
        for peer in peers:
            request = head("POST", f"/{bucket.bucket_name}/".encode(), None, FORM)
            pieces = [fields[at : at + 1_000_000] for at in range(0, len(fields), 1_000_000)]
            peer.send_until_refused([request, *pieces])
            growth.look()
        assert growth.watch(1) < 20 * MIB
        answers = [peer.answer().seen for peer in peers]
    assert answers == [(400, "MaxPOSTPreDataLengthExceededError")] * 20


def test_fields_are_waited_for_once(fresh_server):
    server = fresh_server(settings="[http]\nbody_timeout_s = 2\nmin_body_bytes_per_s = 1\n")
    bucket = server.new_bucket("public-read-write")
    with Connection(server) as connection:
        connection.send(head("POST", f"/{bucket.bucket_name}/".encode(), None, FORM) + field("key", b"k")[:-2])
        # Faster than the least pace of a body.
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                connection.send(b"x" * 10)
                time.sleep(0.2)
        assert time.monotonic() - started < 12
        assert connection.answer().seen == (400, "RequestTimeout")


@pytest.mark.parametrize(
    "conditions, changed, code",
    [
        ([], {"Signature": b"AAAA"}, "SignatureDoesNotMatch"),
        ([], {"OSSAccessKeyId": b"nobody0000000000"}, "InvalidAccessKeyId"),
        ([{"success_action_status": "201"}], {"success_action_status": b"200"}, "AccessDenied"),
        ([["starts-with", "$key", "mine/"]], {"key": b"yours"}, "AccessDenied"),
        ([["starts-with", "$key", "mine/"]], {"key": b"yours/${filename}"}, None),
    ],
    ids=["signature", "key id", "condition", "object", "not yet known"],
)
def test_a_form_is_judged_as_soon_as_it_can_be(fresh_server, conditions, changed, code):
    server = fresh_server()
    bucket = server.new_bucket()
    signed = {name: value.encode() for name, value in signed_v1(policy(bucket.bucket_name, *conditions)).items()}
    fields = {"key": b"mine/a", **signed, **changed}
    with Connection(server, timeout_s=4) as connection:
        # The form goes on, but its sender waits.
        form = b"".join(field(name, value) for name, value in fields.items()) + field("x:more", b"")[:20]
        connection.send(head("POST", f"/{bucket.bucket_name}/".encode(), None, FORM) + form)
        if code is None:
            with pytest.raises(TimeoutError):
                connection.answer()
        else:
            assert connection.answer().seen == (403, code)


def test_a_form_that_says_who_sends_it_may_have_long_fields(server):
    bucket = server.new_bucket()
    signed = {"key": "k", **signed_v1(policy(bucket.bucket_name))}
    assert post(server, bucket, {**signed, "x:long": "v" * 1_000_000}).status_code == 204
    # Before it has said so, a form has room for what senders usually say.
    assert post(server, bucket, {"x:callback": "v" * 20_000, **signed}).status_code == 204
    late = post(server, bucket, {"x:long": "v" * 1_000_000, **signed})
    assert (late.status_code, "MaxPOSTPreDataLengthExceededError" in late.text) == (400, True)


# HTTP/2.


@pytest.fixture
def secure(fresh_server, tmp_path):
    """A hasty server with TLS, and what its clients need."""
    certificate, key = make_certificate(tmp_path, "memory")
    server = fresh_server("--tls-cert", str(certificate), "--tls-key", str(key), settings="[http]\nhead_timeout_s = 2\n")
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    return server, context


BEGUN = {"byte": PREFACE[:1], "half": PREFACE[:23], "preface": PREFACE, "settings": PREFACE + b"\0\0\0\4\0\0\0\0\0"}


@pytest.mark.parametrize("listener", ["http_address", "rtmp_address", "admin_address"])
def test_a_connection_that_asks_nothing_is_closed(secure, listener):
    server, context = secure
    host, port = getattr(server, listener).rsplit(":", 1)
    opened = {}
    for name, begun in BEGUN.items():
        for tls in (False, True):
            connection = socket.create_connection((host, int(port)), 20)
            if tls:
                connection = context.wrap_socket(connection, server_hostname=host)
            connection.sendall(begun)
            opened[name, tls] = connection
    # The timers of the admin listener are its own. A server that waits for ever times these sockets out.
    for kind, connection in opened.items():
        with contextlib.suppress(ConnectionResetError):
            try:
                while connection.recv(4096):
                    pass
            except TimeoutError:
                pytest.fail(f"still open: {kind}")
        connection.close()


@pytest.mark.parametrize("listener", ["http_address", "rtmp_address", "admin_address"])
def test_a_handshake_of_tls_that_stops_is_closed(secure, listener):
    server, _ = secure
    host, port = getattr(server, listener).rsplit(":", 1)
    with socket.create_connection((host, int(port)), 25) as connection:
        connection.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


@pytest.mark.parametrize("listener, path", [("http_address", "/-/play"), ("admin_address", "/healthz")])
def test_an_idle_http2_connection_is_closed(secure, listener, path):
    server, _ = secure
    with Http2(getattr(server, listener), opens=True) as connection:
        assert connection.finish(connection.ask("GET", path)).status == 200
        assert connection.is_closed(18)


def test_an_http2_connection_that_is_asked_now_and_then_stays(secure):
    server, _ = secure
    with Http2(server.http_address, opens=True) as connection:
        for _ in range(5):
            time.sleep(1)
            assert connection.finish(connection.ask("GET", "/-/play")).status == 200


def with_an_object_that_was_read(server):
    """A bucket; what is in the page cache is read without threads, which have memory of their own."""
    bucket = server.new_bucket("public-read")
    bucket.put_object("large", OBJECT)
    with Http2(server.http_address, opens=True) as connection:
        connection.finish(connection.ask("GET", f"/{bucket.bucket_name}/large"))
    return bucket


@pytest.mark.parametrize("window", [0, 1, 1000])
def test_shut_windows_hold_little(fresh_server, window):
    server = fresh_server()
    bucket = with_an_object_that_was_read(server)
    growth = Growth(server)
    with many(10, lambda: Http2(server.http_address, window=window)) as connections:
        for connection in connections:
            numbers = [connection.ask("GET", f"/{bucket.bucket_name}/large") for _ in range(100)]
            wait_for(lambda: connection.receive(1) and connection.streams[numbers[-1]].status == 200, "the last head")
        assert growth.watch(2) < 10 * 100 * 64 * 1024 + 32 * MIB
        # Nobody else is kept waiting.
        assert bucket.get_object("large").read() == OBJECT
        # Whoever opens its windows late gets everything.
        connection = connections[-1]
        connection.opens = True
        connection.open(numbers[0], 1 << 24)
        assert bytes(connection.finish(numbers[0]).body) == OBJECT


def test_peers_that_read_nothing_hold_little(fresh_server):
    """Wide windows, and a socket that nobody reads."""
    server = fresh_server()
    bucket = with_an_object_that_was_read(server)
    growth = Growth(server)
    with many(10, lambda: Http2(server.http_address, window=(1 << 31) - 1)) as connections:
        for connection in connections:
            connection.connection.increment_flow_control_window((1 << 31) - 1 - 65_535)
            for _ in range(100):
                connection.ask("GET", f"/{bucket.bucket_name}/large")
        assert growth.watch(2) < 10 * 100 * 64 * 1024 + 32 * MIB


def test_large_heads_that_were_sent_small_hold_little(fresh_server):
    """A header that both sides remember is a byte on the wire and KiB in memory."""
    server = fresh_server()
    bucket = server.new_bucket()
    growth = Growth(server)
    headers = [("x-large", "v" * 3900)] * 14
    with many(10, lambda: Http2(server.http_address)) as connections:
        for connection in connections:
            for _ in range(100):
                number = connection.connection.get_next_available_stream_id()
                pseudo = [(":method", "PUT"), (":path", f"/{bucket.bucket_name}/k"), (":scheme", "http"), (":authority", "x")]
                connection.connection.send_headers(number, pseudo + headers)
            connection.flush()
        assert growth.watch(2) < 64 * MIB


# The budgets.


def test_a_stalled_answer_is_ended_in_time(fresh_server):
    server = fresh_server(settings="[http]\nstalled_answer_s = 2\n")
    bucket = server.new_bucket("public-read")
    bucket.put_object("large", OBJECT)
    with Http2(server.http_address, window=1000) as connection:
        number = connection.ask("GET", f"/{bucket.bucket_name}/large")
        stream = connection.finish(number, timeout_s=12)
        # Its stream, or with it the connection.
        assert stream.reset is not None or connection.ended
    assert wait_for(lambda: metric(server, "millpond_stalled_answers_ended_total") == 1, "the metric")


def test_under_pressure_the_longest_stalled_goes_first(fresh_server):
    server = fresh_server(settings="[memory]\nsend_mib = 4\n")
    bucket = server.new_bucket("public-read")
    bucket.put_object("large", OBJECT)
    path = f"/{bucket.bucket_name}/large"
    with many(2, lambda: Http2(server.http_address, window=1000)) as connections:
        for connection in connections:
            for _ in range(64):
                connection.ask("GET", path)
            time.sleep(1)
        assert metric(server, "millpond_memory_used_bytes", budget="send") <= 4 * MIB
        assert metric(server, "millpond_memory_limit_bytes", budget="send") == 4 * MIB
        # A reader who reads gets everything, as fast as the room for it is made.
        with Http2(server.http_address, opens=True, timeout_s=40) as reader:
            assert bytes(reader.finish(reader.ask("GET", path), timeout_s=40).body) == OBJECT
        assert metric(server, "millpond_stalled_answers_ended_total") >= 1
    wait_for(lambda: metric(server, "millpond_memory_used_bytes", budget="send") == 0, "the room is free again")


def test_without_room_for_bodies_the_answer_is_to_come_back(fresh_server):
    server = fresh_server(settings="[memory]\nreceive_mib = 1\n")
    bucket = server.new_bucket()
    path = f"/{bucket.bucket_name}/?delete".encode()
    with many(8, lambda: Connection(server)) as peers:
        for peer in peers:
            request = head("POST", path, path, {"Content-Type": "application/xml", "Content-Length": "1000000"})
            peer.send(request + b"<Delete>" + b" " * 400_000)
        seen = []
        for peer in peers:
            peer.socket.settimeout(15)
            with contextlib.suppress(TimeoutError):
                answer = peer.answer()
                seen.append((*answer.seen, int(answer.headers["Retry-After"]) > 0))
        assert seen and set(seen) == {(503, "ServiceUnavailable", True)}, seen
        assert 1 <= 8 - len(seen) <= 3
        # Who reads is not held up by who uploads.
        assert server.get("-/play").status_code == 200
        assert metric(server, "millpond_memory_refused_total", budget="receive") >= len(seen)
    wait_for(lambda: metric(server, "millpond_memory_used_bytes", budget="receive") == 0, "the room is free again")
    bucket.put_object("key", b"body")
    assert bucket.get_object("key").read() == b"body"


def test_uploads_beside_each_other_share_a_small_room(fresh_server):
    server = fresh_server(settings="[memory]\nreceive_mib = 1\n")
    bucket = server.new_bucket()
    bodies = {str(number): bytes([number]) * 3_000_000 for number in range(12)}
    threads = [threading.Thread(target=bucket.put_object, args=item) for item in bodies.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key, body in bodies.items():
        assert bucket.get_object(key).read() == body


# Nobody honest is disturbed.


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_large_bodies_over_http2(secure, tls):
    server, context = secure
    bucket = server.new_bucket("public-read-write")
    body = uuid.uuid4().bytes * MIB
    with Http2(server.http_address, opens=True, context=context if tls else None) as connection:
        number = connection.ask("PUT", f"/{bucket.bucket_name}/k", {"content-length": str(len(body))}, ends=False)
        connection.send(number, body)
        assert connection.finish(number).status == 200
        # Several at once, as players ask.
        numbers = [connection.ask("GET", f"/{bucket.bucket_name}/k") for _ in range(4)]
        for number in numbers:
            assert bytes(connection.finish(number).body) == body


def test_large_bodies_over_http1_within_tls(secure, tmp_path):
    server, _ = secure
    bucket = server.new_bucket("public-read-write")
    body = uuid.uuid4().bytes * MIB
    url = f"https://{server.http_address}/{bucket.bucket_name}/k"
    verify = str(tmp_path / "memory.pem")
    assert requests.put(url, data=body, verify=verify, timeout=30).status_code == 200
    assert requests.get(url, verify=verify, timeout=30).content == body


def pause_and_read(server, certificate, path, protocol, tls):
    """Asks for an object, reads nothing for a minute, then all of it."""
    context = ssl.create_default_context(cafile=str(certificate)) if tls else None
    if protocol == "h2":
        if context:
            context.set_alpn_protocols(["h2"])
        with Http2(server.http_address, window=100_000, opens=True, context=context) as connection:
            number = connection.ask("GET", path)
            connection.receive()
            time.sleep(62)
            return bytes(connection.finish(number).body)
    with Connection(server) as connection:
        if context:
            connection.socket = context.wrap_socket(connection.socket, server_hostname="127.0.0.1")
        connection.socket.sendall(head("GET", path.encode(), None, {"Connection": "close"}))
        received = bytearray(connection.socket.recv(1000))
        time.sleep(62)
        while piece := connection.socket.recv(1 << 20):
            received += piece
        return bytes(received)


def test_readers_that_pause_for_a_minute_get_everything(fresh_server, tmp_path):
    certificate, key = make_certificate(tmp_path, "memory")
    server = fresh_server("--tls-cert", str(certificate), "--tls-key", str(key))
    bucket = server.new_bucket("public-read")
    body = OBJECT * 4
    bucket.put_object("large", body)
    path = f"/{bucket.bucket_name}/large"
    kinds = [(protocol, tls) for protocol in ("h1", "h2") for tls in (False, True)]
    with ThreadPoolExecutor(len(kinds)) as pool:
        results = list(pool.map(lambda kind: pause_and_read(server, certificate, path, *kind), kinds))
    for kind, received in zip(kinds, results):
        assert received.endswith(body), kind
