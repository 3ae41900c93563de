"""An encoder that starts again right after its end is not refused: who has hung up is waited for, who is there keeps the channel."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import oss2
import pytest

from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.playback import read_stream
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, capture
from millpond_test.server import create_channel, wait_for

from conftest import Channel


@pytest.fixture
def slow_end(fresh_server, tmp_path):
    """A channel on a disk that takes its time with the end of every segment."""

    def make(delay_s: float) -> Channel:
        faults = Faults(tmp_path)
        running = fresh_server(environment=faults.environment)
        bucket = running.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket, frag_count=100)
        channel = Channel(running, bucket)
        channel.faults = faults
        channel.slow = lambda: faults.add("sync", Faults.FINISHED_BLOBS, error=0, delay_s=delay_s)
        return channel

    return make


@pytest.mark.parametrize("delay_s, count", [(0, 10), (1.5, 4)])
def test_files_pushed_one_after_the_other_are_all_recorded(slow_end, short_source, delay_s, count):
    channel = slow_end(delay_s)
    if delay_s:
        channel.slow()
    for _ in range(count):
        media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert "ChannelStillLive" not in channel.server.log()
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == count
    playlist, report = read_stream(channel.play_url)
    assert report.video_frames == count * len(short_source.decoded.video)
    assert sum(segment.discontinuity for segment in playlist.segments) == count - 1


def test_hundreds_of_quick_sessions_are_all_accepted(fresh_server):
    """Each begins the moment the one before has sent its last byte."""
    server = fresh_server()
    bucket = server.new_bucket("public-read", name=CAPTURE_BUCKET)
    create_channel(bucket, CAPTURE_CHANNEL)
    data = capture("ffmpeg-5.1")
    data = data[: len(data) // 3]
    count = 300
    host, port = server.rtmp_address.rsplit(":", 1)
    open_sockets = []
    for number in range(count):
        connection = socket.create_connection((host, int(port)), timeout=20)
        open_sockets.append(connection)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"onStatus" not in answer:
            more = connection.recv(65536)
            assert more, f"session {number}: no answer"
            answer += more
        while len(answer) < answer.index(b"onStatus") + 60:
            answer += connection.recv(65536)
        assert b"NetStream.Publish.Start" in answer[answer.index(b"onStatus") :], f"session {number}: {answer[-300:]!r}"
        if len(open_sockets) > 8:
            open_sockets.pop(0).close()
    for connection in open_sockets:
        connection.close()
    wait_for(lambda: bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Idle", "idle")
    assert server.log().count('"push ended"') == count
    assert "publish refused" not in server.log()


def ending_push(channel, short_source, slow: bool = True) -> None:
    """A push whose encoder has left and whose last segment takes long to be stored."""
    with media.Push(short_source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(1)
        channel.slow()
        push.kill()
    wait_for(lambda: channel.faults_hit(), "the last segment is being stored")


@pytest.fixture
def ending(slow_end, short_source):
    """A channel whose push has ended, three seconds before its last segment is stored."""
    channel = slow_end(3)
    slow, rules = channel.slow, []
    channel.slow = lambda: rules.append(slow())
    channel.faults_hit = lambda: rules and channel.faults.hits(rules[0])
    ending_push(channel, short_source)
    return channel


def test_who_waits_sees_what_became_of_the_channel(ending, short_source):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(media.push_refused, short_source.path, ending.push_url)
        time.sleep(0.7)
        assert not waiting.done()
        ending.bucket.put_live_channel_status(ending.name, "disabled")
        assert "LiveChannelDisabled" in waiting.result(20)


def test_a_second_one_that_waits_is_refused_when_the_first_is_on_air(ending, source):
    with media.Push(source.path, ending.push_url, paced=True) as first, media.Push(source.path, ending.push_url) as second:
        assert wait_for(lambda: not first.running() or not second.running(), "one is refused", 20)
        refused, live = (first, second) if not first.running() else (second, first)
        assert refused.wait() != 0 and "ChannelStillLive" in refused.stderr
        assert live.running()
    wait_for(lambda: ending.status() == "Idle", "idle", 30)
    assert len(ending.bucket.get_live_channel_history(ending.name).records) == 2


def test_who_leaves_while_waiting_never_comes_on_air(ending, short_source):
    with media.Push(short_source.path, ending.push_url) as push:
        time.sleep(0.7)
        push.kill()
    wait_for(lambda: ending.status() == "Idle", "idle", 30)
    assert len(ending.bucket.get_live_channel_history(ending.name).records) == 1


def test_the_server_stops_though_somebody_waits(ending, short_source):
    with media.Push(short_source.path, ending.push_url) as push:
        time.sleep(0.7)
        assert ending.server.stop() == 0
        assert push.wait(20) != 0
    assert ending.server.log().count('"push begins"') == 1


def test_a_channel_whose_push_has_ended_can_be_changed_and_deleted(ending):
    create_channel(ending.bucket, frag_count=3)
    ending.bucket.delete_live_channel(ending.name)


def test_who_is_there_keeps_the_channel(slow_end, source):
    channel = slow_end(0)
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        began = time.monotonic()
        assert "ChannelStillLive" in media.push_refused(source.path, channel.push_url)
        # At once, give or take how long ffmpeg and a busy machine take.
        assert time.monotonic() - began < 5
        assert push.running()
