"""More peers than there are descriptors for: nothing is lost of a push, a new push, a request and the admin pages find room, and
who has been useless for longest goes first (docs/operations.md, "Descriptors and connections")."""

import os
import re
import select
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import requests

from millpond_test import media
from millpond_test.playback import Poller, read_stream
from millpond_test.raw import Connection, ask, head
from millpond_test.server import BINARY, create_channel, wait_for

# Sixteen times the time that a quiet machine needs: what is shown here is order, not speed.
PATIENT_S = 40


@contextmanager
def strangers(server, count, first=b"", source=None, every_s=0.0):
    """Peers that connect, send `first` and then nothing; they stay until the server or the test closes them. Without a `source`
    they come from everywhere."""
    host, port = server.http_address.rsplit(":", 1)
    peers = []
    for number in range(count):
        peer = socket.socket()
        peer.bind((source or f"127.0.1.{number % 200 + 1}", 0))
        peer.settimeout(PATIENT_S)
        peer.connect((host, int(port)))
        peers.append(peer)
        if first:
            try:
                peer.sendall(first)
            except OSError:
                pass
        time.sleep(every_s)
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()


def open_ones(peers):
    """Those that the server has not closed. An answer that waits to be read is no end."""
    poller = select.poll()
    numbers = {peer.fileno(): peer for peer in peers}
    for number in numbers:
        poller.register(number, select.POLLIN | select.POLLRDHUP)
    ended = {number for number, events in poller.poll(0) if events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR)}
    return [peer for number, peer in numbers.items() if number not in ended]


def metric(server, name):
    """The sum of a number over its labels; 0 while nothing was counted."""
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(float(value) for value in found)


class Readiness:
    """Asks /readyz twice a second on a connection of its own each time."""

    def __init__(self, server):
        self.server, self.answers, self._stop = server, [], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.answers.append(self.server.admin("/readyz").status_code)
            except requests.RequestException as error:
                self.answers.append(str(error))
            self._stop.wait(0.5)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(15)


def channel_of(server, name):
    bucket = server.new_bucket("public-read")
    create_channel(bucket, name)
    return bucket, bucket.sign_rtmp_url(name, "playlist.m3u8", 3600), server.url(f"{bucket.bucket_name}/{name}/playlist.m3u8")


def assert_whole(server, play_url, seconds):
    """Everything of a push is listed and there: no gap, no lost segment, at least so many seconds."""
    playlist, report = read_stream(play_url)
    assert [segment.uri for segment in playlist.segments if segment.discontinuity] == []
    assert report.video_frames >= (seconds - media.GOP_SECONDS) * media.SOURCE_RATE
    assert metric(server, "millpond_segments_lost_total") == 0
    assert "cannot be begun" not in server.log()


def test_sixty_four_files_are_enough_for_a_push_a_reader_and_the_admin_pages(fresh_server, source):
    server = fresh_server(open_files="64:64")
    bucket, push_url, play_url = channel_of(server, "held")
    with media.Push(source.path, push_url, loop=True) as push, Readiness(server) as ready:
        wait_for(lambda: requests.get(play_url, timeout=PATIENT_S).status_code == 200, "a segment", PATIENT_S)
        with Poller(play_url, every_s=0.25) as poller:
            with strangers(server, 200, source="127.0.0.1"):
                # One that comes after all of them.
                answer = requests.get(play_url, timeout=PATIENT_S)
                assert answer.status_code == 200
                wait_for(lambda: time.monotonic() - push.started > 22, "twenty seconds", 60)
                assert push.running(), push.stderr
            assert poller.faults == []
            assert len(poller.segments) >= 7
        push.interrupt()
    assert set(ready.answers) == {200}, ready.answers
    assert_whole(server, play_url, 20)
    assert metric(server, "millpond_descriptors_open") < 64
    assert server.stop() == 0


