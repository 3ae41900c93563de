"""Servers of one installation on poor machines: a disk that is full, few files, strangers, a server that stands still."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import oss2
import pytest

from millpond_test import media
from millpond_test.accounts import manage, new_user, statement
from millpond_test.disks import MIB, fill, small_disk
from millpond_test.playlist import Playlist
from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import Server, create_channel, wait_for
from test_neighbours import channel_of, said, status
from test_two_servers import playlist, push_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python" / "tests"))
from test_a_log_that_nobody_takes import Stalled  # noqa: E402
from test_console_operations import call, good  # noqa: E402
from test_more_peers_than_descriptors import Readiness, metric, strangers  # noqa: E402

#: Beyond whole segments: what ends a push, and frames of sound that are longer than pictures.
SLACK_MS = 300


def listed_ms(server, bucket) -> int:
    text = server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").text
    return sum(segment.duration_ms for segment in Playlist.parse(text).segments)


@contextmanager
def pushes(tags, *places):
    """A push to each server and bucket, whose encoders are never cut, and each a push of its own from the beginning to the end."""
    running = [Pusher(tags, push_url(server, bucket)).start() for server, bucket in places]
    for _, bucket in places:
        wait_for(lambda: playlist(places[0][0], bucket)[1], "a segment", 30)
    yield running
    for push in running:
        push.stop()
    for push, (server, bucket) in zip(running, places):
        wait_for(lambda: status(server, bucket).status == "Idle", "the end of the push", 60)
        assert len(push.sessions) == 1 and push.errors == []
        assert len(server.bucket(bucket.bucket_name).get_live_channel_history("test-channel").records) == 1


def assert_all_is_listed(push, server, bucket) -> None:
    found = listed_ms(server, bucket)
    print(f"\n{push.sent_ms} ms sent, {found} listed")
    assert found == pytest.approx(push.sent_ms, abs=SLACK_MS)
    assert playlist(server, bucket)[2] == 0


class Unheard(Server):
    """A server whose log is a full pipe that nobody reads until `drain()`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pipe = Stalled()

    def stderr(self):
        return os.fdopen(os.dup(self.pipe.writer), "wb")

    def log(self) -> str:
        return self.pipe.text.decode(errors="replace")


class PausedReader:
    """Has asked for an object and read the beginning of the answer; no more fits into its socket."""

    def __init__(self, server, path: str):
        host, port = server.http_address.rsplit(":", 1)
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        self.connection.connect((host, int(port)))
        self.connection.settimeout(60)
        self.connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {server.http_address}\r\nConnection: close\r\n\r\n".encode())
        self.received = self.connection.recv(1000)

    def rest(self) -> bytes:
        """The body, of which it reads the rest now."""
        with self.connection:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            while piece := self.connection.recv(1 << 16):
                self.received += piece
        head, _, body = self.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return body


@pytest.fixture
def small(tmp_path):
    """A disk of 64 MiB for a server called `a`."""
    with small_disk(tmp_path / "a" / "data") as disk:
        yield disk


