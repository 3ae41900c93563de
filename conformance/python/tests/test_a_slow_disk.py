"""A disk whose every flush takes two seconds: eight encoders go on, nobody is disconnected, and nothing is missing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import oss2

from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.playback import read_stream
from millpond_test.server import create_channel, wait_for

from conftest import Channel
from test_a_disk_that_fails import LOST, metric

PUSHES = 8
SECONDS = int(os.environ.get("MILLPOND_SLOW_DISK_SECONDS", "24"))
FLUSH_S = 2.0


def test_a_flush_of_two_seconds_disconnects_nobody(fresh_server, tmp_path):
    source = media.make_source(tmp_path / "long.flv", seconds=SECONDS)
    decoded = media.decode(str(source))
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    channels = []
    for number in range(PUSHES):
        create_channel(bucket, name=f"channel-{number}")
        channels.append(Channel(server, bucket, f"channel-{number}"))
    before = server.resident_bytes()
    pushes = [media.Push(source, channel.push_url, options=["-flush_packets", "1"]) for channel in channels]
    try:
        for channel in channels:
            wait_for(lambda: channel.status() == "Live", "live")
        slow = faults.add("sync", "*", error=0, delay_s=FLUSH_S)
        largest = 0
        while any(push.running() for push in pushes):
            largest = max(largest, server.resident_bytes())
            time.sleep(0.5)
        assert len(faults.hits(slow)) > PUSHES
        faults.clear()
        # An encoder that was held back is late, and that is all.
        ended = [push.wait(SECONDS) for push in pushes]
        assert ended == [0] * PUSHES, "\n".join(push.stderr[-300:] for push in pushes)
    finally:
        for push in pushes:
            push.kill()
    print(f"resident {before >> 20} MiB before, {largest >> 20} MiB at most; last push took {max(p.ended_after_s for p in pushes):.1f} s")
    assert largest - before < 200 << 20
    for channel in channels:
        wait_for(lambda: channel.status() == "Idle", "idle", 60)

    def assert_whole(channel: Channel) -> None:
        playlist, _ = read_stream(channel.play_url)
        assert not any(segment.discontinuity for segment in playlist.segments)
        media.assert_same_frames(media.decode_listed(channel.play_url), decoded)
        assert len(bucket.get_live_channel_history(channel.name).records) == 1, "one session"

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(assert_whole, channels))
    assert metric(server, LOST) == 0
