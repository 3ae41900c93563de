"""Whoever pauses a download goes on later: TCP's own timeout does not count a window that its peer keeps closed."""

from __future__ import annotations

import os
import socket
import time

import oss2

from millpond_test.server import wait_for

MIB = 1 << 20


def paused(server, bucket_name: str, size: int, pause_s: float) -> bytes:
    """The body, read with a pause in which nothing more fits anywhere."""
    host, port = server.http_address.rsplit(":", 1)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    reader.connect((host, int(port)))
    reader.settimeout(60)
    reader.sendall(f"GET /{bucket_name}/large HTTP/1.1\r\nHost: {server.http_address}\r\nConnection: close\r\n\r\n".encode())
    received = reader.recv(1000)
    time.sleep(pause_s)
    while piece := reader.recv(1 << 16):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


def test_a_pause_longer_than_the_timeout_of_tcp(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    body = os.urandom(16 * MIB)
    bucket.put_object("large", body)
    # Seconds by the environment, to see the whole of what the settings promise by hand.
    pause_s = float(os.environ.get("MILLPOND_TEST_PAUSE_S", "45"))
    assert paused(server, bucket.bucket_name, len(body), pause_s) == body


def test_who_never_goes_on_is_ended_in_time(fresh_server):
    """Bytes that the kernel sends from files are in no budget; that they stand still is noticed all the same."""
    server = fresh_server(settings="[http]\nstalled_answer_s = 2\n")
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("large", bytes(16 * MIB))
    host, port = server.http_address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as reader:
        reader.sendall(f"GET /{bucket.bucket_name}/large HTTP/1.1\r\nHost: {server.http_address}\r\n\r\n".encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        in_request = 'millpond_connections{listener="public",kind="request"} '
        wait_for(lambda: f"{in_request}0" in server.admin("/metrics").text, "the end of it", 60)
