"""One channel, several pushes: a second encoder is told to wait, a ghost is replaced, a reconnect continues the playlist."""

import os
import signal
import time

import pytest

from millpond_test import media
from millpond_test.playback import Poller, fetch_playlist
from millpond_test.playlist import violations
from millpond_test.server import create_channel, wait_for


def test_a_second_push_to_a_busy_channel_is_refused(channel, source):
    with media.Push(source.path, channel.push_url) as first:
        wait_for(lambda: channel.status() == "Live", "live")
        printed = media.push_refused(source.path, channel.push_url)
        assert "ChannelStillLive" in printed, printed
        assert first.running()
        assert first.wait() == 0
    wait_for(lambda: channel.status() == "Idle", "idle")
    media.assert_same_frames(media.decode_listed(channel.play_url), source.decoded)


def test_q48_a_silent_ghost_is_replaced_at_once(channel, source):
    with media.Push(source.path, channel.push_url) as ghost:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(2.5)
        os.kill(ghost.process.pid, signal.SIGSTOP)  # The connection stays, nothing comes: a lost radio link.
        try:
            time.sleep(1.0)
            assert "ChannelStillLive" in media.push_refused(source.path, channel.push_url)
            time.sleep(3.0)
            media.push_file(source.path, channel.push_url)
        finally:
            os.kill(ghost.process.pid, signal.SIGCONT)
        assert ghost.wait(20) != 0, "the ghost finds its connection closed"
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == 2


def test_a_push_that_comes_back_continues_the_playlist(channel, source):
    with Poller(channel.play_url) as poller:
        with media.Push(source.path, channel.push_url) as push:
            wait_for(lambda: poller.last and len(poller.last.segments) >= 2, "two segments", 15)
            push.kill()
        wait_for(lambda: channel.status() == "Idle", "the killed push ended")
        before = fetch_playlist(channel.play_url)
        media.push_file(source.path, channel.push_url)
        wait_for(lambda: channel.status() == "Idle", "idle")
        wait_for(lambda: poller.last.next_sequence >= before.next_sequence + 6, "the second push", 5)
    assert poller.faults == []
    after = poller.last
    assert violations(after, before) == []
    # D11: the old segments stay listed and exactly one discontinuity stands between the pushes.
    assert after.uris[: len(before.segments)] == before.uris
    assert [segment.discontinuity for segment in after.segments].count(True) == 1
    assert after.segments[len(before.segments)].discontinuity


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_whatever_way_a_push_ends_its_last_segment_is_listed(channel, source, end):
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(3.2)
        getattr(push, end)()
    wait_for(lambda: channel.status() == "Idle", "idle", 5)
    playlist = fetch_playlist(channel.play_url)
    assert violations(playlist) == []
    assert sum(segment.duration_ms for segment in playlist.segments) > 2500
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    # The cut may fall between a picture and the B-frames shown before it, so the last few may have gaps.
    assert found.video[:-3] == source.decoded.video[: len(found.video) - 3]


def test_two_channels_record_side_by_side(server, source):
    bucket = server.new_bucket("public-read")
    names = ["left", "right"]
    for name in names:
        create_channel(bucket, name)
    pushes = [media.Push(source.path, bucket.sign_rtmp_url(name, "playlist.m3u8", 60), paced=False) for name in names]
    assert [push.wait() for push in pushes] == [0, 0]
    for name in names:
        wait_for(lambda: bucket.get_live_channel_stat(name).status == "Idle", "idle")  # noqa: B023
        media.assert_same_frames(media.decode_listed(server.url(f"{bucket.bucket_name}/{name}/playlist.m3u8")), source.decoded)