def test_a_disk_that_what_waits_for_the_store_fills(small, start, tmp_path, seaweed):
    """What the disk does not take is lost and counted; the encoder and the other server do not suffer, and what did wait is listed."""
    tags = flv_tags(media.make_source(tmp_path / "heavy.flv", size="640x360", noise=30))
    a, b = (start(name, "[storage]\ncache_mib = 8\n") for name in "ab")
    bucket, beside = channel_of((a, b)), channel_of((a, b))
    with pushes(tags, (a, bucket), (b, beside)) as (push, other):
        fill(small, 12 * MIB)
        seaweed.kill()
        try:
            wait_for(lambda: a.admin("/readyz").text.startswith("degraded: the disk "), "a full disk", 60)
            assert b.admin("/readyz").status_code == 200
            time.sleep(10)
        finally:
            seaweed.start()
        wait_for(lambda: a.admin("/readyz").text == "ready\n", "room", 60)
        known = listed_ms(a, bucket)
        wait_for(lambda: listed_ms(b, bucket) > known + 4_000, "it goes on", 60)
    lost_ms = 1000 * metric(a, "millpond_media_lost_seconds_total")
    found = listed_ms(b, bucket)
    print(f"\n{push.sent_ms} ms sent, {found} listed, {lost_ms:.0f} lost")
    assert lost_ms > 0 and found + lost_ms == pytest.approx(push.sent_ms, abs=SLACK_MS)
    assert media.decode_listed(b.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")).video
    assert metric(b, "millpond_media_lost_seconds_total") == 0
    assert_all_is_listed(other, a, beside)
    # What was lost is told when all of it is known.
    assert said(a, "media could not be stored and is lost") and not said(a, "nothing is lost")


def test_a_disk_that_the_cache_would_fill(small, start, tmp_path):
    """What is kept for readers goes before anything that is recorded is lost, however large it may become (`storage.cache_mib`)."""
    tags = flv_tags(media.make_source(tmp_path / "heavy.flv", size="640x360", noise=30))
    a, b = start("a"), start("b")
    bucket = channel_of((a, b))
    with pushes(tags, (a, bucket)) as (push,):
        fill(small, 20 * MIB)
        # Twice what there is room for.
        wait_for(lambda: metric(a, "millpond_live_ingest_bytes_total") > 40 * MIB, "media", 120)
        assert a.admin("/readyz").text == "ready\n"
        a.bucket(bucket.bucket_name).put_object("key", b"body")
    assert metric(a, "millpond_media_lost_seconds_total") == 0
    assert_all_is_listed(push, b, bucket)


def test_what_waits_is_taken_up_beside_a_log_and_a_download_that_stand_still(start, tmp_path, seaweed):
    """With few files, too: an encoder that comes again while the store is away is recorded at once, and all of both pushes is listed."""
    tags = flv_tags(media.make_source(tmp_path / "again.flv", size="320x180"))
    a = start("a", "[storage]\ncache_mib = 8\n", kind=Unheard, open_files="64:64")
    b = start("b")
    bucket, content = channel_of((a, b)), os.urandom(30 * MIB)
    # The cache of the other has no room for it, so it is read from the store.
    b.bucket(bucket.bucket_name).put_object("large", content)
    push = Pusher(tags, push_url(a, bucket)).start()
    wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
    reader = PausedReader(a, f"{bucket.bucket_name}/large")
    # It is told from one that is slow.
    time.sleep(5)
    seaweed.kill()
    try:
        time.sleep(10)
        known = playlist(b, bucket)[1]
        push.stop(1)
        begun = time.monotonic()
        again = Pusher(tags, push_url(a, bucket)).start()
        wait_for(lambda: again.sent_ms > 5_000, "the second push runs", 30)
        print(f"\n5 s of the second push after {time.monotonic() - begun:.1f} s")
        assert len(again.sessions) == 1, "it is not refused"
        assert playlist(b, bucket)[1] == known
    finally:
        seaweed.start()
    wait_for(lambda: listed_ms(b, bucket) > push.sent_ms, lambda: f"{listed_ms(b, bucket)} ms are listed", 30)
    assert reader.rest() == content
    again.stop()
    wait_for(lambda: status(b, bucket).status == "Idle", "the end of the push", 60)
    found = listed_ms(b, bucket)
    print(f"{push.sent_ms} and {again.sent_ms} ms sent, {found} listed")
    assert found == pytest.approx(push.sent_ms + again.sent_ms, abs=2 * SLACK_MS)
    assert metric(a, "millpond_media_lost_seconds_total") == 0
    _, uris, gaps = playlist(b, bucket)
    assert gaps == 1 and uris[: len(known)] == known and len(set(uris)) == len(uris)
    assert media.decode_listed(b.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")).video
    assert len(bucket.get_live_channel_history("test-channel").records) == 2
    # Nobody had read a line until now.
    assert a.log() == ""
    a.pipe.drain()
    wait_for(lambda: said(a, "a push takes up the segments that wait for the store"), "the log comes late", 30)


def test_sixty_four_files_are_enough_for_each_server(start, source, postgres):
    """They have connections to PostgreSQL and to the store, too; and there are strangers, and a while without PostgreSQL."""
    a, b = (start(name, open_files="64:64") for name in "ab")
    bucket = channel_of((a, b))
    bucket.put_object("large", bytes(30 * MIB))
    with pushes(flv_tags(source[0]), (a, bucket)) as (push,), Readiness(b) as ready:
        with strangers(a, 100, source="127.0.0.1"), strangers(b, 100, source="127.0.0.1"):
            for _ in range(5):
                for server in (a, b):
                    assert server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").status_code == 200
                    assert len(server.get(f"{bucket.bucket_name}/large").content) == 30 * MIB
                    assert server.admin("/metrics").status_code == 200
                time.sleep(1)
            assert set(ready.answers) == {200}, ready.answers
            paused = postgres.pids()
            for process in paused:
                os.kill(process, signal.SIGSTOP)
            time.sleep(5)
            for process in reversed(paused):
                os.kill(process, signal.SIGCONT)
            known = len(playlist(a, bucket)[1])
            wait_for(lambda: len(playlist(b, bucket)[1]) > known + 1, "the playlist goes on", 60)
            print(f"\n{[int(metric(server, 'millpond_descriptors_open')) for server in (a, b)]} descriptors are open")
    assert_all_is_listed(push, b, bucket)


def test_a_thousand_strangers_at_one_server(start, source):
    """They cost nobody a push, and the other server does not take one for dead."""
    a, b = (start(name, open_files="1024:1024") for name in "ab")
    bucket, beside = channel_of((a, b)), channel_of((a, b))
    with pushes(flv_tags(source[0]), (a, bucket), (b, beside)) as (push, other):
        with strangers(a, 500), strangers(a, 500, b"GET / HTTP/1.1\r\nHost: x\r\n"), Readiness(a) as ready:
            # Longer than the lease of a server.
            until = time.monotonic() + 13
            while time.monotonic() < until:
                assert "ChannelStillLive" in media.push_refused(source[0], push_url(b, bucket))
                assert status(b, bucket).status == "Live"
                assert a.get(f"{beside.bucket_name}/test-channel/playlist.m3u8").status_code == 200
            assert metric(a, "millpond_connections") > 400
    assert set(ready.answers) == {200}, ready.answers
    assert_all_is_listed(push, b, bucket)
    assert_all_is_listed(other, a, beside)


@pytest.mark.parametrize("what", ["policy", "key", "user"])
def test_a_right_that_is_taken_away_is_away_at_every_server(servers, what):
    a, b = servers
    bucket = a.new_bucket()
    create_channel(bucket)
    bucket.put_object("key", b"body")
    user = new_user(a)
    user.allow("one", statement("Allow", ["oss:GetObject", "oss:GetLiveChannelHistory"], [f"acs:oss:*:*:{bucket.bucket_name}/*"]))
    key = user.key()
    there, sessions = key.bucket(b, bucket.bucket_name), f"channels/{bucket.bucket_name}/test-channel/sessions"
    for _ in range(20):
        assert there.get_object("key").read() == b"body"
        good(call(b, sessions, key))
    words = {"policy": ["delete", user.name, "one"], "key": ["delete", user.name, key.id], "user": ["disable", user.name]}
    manage(a, what, *words[what])
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        there.get_object("key")
    assert refused.value.status == 403
    assert call(b, sessions, key).status_code == 403


def test_the_console_beside_a_server_that_stands_still(servers, source):
    a, b = servers
    bucket, beside = channel_of(servers), channel_of(servers)

    def on_air():
        begun = time.monotonic()
        found = good(call(b, "on-air", query={"state": "live"}))["channels"]
        waits_s.append(time.monotonic() - begun)
        return {channel["bucket"] for channel in found}

    waits_s = []
    with pushes(flv_tags(source[0]), (a, bucket), (b, beside)) as (push, other):
        wait_for(lambda: {bucket.bucket_name, beside.bucket_name} <= on_air(), "both are on air", 10)
        os.kill(a.process.pid, signal.SIGSTOP)
        paused = time.monotonic()
        try:
            wait_for(lambda: bucket.bucket_name not in on_air(), "its push is not told as one on air any more", 14, 0.5)
            gone_s = time.monotonic() - paused
            names = {one["name"]: one for one in good(call(b, "about"))["servers"]}
            dead = [one for one in names.values() if {"purpose": "http", "address": a.http_address} in one["listeners"]]
            assert [one["state"] for one in dead] == ["dead"]
            assert beside.bucket_name in on_air()
            time.sleep(max(0.0, paused + 15 - time.monotonic()))
        finally:
            os.kill(a.process.pid, signal.SIGCONT)
        wait_for(lambda: bucket.bucket_name in on_air(), "it is told again", 15, 0.2)
        print(f"\naway after {gone_s:.1f} s, the console waited for at most {max(waits_s):.2f} s")
        assert max(waits_s) < 5
    assert_all_is_listed(push, b, bucket)
    assert_all_is_listed(other, a, beside)
