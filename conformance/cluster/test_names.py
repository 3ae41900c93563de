"""Servers that have their names from the configuration: a name outlives its disk, and no two servers have one."""

from __future__ import annotations

import shutil
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.server import Server, create_channel, wait_for
from test_two_servers import playlist, push_url


@pytest.fixture
def named(environment, tmp_path):
    """Makes servers with names and folders of their own."""
    made = []

    def one(name: str, folder: str) -> Server:
        server = Server(tmp_path / folder, environment={**environment, "MILLPOND_INSTANCE": name}, settings="max_buckets = 10000\n")
        made.append(server)
        return server

    yield one
    for server in made:
        server.kill()
        assert "panicked" not in server.log(), server.log()[-3000:]


def test_two_servers_of_one_name_do_not_run(named, source):
    one, two = named("pond-1", "one").start(), named("pond-1", "two")
    bucket = one.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(source[0], push_url(one, bucket), loop=True) as push:
        wait_for(lambda: playlist(one, bucket)[1], "a segment", 30)
        with pytest.raises(AssertionError, match="another server named .*pond-1.* is running"):
            two.start()
        assert one.http_address in two.log() and "MILLPOND_INSTANCE" in two.log()
        known = len(playlist(one, bucket)[1])
        wait_for(lambda: len(playlist(one, bucket)[1]) > known + 1, "the push goes on", 30)
        assert push.running(), push.stderr[-2000:]
    # The first was asked for nothing, and the second holds nothing.
    assert "others may have taken" not in one.log()
    assert one.stop() == 0
    two.start()
    assert two.ready_after_s < 5, "what has left is not waited for"


def test_a_name_outlives_its_disk(named, source):
    """The server comes back under its name without its data directory, and ends its own push when its lease is over."""
    one, other = named("pond-2", "one").start(), named("pond-3", "other").start()
    bucket = one.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_duration=60)
    with media.Push(source[0], push_url(one, bucket), loop=True):
        time.sleep(8)
        one.kill()
    shutil.rmtree(one.data)
    one.start()
    print(f"\nit was ready after {one.ready_after_s:.1f} s")
    assert 5 < one.ready_after_s < 14
    for server in (one, other):
        wait_for(lambda: playlist(server, bucket)[1], "what was in the tails is listed", 15)
    media.push_file(source[0], push_url(one, bucket))

    # With its disk it waits for nothing.
    one.kill()
    one.start()
    assert one.ready_after_s < 5