def test_idle_connections_beyond_a_thousand_stop_nobody(fresh_server, source):
    server = fresh_server(open_files="1024:1024")
    bucket, push_url, play_url = channel_of(server, "held")
    bucket.put_object("small", b"x")
    bucket.put_object("large", b"x" * 100_000)
    get = head("GET", f"/{bucket.bucket_name}/small".encode())
    with media.Push(source.path, push_url, loop=True) as push, Readiness(server) as ready:
        wait_for(lambda: requests.get(play_url, timeout=PATIENT_S).status_code == 200, "a segment", PATIENT_S)
        # Silent ones, half a request, an RTMP handshake that stops, and viewers between two requests.
        with strangers(server, 300), strangers(server, 200, b"GET / HTTP/1.1\r\nHost: x\r\n"), strangers(
            server, 100, b"\x03" + b"\0" * 700
        ), strangers(server, 500, get):
            second_bucket, second_url, second_play = channel_of(server, "second")
            with media.Push(source.path, second_url) as second:
                wait_for(lambda: second_bucket.get_live_channel_stat("second").status == "Live", "a new push", PATIENT_S)
                answer = requests.get(server.url(f"{bucket.bucket_name}/large"), timeout=PATIENT_S)
                assert (answer.status_code, len(answer.content)) == (200, 100_000)
                assert second.wait(60) == 0, second.stderr
            assert push.running(), push.stderr
            assert metric(server, "millpond_connections") > 100
        push.interrupt()
    assert set(ready.answers) == {200}, ready.answers
    assert_whole(server, play_url, 12)
    assert_whole(server, second_play, 12)
    assert metric(server, "millpond_connections_closed_total") > 100
    # As many as there were, they fill no log.
    assert server.log().count("connections were closed to make room") < 60
    assert server.stop() == 0


class SlowReader:
    """A viewer on a slow line: it reads its answer all the time, and its end is far away."""

    def __init__(self, server, target):
        self.connection = Connection(server, PATIENT_S)
        self.connection.send(head("GET", target))
        self.first = self.connection.socket.recv(4096)
        self.is_cut = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                self.is_cut |= self.connection.socket.recv(400_000) == b""
            except OSError:
                self.is_cut = True
            if self.is_cut:
                return
            self._stop.wait(0.3)

    def close(self):
        self._stop.set()
        self._thread.join(PATIENT_S)
        self.connection.close()


