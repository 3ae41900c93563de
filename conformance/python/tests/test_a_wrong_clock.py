"""A clock that is wrong hides no media: jumps of the wall clock are noticed and followed only when they last, and playlists of what
was recorded go by the time at which a segment was opened (D32), whatever the number in its name says."""

from __future__ import annotations

import re
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.playlist import Playlist, violations
from millpond_test.server import SERVERS, create_channel, wait_for

from conftest import Channel


@pytest.fixture
def skewed(fresh_server, tmp_path):
    """A channel on a server whose wall clock is wrong by what `channel.wrong` is told, in seconds."""

    def make(seconds: float = 0, **configuration) -> Channel:
        faults = Faults(tmp_path)

        faults.set_clock(seconds)
        server = fresh_server(environment=faults.environment)
        bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket, **configuration)
        channel = Channel(server, bucket)
        channel.wrong = faults.set_clock
        return channel

    return make


def recorded(channel, start_s: float, end_s: float) -> Playlist:
    channel.bucket.post_vod_playlist(channel.name, "vod.m3u8", int(start_s), int(end_s))
    playlist = Playlist.parse(channel.bucket.get_object(f"{channel.name}/vod.m3u8").read().decode())
    assert violations(playlist) == []
    return playlist


def metric(server, name: str) -> float:
    lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


def test_an_hour_ahead_for_six_seconds_hides_nothing(skewed, source):
    channel = skewed(frag_duration=2)
    start = time.time()
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(2)
        channel.wrong(3600)
        time.sleep(3)
        # The window of signatures stays where it was.
        channel.bucket.put_object("signed-now", b"x")
        time.sleep(3)
        channel.wrong(0)
        assert push.wait(60) == 0
    wait_for(lambda: channel.status() == "Idle", "idle")
    playlist = recorded(channel, start, time.time())
    assert sum(segment.duration_ms for segment in playlist.segments) == pytest.approx(media.SOURCE_SECONDS * 1000, abs=100)
    numbers = [int(segment.uri.split("/")[-1][:-3]) for segment in playlist.segments]
    assert numbers[-1] < (time.time() + 60) * 1000, "the names are not an hour ahead"
    assert metric(channel.server, "millpond_clock_jumps_total") == SERVERS
    assert metric(channel.server, "millpond_clock_corrections_total") == 0
    assert "clock jumped" in channel.server.log()


def test_what_was_recorded_by_a_wrong_clock_is_dated_anew_when_it_is_set(skewed, short_source):
    """Ten minutes ahead from the start; then somebody sets the clock, and it stays."""
    channel = skewed(600, frag_duration=2)
    start = time.time()
    with media.Push(short_source.path, channel.push_url, loop=True) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(6)
        before = time.time()
        channel.wrong(0)
        wait_for(lambda: metric(channel.server, "millpond_clock_corrections_total") == 1, "the correction", 60)
        time.sleep(5)
        push.interrupt()
    wait_for(lambda: channel.status() == "Idle", "idle")
    whole = recorded(channel, start - 1, time.time() + 1)
    numbers = [int(segment.uri.split("/")[-1][:-3]) for segment in whole.segments]
    assert numbers == sorted(numbers) and numbers[0] > (start + 500) * 1000, "names never go back"
    total_ms = sum(segment.duration_ms for segment in whole.segments)
    assert total_ms >= 35_000
    early = recorded(channel, start - 1, before)
    assert early.segments and [s.uri for s in early.segments] == [s.uri for s in whole.segments[: len(early.segments)]]
    # Nothing is where the wrong clock put it.
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        recorded(channel, start + 500, start + 1000)
    assert refused.value.status == 400
    # A segment that is deleted leaves nothing behind.
    for segment in early.segments:
        channel.bucket.delete_object(f"{channel.name}/{segment.uri}")
    rest = recorded(channel, start - 1, time.time() + 1)
    assert [s.uri for s in rest.segments] == [s.uri for s in whole.segments[len(early.segments) :]]
    assert channel.server.stop() == 0
    findings = channel.server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


def test_a_file_pushed_at_fifty_times_real_time_is_found_from_its_start_to_now(skewed, source):
    channel = skewed(frag_duration=2)
    start = time.time()
    with media.Push(source.path, channel.push_url, paced=50) as push:
        assert push.wait(60) == 0
    wait_for(lambda: channel.status() == "Idle", "idle")
    playlist = recorded(channel, start, time.time() + 1)
    assert sum(segment.duration_ms for segment in playlist.segments) == pytest.approx(media.SOURCE_SECONDS * 1000, abs=100)
