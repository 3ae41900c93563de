"""Stat and history say what the push is, while it runs and afterwards; disabling a channel ends its push."""

import re
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.playback import fetch_playlist
from millpond_test.playlist import violations
from millpond_test.server import create_channel, wait_for


def test_the_stat_of_a_running_push_names_codecs_and_bandwidth(channel, source, version):
    bucket = channel.server.bucket(channel.bucket.bucket_name, version)
    began = int(time.time())
    with media.Push(source.path, channel.push_url):
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(4.5)
        stat = bucket.get_live_channel_stat(channel.name)
    assert stat.status == "Live"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", stat.remote_addr)
    assert began - 1 <= stat.connected_time <= began + 5
    assert (stat.video.width, stat.video.height, stat.video.frame_rate, stat.video.codec) == (320, 180, 30, "H264")
    assert (stat.audio.codec, stat.audio.sample_rate) == ("AAC", 44100)
    # Bytes per second over the last seconds; the average of the file is the yardstick.
    average = source.path.stat().st_size / media.SOURCE_SECONDS
    assert 0.3 * average < stat.video.bandwidth + stat.audio.bandwidth < 2.5 * average


def test_stat_is_idle_live_idle(channel, source):
    assert channel.status() == "Idle"
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        push.interrupt()
    wait_for(lambda: channel.status() == "Idle", "idle")
    stat = channel.bucket.get_live_channel_stat(channel.name)
    assert (stat.remote_addr, stat.connected_time, stat.video, stat.audio) == ("", "", None, None)


def test_history_lists_the_ten_newest_pushes_oldest_first(channel, short_source):
    assert channel.bucket.get_live_channel_history(channel.name).records == []
    ports = []
    for count in range(1, 13):
        media.push_file(short_source.path, channel.push_url)
        wait_for(lambda: channel.status() == "Idle", "idle")
        records = channel.bucket.get_live_channel_history(channel.name).records
        assert len(records) == min(count, 10)
        ports.append(records[-1].remote_addr)
    assert [record.remote_addr for record in records] == ports[-10:]
    for record in records:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", record.remote_addr)
        assert record.start_time <= record.end_time


def test_disabling_ends_the_push_within_a_second(channel, source):
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(2.7)
        channel.bucket.put_live_channel_status(channel.name, "disabled")
        assert channel.status() == "Disabled"
        assert push.process.wait(3) != 0 or "LiveChannelDisabled" in push.stderr
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == 1
    playlist = fetch_playlist(channel.play_url)
    assert violations(playlist) == []
    assert sum(segment.duration_ms for segment in playlist.segments) > 2000, "the open segment was flushed"
    assert "LiveChannelDisabled" in media.push_refused(source.path, channel.push_url)
    channel.bucket.put_live_channel_status(channel.name, "enabled")
    media.push_file(source.path, channel.push_url)


def test_a_running_channel_cannot_be_replaced_or_deleted(channel, source):
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        for call in (
            lambda: channel.bucket.delete_live_channel(channel.name),
            lambda: create_channel(channel.bucket, channel.name, frag_duration=10),
        ):
            with pytest.raises(oss2.exceptions.ServerError) as caught:
                call()
            assert (caught.value.status, caught.value.code) == (409, "ChannelStillLive")
            assert caught.value.message == "Live channel couldn't be updated or deleted when channel is live."
            assert caught.value.details["EC"] == "0044-00000201"
        assert push.running()
        channel.bucket.put_live_channel_status(channel.name, "enabled")
        assert push.running()
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert int(channel.bucket.get_live_channel(channel.name).target.frag_duration) == 2
    channel.bucket.delete_live_channel(channel.name)
