"""Two versions of the program side by side on one installation: a rolling restart from the older one to this one, halfway back, and on again,
while a push and its viewers go on. `MILLPOND_OLD_BIN` names the older program; without it there is nothing to compare."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import BINARY, Server, create_channel, wait_for
from test_neighbours import assert_rising, said, status
from test_two_servers import playlist, push_url

OLD = os.environ.get("MILLPOND_OLD_BIN", "")

pytestmark = pytest.mark.skipif(not OLD, reason="MILLPOND_OLD_BIN names no older program to run beside this one")


class Balancer:
    """Which servers may be asked, and where the encoder goes: what HAProxy would know."""

    def __init__(self, servers, bucket):
        self.servers, self.up, self.bucket, self.publishing = servers, list(servers), bucket, servers[0]

    def now(self) -> str:
        return push_url(self.publishing, self.bucket)


class Viewer(threading.Thread):
    """Reads the playlist and its last segment ten times a second, from all servers in turn."""

    def __init__(self, balancer: Balancer):
        super().__init__(daemon=True)
        self.balancer, self.failures, self.reads, self.over, self.waited_s = balancer, [], 0, threading.Event(), 0.0

    def run(self) -> None:
        news, known = time.monotonic(), ""
        while not self.over.wait(0.1):
            up = self.balancer.up
            server = up[self.reads % len(up)]
            self.reads += 1
            try:
                name = f"{self.balancer.bucket.bucket_name}/test-channel"
                answer = server.get(f"{name}/playlist.m3u8")
                assert answer.status_code == 200, f"{answer.status_code} for the playlist"
                last = [line for line in answer.text.splitlines() if line.endswith(".ts")][-1]
                assert len(server.get(f"{name}/{last}").content) % 188 == 0, last
                if last != known:
                    self.waited_s, news, known = max(self.waited_s, time.monotonic() - news), time.monotonic(), last
            except (AssertionError, IndexError, requests.RequestException) as error:
                self.failures.append(f"{server.folder.name}: {error}")


def upgrade(balancer: Balancer, server: Server, binary: Path) -> None:
    """One server of a rolling restart: out of the balancer, stopped, started with another program, and back."""
    other = next(one for one in balancer.servers if one is not server)
    balancer.up = [other]
    balancer.publishing = other
    time.sleep(0.5)
    assert server.stop() == 0
    server.binary = binary
    server.start()
    wait_for(lambda: server.admin("/readyz").status_code == 200, "the server is ready", 20)
    balancer.up = list(balancer.servers)


def goes_on(balancer: Balancer, count: int = 2) -> None:
    """The playlist grows, and is the same at both servers, as are objects, lists, and who publishes."""
    bucket = balancer.bucket
    known = len(playlist(balancer.servers[0], bucket)[1])
    wait_for(lambda: len(playlist(balancer.servers[1], bucket)[1]) >= known + count, "the playlist goes on", 40)
    buckets = [server.bucket(bucket.bucket_name) for server in balancer.servers]
    key = f"turn/{known}/object"
    for here, there in (buckets, buckets[::-1]):
        here.put_object(key, key + str(id(here)))
        assert there.get_object(key).read() == (key + str(id(here))).encode()
        here.put_object(f"turn/{known}/long", b"x" * 300_000)
        assert there.get_object(f"turn/{known}/long").read() == b"x" * 300_000
    listed = [[found.key for found in oss2.ObjectIterator(one, delimiter="/", max_keys=3)] for one in buckets]
    assert listed[0] == listed[1] and "turn/" in listed[0]
    seen = wait_for(lambda: all(status(one, bucket).status == "Live" for one in balancer.servers), "it is live at both", 20)
    assert seen


def test_versions_that_follow_each_other_run_side_by_side(environment, source, tmp_path):
    path, _ = source
    old, new = Path(OLD).resolve(), BINARY
    shown = {name: media.run([str(name), "--version"]).stdout.strip() for name in (old, new)}
    assert old.read_bytes() != new.read_bytes(), "MILLPOND_OLD_BIN is this program"
    servers = a, b = [
        Server(tmp_path / name, environment=environment, settings="max_buckets = 10000\n", binary=old).start() for name in "ab"
    ]
    try:
        bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket, frag_duration=2)
        balancer = Balancer(servers, bucket)
        push = Pusher(flv_tags(path), balancer).start()
        wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
        viewer = Viewer(balancer)
        viewer.start()
        goes_on(balancer)
        # The new one looks on; takes the push over; gives it back to the old one; and has it to the end.
        upgrade(balancer, b, new)
        goes_on(balancer)
        upgrade(balancer, a, old)
        wait_for(lambda: said(b, "push begins"), "the push begins at the new one", 20)
        goes_on(balancer)
        upgrade(balancer, b, new)
        goes_on(balancer)
        upgrade(balancer, a, new)
        goes_on(balancer)
        viewer.over.set()
        viewer.join()
        listed = playlist(a, bucket)[1]
        assert_rising(listed)
        for server in servers:
            for uri in listed:
                assert server.get(f"{bucket.bucket_name}/test-channel/{uri}").status_code == 200, uri
        push.stop()
        wait_for(lambda: status(a, bucket).status == "Idle", "the end of the push", 30)
        # One for each server that had it: nobody took it from another.
        assert len(a.bucket(bucket.bucket_name).get_live_channel_history("test-channel").records) == 4
    finally:
        for server in servers:
            server.kill()
            assert "panicked" not in server.log(), server.log()[-3000:]
    print(
        f"\n{' beside '.join(shown.values())}: {viewer.reads} reads, {len(viewer.failures)} failed, {len(push.sessions)} sessions of the push, "
        f"the longest wait for a segment {viewer.waited_s:.1f} s"
    )
    assert not viewer.failures, viewer.failures[:5]
    for server in servers:
        assert not [line for line in server.log().splitlines() if '"level":"ERROR"' in line], server.log()[-3000:]
