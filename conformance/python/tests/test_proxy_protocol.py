"""The PROXY protocol, versions 1 and 2, on HTTP and RTMP: the address in it counts everywhere, and only proxies are believed."""

import json
import socket
import struct

import pytest

from millpond_test.accounts import statement
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, capture, pieces, replay
from millpond_test.server import create_channel, wait_for

CLIENT = "192.0.2.77"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def one(client=CLIENT) -> bytes:
    return f"PROXY TCP4 {client} 127.0.0.1 4711 80\r\n".encode()


def two(client=CLIENT, fields=b"") -> bytes:
    addresses = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 4711, 80)
    return V2 + b"\x21\x11" + struct.pack(">H", len(addresses) + len(fields)) + addresses + fields


LOCAL = V2 + b"\x20\x00\x00\x00"
TLS = b"\x20\x00\x05\x01\x00\x00\x00\x00"


def ask(server, header: bytes, path: str) -> int:
    """The status of a GET behind a header; 0 when the connection is closed."""
    host, port = server.http_address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: {server.http_address}\r\nConnection: close\r\n\r\n".encode()
        try:
            connection.sendall(header + request)
            answer = connection.recv(4096)
        except OSError:
            answer = b""
    return int(answer.split()[1]) if answer else 0


@pytest.fixture
def behind(fresh_server):
    """A server that believes 127.0.0.1, and an object that one client may read."""

    def make(settings='trusted_proxies = ["127.0.0.1"]\n', **condition):
        server = fresh_server(settings=settings)
        bucket = server.new_bucket()
        bucket.put_object("a", b"a")
        allowed = statement("Allow", ["oss:GetObject"], [f"acs:oss:*:*:{bucket.bucket_name}/*"])
        allowed |= {"Principal": ["*"], "Condition": condition or {"IpAddress": {"acs:SourceIp": [f"{CLIENT}/32"]}}}
        bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": [allowed]}))
        return server, f"/{bucket.bucket_name}/a"

    return make


def test_policies_see_the_client(behind):
    server, path = behind()
    for header, expected in [
        (one(), 200), (two(), 200), (two(fields=TLS), 200), (one("192.0.2.78"), 403), (two("192.0.2.78"), 403),
        (b"", 403), (LOCAL, 403), (b"PROXY UNKNOWN\r\n", 403),
    ]:  # fmt: skip
        assert ask(server, header, path) == expected, header
    # What cannot be read ends the connection, and is named.
    for broken in [b"PROXY TCP4 nonsense\r\n", one()[:-2] + b"\n", V2 + b"\x21\x11\xff\xff", V2 + b"\x31\x11\x00\x00", b"PROXY " + b"x" * 200]:
        assert ask(server, broken, path) == 0, broken
    wait_for(lambda: "PROXY protocol header cannot be read" in server.log(), "a line in the log")
    assert "panicked" not in server.log()


def test_whether_the_client_spoke_tls(behind):
    server, path = behind(Bool={"acs:SecureTransport": "true"})
    assert ask(server, two(fields=TLS), path) == 200
    assert ask(server, two(), path) == 403
    assert ask(server, one(), path) == 403


def test_strangers_are_not_believed(behind):
    server, path = behind(settings="")
    for header in (one(), two()):
        assert ask(server, header, path) == 0
    wait_for(lambda: "PROXY protocol header was refused" in server.log(), "a line in the log")
    lines = [json.loads(line) for line in server.log().splitlines() if "PROXY protocol header was refused" in line]
    assert lines[0]["level"] == "WARN" and "trusted_proxies" in lines[0]["message"], lines


@pytest.mark.parametrize("port", ["http", "rtmp"])
@pytest.mark.parametrize("header", [one(), two()], ids=["version 1", "version 2"])
def test_pushes_have_the_address_of_their_client(fresh_server, header, port):
    server = fresh_server(settings='trusted_proxies = ["127.0.0.1"]\n')
    bucket = server.new_bucket("public-read", name=CAPTURE_BUCKET)
    create_channel(bucket, CAPTURE_CHANNEL)
    address = server.http_address if port == "http" else server.rtmp_address
    replay(address, pieces(header + capture("obs-29.0"), seed=1))
    wait_for(lambda: bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Idle", "idle after the replay")
    history = bucket.get_live_channel_history(CAPTURE_CHANNEL).records
    assert [record.remote_addr for record in history] == [f"{CLIENT}:4711"]
    assert len(bucket.list_objects_v2(prefix=f"{CAPTURE_CHANNEL}/").object_list) > 1


def test_guesses_count_for_the_client(fresh_server):
    server = fresh_server(settings='trusted_proxies = ["127.0.0.1"]\n', environment={"MILLPOND_AUTH_FAILURES_PER_MINUTE": "2"})
    bucket = server.new_bucket()
    wrong = f"/{bucket.bucket_name}/a?OSSAccessKeyId=nobody&Expires=9999999999&Signature=x"
    assert [ask(server, one(), wrong) for _ in range(3)] == [403, 403, 503]
    assert ask(server, two("192.0.2.78"), wrong) == 403