def test_when_everybody_is_busy_a_request_comes_later_and_a_push_takes_the_place_of_a_reader(fresh_server, source):
    server = fresh_server(settings="max_connections = 3\n")
    bucket, push_url, play_url = channel_of(server, "held")
    bucket.put_object("large", os.urandom(1 << 20) * 100)
    target = f"/{bucket.bucket_name}/large".encode()
    readers = [SlowReader(server, target) for _ in range(3)]
    assert [reader.first[:15] for reader in readers] == [b"HTTP/1.1 200 OK"] * 3
    answer = ask(server, head("GET", target))
    assert answer.seen == (503, "ServiceUnavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert server.admin("/readyz").status_code == 200
    with media.Push(source.path, push_url) as push:
        wait_for(lambda: any(reader.is_cut for reader in readers), "the place of a reader", PATIENT_S)
        assert push.wait(60) == 0, push.stderr
    # It was one, and nobody else.
    assert [reader.is_cut for reader in readers].count(True) == 1
    for reader in readers:
        reader.close()
    wait_for(lambda: requests.get(play_url, timeout=PATIENT_S).status_code == 200, "room again", PATIENT_S)
    assert_whole(server, play_url, 12)
    assert metric(server, "millpond_connections_refused_total") >= 1


def test_without_a_file_for_it_a_request_comes_later_and_the_segments_go_on(fresh_server, source):
    server = fresh_server(open_files="64:64")
    bucket, push_url, play_url = channel_of(server, "held")
    bucket.put_object("large", os.urandom(1 << 20) * 100)
    target = f"/{bucket.bucket_name}/large".encode()
    with media.Push(source.path, push_url) as push:
        wait_for(lambda: requests.get(play_url, timeout=PATIENT_S).status_code == 200, "a segment", PATIENT_S)
        files = int(metric(server, "millpond_request_files_max"))
        readers = [SlowReader(server, target) for _ in range(files)]
        assert [reader.first[:15] for reader in readers] == [b"HTTP/1.1 200 OK"] * files
        answer = ask(server, head("GET", target))
        assert answer.seen == (503, "ServiceUnavailable")
        assert int(answer.headers["Retry-After"]) > 0
        put = b"x" * 50_000
        path = f"/{bucket.bucket_name}/new".encode()
        assert ask(server, head("PUT", path, path, {"Content-Length": str(len(put))}) + put).status == 503
        # What is in the metadata needs no file.
        bucket.put_object("small", b"body")
        assert bucket.get_object("small").read() == b"body"
        for reader in readers:
            reader.close()
        wait_for(lambda: ask(server, head("HEAD", target), "HEAD").status == 200, "room again", PATIENT_S)
        assert push.wait(60) == 0, push.stderr
    assert_whole(server, play_url, 12)


def test_readers_that_do_not_read_make_room(fresh_server):
    server = fresh_server(settings="max_connections = 8\n")
    bucket = server.new_bucket("public-read")
    bucket.put_object("large", os.urandom(1 << 20) * 60)
    target = f"/{bucket.bucket_name}/large".encode()
    with strangers(server, 8, head("GET", target)):
        wait_for(lambda: metric(server, "millpond_connections") >= 8, "eight readers")
        # They are believed for a while.
        wait_for(lambda: ask(server, head("HEAD", target), "HEAD").status == 200, "a place", PATIENT_S, every_s=1)


def test_an_address_keeps_only_so_many_connections_that_come_to_nothing(fresh_server):
    server = fresh_server(settings='max_unproven_per_address = 5\ntrusted_proxies = ["127.0.0.3"]\n')
    bucket = server.new_bucket("public-read")
    bucket.put_object("key", b"body")
    get = head("GET", f"/{bucket.bucket_name}/key".encode())
    with strangers(server, 40, get, "127.0.0.2") as viewers, strangers(server, 40, b"", "127.0.0.3") as proxied:
        with strangers(server, 40, b"GET /", "127.0.0.2", every_s=0.05) as silent:
            time.sleep(1.5)
            with strangers(server, 1, b"", "127.0.0.2"):
                wait_for(lambda: len(open_ones(silent)) <= 5, "the oldest are closed", PATIENT_S)
                assert len(open_ones(silent)) >= 4
            # Viewers behind one address, and whoever comes through a proxy, are left alone.
            assert len(open_ones(viewers)) == len(open_ones(proxied)) == 40


def test_the_limit_is_raised_and_told(fresh_server):
    server = fresh_server(open_files="128:2048")
    assert metric(server, "millpond_descriptors_limit") == 2048
    assert 10 < metric(server, "millpond_descriptors_open") < 128
    line = next(line for line in server.log().splitlines() if "limit of open files" in line)
    assert '"limit":2048' in line and '"before":128' in line
    assert metric(server, "millpond_connections_max") > 500


def test_too_few_files_are_told_at_the_start(tmp_path):
    started = subprocess.run(
        ["prlimit", "--nofile=40:40", str(BINARY), "serve", "--data-dir", str(tmp_path / "data")],
        capture_output=True, text=True, timeout=PATIENT_S,
        env={**os.environ, "MILLPOND_LISTEN": "127.0.0.1:0", "MILLPOND_RTMP_LISTEN": "127.0.0.1:0", "MILLPOND_ADMIN_LISTEN": "127.0.0.1:0"},
    )  # fmt: skip
    assert started.returncode != 0
    assert "open files" in started.stderr and "64" in started.stderr and "ulimit" in started.stderr
    assert not (tmp_path / "data").exists()


def test_an_answer_under_way_is_never_cut_for_the_next_request(fresh_server):
    """The last piece of a body is up to a megabyte, which is under way for long after the body has ended for the server."""
    server = fresh_server(open_files="256:256")
    bucket = server.new_bucket(acl="public-read")
    size = 8 << 20
    bucket.put_object("large", bytes(size))
    seen, lock = [], threading.Lock()

    def read():
        try:
            with requests.get(server.url(f"{bucket.bucket_name}/large"), stream=True, timeout=PATIENT_S) as answer:
                result = (answer.status_code, sum(len(piece) for piece in answer.iter_content(65536)))
        except requests.RequestException as error:
            result = (type(error).__name__, 0)
        with lock:
            seen.append(result)

    readers = [threading.Thread(target=read) for _ in range(300)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    wrong = [result for result in seen if result[0] != 503 and result != (200, size)]
    assert wrong == [] and (200, size) in seen, wrong
