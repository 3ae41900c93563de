"""Lines that anybody can cause: the first of an address is written in full, the others are counted."""

import json
import socket

import pytest
import requests

from millpond_test import media
from millpond_test.server import SERVERS, wait_for

MANY = 40


def lines(server, text):
    found = [json.loads(line) for line in server.log().splitlines() if text in line]
    return [line for line in found if line["level"] != "DEBUG"]


def send(address: str, data: bytes) -> None:
    """Sends bytes, and waits until the server has closed."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            pass


def test_connections_that_speak_nothing_known(fresh_server):
    server = fresh_server()
    for _ in range(MANY):
        send(server.http_address, b"\x16\x03\x01")
        # A handshake, and a chunk that continues one which never began.
        send(server.rtmp_address, b"\x03" + bytes(1536) + bytes(1536) + b"\xff" * 64)
        assert requests.get(f"http://{server.admin_address}/api/v1/users", timeout=10).status_code == 403
    kinds = {
        "a TLS connection was refused": "TLS without a certificate",
        "rtmp connection ended": "rtmp connection without a push",
        "management request refused: ": "management request refused: ",
    }
    # One line of each server that they came to.
    first = {what: len(lines(server, text)) for text, what in kinds.items()}
    assert all(1 <= count <= SERVERS for count in first.values()), first
    assert server.stop() == 0
    for what in kinds.values():
        told = [line for line in lines(server, what) if line["message"].endswith("more in a minute")]
        assert sum(line["more"] for line in told) == MANY - first[what], told
        assert {line["from"] for line in told} == {"127.0.0.1"}


@pytest.mark.parametrize("level", ["info", "debug"])
def test_refused_publishes(fresh_server, short_source, level):
    server = fresh_server(environment={"MILLPOND_LOG": f"millpond={level}"})
    bucket = server.new_bucket()
    for _ in range(4):
        for name in ("a", "b"):
            assert "NoSuchLiveChannel" in media.push_refused(short_source.path, bucket.sign_rtmp_url(name, "p.m3u8", 60))
    # Another reason is another line.
    wrong = bucket.sign_rtmp_url("a", "p.m3u8", 60).replace("Signature=", "Signature=A")
    assert "SignatureDoesNotMatch" in media.push_refused(short_source.path, wrong)
    wait_for(lambda: "SignatureDoesNotMatch" in server.log(), "the last refusal is in the log")
    written = lines(server, "publish refused: ")
    assert [(line["level"], line["code"]) for line in written] == [
        ("WARN", "NoSuchLiveChannel"), ("WARN", "SignatureDoesNotMatch"),
    ]  # fmt: skip
    assert all(len(line["request_id"]) == 24 for line in written)
    debug = [line for line in server.log().splitlines() if "publish refused: " in line and '"DEBUG"' in line]
    assert len(debug) == (7 if level == "debug" else 0)
    refused = [line for line in server.admin("/metrics").text.splitlines() if line.startswith("millpond_publish_refused_total")]
    assert sum(int(line.split()[-1]) for line in refused) == 9
    assert server.stop() == 0
    (told,) = [line for line in lines(server, "publish refused: ") if "more" in line]
    assert (told["level"], told["more"], told["from"]) == ("WARN", 7, "127.0.0.1")
