"""Standard error and standard output that are full, closed, or read by nobody: the server serves, and says later what was lost (D28)."""

import fcntl
import json
import os
import socket
import subprocess
import threading

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.playback import fetch_playlist
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, Server, create_channel, wait_for

KEYS = {"OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET}


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Stalled:
    """A pipe that is full, and that nobody reads until `drain()`."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.writer, False)
        try:
            while True:
                os.write(self.writer, b"." * 512)
        except BlockingIOError:
            pass
        os.set_blocking(self.writer, True)
        self.text = b""

    def drain(self):
        def read():
            while chunk := os.read(self.reader, 65536):
                self.text += chunk

        threading.Thread(target=read, daemon=True).start()


class Fifo:
    """A named pipe whose reader goes away, and perhaps comes back."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        reader = self.open_reader()
        self.writer = os.open(path, os.O_WRONLY)
        os.close(reader)

    def open_reader(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)


class Unheard(Server):
    """A server whose outputs are the test's business; its ports are chosen, because it may not be able to tell them."""

    def start_with(self, stderr, stdout, *, command="serve", level="debug") -> "Unheard":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.http_address, self.rtmp_address, self.admin_address = free_address(), free_address(), free_address()
        self.process = subprocess.Popen(
            [
                str(BINARY), command, "--data-dir", str(self.data), "--listen", self.http_address,
                "--rtmp-listen", self.rtmp_address, "--admin-listen", self.admin_address, "--log-format", "json",
            ],
            stdout=stdout, stderr=stderr, env={**os.environ, **KEYS, "MILLPOND_LOG": level}, cwd=self.folder,
        )  # fmt: skip
        wait_for(self.is_ready, "the server is ready", 30)
        return self

    def is_ready(self) -> bool:
        assert self.running(), "the server ended"
        try:
            return requests.get(f"http://{self.admin_address}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def lost(self) -> int:
        lines = [line for line in self.admin("/metrics").text.splitlines() if line.startswith("millpond_log_lines_lost_total")]
        return sum(int(line.split()[-1]) for line in lines)


def use_everything(server: Server, source) -> None:
    """A push, PUT, GET and DELETE, and that the server is ready then."""
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    media.push_file(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
    path = f"{bucket.bucket_name}/test-channel/playlist.m3u8"
    # ffmpeg ends before the last segment is stored.
    wait_for(lambda: server.get(path).status_code == 200, "the playlist")
    wait_for(lambda: len(fetch_playlist(server.url(path)).segments) == 2, "both segments are listed")
    assert bucket.put_object("key", b"x" * 100_000).status == 200
    assert bucket.get_object("key").read() == b"x" * 100_000
    assert bucket.delete_object("key").status == 204
    # A refused push is logged with a warning, whatever the level.
    assert "NoSuchLiveChannel" in media.push_refused(source.path, bucket.sign_rtmp_url("nothing", "playlist.m3u8", 3600))
    assert server.is_ready()


@pytest.fixture
def unheard(tmp_path):
    server = Unheard(tmp_path / "server")
    yield server
    server.kill()


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_full_disk_below_the_log(unheard, short_source, level):
    with open("/dev/full", "wb") as full:
        unheard.start_with(full, full, level=level)
    use_everything(unheard, short_source)
    wait_for(lambda: unheard.lost() >= 3, "lost lines are counted")
    assert unheard.stop() == 0


def test_a_reader_that_went_away_and_comes_back(unheard, short_source, tmp_path):
    fifo = Fifo(tmp_path / "log")
    unheard.start_with(fifo.writer, fifo.writer)
    os.close(fifo.writer)
    use_everything(unheard, short_source)
    wait_for(lambda: unheard.lost() >= 3, "lost lines are counted")
    reader = fifo.open_reader()
    text = b""

    def told():
        nonlocal text
        unheard.get("")
        try:
            text += os.read(reader, 65536)
        except BlockingIOError:
            pass
        return b" log lines lost" in text

    wait_for(told, "the log says how much is missing")
    first, second = [json.loads(line) for line in text.splitlines()[:2]]
    assert (first["level"], first["message"].split()[1:]) == ("WARN", ["log", "lines", "lost"])
    assert 3 <= int(first["message"].split()[0]) <= unheard.lost()
    assert second["timestamp"] >= first["timestamp"][:10]
    assert unheard.stop() == 0
    os.close(reader)


def test_outputs_that_nobody_reads(unheard, short_source):
    stderr, stdout = Stalled(), Stalled()
    unheard.start_with(stderr.writer, stdout.writer)
    use_everything(unheard, short_source)
    # What waited is still written when somebody reads it.
    stderr.drain()
    stdout.drain()
    wait_for(lambda: b'"listening"' in stdout.text, "standard output comes late")
    wait_for(lambda: b"NoSuchLiveChannel" in stderr.text, "the log comes late")
    assert unheard.stop() == 0


def test_the_end_does_not_wait_for_a_reader(unheard):
    stderr, stdout = Stalled(), Stalled()
    unheard.start_with(stderr.writer, stdout.writer)
    assert unheard.stop() == 0


def test_the_demo_plays_without_a_reader(unheard):
    stderr, stdout = Stalled(), Stalled()
    unheard.start_with(stderr.writer, stdout.writer, command="demo")
    wait_for(lambda: unheard.get("demo/clock/playlist.m3u8").status_code == 200, "the picture plays", 40)
    assert unheard.stop() == 0


def test_a_failed_start_ends_without_a_reader_and_is_told_to_one(tmp_path):
    address = free_address()
    command = [str(BINARY), "serve", "--data-dir", str(tmp_path / "data"), "--listen", address, "--rtmp-listen", address]
    stalled = Stalled()
    for stderr in (stalled.writer, subprocess.PIPE):
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=stderr, timeout=20, env={**os.environ, **KEYS})
        assert ended.returncode == 1
    assert f"cannot listen on {address}" in ended.stderr.decode()


def test_publishers_do_not_wait_for_a_reader():
    stalled = Stalled()
    command = [str(BINARY), "publish", f"rtmp://{free_address()}/live/x", "--publishers", "3"]
    ended = subprocess.run(command, stderr=stalled.writer, timeout=40)
    assert ended.returncode == 1
