"""Peers that take their time: each is waited for as long as the configuration says, costs little meanwhile, and disturbs
nobody (HTTP API 2, `[http]` of the configuration)."""

import threading
import time

import pytest

from millpond_test.raw import Connection, head

PATIENCE = "[http]\nhead_timeout_s = 1\nbody_timeout_s = 1\nmin_body_bytes_per_s = 0\n"
PACE = "[http]\nbody_timeout_s = 2\nmin_body_bytes_per_s = 100\n"


@pytest.fixture
def hasty_server(fresh_server):
    return fresh_server(settings=PATIENCE)


def drip(connection, data, every_s=0.2):
    """Sends a byte at a time until the peer has had enough; how many it took."""
    for sent, byte in enumerate(data):
        try:
            connection.socket.sendall(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            return sent
        time.sleep(every_s)
    return len(data)


@pytest.mark.parametrize("first", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["silent", "one byte", "half a head"])
def test_a_head_that_does_not_come_ends_the_connection(hasty_server, first):
    with Connection(hasty_server) as connection:
        connection.send(first)
        rest = connection.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 4"), rest


def test_a_head_that_drips_ends_the_connection(hasty_server):
    # Each byte comes in time, the head as a whole does not: the deadline is one for all of it.
    with Connection(hasty_server) as connection:
        assert drip(connection, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 100) < 100
        rest = connection.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 4"), rest
    assert hasty_server.get("-/play").status_code == 200


def test_an_idle_connection_is_closed(hasty_server):
    bucket = hasty_server.new_bucket()
    path = f"/{bucket.bucket_name}/?acl".encode()
    with Connection(hasty_server) as connection:
        assert connection.send(head("GET", path, path)).answer().status == 200
        assert connection.is_closed()


@pytest.mark.parametrize("framing", [{"Content-Length": "100000"}, {"Transfer-Encoding": "chunked"}], ids=["length", "chunked"])
def test_a_body_that_stalls_is_refused_and_stores_nothing(hasty_server, framing):
    bucket = hasty_server.new_bucket()
    path = f"/{bucket.bucket_name}/key".encode()
    with Connection(hasty_server) as connection:
        begun = b"body" if "Content-Length" in framing else b"186a0\r\nbody"
        answer = connection.send(head("PUT", path, path, framing) + begun).answer()
        assert answer.seen == (400, "RequestTimeout")
        assert connection.is_closed()
    assert not bucket.object_exists("key")


def test_a_body_that_is_slow_but_moves_is_stored(hasty_server):
    bucket = hasty_server.new_bucket()
    path = f"/{bucket.bucket_name}/key".encode()
    with Connection(hasty_server) as connection:
        connection.send(head("PUT", path, path, {"Content-Length": "8"}))
        drip(connection, b"slowbody", 0.3)
        assert connection.answer().status == 200
    assert bucket.get_object("key").read() == b"slowbody"


XML = {"Content-Type": "application/xml"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    "method, key, query, headers, begun",
    [
        ("PUT", "key", b"", {}, b""),
        ("PUT", "key", b"", {"Transfer-Encoding": "chunked"}, b"186a0\r\n"),
        ("POST", "key", b"?append&position=0", {}, b""),
        ("PUT", "key", b"?partNumber=1&uploadId=%s", {}, b""),
        ("POST", "", b"?delete", XML, b"<Delete>"),
        ("PUT", "", b"?lifecycle", XML, b"<LifecycleConfiguration>"),
        ("POST", "", b"", FORM, b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n'),
    ],
    ids=["object", "chunked", "append", "part", "batch", "settings", "form"],
)
def test_a_body_that_drips_is_refused_and_stores_nothing(fresh_server, method, key, query, headers, begun):
    server = fresh_server(settings=PACE)
    bucket = server.new_bucket("public-read-write")
    if b"uploadId" in query:
        query %= bucket.init_multipart_upload(key).upload_id.encode()
    path = f"/{bucket.bucket_name}/{key}".encode() + query
    length = {} if "Transfer-Encoding" in headers else {"Content-Length": "100000"}
    with Connection(server) as connection:
        # Forms say themselves who sends them; the rest is signed.
        resource = None if headers is FORM else path
        connection.send(head(method, path, resource, {**headers, **length}) + begun)
        started = time.monotonic()
        # No pause is longer than a fifth of what is allowed.
        assert drip(connection, b"x" * 40, 0.4) < 40
        answer = connection.answer()
        assert (answer.seen, answer.headers.get_all("Connection")) == ((400, "RequestTimeout"), ["close"])
        assert time.monotonic() - started < 12
        assert connection.is_closed()
    assert [entry.key for entry in bucket.list_objects().object_list] == []
    server.stop()
    assert server.findings().returncode == 0


def test_a_body_that_keeps_the_pace_is_stored(fresh_server):
    server = fresh_server(settings=PACE)
    bucket = server.new_bucket()
    path = f"/{bucket.bucket_name}/key".encode()
    with Connection(server) as connection:
        connection.send(head("PUT", path, path, {"Content-Length": "1200"}))
        # Longer than any pause may be, a phone at the edge of its network.
        for _ in range(10):
            connection.send(b"x" * 120)
            time.sleep(0.6)
        assert connection.answer().status == 200
    assert bucket.get_object("key").read() == b"x" * 1200


def test_many_idle_connections_cost_little_and_disturb_nobody(hasty_server):
    bucket = hasty_server.new_bucket()
    bucket.put_object("key", b"body")
    before = hasty_server.resident_bytes()
    half = b"PUT /%s/key HTTP/1.1\r\nHost: x\r\n" % bucket.bucket_name.encode()
    connections = [Connection(hasty_server).send(b"" if number % 2 else half) for number in range(600)]
    assert bucket.get_object("key").read() == b"body"
    # As much as the longest head, and the bookkeeping beside it.
    assert hasty_server.resident_bytes() - before < 600 * 128 * 1024
    for connection in connections:
        connection.rest()
        connection.close()
    assert bucket.get_object("key").read() == b"body"


def test_readers_that_do_not_read_cost_little_and_disturb_nobody(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket("public-read")
    bucket.put_object("large", b"x" * 40_000_000)
    before = server.resident_bytes()
    connections = [Connection(server).send(head("GET", f"/{bucket.bucket_name}/large".encode())) for _ in range(60)]
    for connection in connections:
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 200")
    bucket.put_object("small", b"body")
    assert bucket.get_object("small").read() == b"body"
    # What is buffered is a fixed piece of each answer, not the answer.
    assert server.resident_bytes() - before < 60 * 1_500_000
    for connection in connections:
        connection.close()


def test_slow_uploads_beside_each_other_do_not_wait_for_each_other(hasty_server):
    bucket = hasty_server.new_bucket()

    def one(number):
        path = f"/{bucket.bucket_name}/{number}".encode()
        with Connection(hasty_server) as connection:
            connection.send(head("PUT", path, path, {"Content-Length": "5"}))
            drip(connection, b"%05d" % number, 0.1)
            statuses.append(connection.answer().status)

    statuses = []
    threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert bucket.get_object("7").read() == b"00007"
