"""A server that is told to stop lets requests in flight finish for a while, and has left after a bounded time whatever its disk does.
Sockets that a supervisor opened are taken over, and it is told what happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import oss2
import pytest
import requests

from millpond_test import pusher
from millpond_test.faults import Faults
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, create_channel

MIB = 1 << 20


def terminate(server) -> None:
    server.process.send_signal(signal.SIGTERM)


@pytest.fixture
def large(fresh_server):
    """A server with an object that fits into no socket, for who it is called."""

    def make(settings: str = ""):
        server = fresh_server(settings=settings)
        bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        bucket.put_object("large", os.urandom(MIB) * 24)
        return server, server.url(f"{bucket.bucket_name}/large")

    return make


def test_downloads_and_uploads_in_flight_are_finished(large):
    server, url = large()
    bucket = server.bucket(url.split("/")[-2])
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: requests.get(url, stream=True, timeout=60), range(10)))
        readers = [answer.iter_content(MIB // 4) for answer in answers]
        begun = [len(next(reader)) for reader in readers]

        def body():
            for _ in range(20):
                time.sleep(0.1)
                yield bytes(MIB // 4)

        upload = pool.submit(bucket.put_object, "up", oss2.utils.SizedFileAdapter(Pieces(body()), 5 * MIB))
        time.sleep(0.5)
        terminate(server)
        time.sleep(0.5)
        assert server.running(), "it has left the requests alone"
        assert server.admin("/readyz").text == "stopping\n"
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
        sizes = list(pool.map(lambda pair: pair[1] + sum(map(len, pair[0])), zip(readers, begun)))
        assert sizes == [24 * MIB] * 10
        assert upload.result().status == 200
    assert server.process.wait(20) == 0
    assert server.findings().returncode == 0


class Pieces:
    """A file that comes in pieces."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.rest = b""

    def read(self, size=-1):
        while len(self.rest) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.rest += piece
        out, self.rest = self.rest[:size], self.rest[size:]
        return out


def test_what_is_not_through_in_time_is_cut(large):
    server, url = large("drain_s = 1\n")
    with requests.get(url, stream=True, timeout=60) as answer:
        next(answer.iter_content(1000))
        terminate(server)
        assert server.process.wait(15) == 0
        with pytest.raises(requests.RequestException):
            for _ in answer.iter_content(MIB):
                pass
    assert "are cut" in server.log()


def test_who_asks_whether_it_is_ready_learns_first_that_it_stops(large):
    server, url = large("leave_s = 3\n")
    bucket = server.bucket(url.split("/")[-2])
    assert server.admin("/readyz").status_code == 200
    terminate(server)
    begun = time.monotonic()
    while server.admin("/readyz").status_code == 200:
        assert time.monotonic() - begun < 2
    # Whoever did not hear of it yet is served, on new connections too.
    while time.monotonic() - begun < 2:
        bucket.put_object("late", b"x")
        assert requests.get(url, timeout=10).status_code == 200
        assert server.admin("/readyz").status_code == 503
    assert server.process.wait(15) == 0
    assert time.monotonic() - begun > 2.5


def test_a_second_signal_ends_the_wait(large):
    server, _ = large("leave_s = 600\n")
    terminate(server)
    time.sleep(1)
    assert server.running()
    terminate(server)
    assert server.process.wait(15) == 0


def test_a_second_signal_cuts_at_once(large):
    server, url = large()
    with requests.get(url, stream=True, timeout=60) as answer:
        next(answer.iter_content(1000))
        terminate(server)
        time.sleep(1)
        assert server.running()
        terminate(server)
        assert server.process.wait(15) == 0


def test_it_has_left_although_its_disk_hangs(fresh_server, tmp_path):
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket()
    for operation in ("sync", "write", "open"):
        faults.add(operation, "*/data/*", 0, delay_s=120)
    with ThreadPoolExecutor(2) as pool:
        for name in ("small", "large"):
            pool.submit(bucket.put_object, name, bytes(100 if name == "small" else MIB))
        time.sleep(1.5)
        terminate(server)
        time.sleep(1)
        # The requests hang too, and are not waited for any longer.
        terminate(server)
        try:
            server.process.wait(45)
        finally:
            server.kill()


def test_inherited_sockets_are_taken_over_and_the_supervisor_is_told(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    named = socket.create_server(("127.0.0.1", 0))
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind(str(tmp_path / "notify"))
    supervisor.settimeout(20)
    environment = {
        **os.environ,
        "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "http:admin",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "400000",
    }
    command = [str(BINARY), "serve", "--data-dir", str(tmp_path / "data"), "--rtmp-listen", "127.0.0.1:0", "--log-format", "json"]
    # The descriptors have the numbers 3 and 4 in the new process.
    shell = f"exec 3<&{listener.fileno()} 4<&{named.fileno()}; LISTEN_PID=$$ exec \"$@\""
    # It connects before anybody accepts: the kernel keeps it.
    early = socket.create_connection(listener.getsockname())
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command],
        env=environment, stdout=subprocess.PIPE, pass_fds=[listener.fileno(), named.fileno()],
    )  # fmt: skip
    try:
        words = [supervisor.recv(1000).decode()]
        while "READY=1" not in words or "WATCHDOG=1" not in words:
            words.append(supervisor.recv(1000).decode())
        ready = next(line for line in map(json.loads, process.stdout) if line.get("message") == "listening")
        assert ready["http"] == ["127.0.0.1:%d" % listener.getsockname()[1]]
        assert ready["admin"] == "127.0.0.1:%d" % named.getsockname()[1]
        early.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert early.recv(12) == b"HTTP/1.1 403"
        assert requests.get(f"http://{ready['admin']}/readyz", timeout=5).text == "ready\n"
        process.send_signal(signal.SIGTERM)
        while words[-1] != "STOPPING=1":
            words.append(supervisor.recv(1000).decode())
        assert process.wait(20) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("caps, is_asked", [(1, True), (None, False)], ids=["offered", "not offered"])
def test_encoders_are_told_to_push_again_and_asked_to_reconnect_where_they_offer_it(fresh_server, caps, is_asked):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    parts = urlsplit(url)
    app, name = parts.path.lstrip("/").rsplit("/", 1)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(b"\x03" + bytes(8) + os.urandom(1528))
        answer = b""
        while len(answer) < 1 + 2 * 1536:
            answer += connection.recv(65536)
        connection.sendall(answer[1:1537])
        connection.sendall(pusher.message(0, 1, 0, struct.pack(">I", pusher.CHUNK)))
        about = {"app": app, "tcUrl": url.rsplit("/", 1)[0], **({"capsEx": caps} if caps else {})}
        connection.sendall(pusher.command("connect", 1, about) + pusher.command("createStream", 2, None))
        connection.sendall(pusher.command("publish", 3, None, f"{name}?{parts.query}", "live", stream=1))
        answer = b""
        while b"NetStream.Publish.Start" not in answer:
            answer += connection.recv(65536)
        terminate(server)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b"Please push again soon" in answer
    assert (b"NetConnection.Connect.ReconnectRequest" in answer) == is_asked
    assert server.process.wait(20) == 0
