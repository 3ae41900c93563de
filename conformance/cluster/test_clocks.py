"""Clocks of servers that are apart by five seconds change nothing that is promised: leases go by the clock of the database, and numbers of
segments only rise, whoever gives them."""

from __future__ import annotations

import time

import oss2
import pytest

from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.playlist import Playlist, violations
from millpond_test.server import Server, create_channel, wait_for
from test_two_servers import playlist, push_url

GRACE_S = 2


@pytest.fixture(params=[5, -5], ids=["ahead", "behind"])
def apart(environment, tmp_path, request):
    """Three servers, of which the clock of the second is wrong by five seconds."""
    started = []
    for name, wrong_s in (("a", 0), ("b", request.param), ("c", 0)):
        folder = tmp_path / name
        folder.mkdir()
        faults = Faults(folder)
        faults.set_clock(wrong_s)
        settings = f"max_buckets = 10000\n[storage]\ngarbage_grace_s = {GRACE_S}\n"
        started.append(Server(folder, environment={**environment, **faults.environment}, settings=settings).start())
    yield started
    for server in started:
        server.kill()
        assert "panicked" not in server.log(), server.log()[-3000:]


def lists_of(server, bucket) -> Playlist:
    return Playlist.parse(server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").text)


def test_a_push_goes_from_clock_to_clock(apart, source):
    path, _ = source
    bucket = apart[0].new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_duration=2)
    begun, before = time.time(), None
    for turn, server in enumerate(apart):
        with media.Push(path, push_url(server, bucket), loop=True) as push:
            known = len(playlist(server, bucket)[1])
            wait_for(lambda: len(playlist(server, bucket)[1]) >= known + 3, "three segments more", 40)
            # Nobody else takes the channel, at whatever time it thinks the lease is over.
            media.push_refused(path, push_url(apart[turn - 1], bucket))
            assert push.running(), push.stderr[-2000:]
            for reader in apart:
                now = lists_of(reader, bucket)
                assert violations(now, before) == [], reader.http_address
            before = now
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end", 30)
    uris = playlist(apart[0], bucket)[1]
    numbers = [int(uri.split(".")[0]) for uri in uris]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 9
    # By the clocks of those that recorded it, all of it is found.
    bucket.post_vod_playlist("test-channel", "vod.m3u8", int(begun) - 10, int(time.time()) + 10)
    found = Playlist.parse(bucket.get_object("test-channel/vod.m3u8").read().decode())
    assert [segment.uri.rsplit("/", 1)[-1] for segment in found.segments] == uris
    assert all(server.running() for server in apart)
    assert not any("others may have taken" in server.log() for server in apart)


def test_what_is_read_at_one_clock_is_not_collected_by_another(apart):
    """The grace of garbage is shorter than the clocks are apart."""
    a, b, c = apart
    bucket = a.new_bucket()
    content = b"x" * (40 << 20)
    bucket.put_object("long", content)
    answer = b.bucket(bucket.bucket_name).get_object("long")
    got = answer.read(1 << 20)
    c.bucket(bucket.bucket_name).delete_object("long")
    time.sleep(GRACE_S + 12)
    got += answer.read()
    assert got == content
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("long")
